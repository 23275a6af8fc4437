"""A file read block by block gives the values that it gives as a whole, in every format."""

import edfio
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from emargin_train.data import columns, edf_files, edf_stream, stream, wfdb_files
from emargin_train.data.recording import Recording
from emargin_train.data.resample import resampled
from emargin_train.data.sequences import piece
from emargin_train.errors import UserError
from tests.emargin_train.data.made import write_edf

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """So that a short file has many."""
    for module in (stream, edf_stream, wfdb_files):
        monkeypatch.setattr(module, "BLOCK_VALUES", 997)


def whole(blocks, n_channels):
    """(C, n), NaN between blocks that do not follow each other; and the number of blocks."""
    found = list(blocks)
    out = np.full((n_channels, max(first + part.shape[1] for first, part in found)), np.nan, np.float32)
    for first, part in found:
        assert part.dtype == np.float32
        out[:, first : first + part.shape[1]] = part
    return out, len(found)


@pytest.mark.parametrize("kind", ["edf", "bdf"])
def test_edf(tmp_path, kind):
    make, signal = (edfio.Edf, edfio.EdfSignal) if kind == "edf" else (edfio.Bdf, edfio.BdfSignal)
    values = RNG.normal(0, 50, (3, 4000))
    signals = [
        signal(v, 100, label=name, physical_dimension="uV", physical_range=(-400, 300))
        for name, v in zip("abc", values, strict=True)
    ]
    signals.insert(1, signal(RNG.normal(0, 1, 40), 1, label="slow", physical_range=(-9, 9)))
    path = tmp_path / f"x.{kind}"
    make(signals).write(path)
    asked = ["c", 1]
    expected, rate_hz, _, units, _ = edf_files.channels(path, asked)
    found = edf_stream.stream(path, asked)
    got, n = whole(found.blocks, 2)
    np.testing.assert_array_equal(got, expected)
    assert (found.rate_hz, list(found.units), found.n_samples) == (rate_hz, units, 4000) and n > 5
    with pytest.raises(UserError, match="one \\[\\[signal\\]\\] for each rate"):
        edf_stream.stream(path, ["a", "slow"])


def test_an_interrupted_edf(tmp_path):
    path = write_edf(tmp_path / "x.edf", [("a", RNG.normal(0, 50, 3000), 100)], [(0, None, "go")], 1.0)
    raw = bytearray(path.read_bytes())
    raw[192:197] = b"EDF+D"
    for number in range(10, 30):  # the parts from record 10 on start 7 s later
        raw = bytearray(bytes(raw).replace(f"+{number}\x14\x14".encode(), f"+{number + 70}\x14\x14".encode()))
    for number in range(80, 100):
        raw = bytearray(bytes(raw).replace(f"+{number}\x14\x14".encode(), f"+{number - 63}\x14\x14".encode()))
    path.write_bytes(raw)
    expected, *_ = edf_files.channels(path, ["a"])
    got, _ = whole(edf_stream.stream(path, ["a"]).blocks, 1)
    assert np.isnan(expected).sum() == 700
    np.testing.assert_array_equal(got, expected)


FORMATS = ["80", "16", "24", "32", "212", "310", "311", "160", "8", "508"]


@pytest.mark.parametrize("fmt", FORMATS)
def test_wfdb(tmp_path, fmt):
    """Formats that wfdb cannot write: a header that is changed, since any bytes are a signal of them."""
    written = fmt if fmt in ("80", "16", "24", "32", "212") else "16"
    signal = RNG.integers(-100, 100, (3000, 2)) / 100
    wfdb.wrsamp("r", fs=250, units=["mV", "mV"], sig_name=["I", "II"], p_signal=signal,
                fmt=[written] * 2, write_dir=str(tmp_path))  # fmt: skip
    header = tmp_path / "r.hea"
    if fmt != written:
        if fmt == "508":
            pytest.importorskip("soundfile")
            wfdb.wrsamp("r", fs=250, units=["mV", "mV"], sig_name=["I", "II"], p_signal=signal,
                        fmt=["508"] * 2, write_dir=str(tmp_path))  # fmt: skip
        else:
            words = [line.split() for line in header.read_text().splitlines()]
            for line in words[1:3]:
                line[1] = fmt
            for _ in range(2):  # the second time with the sums of the values as they are in that format
                header.write_text("\n".join(map(" ".join, words)) + "\n")
                own = wfdb.rdrecord(str(tmp_path / "r"), physical=False, smooth_frames=False).e_d_signal
                for line, values in zip(words[1:3], own, strict=True):
                    line[6] = str(int(values.sum(dtype=np.int64)) % 65536)
    expected, rate_hz, _, units, _ = wfdb_files.channels(header, ["II", 1])
    found = wfdb_files.stream(header, ["II", 1])
    got, n = whole(found.blocks, 2)
    np.testing.assert_array_equal(got, expected)
    assert (found.rate_hz, list(found.units), found.n_samples) == (rate_hz, units, 3000) and n > 1


