"""CUDA graphs: a step recorded once and started again as a whole, since its kernels take less time than their
launches one by one."""

from collections.abc import Callable

import torch

WARM_UP = 3  # calls that run as they are: libraries set themselves up, which must not be recorded


class Repeated:
    """Calls a step again and again; with `capture` recorded after WARM_UP calls, then replayed.

    A recorded step takes and leaves its values where they lay when it was recorded; it may neither read back
    from the device nor have shapes that depend on values (tests/emargin_train/test_capture.py).
    """

    def __init__(self, step: Callable[[], None], *, capture: bool) -> None:
        self._step, self._calls = step, 0
        self._stream = torch.cuda.Stream() if capture else None
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if self._stream is None:
            self._step()
        elif self._calls < WARM_UP:
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                self._step()
            torch.cuda.current_stream().wait_stream(self._stream)
        else:
            if self._graph is None:
                self._graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                    self._step()
            self._graph.replay()
        self._calls += 1
