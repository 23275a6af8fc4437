"""Classifiers that read classes from fixed embeddings: what linear, neighbour and non-linear readers find.

Every probe is trained on the natural mixture of training frames and gives scores (n, K) that grow with the
class probability. `balanced` divides out the class shares, so that one training serves both kinds of frames:
argmax p(c|h) is best for accuracy, argmax p(c|h)/p(c) for balanced accuracy (Menon et al. 2021).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.model_selection import GroupKFold
from torch.nn import functional as F

PAPER_BATCH = 128  # see paper_probe
PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
SELECTION_CAP = 4000  # training frames on which the penalty is chosen
GRADIENT_NORM = 1e-4
NEIGHBOURS = 15
HIDDEN = 64

Scores = Callable[[np.ndarray], np.ndarray]  # (n, D) -> (n, K) log-probabilities


@dataclass(frozen=True)
class Training:
    """What probes are trained on.

    h: (n, D) float32, finite; y: (n,) int, 0 to K-1, every class present; subject: (n,) str
    in recording order
    """

    h: np.ndarray
    y: np.ndarray
    subject: np.ndarray

    @property
    def log_share(self) -> np.ndarray:
        """log p(c) of the training frames: (K,)."""
        return np.log(np.bincount(self.y) / len(self.y))


def balanced(scores: np.ndarray, training: Training) -> np.ndarray:
    """log p(c|h) - log p(c): the same scores as if all classes were equally frequent."""
    return scores - training.log_share


def paper_probe(training: Training, *, seed: int = 1, epochs: int = 10) -> Scores:
    """The published probe: one linear layer on h as it is, Adam 1e-3, cross-entropy, 10 epochs.

    Published batches are 8 sequences of all training data, which makes 1,000 to 1,900 steps on the paper's
    datasets. Batches of 128 frames keep to that count (1,180) with at most 15,000 training frames.
    """
    generator = torch.Generator().manual_seed(seed)
    h, y = torch.from_numpy(training.h), torch.from_numpy(training.y)
    layer = torch.nn.utils.skip_init(torch.nn.Linear, h.shape[1], int(y.max()) + 1)
    bound = h.shape[1] ** -0.5  # torch's own start of a linear layer, from our generator
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(y), generator=generator).split(PAPER_BATCH):
            loss = F.cross_entropy(layer(h[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return lambda x: layer(torch.from_numpy(x)).log_softmax(1).detach().numpy()


def standardise(h: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Shift and scale to mean 0 and deviation 1 over the training frames; constant features become 0."""
    mean, deviation = h.mean(0, dtype=np.float64), h.std(0, dtype=np.float64)
    live = deviation > 1e-6 * max(float(np.abs(h).max()), 1e-30)
    scale = np.where(live, 1 / np.where(live, deviation, 1), 0)
    return lambda x: ((x - mean) * scale).astype(np.float32)


def logistic(training: Training) -> Scores:
    """Converged multinomial logistic regression on standardised features.

        min over W, b of  mean_i -log softmax(W h_i + b)[y_i]  +  penalty/2 |W|^2

    The penalty is the one of `PENALTIES` with the lowest mean loss on left-out training subjects (three
    folds; thirds in recording order where there are fewer than three subjects).
    """
    scale = standardise(training.h)
    x = scale(training.h)
    weights = fit_logistic(x, training.y, training.log_share.size, choose_penalty(x, training))
    return lambda h: log_softmax(scale(h) @ weights[:-1] + weights[-1], axis=1)


