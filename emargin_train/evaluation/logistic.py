"""The converged linear probe: multinomial logistic regression, its penalty chosen on training subjects."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from emargin_train.evaluation.training import Scores, Training, folds, standardise

PENALTIES = (10.0, 1.0, 1e-1, 1e-2, 1e-3)  # strong to weak, each started from the one before
SELECTION_CAP = 4000  # training frames on which the penalty is chosen
GRADIENT = 1e-4  # largest entry of the gradient at the end


def logistic(training: Training) -> Scores:
    """Multinomial logistic regression on standardised features, every class weighing the same.

        min over W, b of  sum_i v_i (-log softmax(W h_i + b)[y_i])  +  penalty/2 |W|^2,   v_i = 1/(K n_(y_i))

    The penalty is the one of `PENALTIES` with the lowest such loss on left-out training subjects
    (`choose_penalty`).
    """
    scale = standardise(training.h)
    x = scale(training.h)
    w = fit(x, training.y, training.weight, choose_penalty(x, training))
    return lambda h: _log_p(scale(h), w)


def fit(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, penalty: float, start: np.ndarray | None = None
) -> np.ndarray:
    """Coefficients and, as last row, intercepts: (D+1, K) float64, by L-BFGS; no gradient entry above 1e-4.

    x: (n, D) float32; y: (n,) classes; weight: (n, K) float32, row i is v_i in column y_i and 0 elsewhere
    start: (D+1, K), where to begin; zeros if None
    """
    shape = (x.shape[1] + 1, weight.shape[1])
    v = weight[np.arange(len(y)), y]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(shape)
        log_p = _log_p(x, w)
        error = np.exp(log_p) * v[:, None] - weight  # (n, K)
        gradient = np.concatenate([x.T @ error, error.sum(0, keepdims=True)]).astype(np.float64)
        gradient[:-1] += penalty * w[:-1]
        misfit = -float((v * log_p[np.arange(len(y)), y]).sum(dtype=np.float64))
        return misfit + penalty / 2 * float((w[:-1] ** 2).sum()), gradient.ravel()

    begin = np.zeros(shape) if start is None else start
    options = {"maxiter": 5000, "maxfun": 10000, "maxcor": 20, "gtol": GRADIENT, "ftol": 0.0}
    return minimize(loss, begin.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(shape)


def choose_penalty(x: np.ndarray, training: Training) -> float:
    """The penalty with the lowest loss on left-out subjects, classes weighing the same.

    From strong to weak, followed as long as the loss falls: weaker ones only fit the other subjects better.
    """
    few = np.linspace(0, len(x) - 1, min(len(x), SELECTION_CAP)).astype(int)
    x, y, weight = x[few], training.y[few], training.weight[few]
    parts = folds(training.subject[few], 3)
    starts: list[np.ndarray | None] = [None] * len(parts)
    best, lowest = PENALTIES[0], np.inf
    for penalty in PENALTIES:
        loss = 0.0
        for i, (inside, outside) in enumerate(parts):
            outside = outside[np.isin(y[outside], y[inside])]
            w = fit(x[inside], y[inside], weight[inside] / weight[inside].sum(), penalty, starts[i])
            loss -= float((weight[outside] * _log_p(x[outside], w)).sum(dtype=np.float64))
            starts[i] = w
        if loss >= lowest:
            break
        best, lowest = penalty, loss
    return best


def _log_p(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """log softmax(x W + b): (n, K) float32."""
    return log_softmax(x @ w[:-1].astype(np.float32) + w[-1].astype(np.float32), axis=1)
