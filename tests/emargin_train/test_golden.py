"""Numbers of the released code, computed once in float64, and the faults that they show.

Where the shared folder is absent, the same formulas are still held by loops (`plain.released`).
"""

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.published import margin_loss
from emargin_train.encoder import Encoder
from emargin_train.gates import released_labels
from emargin_train.objectives import emargin, emargin_released, infonce_released
from tests.conftest import SHARED
from tests.emargin_train import plain

FOLDER = SHARED / "golden"
CASES = json.loads((FOLDER / "losses.json").read_text()) if FOLDER.is_dir() else []
Case = dict[str, Any]


@cache
def arrays() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "losses.npz") as file:
        return dict(file)


def labels(case: Case) -> torch.Tensor:
    cosine = arrays()[case["raw"].replace("raw", "cos")]
    corrected = case["function"].endswith("/threshold-corrected")
    return torch.from_numpy(
        cosine < case["threshold"] if corrected else released_labels(cosine, case["threshold"])
    )


def released(case: Case, h: torch.Tensor) -> torch.Tensor:
    knobs = {"temperature": case["temperature"], "neighbours": 2 if case["function"].startswith("LS_") else 1}
    if "HATCL" in case["function"]:
        return infonce_released(h, **knobs)
    return emargin_released(h, labels(case), margin=case["margin"], **knobs)


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


def _golden_encoder() -> Encoder:
    encoder = Encoder(10, channels=(128, 64, 12))
    saved = {
        k.removeprefix("encoder_init."): torch.from_numpy(v) for k, v in arrays().items() if "_init." in k
    }
    names = {
        f"{kind}{i + 1}": f"blocks.{3 * i + (kind == 'bn')}" for kind in ("conv", "bn") for i in range(3)
    }
    renamed = {f"{names[part]}.{leaf}": v for key, v in saved.items() for part, leaf in [key.split(".")]}
    encoder.load_state_dict(renamed)
    return encoder


def test_golden_encoder(shared: Path) -> None:
    """Training-mode output, then evaluation-mode output with the statistics of that one pass."""
    encoder, x = _golden_encoder(), torch.from_numpy(arrays()["encoder_x"])
    torch.testing.assert_close(
        encoder.train()(x), torch.from_numpy(arrays()["encoder_train_out"]), rtol=1e-5, atol=1e-5
    )
    after = torch.from_numpy(arrays()["encoder_eval_out_after_one_train_forward"])
    torch.testing.assert_close(encoder.eval()(x), after, rtol=1e-5, atol=1e-5)


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
    knobs = {"margin": 100.0, "temperature": 0.5}
    assert not emargin_released(h, y, neighbours=1, **knobs).isfinite()
    assert not emargin_released(h.double(), y, neighbours=1, **knobs).isfinite()
    assert not emargin_released(h, y, neighbours=2, **knobs).isfinite()
    assert emargin(h, y, neighbours=1, **knobs).isfinite() and emargin(h, y, neighbours=2, **knobs).isfinite()


def test_released_adjacency_wraps_into_the_next_sequence() -> None:
    """Known fault 4: the order of the sequences in a batch changes the loss; it does not change ours."""
    g = torch.Generator().manual_seed(0)
    h, y = torch.rand(3, 6, 8, generator=g, dtype=torch.float64), torch.rand(3, 6, generator=g) < 0.5
    swapped, knobs = [2, 0, 1], {"margin": 1.0, "temperature": 0.5}
    for neighbours in (1, 2):
        one = emargin_released(h, y, neighbours=neighbours, **knobs)
        other = emargin_released(h[swapped], y[swapped], neighbours=neighbours, **knobs)
        assert abs(one - other) > 1e-4
        one = emargin(h, y, neighbours=neighbours, **knobs)
        other = emargin(h[swapped], y[swapped], neighbours=neighbours, **knobs)
        assert one.item() == pytest.approx(other.item(), rel=1e-12)


def test_benchmark_baseline_is_the_released_loss() -> None:
    g = torch.Generator().manual_seed(0)
    h = torch.rand(2, 10, 6, generator=g, dtype=torch.float64).requires_grad_()
    y = torch.rand(20, generator=g, dtype=torch.float64).round()
    theirs = margin_loss(h.flatten(0, 1), y, margin=2.0, temperature=0.5)
    ours = emargin_released(h, y, margin=2.0, temperature=0.5)
    assert theirs.isfinite() and theirs.item() == pytest.approx(ours.item(), rel=1e-12)
    torch.testing.assert_close(torch.autograd.grad(theirs, h), torch.autograd.grad(ours, h))
