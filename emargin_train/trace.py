"""A trace of a training shows what ran when; https://ui.perfetto.dev and chrome://tracing open it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from emargin_train.errors import UserError
from emargin_train.train import State

TRACED_STEPS = 20  # at least; since steps are alike, no more are traced


@contextmanager
def traced(path: Path | None, device: str) -> Iterator["Trace"]:
    """Inside this context, write a Chrome trace of what runs (JSON; compressed where the name ends in .gz).

    path: None = no trace. Raises UserError, before anything runs, where the file cannot be written.
    """
    if path is None:
        yield Trace(None, [])
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise UserError(f"--profile is {path}, but it cannot be written ({error.strerror})") from None
    activities = [ProfilerActivity.CPU]
    if torch.device(device).type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        yield Trace(profiler, activities)
    profiler.export_chrome_trace(str(path))


class Trace:
    """Traces the loading of data, the first steps and the evaluation."""

    def __init__(self, profiler: profile | None, activities: list[ProfilerActivity]) -> None:
        self._profiler, self._activities, self._paused = profiler, activities, False

    def after(self, state: State) -> None:
        """Call it with each State: tracing pauses after the first steps and continues after the last."""
        if self._profiler is None:
            return
        last = state.step >= state.config.iterations
        pause = state.step >= TRACED_STEPS and not last
        if pause != self._paused:
            self._profiler.toggle_collection_dynamic(not pause, self._activities)
            self._paused = pause
