"""The paper code's packed files: golden spectra, splits, and pickles that would run code."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from emargin_train.data import catalogue, load
from emargin_train.data.frames import majority, spectra
from emargin_train.data.packed_files import load_pickle, load_torch
from emargin_train.data.settings import DataConfig
from emargin_train.errors import UserError
from tests.emargin_train.data.made import command, refused


def save_ecg(folder, signal, labels, protocol=pickle.DEFAULT_PROTOCOL):
    (folder / "tensor_data.pkl").write_bytes(pickle.dumps(signal, protocol))
    (folder / "tensor_label.pkl").write_bytes(pickle.dumps(labels, protocol))


def read(name, folder, **more):
    config = DataConfig(dataset=name, data_dir=str(folder), **more)
    return [(part.split, r) for part in catalogue.find(name).parts(config) for r in part.read()]


def test_golden_sleep_spectra_through_a_torch_file(shared, tmp_path):
    golden = np.load(shared / "golden" / "spectra.npz")
    samples, n = torch.tensor(golden["sleep_samples"]), len(golden["sleep_samples"])
    for name in ("train.pt", "val.pt"):
        torch.save({"samples": samples, "labels": torch.arange(n) % 5}, tmp_path / name)
    (split, stream), (other, _) = read("sleepeeg", tmp_path)
    assert (split, other) == ("train", "validation")
    x = spectra(stream.signal, 178, 178)
    np.testing.assert_allclose(x, golden["sleep_features"], rtol=2e-5, atol=2e-5)
    assert majority(stream.labels, 178, 178, 5).tolist() == (np.arange(n) % 5).tolist()


def test_golden_ecg_spectra_and_labels_through_pickles(shared, tmp_path):
    golden = np.load(shared / "golden" / "spectra.npz")
    save_ecg(tmp_path, golden["ecg_signal"], golden["ecg_labels"][None])
    ((_, recording),) = read("ecg", tmp_path)
    assert recording.rate_hz == 250 and recording.class_names == ("AFIB", "AFL", "J", "N")
    x = spectra(recording.signal, 1500, 750)
    np.testing.assert_allclose(x, golden["ecg_features"], rtol=1e-4, atol=1e-3)
    assert majority(recording.labels, 1500, 750, 4).tolist() == golden["ecg_frame_labels"].tolist()


def test_split_released_joins_recordings_into_one_stream_and_cuts_it_in_order(tmp_path):
    """Frames of the joined stream, 80 % of the sequences in front for training, as the paper's code cuts."""
    rng = np.random.default_rng(0)
    signal = rng.normal(0, 1, (4, 2, 20_000)).astype(np.float32)
    labels = rng.integers(0, 4, (4, 200)).repeat(100, axis=1)
    save_ecg(tmp_path, signal, labels)
    splits = load(DataConfig(dataset="ecg", data_dir=str(tmp_path), split="released", sequence_length=10))
    stream = signal.transpose(1, 0, 2).reshape(2, -1)
    x = spectra(stream, 1500, 750)
    n = len(x) // 10
    n_valid = int(np.floor(n * 0.2))
    assert (len(splits.train), len(splits.validation), splits.test) == (n - n_valid, n_valid, None)
    got = np.concatenate([splits.train.x(), splits.validation.x()]).reshape(-1, 1502)
    np.testing.assert_allclose(got, x[: n * 10], rtol=1e-4, atol=1e-3)
    y = majority(labels.reshape(-1).astype(np.int16), 1500, 750, 4)[: n * 10]
    assert np.concatenate([splits.train.y, splits.validation.y]).ravel().tolist() == y.tolist()


def test_without_it_recordings_stay_apart(tmp_path):
    labels = np.arange(8).repeat(1500).reshape(1, -1).repeat(6, axis=0) % 4
    save_ecg(tmp_path, np.random.default_rng(0).normal(0, 1, (6, 2, 12_000)), labels)
    splits = load(DataConfig(dataset="ecg", data_dir=str(tmp_path), sequence_length=5))
    assert {len(set(f.subject)) for f in splits.by_name().values()} == {4, 1}


