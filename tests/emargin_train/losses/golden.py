"""Golden values, computed once in float64 by the baselines' official functions: cases, inputs, comparison."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import SHARED

FOLDER = SHARED / "baselines"
Case = dict[str, Any]


def cases(file: str) -> list[Case]:
    """All cases of a file; none where the shared folder is absent."""
    return json.loads((FOLDER / file).read_text())["cases"] if FOLDER.is_dir() else []


def inputs(case: Case) -> dict[str, Tensor]:
    """Inputs of a case of the first file, in their order."""
    rng = np.random.default_rng(case["seed"])
    found = {}
    for i in case["inputs"]:
        a = rng.standard_normal(i["shape"]) * i["scale"]
        then = i.get("then")
        if then == "unit":
            a = a / np.linalg.norm(a, axis=i["axis"], keepdims=True)
        elif then == "soft":
            a = 0.5 / (1 + np.exp(-a))
            np.fill_diagonal(a, 1.0)
        elif then == "distance":
            a = np.abs(a)
            a = (a + a.T) / 2
            np.fill_diagonal(a, 0.0)
        else:
            assert then is None
        found[i["name"]] = torch.from_numpy(np.ascontiguousarray(a))
    return found


def draws(case: Case) -> dict[str, Tensor]:
    """Draws of a case of the second file, in their order."""
    rng = np.random.default_rng(case["seed"])
    found = {}
    for d in case["draws"]:
        is_uniform = d["name"].startswith("uniform")
        a = rng.random(d["shape"]) if is_uniform else rng.standard_normal(d["shape"]) * d["scale"]
        found["uniform" if is_uniform else d["name"]] = torch.from_numpy(np.asarray(a))
    return found


def check(case: Case, value: Tensor, wrt: Tensor | None) -> None:
    """Value to 1e-9, gradient's norm and entries to 1e-7, relative to at least 1."""
    assert value.item() == pytest.approx(case["value"], rel=1e-9, abs=1e-9)
    expected = case.get("gradient") or case.get("grad")
    if expected is None:
        return
    assert wrt is not None
    gradient = torch.autograd.grad(value, wrt)[0] if value.requires_grad else torch.zeros_like(wrt)
    norm = expected.get("frobenius", expected.get("fro"))
    within = 1e-7 * max(1.0, norm)
    assert gradient.norm().item() == pytest.approx(norm, rel=0, abs=within)
    for index, entry in expected["entries"]:
        found = gradient.flatten()[index] if isinstance(index, int) else gradient[tuple(index)]
        assert found.item() == pytest.approx(entry, rel=0, abs=within)
