"""Read one file as recordings for an encoder, without a description: flags give what it does not state."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emargin_train.data import columns, edf_files, edf_stream, mat_files, table, table_read, wfdb_files
from emargin_train.data.files import reading
from emargin_train.data.recording import UNLABELLED, Recording
from emargin_train.data.signal_spec import SignalSpec
from emargin_train.data.stream import Stream, in_blocks, runs
from emargin_train.data.table_load import other_unit
from emargin_train.data.table_paths import Found
from emargin_train.data.table_spec import SUFFIX_FORMATS, parse_spec
from emargin_train.data.text_tables import TextFormat
from emargin_train.errors import UserError, nearest

STATES_ALL = ("edf", "wfdb")  # formats that state their rate and units
ENDINGS = ", ".join(SUFFIX_FORMATS)
CLOCKS = ("date", "s", "ms", "us", "ns")
NO_UNIT = "none"
RATE_FACTOR = 100  # between the rates of two recordings of one kind
AS_TOML = "describe the file in a TOML file (docs/own_data.md)"


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """What the user says about a file, since the file does not state it.

    channels: those that are the encoder's channels, in its order: names, or positions counted from 1;
        None = they have the encoder's names
    units: one for all channels, or one for each; "none" = a unit that the training did not state either
    rate_hz: samples per second; time, time_unit: a table's column of time stamps, and what it counts
    variable: of a MATLAB file, the matrix whose rows or columns are the channels
    """

    channels: tuple[str, ...] | None = None
    units: tuple[str, ...] | None = None
    rate_hz: float | None = None
    time: str | None = None
    time_unit: str | None = None
    variable: str | None = None

    def __post_init__(self) -> None:
        """Raises UserError for a rate that is none. In Python, a text is read as the flag reads it."""
        for name in ("channels", "units"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, tuple(getattr(self, name).split(",")))
        if self.rate_hz is not None and not 0 < self.rate_hz < float("inf"):
            raise UserError(
                f"--rate-hz is {self.rate_hz:g}, but it counts samples a second: give more than 0"
            )

    def given(self) -> list[str]:
        """The flags that are given."""
        return [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value is not None]


@dataclass(frozen=True)
class SignalFile:
    """The recordings of a file: one for each stretch without missing samples, in pieces.

    seconds: of the whole file; None = not known before its end
    """

    stretches: Iterator[Iterator[Recording]]
    seconds: float | None


def is_file(source: str) -> bool:
    """Whether a source is a single file, by its ending."""
    return Path(source).suffix.lower() in SUFFIX_FORMATS


def open_file(path: Path, options: FileOptions, spec: SignalSpec) -> SignalFile:
    """The file, whose channels are called as `spec` calls them. Raises UserError naming a flag."""
    if not is_file(str(path)):
        raise UserError(f"{path} is not a file of recordings: give one that ends in {ENDINGS}")
    kind = SUFFIX_FORMATS[path.suffix.lower()]
    if not path.is_file():
        raise UserError(f"{path} does not exist: give a file, a .toml file or the name of a dataset")
    if kind != "mat" and options.variable is not None:
        raise UserError(f"--variable is given, but {path} is no MATLAB file: leave it out")
    chosen = _channels(path, kind, options, spec)
    if options.time is not None:
        return _stamped(path, kind, chosen, options.time, options, spec)
    if options.time_unit is not None:
        raise UserError("--time-unit is given without --time: name the column of time stamps too")
    stream = _stream(path, kind, chosen, options)
    rate_hz = _rate(path, stream, options)
    units = _units(path, stream.units, options, spec)
    seconds = None if stream.n_samples is None else stream.n_samples / rate_hz
    return SignalFile(_stretches(path, stream, rate_hz, units, spec), seconds)


def _stretches(
    path: Path, stream: Stream, rate_hz: float, units: tuple[str, ...], spec: SignalSpec
) -> Iterator[Iterator[Recording]]:
    for _, run in itertools.groupby(runs(stream.blocks), key=lambda numbered: numbered[0]):
        yield (
            Recording(
                np.ascontiguousarray(values),
                rate_hz,
                np.full(values.shape[1], UNLABELLED, np.int16),
                (),
                path.stem,
                path.stem,
                spec.channels,
                units,
                start=first,
            )
            for _, (first, values) in run
        )


def _stamped(
    path: Path, kind: str, chosen: list[str | int], time: str, options: FileOptions, spec: SignalSpec
) -> SignalFile:
    """A table with time stamps, which is read whole, as one that a TOML file describes."""
    if kind in STATES_ALL:
        raise UserError(f"--time is given, but {path} states when its samples were taken: leave it out")
    if options.time_unit is None:
        raise UserError(
            f"--time is {time}, but not what it counts: give --time-unit, one of {', '.join(CLOCKS)}"
        )
    if options.time_unit not in CLOCKS:
        raise UserError(f"--time-unit is '{options.time_unit}': {nearest(options.time_unit, CLOCKS)}")
    signal: dict[str, Any] = {
        "files": f"*{path.suffix}",
        "format": kind,
        "channels": chosen,
        "names": list(spec.channels),
        "units": list(_units(path, ("",) * len(chosen), options, spec)),
        "time": int(time) if time.isdecimal() else time,
        "time_unit": options.time_unit,
    }
    if options.rate_hz is not None:
        signal["rate_hz"] = options.rate_hz
    if options.variable is not None:
        signal["variable"] = options.variable
    frames = {"length": spec.frame, "hop": min(spec.hop, spec.frame), "sequence_length": 3}
    described = parse_spec({"signal": signal, "frames": frames}, path)
    own, root = Found({}, (path,)), path.parent
    rate_hz = options.rate_hz or table.common_rate(described, own, root)
    _check_clock(path, rate_hz, options, spec)
    found = list(table_read.read(described, own, root, (), rate_hz))
    return SignalFile((iter((one,)) for one in found), sum(one.seconds for one in found))


def _check_clock(path: Path, rate_hz: float, options: FileOptions, spec: SignalSpec) -> None:
    """Refuse time stamps whose rate is far from the encoder's, as those that count another unit."""
    if options.rate_hz is None and not 1 / RATE_FACTOR < rate_hz / spec.rate_hz < RATE_FACTOR:
        raise UserError(
            f"{path} has {rate_hz:g} samples a second if its time stamps count {options.time_unit}, but the "
            f"encoder learned from {spec.rate_hz:g}: check --time-unit"
            f"{other_unit(rate_hz, options.time_unit)}; if it is right, give --rate-hz too"
        )


