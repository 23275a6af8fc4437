"""Members of a stack get the same losses and gradients as alone, and each costs no more than alone."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from emargin_train.config import TrainConfig
from emargin_train.methods.base import Batch, Shape
from emargin_train.methods.one_view import OneView, Outputs
from emargin_train.stacked_criterion import StackedCriterion, order
from tests.emargin_train.losses.test_equal_loops import MARGINS, NEIGHBOURS, SIZES, TEMPERATURES, draw


def method(name: str, **own: object) -> OneView:
    config = TrainConfig.from_dict({"method": name} | own)
    made = config.method_class(config.setup(Shape(4, 3, 2), 1.0))
    assert isinstance(made, OneView)
    return made


def outputs_and_batch(h: Tensor, y: Tensor) -> tuple[Outputs, Batch]:
    """Of K members, (K, B, T, D) embeddings and (K, B, T) labels of the gate, without labelled sequences."""
    index, labels = torch.arange(h.shape[1]), torch.empty(len(h), 0, 0)
    return Outputs(h, h[:, :0]), Batch(h, index, labels, {"dissimilar": y})


@settings(max_examples=60, deadline=None)
@given(
    SIZES,
    st.integers(0, 99),
    st.lists(
        st.tuples(TEMPERATURES, MARGINS, st.sampled_from([-1, 1]), st.floats(0, 1)), min_size=1, max_size=3
    ),
    NEIGHBOURS,
    st.sampled_from(["infonce", "emargin", "emargin-adjacent"]),
)
def test_members_at_once_equal_members_alone(
    size: tuple[int, int, int],
    seed: int,
    members: list[tuple[float, float, int, float]],
    neighbours: int,
    name: str,
) -> None:
    """`dense` against `negatives`: values and gradients, a frame of zeros in each."""
    methods, drawn = [], []
    for k, (temperature, margin, similar_sign, share) in enumerate(members):
        own: dict[str, object] = {"temperature": temperature, "neighbours": neighbours}
        if name != "infonce":
            own["margin"] = margin * (0.01 if name == "emargin-adjacent" else 1)
        if name == "emargin":
            own["similar_sign"] = similar_sign
            own["dissimilar_sign"] = -similar_sign
        if name != "emargin-adjacent":
            own["spread_weight"] = -0.5
        methods.append(method(name, **own))
        drawn.append(draw(size, seed + k, share))
    h = torch.stack([one.detach() for one, _ in drawn])
    h[:, 0, 0] = 0
    h.requires_grad_()
    outputs, batch = outputs_and_batch(h, torch.stack([y for _, y in drawn]))
    n = size[0] * size[1]
    together = StackedCriterion(methods, n, h.detach(), at_once=True)(outputs, batch)
    alone = StackedCriterion(methods, n, h.detach(), at_once=False)(outputs, batch)
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)
    mine, theirs = (torch.autograd.grad(losses.sum(), h)[0] for losses in (together, alone))
    torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8 * max(1.0, theirs.abs().max().item()))


def test_members_of_several_methods_have_their_own_losses() -> None:
    """Parts are cut where the method, or what must be alike, changes; each member keeps its own settings."""
    asked = [
        ("emargin", {"temperature": 0.2, "neighbours": 1}),
        ("emargin-adjacent", {"margin": 0.3}),
        ("emargin", {"temperature": 0.7}),
        ("infonce", {"temperature": 0.4}),
        ("emargin", {"temperature": 0.3, "gamma": 1.0}),
        ("infonce-released", {"temperature": 0.9}),
    ]
    methods = sorted((method(name, **own) for name, own in asked), key=order)
    drawn = [draw((2, 4, 3), seed, 0.4) for seed in range(len(methods))]
    h, y = (torch.stack([one.detach() for one in part]) for part in zip(*drawn, strict=True))
    outputs, batch = outputs_and_batch(h, y)
    expected = []
    for k, one in enumerate(methods):
        alone = Batch(h[k], batch.index, batch.labels[k], {"dissimilar": y[k]})
        expected.append(one.criterion(one.settings, Outputs(h[k], h[k, :0]), alone))
    for at_once in (False, True):
        criterion = StackedCriterion(methods, 8, h, at_once=at_once)
        torch.testing.assert_close(criterion(outputs, batch), torch.stack(expected), rtol=1e-9, atol=1e-9)
    assert [part.size for part in criterion.parts] == [1, 2, 1, 1, 1]
    assert sum(isinstance(part.settings, SimpleNamespace) for part in criterion.parts) == 4


class Made(TorchDispatchMode):
    """Counts the elements of all tensors that are made while it is entered."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.elements += sum(
            t.numel() for t in (out if isinstance(out, tuple) else (out,)) if is_made(t, args)
        )
        return out


def is_made(out: object, args: tuple[object, ...]) -> bool:
    return isinstance(out, Tensor) and not any(out is a for a in args) and out._base is None


@pytest.mark.parametrize("at_once", [False, True])
def test_a_member_costs_the_same_in_a_large_stack(at_once: bool) -> None:
    """Each member's gradient was once as large as that of all members: K² of them."""
    made = {}
    for k in (4, 16):
        h = torch.randn(k, 2, 6, 64).requires_grad_()
        outputs, batch = outputs_and_batch(h, torch.rand(k, 2, 6) < 0.3)
        criterion = StackedCriterion([method("emargin")] * k, 12, h.detach(), at_once=at_once)
        with Made() as mode:
            criterion(outputs, batch).sum().backward()
        made[k] = mode.elements
    assert 3.5 < made[16] / made[4] < 4.5
