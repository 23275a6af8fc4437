"""EDF, EDF+, BDF and BDF+ files, read block by block."""

import io
import itertools
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emargin_train.data import edf_files
from emargin_train.data.files import reading
from emargin_train.data.stream import BLOCK_VALUES, Block, Stream
from emargin_train.errors import UserError


def stream(path: Path, wanted: Sequence[str | int]) -> Stream:
    """The channels (labels, or positions counted from 1), read block by block: the values of `channels`."""
    with reading(path, "EDF"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = edf_files.read_header(path, streamed=True)
        head = _first_record(path, header)
        labels = list(head.labels)
        places = [edf_files.position(channel, labels, path) for channel in wanted]
        signals = [head.signals[place] for place in places]
        for signal in signals:
            edf_files.check_scale(path, signal)
        rates = {float(s.sampling_frequency) for s in signals}
        if len(rates) > 1:
            raise UserError(
                f"{path} has {', '.join(map(str, wanted))} at {sorted(rates)} Hz: describe it in a TOML file "
                "with one [[signal]] for each rate"
            )
        ordinary = [i for i in range(len(header.labels)) if i not in header.annotation_channels]
        own = [ordinary[place] for place in places]
        starts = None
        if header.interrupted:
            starts = edf_files.starts_of_records(path, header, rates.copy().pop(), header.samples[own[0]])
    return Stream(
        tuple(str(s.physical_dimension) for s in signals),
        rates.pop(),
        header.samples[own[0]] * header.n_records,
        _blocks(path, header, own, signals, starts),
    )


def _first_record(path: Path, header: edf_files.Header) -> Any:
    """The file as edfio has it, cut after its first data record: edfio would read the whole of a BDF file."""
    import edfio

    with path.open("rb") as file:
        start = io.BytesIO(file.read(header.head_bytes + header.record_bytes))
    read = edfio.read_bdf if header.kind == "BDF" else edfio.read_edf
    return read(start, header_encoding="latin-1")


def _blocks(
    path: Path, header: edf_files.Header, own: list[int], signals: list[Any], starts: np.ndarray | None
) -> Iterator[Block]:
    """starts: the first sample of each data record; None = one after another"""
    edges = [0, *itertools.accumulate(header.width * n for n in header.samples)]
    size = header.samples[own[0]]
    starts = np.arange(header.n_records) * size if starts is None else starts
    at_once = max(1, BLOCK_VALUES // max(1, header.record_bytes // header.width))
    with reading(path, "EDF"), path.open("rb") as file:
        file.seek(header.head_bytes)
        for first in range(0, header.n_records, at_once):
            n = min(at_once, header.n_records - first)
            raw = np.frombuffer(file.read(n * header.record_bytes), np.uint8).reshape(n, header.record_bytes)
            values = np.stack(
                [
                    edf_files.in_units(signal, _integers(raw[:, edges[i] : edges[i + 1]], header.width))
                    for i, signal in zip(own, signals, strict=True)
                ]
            )
            breaks = np.flatnonzero(np.diff(starts[first : first + n]) != size) + 1
            for a, b in itertools.pairwise([0, *breaks.tolist(), n]):
                yield int(starts[first + a]), values[:, a * size : b * size]


def _integers(raw: np.ndarray, width: int) -> np.ndarray:
    """(n,) signed integers of `width` bytes, the lowest first, out of rows of bytes."""
    raw = np.ascontiguousarray(raw).reshape(-1, width)
    if width == 2:
        return raw.view("<i2").ravel()
    wide = np.zeros((len(raw), 4), np.uint8)
    wide[:, 1:] = raw
    return wide.view("<i4").ravel() >> 8