def _stream(path: Path, kind: str, chosen: list[str | int], options: FileOptions) -> Stream:
    if kind == "edf":
        return edf_stream.stream(path, chosen)
    if kind == "wfdb":
        return wfdb_files.stream(path, chosen)
    no_units = ("",) * len(chosen)
    if kind == "mat":
        values, _, _ = columns.read_columns(path, chosen, kind=kind, variable=options.variable)
        return Stream(no_units, None, values.shape[1], in_blocks(values))
    return Stream(no_units, None, None, columns.stream(path, chosen, kind=kind, text=_text(path)))


def _text(path: Path) -> TextFormat:
    return TextFormat(delimiter="\t" if path.suffix.lower() == ".tsv" else ",")


def _names(path: Path, kind: str, options: FileOptions) -> list[str] | None:
    """The names of the file's channels; None where they are not known without reading values."""
    if kind == "edf":
        return edf_files.names(path)
    if kind == "wfdb":
        return list(wfdb_files.open_header(path, streamed=True).sig_name or [])
    if kind == "mat":
        with reading(path, "MATLAB"):
            return None if options.variable is not None else mat_files.names(path)
    names = columns.names_of(path, kind=kind, text=_text(path))
    if kind == "csv":
        _check_head(path, names)
    return names


def _check_head(path: Path, names: list[str]) -> None:
    """Refuse a first line that holds values, or names set apart by something else."""
    if all(columns.NUMBER.fullmatch(name) for name in names):
        raise UserError(
            f"{path} begins with numbers ({', '.join(names)[:40]}), not with names: write a line of names, "
            f"or {AS_TOML} with header = false"
        )
    if len(names) == 1 and any(mark in names[0] for mark in "\t;|"):
        raise UserError(
            f"{path} has only one column, '{names[0][:40]}': if its cells are not separated by "
            f"{'tabs' if path.suffix.lower() == '.tsv' else 'commas'}, {AS_TOML} with a delimiter"
        )


