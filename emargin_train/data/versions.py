"""Versions of the steps that decide what a set of frames holds; they are part of the cache's key.

Raise a step's version in the commit that makes it return other numbers for the same files and settings, or
store them under other names. A comment, a message or a refactoring raises none.
`tests/emargin_train/data/test_versions.py` keeps a fingerprint of what each step returns, and fails where a
step changes under an old version. The simulators keep theirs beside themselves (`VERSION`), because it is
also a seed.
"""

READERS = {"sleepeeg": 1, "harth": 1, "ecg": 2, "ucr": 2, "packed": 1, "table": 2}
FRAMES = 3  # noise, normalisation, spectra, majority labels, cutting into sequences