def test_the_epilepsy_pack(shared):
    folder = shared / "data" / "sleepeeg" / "tfc-epilepsy-pack"
    splits = load(DataConfig(dataset="packed", data_dir=str(folder)))
    assert splits.train.shape == (3, 20, 90) and splits.validation.shape == (1, 20, 90)
    assert [int((splits.train.y == c).sum()) for c in (0, 1)] == [30, 30]
    assert [int((splits.validation.y == c).sum()) for c in (0, 1)] == [10, 10]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["f4", ">f8", "i8", "u1", "b1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_unpickled_as_they_were(tmp_path, protocol, dtype, order):
    array = np.asarray(np.arange(24).reshape(2, 3, 4) % 5, dtype=dtype, order=order)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(array, protocol))
    got = load_pickle(tmp_path / "a.pkl")
    assert got.dtype == array.dtype and np.array_equal(got, array)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bfloat16])
def test_tensors_are_unpickled_as_they_were(tmp_path, dtype):
    tensor = torch.arange(24).reshape(2, 3, 4).to(dtype)[:, 1:]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(tensor))
    assert np.array_equal(load_pickle(tmp_path / "a.pkl"), tensor.float().numpy())


class Malicious:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def attacks(marker):
    command = f"touch {marker}"
    yield "system", Malicious(os.system, command)
    yield "eval", Malicious(eval, f"__import__('os').system('{command}')")
    yield "getattr", Malicious(getattr, "text", "upper")
    yield "inside an array", np.array([Malicious(os.system, command)], dtype=object)
    yield "inside a list", [np.zeros(3), Malicious(os.system, command)]
    yield "numpy's own", Malicious(np.load, str(marker))
    yield "storage", Malicious(torch.storage._load_from_bytes, pickle.dumps(Malicious(os.system, command)))


@pytest.mark.parametrize("kind", [name for name, _ in attacks("x")])
def test_pickles_that_run_code_are_refused_and_run_nothing(tmp_path, capsys, kind):
    marker = tmp_path / "was-here"
    attack = dict(attacks(marker))[kind]
    (tmp_path / "tensor_data.pkl").write_bytes(pickle.dumps(attack))
    (tmp_path / "tensor_label.pkl").write_bytes(pickle.dumps(np.zeros(3)))
    said = refused(capsys, "describe", "ecg", "--data-dir", tmp_path)
    assert "tensor_data.pkl" in said and not marker.exists()


def test_a_torch_file_that_runs_code_is_refused_and_runs_nothing(tmp_path, capsys):
    marker = tmp_path / "was-here"
    for name in ("train.pt", "val.pt"):
        torch.save({"samples": Malicious(os.system, f"touch {marker}"), "labels": 0}, tmp_path / name)
    said = refused(capsys, "describe", "sleepeeg", "--data-dir", tmp_path)
    assert "holds more than tensors" in said and not marker.exists()


def raw(opcodes: bytes) -> bytes:
    return b"\x80\x04" + opcodes + b"."


HUGE = (1 << 62).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b"not a pickle", "cannot be read"),
        (raw(b"N"), "holds a NoneType instead of an array"),
        (raw(b"]"), "holds a list instead of an array"),
        (raw(b"\x8e" + HUGE), "cannot be read"),  # a string longer than the file
        (raw(b"\x8b\xff\xff\xff\x7f"), "cannot be read"),  # an integer likewise
        (raw(b"N\x72\xff\xff\xff\xff0N"), "instead of an array"),  # a memo of four billion places
        (raw(b"\x82\x01"), "cannot be read"),  # an extension
        (raw(b"\x8c\x01x\x94Q"), "cannot be read"),  # something outside the file
        (raw(b"cnumpy\nndarray\n)R"), "holds a NoneType instead of an array"),  # an array without a state
        (pickle.dumps(np.zeros(3)).replace(b"f8", b"O8"), "instead of numbers"),
        (pickle.dumps(np.zeros(3)).replace(b"f8", b"f4"), "cannot be read"),
        (pickle.dumps(np.zeros(3), 5).replace(b"K\x03", b"K\x04"), "cannot be read"),
        (raw(b"cnumpy._core.numeric\n_frombuffer\n(C\x01xNK\x01\x85\x8c\x01CtR"), "an array of objects"),
        (
            raw(
                b"cnumpy._core.numeric\n_frombuffer\n(C\x01xcnumpy\ndtype\n\x8c\x02u1\x85R("
                + b"K\x01" * 9
                + b"t\x8c\x01CtR"
            ),
            "an array of shape",
        ),
        (raw(b"c_codecs\nencode\n\x8c\x01x\x8c\x03rot\x86R"), "text encoded as rot"),
        (pickle.dumps(np.zeros(3))[:-20], "cannot be read"),
        (pickle.dumps(torch.zeros(3).to_sparse()), "wants to call"),
        (pickle.dumps(torch.zeros(3, dtype=torch.complex64)), "not plain numbers"),
    ],
    ids=range(19),
)
def test_damaged_pickles_are_named(tmp_path, content, said):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        load_pickle(tmp_path / "a.pkl")
    assert str(tmp_path / "a.pkl") in str(error.value)


