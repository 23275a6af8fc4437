"""All recordings at hand, sample by sample, against readers that share no code with ours."""

import numpy as np
import pandas as pd
import pytest

from emargin_train.config import DataConfig
from emargin_train.data import catalogue, edf_files, ucr, wfdb_files

pytestmark = pytest.mark.slow
EXAMPLES = __import__("pathlib").Path(__file__).parents[3] / "examples"


def of_example(name, data):
    toml = str(EXAMPLES / f"{name}.toml")
    parts = catalogue.find(toml).parts(DataConfig(dataset=toml, data_dir=str(data)))
    for part in parts:
        yield part.files[0], list(part.read())


@pytest.mark.parametrize("folder", ["mitdb", "vfdb"])
def test_wfdb_records_and_notes_against_wfdb(shared, folder):
    import wfdb

    for header in sorted((shared / "data" / "ecg" / folder).glob("*.hea")):
        record = wfdb.rdrecord(str(header.with_suffix("")))
        values, rate_hz, names, units, _ = wfdb_files.channels(header, [1, 2])
        assert (rate_hz, names, units) == (record.fs, record.sig_name, record.units)
        np.testing.assert_allclose(values, record.p_signal.T, rtol=1e-5, atol=1e-5)
        notes = wfdb.rdann(str(header.with_suffix("")), "atr")
        ours = wfdb_files.notes(header, "atr")
        assert [round(n.start_s * record.fs) for n in ours] == notes.sample.tolist()
        assert [n.text for n in ours] == [t.rstrip("\x00").strip() for t in notes.aux_note]


def test_rhythm_labels_of_vfdb_against_a_loop(shared):
    import wfdb

    known = {"N": "N", "NSR": "N", "BI": "N", "SBR": "N", "AFIB": "AFIB", "NOD": "J", "VT": "VT", "VF": "VF"}
    known |= {"VFIB": "VF", "VFL": "VF"}
    for header, (recording,) in of_example("vfdb", shared / "data"):
        notes = wfdb.rdann(str(header.with_suffix("")), "atr")
        expected = np.full(recording.signal.shape[1], -1)
        for sample, text in zip(notes.sample, notes.aux_note, strict=True):
            if text.startswith("("):
                name = known.get(text.rstrip("\x00")[1:])
                expected[sample:] = -1 if name is None else recording.class_names.index(name)
        assert (recording.labels == expected).all(), header


def test_hypnograms_against_edfio(shared):
    import edfio

    for path in sorted((shared / "data" / "sleepeeg" / "sleep-edf-hypnograms").glob("*.edf")):
        edf = edfio.read_edf(path)
        ours, clock = edf_files.notes(path)
        assert [tuple(a) for a in edf.annotations] == [(n.start_s, n.seconds, n.text) for n in ours]
        assert clock.day == edf.startdate
        start = edf.starttime
        assert clock.second == start.hour * 3600 + start.minute * 60 + start.second


def test_hapt_against_pandas(shared):
    for path, (recording,) in of_example("hapt-parquet", shared / "data"):
        table = pd.read_parquet(path)
        np.testing.assert_array_equal(recording.signal, table.iloc[:, :6].to_numpy(np.float32).T)
        words = [recording.class_names[c] if c >= 0 else None for c in recording.labels]
        written = table["activity"].fillna("").tolist()
        assert words == [w or None for w in written], path


def test_ltafdb_intervals_of_both_forms_against_numpy(shared):
    for path, recordings in of_example("ltafdb-rr", shared / "data"):
        table = pd.read_parquet(path)
        for r in recordings[:1]:
            grid = table.t_s.iloc[0] + np.arange(r.signal.shape[1]) / 4
            np.testing.assert_allclose(r.signal[0], np.interp(grid, table.t_s, table.rr_ms), rtol=1e-4)
            rhythm = table.rhythm.to_numpy()[np.searchsorted(table.t_s, grid + 2.5e-4, side="right") - 1]
            own = np.array(["N", "AFIB", ""])[r.labels]
            assert (own == np.where(np.isin(rhythm, ["N", "AFIB"]), rhythm, "")).mean() > 0.9999
        if path.stem in ("00", "28"):
            values, times = wfdb_files.intervals(path.parent / "atr" / f"{path.stem}.hea", "atr")[::-1]
            np.testing.assert_allclose(times, table.t_s, atol=1e-6)
            np.testing.assert_allclose(values[0], table.rr_ms, atol=1e-2)


def test_ucr_sets_against_numpy(shared):
    for folder in sorted((shared / "data" / "ucr").iterdir()):
        for split in ("TRAIN", "TEST"):
            table = np.loadtxt(folder / f"{folder.name}_{split}.tsv", delimiter="\t")
            series, labels, _ = ucr.parse(folder / f"{folder.name}_{split}.tsv")
            np.testing.assert_allclose(np.concatenate(series), table[:, 1:], rtol=1e-6, atol=1e-6)
            assert [float(label) for label in labels] == table[:, 0].tolist()


def test_dreams_against_numpy(shared):
    folder = shared / "data" / "sleepeeg" / "dreams-spindles"
    stage = {5: "W", 4: "REM", 3: "N1", 2: "N2", 1: "N3", 0: "N3"}
    for path, (recording,) in of_example("dreams-sleep", shared / "data"):
        x = np.loadtxt(path, skiprows=1)
        h = np.loadtxt(folder / f"Hypnogram_{path.name}", skiprows=1).astype(int)
        expected = np.repeat([recording.class_names.index(stage[v]) for v in h], 500)
        n = min(len(expected), len(recording.labels))
        assert (recording.labels[:n] == expected[:n]).all() and (recording.labels[n:] == -1).all()
        if path.stem == "excerpt1":
            np.testing.assert_allclose(recording.signal[0], x, rtol=1e-6)
