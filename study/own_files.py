"""A study checks its files: a damaged one is renamed, and the new name is printed."""

import sys
from pathlib import Path


def put_aside(path: Path, why: str, then: str) -> Path:
    """Rename a damaged file to the first free name of NAME.damaged, NAME.damaged-2, ..., and print one line.

    why: what is wrong with the file, such as "is not JSON"
    then: what the study does without it
    """
    aside, number = path.with_name(f"{path.name}.damaged"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{number}")
    path.rename(aside)
    print(f"warning: {path} {why}; it is renamed to {aside.name}: {then}", file=sys.stderr)
    return aside
