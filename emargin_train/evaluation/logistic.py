"""The converged linear probe: multinomial logistic regression, with a penalty chosen on training subjects.

Letters: P problems over the same n frames of D features (and a column of ones), K classes.
"""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from emargin_train.evaluation.training import Scores, Training, folds

PENALTIES = (10.0, 1.0, 1e-1, 1e-2, 1e-3)  # strong to weak; each fit starts from the one before
SELECTION_CAP = 4000  # training frames on which the penalty is chosen
GRADIENT = 5e-5  # largest entry of the gradient at the end; at 1e-3 other penalties were chosen (docs/log.md)


def logistic(training: Training) -> Scores:
    """Multinomial logistic regression on standardised features. Every class has the same weight.

        min over W, b of  sum_i v_i (-log softmax(W h_i + b)[y_i])  +  penalty/2 |W|^2,   v_i = 1/(K n_(y_i))

    The penalty is the one in `PENALTIES` whose fit has the lowest loss on left-out training subjects
    (`choose_penalty`). Then the probe is fitted to all training subjects.
    """
    features, scale = training.standardised
    x = with_ones(features)
    penalty, start, basis = choose_penalty(x, training)
    goal = torch.from_numpy(training.weight.T[None].copy()).to(x.device)
    w = fit(x, goal, penalty, basis, start=start, gradient_at_end=GRADIENT)
    return lambda h: log_p(with_ones(scale(h)), w)[0].T.cpu().numpy()


def with_ones(x: Tensor) -> Tensor:
    """Append the feature of the intercept: (n, D) to (n, D+1)."""
    return torch.cat([x, x.new_ones(len(x), 1)], 1)


class Basis:
    """The eigenbasis of an upper bound of the Hessian, 1/2 X^T diag(v) X.

    The bound is Böhning's (1992, doi:10.1007/BF00048682). Since the features of embeddings depend strongly on
    each other, L-BFGS in W would need many times as many steps as in u = W (bound + penalty)^(1/2), where the
    Hessian is at most the identity.

    x: (n, D+1) float32; v: (n,) float32, weights that sum to 1
    """

    def __init__(self, x: Tensor, v: Tensor) -> None:
        bound = ((x * v[:, None]).T @ x).double() / 2
        self.values, self.vectors = torch.linalg.eigh(bound)

    def root(self, penalty: float, power: float) -> Tensor:
        """Return (bound + penalty)^power: (D+1, D+1) float64, symmetric."""
        values = (self.values.clamp(min=0) + penalty) ** power
        return (self.vectors * values) @ self.vectors.T


def fit(
    x: Tensor,
    goal: Tensor,
    penalty: float,
    basis: Basis,
    *,
    start: Tensor | None = None,
    gradient_at_end: float = GRADIENT,
) -> Tensor:
    """Coefficients of P problems, with the intercepts last: (P, K, D+1) float64.

    At the end no entry of the gradient is above `gradient_at_end`. Products are in float32, the rest in
    float64. All problems are minimised together, as one problem with all their variables.

    x: (n, D+1) float32
    goal: (P, K, n) float32, v_i in row y_i, 0 elsewhere and for a problem's left-out frames
    start: (P, K, D+1) float64, the point to begin from; zeros if None
    """
    shape = (*goal.shape[:2], x.shape[1])
    v = goal.sum(1, keepdim=True)
    ridge = torch.full((x.shape[1],), penalty, dtype=torch.float64, device=x.device)
    ridge[-1] = 0
    to_w = basis.root(penalty, -0.5)
    worst = np.inf

    def loss(u: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal worst
        w = torch.from_numpy(u).to(x.device).view(shape) @ to_w  # (P, K, D+1)
        log_p = (x @ w.flatten(0, 1).float().T).T.contiguous().view_as(goal).log_softmax(1)
        misfit = -(goal * log_p).sum(dtype=torch.float64)
        error = log_p.exp_().mul_(v).sub_(goal)
        gradient = (error.flatten(0, 1) @ x).double().view(shape) + ridge * w
        value = misfit + (ridge * w * w).sum() / 2
        back = (gradient @ to_w).flatten()
        found = torch.cat([back, value[None], gradient.abs().amax()[None]]).cpu().numpy()
        worst = found[-1]
        return float(found[-2]), found[:-2]

    def stop(_: np.ndarray) -> None:
        if worst <= gradient_at_end:
            raise StopIteration

    begin = (
        torch.zeros(shape, dtype=torch.float64) if start is None else (start @ basis.root(penalty, 0.5)).cpu()
    )
    options = {"maxiter": 5000, "maxfun": 10000, "maxcor": 20, "gtol": 0.0, "ftol": 0.0}
    found = minimize(
        loss, begin.flatten().numpy(), jac=True, method="L-BFGS-B", callback=stop, options=options
    )
    return torch.from_numpy(found.x).to(x.device).view(shape) @ to_w


def choose_penalty(x: Tensor, training: Training) -> tuple[float, Tensor, Basis]:
    """Return the penalty with the lowest loss on left-out subjects; all classes have the same weight.

    Penalties are tried from strong to weak as long as the loss falls, since weaker ones would only fit the
    other subjects better. Two more values are returned: the mean solution of the folds (1, K, D+1), from
    which a fit to all subjects can start, and the basis in which the solutions were found.

    x: (n, D+1) float32, standardised training features and ones
    """
    some, goal, judge = left_out(x, training)
    basis = Basis(some, goal.sum((0, 1)) / len(goal))
    best, lowest = (PENALTIES[0], goal), np.inf
    for penalty, loss, w in path(some, goal, judge, basis):
        if loss >= lowest:
            break
        best, lowest = (penalty, w), loss
    return best[0], best[1].mean(0, keepdim=True), basis


def left_out(x: Tensor, training: Training) -> tuple[Tensor, Tensor, Tensor]:
    """Return frames (n', D+1), and for P folds (P, K, n') the weights to fit with and to judge with.

    Frames of a class that the other subjects of the fold do not have are not judged.
    """
    few = np.linspace(0, len(x) - 1, min(len(x), SELECTION_CAP)).astype(int)
    y, weight = training.y[few], training.weight[few]
    inner, outer = [], []
    for inside, outside in folds(training.subject[few], 3):
        own, other = np.zeros_like(weight.T), np.zeros_like(weight.T)
        own[:, inside] = weight[inside].T / weight[inside].sum()
        known = outside[np.isin(y[outside], y[inside])]
        other[:, known] = weight[known].T
        inner.append(own)
        outer.append(other)
    goal, judge = (torch.from_numpy(np.stack(part)).to(x.device) for part in (inner, outer))
    return x[torch.from_numpy(few).to(x.device)], goal, judge


def path(
    x: Tensor, goal: Tensor, judge: Tensor, basis: Basis, *, gradient_at_end: float = GRADIENT
) -> Iterator[tuple[float, float, Tensor]]:
    """Yield (penalty, loss on left-out frames, solutions (P, K, D+1)) from strong to weak penalties."""
    start = None
    for penalty in PENALTIES:
        start = fit(x, goal, penalty, basis, start=start, gradient_at_end=gradient_at_end)
        yield penalty, -float((judge * log_p(x, start)).sum(dtype=torch.float64)), start


def log_p(x: Tensor, w: Tensor) -> Tensor:
    """log softmax(W x) of P problems: (P, K, n) float32. x: (n, D+1); w: (P, K, D+1)"""
    logits = (x @ w.flatten(0, 1).float().T).T
    return logits.unflatten(0, w.shape[:2]).log_softmax(1)