def test_a_tensor_that_would_unfold_beyond_reason_is_refused(tmp_path):
    """A hundred bytes, seen as 10^12 numbers by strides of zero."""
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(torch.zeros(1).expand(10**6, 10**6)))
    with pytest.raises(UserError, match="claims 1,000,000,000,000 values"):
        load_pickle(tmp_path / "a.pkl")
    torch.save({"samples": torch.zeros(1).expand(10**6, 10**6), "labels": torch.zeros(1)}, tmp_path / "a.pt")
    with pytest.raises(UserError, match="claims 1,000,000,000,000 values"):
        load_torch(tmp_path / "a.pt", ("samples", "labels"))


def test_damaged_torch_files_are_named(tmp_path, capsys):
    good = io.BytesIO()
    torch.save({"samples": torch.zeros(3, 1, 178), "labels": torch.zeros(3)}, good)
    (tmp_path / "val.pt").write_bytes(good.getvalue())

    def said(content: bytes) -> str:
        (tmp_path / "train.pt").write_bytes(content)
        return refused(capsys, "describe", "sleepeeg", "--data-dir", tmp_path)

    def saved(content) -> bytes:
        file = io.BytesIO()
        torch.save(content, file)
        return file.getvalue()

    assert "cannot be read as a torch file" in said(good.getvalue()[:500])
    assert "cannot be read as a torch file" in said(b"")
    assert "does not hold samples and labels" in said(saved({"samples": torch.zeros(3)}))
    assert "does not hold samples and labels" in said(saved(torch.zeros(3)))
    assert "not (n, channels, length) and (n,)" in said(
        saved({"samples": torch.zeros(3, 1, 178), "labels": torch.zeros(4)})
    )
    assert "from 0 to 4" in said(
        saved({"samples": torch.zeros(3, 1, 178), "labels": torch.tensor([0, 1, 5])})
    )
    assert "from 0 to 4" in said(
        saved({"samples": torch.zeros(3, 1, 178), "labels": torch.tensor([0, 0.5, 1])})
    )
    assert "holds a list instead of an array" in said(saved({"samples": [1.0], "labels": torch.zeros(1)}))
    assert "samples that are not numbers" in said(
        saved({"samples": torch.zeros(3, 1, 178, dtype=torch.bool), "labels": torch.zeros(3)})
    )
    (tmp_path / "train.pt").write_bytes(saved({"samples": torch.zeros(3, 178), "labels": torch.zeros(3)}))
    described = command(capsys, "describe", "sleepeeg", "--data-dir", tmp_path)
    assert described[0] == 0, "windows without a channel axis are described"
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"0" * 1_000_000)
    assert "claims more bytes than it has" in said(bomb.getvalue())


def test_incomplete_packs_are_named(tmp_path, capsys):
    assert "holds neither train.pt and val.pt" in refused(
        capsys, "describe", "packed", "--data-dir", tmp_path
    )
    (tmp_path / "train.pt").write_bytes(b"")
    assert "val.pt is missing" in refused(capsys, "describe", "packed", "--data-dir", tmp_path)
    (tmp_path / "tensor_data.pkl").write_bytes(pickle.dumps(np.zeros((2, 2, 10))))
    assert "tensor_label.pkl is missing" in refused(capsys, "describe", "ecg", "--data-dir", tmp_path)
    (tmp_path / "tensor_label.pkl").write_bytes(pickle.dumps(np.zeros(7)))
    assert "not (n, channels, length) and (n, length)" in refused(
        capsys, "describe", "ecg", "--data-dir", tmp_path
    )