def fit_logistic(
    x: np.ndarray, y: np.ndarray, classes: int, penalty: float, start: np.ndarray | None = None
) -> np.ndarray:
    """Weights and, as last row, intercepts: (D+1, K), by L-BFGS to a largest gradient entry of 1e-4."""
    target = np.eye(classes, dtype=np.float32)[y]
    shape = (x.shape[1] + 1, classes)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(shape)
        log_p = log_softmax(x @ w[:-1].astype(np.float32) + w[-1].astype(np.float32), axis=1)  # (n, K)
        error = (np.exp(log_p) - target) / len(y)
        gradient = np.concatenate([x.T @ error, error.sum(0, keepdims=True)]).astype(np.float64)
        gradient[:-1] += penalty * w[:-1]
        value = -float(log_p[np.arange(len(y)), y].mean(dtype=np.float64))
        return value + penalty / 2 * float((w[:-1] ** 2).sum()), gradient.ravel()

    begin = np.zeros(shape) if start is None else start
    options = {"maxiter": 2000, "maxfun": 4000, "gtol": GRADIENT_NORM, "ftol": 0.0}
    found = minimize(loss, begin.ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(shape)


def folds(training: Training, n: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    """(fit, left out) indices, by subject; thirds in recording order where subjects are fewer than folds."""
    groups = training.subject
    if len(np.unique(groups)) < n:
        groups = np.arange(len(training.y)) * n // len(training.y)
    return list(GroupKFold(n).split(training.h, groups=groups))


def choose_penalty(x: np.ndarray, training: Training) -> float:
    """The penalty with the lowest mean negative log-likelihood on left-out training subjects."""
    few = np.linspace(0, len(x) - 1, min(len(x), SELECTION_CAP)).astype(int)
    x, part = x[few], Training(training.h[few], training.y[few], training.subject[few])
    classes = training.log_share.size
    losses = np.zeros(len(PENALTIES))
    for fit, out in folds(part):
        out = out[np.isin(part.y[out], part.y[fit])]
        weights = None
        for i, penalty in enumerate(PENALTIES):
            weights = fit_logistic(x[fit], part.y[fit], classes, penalty, weights)
            log_p = log_softmax(x[out] @ weights[:-1] + weights[-1], axis=1)
            losses[i] -= log_p[np.arange(len(out)), part.y[out]].sum()
    return PENALTIES[int(losses.argmin())]


def nearest(training: Training, *, k: int = NEIGHBOURS) -> Scores:
    """Votes of the k nearest training frames, Euclidean on h as it is: log (votes + p(c)) / (k + 1)."""
    k = min(k, len(training.y))
    mean = training.h.mean(0)
    reference = training.h - mean
    square = (reference**2).sum(1)
    share = np.exp(training.log_share)

    def scores(h: np.ndarray) -> np.ndarray:
        votes = np.empty((len(h), len(share)))
        for low in range(0, len(h), 512):
            far = square - 2 * ((h[low : low + 512] - mean) @ reference.T)  # |a - b|^2 - |a|^2
            near = np.argpartition(far, k - 1, axis=1)[:, :k]
            votes[low : low + 512] = (training.y[near][:, :, None] == np.arange(len(share))).sum(1)
        return np.log((votes + share) / (k + 1))

    return scores


def mlp(training: Training, *, seed: int = 1, epochs: int = 30) -> Scores:
    """One hidden layer of 64 ReLU units on standardised features, stopped early.

    AdamW 1e-3, weight decay 1e-2, batches of 256; the weights of the epoch with the lowest loss on the first
    fold's left-out subjects are kept, and training ends 5 epochs after the last gain.
    """
    generator = torch.Generator().manual_seed(seed)
    scale = standardise(training.h)
    x, y = torch.from_numpy(scale(training.h)), torch.from_numpy(training.y)
    fit, out = (torch.from_numpy(part) for part in folds(training)[0])
    weights = _mlp_start(x.shape[1], training.log_share.size, generator)
    optimizer = torch.optim.AdamW(weights, lr=1e-3, weight_decay=1e-2)
    best, kept, since = np.inf, [w.detach().clone() for w in weights], 0
    for _ in range(epochs):
        for batch in torch.randperm(len(fit), generator=generator).split(256):
            loss = F.cross_entropy(_mlp_forward(weights, x[fit[batch]]), y[fit[batch]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            left_out = float(F.cross_entropy(_mlp_forward(weights, x[out]), y[out]))
        since += 1
        if left_out < best:
            best, kept, since = left_out, [w.detach().clone() for w in weights], 0
        if since == 5:
            break
    return lambda h: _mlp_forward(kept, torch.from_numpy(scale(h))).log_softmax(1).numpy()


def _mlp_start(features: int, classes: int, generator: torch.Generator) -> list[torch.Tensor]:
    weights = []
    for inputs, outputs in ((features, HIDDEN), (HIDDEN, classes)):
        bound = inputs**-0.5
        for shape in ((outputs, inputs), (outputs,)):
            weights.append(torch.empty(shape).uniform_(-bound, bound, generator=generator).requires_grad_())
    return weights


def _mlp_forward(weights: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    first, first_bias, second, second_bias = weights
    return F.linear(F.linear(x, first, first_bias).relu(), second, second_bias)
