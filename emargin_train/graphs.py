"""CUDA graphs: a step is recorded once and then started as a whole.

Without this, launching the small kernels one by one would take longer than the kernels themselves.
"""

from collections.abc import Callable

import torch

WARM_UP = 3  # the first calls are not recorded: in them, libraries set themselves up


class Repeated:
    """Calls a step again and again. With `capture`, it is recorded after WARM_UP calls and then replayed.

    A recorded step reads and writes its values at the addresses that they had when it was recorded. It may
    neither read from the device nor have shapes that depend on values (tests/emargin_train/test_capture.py).
    """

    def __init__(self, device: str, *, capture: bool) -> None:
        self._calls = 0
        self._stream = torch.cuda.Stream(device) if capture else None
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, step: Callable[[], None]) -> None:
        """step: must do the same at every call"""
        if self._stream is None:
            step()
        elif self._calls < WARM_UP:
            main = torch.cuda.current_stream(self._stream.device)
            self._stream.wait_stream(main)
            with torch.cuda.stream(self._stream):
                step()
            main.wait_stream(self._stream)
        else:
            if self._graph is None:
                self._graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                    step()
            self._graph.replay()
        self._calls += 1
