"""Draw how time and memory grow: they may be quadratic only in N, the number of frames in a batch.

    python -m benchmarks.growth            # N to 6,400, K to 8, 100,000 frames; half a minute
    python -m benchmarks.growth --long     # N to 50,000, K to 256, 1,000,000 frames, 1,000 trials

step_seconds_N<n>, step_memory_mb_N<n>   one step of the loss on N frames, 320 dimensions
step_seconds_D<d>                        the same on 1,600 frames of D dimensions
member_step_seconds_K<k>                 a step of K stacked members (4 sequences of 50 frames), divided by K
member_memory_mb_K<k>                    peak growth of memory in a step of all members, divided by K
start_seconds_frames<n>                  the time of a trial with n training frames before its first step
start_memory_mb_frames<n>                peak growth of memory in that time
trial_seconds_trials<n>                  with --long, a study whose trials do nothing: the time of a trial in
                                         the tenth of the study that ends with trial n
driver_memory_mb_trials<n>               with --long, resident memory of the driver after trial n
                                         (`benchmarks.overhead` has 300 trials without it)
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import torch

from benchmarks.common import parser_of, report
from benchmarks.gpu import member_step_seconds
from benchmarks.memory import peak_growth, step_peak_bytes
from benchmarks.overhead import settings, timed_study
from emargin_train.config import TrainConfig
from emargin_train.data.frames import Frames, Splits
from emargin_train.losses.contrast import emargin
from emargin_train.train import start

FIGURE = Path("docs/figures/growth.png")
NAMES = {  # for each panel: x and y, and the name of its results
    ("N frames in a batch", "seconds a step"): "step_seconds_N",
    ("N frames in a batch", "MB of a step"): "step_memory_mb_N",
    ("D dimensions", "seconds a step"): "step_seconds_D",
    ("K members of a stack", "seconds a member and step"): "member_step_seconds_K",
    ("K members of a stack", "MB a member"): "member_memory_mb_K",
    ("training frames", "seconds before the first step"): "start_seconds_frames",
    ("training frames", "MB before the first step"): "start_memory_mb_frames",
    ("trials", "seconds a trial"): "trial_seconds_trials",
    ("trials", "MB of the driver"): "driver_memory_mb_trials",
}


def splits_of(sequences: int, t: int, features: int) -> Splits:
    rng = np.random.default_rng(0)
    store = rng.gamma(2.0, 1.0, (sequences, t, features)).astype(np.float32)
    who, rows = np.full(sequences, "a"), np.arange(sequences)
    frames = Frames(store, rows, rng.integers(0, 3, (sequences, t)), who, who, rows * t)
    return Splits(frames, frames, None, tuple("abc"), "none", 1.0, {}, ())


def step_seconds(n_sequences: int, dimensions: int = 320) -> float:
    h = torch.rand(n_sequences, 200, dimensions, requires_grad=True)
    y = torch.rand(n_sequences, 200) < 0.3
    return shortest(
        lambda: emargin(h, y, margin=5.0, temperature=0.1).backward(), 3 if n_sequences < 100 else 1
    )


def shortest(run: Callable[[], object], times: int) -> float:
    """Seconds."""
    best = float("inf")
    for _ in range(times):
        begun = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - begun)
    return best


def start_once(frames: int) -> Callable[[], object]:
    splits = splits_of(frames // 200, 200, 16)
    config = TrainConfig.from_dict({"dissimilar_share": 0.3})
    return lambda: start(config, splits)


def trials(n: int) -> list[tuple[int, float, float]]:
    """(trials so far, seconds a trial, MB of the driver) of each tenth of a study."""
    with tempfile.TemporaryDirectory() as folder:
        watch, _ = timed_study(settings(Path(folder), n), 0.0)
    tenth = n // 10
    ends = range(tenth, n + 1, tenth)
    spent = [(watch.stamps[end - 1] - watch.stamps[end - tenth]) / (tenth - 1) for end in ends]
    return [(end, s, watch.memory_mb[end - 1]) for end, s in zip(ends, spent, strict=True)]


def measure(long: bool) -> pd.DataFrame:
    rows: list[tuple[str, str, int, float]] = []  # the largest last, whose freed memory would hide others'
    for n, seconds, mb in trials(1000) if long else ():
        rows.append(("trials", "seconds a trial", n, seconds))
        rows.append(("trials", "MB of the driver", n, mb))
    for frames in (10_000, 30_000, 100_000) + ((300_000, 1_000_000) if long else ()):
        begin = start_once(frames)
        begin()  # the first of all loads what later ones find
        rows.append(("training frames", "MB before the first step", frames, peak_growth(begin) / 1e6))
        rows.append(("training frames", "seconds before the first step", frames, shortest(begin, 3)))
    small = splits_of(8, 50, 90)
    for k in (1, 2, 4, 8) + ((16, 64, 256) if long else ()):
        seconds = float(np.median(member_step_seconds(small, k, "cpu")))
        mb = peak_growth(lambda k=k: member_step_seconds(small, k, "cpu", every=1)) / 1e6 / k
        rows.append(("K members of a stack", "MB a member", k, mb))
        rows.append(("K members of a stack", "seconds a member and step", k, seconds))
    for d in (80, 160, 320, 640):
        rows.append(("D dimensions", "seconds a step", d, step_seconds(8, d)))
    for sequences in (2, 4, 8, 16, 32) + ((64, 128, 250) if long else ()):
        n = 200 * sequences
        rows.append(("N frames in a batch", "MB of a step", n, step_peak_bytes(sequences) / 1e6))
        rows.append(("N frames in a batch", "seconds a step", n, step_seconds(sequences)))
    return pd.DataFrame(rows, columns=["of", "what", "size", "value"])


def draw(table: pd.DataFrame) -> alt.ConcatChart:
    """One panel for each quantity, both axes logarithmic."""
    panels = []
    for (of, what), part in table.groupby(["of", "what"], sort=False):
        x = alt.X("size", title=of).scale(type="log")
        y = alt.Y("value", title=what).scale(type="log")
        panels.append(alt.Chart(part, width=190, height=170).mark_line(point=True).encode(x=x, y=y))
    return alt.concat(*panels, columns=3)


def main() -> None:
    parser = parser_of("growth", __doc__)
    parser.add_argument("--long", action="store_true", help="to the sizes that take an hour")
    shown = f"default {FIGURE} with --long, and no figure without it"
    parser.add_argument("--figure", type=Path, metavar="FILE", help=shown)
    args = parser.parse_args()
    table = measure(args.long)
    for of, what, size, value in table.itertuples(index=False):
        report(f"{NAMES[of, what]}{size}", value, "MB" if what.startswith("MB") else "s")
    figure = args.figure or (FIGURE if args.long else None)
    if figure:
        figure.parent.mkdir(parents=True, exist_ok=True)
        draw(table).save(str(figure))


if __name__ == "__main__":
    main()
