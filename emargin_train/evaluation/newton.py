"""Softmax regressions with a ridge, fitted side by side: Newton's method, its steps by conjugate gradients.

Letters: P problems over the same n frames of D features, the last of which is a column of ones; K classes.

    f(W) = sum_i v_i (-log softmax(W x_i)[y_i])  +  penalty/2 |W|^2, without the intercepts in the last term

A class that has no weight in a problem is left out of it: its intercept would fall for ever, and the
gradient would only fall by a factor of e in each step.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

MOST_STEPS = 100
MOST_PRODUCTS = 300  # with the Hessian, in one step
FIRST_SHARE = 0.1  # the gradient that a step's linear system may leave, as a share of the gradient
NOISE = 1e-6  # two losses are equal if they differ relatively by less
NEVER = -1e9  # the logit of a class that is left out


def fit(
    x: Tensor,
    goal: Tensor,
    penalty: float,
    *,
    gradient_at_end: float,
    start: Tensor | None = None,
    enough: Callable[[Tensor], bool] | None = None,
) -> Tensor:
    """Coefficients of P problems, with the intercepts last: (P, K, D) float64.

    At the end no entry of the gradient is above `gradient_at_end`, unless float32, in which products are
    computed, allows no further step.

    x: (n, D) float32
    goal: (P, K, n) float32, v_i in row y_i, 0 elsewhere and for a problem's left-out frames
    start: (P, K, D) float64, the point to begin from; zeros if None
    enough: called at the start and after each step with log softmax(W x_i), (P, K, n); the fit ends where it
        returns True
    """
    ridge = torch.full((x.shape[1],), penalty, dtype=torch.float64, device=x.device)
    ridge[-1] = 0
    w = x.new_zeros(*goal.shape[:2], x.shape[1], dtype=torch.float64) if start is None else start
    here = _Point.at(w, x, goal, ridge)
    inverse = _inverse(x, goal, here.p, penalty)
    first = here.steepest
    for _ in range(MOST_STEPS):
        if (enough is not None and enough(here.log_p)) or here.steepest <= gradient_at_end:
            break
        share = min(FIRST_SHARE, (here.steepest / first) ** 0.5)
        left = max(share * here.steepest, gradient_at_end / 3)
        direction = _solve(x, goal, here, ridge.float(), inverse, left)
        there = _walk(here, direction.double(), x, goal, ridge)
        if there is None or (there.steepest >= here.steepest and not there.is_below(here)):
            break
        here = there
    return here.w


def log_p(x: Tensor, w: Tensor, absent: Tensor | None = None) -> Tensor:
    """log softmax(W x): (P, K, n) float32.

    x: (n, D); w: (P, K, D); absent: (P, K, 1) bool, the classes that a problem leaves out
    """
    logits = (x @ w.flatten(0, 1).float().T).T.contiguous().unflatten(0, w.shape[:2])
    if absent is not None:
        logits.masked_fill_(absent, NEVER)
    return logits.log_softmax(1)


@dataclass(frozen=True)
class _Point:
    """What is known at the coefficients w: loss (P,), gradient (P, K, D) float64, log p and p (P, K, n)."""

    w: Tensor
    loss: Tensor
    gradient: Tensor
    log_p: Tensor
    p: Tensor
    steepest: float  # the largest entry of the gradient

    @classmethod
    def at(cls, w: Tensor, x: Tensor, goal: Tensor, ridge: Tensor) -> "_Point":
        own = log_p(x, w, goal.sum(2, keepdim=True) == 0)
        loss = (ridge * w * w).sum((1, 2)) / 2 - (goal * own).sum((1, 2), dtype=torch.float64)
        p = own.exp()
        error = (p * goal.sum(1, keepdim=True)).sub_(goal)
        gradient = (error.flatten(0, 1) @ x).double().view_as(w) + ridge * w
        return cls(w, loss, gradient, own, p, float(gradient.abs().max()))

    def is_below(self, other: "_Point") -> bool:
        """Whether the loss of any problem is lower here, by more than rounding."""
        return bool((self.loss < other.loss * (1 - NOISE)).any())


def _inverse(x: Tensor, goal: Tensor, p: Tensor, penalty: float) -> Tensor:
    """An approximate inverse of every class's block of the Hessian, by which the linear systems are scaled.

    It is the inverse of X^T diag(a) X + penalty, where a is the mean of v p (1 - p) over problems and
    classes: (D, D) float32.
    """
    weight = (p * (1 - p)).mul_(goal.sum(1, keepdim=True)).mean((0, 1))
    block = ((x * weight[:, None]).T @ x).double()
    block.diagonal().add_(penalty + 1e-6 * float(block.trace()))  # the product may lack its smallest values
    return torch.cholesky_inverse(torch.linalg.cholesky(block)).float()


def _solve(x: Tensor, goal: Tensor, here: _Point, ridge: Tensor, inverse: Tensor, at_end: float) -> Tensor:
    """The Newton steps (P, K, D) float32, so exact that no entry of a residual is above `at_end`."""
    weighted = here.p * goal.sum(1, keepdim=True)
    left = -here.gradient.float()
    step, towards = torch.zeros_like(left), left @ inverse
    size = (left * towards).sum((1, 2), keepdim=True)
    for _ in range(MOST_PRODUCTS):
        moved = (x @ towards.flatten(0, 1).T).T.contiguous().view_as(goal).mul_(weighted)
        moved.addcmul_(here.p, moved.sum(1, keepdim=True), value=-1)
        bent = (moved.flatten(0, 1) @ x).view_as(step) + ridge * towards  # the Hessian times `towards`
        curvature = (towards * bent).sum((1, 2), keepdim=True)
        far = torch.where(
            curvature > 0, size / curvature, 0
        )  # 0: this problem is solved as far as float32 goes
        step.addcmul_(far, towards)
        left.addcmul_(far, bent, value=-1)
        if float(left.abs().max()) <= at_end:
            break
        scaled = left @ inverse
        next_size = (left * scaled).sum((1, 2), keepdim=True)
        towards = torch.where(size > 0, next_size / size, 0) * towards + scaled
        size = next_size
    return step


def _walk(here: _Point, direction: Tensor, x: Tensor, goal: Tensor, ridge: Tensor) -> _Point | None:
    """The point after the step, halved in problems whose loss would rise; None if it rises all the same."""
    slope = (here.gradient * direction).sum((1, 2))
    far = torch.ones_like(slope)
    for _ in range(20):
        there = _Point.at(here.w + far[:, None, None] * direction, x, goal, ridge)
        rises = ~(there.loss <= here.loss + 1e-4 * far * slope + NOISE * here.loss.abs())
        if not bool(rises.any()):
            return there
        far = torch.where(rises, far / 2, far)
    return None
