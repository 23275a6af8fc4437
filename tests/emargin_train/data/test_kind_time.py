"""Time: nothing folds back, repeated stamps and clocks set back are told, every format of dates is read."""

import numpy as np
import pytest

from emargin_train.data import timeline
from emargin_train.data.columns import Clock, read_columns
from emargin_train.data.timeline import Stretch
from emargin_train.errors import UserError
from tests.emargin_train.data.made import FRAMES, csv
from tests.emargin_train.data.test_table import names, read

STAMPED = 'rate_hz = 50\n[signal]\nfiles = "{r}.csv"\nchannels = ["x"]\ntime = "t"\ntime_unit = "s"\n'
LABELS = '[labels]\nfrom = "column"\ncolumn = "label"\n'


def tone_at(values, hz, rate_hz):
    """Amplitude of a tone in (n,) samples."""
    k = np.arange(len(values))
    return 2 * abs(np.mean(values * np.hanning(len(k)) * 2 * np.exp(-2j * np.pi * hz * k / rate_hz)))


@pytest.mark.parametrize("own", [51.2, 60.0, 70.0, 74.9, 97.3, 120.0, 333.3])
@pytest.mark.parametrize("way", ["stamped", "jittered", "late", "even"])
def test_no_tone_folds_back_on_any_way_to_a_lower_rate(own, way):
    """A tone of 0.43 of the device's rate, where 50 Hz cannot hold it; one of 5 Hz keeps its height."""
    rng = np.random.default_rng(0)
    time_s = np.arange(int(30 * own)) / own
    if way in ("stamped", "jittered"):
        time_s = time_s + 0.2 / own * np.sin(time_s / 3)
    high = max(0.43 * own, 27.5) if own > 56 else None
    stamps = time_s + (rng.uniform(-0.1, 0.1, len(time_s)) / own if way == "jittered" else 0)
    low = np.sin(2 * np.pi * 5 * time_s)
    signal = np.stack([low, np.sin(2 * np.pi * (high or 5) * time_s)]).astype(np.float32)
    stretch = Stretch(signal, 0.0, own, stamps if way in ("stamped", "jittered") else None)
    start = 0.0037 if way == "late" else 0.0
    got = timeline.at_rate(stretch, start, 1400, 50.0)[:, 50:-50]
    assert tone_at(got[0], 5, 50.0) == pytest.approx(1, abs=0.05)
    if high is not None:
        assert np.abs(np.fft.rfft(got[1] * np.hanning(got.shape[1]))).max() / got.shape[1] * 4 < 0.1


def test_two_sensors_of_which_one_starts_late_are_low_passed(tmp_path):
    t = np.arange(70 * 60) / 70
    for name, shift in (("p", 0.0), ("q", 0.0061)):
        rows = [(f"{v + shift:.5f}", f"{np.sin(2 * np.pi * 30 * (v + shift)):.5f}", "u") for v in t]
        csv(tmp_path / f"1_{name}.csv", "t,x,label", rows)
    signal = (
        '[[signal]]\nfiles = "{{r}}_{}.csv"\nchannels = ["x"]\nnames = ["{}"]\ntime = "t"\ntime_unit = "s"\n'
    )
    toml = "rate_hz = 50\n" + signal.format("p", "p") + signal.format("q", "q") + LABELS + FRAMES
    (recording,) = read(tmp_path, toml)
    assert max(tone_at(x[100:-100], 20, 50) for x in recording.signal) < 0.06


def whole_seconds(n=4000, rate=50, start=13):
    rng = np.random.default_rng(0)
    return [
        (f"2015-06-22 00:{(start + k) // rate // 60:02}:{(start + k) // rate % 60:02}", f"{v:.4f}", "u")
        for k, v in enumerate(rng.normal(0, 0.7, n))
    ]


