"""The converged linear probe: multinomial logistic regression, its penalty chosen on training subjects."""

from functools import cached_property

import numpy as np
import torch
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize

from emargin_train.evaluation.points import to_host
from emargin_train.evaluation.training import Scores, Training, folds, standardise

PENALTIES = (10.0, 1.0, 1e-1, 1e-2, 1e-3)  # strong to weak, each started from the one before
SELECTION_CAP = 4000  # training frames on which the penalty is chosen
GRADIENT = 5e-5  # largest entry of the gradient at the end
SELECTION_GRADIENT = 1e-3  # the same while penalties are compared


def logistic(training: Training) -> Scores:
    """Multinomial logistic regression on standardised features, every class weighing the same.

        min over W, b of  sum_i v_i (-log softmax(W h_i + b)[y_i])  +  penalty/2 |W|^2,   v_i = 1/(K n_(y_i))

    The penalty is the one of `PENALTIES` with the lowest such loss on left-out training subjects
    (`choose_penalty`).
    """
    scale = standardise(training.h)
    x = to_host(scale(training.h))
    w = Regression(x, training.weight).fit(choose_penalty(x, training))
    return lambda h: log_p(to_host(scale(h)), w)


class Regression:
    """The problem above, for any penalty.

    L-BFGS on u = L^T (W, b), where L L^T = 1/2 X^T diag(v) X + penalty is an upper bound of the Hessian
    (Böhning 1992, doi:10.1007/BF00048682): features of embeddings depend so much on each other that steps in
    W itself need many times as many turns. Products in float32, the rest in float64.

    x: (n, D) float32; weight: (n, K) float32, row i is v_i in column y_i and 0 elsewhere
    """

    def __init__(self, x: np.ndarray, weight: np.ndarray) -> None:
        self.x = torch.from_numpy(np.concatenate([x, np.ones((len(x), 1), np.float32)], axis=1))
        self.goal = torch.from_numpy(np.ascontiguousarray(weight.T))  # (K, n)
        self.v = self.goal.sum(0)

    @cached_property
    def bound(self) -> np.ndarray:
        """1/2 X^T diag(v) X, without penalty: (D+1, D+1) float64."""
        return ((self.x * self.v[:, None]).T @ self.x).double().numpy() / 2

    def fit(
        self, penalty: float, start: np.ndarray | None = None, gradient_at_end: float = GRADIENT
    ) -> np.ndarray:
        """Coefficients and, as last row, intercepts: (D+1, K) float64; no gradient entry above 5e-5.

        start: (D+1, K), where to begin; zeros if None
        """
        ridge = np.full(self.x.shape[1], penalty)
        ridge[-1] = 0
        low = cholesky(self.bound + np.diag(ridge), lower=True)
        shape = (len(low), len(self.goal))
        largest = np.inf

        def loss(u: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal largest
            w = solve_triangular(low, u.reshape(shape), lower=True, trans=1, check_finite=False)
            log_p = (self.x @ torch.from_numpy(w.T.astype(np.float32)).T).T.log_softmax(0)  # (K, n)
            misfit = -float((self.goal * log_p).sum(dtype=torch.float64))
            error = log_p.exp_().mul_(self.v).sub_(self.goal)
            gradient = (error @ self.x).double().numpy().T + ridge[:, None] * w
            largest = np.abs(gradient).max()
            value = misfit + penalty / 2 * float((w[:-1] ** 2).sum())
            return value, solve_triangular(low, gradient, lower=True, check_finite=False).ravel()

        def stop(_: np.ndarray) -> None:
            if largest <= gradient_at_end:
                raise StopIteration

        begin = np.zeros(shape) if start is None else low.T @ start
        options = {"maxiter": 5000, "maxfun": 10000, "maxcor": 20, "gtol": 0.0, "ftol": 0.0}
        found = minimize(loss, begin.ravel(), jac=True, method="L-BFGS-B", callback=stop, options=options)
        return solve_triangular(low, found.x.reshape(shape), lower=True, trans=1, check_finite=False)


def choose_penalty(x: np.ndarray, training: Training) -> float:
    """The penalty with the lowest loss on left-out subjects, classes weighing the same.

    From strong to weak, followed as long as the loss falls: weaker ones only fit the other subjects better.
    """
    few = np.linspace(0, len(x) - 1, min(len(x), SELECTION_CAP)).astype(int)
    x, y, weight = x[few], training.y[few], training.weight[few]
    parts = []
    for inside, outside in folds(training.subject[few], 3):
        problem = Regression(x[inside], weight[inside] / weight[inside].sum())
        parts.append((problem, outside[np.isin(y[outside], y[inside])]))
    starts: list[np.ndarray | None] = [None] * len(parts)
    best, lowest = PENALTIES[0], np.inf
    for penalty in PENALTIES:
        loss = 0.0
        for i, (problem, outside) in enumerate(parts):
            w = problem.fit(penalty, starts[i], SELECTION_GRADIENT)
            loss -= float((weight[outside] * log_p(x[outside], w)).sum(dtype=np.float64))
            starts[i] = w
        if loss >= lowest:
            break
        best, lowest = penalty, loss
    return best


def log_p(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """log softmax(x W + b): (n, K) float32."""
    coefficients, intercepts = (
        torch.from_numpy(w[:-1].astype(np.float32)),
        torch.from_numpy(w[-1].astype(np.float32)),
    )
    return torch.addmm(intercepts, torch.from_numpy(x), coefficients).log_softmax(1).numpy()
