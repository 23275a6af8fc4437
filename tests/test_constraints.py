"""constraints.txt is a lock file: it pins every library that the project installs, direct or not."""

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
OWN = "emargin-study"


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def needed() -> dict[str, str]:
    """The installed version of every library that the project needs with all of its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = project["dependencies"] + [one for of in project["optional-dependencies"].values() for one in of]
    waiting = [Requirement(text) for text in texts]
    found: dict[str, str] = {}
    seen = set()
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name == OWN or (name, *sorted(one.extras)) in seen:
            continue
        seen.add((name, *sorted(one.extras)))
        try:
            installed = distribution(name)
        except PackageNotFoundError:  # for other systems, or for a GPU
            continue
        found[name] = installed.version
        for text in installed.requires or ():
            more = Requirement(text)
            wanted = [{"extra": extra} for extra in one.extras] or [{"extra": ""}]
            if more.marker is None or any(more.marker.evaluate(extra) for extra in wanted):
                waiting.append(more)
    return found


def test_every_library_has_its_pin():
    pinned, installed = pins(), needed()
    assert len(installed) > 100
    unpinned = sorted(name for name in installed if name not in pinned)
    assert unpinned == []
