"""The baselines' losses and steps at the sleep shape (8 sequences of 200 frames of 90 features), on the CPU.

    python -m benchmarks.methods                    # about a minute and a half on two cores
    python -m benchmarks.methods --only ts2vec,tnc-published   # only these methods
    OMP_NUM_THREADS=1 python -m benchmarks.methods --cpu-time   # on a machine with other work

Runs take turns, so that a busy machine slows all of them equally. A ratio is a time divided by its baseline:

    <method>_loss_vs_plain    value and gradient, of embeddings as the encoder gives them / the same in plain,
                              vectorised PyTorch (wanted: never above 1; `tnc` and `simmtm` on two sequences)
    <method>_loss_vs_loops    the same / the loops over anchors and pairs of the tests, on 3 sequences of 16
                              frames (wanted for TS2Vec and SoftCLT: at most 0.33)
    <method>_step_vs_emargin  a `shared` step without the optimiser: views, encoder, heads, loss and gradient
                              / an eMargin step (wanted for SimMTM frame by frame and TNC: at most 3)
    simmtm_frames_floor_vs_emargin   of such a step the networks and matrix products alone / an eMargin step
    <method>_memory_mb        peak growth of such a step (wanted: at most 200)
    cost_trend_vs_whole       CoST's trend at one frame / at all frames (wanted: at most 0.05)
    mf_clr_view_us            MF-CLR's view of a series of 200 frames / 4,300 us of the official routine
                              (wanted: at most 0.01)
    softclt_distances_1000    cosine distances of 1,000 sequences (wanted: under 1 s)
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import plain_baselines as plain
from benchmarks.common import parser_of, peak_growth, report
from emargin_train.config import TrainConfig
from emargin_train.data.frames import Frames, Splits
from emargin_train.encoders.projector import Projector
from emargin_train.losses import cost, cpc, infots, mf_clr, simmtm, softclt, tnc, ts2vec
from emargin_train.methods import METHODS
from emargin_train.train import next_batch, own_draws
from emargin_train.train import start as begin
from emargin_train.views import mf_clr as mf_clr_views
from emargin_train.views import tnc as tnc_views
from tests.emargin_train.losses import plain_baselines as loops

B, T, F, D = 8, 200, 90, 320
OFFICIAL_VIEW_US = 4300.0  # of a series, as measured for ../shared/baselines/part1.md
Run = Callable[[], object]
# Of the paper's table and TF-C, the shared forms; and SimMTM with frames as instances, as the release has it.
STEPS: dict[str, dict[str, Any]] = {
    name: {} for name, method in METHODS.items() if method.order == 1 and method.encoder_variant == "shared"
} | {
    "simmtm_frames": {"method": "simmtm", "simmtm.instances": "frames"},
    "simmtm_frames_one_copy": {"method": "simmtm", "simmtm.instances": "frames", "simmtm.copies": 1},
}


def embeddings(*shape: int, seed: int) -> Tensor:
    """As the encoder gives them at first for frames of any shape, with dropout; they require a gradient."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        h = nn.functional.dropout(Projector(F)(torch.rand(*shape[:-1], F)), 0.1)
    return h[..., : shape[-1]].detach().requires_grad_()


def gradient(loss: Callable[[], Tensor]) -> Run:
    return lambda: loss().backward()


