"""Your own recordings, described by a TOML file: `--dataset my.toml`.

Patterns find the files of each recording. Columns become channels on one even clock, labels become a track on
the same clock, and where both meet there are Recordings (table_read.py). docs/own_data.md shows every key,
examples/*.toml complete files.
"""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from emargin_train.data import table_labels, table_words, wfdb_files
from emargin_train.data.dataset import Dataset
from emargin_train.data.recording import Part
from emargin_train.data.settings import DataConfig
from emargin_train.data.table_load import load
from emargin_train.data.table_paths import Found, existing, find
from emargin_train.data.table_read import read, subject_of
from emargin_train.data.table_spec import TableSpec, load_spec
from emargin_train.data.versions import READERS
from emargin_train.errors import UserError


@dataclass(frozen=True)
class SampledDataset(Dataset):
    """A dataset whose frames are given in samples."""

    frame: int
    hop: int

    def frame_and_hop(self, rate_hz: float) -> tuple[int, int]:
        return self.frame, self.hop


def dataset(name: str) -> Dataset:
    """The dataset that the TOML file `name` describes."""
    path = Path(name)
    spec = load_spec(path)
    shared: dict[str, Any] = dict(
        name=path.stem,
        title=spec.title,
        parts=lambda config: parts(spec, config),
        sequence_length=spec.sequence_length,
        normalise=spec.normalise,
        class_names=spec.classes,
        labelled=spec.labels.source != "none",
    )
    if spec.frame_in_s:
        return Dataset(frame_seconds=spec.frame_length, hop_seconds=spec.frame_hop, **shared)
    length, hop = int(spec.frame_length), int(spec.frame_hop)
    return SampledDataset(frame=length, hop=hop, frame_seconds=0.0, hop_seconds=0.0, **shared)


def parts(spec: TableSpec, config: DataConfig) -> list[Part]:
    """One part per recording; without `data_dir`, patterns start at the TOML file's folder."""
    root = existing(Path(config.data_dir) if config.data_dir is not None else spec.path.parent)
    found = find(tuple(signal.files for signal in spec.signals), root)
    chosen = found
    if config.subjects is not None and spec.subject_column is None:
        first = list(dict.fromkeys(subject_of(spec, own) for own in found))[: config.subjects]
        chosen = [own for own in found if subject_of(spec, own) in first]
    written = table_words.written(spec, chosen, root)
    class_names = table_words.classes(spec, written, whole=config.subjects is None)
    table_words.check_same(spec, written.subjects or [subject_of(spec, own, merge=False) for own in found])
    rate_hz = spec.rate_hz or common_rate(spec, found[0], root)
    digest = hashlib.sha256(spec.path.read_bytes()).hexdigest()[:16]
    settings = f"table {READERS['table']} {digest} {rate_hz!r} {class_names!r}"
    return [
        Part(
            partial(read, spec, own, root, class_names, rate_hz),
            files=files_of(spec, own, root),
            settings=f"{settings} {own.record} {own.names!r}",
        )
        for own in chosen
    ]


def files_of(spec: TableSpec, own: Found, root: Path) -> tuple[Path, ...]:
    """Every file that a recording is read from."""
    files = list(own.paths)
    for signal, path in zip(spec.signals, own.paths, strict=True):
        if signal.format == "wfdb":
            files += [
                path.parent / name for name in dict.fromkeys(wfdb_files.open_header(path).file_name or [])
            ]
        elif signal.format == "wfdb-rr":
            files.append(path.with_suffix(f".{signal.annotator}"))
    files += table_labels.files(spec.labels, own, root)
    return tuple(dict.fromkeys(files))


def common_rate(spec: TableSpec, own: Found, root: Path) -> float:
    """The rate of the first recording, which the others have to share."""
    loaded = load(spec, 0, own, root)
    rates = [stretch.rate_hz for _, stretches in loaded.runs for stretch in stretches]
    if not rates:
        raise UserError(f"{own.paths[0]} has no two samples in a row: leave it out of the pattern")
    return float(f"{rates[0]:.3g}") if spec.signals[0].time is not None else rates[0]
