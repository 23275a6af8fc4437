"""What the first workers of a cluster of ours load while it starts: all that trials need.

The garbage collector is off meanwhile. It would look at a million new objects again and again, none of which
is garbage, for a tenth of the three seconds.
"""

import gc

gc.disable()
try:
    import study.cluster.worker  # noqa: F401
finally:
    gc.enable()
