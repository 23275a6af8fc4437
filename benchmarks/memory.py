"""Memory of one training step beyond weights and inputs, on the CPU (Linux).

python -m benchmarks.memory             # N = 1,600, seconds
python -m benchmarks.memory --long      # also N = 50,000 frames, block by block; minutes

step_memory_matrices    peak growth of a step at N = 1,600, in matrices of N x N float32 (wanted: at most 4)
blockwise_memory_gb     the same at N = 50,000, in GB (wanted: under 2); one such matrix would be 10 GB
"""

import ctypes
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.common import parser_of, report
from emargin_train.encoders.projector import Projector
from emargin_train.losses.contrast import emargin

T, F = 200, 90


def peak_growth(run: Callable[[], object]) -> int:
    """Highest resident memory while it runs less that before, bytes."""
    ctypes.CDLL(None).malloc_trim(0)  # memory that was freed and kept would hide as much growth
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # starts VmHWM anew
    run()
    return _status("VmHWM") - before


def step_peak_bytes(n_sequences: int) -> int:
    """`peak_growth` of a step; one tiny step goes before."""
    g = torch.Generator().manual_seed(0)
    x = torch.rand(n_sequences, T, F, generator=g)
    y = torch.rand(n_sequences, T, generator=g) < 0.3
    encoder = Projector(F)
    emargin(encoder(x[:2, :5]), y[:2, :5], margin=5.0, temperature=0.1).backward()
    return peak_growth(lambda: emargin(encoder(x), y, margin=5.0, temperature=0.1).backward())


def _status(name: str) -> int:
    """Bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def main() -> None:
    parser = parser_of("memory", __doc__)
    parser.add_argument("--long", action="store_true", help="also 50,000 frames")
    matrix = (8 * T) ** 2 * 4
    long = parser.parse_args().long
    report("step_memory_matrices", step_peak_bytes(8) / matrix, "N x N float32")
    if long:
        report("blockwise_memory_gb", step_peak_bytes(250) / 1e9, "GB")


if __name__ == "__main__":
    main()
