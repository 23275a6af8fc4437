"""The converged linear probe for a GPU: all folds and penalties are one stack of problems.

The problem, its preconditioner, the penalties and their choice are those of `logistic`; only the way to the
optimum differs, so both end within their gradients' bounds of it.
"""

import numpy as np
import torch
from torch import Tensor

from emargin_train.evaluation.lbfgs import minimise
from emargin_train.evaluation.logistic import GRADIENT, PENALTIES, SELECTION_CAP, SELECTION_GRADIENT
from emargin_train.evaluation.points import Points, to_device
from emargin_train.evaluation.training import Scores, Training, folds, standardise


def logistic(training: Training) -> Scores:
    """`logistic.logistic` for a tensor."""
    scale = standardise(training.h)
    x = scale(training.h)
    assert isinstance(x, Tensor)
    weight, penalty = torch.from_numpy(training.weight).to(x), choose_penalty(x, training)
    w = fit(x, weight[None], torch.tensor([penalty], dtype=torch.float64).to(x.device), GRADIENT)[0]

    def scores(h: Points) -> np.ndarray:
        new = scale(h)
        assert isinstance(new, Tensor)
        return log_p(new, w[None])[0].T.cpu().numpy()

    return scores


def fit(x: Tensor, weight: Tensor, penalty: Tensor, gradient_at_end: float) -> Tensor:
    """Coefficients and, last, intercepts of P problems over the same frames: (P, K, D+1) float64.

    x: (n, D) float32; weight: (P, n, K) float32, 0 for a problem's left-out frames; penalty: (P,) float64
    """
    x = torch.cat([x, x.new_ones(len(x), 1)], 1)  # (n, D+1)
    goal = weight.mT.contiguous()  # (P, K, n)
    v = goal.sum(1)  # (P, n)
    ridge = penalty[:, None].repeat(1, x.shape[1])
    ridge[:, -1] = 0
    bound = torch.stack([(x * own[:, None]).T @ x for own in v]).double() / 2
    low = torch.linalg.cholesky(bound + torch.diag_embed(ridge))
    eye = torch.eye(x.shape[1], dtype=torch.float64, device=x.device).expand_as(low)
    inverse = torch.linalg.solve_triangular(low, eye, upper=False)  # w = u L^-1
    shape = (*goal.shape[:2], x.shape[1])

    def loss(u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        w = u.view(shape) @ inverse  # (P, K, D+1)
        log_p = (w.flatten(0, 1).float() @ x.T).view_as(goal).log_softmax(1)
        misfit = -(goal * log_p).sum((1, 2), dtype=torch.float64)
        error = log_p.exp_().mul_(v[:, None]).sub_(goal)
        gradient = (error.flatten(0, 1) @ x).double().view(shape) + ridge[:, None] * w
        value = misfit + penalty / 2 * w[:, :, :-1].square().sum((1, 2))
        good = gradient.abs().amax((1, 2)) <= gradient_at_end
        return value, (gradient @ inverse.mT).flatten(1), good

    start = torch.zeros(len(goal), shape[1] * shape[2], dtype=torch.float64, device=x.device)
    return minimise(loss, start).view(shape) @ inverse


def choose_penalty(x: Tensor, training: Training) -> float:
    """The penalty with the lowest loss on left-out subjects, as `logistic.choose_penalty`."""
    few = np.linspace(0, len(x) - 1, min(len(x), SELECTION_CAP)).astype(int)
    y, weight = training.y[few], training.weight[few]
    inner, outer = [], []
    for inside, outside in folds(training.subject[few], 3):
        own, other = np.zeros_like(weight), np.zeros_like(weight)
        own[inside] = weight[inside] / weight[inside].sum()
        known = outside[np.isin(y[outside], y[inside])]
        other[known] = weight[known]
        inner.append(own)
        outer.append(other)
    some, n = x[to_device(few, x.device)], len(PENALTIES)
    inside_weight, outside_weight = (
        torch.from_numpy(np.stack(part)).to(x).repeat(n, 1, 1) for part in (inner, outer)
    )
    penalty = torch.tensor(PENALTIES, dtype=torch.float64).to(x.device).repeat_interleave(len(inner))
    w = fit(some, inside_weight, penalty, SELECTION_GRADIENT)
    misfit = -(outside_weight.mT * log_p(some, w)).sum((1, 2), dtype=torch.float64)
    losses = misfit.view(n, -1).sum(1).cpu().tolist()
    rises = (i for i in range(1, n) if losses[i] >= losses[i - 1])
    return PENALTIES[next(rises, n) - 1]


def log_p(x: Tensor, w: Tensor) -> Tensor:
    """log softmax(W x + b) of P problems: (P, K, n) float32."""
    logits = w[:, :, :-1].float().flatten(0, 1) @ x.T + w[:, :, -1].float().flatten()[:, None]
    return logits.unflatten(0, w.shape[:2]).log_softmax(1)
