"""One training step on the paper's sleep shape (8 x 200 frames, 90 features, 320 dimensions), on the CPU.

    python -m benchmarks.step                  # about 20 s on two cores
    OMP_NUM_THREADS=1 python -m benchmarks.step

Times are of the processor, all threads together. Runs take turns, so that a busy machine slows all of them
equally. A ratio is a time divided by its baseline:

    cpu_step_vs_released   `emargin` / the released loss as published, same encoder and optimiser
                           (wanted: at most 0.357, 2.8 times as fast)
    cpu_step_vs_limit      `emargin` / encoder, optimiser and two products, S = z z^T and M z
                           (wanted: at most 1.4)
    cpu_step_vs_default_limit
                           the same against products as PyTorch computes them by default, which on AMD
                           processors is at half the speed (`precision.for_float32`)
    cpu_step_bf16_vs_limit the first of these two with `--precision bf16` / the same limit in float32
                           (wanted: at most 0.6); absent on a processor without bfloat16
    cpu_infonce_step_vs_limit, cpu_encoder_step: for comparison
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.common import parser_of, report
from benchmarks.published import margin_loss
from emargin_train.encoders.projector import Projector
from emargin_train.losses.contrast import emargin, infonce
from emargin_train.precision import computing_in, has_bf16

B, T, F, D = 8, 200, 90, 320
SHARE, MARGIN, TEMPERATURE = 0.3, 5.0, 0.1


def steps() -> dict[str, Callable[[], None]]:
    """Each does one step of its own encoder."""
    g = torch.Generator().manual_seed(0)
    x = torch.rand(B, T, F, generator=g)
    y = torch.rand(B, T, generator=g) < SHARE
    flat = y.flatten().float()
    z, m = torch.rand(B * T, D, generator=g), torch.rand(B * T, B * T, generator=g)

    def released(h: Tensor) -> Tensor:
        return margin_loss(h.flatten(0, 1), flat, margin=MARGIN, temperature=TEMPERATURE)

    def limit(h: Tensor) -> Tensor:
        torch.mm(z, z.T)
        torch.mm(m, z)
        return h.sum()

    losses: dict[str, Callable[[Tensor], Tensor]] = {
        "released": released,
        "emargin": lambda h: emargin(h, y, margin=MARGIN, temperature=TEMPERATURE),
        "infonce": lambda h: infonce(h, temperature=TEMPERATURE),
        "limit": limit,
        "encoder": lambda h: h.sum(),
    }
    runs = {name: computing_in("float32")(one_step(loss, x)) for name, loss in losses.items()}
    runs["released"], runs["default_limit"] = one_step(released, x), one_step(limit, x)
    if has_bf16():
        runs["emargin_bf16"] = computing_in("bf16")(one_step(losses["emargin"], x))
    return runs


def one_step(loss: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], None]:
    encoder = Projector(F)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-3, weight_decay=0.0, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss(encoder(x)).backward()
        optimizer.step()

    return step


def measure(runs: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each run, `rounds` times in turn, after two rounds that do not count.

    A step counts that comes after one of its kind, as in a training: not one that finds caches and
    freed memory as another kind left them.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(rounds + 2):
        for name, run in runs.items():
            run()
            start = time.process_time()
            run()
            if i >= 2:
                times[name].append(1e3 * (time.process_time() - start))
    return times


def main() -> None:
    parser = parser_of("step", __doc__)
    parser.add_argument("--rounds", type=int, default=30, metavar="N", help="steps of each kind (default 30)")
    times = measure(steps(), parser.parse_args().rounds)
    median = {name: statistics.median(values) for name, values in times.items()}
    report("cpu_encoder_step", times["encoder"], "ms")
    report("cpu_infonce_step_vs_limit", times["infonce"], "ms", baseline=median["limit"])
    report("cpu_step_vs_released", times["emargin"], "ms", baseline=median["released"])
    report("cpu_step_vs_limit", times["emargin"], "ms", baseline=median["limit"])
    report("cpu_step_vs_default_limit", times["emargin"], "ms", baseline=median["default_limit"])
    if has_bf16():
        report("cpu_step_bf16_vs_limit", times["emargin_bf16"], "ms", baseline=median["limit"])


if __name__ == "__main__":
    main()
