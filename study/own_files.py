"""A study checks its own files: a damaged one is put aside under a name that is printed."""

import sys
from pathlib import Path


def put_aside(path: Path, why: str, then: str) -> Path:
    """Rename a damaged file to the first free of NAME.damaged, NAME.damaged-2, ..., and say so on one line.

    why: what is wrong with it, as "is not JSON"
    then: what the study does without it
    """
    aside, number = path.with_name(f"{path.name}.damaged"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{number}")
    path.rename(aside)
    print(f"warning: {path} {why}; it is put aside as {aside.name}: {then}", file=sys.stderr)
    return aside
