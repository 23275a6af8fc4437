"""`ucr:<name>`: sets of the UCR/UEA time series classification archive, as `.ts` (read with aeon) or `.tsv`.

A series is a subject and a recording of its own, with its label on every frame; the archive's TRAIN and
TEST are the training and test split (validation is drawn from TRAIN). The unit of time is one series, the
shortest where they differ: a frame is an eighth of it (rounded down, 8 samples at least), the hop half a
frame, so that a series makes 15 frames. Longer series make further sequences.
"""

import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from emargin_train.data import cache, download
from emargin_train.data.columns import read_columns
from emargin_train.data.dataset import Dataset
from emargin_train.data.files import bounded, reading, writing
from emargin_train.data.recording import Part, Recording, unbroken
from emargin_train.data.settings import DataConfig
from emargin_train.data.text_tables import TextFormat, read_head
from emargin_train.data.ucr_bundled import SPLITS, bundled, files_of
from emargin_train.data.versions import READERS
from emargin_train.errors import UserError
from emargin_train.files import write_whole

FRAMES = 15
SHORTEST_FRAME = 8  # samples


@dataclass(frozen=True)
class Archived(Dataset):
    """A set of the archive; its rate is the number of samples of a series."""

    def frame_and_hop(self, rate_hz: float) -> tuple[int, int]:
        frame = max(SHORTEST_FRAME, int(rate_hz) // 8)
        return frame, frame // 2


def dataset(name: str) -> Dataset:
    """The set `ucr:<name>`; UserError if the archive cannot have such a name."""
    own = name.removeprefix("ucr:")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", own):
        raise UserError(
            f"dataset is '{name}', but names of the archive are letters and digits, like ucr:ACSF1"
        )
    return Archived(
        name=name,
        title=f"{own}, of the UCR/UEA archive",
        parts=partial(parts, own),
        frame_seconds=1 / 8,
        hop_seconds=1 / 16,
        sequence_length=FRAMES,
        twin="sleepeeg-sim",
    )


def parts(name: str, config: DataConfig) -> list[Part]:
    """Two parts, training and test."""
    converted = convert(name, source(name, config))
    return [
        Part(partial(read, converted, split), (converted,), f"ucr {READERS['ucr']} {name} {split}", split)
        for split in SPLITS
    ]


def source(name: str, config: DataConfig) -> list[Path]:
    """The set's training and test file: given, one that comes with aeon, or downloaded."""
    if config.data_dir is not None:
        folder = Path(config.data_dir)
        found = files_of(folder, name)
        if not found:
            raise UserError(
                f"{folder} holds no {name}/{name}_TRAIN.ts and _TEST.ts, nor .tsv: give the folder above it"
            )
        return found
    return files_of(bundled(), name) or files_of(download.ensure(f"ucr:{name}").parent, name)


def convert(name: str, files: list[Path]) -> Path:
    """The set as one .npz in the cache, so that aeon, slow to import, parses it once."""
    digest = hashlib.sha256(f"ucr {READERS['ucr']}".encode())
    for file in files:
        with reading(file, "a set of the archive"):
            bounded(file, file.stat().st_size // 2)
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    target = cache.folder() / "ucr" / f"{name}-{digest.hexdigest()[:16]}.npz"
    if target.is_file():
        return target
    arrays: dict[str, np.ndarray] = {}
    known: list[str] = []
    for split, path in zip(SPLITS, files, strict=True):
        series, labels, classes = parse(path)
        arrays[f"{split}_length"] = np.array([s.shape[1] for s in series])
        arrays[f"{split}_values"] = np.concatenate(series, axis=1)
        arrays[f"{split}_label"] = np.array(labels, str)
        known = list(dict.fromkeys([*known, *classes]))
    arrays["classes"] = np.array(known, str)
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    with writing(target.parent, "free space there, or set EMARGIN_CACHE to another folder"):
        write_whole(target, content.getvalue())
    return target


def parse(file: Path) -> tuple[list[np.ndarray], list[str], list[str]]:
    """Series, each (C, samples) float32, their labels, and the class names in the file's order."""
    if file.suffix == ".tsv":
        return parse_tsv(file)
    with reading(file, "a set of the archive"):
        from aeon.datasets import load_from_ts_file

        values, labels, about = load_from_ts_file(str(file), return_meta_data=True)
        series = [np.asarray(s, np.float32) for s in values]
        if not about["classlabel"] or not series:
            raise UserError(f"{file} holds no series with classes: take a set for classification")
        if {s.ndim for s in series} != {2} or len({len(s) for s in series}) > 1:
            raise UserError(f"{file} holds series of different channels: take another set")
        return series, [str(label) for label in labels], [str(c) for c in about["class_values"]]


def parse_tsv(file: Path) -> tuple[list[np.ndarray], list[str], list[str]]:
    """As the archive publishes its sets: a series a line, its label first, NaN behind shorter ones."""
    text = TextFormat(delimiter="\t", header=False)
    with reading(file, "a set of the archive"):
        n = len(names_of_first_line(file, text))
        values, (labels,), _ = read_columns(file, list(range(2, n + 1)), [1], text=text)
        if n < 2 or (labels.codes < 0).any():
            raise UserError(f"{file} has lines without a label or without values: get the file again")
        series = []
        for row in values.T:
            present = np.flatnonzero(~np.isnan(row))
            series.append(row[None, : int(present[-1]) + 1 if len(present) else 0])
    series_labels = [labels.words[code] for code in labels.codes.tolist()]
    return series, series_labels, sorted(labels.words, key=natural)


def names_of_first_line(file: Path, text: TextFormat) -> list[str]:
    return read_head(file, text).names


def natural(word: str) -> tuple[int, str]:
    """Sorts 2 before 10, and words among each other."""
    return (int(word), "") if re.fullmatch(r"-?\d{1,9}", word) else (0, word)


def read(file: Path, split: str) -> Iterator[Recording]:
    """The series of one split."""
    with reading(file, "a converted set (delete it to convert it again)"), np.load(file) as arrays:
        lengths, values = arrays[f"{split}_length"], arrays[f"{split}_values"]
        labels, names = arrays[f"{split}_label"].tolist(), tuple(arrays["classes"].tolist())
        shortest = max(1, int(min(arrays[f"{s}_length"].min() for s in SPLITS)))
    ends = np.cumsum(lengths)
    for number, (end, length) in enumerate(zip(ends.tolist(), lengths.tolist(), strict=True)):
        series = values[:, end - length : end]
        code = names.index(labels[number]) if labels[number] in names else -1
        own = f"{split}-{number:05}"
        for i, j in unbroken(series):
            yield Recording(
                np.ascontiguousarray(series[:, i:j]),
                float(shortest),
                np.full(j - i, code, np.int16),
                names,
                own,
                own,
                tuple(f"dimension {c + 1}" for c in range(len(series))),
                ("",) * len(series),
                start=i,
            )
