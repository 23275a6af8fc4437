"""When to raise a version: a step that returns other numbers for the same input needs a new one.

If this fails after a change on purpose, raise the step's version in `emargin_train/data/versions.py` (a
simulator's own `VERSION`) and write the new fingerprint beside it here. If it fails otherwise, the change
broke something.
"""

import numpy as np
import pytest

from emargin_train.config import DataConfig
from emargin_train.data import cache, catalogue, load, versions
from tests.emargin_train.data.fakes import noisy_recording, register
from tests.emargin_train.data.made import FRAMES, csv, write_harth, write_night, write_wfdb
from tests.emargin_train.data.test_table import read


def fingerprint(signal, labels):
    """Three numbers that other values, another order or other labels change."""
    signal, labels = np.asarray(signal, float), np.asarray(labels, float)
    wave = np.cos(np.arange(signal.size) / 7).reshape(signal.shape)
    places = (np.arange(labels.size) % 11).reshape(labels.shape)
    return [float(np.abs(signal).mean()), float((signal * wave).mean()), float((labels * places).mean())]


def of_reader(name, folder):
    return fingerprint(*_series(catalogue.find(name).parts(DataConfig(dataset=name, data_dir=str(folder)))))


def of_table(tmp_path):
    t = np.arange(3000) / 70
    csv(tmp_path / "a.csv", "t,x,label", [(f"{v:.4f}", f"{np.sin(v):.4f}", int(v) % 3) for v in t])
    toml = 'rate_hz = 50\n[signal]\nfiles = "a.csv"\nchannels = ["x"]\ntime = "t"\ntime_unit = "s"\n'
    (r,) = read(tmp_path, toml + '[labels]\nfrom = "column"\ncolumn = "label"\n' + FRAMES)
    return fingerprint(r.signal, r.labels)


def made(step, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    if step == "sleepeeg":
        write_night(tmp_path, "SC4001", [(2, "W"), (2, "2"), (2, "W")], rng)
        return of_reader("sleepeeg", tmp_path)
    if step == "harth":
        write_harth(tmp_path / "S006.csv", np.arange(1000) / 50, np.arange(1000) // 300 + 1, rng)
        return of_reader("harth", tmp_path)
    if step == "ecg":
        write_wfdb(tmp_path, "a1", rng.normal(0, 0.2, (2500, 2)), [(0, "(N"), (1250, "(AFIB")])
        return of_reader("ecg", tmp_path)
    if step == "ucr":
        return fingerprint(*_series(catalogue.find("ucr:UnitTest").parts(DataConfig(dataset="ucr:UnitTest"))))
    if step == "table":
        return of_table(tmp_path)
    if step == "frames":
        register(monkeypatch, [noisy_recording(f"s{i}", 60, i) for i in range(5)], normalise="channel")
        frames = load(DataConfig(dataset="fake", snr_db=10)).train
        return fingerprint(frames.x(), frames.y)
    recording = next(iter(catalogue.find(step).parts(DataConfig(dataset=step))[0].read()))
    return fingerprint(recording.signal, recording.labels)


def _series(parts):
    recordings = [r for part in parts for r in part.read()]
    return np.concatenate([r.signal.ravel() for r in recordings]), np.concatenate(
        [r.labels for r in recordings]
    )


def version_of(step):
    if step.endswith("-sim"):
        (part, *_) = catalogue.find(step).parts(DataConfig(dataset=step))
        return int(part.settings.split()[1])
    return versions.FRAMES if step == "frames" else versions.READERS[step]


KNOWN: dict[str, tuple[int, list[float]]] = {
    "sleepeeg": (1, [23.9271, 0.105343, 3.33444]),
    "harth": (1, [0.387494, 0.00259156, 6.021]),
    "ecg": (2, [0.160099, -1.61983e-05, 7.4832]),
    "ucr": (2, [647.379, -1.04029, 2.37103]),
    "table": (2, [0.639747, 0.00229777, 4.90289]),
    "frames": (3, [1.56289, -0.0170134, 4.3908]),
    "sleepeeg-sim": (1, [20.9373, 0.0504994, 10.9583]),
    "harth-sim": (1, [0.454985, -8.06572e-05, 23.9986]),
    "ecg-sim": (1, [0.122501, -0.000348965, 7.90266]),
}


@pytest.mark.parametrize("step", KNOWN)
def test_a_step_returns_what_it_returned_under_its_version(step, tmp_path, monkeypatch):
    version, expected = KNOWN[step]
    assert version_of(step) == version, "write the fingerprint of the new version into this test"
    assert made(step, tmp_path, monkeypatch) == pytest.approx(expected, rel=1e-4, abs=1e-6), (
        f"'{step}' returns other numbers than under version {version}: raise its version"
    )


def test_every_step_has_a_fingerprint():
    assert set(KNOWN) == {*versions.READERS, "frames", "sleepeeg-sim", "harth-sim", "ecg-sim"} - {"packed"}


def test_the_key_depends_on_the_versions_and_not_on_the_source(monkeypatch):
    before = cache.key("a", 1)
    assert cache.key("a", 1) == before
    monkeypatch.setattr(versions, "FRAMES", versions.FRAMES + 1)
    assert cache.key("a", 1) != before
