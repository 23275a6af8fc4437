"""Sets of the UCR/UEA archive that come with aeon: where they are, and which is most like a name."""

import difflib
import importlib.util
from pathlib import Path

from emargin_train.errors import UserError

SPLITS = {"train": "TRAIN", "test": "TEST"}


def bundled() -> Path:
    """The folder of the sets that come with aeon."""
    found = importlib.util.find_spec("aeon")
    if found is None or not found.submodule_search_locations:
        raise UserError("ucr sets need the package aeon: pip install 'emargin-study[train]'")
    return Path(found.submodule_search_locations[0]) / "datasets" / "data"


def files_of(folder: Path, name: str) -> list[Path]:
    """Training and test file of the set, as `.ts` or else as `.tsv`; an empty list if one is missing."""
    for suffix in (".ts", ".tsv"):
        files = [folder / name / f"{name}_{split}{suffix}" for split in SPLITS.values()]
        if all(file.is_file() for file in files):
            return files
    return []


def offline_names() -> list[str]:
    """Sets for classification that need no download."""
    return sorted(p.name for p in bundled().iterdir() if files_of(bundled(), p.name))


def closest(name: str) -> str:
    """The set that needs no download and whose name is most like this one."""
    return difflib.get_close_matches(name, offline_names(), n=1, cutoff=0)[0]
