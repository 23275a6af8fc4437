"""Our losses equal golden values of the released code, including its faults.

Without the shared folder, only the loops of `plain` check these formulas.
"""

import math
from pathlib import Path

import pytest
import torch

from benchmarks.published import margin_loss
from emargin_train.gates import released_labels
from emargin_train.losses.contrast import emargin
from emargin_train.losses.released import emargin_released, infonce_released
from tests.emargin_train.golden import CASES, Case, arrays
from tests.emargin_train.losses import plain


def labels(case: Case) -> torch.Tensor:
    cosine = arrays()[case["raw"].replace("raw", "cos")]
    corrected = case["function"].endswith("/threshold-corrected")
    return torch.from_numpy(
        cosine < case["threshold"] if corrected else released_labels(cosine, case["threshold"])
    )


def released(case: Case, h: torch.Tensor) -> torch.Tensor:
    own = {"temperature": case["temperature"], "neighbours": 2 if case["function"].startswith("LS_") else 1}
    if "HATCL" in case["function"]:
        return infonce_released(h, **own)
    return emargin_released(h, labels(case), margin=case["margin"], **own)


@pytest.mark.parametrize("case", CASES, ids=[f"{c['case']}-{c['function']}" for c in CASES])
def test_golden_loss_and_gradient(case: Case) -> None:
    """Finite: value to 1e-9, gradient to 1e-7 of its largest entry. Else: NaN or infinite as released."""
    h = torch.tensor(arrays()[case["features"]], requires_grad=True)
    loss = released(case, h)
    loss.backward()
    assert h.grad is not None
    expected = float(case["loss"])  # "nan" and "inf" among them
    if math.isfinite(expected):
        assert loss.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)
        gradient = torch.from_numpy(arrays()[f"{case['case']}_grad"])
        torch.testing.assert_close(
            h.grad, gradient, rtol=0, atol=1e-7 * max(1.0, gradient.abs().max().item())
        )
    else:
        assert str(loss.item()) == case["loss"]


def test_golden_labels_are_those_counted(shared: Path) -> None:
    for case in CASES:
        if case["labels"] is not None:
            assert labels(case)[: case["labels"]].sum() == case["dissimilar_labels"], case["case"]


def test_golden_count_and_how_often_the_released_code_fails(shared: Path) -> None:
    """Known faults 1 and 2: the threshold does nothing; the loss is often not a number, more so corrected."""
    margin = [c for c in CASES if "MARGIN" in c["function"]]
    as_released = [c for c in margin if "/" not in c["function"]]
    corrected = [c for c in margin if "/" in c["function"]]
    assert len(CASES) == 216
    for cases, n_nan, n_inf in ((as_released, 20, 12), (corrected, 41, 7)):
        values = [released(c, torch.tensor(arrays()[c["features"]])).item() for c in cases]
        assert (len(values), sum(map(math.isnan, values)), values.count(math.inf)) == (96, n_nan, n_inf)


def test_golden_settings_that_differ_in_threshold_alone_have_one_loss_as_released(shared: Path) -> None:
    found: dict[tuple, set[str]] = {}
    for c in CASES:
        if c["function"] in ("MARGIN_LOSS", "LS_MARGIN_LOSS"):
            key = (c["function"], c["features"], c["temperature"], c["margin"])
            found.setdefault(key, set()).add(str(released(c, torch.tensor(arrays()[c["features"]])).item()))
    assert len(found) == 24 and all(len(values) == 1 for values in found.values())


def test_golden_cases_are_all_finite_and_live_for_ours(shared: Path) -> None:
    """The well-posed objective on the same features: finite in float32, and the threshold matters."""
    for c in (c for c in CASES if c["function"] == "LS_MARGIN_LOSS/threshold-corrected"):
        h = torch.tensor(arrays()[c["features"]], dtype=torch.float32)[None].requires_grad_()
        loss = emargin(h, labels(c)[None], margin=c["margin"], temperature=c["temperature"])
        loss.backward()
        assert h.grad is not None and loss.isfinite() and h.grad.isfinite().all()


@pytest.mark.parametrize("neighbours", [1, 2])
@pytest.mark.parametrize("temperature, margin", [(0.5, 2.0), (0.1, 5.0), (1.5, 0.3)])
def test_released_equals_loops(neighbours: int, temperature: float, margin: float) -> None:
    g = torch.Generator().manual_seed(0)
    h = torch.randn(3, 4, 5, generator=g, dtype=torch.float64)
    y = torch.rand(3, 4, generator=g) < 0.5
    loss = emargin_released(h, y, margin=margin, temperature=temperature, neighbours=neighbours)
    slow = plain.emargin_released(h, y, margin=margin, temperature=temperature, neighbours=neighbours)
    assert loss.item() == pytest.approx(slow, rel=1e-9, nan_ok=True)
    loss = infonce_released(h, temperature=temperature, neighbours=neighbours)
    slow = plain.infonce_released(h, temperature=temperature, neighbours=neighbours)
    assert loss.item() == pytest.approx(slow, rel=1e-9, nan_ok=True)


def test_released_overflows_float32_at_the_papers_ecg_margin() -> None:
    """Known fault 3: m = 100, one-sided, some label 1; ours is finite."""
    g = torch.Generator().manual_seed(0)
    h, y = torch.rand(2, 20, 8, generator=g), torch.ones(2, 20)
    own = {"margin": 100.0, "temperature": 0.5}
    assert not emargin_released(h, y, neighbours=1, **own).isfinite()
    assert not emargin_released(h.double(), y, neighbours=1, **own).isfinite()
    assert not emargin_released(h, y, neighbours=2, **own).isfinite()
    assert emargin(h, y, neighbours=1, **own).isfinite() and emargin(h, y, neighbours=2, **own).isfinite()


def test_released_adjacency_wraps_into_the_next_sequence() -> None:
    """Known fault 4: the order of the sequences in a batch changes the loss; it does not change ours."""
    g = torch.Generator().manual_seed(0)
    h, y = torch.rand(3, 6, 8, generator=g, dtype=torch.float64), torch.rand(3, 6, generator=g) < 0.5
    swapped, own = [2, 0, 1], {"margin": 1.0, "temperature": 0.5}
    for neighbours in (1, 2):
        one = emargin_released(h, y, neighbours=neighbours, **own)
        other = emargin_released(h[swapped], y[swapped], neighbours=neighbours, **own)
        assert abs(one - other) > 1e-4
        one = emargin(h, y, neighbours=neighbours, **own)
        other = emargin(h[swapped], y[swapped], neighbours=neighbours, **own)
        assert one.item() == pytest.approx(other.item(), rel=1e-12)


def test_benchmark_baseline_is_the_released_loss() -> None:
    g = torch.Generator().manual_seed(0)
    h = torch.rand(2, 10, 6, generator=g, dtype=torch.float64).requires_grad_()
    y = torch.rand(20, generator=g, dtype=torch.float64).round()
    theirs = margin_loss(h.flatten(0, 1), y, margin=2.0, temperature=0.5)
    ours = emargin_released(h, y, margin=2.0, temperature=0.5)
    assert theirs.isfinite() and theirs.item() == pytest.approx(ours.item(), rel=1e-12)
    torch.testing.assert_close(torch.autograd.grad(theirs, h), torch.autograd.grad(ours, h))
