"""`ecg`: WFDB records with rhythm annotations, as MIT-BIH AFDB and the MIT-BIH Arrhythmia Database have.

A rhythm annotation, such as "(AFIB", holds from its sample until the next one. Classes as in the paper:
AFIB, AFL, J, N; other rhythms stay unlabelled.
"""

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from emargin_train.data import download, wfdb_files
from emargin_train.data.recording import UNLABELLED, Part, Recording, unbroken
from emargin_train.data.settings import DataConfig
from emargin_train.data.versions import READERS
from emargin_train.errors import UserError

CLASS_NAMES = ("AFIB", "AFL", "J", "N")
RHYTHMS = {"AFIB": 0, "AFL": 1, "J": 2, "NOD": 2, "N": 3}  # NOD: nodal, the older name of junctional
CHANNELS = 2  # at most

# Records of one person under two names. mitdb: 201 and 202 (PhysioNet's directory of the database).
SAME_SUBJECT = {"201": "201+202", "202": "201+202"}


def parts(config: DataConfig) -> list[Part]:
    """One part per record of the folder `data_dir`, or of the downloaded AFDB, in order of their names."""
    folder = download.folder("ecg", config)
    headers = sorted(folder.glob("*.hea"))
    if not headers:
        raise UserError(
            f"data folder '{folder}' holds no WFDB record (*.hea): give the folder with the records"
        )
    leads = {header: leads_of(header) for header in headers if not is_layout(header)}
    leads = {header: names for header, names in leads.items() if names}  # AFDB: two without signals
    if not leads:
        raise UserError(f"no record in '{folder}' has signals: give the folder with the .dat files too")
    chosen, names = agreed(leads)
    return [
        Part(
            partial(read, header, places, names),
            files=(header, *signal_files(header), header.with_suffix(".atr")),
            settings=f"ecg {READERS['ecg']} {places} {names}",
        )
        for header, places in chosen.items()
    ]


def is_layout(header: Path) -> bool:
    """Whether it only lays out the segments of another record."""
    return header.stem.endswith("_layout")


def leads_of(header: Path) -> tuple[str, ...]:
    """The record's lead names; none for a record of annotations alone."""
    record = wfdb_files.open_header(header)
    names = record.sig_name or ()
    if len(record.file_name or ()) != (record.n_sig or 0):
        raise UserError(
            f"{header} states {record.n_sig} signals but describes {len(names)}: get the file again"
        )
    if len(names) > CHANNELS:
        raise UserError(
            f"{header} states {record.n_sig} signals, but 'ecg' reads one or two: describe such records by a "
            "TOML file"
        )
    return tuple(names)


def agreed(leads: dict[Path, tuple[str, ...]]) -> tuple[dict[Path, tuple[int, ...]], tuple[str, ...]]:
    """Which lead of each record comes first, and what they are called.

    Where all records have the same leads, they keep their names. Otherwise the lead that most records have
    first comes first in all that have it (mitdb's 114 has its two the other way round), and leads are called
    by their number, since the second one is not the same in all.
    """
    order = {header: tuple(range(1, len(names) + 1)) for header, names in leads.items()}
    if len(set(leads.values())) == 1:
        return order, next(iter(leads.values()))
    first = Counter(names[0] for names in leads.values()).most_common(1)[0][0]
    for header, names in leads.items():
        if first in names:
            order[header] = tuple(sorted(order[header], key=lambda i: names[i - 1] != first))
    n = max(map(len, leads.values()))
    return order, tuple(f"lead {i}" for i in range(1, n + 1))


def signal_files(header: Path) -> tuple[Path, ...]:
    """The files that hold the record's signals."""
    names = wfdb_files.open_header(header).file_name or ()
    return tuple(header.parent / name for name in dict.fromkeys(names))


def read(header: Path, places: tuple[int, ...], names: tuple[str, ...]) -> list[Recording]:
    """The record's unbroken stretches, in the header's units."""
    signal, rate_hz, _, units, source = wfdb_files.channels(header, places)
    labels = rhythm_labels(header, signal.shape[1], rate_hz)
    return [
        Recording(
            np.ascontiguousarray(signal[:, first:end]),
            rate_hz,
            labels[first:end],
            CLASS_NAMES,
            subject=SAME_SUBJECT.get(header.stem, header.stem),
            record=header.stem,
            channels=names[: len(signal)],
            units=tuple(units),
            start=first,
            source=source,
        )
        for first, end in unbroken(signal)
    ]


def rhythm_labels(header: Path, samples: int, rate_hz: float) -> np.ndarray:
    """(samples,) int16 from the .atr file beside the header; before the first rhythm: unlabelled."""
    labels = np.full(samples, UNLABELLED, np.int16)
    for note in wfdb_files.notes(header, "atr"):
        if note.text.startswith("("):
            labels[max(0, round(note.start_s * rate_hz)) :] = RHYTHMS.get(note.text[1:], UNLABELLED)
    return labels
