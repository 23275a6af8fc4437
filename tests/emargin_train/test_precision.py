"""Products in bfloat16 change a training less than another seed does, and reach nothing but products."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emargin_train import precision
from emargin_train.config import TrainConfig
from emargin_train.losses.contrast import emargin
from emargin_train.precision import computing_in, contrast_products, for_float32, has_bf16
from emargin_train.pretrain import Outcome, pretrain
from tests.emargin_train.configs import config

METRICS = (
    "silhouette",
    "davies_bouldin",
    "probe_balanced_accuracy",
    "knn_balanced_accuracy",
    "effective_rank",
)
needs_bf16 = pytest.mark.skipif(not has_bf16(), reason="PyTorch multiplies in float32 on this processor")


def test_the_choice_holds_inside_alone():
    before = torch.get_float32_matmul_precision()
    with pytest.raises(OSError), computing_in("bf16"):
        assert torch.get_float32_matmul_precision() == for_float32()  # as for an encoder
        with contrast_products():
            assert torch.get_float32_matmul_precision() == "medium"
            raise OSError
    with contrast_products():
        assert torch.get_float32_matmul_precision() == before


@settings(max_examples=60, deadline=None)
@given(*[st.integers(1, 700)] * 3, st.integers(0, 99))
def test_float32_is_float32(rows, inner, columns, seed):
    """Whichever library multiplies: its errors against float64 are a thousandth of those of bfloat16."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(rows, inner, generator=generator)
    b = torch.randn(columns, inner, generator=generator)
    with computing_in("float32"):
        found = [a @ b.T, torch.addmm(torch.ones(columns), a, b.T, alpha=-2)]
    exact = a.double() @ b.double().T
    size = a.double().norm(dim=1)[:, None] * b.double().norm(dim=1)
    for product, expected in zip(found, (exact, 1 - 2 * exact), strict=True):
        assert ((product - expected).abs() <= 2e-6 * (size + 1)).all()


@pytest.mark.parametrize(
    "name, gpu, found, asked",
    [
        ("AMD EPYC", False, 256 * (1 + 2**-10) ** 2, "medium"),
        ("AMD EPYC", False, 256.0, "highest"),  # it would round to bfloat16
        ("AMD EPYC", True, 256 * (1 + 2**-10) ** 2, "highest"),  # a GPU would round to TensorFloat-32
        ("Intel(R) Xeon(R) Processor", False, 256 * (1 + 2**-10) ** 2, "highest"),
    ],
)
def test_the_other_library_is_asked_only_where_it_computes_in_float32(monkeypatch, name, gpu, found, asked):
    monkeypatch.setattr(precision, "processor", lambda: name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(precision, "_tried_product", lambda: found)
    assert for_float32.__wrapped__() == asked


@needs_bf16
def test_factors_are_rounded_and_sums_are_not():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(600, 300, generator=generator) for _ in range(2))
    rounded = a.bfloat16().double() @ b.bfloat16().double().T
    with computing_in("bf16"), contrast_products():
        found = a @ b.T
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), rounded, rtol=1e-5, atol=0)
    assert (a @ b.T - found).abs().max() > 1e-3  # here float32 is float32


@needs_bf16
def test_the_loss_and_its_gradient_are_near_those_of_float32():
    generator = torch.Generator().manual_seed(0)
    h = torch.rand(8, 100, 320, generator=generator).requires_grad_()
    dissimilar = torch.rand(8, 100, generator=generator) < 0.3
    found = {}
    for kind in ("float32", "bf16"):
        with computing_in(kind):
            loss = emargin(h, dissimilar, margin=5.0, temperature=0.1)
            found[kind] = loss, *torch.autograd.grad(loss, h)
    (loss, gradient), (other, near) = found.values()
    assert not torch.equal(gradient, near)
    torch.testing.assert_close(other, loss, rtol=1e-4, atol=0)
    assert (near - gradient).norm() < 0.01 * gradient.norm()


@needs_bf16
@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["sleepeeg-sim", "harth-sim", "ecg-sim"])
def test_metrics_stay_within_a_tenth_of_their_spread_over_seeds(dataset):
    """Trainings of the same five seeds: the mean of each metric moves by a tenth of its deviation at most."""
    found = {kind: measured(dataset, kind) for kind in ("float32", "bf16")}
    assert not np.array_equal(found["float32"], found["bf16"])
    moved = np.abs(found["bf16"].mean(0) - found["float32"].mean(0)) / found["float32"].std(0, ddof=1)
    assert (moved < 0.1).all(), dict(zip(METRICS, moved, strict=True))


def measured(dataset: str, precision: str) -> np.ndarray:
    """(5, metrics)"""
    rows = []
    for seed in range(5):
        flat = config().to_dict() | {"dataset": dataset, "subjects": 5, "sequence_length": 50, "seed": seed}
        flat |= {"evaluation_frames": 1000, "iterations": 40, "precision": precision, "margin": 5.0}
        *_, outcome = pretrain(TrainConfig.from_dict(flat | {"temperature": 0.1}), metrics=METRICS)
        assert isinstance(outcome, Outcome) and outcome.row["precision"] == precision
        rows.append([outcome.row[name] for name in METRICS])
    return np.array(rows)
