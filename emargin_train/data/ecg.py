"""`ecg`: WFDB records with rhythm annotations, as MIT-BIH AFDB and the MIT-BIH Arrhythmia Database have.

A rhythm annotation, such as "(AFIB", holds from its sample until the next one. Classes as in the paper:
AFIB, AFL, J, N; other rhythms stay unlabelled.
"""

from functools import partial
from pathlib import Path

import numpy as np

from emargin_train.config import DataConfig
from emargin_train.data.recording import UNLABELLED, Part, Recording, unbroken
from emargin_train.errors import UserError

CLASS_NAMES = ("AFIB", "AFL", "J", "N")
RHYTHMS = {"AFIB": 0, "AFL": 1, "J": 2, "NOD": 2, "N": 3}  # NOD: nodal, the older name of junctional

# Records of one person under two names. mitdb: 201 and 202 (PhysioNet's directory of the database).
SAME_SUBJECT = {"201": "201+202", "202": "201+202"}

# What wfdb raises on damaged files (its own HeaderSyntaxError is a ValueError).
WFDB_ERRORS = (
    OSError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)


def parts(config: DataConfig) -> list[Part]:
    """One part per record of the folder `data_dir`, in order of their names."""
    if config.data_dir is None:
        raise UserError("dataset 'ecg' has no data folder: give --data-dir, or use the simulated 'ecg-sim'")
    folder = Path(config.data_dir)
    if not folder.is_dir():
        raise UserError(
            f"data folder '{folder}' does not exist or is no folder: give one with WFDB records (.hea)"
        )
    headers = sorted(folder.glob("*.hea"))
    if not headers:
        raise UserError(
            f"data folder '{folder}' holds no WFDB record (*.hea): give the folder with the records"
        )
    found = []
    for header in headers:
        files = signal_files(header)
        if files:  # AFDB has two records with annotations only
            own = (header, *files, header.with_suffix(".atr"))
            found.append(Part(partial(read, header), files=own))
    if not found:
        raise UserError(f"no record in '{folder}' has signals: give the folder with the .dat files too")
    return found


def signal_files(header: Path) -> tuple[Path, ...]:
    """The files that hold the signals of a record; none for a record of annotations only."""
    import wfdb

    try:
        record = wfdb.rdheader(str(header.with_suffix("")))
        names = record.file_name
        if names is None:
            if getattr(record, "seg_name", None) is not None:
                raise UserError(f"'{header}' is a record of several segments: give single-segment records")
            return ()
        frames, rate = int(record.sig_len or 0), float(record.fs)
    except UserError:
        raise
    except WFDB_ERRORS as error:
        raise UserError(f"header '{header}' is damaged ({error}): get the file again") from None
    files = tuple(header.parent / name for name in dict.fromkeys(names))
    for file in (*files, header.with_suffix(".atr")):
        if file.parent != header.parent or not file.is_file():
            raise UserError(f"'{file}' of record {header.stem} is missing: complete the folder")
    if not 0 < rate < 1e6 or not 0 < frames * len(names) <= 8 * sum(file.stat().st_size for file in files):
        raise UserError(
            f"header '{header}' says {frames} samples of {len(names)} signals at {rate:g} Hz, which its "
            "signal files cannot hold: get the record again"
        )
    return files


def read(header: Path) -> list[Recording]:
    """The record's unbroken stretches; (C, samples) in the header's units."""
    import wfdb

    path = str(header.with_suffix(""))
    try:
        record = wfdb.rdrecord(path, physical=False)
        stored = record.checksum
        computed = record.calc_checksum()
        signal = record.dac(return_res=32).T.astype(np.float32)  # (C, samples), NaN where invalid
    except WFDB_ERRORS as error:
        raise UserError(
            f"record '{path}' cannot be read ({error}): its .dat or .hea is damaged, get it again"
        ) from None
    for name, there, here in zip(record.sig_name, stored, computed, strict=True):
        if there is not None and there % 65536 != here % 65536:
            raise UserError(
                f"signal {name} of '{path}' fails its checksum: the .dat file is damaged, get it again"
            )
    labels = rhythm_labels(header, signal.shape[1])
    subject = SAME_SUBJECT.get(header.stem, header.stem)
    return [
        Recording(
            np.ascontiguousarray(signal[:, first:end]),
            float(record.fs),
            labels[first:end],
            CLASS_NAMES,
            subject,
            header.stem,
            channels=tuple(record.sig_name),
            units=tuple(record.units),
            start=first,
        )
        for first, end in unbroken(signal)
    ]


def rhythm_labels(header: Path, samples: int) -> np.ndarray:
    """(samples,) int16 from the .atr file beside the header; before the first rhythm: unlabelled."""
    import wfdb

    try:
        notes = wfdb.rdann(str(header.with_suffix("")), "atr")
    except WFDB_ERRORS as error:
        raise UserError(
            f"annotations '{header.with_suffix('.atr')}' are damaged ({error}): get the file again"
        ) from None
    labels = np.full(samples, UNLABELLED, np.int16)
    for sample, note in zip(notes.sample, notes.aux_note, strict=True):
        note = note.strip("\x00 ")
        if note.startswith("("):
            labels[max(0, sample) :] = RHYTHMS.get(note[1:], UNLABELLED)
    return labels
