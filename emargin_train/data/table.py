"""Your own recordings, described by a TOML file: `--dataset my.toml`.

Patterns find the files of each recording, columns become channels on one even clock, labels a track on the
same clock; where both meet, there are Recordings (table_read.py). docs/datasets.md shows every key,
examples/*.toml complete files.
"""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from emargin_train.data import table_labels, wfdb_files
from emargin_train.data.catalogue import Dataset
from emargin_train.data.columns import read_columns
from emargin_train.data.recording import Part
from emargin_train.data.settings import DataConfig
from emargin_train.data.table_paths import Found, existing, find
from emargin_train.data.table_read import load, read, subject_of
from emargin_train.data.table_spec import TableSpec, load_spec
from emargin_train.errors import UserError

MAX_CLASSES = 200


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
    )
    if spec.frame_in_s:
        return Dataset(frame_seconds=spec.frame_length, hop_seconds=spec.frame_hop, **shared)
    length, hop = int(spec.frame_length), int(spec.frame_hop)
    return SampledDataset(frame=length, hop=hop, frame_seconds=0.0, hop_seconds=0.0, **shared)


def parts(spec: TableSpec, config: DataConfig) -> list[Part]:
    """One part per recording; without `data_dir`, patterns start at the TOML file's folder."""
    root = existing(Path(config.data_dir) if config.data_dir is not None else spec.path.parent)
    found = find(tuple(signal.files for signal in spec.signals), root)
    if config.subjects is not None and spec.subject_column is None:
        first = list(dict.fromkeys(subject_of(spec, own) for own in found))[: config.subjects]
        found = [own for own in found if subject_of(spec, own) in first]
    class_names = classes(spec, found, root)
    rate_hz = spec.rate_hz or common_rate(spec, found[0], root)
    digest = hashlib.sha256(spec.path.read_bytes()).hexdigest()[:16]
    settings = f"table 1 {digest} {rate_hz!r} {class_names!r}"
    return [
        Part(
            partial(read, spec, own, root, class_names, rate_hz),
            files=files_of(spec, own, root),
            settings=f"{settings} {own.record} {own.names!r}",
        )
        for own in found
    ]


def classes(spec: TableSpec, found: list[Found], root: Path) -> tuple[str, ...]:
    """The class names: as listed, else as the map has them, else every label written anywhere, sorted."""
    if spec.classes is not None:
        return spec.classes
    if spec.labels.map is not None:
        return tuple(dict.fromkeys(spec.labels.map.values()))
    words: set[str] = set()
    for own in found:
        words |= set(words_of(spec, own, root))
        if len(words) > MAX_CLASSES:
            raise UserError(
                f"{spec.path}: {own.record} brings the labels to over {MAX_CLASSES} different values, "
                f"like '{min(words)}': these are no classes; name another column or give labels.map"
            )
    if not words:
        raise UserError(f"{spec.path}: no recording has a label: check [labels]")
    return tuple(sorted(words))


def words_of(spec: TableSpec, own: Found, root: Path) -> tuple[str, ...]:
    """Every label written for one recording."""
    if spec.labels.source == "name":
        return table_labels.of_name(own).words
    if spec.labels.source == "column":
        assert spec.labels.column is not None
        signal = spec.signals[0]
        _, (words,), _ = read_columns(
            own.paths[0], words=[spec.labels.column], text=signal.text, parquet=signal.format == "parquet"
        )
        return words.words
    return table_labels.from_file(spec.labels, own, root).words


def files_of(spec: TableSpec, own: Found, root: Path) -> tuple[Path, ...]:
    """Every file that a recording is read from."""
    files = list(own.paths)
    for signal, path in zip(spec.signals, own.paths, strict=True):
        if signal.format == "wfdb":
            files += [
                path.parent / name for name in dict.fromkeys(wfdb_files.open_header(path).file_name or [])
            ]
    files += table_labels.files(spec.labels, own, root)
    return tuple(dict.fromkeys(files))


def common_rate(spec: TableSpec, own: Found, root: Path) -> float:
    """The rate of the first recording, which the others have to share."""
    loaded = load(spec, 0, own, root)
    rates = [stretch.rate_hz for _, stretches in loaded.runs for stretch in stretches]
    if not rates:
        raise UserError(f"{own.paths[0]} holds no two samples together: leave it out of the pattern")
    return float(f"{rates[0]:.3g}") if spec.signals[0].time is not None else rates[0]
