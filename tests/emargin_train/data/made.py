"""Files made up by tests, in the layouts in which datasets are published."""

import io
import zipfile
from collections.abc import Sequence
from datetime import date, time
from pathlib import Path

import numpy as np

from emargin_train.data import __main__ as program
from emargin_train.errors import exit_on_user_error

FRAMES = "[frames]\nlength_s = 1\nsequence_length = 3\n"
GOOD = (
    '[signal]\nfiles = "{subject}.csv"\nchannels = ["x"]\nrate_hz = 10\n'
    '[labels]\nfrom = "column"\ncolumn = "label"\n' + FRAMES
)


def command(capsys, *argv: object) -> tuple[int, str, str]:
    """Run `python -m emargin_train.data ...` in this process: exit code, standard output, standard error."""
    capsys.readouterr()
    code = 0
    try:
        exit_on_user_error(lambda: program.main([str(a) for a in argv]))
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys, *argv: object) -> str:
    """The one line with which the command ends with exit code 2."""
    code, _, err = command(capsys, *argv)
    assert code == 2, (code, err)
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in err, err
    return lines[0].removeprefix("error: ")


def write_edf(
    path: Path,
    signals: Sequence[tuple[str, np.ndarray, float]],
    annotations: Sequence[tuple[float, float | None, str]] | None = None,
    record_s: float | None = None,
    start: time = time(16, 13, 0),
) -> Path:
    """An EDF(+) file of signals (label, samples, rate) in uV, and annotations (onset, duration, text)."""
    import edfio

    edf = edfio.Edf(
        [
            edfio.EdfSignal(
                values.astype(float), rate, label=label, physical_dimension="uV", physical_range=(-500, 500)
            )
            for label, values, rate in signals
        ],
        annotations=None if annotations is None else [edfio.EdfAnnotation(*a) for a in annotations],
        data_record_duration=record_s,
        recording=edfio.Recording(startdate=date(1989, 4, 24)),
        starttime=start,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    edf.write(path)
    return path


def write_night(folder: Path, name: str, stages: Sequence[tuple[int, str]], rng: np.random.Generator) -> None:
    """One night as Sleep-EDF has it: stages (number of 30 s epochs, text after "Sleep stage")."""
    seconds = 30 * sum(n for n, _ in stages)
    eeg = rng.normal(0, 30, seconds * 100)
    slow = rng.normal(0, 1, seconds)
    write_edf(
        folder / f"{name}E0-PSG.edf",
        [("EEG Fpz-Cz", eeg, 100), ("EEG Pz-Oz", eeg / 2, 100), ("Temp rectal", slow, 1)],
        record_s=30,
    )
    notes, at = [], 0
    for n, stage in stages:
        text = "Movement time" if stage == "M" else f"Sleep stage {stage}"
        notes.append((float(at), 30.0 * n, text))
        at += 30 * n
    write_edf(folder / f"{name}EC-Hypnogram.edf", [], notes)


def write_wfdb(
    folder: Path, name: str, signal: np.ndarray, rhythms: Sequence[tuple[int, str]], rate: int = 250
) -> None:
    """A WFDB record: signal (samples, C) in mV, rhythm notes (sample, text)."""
    import wfdb

    folder.mkdir(parents=True, exist_ok=True)
    leads = [f"ECG{i + 1}" for i in range(signal.shape[1])]
    wfdb.wrsamp(
        name, fs=rate, units=["mV"] * len(leads), sig_name=leads, p_signal=signal,
        fmt=["212"] * len(leads), write_dir=str(folder),
    )  # fmt: skip
    wfdb.wrann(
        name, "atr", np.array([s for s, _ in rhythms]), symbol=["+"] * len(rhythms),
        aux_note=[text for _, text in rhythms], write_dir=str(folder),
    )  # fmt: skip


def write_harth(path: Path, time_s: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> None:
    """One subject's file as HARTH has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stamps = np.datetime64("2019-01-12T00:00:00.000", "ms") + np.round(time_s * 1000).astype(
        "timedelta64[ms]"
    )
    values = rng.normal(0, 0.1, (len(time_s), 6)) + [-1, 0, 0, -1, 0, 0]
    with path.open("w") as file:
        file.write("timestamp,back_x,back_y,back_z,thigh_x,thigh_y,thigh_z,label\n")
        for stamp, row, label in zip(stamps, values, labels, strict=True):
            cells = ",".join(f"{v:.6f}" for v in row)
            file.write(f"{str(stamp).replace('T', ' ')},{cells},{label}\n")


def csv(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")


def zipped(files, **how) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, **how) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return file.getvalue()


def left(folder) -> list[str]:
    """Every file below, but for locks."""
    if not folder.exists():
        return []
    return sorted(
        p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"
    )