def losses() -> dict[str, tuple[Run, Run]]:
    """Value and gradient of each loss: ours, and plain."""
    g = torch.Generator().manual_seed(0)
    z1, z2, x = embeddings(B, T, D, seed=1), embeddings(B, T, D, seed=1), torch.rand(B, T, F, generator=g)
    guide = x[..., : F // 3]
    w = softclt.instance_weights(softclt.scaled(softclt.cosine_distances(x)), tau=5.0)
    targets = {"instance_weights": w, "temporal_weights": softclt.sigmoid(1.0, x)}
    queries = 0.1 * embeddings(4, B * T, D, seed=3).detach().unflatten(1, (B, T))
    queries.requires_grad_()
    small = embeddings(2, T, D, seed=4)  # plain TNC and SimMTM hold every pair at once: two sequences here
    near, distant = tnc_views.draw_pairs(2, T, g)
    first, second = nn.Linear(2 * D, 4 * D), nn.Linear(4 * D, 1)
    critic = nn.Sequential(first, nn.ReLU(), nn.Dropout(0.5), second)
    split = tnc.Critic(first.weight, first.bias, second.weight, second.bias)
    s = torch.randn(4 * 2 * T, 128, generator=g).requires_grad_()
    y = torch.randn(4 * 2 * T, F, generator=g).requires_grad_()

    def built(found: tuple[Tensor, Tensor]) -> Tensor:
        return found[0] + found[1].square().mean()

    pairs: dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]] = {
        "ts2vec": (lambda: ts2vec.hierarchical_contrast(z1, z2), lambda: plain.ts2vec(z1, z2)),
        "softclt": (lambda: softclt.soft_contrast(z1, z2, **targets), lambda: plain.softclt(z1, z2, w, 1.0)),
        "cost": (lambda: sum(cost.season_contrast(z1, z2)), lambda: plain.season(z1, z2)),
        "infots": (lambda: infots.infots_loss(z1, z2, k=8), lambda: plain.infots(z1, z2, 8)),
        "mf-clr": (lambda: mf_clr.mf_clr_loss(z1, z2, guide), lambda: plain.mf_clr(z1, z2, guide)),
        "tnc": (
            lambda: tnc.neighbourhood_loss(
                small.flatten(0, 1), near, distant, split, dropout=0.5, generator=g
            ),
            lambda: plain.tnc(small.flatten(0, 1), near, distant, critic),
        ),
        "cpc": (lambda: cpc.predictive_contrast(z1, queries), lambda: plain.cpc(z1, queries)),
        "simmtm": (
            lambda: built(simmtm.contrast_and_rebuild(s, y, n_series=2 * T)),
            lambda: built(plain.simmtm(s, y, 2 * T)),
        ),
    }
    return {name: (gradient(ours), gradient(other)) for name, (ours, other) in pairs.items()}


def in_loops() -> dict[str, tuple[Run, Run]]:
    """Value and gradient of TS2Vec's and SoftCLT's loss: ours, and in the loops of the tests."""
    z1, z2 = embeddings(3, 16, D, seed=1), embeddings(3, 16, D, seed=1)
    w = softclt.instance_weights(torch.rand(3, 3), tau=5.0)
    targets = {"instance_weights": w, "temporal_weights": softclt.sigmoid(1.0, z1)}

    def apart(level: int) -> loops.Weights:
        return lambda i, j: 2 / (1 + 2.718281828 ** (2**level * abs(i - j)))

    ours = lambda: softclt.soft_contrast(z1, z2, **targets)  # noqa: E731
    soft = {"instance": lambda i, j: float(w[i, j]), "temporal": apart}
    return {
        "ts2vec": (
            gradient(lambda: ts2vec.hierarchical_contrast(z1, z2)),
            gradient(lambda: loops.hierarchical_contrast(z1, z2)),
        ),
        "softclt": (gradient(ours), gradient(lambda: loops.hierarchical_contrast(z1, z2, **soft))),
    }


def splits() -> Splits:
    """Eight sequences, which are every batch."""
    rng = np.random.default_rng(0)
    store, who = rng.random((B, T, F), np.float32), np.array([str(i) for i in range(B)])
    raw = rng.standard_normal((B, T, 2 * F - 2), np.float32)
    y, start = rng.integers(3, size=(B, T)), np.zeros(B, np.int64)
    frames = Frames(store, np.arange(B), y, who, who, start, lambda: raw)
    return Splits(frames, frames, None, ("a", "b", "c"), "", float(np.median(store)), {}, ())


def step(**settings: Any) -> Run:
    """Views, encoder, heads and loss of a method, value and gradient."""
    state = begin(TrainConfig.from_dict(settings), splits())
    method, batch = state.method.train(), next_batch(state, "cpu")

    def run() -> None:
        method.zero_grad()
        with own_draws(method, 0, 0):
            method.loss(batch, state.generator).backward()

    return run


