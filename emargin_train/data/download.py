"""Download datasets from their public homes into the cache, or into a folder that the user names.

EMARGIN_MIRROR=http://host/path     fetch from there instead, under the same paths as at the homes
"""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock

from emargin_train.data import cache, fetch
from emargin_train.data.fetch import Unreachable, Wanted
from emargin_train.data.files import writing
from emargin_train.data.settings import DataConfig
from emargin_train.data.ucr_bundled import closest
from emargin_train.data.unpack import unpack
from emargin_train.errors import UserError, nearest
from emargin_train.files import write_whole

if TYPE_CHECKING:
    from requests import Session

SUMS = "SHA256SUMS.txt"
ARCHIVE = "https://timeseriesclassification.com/aeon-toolkit/"


@dataclass(frozen=True)
class Home:
    """Where a dataset lives.

    url: of the folder whose SHA256SUMS.txt lists its files, or of a zip archive, which has no published sum
    wanted: matches the files to take, by their path in the folder; its group is the subject
    twin: simulated dataset to use instead, where there is no network
    """

    title: str
    url: str
    twin: str
    wanted: str = ""
    suffixes: tuple[str, ...] = ()


HOMES = {
    "sleepeeg": Home(
        "Sleep-EDF Expanded 1.0.0, sleep cassette nights (PhysioNet, ODC-By 1.0)",
        "https://physionet.org/files/sleep-edfx/1.0.0/",
        "sleepeeg-sim",
        r"sleep-cassette/(SC4\d\d)\d\w{2}-(?:PSG|Hypnogram)\.edf",
    ),
    "ecg": Home(
        "MIT-BIH Atrial Fibrillation Database 1.0.0 (PhysioNet, ODC-By 1.0)",
        "https://physionet.org/files/afdb/1.0.0/",
        "ecg-sim",
        r"(\d{5})\.(?:hea|dat|atr)",
    ),
    "harth": Home(
        "HARTH 1.2 (UCI 779, CC BY 4.0)",
        "https://archive.ics.uci.edu/static/public/779/harth.zip",
        "harth-sim",
        suffixes=(".csv",),
    ),
}


def home(name: str) -> Home:
    """The home of that dataset."""
    if name.startswith("ucr:"):
        own = name.removeprefix("ucr:")
        twin = f"ucr:{closest(own)}"
        return Home(f"{own} of the UCR/UEA archive", f"{ARCHIVE}{own}.zip", twin, suffixes=(".ts",))
    if name not in HOMES:
        raise UserError(f"'{name}' cannot be downloaded: {nearest(name, [*HOMES, 'ucr:<name>'])}")
    return HOMES[name]


def folder(name: str, config: DataConfig) -> Path:
    """The folder of a dataset's files: as given, else downloaded when it is first asked for."""
    if config.data_dir is None:
        return ensure(name, subjects=config.subjects)
    given = Path(config.data_dir)
    if not given.is_dir():
        raise UserError(
            f"data folder '{given}' does not exist or is not a folder: give the folder of {home(name).title}"
        )
    return given


def ensure(name: str, *, subjects: int | None = None, to: Path | None = None) -> Path:
    """The dataset's folder; what is missing there is fetched, after saying how much it is.

    subjects: only the files of the first so many
    to: the folder; default: raw/<name> in the cache
    """
    own, target = home(name), to or cache.folder() / "raw" / name.replace(":", "/")
    with writing(target.parent, "free space, or give --to"), lock(target), fetch.session() as web:
        try:
            if own.suffixes:
                fetch_archive(name, own, target, web)
            else:
                fetch_files(name, own, target, subjects, web)
        except Unreachable as error:
            raise UserError(
                f"{name} cannot be downloaded, {error}: try again later (what has arrived is kept), "
                f"give a copy as --data-dir, or use {own.twin}, which needs no network"
            ) from None
    return target


def lock(target: Path) -> FileLock:
    """Several processes may ask for a folder at once: one fetches, the others wait."""
    locks = cache.folder() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / f"{hashlib.sha256(str(target.resolve()).encode()).hexdigest()[:16]}.lock")