def test_stamps_in_whole_seconds_are_refused_and_even_reads_them(tmp_path):
    csv(tmp_path / "a.csv", "t,x,label", whole_seconds())
    toml = '[signal]\nfiles = "a.csv"\nchannels = ["x"]\ntime = "t"\n'
    with pytest.raises(UserError, match=r"98% of the samples have the time stamp of another.*even = true"):
        read(tmp_path, toml + LABELS + FRAMES)
    (recording,) = read(tmp_path, toml + "even = true\n" + LABELS + FRAMES)
    assert recording.rate_hz == 50 and recording.signal.shape[1] == 4000
    assert recording.signal.std() == pytest.approx(0.7, abs=0.02)


def test_a_few_repeated_stamps_are_told_with_their_share(tmp_path):
    t = np.round(np.arange(1000) / 50, 2)
    t[::25] = t[1::25]  # 40 of 1000
    csv(tmp_path / "a.csv", "t,x,label", [(v, k % 7, "u") for k, v in enumerate(t)])
    (recording,) = read(tmp_path, STAMPED + LABELS + FRAMES)
    (doubt,) = recording.source.doubts
    assert doubt.startswith("4% of the samples") and "even = true" in doubt
    assert recording.source.merged == 40


def test_a_derived_rate_that_no_device_has_is_named(tmp_path):
    csv(tmp_path / "a.csv", "t,x,label", [(k / 45.3, k, "u") for k in range(400)])
    (recording,) = read(tmp_path, STAMPED + LABELS + FRAMES)
    assert recording.source.derived_hz == 45.3
    assert "give 45.3 samples per second, which no usual device has" in recording.source.doubts[0]


def autumn(n=4000, rate=10.0, at=2000):
    """Local time that is set back by an hour at sample `at`."""
    t = 7000 + np.arange(n) / rate
    t[at:] -= 3600
    return t


