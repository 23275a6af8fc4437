"""What the first workers of a cluster of ours load while it starts: all that trials need.

The garbage collector is off meanwhile. It would look again and again at a million new objects, none of which
is garbage, for a tenth of the time that loading takes.
"""

import gc

gc.disable()
try:
    import study.cluster.worker  # noqa: F401
finally:
    gc.enable()
