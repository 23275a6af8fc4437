"""`describe --check`: doubts of each recording, with exit code 1; and the report as a page."""

import os
import subprocess
import sys

import numpy as np
import pytest

from emargin_train.data import check
from tests.emargin_train.data import fakes
from tests.emargin_train.data.made import FRAMES, command, csv, refused, write_edf

TOML = '[signal]\nfiles = "{r}.edf"\nchannels = ["EEG"]\n[labels]\nfrom = "annotations"\n' + FRAMES


def records(folder, change):
    """Two EDF files, the second one changed."""
    wave = np.random.default_rng(0).normal(0, 40, 6000)
    write_edf(folder / "good.edf", [("EEG", wave, 100)], [(0, 30, "W"), (30, 30, "N")])
    write_edf(folder / "odd.edf", [("EEG", change(wave.copy()), 100)], [(0, 30, "W"), (30, 25, "N")])
    (folder / "my.toml").write_text(TOML)
    return folder / "my.toml"


def flat(wave):
    wave[1000:1600] = 3
    return wave


def clip(wave):
    return np.convolve(wave, np.ones(5) / 5, "same").clip(-20, 20)


def test_a_good_set_has_no_doubts(tmp_path, capsys):
    code, out, err = command(capsys, "describe", records(tmp_path, lambda w: w), "--check")
    assert code == 0, err
    assert "2 records, 0 doubts" in out
    assert "100 Hz (stated 100)  uV  gaps 0, merged 0, unlabelled 8.3%, changes 2" in out


@pytest.mark.parametrize(
    ("change", "said"), [(flat, "10.0% of its time is flat for 5 s or longer"), (clip, "(clipped)")]
)
def test_flat_and_clipped_stretches_are_doubtful(tmp_path, capsys, change, said):
    code, out, _ = command(capsys, "describe", records(tmp_path, change), "--check")
    (doubt,) = [line for line in out.splitlines() if line.startswith("    doubt")]
    assert code == 1 and said in doubt and "files" in doubt and "1 doubts" in out


def test_samples_outside_the_physical_range_are_counted():
    signal = np.array([[0, 5, 11, -12, 10.05]], np.float32)
    assert check.outside(signal, (-10.0,), (10.0,)).tolist() == [False, False, True, True, False]


def test_doubtful_stamps_and_classes_are_told_with_their_key(tmp_path, capsys):
    t = np.round(np.arange(1000) / 45.3, 3)
    csv(
        tmp_path / "a.csv",
        "t,x,label",
        [(v, k % 97, "null" if k % 300 < 99 else "sit") for k, v in enumerate(t)],
    )
    (tmp_path / "my.toml").write_text(
        '[signal]\nfiles = "a.csv"\nchannels = ["x"]\ntime = "t"\ntime_unit = "s"\n'
        '[labels]\nfrom = "column"\ncolumn = "label"\n' + FRAMES
    )
    code, out, _ = command(capsys, "describe", tmp_path / "my.toml", "--check")
    assert code == 1 and "give rate_hz in [[signal]]" in out and "derived 45.3" in out
    assert "class 'null' may stand for a missing value" in out


def test_the_page_holds_a_picture_of_every_record(tmp_path, capsys, monkeypatch):
    page = tmp_path / "report" / "a.html"
    code, out, _ = command(capsys, "describe", records(tmp_path, flat), "--check", "--page", page)
    text = page.read_text()
    assert code == 1 and str(page) in out and text.count("<svg") == 2 and "is flat" in text
    assert "http" not in text and "<script" not in text
    fakes.register(monkeypatch, [fakes.noisy_recording(s, 60, i) for i, s in enumerate("pqrst")])
    assert "ends in .html" in refused(capsys, "describe", "fake", "--check", "--page", tmp_path / "a.pdf")
    assert "give --check too" in refused(capsys, "describe", "fake", "--page", tmp_path / "a.html")


def test_a_closed_pipe_and_a_home_that_cannot_be_made_end_well(tmp_path):
    toml = records(tmp_path, lambda w: w)
    environment = {k: v for k, v in os.environ.items() if k != "EMARGIN_CACHE"} | {"HOME": "/dev/null/x"}
    run = [sys.executable, "-m", "emargin_train.data", "describe", str(toml)]
    done = subprocess.run(run, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr and "EMARGIN_CACHE" in done.stderr
    program = subprocess.Popen([*run, "--check"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout is not None and program.stderr is not None
    program.stdout.close()  # as `| head -0`
    err = program.stderr.read().decode()
    program.stderr.close()
    assert program.wait() in (0, 1) and "Traceback" not in err and "Broken" not in err, err


def doubts_of(capsys, folder, values, **changes):
    """Doubts of `--check` on records with these samples (name -> values), 100 Hz, unit uV."""
    for name, wave in values.items():
        csv(folder / f"{name}.csv", "x,label", [(f"{v:g}", "ab"[k // 500 % 2]) for k, v in enumerate(wave)])
    toml = '[signal]\nfiles = "{r}.csv"\nchannels = ["x"]\nrate_hz = 100\nunits = "uV"\n'
    toml += '[labels]\nfrom = "column"\ncolumn = "label"\n' + FRAMES
    (folder / "my.toml").write_text(changes.get("toml", "") + toml)
    code, out, err = command(capsys, "describe", folder / "my.toml", "--check")
    lines = [line.strip() for line in out.splitlines() if "doubt:" in line]
    assert code == bool(lines), err
    return lines


def noise(seed=0):
    return np.random.default_rng(seed).normal(0, 40, 6000).round(2)


def test_a_record_a_thousand_times_larger_than_the_others_is_doubtful(tmp_path, capsys):
    waves = {f"r{k}": noise(k) * (1000 if k == 2 else 1 + k) for k in range(4)}
    (doubt,) = doubts_of(capsys, tmp_path, waves)
    assert "in uV are" in doubt and "times as large as those of most records: check units" in doubt


@pytest.mark.parametrize(("missing", "doubtful"), [(-9999, True), (32767, True), (150, False)])
def test_a_value_that_stands_for_missing_samples_is_doubtful(tmp_path, capsys, missing, doubtful):
    wave = noise()
    wave[::50] = missing
    found = [d for d in doubts_of(capsys, tmp_path, {"r": wave}) if "far from all others" in d]
    assert len(found) == doubtful and all(f"120 samples are {missing}" in d for d in found)


def test_flat_and_clipped_samples_are_found_before_resampling(tmp_path, capsys):
    """A filter leaves ripples where the file has none."""
    wave = flat(noise())
    (doubt,) = doubts_of(capsys, tmp_path, {"r": wave}, toml="rate_hz = 64\n")
    assert "10.0% of its time is flat" in doubt


def test_a_sensor_with_coarse_steps_at_rest_is_not_doubtful_but_a_dead_one_is(tmp_path, capsys):
    rest = np.repeat(np.random.default_rng(0).integers(-2, 3, 10), 600) / 64.0
    assert not doubts_of(capsys, tmp_path, {"r": rest})
    assert "100.0% of its time is flat" in doubts_of(capsys, tmp_path, {"r": rest * 0 + 1})[0]


def test_classes_that_differ_in_case_or_in_how_signs_are_made_are_doubtful():
    found = list(check.of_classes(("Walk", "walk", "run", "café", "cafe\u0301", "sit  down", "sit down")))
    assert len(found) == 3 and all("join them by labels.map" in line for line in found)
    assert not list(check.of_classes(("N", "N1", "AFIB")))