def address(url: str) -> str:
    """The address to ask: at the mirror, if there is one."""
    mirror = os.environ.get("EMARGIN_MIRROR")
    return mirror.rstrip("/") + urlsplit(url).path if mirror else url


def fetch_files(name: str, own: Home, target: Path, subjects: int | None, web: "Session") -> None:
    """Files listed with their sums; those already there were checked when they came."""
    listed = target / SUMS
    if not listed.is_file():
        sums = fetch.text(address(own.url + SUMS), web)
        if not parse_sums(sums):
            raise UserError(
                f"{address(own.url + SUMS)} lists no checksums: this is not the list that {name} has there"
            )
        write_whole(listed, sums.encode())
    chosen = choose(parse_sums(listed.read_text()), own.wanted, subjects)
    if not chosen:
        raise UserError(f"{listed} lists no file of {own.title}: delete it, and check EMARGIN_MIRROR")
    missing = [
        Wanted(address(own.url + path), target / path, sha256)
        for path, sha256 in chosen.items()
        if not (target / path).is_file()
    ]
    if missing:
        get(name, own, missing, target, web)


def parse_sums(text: str) -> dict[str, str]:
    """Path to sha256, of lines as sha256sum or PhysioNet write them; refuses paths that lead elsewhere."""
    sums = {}
    for line in text.splitlines():
        match = re.fullmatch(r"([0-9a-f]{64})\s+\*?(\S.*)", line.strip())
        if match is not None:
            path = match[2].removeprefix("./")
            if path.startswith("/") or ".." in Path(path).parts:
                raise UserError(
                    f"a list of checksums names '{path[:80]}', which lies outside its folder: it was refused"
                )
            sums[path] = match[1]
    return sums


def choose(sums: dict[str, str], wanted: str, subjects: int | None) -> dict[str, str]:
    """The files to take, of the first so many subjects; records without a signal are left out."""
    found = {path: match[1] for path in sums if (match := re.fullmatch(wanted, path))}
    whole_ones = {own for path, own in found.items() if path.endswith((".dat", "-PSG.edf"))}
    first = sorted(whole_ones)[:subjects]
    return {path: sums[path] for path, own in sorted(found.items()) if own in first}


def fetch_archive(name: str, own: Home, target: Path, web: "Session") -> None:
    """An archive, unpacked; its sum is recorded the first time and has to hold from then on."""
    if target.is_dir() and any(target.iterdir()):
        return
    url, zipped = address(own.url), target.with_name(f"{target.name}.zip")
    trusted = cache.folder() / "trusted.json"
    known = json.loads(trusted.read_text()) if trusted.is_file() else {}
    (found,) = get(name, own, [Wanted(url, zipped, known.get(own.url))], target, web)
    try:
        unpack(zipped, target, own.suffixes)
    finally:
        zipped.unlink(missing_ok=True)
    if own.url not in known:
        write_whole(trusted, json.dumps(known | {own.url: found}, indent=1).encode())
        say(f"{name}: no checksum is published; trusting sha256 {found} from now on ({trusted})")


def get(name: str, own: Home, missing: list[Wanted], target: Path, web: "Session") -> list[str]:
    """Say what will come, see that it fits, and fetch it; the sums."""
    known = fetch.sizes(missing, web)
    total = None if None in known else sum(size or 0 for size in known)
    much = "of a size that the server does not state" if total is None else f"{total / 1e6:,.1f} MB"
    say(f"{name}: fetching {len(missing)} files, {much}, of {own.title} into {target}")
    free = shutil.disk_usage(target.parent).free
    if total is not None and total * (2 if own.suffixes else 1) > free:
        raise UserError(
            f"{target} has {free / 1e6:,.0f} MB free, too little for {much}: free space, or give --to"
        )
    with progress_bar(name, total) as advance:
        return fetch.fetch_all(missing, web, advance)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def progress_bar(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yields a function that is told how many bytes came."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total)
        yield lambda n: bar.advance(task, n)
