"""Single files: encoded as the recordings of a study are, or refused with the flag that is missing."""

import sys
from dataclasses import replace
from pathlib import Path

import edfio
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from emargin_train import checkpoint, trained_encoder
from emargin_train import encode as program
from emargin_train.config import TrainConfig
from emargin_train.data.frames import spectra
from emargin_train.data.sequences import piece
from emargin_train.data.signal_file import FileOptions, open_file
from emargin_train.data.signal_spec import SignalSpec
from emargin_train.errors import UserError, exit_on_user_error
from emargin_train.train import State, train
from emargin_train.trained_encoder import TrainedEncoder, load_encoder
from tests import tiny
from tests.emargin_train.data.made import write_wfdb
from tests.emargin_train.synthetic import make_splits
from tests.emargin_train.test_trained_encoder import recording

SPEC = SignalSpec(("I", "II"), ("mV", "mV"), 100.0, 20, 8, (0.25, -1.0), (2.0, 0.5), 20)
N = 5000
VALUES = np.random.default_rng(0).normal(0, 0.3, (2, N)).round(3).astype(np.float32)


def made(spec: SignalSpec, folder: Path, **more: object) -> Path:
    """The checkpoint of an encoder that learned from such signals, of two channels."""
    splits = make_splits(t=20, f=spec.n_features)
    raw = np.random.default_rng(0).normal(size=(16, 20, 2 * spec.frame)).astype(np.float32)
    train_ = replace(splits.train, samples=lambda: raw)
    splits = replace(splits, train=train_, n_channels=2)
    config = TrainConfig.from_dict({"method": "infonce", "iterations": 2} | more)
    *_, state = train(config, replace(splits, signal=spec))
    checkpoint.save(state, folder / "encoder.pt")
    return folder / "encoder.pt"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TrainedEncoder:
    return load_encoder(made(SPEC, tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def dilated(tmp_path_factory: pytest.TempPathFactory) -> TrainedEncoder:
    more = {"encoder": "dilated", "dilated.depth": 2}
    return load_encoder(made(SPEC, tmp_path_factory.mktemp("dilated"), **more))


def of_values(values: np.ndarray = VALUES, rate_hz: float = 100.0):
    one = recording(values[0], rate_hz)
    return replace(one, signal=values, channels=("I", "II"), units=("mV", "mV"), class_names=())


def encoded(encoder: TrainedEncoder, path: Path, **options: object) -> np.ndarray:
    file = open_file(path, FileOptions(**options), encoder.signal)
    return np.concatenate([part.h for run in file.stretches for part in encoder.encode_pieces(run)])


def write(folder: Path, kind: str) -> tuple[Path, dict[str, object]]:
    """The values in a file of that kind, and the flags that it needs."""
    path = folder / f"x.{kind}"
    if kind == "csv":
        rows = "\n".join(f"{a},{k % 3},{b}" for k, (a, b) in enumerate(VALUES.T.tolist()))
        path.write_text(f"I,label,II\n{rows}\n")
    elif kind == "parquet":
        import pyarrow as pa

        pq.write_table(pa.table({"II": VALUES[1], "I": VALUES[0]}), path)
    elif kind == "mat":
        scipy.io.savemat(path, {"I": VALUES[0], "II": VALUES[1]})
    elif kind == "hea":
        write_wfdb(folder, "x", VALUES.T.astype(float), [(0, "(N")], rate=100)
        return path, {"channels": ("1", "ECG2")}
    else:
        signals = [
            edfio.EdfSignal(
                v.astype(float), 100, label=n, physical_dimension="uV", physical_range=(-3000, 3000)
            )
            for n, v in zip(("II", "I"), VALUES[::-1] * 1000, strict=True)
        ]
        edfio.Edf(signals).write(path)
        return path, {}
    return path, {"rate_hz": 100.0, "units": ("mV",)}


@pytest.mark.parametrize("kind", ["csv", "parquet", "mat", "hea", "edf"])
def test_every_format_gives_the_embeddings_of_its_values(
    kind: str, encoder: TrainedEncoder, tmp_path: Path
) -> None:
    path, options = write(tmp_path, kind)
    expected = encoder.encode(of_values())
    found = encoded(encoder, path, **options)
    if kind in ("hea", "edf"):  # which store whole numbers
        np.testing.assert_allclose(found, expected.h, atol=0.05 * expected.h.max())
    else:
        np.testing.assert_array_equal(found, expected.h)


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(1, N - 1), max_size=8), seen=st.booleans(), rate_hz=st.sampled_from([100, 256])
)
def test_where_a_recording_is_cut_changes_no_bit(
    encoder: TrainedEncoder, dilated: TrainedEncoder, cuts: list[int], seen: bool, rate_hz: int
) -> None:
    """With small batches, so that a short recording has many; also for an encoder that sees its sequence."""
    own, one = (dilated if seen else encoder), of_values(rate_hz=float(rate_hz))
    edges = sorted({0, N, *cuts})
    pieces = (piece(one, a, b) for a, b in zip(edges[:-1], edges[1:], strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained_encoder, "SEQUENCES", 2)
        expected = own.encode(one)
        parts = list(own.encode_pieces(pieces))
    np.testing.assert_array_equal(np.concatenate([part.h for part in parts]), expected.h)
    np.testing.assert_array_equal(np.concatenate([part.start_s for part in parts]), expected.start_s)
    assert len(parts) > 3
    n = -(-N * 100 // rate_hz)
    assert len(expected.h) == (n - 20) // 8 + 1


def test_the_size_of_a_batch_changes_no_bit_of_a_frame_wise_encoder(
    encoder: TrainedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = encoder.encode(of_values()).h
    for sequences in (1, 3, 1000):
        monkeypatch.setattr(trained_encoder, "SEQUENCES", sequences)
        np.testing.assert_array_equal(encoder.encode(of_values()).h, expected)


def test_normalisation_is_that_of_the_training(encoder: TrainedEncoder) -> None:
    """A louder recording stays louder: its own mean and deviation are not asked."""
    normal = (VALUES.astype(np.float64) - [[0.25], [-1.0]]) / [[2.0], [0.5]]
    expected = encoder.embed(spectra(normal.astype(np.float32), 20, 8))
    np.testing.assert_array_equal(encoder.encode(of_values()).h, expected)
    assert not np.allclose(encoder.encode(of_values(VALUES * 3)).h, expected)


def test_missing_samples_break_a_file(encoder: TrainedEncoder, tmp_path: Path) -> None:
    values = VALUES.copy()
    values[1, 2000:2003] = np.nan
    values[0, 2010] = np.nan
    path = tmp_path / "x.csv"
    cells = (",".join("" if np.isnan(v) else str(v) for v in row) for row in values.T.tolist())
    path.write_text("I,II\n" + "\n".join(cells) + "\n")
    options = FileOptions(rate_hz=100.0, units=("mV",))
    work = program.Encoding.of(encoder, str(path), None, options)
    parts = list(work.run())
    before, after = of_values(VALUES[:, :2000]), of_values(VALUES[:, 2011:])
    expected = np.concatenate([encoder.encode(before).h, encoder.encode(after).h])
    np.testing.assert_array_equal(np.concatenate([part.h for part in parts]), expected)
    start_s = np.concatenate([part.start_s for part in parts])
    assert start_s[len(encoder.encode(before).h)] == pytest.approx(20.11) and work.n_short == 1


def test_time_stamps_tell_the_rate(encoder: TrainedEncoder, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = "\n".join(f"{10 * k},{a},{b}" for k, (a, b) in enumerate(VALUES.T.tolist()))
    path.write_text(f"ms,I,II\n{rows}\n")
    found = encoded(encoder, path, time="ms", time_unit="ms", units=("mV",))
    np.testing.assert_array_equal(found, encoder.encode(of_values()).h)


@pytest.mark.parametrize("unit", ["s", "us"])
def test_time_stamps_in_another_unit_are_noticed(unit: str, encoder: TrainedEncoder, tmp_path: Path) -> None:
    """Milliseconds read as seconds would be a recording of 0.1 samples a second, resampled without a word."""
    path = tmp_path / "x.csv"
    rows = "\n".join(f"{10 * k},{a},{b}" for k, (a, b) in enumerate(VALUES.T.tolist()))
    path.write_text(f"t,I,II\n{rows}\n")
    with pytest.raises(UserError, match=rf"stamps count {unit}.*time_unit = .ms. they give 100"):
        encoded(encoder, path, time="t", time_unit=unit, units="mV")


def test_one_call_encodes_a_recording_a_file_or_an_array(encoder: TrainedEncoder, tmp_path: Path) -> None:
    path, _ = write(tmp_path, "csv")
    expected = encoder.encode(of_values()).h
    for source, options in (
        (path, {"rate_hz": 100.0, "units": "mV"}),
        (str(path), {"rate_hz": 100.0, "units": ("mV", "mV"), "channels": "I,II"}),
        (VALUES, {"rate_hz": 100.0, "units": "mV"}),
    ):
        np.testing.assert_array_equal(encoder.encode(source, **options).h, expected)
    with pytest.raises(TypeError, match="did you mean 'rate_hz'"):
        encoder.encode(path, rate=100.0)
    with pytest.raises(UserError, match="rate_hz is given, but a recording states it"):
        encoder.encode(of_values(), rate_hz=100.0)
    with pytest.raises(UserError, match="holds no stretch as long as a frame"):
        (tmp_path / "short.csv").write_text("I,II\n1,2\n3,4\n")
        encoder.encode(tmp_path / "short.csv", rate_hz=100.0, units="mV")
    with pytest.raises(UserError, match="rate_hz is nan"):
        encoder.encode(VALUES, rate_hz=float("nan"))
    with pytest.raises(UserError, match=r"x.py is not a file of recordings: give one that ends in .*\.edf"):
        encoder.encode("x.py")


@pytest.mark.parametrize(
    "kind, options, said",
    [
        ("csv", {"units": ("mV",)}, "--rate-hz"),
        ("csv", {"rate_hz": 100.0}, "--units"),
        ("csv", {"rate_hz": 100.0, "units": ("mV", "mV", "mV")}, "--units names 3"),
        ("csv", {"rate_hz": 100.0, "units": ("g",)}, "'g'.*cannot be converted"),
        ("csv", {"rate_hz": 100.0, "units": "none"}, "--units is none, but the encoder learned from 'mV'"),
        ("csv", {"rate_hz": 0.0, "units": "mV"}, "--rate-hz is 0"),
        ("csv", {"rate_hz": 100.0, "units": ("mV",), "channels": ("I",)}, "--channels names 1"),
        ("csv", {"rate_hz": 100.0, "units": ("mV",), "channels": ("I", "III")}, "did you mean 'II'"),
        ("csv", {"time": "label", "units": ("mV",)}, "--time-unit, one of date, s"),
        ("csv", {"time": "label", "time_unit": "h", "units": ("mV",)}, "--time-unit is 'h'"),
        ("csv", {"time_unit": "s", "rate_hz": 100.0, "units": ("mV",)}, "without --time"),
        ("csv", {"rate_hz": 100.0, "units": ("mV",), "variable": "x"}, "--variable"),
        ("edf", {"rate_hz": 200.0}, "--rate-hz is 200, but .* states 100"),
        ("edf", {"units": ("mV",)}, "--units has 'mV', but .* states 'uV'"),
        ("edf", {"time": "I", "time_unit": "s"}, "--time is given, but"),
        ("hea", {"channels": None}, "which has ECG1, ECG2, has no 'I': say by --channels"),
        (
            "mat",
            {"variable": "I", "rate_hz": 100.0, "units": ("mV",)},
            "no names, has no 'I': say by --channels",
        ),
    ],
)
def test_what_is_not_known_is_refused_by_the_name_of_its_flag(
    kind: str, options: dict[str, object], said: str, encoder: TrainedEncoder, tmp_path: Path
) -> None:
    path, needed = write(tmp_path, kind)
    with pytest.raises(UserError, match=said):
        encoded(encoder, path, **({} if kind == "csv" else needed) | options)


@pytest.mark.parametrize(
    "text, options, said",
    [
        ("0.1,0.2\n0.3,0.4\n", {"channels": ("1", "2")}, "begins with numbers"),
        ("I;II\n0.3;0.4\n", {"channels": ("1", "2")}, "only one column, 'I;II'"),
        ("2,1\n0.3,0.4\n", {"channels": ("1", "2")}, "begins with numbers"),
        (
            "I,1,x\n0.3,0.4,0.5\n",
            {"channels": ("I", "1")},
            "name of one channel .* and the position of another",
        ),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(
    text: str, options: dict[str, object], said: str, encoder: TrainedEncoder, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        encoded(encoder, tmp_path / "x.csv", rate_hz=100.0, units=("mV",), **options)


def test_a_unit_that_the_training_did_not_state(encoder: TrainedEncoder, tmp_path: Path) -> None:
    path, _ = write(tmp_path, "edf")
    unknown = replace(encoder, signal=replace(SPEC, units=("", "")))
    with pytest.raises(UserError, match="--units none"):
        encoded(unknown, path)
    assert np.isfinite(encoded(unknown, path, units=("none",))).all()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, State]:
    from tests.emargin_train.test_trained_encoder import trained

    folder = tmp_path_factory.mktemp("study")
    _, state = trained(folder)
    return folder / "encoder.pt", state


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["encode", *map(str, words)])
    try:
        exit_on_user_error(program.main)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_program_encodes_one_file_as_the_study_did(
    study: tuple[Path, State], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path, state = study
    source, out = tiny.tiny().parent / f"{state.train.record[0]}.csv", tmp_path / "x.parquet"
    assert run(monkeypatch, path, source, "--rate-hz", 50, "--out", out) == 0
    table = pq.read_table(out)
    kept = program.encode(state.method, state.train, np.ones(state.train.y.shape, bool))
    kept = kept.reshape(*state.train.y.shape, -1)[state.train.record == state.train.record[0]]
    found = np.stack(table["h"].to_pylist()).astype(np.float32).reshape(kept.shape)
    np.testing.assert_array_equal(found, kept)
    assert table["label"].null_count == 240 and table["start_s"][1].as_py() == pytest.approx(0.4)
    assert "240 frames of 1 recording, 320 numbers each" in capsys.readouterr().out


@pytest.mark.parametrize(
    "rate_hz, said",
    [
        (100, "recordings at 100 Hz were resampled to the encoder's 50 Hz"),
        (25, "at 25 Hz were resampled to the encoder's 50 Hz; they have nothing above 12.5 Hz"),
        (50, None),
    ],
)
def test_the_program_says_that_it_resampled(
    study: tuple[Path, State],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    rate_hz: int,
    said: str | None,
) -> None:
    path, state = study
    source = tiny.tiny().parent / f"{state.train.record[0]}.csv"
    assert run(monkeypatch, path, source, "--rate-hz", rate_hz, "--out", tmp_path / "x.parquet") == 0
    shown = capsys.readouterr().out
    assert said in shown if said else "resampled" not in shown


def test_the_program_takes_recordings_without_labels(
    study: tuple[Path, State], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = tiny.DESCRIPTION.split("[labels]")
    plain = tmp_path / "plain.toml"
    plain.write_text(before + "[frames]" + after.split("[frames]")[1])
    words = (study[0], plain, "--data-dir", tiny.tiny().parent, "--out", tmp_path / "x.parquet")
    assert run(monkeypatch, *words) == 0
    labelled = (study[0], tiny.tiny(), "--out", tmp_path / "y.parquet")
    assert run(monkeypatch, *labelled) == 0
    x, y = pq.read_table(tmp_path / "x.parquet"), pq.read_table(tmp_path / "y.parquet")
    assert x["label"].null_count == 1200 and y["label"].null_count == 0
    assert x.drop_columns("label") == y.drop_columns("label")


@pytest.mark.parametrize(
    "words, said",
    [
        (("sleepeeg-sim", "--rate-hz", "100"), "--rate-hz is given, but it is for single files"),
        (("x.csv", "--data-dir", "."), "--data-dir is given"),
        (("missing.edf",), "missing.edf does not exist"),
        (("night.xyz",), "night.xyz is not a file of recordings: give one that ends in"),
        (("x.csv", "--rate-hz", "-1"), "--rate-hz is -1"),
    ],
)
def test_the_program_refuses_in_one_line(
    words: tuple[str, ...],
    said: str,
    study: tuple[Path, State],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    assert run(monkeypatch, study[0], *words, "--out", tmp_path / "x.parquet") == 2
    assert said in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_the_program_replaces_a_file_only_if_told_to(
    study: tuple[Path, State], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The embeddings of night.parquet must not replace the recording, though both may have that name."""
    recording = pd.read_csv(tiny.tiny().parent / f"{study[1].train.record[0]}.csv")
    source = tmp_path / "night.parquet"
    recording.to_parquet(source)
    for more in ((), ("--overwrite",)):
        assert run(monkeypatch, study[0], source, "--rate-hz", 50, "--out", source, *more) == 2
        assert "from which the recording is read" in capsys.readouterr().err
    pd.testing.assert_frame_equal(pd.read_parquet(source), recording)
    words = (study[0], source, "--rate-hz", 50, "--out", tmp_path / "x.parquet")
    assert run(monkeypatch, *words) == 0 and run(monkeypatch, *words) == 2
    assert "exists already" in capsys.readouterr().err
    assert run(monkeypatch, *words, "--overwrite") == 0
    (tmp_path / "folder.parquet").mkdir()
    assert run(monkeypatch, *words[:-1], tmp_path / "folder.parquet", "--overwrite") == 2
    assert "which is a folder" in capsys.readouterr().err
