"""The conditions of a CUDA graph, checked without a GPU: no shape, branch or copy depends on a value."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from emargin_train.graphs import WARM_UP, Repeated
from emargin_train.hyperparameters import table
from emargin_train.losses import contrast
from emargin_train.stack import Member, Stack
from emargin_train.train import start, train
from emargin_train.train_many import train_many
from tests.emargin_train.configs import STACKED_VARIANTS, config
from tests.emargin_train.synthetic import make_splits

SPLITS = make_splits()
needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA GPU, to capture a graph on"
)
WITH_NEIGHBOURS = [
    (name, more | {"neighbours": n} if n else more)
    for name, more in STACKED_VARIANTS
    for n in ((1, 2) if "neighbours" in table(name) else (None,))
]
aten = torch.ops.aten
LOOKS = {  # at values, or copies from the host
    aten._local_scalar_dense.default,
    aten.is_nonzero.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.unique_consecutive.default,
    aten._unique2.default,
    aten.lift_fresh.default,
}


class Blind(TorchDispatchMode):
    """Refuses what could not be recorded on a GPU."""

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        by_mask = op in (aten.index.Tensor, aten.index_put_.default, aten.index_put.default) and any(
            which is not None and which.dtype == torch.bool for which in args[1]
        )
        if op in LOOKS or by_mask:
            raise AssertionError(f"{op} cannot be recorded")
        return op(*args, **(kwargs or {}))


class Tape(TorchDispatchMode):
    """Records every operation with the memory of what went in and came out; a replay does them again, there.

    What a CUDA graph does, for a CPU: nothing of Python runs again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = op(*args, **(kwargs or {}))
        self.operations.append((op, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        for op, args, kwargs, recorded in self.operations:
            for old, new in zip(tree_leaves(recorded), tree_leaves(op(*args, **kwargs)), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x.sum().item(),
        lambda x: x[x > 0],
        lambda x: x * x.new_tensor(2.0),
        lambda x: 1 if x.sum() > 0 else 0,
    ],
)
def test_a_look_is_seen(look: Any) -> None:
    with pytest.raises(AssertionError, match="cannot be recorded"), Blind():
        look(torch.ones(3))


@pytest.mark.parametrize("name, more", WITH_NEIGHBOURS)
def test_no_step_looks_at_values(name: str, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Gather, encoder, loss, backward and AdamW of two members, as on a GPU."""
    monkeypatch.setattr(contrast, "is_dense", lambda h: True)
    configs = [config(name, seed=seed, **more) for seed in (0, 1)]
    stack = Stack([Member(start(c, SPLITS), SPLITS) for c in configs], "cpu", at_once=True)
    stack._indices.copy_(torch.stack([m.method.draw(m.state.generator) for m in stack.members]))
    with Blind():
        stack._take_step()
    assert torch.isfinite(stack._loss).all() or name.endswith("released")


@pytest.mark.parametrize("name, more", STACKED_VARIANTS)
def test_a_replayed_step_trains_as_one_that_is_called(
    name: str, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit: nothing that changes from step to step is left in Python."""
    monkeypatch.setattr(contrast, "is_dense", lambda h: True)
    configs = [config(name, iterations=12, report_every=6, seed=seed, **more) for seed in (0, 1)]
    called, replayed = (
        Stack([Member(start(c, SPLITS), SPLITS) for c in configs], "cpu", at_once=True) for _ in range(2)
    )
    tape, calls = Tape(), 0

    def record_the_second_step(step: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            tape.replay()
        elif calls == 2:
            with tape:
                step()
        else:
            step()

    monkeypatch.setattr(replayed, "_repeated", record_the_second_step)
    for stack in (called, replayed):
        stack.advance(6)
    assert len(tape.operations) > 50
    for one, other in zip(called.members, replayed.members, strict=True):
        assert one.state.losses == other.state.losses and one.diverged == other.diverged
        mine, theirs = one.method.state_dict(), other.method.state_dict()
        assert all(torch.equal(value, theirs[key]) or one.diverged for key, value in mine.items())


def test_one_by_one_a_step_looks_at_values() -> None:
    """Why blocks are not recorded: how many frames are dissimilar decides their shapes."""
    stack = Stack([Member(start(config(), SPLITS), SPLITS)], "cpu", at_once=False)
    with pytest.raises(AssertionError, match="cannot be recorded"), Blind():
        stack._take_step()


def test_without_a_gpu_a_step_is_called() -> None:
    calls = []
    repeated = Repeated("cpu", capture=False)
    for _ in range(WARM_UP + 2):
        repeated(lambda: calls.append(1))
    assert len(calls) == WARM_UP + 2


@needs_gpu
@pytest.mark.parametrize("name, more", STACKED_VARIANTS)
def test_on_a_gpu_members_are_those_of_a_cpu(name: str, more: dict[str, Any]) -> None:
    configs = [config(name, iterations=12, report_every=6, seed=seed, **more) for seed in (0, 1, 2)]
    found = dict(train_many(configs, [SPLITS] * 3, device="cuda"))
    for i, state in found.items():
        *_, alone = train(configs[i], SPLITS)
        assert state.losses == pytest.approx(alone.losses, rel=1e-3)
