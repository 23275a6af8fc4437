"""All recordings at hand, sample by sample, against readers that share no code with ours."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.signal
from scipy.interpolate import CubicSpline

from emargin_train.config import DataConfig
from emargin_train.data import catalogue, edf_files, table_load, table_paths, ucr, wfdb_files
from emargin_train.data.table_spec import load_spec

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[3] / "examples"


def of_example(name, data):
    """First file and recordings of each part, as training gets them."""
    toml = str(EXAMPLES / f"{name}.toml")
    parts = catalogue.find(toml).parts(DataConfig(dataset=toml, data_dir=str(data)))
    for part in parts:
        yield part.files[0], list(part.read())


def samples_of(name, data):
    """Every file of every signal of an example, with its samples before resampling."""
    spec = load_spec(EXAMPLES / f"{name}.toml")
    for found in table_paths.find(tuple(signal.files for signal in spec.signals), data):
        for i, path in enumerate(found.paths):
            loaded = table_load.load(spec, i, found, data)
            yield path, [stretch for _, stretches in loaded.runs for stretch in stretches]


def seconds(dates):
    return pd.to_datetime(dates).astype("datetime64[ns]").astype("int64").to_numpy() / 1e9


def below_4_hz(values, rate_hz):
    """(n, C): what no way to 50 Hz may change."""
    return scipy.signal.sosfiltfilt(scipy.signal.butter(4, 4, fs=rate_hz, output="sos"), values, axis=0)


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
        assert sum(r.signal.shape[1] for r in recordings) > 4 * 0.95 * (
            table.t_s.iloc[-1] - table.t_s.iloc[0]
        )
        first = table.t_s.iloc[0]
        for r in recordings:
            grid = first + np.arange(r.signal.shape[1]) / 4
            if r is not recordings[0]:  # after a gap, the clock starts at the first beat
                place = np.searchsorted(table.t_s, first + r.start / 4 - 0.13)
                grid = table.t_s.iloc[place] + np.arange(r.signal.shape[1]) / 4
            np.testing.assert_allclose(r.signal[0], np.interp(grid, table.t_s, table.rr_ms), rtol=1e-4)
            # A thousandth of a period forgives rounding of the time of a note.
            rhythm = table.rhythm.to_numpy()[np.searchsorted(table.t_s, grid + 2.5e-4, side="right") - 1]
            own = np.array(["N", "AFIB", ""])[r.labels]
            assert (own == np.where(np.isin(rhythm, ["N", "AFIB"]), rhythm, "")).all(), path
        if path.stem in ("00", "28"):  # wfdb takes seconds for each
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
    for path, (stretch,) in samples_of("dreams-sleep", shared / "data"):
        np.testing.assert_allclose(stretch.values[0], np.loadtxt(path, skiprows=1), rtol=1e-6, atol=1e-6)
    for path, (recording,) in of_example("dreams-sleep", shared / "data"):
        h = np.loadtxt(folder / f"Hypnogram_{path.name}", skiprows=1).astype(int)
        expected = np.repeat([recording.class_names.index(stage[v]) for v in h], 500)
        n = min(len(expected), len(recording.labels))
        assert (recording.labels[:n] == expected[:n]).all() and (recording.labels[n:] == -1).all()
        x, rate = np.loadtxt(path, skiprows=1), {"excerpt1": 100, "excerpt3": 50}.get(path.stem, 200)
        at_100 = x if rate == 100 else scipy.signal.resample_poly(x, 100, rate, padtype="line")
        n = recording.signal.shape[1]
        np.testing.assert_allclose(recording.signal[0], at_100[:n], atol=1e-3)


def test_ucddb_against_pandas(shared):
    """128 Hz, pieces of 30 s and their multiples; a stage holds over its piece."""
    stages = {"0": "W", "1": "REM", "2": "N1", "3": "N2", "4": "N3", "5": "N3"}
    raw = dict(samples_of("ucddb", shared / "data"))
    for path, recordings in of_example("ucddb", shared / "data"):
        table = pd.read_parquet(path)
        edges = np.flatnonzero(np.diff(table.t_ns) > 1e9) + 1
        pieces = np.split(np.arange(len(table)), edges)
        assert len(pieces) == len(recordings) == len(raw[path])
        stage = table.stage.astype(str).map(stages).to_numpy()
        for rows, stretch, r in zip(pieces, raw[path], recordings, strict=True):
            eeg = table.eeg.to_numpy()[rows]
            np.testing.assert_array_equal(stretch.values[0], eeg.astype(np.float32))
            assert stretch.start_s == pytest.approx(table.t_ns[rows[0]] / 1e9, abs=1e-9)
            expected = scipy.signal.resample_poly(eeg.astype(float), 25, 32, padtype="line")
            np.testing.assert_allclose(r.signal[0], expected[: r.signal.shape[1]], atol=0.02)
            held = stage[rows][(np.arange(len(r.labels)) * 128 // 100)]
            assert (np.array(r.class_names)[r.labels] == held).all() and (r.labels >= 0).all()


def test_selfback_against_pandas(shared):
    """Every sample and its time; and, on the common clock of 50 Hz, all that is slower than 4 Hz."""
    data = shared / "data"
    tables = {}
    for path, (stretch,) in samples_of("selfback", data):
        table = pd.read_csv(path)
        time_s, first = seconds(table["time"]), np.r_[True, np.diff(seconds(table["time"])) > 0]
        xyz = table[["x", "y", "z"]].to_numpy()
        merged = np.stack([np.bincount(first.cumsum() - 1, xyz[:, c]) for c in range(3)])
        merged /= np.bincount(first.cumsum() - 1)
        np.testing.assert_allclose(stretch.values, merged, atol=1e-6)
        np.testing.assert_allclose(stretch.times, time_s[first], atol=0.5 / 97)
        tables[path] = time_s[first], merged.T
    for path, (recording,) in of_example("selfback", data):
        (tt, thigh), (wt, wrist) = tables[path], tables[Path(str(path).replace("thigh34", "wrist34"))]
        start, end = max(tt[0], wt[0]), min(tt[-1], wt[-1])
        n = recording.signal.shape[1]
        assert abs(n / 50 - (end - start)) < 0.05
        assert {recording.class_names[c] for c in recording.labels} == {path.parent.name}
        grid = start + np.arange(n) / 50
        expected = np.concatenate(
            [
                CubicSpline(t, below_4_hz(values, (len(t) - 1) / (t[-1] - t[0])))(grid).T
                for t, values in ((tt, thigh), (wt, wrist))
            ]
        )
        inner = slice(50, -50)
        got = below_4_hz(recording.signal.T.astype(float), 50).T
        error = np.sqrt(((got - expected)[:, inner] ** 2).mean(1))
        assert (error < 0.05 * expected[:, inner].std(1) + 1e-3).all(), (path, error)


def test_geotec_against_pandas(shared):
    """Bursts spread evenly: each label begins at its own sample."""
    for path, (stretch,) in samples_of("geotec", shared / "data"):
        table = pd.read_csv(path)
        np.testing.assert_allclose(stretch.values, table.iloc[:, :6].to_numpy(np.float32).T)
    for path, (recording,) in of_example("geotec", shared / "data"):
        label = pd.read_csv(path)["label"].to_numpy()
        own = np.array(recording.class_names)[recording.labels]
        changes = np.flatnonzero(own[1:] != own[:-1]) + 1
        written = np.flatnonzero(label[1:] != label[:-1]) + 1
        assert len(own) > 45 * len(label) / 105  # the watch may begin later and end earlier
        words = [own[0], *own[changes]]
        assert words == [label[0], *label[written]][: len(words)] and len(words) >= 6
        rate = len(label) / (pd.read_csv(path)["timestamp"].iloc[[0, -1]].diff().iloc[-1] / 1e3)
        late = changes / 50 - written[: len(changes)] / rate
        assert np.abs(late - late[0]).max() < 0.1, "but for when the later sensor begins"


def test_packed_windows_against_torch(shared):
    import torch

    folder = shared / "data" / "sleepeeg" / "tfc-epilepsy-pack"
    parts = catalogue.find("packed").parts(DataConfig(dataset="packed", data_dir=str(folder)))
    for part in parts:
        (recording,) = list(part.read())
        pack = torch.load(folder / f"{recording.record}.pt", weights_only=True)
        np.testing.assert_array_equal(recording.signal[0], pack["samples"].float().numpy().ravel())
        assert (recording.labels == pack["labels"].numpy().repeat(178)).all()


def test_rhythm_labels_of_mitdb_against_a_loop(shared):
    import wfdb

    known = {"(N": "N", "(AFIB": "AFIB", "(AFL": "AFL", "(NOD": "J"}
    for header, (recording,) in of_example("mitdb", shared / "data"):
        notes = wfdb.rdann(str(header.with_suffix("")), "atr")
        expected = np.full(recording.signal.shape[1], -1)
        for sample, text in zip(notes.sample, notes.aux_note, strict=True):
            if text.startswith("("):
                name = known.get(text.rstrip("\x00"))
                expected[sample:] = -1 if name is None else recording.class_names.index(name)
        assert (recording.labels == expected).all(), header
