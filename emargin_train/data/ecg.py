"""`ecg`: WFDB records with rhythm annotations, as MIT-BIH AFDB and the MIT-BIH Arrhythmia Database have.

A rhythm annotation, such as "(AFIB", holds from its sample until the next one. Classes as in the paper:
AFIB, AFL, J, N; other rhythms stay unlabelled.
"""

from functools import partial
from pathlib import Path

import numpy as np

from emargin_train.data import download, wfdb_files
from emargin_train.data.recording import UNLABELLED, Part, Recording, unbroken
from emargin_train.data.settings import DataConfig
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
    found = []
    for header in headers:
        files = signal_files(header)
        if files:  # AFDB has two records of annotations alone
            found.append(Part(partial(read, header), files=(header, *files, header.with_suffix(".atr"))))
    if not found:
        raise UserError(f"no record in '{folder}' has signals: give the folder with the .dat files too")
    return found


def signal_files(header: Path) -> tuple[Path, ...]:
    """The files that hold the record's signals; none for a record of annotations alone."""
    record = wfdb_files.open_header(header)
    names = record.file_name or ()
    if len(names) != (record.n_sig or 0):
        raise UserError(
            f"{header} tells of {record.n_sig} signals but describes {len(names)}: get the file again"
        )
    if len(names) > CHANNELS:
        raise UserError(
            f"{header} tells of {record.n_sig} signals: 'ecg' reads one or two, describe others by a TOML"
        )
    return tuple(header.parent / name for name in dict.fromkeys(names))


def read(header: Path) -> list[Recording]:
    """The record's unbroken stretches, in the header's units."""
    n_channels = wfdb_files.open_header(header).n_sig
    signal, rate_hz, names, units = wfdb_files.channels(header, range(1, n_channels + 1))
    labels = rhythm_labels(header, signal.shape[1])
    return [
        Recording(
            signal[:, first:end],
            rate_hz,
            labels[first:end],
            CLASS_NAMES,
            subject=SAME_SUBJECT.get(header.stem, header.stem),
            record=header.stem,
            channels=tuple(names),
            units=tuple(units),
            start=first,
        )
        for first, end in unbroken(signal)
    ]


def rhythm_labels(header: Path, samples: int) -> np.ndarray:
    """(samples,) int16 from the .atr file beside the header; before the first rhythm: unlabelled."""
    labels = np.full(samples, UNLABELLED, np.int16)
    for note in wfdb_files.notes(header, "atr"):
        if note.text.startswith("("):
            labels[max(0, note.sample) :] = RHYTHMS.get(note.text[1:], UNLABELLED)
    return labels
