"""A checkpoint is enough to encode recordings; the embeddings equal those of the evaluation, bit by bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from emargin_train import checkpoint
from emargin_train import encode as program
from emargin_train.config import TrainConfig
from emargin_train.data import load
from emargin_train.data.recording import Recording
from emargin_train.embedding_files import write
from emargin_train.encode import encode, recordings
from emargin_train.errors import UserError
from emargin_train.methods import METHODS
from emargin_train.train import State, train
from emargin_train.trained_encoder import TrainedEncoder, load_encoder
from tests import tiny
from tests.emargin_train.synthetic import make_splits


def trained(folder: Path, **more: object) -> tuple[TrainedEncoder, State]:
    flat = {"dataset": str(tiny.tiny()), "evaluation_frames": 200} | more
    if METHODS[str(flat.get("method", "emargin"))].Training is not None:
        flat["iterations"] = 3
    config = TrainConfig.from_dict(flat)
    *_, state = train(config, load(config.data))
    checkpoint.save(state, folder / "encoder.pt")
    return load_encoder(folder / "encoder.pt"), state


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedEncoder, State]:
    return trained(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def own() -> list[Recording]:
    return list(recordings(str(tiny.tiny()), None))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"method": "infonce", "encoder": "dilated", "dilated.depth": 2},
        {"kernel_size": 3, "spectrum_scale": "log"},
        {"method": "pca"},
        {"method": "emargin-semi", "supervised_term": "cross-entropy"},
    ],
    ids=["emargin", "dilated", "kernel-3-log", "pca", "semi"],
)
def test_recordings_give_the_embeddings_of_the_training(
    more: dict[str, object], tmp_path: Path, own: list[Recording]
) -> None:
    encoder, state = trained(tmp_path, **more)
    validation = load(state.config.data).validation
    kept = encode(state.method, validation, np.ones(validation.shape[:2], bool))
    kept = kept.reshape(*validation.shape[:2], -1)
    found = {recording.record: encoder.encode(recording) for recording in own}
    t = validation.shape[1]
    for row, record in enumerate(validation.record):
        first = int(validation.start[row])
        np.testing.assert_array_equal(found[record].h[first : first + t], kept[row])


@pytest.mark.parametrize("name", METHODS)
def test_the_file_of_every_method_encodes_recordings(name: str, tmp_path: Path, own: list[Recording]) -> None:
    """As the training does, but for the size of batches, on which the sums of some networks depend."""
    encoder, state = trained(tmp_path, method=name, **METHODS[name].small)
    validation = load(state.config.data).validation
    kept = encode(state.method, validation, np.ones(validation.shape[:2], bool))
    assert encoder.dim == kept.shape[1]
    (record,) = set(validation.record)
    found = encoder.encode(next(recording for recording in own if recording.record == record))
    np.testing.assert_allclose(found.h[: len(kept)], kept, rtol=1e-4, atol=1e-5 * np.abs(kept).max())


def test_times_and_labels(ours: tuple[TrainedEncoder, State], own: list[Recording]) -> None:
    found = ours[0].encode(own[0])
    np.testing.assert_allclose(np.diff(found.start_s), 20 / 50)
    names = [own[0].class_names[i] for i in own[0].labels[::20]]
    assert found.label == names[: len(found.label)] and len(found.h) == len(found.start_s) == 240


def test_every_frame_is_encoded_where_the_last_sequence_is_not_whole(
    tmp_path: Path, own: list[Recording]
) -> None:
    encoder, _ = trained(tmp_path, method="infonce", encoder="dilated", **{"dilated.depth": 2})
    whole = own[0]
    short = replace(whole, signal=whole.signal[:, :-100], labels=whole.labels[:-100])  # 5 frames less
    found, cut = encoder.encode(whole).h, encoder.encode(short).h
    assert len(cut) == len(found) - 5
    # Whole sequences of 20 see what they saw; a batch of another size sums in another order.
    np.testing.assert_allclose(cut[:220], found[:220], rtol=0, atol=1e-5)
    assert np.isfinite(cut).all()


def test_another_rate_is_resampled(ours: tuple[TrainedEncoder, State]) -> None:
    t = np.arange(0, 60, 1 / 50)
    slow = recording(np.sin(2 * np.pi * 3 * t), 50.0)
    fast_t = np.arange(0, 60, 1 / 128)
    fast = recording(np.sin(2 * np.pi * 3 * fast_t) + np.sin(2 * np.pi * 55 * fast_t), 128.0)
    a, b = ours[0].encode(slow), ours[0].encode(fast)  # 55 Hz must not come back as 5 Hz
    assert len(a.h) == len(b.h)
    inner = slice(2, -2)
    np.testing.assert_allclose(a.h[inner], b.h[inner], atol=0.05 * np.abs(a.h).max())


def test_units_and_the_order_of_channels(ours: tuple[TrainedEncoder, State], own: list[Recording]) -> None:
    encoder = replace(ours[0], signal=replace(ours[0].signal, units=("mV",)))
    here = replace(own[0], units=("mV",))
    other = replace(
        own[0],
        signal=np.vstack([np.ones_like(own[0].signal), own[0].signal / np.float32(1000)]),
        channels=("y", "x"),
        units=("mV", "V"),
    )
    np.testing.assert_allclose(encoder.encode(other).h, encoder.encode(here).h, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"channels": ("z",)}, "needs x"),
        ({"units": ("m",)}, "converted"),
        ({"rate_hz": 50.0123457}, "rate_hz = 50"),
    ],
)
def test_what_does_not_fit_is_refused(
    ours: tuple[TrainedEncoder, State], own: list[Recording], change: dict[str, object], said: str
) -> None:
    encoder = replace(ours[0], signal=replace(ours[0].signal, units=("mV",)))
    with pytest.raises(UserError, match=said):
        encoder.encode(replace(own[0], **({"units": ("mV",)} | change)))


def test_units_of_an_array_are_one_for_all_or_one_for_each(ours: tuple[TrainedEncoder, State]) -> None:
    two = replace(ours[0].signal, channels=("x", "y"), units=("mV", "mV"))
    encoder = replace(ours[0], signal=two)
    with pytest.raises(UserError, match="units are mV, V, V, but the channels are x, y: give one unit"):
        encoder.encode_array(np.zeros((2, 500)), units=("mV", "V", "V"))


def test_too_short_a_recording_is_refused(ours: tuple[TrainedEncoder, State]) -> None:
    with pytest.raises(UserError, match="longer recording"):
        ours[0].encode(recording(np.zeros(10), 50.0))


def test_a_training_on_frames_alone_is_refused(tmp_path: Path) -> None:
    *_, state = train(TrainConfig.from_dict({"iterations": 1}), make_splits())
    checkpoint.save(state, tmp_path / "frames.pt")
    with pytest.raises(UserError, match="what its signals were"):
        load_encoder(tmp_path / "frames.pt")


@pytest.mark.parametrize("ending", [".parquet", ".arrow"])
def test_program_writes_a_whole_file(
    ending: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own: list[Recording],
    capsys: pytest.CaptureFixture,
) -> None:
    encoder, _ = trained(tmp_path)
    out = tmp_path / f"x{ending}"
    words = ["encode", str(tmp_path / "encoder.pt"), str(tiny.tiny()), "--out", str(out)]
    monkeypatch.setattr("sys.argv", words)
    program.main()
    table = pq.read_table(out) if ending == ".parquet" else pyarrow.ipc.open_file(out).read_all()
    assert table.column_names == ["record", "subject", "start_s", "label", "h"]
    assert table.num_rows == 5 * 240 and "1200 frames of 5 recordings" in capsys.readouterr().out
    first = np.array(table["h"][0].as_py(), np.float32)
    np.testing.assert_array_equal(first, encoder.encode(own[0]).h[0])


def test_a_failure_leaves_no_file(
    tmp_path: Path, ours: tuple[TrainedEncoder, State], own: list[Recording]
) -> None:
    wrong = replace(own[1], channels=("z",))
    with pytest.raises(UserError):
        list(write(map(ours[0].encode, [own[0], wrong]), tmp_path / "x.parquet"))
    assert list(tmp_path.iterdir()) == []


def recording(x: np.ndarray, rate_hz: float) -> Recording:
    signal = x[None].astype(np.float32)
    labels = np.full(signal.shape[1], -1, np.int16)
    return Recording(signal, rate_hz, labels, ("low", "middle", "high"), "s", "r", ("x",), ("",))
