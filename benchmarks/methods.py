"""The baselines' losses on the paper's sleep shape (8 x 200 frames, 90 features, 320 dimensions), on the CPU.

    python -m benchmarks.methods                    # about a minute on two cores
    python -m benchmarks.methods --only ts2vec,tnc  # only these methods
    OMP_NUM_THREADS=1 python -m benchmarks.methods --cpu-time   # on a machine with other work

Runs take turns, so that a busy machine slows all of them equally. A ratio is a time divided by its baseline:

    <method>_loss_vs_plain    value and gradient / the same in plain, vectorised PyTorch (wanted: never
                              above 1; `tnc` and `simmtm` on two sequences)
    <method>_step_vs_emargin  encoder, heads, views and loss of a step / an eMargin step (wanted for SimMTM
                              frame by frame and TNC with all anchors: at most 3)
    <method>_memory_mb        peak growth of such a step (wanted: at most 200)
    cost_trend_vs_whole       CoST's trend at one frame / at all frames (wanted: at most 0.05)
    mf_clr_view_us            MF-CLR's view of a series of 200 frames / 4,300 us of the official routine
                              (wanted: at most 0.01)
    softclt_distances_1000    cosine distances of 1,000 sequences (wanted: under 1 s)
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks import plain_baselines as plain
from benchmarks.common import peak_growth, report
from emargin_train.encoders.projector import Projector
from emargin_train.losses import cost, cpc, infots, mf_clr, simmtm, softclt, tnc, ts2vec
from emargin_train.losses.contrast import emargin
from emargin_train.views import mf_clr as mf_clr_views
from emargin_train.views import simmtm as simmtm_views
from emargin_train.views import tnc as tnc_views

B, T, F, D = 8, 200, 90, 320
OFFICIAL_VIEW_US = 4300.0  # of a series, as measured for ../shared/baselines/part1.md
Run = Callable[[], object]


def inputs(*shape: int, seed: int) -> Tensor:
    """Like the encoder's embeddings: not negative, a half of them 0."""
    g = torch.Generator().manual_seed(seed)
    return (0.3 * torch.randn(*shape, generator=g).relu()).requires_grad_()


def losses() -> dict[str, tuple[Run, Run]]:
    """Value and gradient of each loss: ours, and plain."""
    g = torch.Generator().manual_seed(0)
    z1, z2, x = inputs(B, T, D, seed=1), inputs(B, T, D, seed=2), torch.rand(B, T, F, generator=g)
    guide = x[..., : F // 3]
    w = softclt.instance_weights(softclt.scaled(softclt.cosine_distances(x)), tau=5.0)
    targets = {"instance_weights": w, "temporal_weights": softclt.sigmoid(1.0, x)}
    queries = inputs(4, B, T, D, seed=3)
    small = inputs(2, T, D, seed=4)  # plain TNC and SimMTM hold every pair at once: two sequences here
    near, distant = tnc_views.draw_pairs(2, T, g)
    first, second = nn.Linear(2 * D, 4 * D), nn.Linear(4 * D, 1)
    critic = nn.Sequential(first, nn.ReLU(), nn.Dropout(0.5), second)
    split = tnc.Critic(first.weight, first.bias, second.weight, second.bias)
    s, y = inputs(4 * 2 * T, 128, seed=5), inputs(4 * 2 * T, F, seed=6)

    def built(found: tuple[Tensor, Tensor]) -> Tensor:
        return found[0] + found[1].square().mean()

    def gradient(loss: Callable[[], Tensor]) -> Run:
        return lambda: loss().backward()

    pairs: dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]] = {
        "ts2vec": (lambda: ts2vec.hierarchical_contrast(z1, z2), lambda: plain.ts2vec(z1, z2)),
        "softclt": (lambda: softclt.soft_contrast(z1, z2, **targets), lambda: plain.softclt(z1, z2, w, 1.0)),
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


def steps() -> dict[str, Run]:
    """Encoder, heads, views and loss, value and gradient."""
    g = torch.Generator().manual_seed(0)
    x, y = torch.rand(B, T, F, generator=g), torch.rand(B, T, generator=g) < 0.3
    encoder = Projector(F)
    first, second = nn.Linear(2 * D, 4 * D), nn.Linear(4 * D, 1)
    head, decoder = nn.Linear(D, 128), nn.Linear(D, F)
    dropout = nn.Dropout(0.1)
    gru, predictors = nn.GRU(D, 256, batch_first=True), nn.Linear(256, 4 * D)
    w = softclt.instance_weights(softclt.scaled(softclt.cosine_distances(x)), tau=5.0)

    def tnc_step() -> Tensor:
        near, distant = tnc_views.draw_pairs(B, T, g)
        critic = tnc.Critic(first.weight, first.bias, second.weight, second.bias)
        h = encoder(x).flatten(0, 1)
        return tnc.neighbourhood_loss(h, near, distant, critic, dropout=0.5, generator=g)

    def simmtm_step(copies: int) -> Tensor:
        masked, _ = simmtm_views.masked_copies(x, g, copies=copies)
        h = encoder(masked).flatten(0, 1)
        loss, rebuilt = simmtm.contrast_and_rebuild(head(h), decoder(h), n_series=B * T)
        return loss + (rebuilt - x.flatten(0, 1)).square().mean()

    def two_views(soft: bool) -> Tensor:
        z1, z2 = dropout(encoder(x)), dropout(encoder(x))
        if not soft:
            return ts2vec.hierarchical_contrast(z1, z2)
        return softclt.soft_contrast(z1, z2, instance_weights=w, temporal_weights=softclt.sigmoid(1.0, x))

    def cpc_step() -> Tensor:
        z = encoder(x)
        queries = predictors(gru(z)[0]).unflatten(-1, (4, D)).movedim(2, 0)
        return cpc.predictive_contrast(z, queries)

    every: dict[str, Callable[[], Tensor]] = {
        "emargin": lambda: emargin(encoder(x), y, margin=5.0, temperature=0.1),
        "ts2vec": lambda: two_views(False),
        "softclt": lambda: two_views(True),
        "tnc": tnc_step,
        "cpc": cpc_step,
        "simmtm_frames": lambda: simmtm_step(3),
        "simmtm_frames_one_copy": lambda: simmtm_step(1),
    }

    def gradient(loss: Callable[[], Tensor]) -> Run:
        return lambda: loss().backward()

    return {name: gradient(loss) for name, loss in every.items()}


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
    for name, (ours, other) in losses().items():
        if name in chosen or not chosen:
            times = in_turn({"ours": ours, "plain": other}, rounds, clock)
            baseline = statistics.median(times["plain"])
            report(f"{name.replace('-', '_')}_loss_vs_plain", times["ours"], "ms", baseline=baseline)


def of_steps(chosen: set[str], rounds: int, clock: Callable[[], float]) -> None:
    runs = {k: v for k, v in steps().items() if not chosen or k == "emargin" or k.split("_")[0] in chosen}
    if len(runs) < 2:
        return
    times = in_turn(runs, rounds, clock)
    for name, run in runs.items():
        if name != "emargin":
            report(f"{name}_step_vs_emargin", times[name], "ms", baseline=statistics.median(times["emargin"]))
        report(f"{name}_memory_mb", peak_growth(run) / 1e6, "MB")


def of_parts(chosen: set[str], rounds: int, clock: Callable[[], float]) -> None:
    g = torch.Generator().manual_seed(0)
    if not chosen or "cost" in chosen:
        e = inputs(B, T, D, seed=1)
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
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.methods",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="runs of each kind (default 10)")
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
