"""How time and memory of a step grow, drawn: nothing is quadratic but in N, the frames of a batch.

    python -m benchmarks.growth            # N to 6,400, K to 8, 100,000 frames; minutes
    python -m benchmarks.growth --long     # N to 50,000, K to 256, 1,000,000 frames; an hour

step_seconds_N<n>, step_memory_mb_N<n>   one step of the loss on N frames, 320 dimensions
member_step_seconds_K<k>                 of each of K stacked members, 4 sequences of 50 frames
start_seconds_frames<n>                  what a trial does with n training frames before its first step
"""

import argparse
import time
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import torch

from benchmarks.common import report
from benchmarks.gpu import member_step_seconds
from benchmarks.memory import peak_growth_bytes
from emargin_train.config import TrainConfig
from emargin_train.data.frames import Frames, Splits
from emargin_train.objectives import emargin
from emargin_train.train import start

FIGURE = Path("docs/figures/growth.png")


def splits_of(sequences: int, t: int, features: int) -> Splits:
    rng = np.random.default_rng(0)
    store = rng.gamma(2.0, 1.0, (sequences, t, features)).astype(np.float32)
    who, rows = np.full(sequences, "a"), np.arange(sequences)
    frames = Frames(store, rows, rng.integers(0, 3, (sequences, t)), who, who, rows * t)
    return Splits(frames, frames, None, tuple("abc"), "none", 1.0, {}, ())


def step_seconds(n_sequences: int) -> float:
    h = torch.rand(n_sequences, 200, 320, requires_grad=True)
    y = torch.rand(n_sequences, 200) < 0.3
    best = float("inf")
    for _ in range(3 if n_sequences < 100 else 1):
        begun = time.perf_counter()
        emargin(h, y, margin=5.0, temperature=0.1).backward()
        best = min(best, time.perf_counter() - begun)
    return best


def start_seconds(frames: int) -> float:
    splits = splits_of(frames // 200, 200, 16)
    config = TrainConfig.from_dict({"dissimilar_share": 0.3})
    begun = time.perf_counter()
    start(config, splits)
    return time.perf_counter() - begun


def measure(long: bool) -> pd.DataFrame:
    rows = []
    for sequences in (2, 4, 8, 16, 32) + ((64, 128, 250) if long else ()):
        rows.append(("N frames in a batch", 200 * sequences, "seconds", step_seconds(sequences)))
        rows.append(("N frames in a batch", 200 * sequences, "MB", peak_growth_bytes(sequences) / 1e6))
    for members in (1, 2, 4, 8) + ((16, 64, 256) if long else ()):
        times = member_step_seconds(splits_of(8, 50, 90), members, "cpu")
        rows.append(("K members of a stack", members, "seconds a member", float(np.median(times))))
    for frames in (10_000, 30_000, 100_000) + ((300_000, 1_000_000) if long else ()):
        rows.append(("training frames", frames, "seconds before the first step", start_seconds(frames)))
    return pd.DataFrame(rows, columns=["of", "size", "what", "value"])


def draw(table: pd.DataFrame) -> alt.HConcatChart:
    """One panel for each quantity, both axes logarithmic."""
    panels = []
    for (of, what), part in table.groupby(["of", "what"], sort=False):
        x = alt.X("size", title=of).scale(type="log")
        y = alt.Y("value", title=what).scale(type="log")
        panels.append(alt.Chart(part, width=170, height=170).mark_line(point=True).encode(x=x, y=y))
    return alt.hconcat(*panels)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--long", action="store_true", help="to the sizes that take an hour")
    parser.add_argument("--figure", type=Path, default=FIGURE, metavar="FILE", help=f"default {FIGURE}")
    args = parser.parse_args()
    table = measure(args.long)
    for row in table.itertuples():
        name = {
            "seconds": "step_seconds_N",
            "MB": "step_memory_mb_N",
            "seconds a member": "member_step_seconds_K",
        }
        unit = "MB" if row.what == "MB" else "s"
        report(f"{name.get(row.what, 'start_seconds_frames')}{row.size}", row.value, unit)
    args.figure.parent.mkdir(parents=True, exist_ok=True)
    draw(table).save(str(args.figure))


if __name__ == "__main__":
    main()
