"""Clocks that do not match, go back or jump; rates that stamps and the description disagree on."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from emargin_train.data import timeline
from emargin_train.errors import UserError
from tests.emargin_train.data.made import FRAMES, csv, write_edf, write_wfdb
from tests.emargin_train.data.test_table import names, read

COLUMN = '[labels]\nfrom = "column"\ncolumn = "label"\n'
STAMPED = '[signal]\nfiles = "{r}.csv"\nchannels = ["x"]\ntime = "t"\n'
SIGNAL = '[[signal]]\nfiles = "{{r}}_{0}.csv"\nchannels = ["x"]\nnames = ["{0}"]\ntime = "t"\n'
INTERVALS = '[labels]\nfrom = "intervals"\nfile = "{r}.lab"\nstart = "a"\ncolumn = "w"\ntime_unit = "date"\n'
VALUES = np.random.default_rng(0).normal(0, 1, 600).round(3).tolist()


def stamps(start, n=600, step="100ms"):
    return pd.date_range(start, periods=n, freq=step)


def write(path, times, values=VALUES, label="a"):
    csv(path, "t,x,label", [(t, v, label) for t, v in zip(times, values, strict=True)])


@pytest.mark.parametrize("zone", ["+01:00", "Z", "+0530", "-03"])
def test_sensors_of_which_one_states_its_zone_are_refused(tmp_path, zone):
    plain = [t.isoformat() for t in stamps("2020-01-01 10:00")]
    write(tmp_path / "1_q.csv", plain)
    write(tmp_path / "1_p.csv", [f"{t}{zone}" for t in plain])
    with pytest.raises(UserError, match="the times in 1_p.csv have a time zone, but those in 1_q.csv do not"):
        read(tmp_path, "rate_hz = 10\n" + SIGNAL.format("p") + SIGNAL.format("q") + COLUMN + FRAMES)
    write(tmp_path / "1_q.csv", [f"{t}{zone}" for t in plain])
    (one,) = read(tmp_path, "rate_hz = 10\n" + SIGNAL.format("p") + SIGNAL.format("q") + COLUMN + FRAMES)
    assert (one.signal[0] == one.signal[1]).all()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_labels_in_another_kind_of_time_than_the_signal_are_refused(tmp_path, kind):
    """An hour is between them, and both would be taken for UTC."""
    times = stamps("2020-01-01 10:00", 600, "10s")
    csv(tmp_path / "1.lab", "a,b,w", [("2020-01-01 10:10:00", "2020-01-01 10:20:00", "on")])
    toml = STAMPED + INTERVALS + 'end = "b"\n' + FRAMES
    if kind == "csv":
        write(tmp_path / "1.csv", [f"{t.isoformat()}+01:00" for t in times])
    else:
        zoned = pa.array(times.tz_localize("Europe/Oslo"))
        pa.parquet.write_table(pa.table({"t": zoned, "x": VALUES}), tmp_path / "1.parquet")
        toml = toml.replace(".csv", ".parquet")
    with pytest.raises(UserError, match=r"those in 1.lab do not, so they cannot be matched"):
        read(tmp_path, toml)
    csv(tmp_path / "1.lab", "a,b,w", [("2020-01-01 10:10:00+01:00", "2020-01-01 10:20:00+01:00", "on")])
    (recording,) = read(tmp_path, toml)
    assert names(recording) == [None] * 60 + ["on"] * 60 + [None] * 480


def test_labels_in_samples_beside_time_stamps_are_refused(tmp_path):
    """Sample 100 is at 15 s here, not at 10 s."""
    write(tmp_path / "1.csv", np.round(5 + np.arange(600) / 10, 1))
    csv(tmp_path / "1.lab", "a,b,w", [(100, 200, "on")])
    toml = (STAMPED + 'time_unit = "s"\n' + INTERVALS + 'end = "b"\n').replace('"date"', '"samples"')
    with pytest.raises(
        UserError, match="labels.time_unit is 'samples'.*the first signal has times of its own"
    ):
        read(tmp_path, toml + FRAMES)


def test_labels_in_samples_of_an_interrupted_edf_file_are_refused(tmp_path):
    path = write_edf(tmp_path / "1.edf", [("EEG", np.zeros(6000), 100)], [(0.0, 1.0, "a")], record_s=1)
    csv(tmp_path / "1.lab", "a,b,w", [(100, 200, "on")])
    toml = '[signal]\nfiles = "{r}.edf"\nchannels = ["EEG"]\n' + INTERVALS.replace('"date"', '"samples"')
    (recording,) = read(tmp_path, toml + 'end = "b"\n' + FRAMES)
    assert names(recording) == [None] * 100 + ["on"] * 100 + [None] * 5800
    content = path.read_bytes()
    path.write_bytes(content[:192] + b"EDF+D" + content[197:])
    with pytest.raises(UserError, match=r"is interrupted \(EDF\+D\).*give seconds"):
        read(tmp_path, toml + 'end = "b"\n' + FRAMES)


@pytest.mark.parametrize("n", [600, 5 * 8640])
def test_times_of_day_go_on_after_midnight(tmp_path, n):
    """Without an overlap, and after more than a day with one."""
    times = stamps("2020-01-01 23:59:30", n, "100ms" if n == 600 else "2s")
    values = np.arange(n) % 7
    write(tmp_path / "1.csv", [t.strftime("%H:%M:%S.%f") for t in times], values)
    toml = STAMPED + 'time_format = "%H:%M:%S.%f"\n'
    parts = read(tmp_path, toml + COLUMN + FRAMES)
    assert np.concatenate([p.signal[0] for p in parts]).tolist() == values.tolist()
    assert [p.start for p in parts] == sorted(p.start for p in parts)
    assert any("set back (by 86,400" in doubt for doubt in parts[0].source.doubts)
    csv(tmp_path / "1.lab", "a,b,w", [("23:59:40.0", "23:59:50.0", "on")])
    labels = INTERVALS + 'time_format = "%H:%M:%S.%f"\nend = "b"\n'
    with pytest.raises(UserError, match="its labels cannot be matched: give times in UTC"):
        read(tmp_path, toml + labels + FRAMES)


def test_hours_to_twelve_need_their_half_of_the_day(tmp_path):
    write(tmp_path / "1.csv", [t.strftime("%I:%M:%S.%f") for t in stamps("2020-01-01 11:59:30")])
    with pytest.raises(UserError, match="given with %p too: hours from 1 to 12 come twice a day"):
        read(tmp_path, STAMPED + 'time_format = "%I:%M:%S.%f"\n' + COLUMN + FRAMES)


def test_local_time_that_jumps_ahead_in_spring_is_doubtful(tmp_path):
    times = stamps("2020-03-29 01:30", 3600, "1s")
    local = [t if t.hour < 2 else t + pd.Timedelta("1h") for t in times]
    write(tmp_path / "1.csv", [t.isoformat() for t in local], np.arange(3600) % 7)
    first, _ = read(tmp_path, STAMPED + COLUMN + FRAMES.replace("length_s = 1", "length_s = 4"))
    (doubt,) = first.source.doubts
    assert "jumps ahead by an hour" in doubt and "give times in UTC" in doubt
    write(tmp_path / "1.csv", [f"{t.isoformat()}Z" for t in local], np.arange(3600) % 7)
    first, _ = read(tmp_path, STAMPED + COLUMN + FRAMES.replace("length_s = 1", "length_s = 4"))
    assert first.source.doubts == (), "in UTC, an hour is a gap"


def test_rows_out_of_order_are_told(tmp_path):
    """A clock that was reset to an earlier day, so that no time comes twice."""
    times = [*stamps("2020-01-02 10:00", 300), *stamps("2000-01-01 00:00", 300)]
    write(tmp_path / "1.csv", [t.isoformat() for t in times])
    parts = read(tmp_path, STAMPED + COLUMN + FRAMES)
    assert parts[0].signal[0].tolist() == pytest.approx(VALUES[300:])
    assert "rows are not in order of time (they go back by 631,274,430 s)" in parts[0].source.doubts[0]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("", "0.05 samples per second, which no usual device has"),
        ("rate_hz = 50\n", "0.05 samples per second, but rate_hz in [[signal]] 50"),
    ],
)
def test_milliseconds_taken_for_seconds_are_doubtful(tmp_path, keys, said):
    write(tmp_path / "1.csv", np.arange(600) * 20)
    parts = read(tmp_path, "rate_hz = 50\n" + STAMPED + 'time_unit = "s"\n' + keys + COLUMN + FRAMES)
    assert said in parts[0].source.doubts[0] and "time_unit" in parts[0].source.doubts[0]
    assert '(with time_unit = "ms" they give 50)' in parts[0].source.doubts[0]
    assert "is resampled to 50 by rate_hz" in parts[0].source.doubts[1]


def test_seconds_taken_for_milliseconds_name_the_right_unit(tmp_path):
    write(tmp_path / "1.csv", np.arange(600) / 100)
    toml = STAMPED + 'time_unit = "ms"\n' + COLUMN + FRAMES.replace("length_s = 1", "length_s = 0.001")
    first, *_ = read(tmp_path, toml.replace("hop_s = 1", "hop_s = 0.001"))
    (doubt,) = first.source.doubts
    assert "give 100000 samples per second" in doubt and '(with time_unit = "s" they give 100)' in doubt


def test_a_stated_rate_that_the_stamps_deny_is_doubtful_either_way(tmp_path):
    write(tmp_path / "1.csv", np.arange(600) / 50)
    for stated, doubtful in ((100, True), (25, True), (51, False)):
        toml = "rate_hz = 20\n" + STAMPED + f'time_unit = "s"\nrate_hz = {stated}\n' + COLUMN + FRAMES
        (recording,) = read(tmp_path, toml)
        assert any(f"but rate_hz in [[signal]] {stated}" in d for d in recording.source.doubts) == doubtful


def test_beats_are_no_device_whose_rate_could_be_wrong(tmp_path):
    at = np.cumsum(np.random.default_rng(0).uniform(0.6, 1.1, 600)).round(3)
    write(tmp_path / "1.csv", at)
    toml = "rate_hz = 4\n" + STAMPED + 'time_unit = "s"\nrate_hz = 4\n' + COLUMN
    (recording,) = read(tmp_path, toml + "[frames]\nlength_s = 4\nsequence_length = 3\n")
    assert recording.source.doubts == () and not timeline.even_steps(at)


@pytest.mark.parametrize("stamped", [True, False])
def test_a_signal_brought_to_a_higher_rate_is_doubtful(tmp_path, stamped):
    for r, own in ((1, 50), (2, 100), (3, 128)):
        write(tmp_path / f"{r}.csv", np.arange(600) / own)
    toml = STAMPED + 'time_unit = "s"\n'
    if not stamped:
        toml = toml.replace('time = "t"\ntime_unit = "s"\n', "rate_hz = { 1 = 50, 2 = 100, 3 = 128 }\n")
    toml = toml.replace('time_unit = "s"\n', "") if not stamped else toml
    slow, *others = read(tmp_path, "rate_hz = 100\n" + toml + COLUMN + FRAMES)
    (doubt,) = slow.source.doubts
    assert "has 50 samples per second and is resampled to 100 by rate_hz" in doubt
    assert "nothing above 25 Hz: give rate_hz = 50" in doubt
    assert all(r.source.doubts == () for r in others)


def test_an_edf_channel_brought_to_a_higher_rate_is_doubtful(tmp_path):
    write_edf(tmp_path / "1.edf", [("EEG", np.zeros(3000), 50)], [(0.0, 30.0, "W"), (30.0, 30.0, "N")])
    toml = '[signal]\nfiles = "{r}.edf"\nchannels = ["EEG"]\n[labels]\nfrom = "annotations"\n' + FRAMES
    (recording,) = read(tmp_path, "rate_hz = 100\n" + toml)
    assert "is resampled to 100 by rate_hz" in recording.source.doubts[0]
    (recording,) = read(tmp_path, toml)
    assert recording.source.doubts == ()


def test_stamps_of_few_digits_are_refused(tmp_path):
    """Seconds since 1970 as float32 come in steps of 128 s."""
    times = (1.6e9 + np.arange(600) / 10).astype(np.float32)
    pa.parquet.write_table(pa.table({"t": times, "x": VALUES, "label": ["a"] * 600}), tmp_path / "1.parquet")
    toml = STAMPED.replace(".csv", ".parquet") + 'time_unit = "s"\n'
    with pytest.raises(UserError, match="have the time stamp of another.*or stamps with more digits"):
        read(tmp_path, toml + COLUMN + FRAMES)


@pytest.mark.parametrize(("gain", "doubtful"), [("200/mV", False), ("0/mV", True), ("", True)])
def test_a_wfdb_signal_without_a_gain_is_not_calibrated(tmp_path, gain, doubtful):
    write_wfdb(tmp_path, "a1", np.full((500, 1), 0.1), [(0, "(N"), (250, "(AFIB")])
    lines = (tmp_path / "a1.hea").read_text().splitlines()
    (tmp_path / "a1.hea").write_text(f"{lines[0]}\na1.dat 212 {gain}\n")
    toml = '[signal]\nfiles = "{r}.hea"\nchannels = [1]\n[labels]\nfrom = "annotations"\n' + FRAMES
    (recording,) = read(tmp_path, toml)
    assert any("not calibrated" in d and "write the gain" in d for d in recording.source.doubts) == doubtful


@pytest.mark.parametrize(("unit", "doubtful"), [("s", True), ("ms", False)])
def test_labels_that_reach_far_beyond_the_signal_are_doubtful(tmp_path, unit, doubtful):
    csv(tmp_path / "1.csv", "x", [(v,) for v in VALUES])
    csv(tmp_path / "1.lab", "a,b,w", [(0, 10, "on"), (10, 2000, "off"), (5000, 60000, "on")])
    toml = '[signal]\nfiles = "{r}.csv"\nchannels = ["x"]\nrate_hz = 10\n'
    toml += INTERVALS.replace('"date"', f'"{unit}"') + 'end = "b"\n' + FRAMES
    (recording,) = read(tmp_path, toml)
    assert any("lies outside the signal: check the clocks" in d for d in recording.source.doubts) == doubtful


@pytest.mark.parametrize("first", [0, 1])
def test_samples_counted_from_another_number_are_refused(tmp_path, first):
    csv(tmp_path / "1.csv", "x", [(v,) for v in VALUES])
    csv(tmp_path / "1.lab", "a,b,w", [(first, first + 100, "on"), (first + 100, first + 200, "off")])
    toml = '[signal]\nfiles = "{r}.csv"\nchannels = ["x"]\nrate_hz = 10\n'
    toml += INTERVALS.replace('"date"', '"samples"') + 'end = "b"\nfirst_sample = 1\n' + FRAMES
    if first == 0:
        with pytest.raises(
            UserError, match="starts at sample 0, before the first one: give first_sample = 0"
        ):
            read(tmp_path, toml)
        toml = toml.replace("first_sample = 1", "first_sample = 0")
    (recording,) = read(tmp_path, toml)
    assert names(recording) == ["on"] * 100 + ["off"] * 100 + [None] * 400
