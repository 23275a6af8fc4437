"""L-BFGS for several problems side by side on a device that is not asked after each turn.

Letters: P problems of N unknowns each, M steps remembered.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from emargin_train.graphs import Repeated

MEMORY = 20
MOST_TURNS = 5000
LOOK_EVERY = 8  # turns; each look waits for the device
DECREASE = 1e-4  # of what the slope promises is asked of a step (Armijo)
NOISE = 1e-6  # relative rise of a loss that is rounding
SHORTEST = 2.0**-30  # a step halved below this ends its problem: rounding leaves nothing to gain

Loss = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


class Descent:
    """Where P problems stand. A turn tries one step of each; which are taken is decided on the device.

        direction = -H g,  H = c I + [S cY] [[V^T (D + c Y^T Y) V, -V^T], [-V, 0]] [S cY]^T

    (Byrd, Nocedal & Schnabel 1994, doi:10.1007/BF01582063), S and Y the remembered steps and changes of the
    gradient, oldest first, V the inverse of the upper triangle of S^T Y, D its diagonal, c = s.y / y.y of the
    last. A step not taken is halved and tried again.

    loss: (P, N) float64 -> values (P,), gradients (P, N), and which are good enough (P,) bool; looks at
        none of them
    start: (P, N) float64
    """

    def __init__(self, loss: Loss, start: Tensor, memory: int = MEMORY) -> None:
        p, n = start.shape
        self._loss = loss
        self.x = start.clone()
        value, gradient, good = loss(self.x)
        self._value, self._gradient, self.ended = value.clone(), gradient.clone(), good.clone()
        self._length = torch.ones_like(value)
        self._s, self._y = start.new_zeros(p, memory, n), start.new_zeros(p, memory, n)
        self._inverse, self._diagonal = start.new_zeros(p, memory, memory), start.new_zeros(p, memory)
        self._scale = torch.ones_like(value)
        self._direction = -self._gradient

    def turn(self) -> None:
        """Try a step. Values keep their place in memory, so that a turn can be recorded."""
        slope = (self._gradient * self._direction).sum(1)
        trial = self.x + self._length[:, None] * self._direction
        value, gradient, good = self._loss(trial)
        enough = value <= self._value + DECREASE * self._length * slope + NOISE * self._value.abs()
        taken = enough & ~self.ended
        s, y = trial - self.x, gradient - self._gradient
        sy, yy = (s * y).sum(1), (y * y).sum(1)
        self._remember(s, y, sy, yy, taken & (sy > 1e-12 * yy))
        for own, new in ((self.x, trial), (self._value, value), (self._gradient, gradient)):
            torch.where(_like(taken, own), new, own, out=own)
        halved = torch.where(taken, 1.0, self._length / 2)
        self.ended |= (taken & good) | (halved < SHORTEST)
        self._length.copy_(halved)
        self._direction.copy_(-self._newton(self._gradient))

    def _remember(self, s: Tensor, y: Tensor, sy: Tensor, yy: Tensor, keep: Tensor) -> None:
        """Take s and y (P, N) in where `keep`; the oldest is forgotten."""
        columns = torch.bmm(self._s, y[:, :, None])[:, 1:]  # s_i.y of those that stay
        inverse, safe = self._inverse[:, 1:, 1:], torch.where(keep, sy, 1.0)[:, None, None]
        last = torch.cat([-torch.bmm(inverse, columns) / safe, 1 / safe], 1)  # (P, M, 1)
        above = torch.cat([inverse, torch.zeros_like(last[:, :1]).expand(-1, -1, inverse.shape[1])], 1)
        for own, new in (
            (self._s, torch.cat([self._s[:, 1:], s[:, None]], 1)),
            (self._y, torch.cat([self._y[:, 1:], y[:, None]], 1)),
            (self._inverse, torch.cat([above, last], 2)),
            (self._diagonal, torch.cat([self._diagonal[:, 1:], sy[:, None]], 1)),
            (self._scale, sy / torch.where(keep, yy, 1.0)),
        ):
            torch.where(_like(keep, own), new, own, out=own)

    def _newton(self, g: Tensor) -> Tensor:
        """H g: (P, N)."""
        a, b = torch.bmm(self._s, g[:, :, None]), torch.bmm(self._y, g[:, :, None])  # (P, M, 1)
        c = self._scale[:, None, None]
        r = torch.bmm(self._inverse, a)
        changes = torch.bmm(self._y.mT, r)  # (P, N, 1)
        middle = self._diagonal[:, :, None] * r + c * (torch.bmm(self._y, changes) - b)
        top = torch.bmm(self._inverse.mT, middle)
        return (c * (g[:, :, None] - changes) + torch.bmm(self._s.mT, top))[:, :, 0]


def minimise(loss: Loss, start: Tensor, *, most_turns: int = MOST_TURNS) -> Tensor:
    """Where each problem's `loss` is good enough, or does not fall any more: (P, N)."""
    descent = Descent(loss, start)
    repeated = Repeated(str(start.device), capture=start.is_cuda)
    for turn in range(most_turns):
        if turn % LOOK_EVERY == 0 and bool(descent.ended.all()):
            break
        repeated(descent.turn)
    return descent.x


def _like(mask: Tensor, x: Tensor) -> Tensor:
    """mask (P,) in as many dimensions as x (P, ...)."""
    return mask.view(-1, *[1] * (x.ndim - 1))
