"""Checkpoints are written whole or not at all, and damaged ones are refused."""

from pathlib import Path

import pytest
import torch

from emargin_train import checkpoint
from emargin_train.config import TrainConfig
from emargin_train.errors import UserError
from emargin_train.train import State, train
from tests.emargin_train.synthetic import make_splits

SPLITS = make_splits(4)


@pytest.fixture(scope="module")
def state() -> State:
    own = {"method": "emargin-semi", "label_share": 0.5, "supervised_term": "cross-entropy"}
    return next(train(TrainConfig.from_dict(own | {"iterations": 2, "report_every": 2}), SPLITS))


def test_round_trip(state: State, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.pt"
    checkpoint.save(state, path)
    saved = checkpoint.load(path)
    assert TrainConfig.from_dict(saved["config"]) == state.config
    assert saved["data_hash"] == "synthetic" and saved["versions"]["torch"] == str(torch.__version__)
    assert (saved["step"], saved["losses"], saved["loss"]) == (2, state.losses, state.loss)
    assert (saved["shape"], saved["magnitude_scale"]) == ([20, 15, 3, 1], SPLITS.magnitude_scale)
    mine = state.method.state_dict()
    assert list(saved["method"]) == list(mine) and any(name.startswith("classifier") for name in mine)
    assert all(torch.equal(value, mine[name]) for name, value in saved["method"].items())
    assert [p.name for p in path.parent.iterdir()] == ["state.pt"]


def test_failed_write_leaves_the_older_one(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.pt"
    checkpoint.save(state, path)
    before = path.read_bytes()

    def half(what: object, file: object) -> None:
        file.write(before[:100])  # type: ignore[attr-defined]
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="no space"):
        checkpoint.save(state, path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["state.pt"]


def test_truncated_at_any_length_is_refused(state: State, tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    checkpoint.save(state, path)
    whole = path.read_bytes()
    for length in [0, 1, 10, 100, *range(1000, len(whole), len(whole) // 12), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="state.pt is no checkpoint, or a damaged one"):
            checkpoint.load(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        checkpoint.load(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("not a checkpoint")
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load(tmp_path / "text.pt")
    torch.save({"format": 0}, tmp_path / "old.pt")
    with pytest.raises(UserError, match="does not have format"):
        checkpoint.load(tmp_path / "old.pt")
    torch.save(Path("code"), tmp_path / "code.pt")  # an object, which loading could execute
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load(tmp_path / "code.pt")