def simmtm_floor() -> Run:
    """What SimMTM frame by frame cannot do without: its networks on originals and copies; each cosine once,
    and twice for the gradient, since a product with a symmetric matrix gains nothing; sums of decoded frames.
    """
    x = torch.rand(4 * B * T, F)
    encoder, head, decoder = Projector(F), nn.Linear(D, 128), nn.Linear(D, F)
    s, y = torch.rand(len(x), 128), torch.rand(len(x), F)
    half, some = s[: len(x) // 2], slice(0, B * T)
    m = torch.rand(len(x) // 4, len(x))

    def run() -> None:
        h = encoder(x[None])[0]
        (head(h).sum() + decoder(h).sum()).backward()
        for quarter in half.chunk(2):
            torch.mm(quarter, s.T, out=m)  # half of the cosines
        for _ in range(4):
            m @ s  # the gradient
        m @ y, m.T @ y[some], torch.mm(y[some], y.T, out=m)  # the sums, and their two gradients

    return run


def in_turn(runs: dict[str, Run], rounds: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Milliseconds of each, after one round that does not count.

    A run counts that comes after one of its kind, as in a training: not one that finds caches and freed
    memory as another kind left them.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(rounds + 1):
        for name, run in runs.items():
            run()
            start = clock()
            run()
            if i:
                times[name].append(1e3 * (clock() - start))
    return times


def of_losses(chosen: set[str], rounds: int, clock: Callable[[], float]) -> None:
    for kind, pairs, n in (("plain", losses(), rounds), ("loops", in_loops(), 1)):
        for name, (ours, other) in pairs.items():
            if name in chosen or not chosen:
                times = in_turn({"ours": ours, kind: other}, n, clock)
                baseline = statistics.median(times[kind])
                report(f"{name.replace('-', '_')}_loss_vs_{kind}", times["ours"], "ms", baseline=baseline)


def of_steps(chosen: set[str], rounds: int, clock: Callable[[], float]) -> None:
    names = {name: more for name, more in STEPS.items() if not chosen or name.split("_")[0] in chosen}
    names |= {name: {} for name in chosen if name in METHODS}
    runs = {name: step(**{"method": name} | more) for name, more in names.items()}
    for name, run in runs.items():  # each beside eMargin: with many in turn, a busy machine changes between
        times = in_turn({"emargin": step(method="emargin"), name: run}, rounds, clock)
        baseline, said = statistics.median(times["emargin"]), name.replace("-", "_")
        report(f"{said}_step_vs_emargin", times[name], "ms", baseline=baseline)
        report(f"{said}_memory_mb", peak_growth(run) / 1e6, "MB")
    if "simmtm_frames" in runs:
        times = in_turn({"emargin": step(method="emargin"), "floor": simmtm_floor()}, rounds, clock)
        baseline = statistics.median(times["emargin"])
        report("simmtm_frames_floor_vs_emargin", times["floor"], "ms", baseline=baseline)


def of_parts(chosen: set[str], rounds: int, clock: Callable[[], float]) -> None:
    g = torch.Generator().manual_seed(0)
    if not chosen or "cost" in chosen:
        e = embeddings(B, T, D, seed=1)
        kernels = [2**i for i in range(8)]
        weights = [torch.randn(160, D, k, generator=g).requires_grad_() for k in kernels]
        biases = [torch.zeros(160) for _ in kernels]
        times = in_turn(
            {
                "one": lambda: cost.trend_at(e, 150, weights, biases).sum().backward(),
                "all": lambda: cost.trend(e, weights, biases)[:, 150].sum().backward(),
            },
            min(rounds, 5),
            clock,
        )
        report("cost_trend_vs_whole", times["one"], "ms", baseline=statistics.median(times["all"]))
    if not chosen or "mf-clr" in chosen:
        x = torch.rand(B, T, F, generator=g)
        times = in_turn({"view": lambda: mf_clr_views.augment(x, g)}, rounds, clock)
        view = [1e3 * ms / (B * F) for ms in times["view"]]
        report("mf_clr_view_us", view, "us a series", baseline=OFFICIAL_VIEW_US)
    if not chosen or "softclt" in chosen:
        x = torch.rand(1000, T, F, generator=g)
        times = in_turn({"distances": lambda: softclt.cosine_distances(x)}, 3, clock)
        report("softclt_distances_1000", [ms / 1e3 for ms in times["distances"]], "s")


def main() -> None:
    parser = parser_of("methods", __doc__)
    parser.add_argument("--rounds", type=int, default=4, metavar="N", help="runs of each kind (default 4)")
    parser.add_argument("--only", default="", metavar="METHODS", help="names, separated by commas")
    parser.add_argument("--cpu-time", action="store_true", help="the processor's seconds, not the wall's")
    args = parser.parse_args()
    clock = time.process_time if args.cpu_time else time.perf_counter
    chosen = {name for name in args.only.split(",") if name}
    of_losses(chosen, args.rounds, clock)
    of_steps(chosen, args.rounds, clock)
    of_parts(chosen, args.rounds, clock)


if __name__ == "__main__":
    main()
