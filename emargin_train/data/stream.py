"""Signals of a file that is never whole in memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from emargin_train.data.recording import unbroken

BLOCK_VALUES = 1 << 20  # channels x samples in one block

Block = tuple[int, np.ndarray]


@dataclass(frozen=True)
class Stream:
    """Channels of a file, read block by block.

    units: as the file states them; "" = it does not. rate_hz: None = it does not
    n_samples: None = not known before the end
    blocks: of each block, the number of its first sample and its values (C, k) float32, NaN where missing
    """

    units: tuple[str, ...]
    rate_hz: float | None
    n_samples: int | None
    blocks: Iterator[Block]


def in_blocks(values: np.ndarray) -> Iterator[Block]:
    """Blocks of a signal (C, n) that is in memory."""
    size = max(1, BLOCK_VALUES // max(1, len(values)))
    for first in range(0, values.shape[1], size):
        yield first, values[:, first : first + size]


def runs(blocks: Iterator[Block]) -> Iterator[tuple[int, Block]]:
    """The blocks without missing samples, each with the number of the unbroken run that it belongs to."""
    run, end = -1, -1
    for first, values in blocks:
        for i, j in unbroken(values):
            run += first + i != end
            end = first + j
            yield run, (first + i, values[:, i:j])
