"""The converged linear probe: multinomial logistic regression, with a penalty chosen on training subjects.

Letters: P problems over the same n frames of D features (and a column of ones), K classes.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from emargin_train.evaluation.newton import fit, log_p
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
    penalty, start = choose_penalty(x, training)
    goal = torch.from_numpy(training.weight.T[None].copy()).to(x.device)
    w = fit(x, goal, penalty, start=start, gradient_at_end=GRADIENT)
    return lambda h: log_p(with_ones(scale(h)), w)[0].T.cpu().numpy()


def with_ones(x: Tensor) -> Tensor:
    """Append the feature of the intercept: (n, D) to (n, D+1)."""
    return torch.cat([x, x.new_ones(len(x), 1)], 1)


class Race:
    """The loss on left-out frames after each step of a fit, and whether it can still become the lowest.

    judge: (P, K, n) weights of the left-out frames; lowest: the lowest loss of the other penalties
    """

    def __init__(self, judge: Tensor, lowest: float) -> None:
        self._judge, self._lowest, self._losses = judge, lowest, [np.inf, np.inf]

    @property
    def loss(self) -> float:
        return self._losses[-1]

    def is_lost(self, log_p: Tensor) -> bool:
        """Whether the loss is above the lowest by more than twice the sum of its last two changes."""
        self._losses.append(-float((self._judge * log_p).sum(dtype=torch.float64)))
        a, b, c = self._losses[-3:]
        return c - self._lowest > 2 * (abs(c - b) + abs(b - a))


def choose_penalty(x: Tensor, training: Training) -> tuple[float, Tensor]:
    """Return the penalty with the lowest loss on left-out subjects; all classes have the same weight.

    Penalties are tried from strong to weak as long as the loss falls, since weaker ones would only fit the
    other subjects better. The mean solution of the folds (1, K, D+1) is returned too: from there, a fit to
    all subjects can start.

    x: (n, D+1) float32, standardised training features and ones
    """
    some, goal, judge = left_out(x, training)
    best, lowest = (PENALTIES[0], goal), np.inf
    for penalty, loss, w in path(some, goal, judge):
        if loss >= lowest:
            break
        best, lowest = (penalty, w), loss
    n_with_class = (goal.sum(2, keepdim=True) > 0).sum(0, keepdim=True).clamp(min=1)
    return best[0], best[1].sum(0, keepdim=True) / n_with_class


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
    x: Tensor, goal: Tensor, judge: Tensor, *, gradient_at_end: float = GRADIENT, whole: bool = False
) -> Iterator[tuple[float, float, Tensor]]:
    """Yield (penalty, loss on left-out frames, solutions (P, K, D+1)) from strong to weak penalties.

    whole: whether every fit goes on to its end, even where its loss cannot become the lowest any more
    """
    start, lowest = None, np.inf
    for penalty in PENALTIES:
        race = Race(judge, np.inf if whole else lowest)
        start = fit(x, goal, penalty, gradient_at_end=gradient_at_end, start=start, enough=race.is_lost)
        lowest = min(lowest, race.loss)
        yield penalty, race.loss, start
