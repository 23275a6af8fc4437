"""InfoTS's seven augmentations and their weighted sum.

Letters: B sequences, T frames, F features; x is (B, T, F) throughout.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


def augment(
    x: Tensor,
    generator: torch.Generator,
    *,
    probability: float = 0.2,
    logits: Tensor | None = None,
    spread: Tensor | float = 1.0,
) -> Tensor:
    """The augmented view: with the given probability it is sum_i p_i a_i(x) over all seven, otherwise x.

        p = softmax(w_i + log e_i - log(1 - e_i)),  e_i ~ U(1e-4, 1 - 1e-4)

    The whole batch has one draw, as in the official code.

    logits: w, (7,), which the official code learns; None = 0, so that all have the same weight
    spread: (F,) standard deviation of each feature, for the jitter; 1 where x is standardised
    """
    if _uniform(generator) >= probability:
        return x
    low = 1e-4
    e = low + (1 - 2 * low) * torch.rand(7, generator=generator, device=x.device, dtype=x.dtype)
    w = torch.zeros_like(e) if logits is None else logits
    return mixture(x, torch.softmax(w + torch.logit(e), 0), generator, spread=spread)


def mixture(
    x: Tensor, weights: Tensor, generator: torch.Generator, *, spread: Tensor | float = 1.0
) -> Tensor:
    """sum_i p_i a_i(x). weights: p, (7,)."""
    total = torch.zeros_like(x)
    for p, augmentation in zip(weights, augmentations(spread), strict=True):
        total = total + p * augmentation(x, generator)
    return total


def augmentations(spread: Tensor | float = 1.0) -> tuple[Augmentation, ...]:
    """The seven augmentations, in the order of their weights."""
    return (
        subsequence,
        cutout,
        lambda x, g: jitter(x, g, sigma=0.3 * spread),
        scaling,
        time_warp,
        window_slice,
        window_warp,
    )


def subsequence(x: Tensor, generator: torch.Generator) -> Tensor:
    """Set frames outside [s, s + l) to 0, l ~ U{2..T}; one draw for the batch."""
    n_frames = x.shape[1]
    length = _integer(min(2, n_frames), n_frames, generator)
    start = _integer(0, n_frames - length, generator)
    t = torch.arange(n_frames, device=x.device)
    return x * ((t >= start) & (t < start + length))[:, None]


def cutout(x: Tensor, generator: torch.Generator, *, share: float = 0.1) -> Tensor:
    """Set a stretch with this share of the frames to 0; one draw for the batch."""
    n_frames = x.shape[1]
    length = int(share * n_frames)
    start = _integer(0, n_frames - length, generator)
    t = torch.arange(n_frames, device=x.device)
    return x * ((t < start) | (t >= start + length))[:, None]


def jitter(x: Tensor, generator: torch.Generator, *, sigma: Tensor | float = 0.3) -> Tensor:
    """Add Gaussian noise."""
    return x + sigma * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)


def scaling(x: Tensor, generator: torch.Generator, *, sigma: float = 0.5) -> Tensor:
    """Multiply each sequence and feature by a draw from N(1, sigma^2)."""
    e = torch.randn(x.shape[0], 1, x.shape[2], generator=generator, device=x.device, dtype=x.dtype)
    return x * (1 + sigma * e)


def time_warp(
    x: Tensor, generator: torch.Generator, *, n_changes: int = 100, max_ratio: float = 10.0
) -> Tensor:
    """Let time run at random speeds with `n_changes` changes; no two have a ratio above `max_ratio`."""
    n, n_frames, _ = x.shape
    speed = torch.rand(n, n_changes + 1, generator=generator, device=x.device, dtype=x.dtype)
    low, high = speed.amin(1, keepdim=True), speed.amax(1, keepdim=True)
    floor = ((high - max_ratio * low) / (max_ratio - 1)).clamp_min(0)  # (high + floor) <= ratio (low + floor)
    passed = torch.nn.functional.pad((speed + floor).cumsum(1), (1, 0))
    passed = passed / passed[:, -1:]
    clock = torch.linspace(0, n_changes + 1, n_frames, device=x.device, dtype=x.dtype).expand(n, -1)
    return _at(x, _at(passed[..., None], clock)[..., 0] * (n_frames - 1))


def window_slice(x: Tensor, generator: torch.Generator, *, share: float = 0.5) -> Tensor:
    """Stretch a part of each sequence, this share of its frames, linearly to the whole sequence."""
    n, n_frames, _ = x.shape
    length = -int(-share * n_frames // 1)
    start = torch.randint(n_frames - length + 1, (n, 1), generator=generator, device=x.device)
    return _at(x, start + torch.linspace(0, length - 1, n_frames, device=x.device, dtype=x.dtype))


def window_warp(x: Tensor, generator: torch.Generator, *, share: float = 0.3) -> Tensor:
    """Make a part of each sequence last half or twice as long, then resample the whole to T frames."""
    n, n_frames, _ = x.shape
    length = min(-int(-share * n_frames // 1), n_frames - 1)
    start = torch.randint(n_frames - length, (n, 1), generator=generator, device=x.device)
    twice = torch.rand(n, 1, generator=generator, device=x.device) < 0.5
    rate = torch.where(twice, 2.0, 0.5).to(x.dtype)
    lasts = length * rate
    clock = torch.linspace(0, 1, n_frames, device=x.device, dtype=x.dtype) * (n_frames - 1 - length + lasts)
    inside = start + (clock - start) / rate
    where = torch.where(
        clock < start, clock, torch.where(clock < start + lasts, inside, clock - lasts + length)
    )
    return _at(x, where)


def _at(x: Tensor, where: Tensor) -> Tensor:
    """x (B, T, F), interpolated linearly at times `where` (B, T') between frames: (B, T', F)."""
    where = where.clamp(0, x.shape[1] - 1)
    before = where.floor().long().clamp_max(max(x.shape[1] - 2, 0))
    after = (before + 1).clamp_max(x.shape[1] - 1)
    row = torch.arange(len(x), device=x.device)[:, None]
    return torch.lerp(x[row, before], x[row, after], (where - before)[..., None].to(x.dtype))


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator, device=generator.device))


def _integer(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator, device=generator.device))