def test_a_wfdb_signal_that_fails_its_checksum_is_refused_at_its_end(tmp_path):
    wfdb.wrsamp("r", fs=250, units=["mV"], sig_name=["I"], p_signal=RNG.normal(0, 1, (3000, 1)),
                fmt=["16"], write_dir=str(tmp_path))  # fmt: skip
    raw = bytearray((tmp_path / "r.dat").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "r.dat").write_bytes(raw)
    blocks = wfdb_files.stream(tmp_path / "r.hea", ["I"]).blocks
    next(blocks)
    with pytest.raises(UserError, match="fails its checksum"):
        list(blocks)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables(tmp_path, kind):
    values = RNG.normal(0, 1, (2, 2500)).round(4).astype(np.float32)
    values[0, 100:130] = np.nan
    path = tmp_path / f"x.{kind}"
    if kind == "csv":
        cells = [["" if np.isnan(v) else str(v) for v in row] for row in values]
        path.write_text("a,b\n" + "\n".join(map(",".join, zip(*cells, strict=True))) + "\n")
    else:
        arrays = {n: pa.array(v, from_pandas=True) for n, v in zip("ab", values, strict=True)}
        pq.write_table(pa.table(arrays), path)
    expected, _, _ = columns.read_columns(path, ["b", 1], kind=kind)
    got, _ = whole(columns.stream(path, ["b", 1], kind=kind), 2)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(got, values[::-1])


def test_runs_break_where_samples_are_missing():
    values = np.ones((2, 50), np.float32)
    values[1, 20:22] = np.nan
    blocks = [(0, values[:, :30]), (30, values[:, 30:50]), (60, values[:, :5]), (65, values[:, :5])]
    found = [(run, first, part.shape[1]) for run, (first, part) in stream.runs(iter(blocks))]
    assert found == [(0, 0, 20), (1, 22, 8), (1, 30, 20), (2, 60, 5), (2, 65, 5)]


def recording(signal, rate_hz, start=0):
    labels = (np.arange(signal.shape[1]) // 7 % 3).astype(np.int16)
    return Recording(
        signal, rate_hz, labels, ("a", "b", "c"), "s", "r", ("x", "y"), ("mV", "mV"), start=start
    )


@settings(max_examples=60, deadline=None)
@given(
    rates=st.sampled_from([(100, 250), (250, 100), (256, 250), (128, 50), (50, 50), (360, 250), (1000, 50)]),
    n=st.integers(1, 3000),
    cuts=st.lists(st.integers(1, 2999), max_size=6),
)
def test_where_a_signal_is_cut_changes_nothing(rates, n, cuts):
    own, wanted = rates
    signal = np.random.default_rng(n).normal(5, 1, (2, n)).astype(np.float32)
    one = recording(signal, float(own), start=own)
    edges = sorted({0, n, *(c for c in cuts if c < n)})
    pieces = [piece(one, a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    (expected,) = resampled([one], wanted)
    got = list(resampled(pieces, wanted))
    np.testing.assert_array_equal(np.concatenate([p.signal for p in got], axis=1), expected.signal)
    np.testing.assert_array_equal(np.concatenate([p.labels for p in got]), expected.labels)
    assert expected.signal.shape[1] == -(-n * wanted // own) and got[0].start == wanted
    starts = np.cumsum([wanted, *(p.signal.shape[1] for p in got)])[:-1]
    assert [p.start for p in got] == starts.tolist()
    assert np.abs(expected.signal.mean() - 5) < 1  # no step at the ends


def test_resampling_keeps_a_slow_wave_and_drops_a_fast_one():
    t = np.arange(0, 20, 1 / 200)
    slow, fast = np.sin(2 * np.pi * 3 * t), np.sin(2 * np.pi * 70 * t)
    (got,) = resampled([recording(np.stack([slow, fast]).astype(np.float32), 200.0)], 100.0)
    expected = np.sin(2 * np.pi * 3 * np.arange(0, 20, 1 / 100))
    np.testing.assert_allclose(got.signal[0, 50:-50], expected[50:-50], atol=2e-3)
    assert np.abs(got.signal[1, 50:-50]).max() < 2e-3