def _channels(path: Path, kind: str, options: FileOptions, spec: SignalSpec) -> list[str | int]:
    """The file's channels that are the encoder's, in its order. Raises UserError naming --channels."""
    known = _names(path, kind, options)
    has = f"which has {', '.join(known[:40])}" if known else "whose channels have no names"
    wanted = ", ".join(spec.channels)
    if options.channels is None:
        missing = [name for name in spec.channels if name not in (known or ())]
        if missing:
            raise UserError(
                f"the encoder needs the channel{'s' if len(spec.channels) > 1 else ''} {wanted}, but {path}, "
                f"{has}, has no '{missing[0]}': say by --channels which these are"
            )
        return list(spec.channels)
    if len(options.channels) != len(spec.channels):
        raise UserError(
            f"--channels names {len(options.channels)} ({', '.join(options.channels)}), but the encoder has "
            f"{len(spec.channels)} ({wanted}): give that many, in this order"
        )
    return [_channel(path, one, known) for one in options.channels]


def _channel(path: Path, text: str, known: list[str] | None) -> str | int:
    """A name, or a position; digits that are a name too are refused unless both are the same channel."""
    if not text.isdecimal() or int(text) == 0:
        return text
    if known is not None and text in known and known.index(text) != int(text) - 1:
        raise UserError(
            f"--channels has {text}, which is the name of one channel of {path} and the position of another: "
            f"{AS_TOML}, where names are in quotes"
        )
    return int(text)


def _rate(path: Path, stream: Stream, options: FileOptions) -> float:
    given = options.rate_hz
    if stream.rate_hz is None and given is None:
        raise UserError(f"{path} does not state its rate: give --rate-hz, or --time and --time-unit")
    if stream.rate_hz is None or given is None:
        return float(given if stream.rate_hz is None else stream.rate_hz)  # type: ignore[arg-type]
    if abs(given / stream.rate_hz - 1) > 1e-3:
        raise UserError(
            f"--rate-hz is {given:g}, but {path} states {stream.rate_hz:g}: leave the flag out; where the "
            f"file is wrong, {AS_TOML} with rate_hz"
        )
    return stream.rate_hz


def _units(path: Path, stated: tuple[str, ...], options: FileOptions, spec: SignalSpec) -> tuple[str, ...]:
    """The unit of each channel: as the file states it, else as given."""
    given = options.units
    if given is not None and len(given) not in (1, len(stated)):
        raise UserError(
            f"--units names {len(given)}, but the channels are {', '.join(spec.channels)}: give one unit, or "
            "one for each"
        )
    wanted = given if given is None or len(given) > 1 else given * len(stated)
    out = []
    for i, own in enumerate(stated):
        unit = own if wanted is None else "" if wanted[i] == NO_UNIT else wanted[i]
        if own and unit not in ("", own):
            raise UserError(
                f"--units has '{unit}', but {path} states '{own}' for that channel: leave it out; where "
                f"the file is wrong, {AS_TOML} with units"
            )
        if not unit and wanted is not None and spec.units[i]:
            raise UserError(
                f"--units is {NO_UNIT}, but the encoder learned from '{spec.units[i]}': give the unit of "
                f"{path}"
            )
        if not unit and spec.units[i]:
            raise UserError(
                f"{path} does not state the unit of channel {i + 1}, and the encoder learned from "
                f"'{spec.units[i]}': give --units"
            )
        if unit and not spec.units[i]:
            raise UserError(
                f"channel {i + 1} of {path} is in '{unit}', but the encoder's training data state no "
                f"unit: give --units {NO_UNIT} if they are the same"
            )
        out.append(unit)
    return tuple(out)