def test_the_hour_that_comes_twice_is_kept_in_order(tmp_path):
    """Recorded through the change to winter time for longer than an hour: times overlap, samples do not."""
    t = autumn(80_000, at=40_000)
    csv(tmp_path / "a.csv", "t,x,label", [(f"{v:.1f}", k % 1000, k // 40_000) for k, v in enumerate(t)])
    first, second = read(tmp_path, STAMPED.replace("50", "10") + LABELS + FRAMES)
    assert set(names(first)) == {"0"} and set(names(second)) == {"1"}
    assert second.start == 40_000 and first.signal.shape[1] == second.signal.shape[1] == 40_000
    assert "set back (by 3,600 s)" in first.source.doubts[0]


def test_an_ambiguous_hour_is_refused_for_labels_with_a_clock_and_for_sensors_that_differ(tmp_path):
    for name, t in (("p", autumn(80_000, at=40_000)), ("q", 7000 + np.arange(40_000) / 10)):
        csv(tmp_path / f"1_{name}.csv", "t,x,label", [(f"{v:.1f}", k, "u") for k, v in enumerate(t)])
    csv(tmp_path / "m.csv", "a,b,w", [(8000, 8100, "on")])
    one = STAMPED.replace("50", "10").replace("{r}", "{r}_p")
    intervals = '[labels]\nfrom = "intervals"\nfile = "m.csv"\nstart = "a"\nend = "b"\ncolumn = "w"\n'
    with pytest.raises(
        UserError, match="set back by 3,600 s.*its labels cannot be matched: give times in UTC"
    ):
        read(tmp_path, one + intervals + FRAMES)
    signal = (
        '[[signal]]\nfiles = "{{r}}_{}.csv"\nchannels = ["x"]\nnames = ["{}"]\ntime = "t"\ntime_unit = "s"\n'
    )
    two = "rate_hz = 10\n" + signal.format("p", "p") + signal.format("q", "q") + LABELS + FRAMES
    with pytest.raises(UserError, match="its sensors cannot be matched"):
        read(tmp_path, two)
    csv(tmp_path / "1_q.csv", "t,x", [(f"{v:.1f}", k) for k, v in enumerate(autumn(80_000, at=40_000))])
    got = read(tmp_path, two)
    assert [r.signal.shape[1] for r in got] == [40_000, 40_000]
    assert all((r.signal[0] == r.signal[1]).all() for r in got)


def test_a_small_step_back_breaks_and_a_late_packet_is_sorted():
    t = np.arange(500) / 50
    t[250:] -= 0.5  # the clock was corrected by half a second
    values = np.arange(500, dtype=np.float32)[None]
    cut = timeline.stamped_stretches(values, t, 50, 1.0)
    assert [s.values[0].tolist() for s in cut] == [list(range(250)), list(range(250, 500))]
    late = np.arange(500) / 50
    order = np.r_[0:200, 205:210, 200:205, 210:500]  # five samples came after the five that follow them
    (one,) = timeline.stamped_stretches(values[:, order], late[order], 50, 1.0)
    assert one.values[0].tolist() == list(range(500))
    (reverse,) = timeline.stamped_stretches(values[:, ::-1], late[::-1], 50, 1.0)
    assert reverse.values[0].tolist() == list(range(500))


@pytest.mark.parametrize(
    ("stamp", "format_"),
    [
        ("24/12/2024 17:16:00.5", "%d/%m/%Y %H:%M:%S.%f"),
        ("24.12.2024 17:16:00,500", "%d.%m.%Y %H:%M:%S,%f"),
        ("12-24-24 05:16:00.500000 PM", "%m-%d-%y %I:%M:%S.%f %p"),
        ("20241224171600.500", "%Y%m%d%H%M%S.%f"),
        ("2024-12-24T18:16:00.5+0100", "%Y-%m-%dT%H:%M:%S.%f%z"),
    ],
)
def test_fractions_of_a_second_in_every_format(tmp_path, stamp, format_):
    (tmp_path / "a.csv").write_text(f'x,t\n1,"{stamp}"\n2,\n')
    _, _, (seconds,) = read_columns(tmp_path / "a.csv", ["x"], stamps=["t"], clock=Clock(None, format_))
    assert seconds[0] == 1735060560.5 and np.isnan(seconds[1])


@pytest.mark.parametrize(
    ("stamp", "clock", "said"),
    [
        ("24/12/2024 17:16:00.5", Clock(None, "%d/%m/%Y %H:%M:%S"), "row 1 has '24/12/2024 17:16:00.5'.*%f"),
        ("24/12/2024 17:16:00", Clock(), "row 1 has '24/12/2024 17:16:00'.*time_format"),
        ("soon", Clock(None, "%H:%M"), "row 1 has 'soon', but its time_format is '%H:%M'"),
    ],
)
def test_a_date_that_does_not_match_is_named_with_the_format(tmp_path, stamp, clock, said):
    (tmp_path / "a.csv").write_text(f"x,t\n1,{stamp}\n")
    with pytest.raises(UserError, match=said):
        read_columns(tmp_path / "a.csv", ["x"], stamps=["t"], clock=clock)


def test_labels_that_all_lie_outside_the_signal_are_refused(tmp_path):
    csv(tmp_path / "r.csv", "x", [(k,) for k in range(100)])
    csv(tmp_path / "m.csv", "a,b,w", [(2000, 4000, "on")])  # in milliseconds, though seconds are described
    toml = '[signal]\nfiles = "r.csv"\nchannels = ["x"]\nrate_hz = 10\n'
    toml += '[labels]\nfrom = "intervals"\nfile = "m.csv"\nstart = "a"\nend = "b"\ncolumn = "w"\n'
    with pytest.raises(UserError, match="none of the labels of record r lies within its signal.*time_unit"):
        read(tmp_path, toml + FRAMES)
    (recording,) = read(tmp_path, toml + 'time_unit = "ms"\n' + FRAMES)
    assert names(recording) == [None] * 20 + ["on"] * 20 + [None] * 60
    csv(tmp_path / "m.csv", "a,b,w", [(2000, 2000, "on")])
    (recording,) = read(tmp_path, toml.replace('end = "b"', 'duration = "b"') + 'time_unit = "ms"\n' + FRAMES)
    assert names(recording) == [None] * 20 + ["on"] * 20 + [None] * 60, "a duration has the unit of the times"
