"""One recording in five formats is one recording; stamps never give values that were not there."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emargin_train.data import timeline
from emargin_train.errors import UserError
from tests.emargin_train.data.made import FRAMES
from tests.emargin_train.data.test_table import names, read

NOTED = '[labels]\nfrom = "annotations"\nprefix = "("\n'
COLUMN = '[labels]\nfrom = "column"\ncolumn = "label"\n'


def write_all(folder, wave, rate, unit, labels):
    """Label spans (start, end, word) in seconds; the description of each file by format."""
    import edfio
    import wfdb

    words = np.full(len(wave), "", object)
    for start, end, word in labels:
        words[round(start * rate) : round(end * rate)] = word
    lines = [f"{v!r},{w}" for v, w in zip(wave.tolist(), words, strict=True)]
    (folder / "a.csv").write_text("x,label\n" + "\n".join(lines) + "\n")
    pa.parquet.write_table(pa.table({"x": wave, "label": [w or None for w in words]}), folder / "a.parquet")
    for kind, signal in (("edf", edfio.EdfSignal), ("bdf", edfio.BdfSignal)):
        make = edfio.Edf if kind == "edf" else edfio.Bdf
        one = signal(wave, rate, label="x", physical_dimension=unit, physical_range=(-100, 100))
        notes = [edfio.EdfAnnotation(a, b - a, f"({w}") for a, b, w in labels]
        make([one], annotations=notes, data_record_duration=1).write(folder / f"a.{kind}")
    wfdb.wrsamp(
        "a", fs=rate, units=[unit], sig_name=["x"], p_signal=wave[:, None], fmt=["24"], adc_gain=[40000.0],
        baseline=[0], write_dir=str(folder),
    )  # fmt: skip
    ends = [(round(b * rate), "(none") for _, b, _ in labels]
    notes = sorted({**dict(ends), **{round(a * rate): f"({w}" for a, _, w in labels}}.items())
    wfdb.wrann(
        "a", "atr", np.array([s for s, _ in notes]), symbol=["+"] * len(notes),
        aux_note=[t for _, t in notes], write_dir=str(folder),
    )  # fmt: skip
    table = f'channels = ["x"]\nrate_hz = {rate}\nunits = "{unit}"\n'
    classes = f"classes = {sorted({w for *_, w in labels})!r}\n".replace("'", '"')
    mapping = "map = { " + ", ".join(f'{w} = "{w}"' for w in sorted({w for *_, w in labels})) + " }\n"
    return {
        "csv": classes + '[signal]\nfiles = "a.csv"\n' + table + COLUMN,
        "parquet": classes + '[signal]\nfiles = "a.parquet"\n' + table + COLUMN,
        "edf": classes + '[signal]\nfiles = "a.edf"\nchannels = ["x"]\n' + NOTED,
        "bdf": classes + '[signal]\nfiles = "a.bdf"\nchannels = ["x"]\n' + NOTED,
        "wfdb": classes + '[signal]\nfiles = "a.hea"\nchannels = ["x"]\n' + NOTED + mapping,
    }


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seconds=st.integers(4, 20),
    rate=st.sampled_from([10, 50, 64, 100, 128, 250]),
    unit=st.sampled_from(["uV", "mV", "g"]),
    cuts=st.lists(st.integers(0, 19), min_size=2, max_size=6, unique=True),
    words=st.lists(st.sampled_from(["W", "NA", "007", "N2", "null", "1E1"]), min_size=3, max_size=3),
    seed=st.integers(0, 99),
)
def test_one_recording_in_five_formats_is_one_recording(
    tmp_path_factory, seconds, rate, unit, cuts, words, seed
):
    folder = tmp_path_factory.mktemp("five")
    wave = np.round(np.random.default_rng(seed).normal(0, 20, seconds * rate).clip(-99, 99), 3)
    edges = [e for e in sorted(cuts) if e < seconds]
    labels = [(float(a), float(b), w) for a, b, w in zip(edges[::2], edges[1::2], words, strict=False)]
    if not labels:
        return
    expected = np.full(len(wave), None, object)
    for a, b, word in labels:
        expected[round(a * rate) : round(b * rate)] = word
    for kind, toml in write_all(folder, wave, rate, unit, labels).items():
        (recording,) = read(folder, toml + FRAMES)
        assert (recording.rate_hz, recording.units, recording.channels) == (rate, (unit,), ("x",)), kind
        worst = {"edf": 0.004, "wfdb": 1e-4}.get(kind, 5e-5)
        assert (
            recording.signal.shape == (1, len(wave)) and np.abs(recording.signal[0] - wave).max() < worst
        ), kind
        assert names(recording) == expected.tolist(), kind


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(20, 400),
    rate=st.sampled_from([10.0, 50.0, 100.0]),
    drift=st.floats(-0.02, 0.02),
    jitter=st.floats(0, 0.4),
    repeated=st.lists(st.integers(1, 399), max_size=5),
    reverse=st.booleans(),
    back=st.none() | st.tuples(st.integers(5, 300), st.floats(0.5, 5000)),
    to=st.sampled_from([10.0, 20.0, 50.0]),
    seed=st.integers(0, 99),
)
def test_stamps_never_give_values_that_were_not_there(
    n, rate, drift, jitter, repeated, reverse, back, to, seed
):
    """The signal is the true time, slowly bent: wherever the stamps are right, so is every value read."""
    rng = np.random.default_rng(seed)
    true = np.arange(n) / rate * (1 + drift) + rng.uniform(-0.5, 0.5, n) * jitter / rate
    true = np.sort(true)
    values = (10 * np.sin(true / 5) + true / 10)[None].astype(np.float32)
    stamps = true.copy()
    for k in repeated:
        if k < n:
            stamps[k] = stamps[k - 1]
    if back is not None and back[0] < n:
        stamps[back[0] :] -= back[1]
    if reverse:
        values, stamps = values[:, ::-1], stamps[::-1]
    got = timeline.stamped_stretches(values, stamps, rate, 1.0)
    period = max(1 / rate, 1 / to)
    for stretch in got:
        m = int((stretch.end_s - stretch.start_s) * to + 1e-6)
        out = timeline.at_rate(stretch, stretch.start_s, m, to) if m else np.zeros((1, 0))
        assert np.isfinite(out).all()
        slack = 6 * period * 2.1 + 0.05
        assert out.size == 0 or (out.min() > values.min() - slack and out.max() < values.max() + slack)
        if back is None:
            at = stretch.start_s + np.arange(m) / to
            assert np.abs(out[0] - (10 * np.sin(at / 5) + at / 10)).max(initial=0) < slack


def test_the_formats_refuse_alike_what_none_can_say(tmp_path):
    (tmp_path / "a.csv").write_text("x,label\n1,a\n")
    with pytest.raises(UserError, match="does not state its rate"):
        read(tmp_path, '[signal]\nfiles = "a.csv"\nchannels = ["x"]\n' + COLUMN + FRAMES)
