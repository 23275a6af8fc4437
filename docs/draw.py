"""Draw the figures of docs/methods.md and docs/pseudo_labels.md.

python docs/draw.py       # writes kernel.svg, collapse.svg and adjacent_cosine.svg in docs/figures
"""

from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import torch

from emargin_train.data.frames import Frames, spectra
from emargin_train.data.simulated_sleep import simulate
from emargin_train.losses.contrast import emargin, infonce, margin_kernel
from emargin_train.pseudo_labels import adjacent_cosine
from emargin_train.pseudo_labels.noise import Bins, predict

FOLDER = Path(__file__).parent / "figures"
KERNELS = {
    "similar (y = 0)": {"sign −1 (default)": (0, 1.0, -1), "sign +1": (0, 1.0, 1)},
    "dissimilar (y = 1)": {f"margin {m:g}": (1, m, -1) for m in (0.5, 1.0, 2.0)},
}
SNRS_DB = np.arange(-20, 31, 2.5)
SAMPLES = 178


def kernel_chart() -> Any:
    """k(s) above its slope, similar beside dissimilar."""
    s = torch.linspace(-1, 1, 201, requires_grad=True)
    columns = []
    for title, curves in KERNELS.items():
        rows = []
        for label, (y, margin, sign) in curves.items():
            k = margin_kernel(s, torch.full_like(s, y), margin=margin, similar_sign=sign)
            slope = torch.autograd.grad(k.sum(), s)[0]
            rows += [
                {"s": float(a), "curve": label, "k": float(b), "slope": float(c)}
                for a, b, c in zip(s.detach(), k.detach(), slope, strict=True)
            ]
        base = (
            alt.Chart(alt.Data(values=rows))
            .mark_line(strokeWidth=2)
            .encode(
                x=alt.X("s:Q", title="cosine s of anchor and negative"),
                color=alt.Color("curve:N", title=None, sort=list(curves)),
                strokeDash=alt.StrokeDash("curve:N", legend=None, sort=list(curves)),
            )
            .properties(width=280, height=150)
        )
        zero = alt.Chart(alt.Data(values=[{"y": 0}])).mark_rule(color="#999").encode(y="y:Q")
        top = zero + base.encode(y=alt.Y("k:Q", title="k(s)"))
        bottom = zero + base.encode(
            y=alt.Y("slope:Q", title="dk/ds:  < 0 pulls, > 0 pushes", scale=alt.Scale(domain=[-3, 1]))
        )
        columns.append(alt.vconcat(top, bottom, title=alt.TitleParams(title, anchor="middle")))
    return alt.hconcat(*columns).resolve_scale(color="independent", strokeDash="independent")


def collapse_chart() -> Any:
    """Losses on the straight way from random non-negative embeddings to one direction."""
    g = torch.Generator().manual_seed(0)
    start = torch.randn(8, 50, 320, generator=g, dtype=torch.float64).relu()
    end = torch.ones_like(start)
    labels = {"eMargin, every step similar": 0, "eMargin, every step dissimilar": 1}
    rows = []
    for part in np.linspace(0, 1, 41):
        h = (1 - part) * start + part * end
        losses = {"InfoNCE": infonce(h, temperature=0.1)}
        for name, y in labels.items():
            losses[name] = emargin(h, torch.full(h.shape[:2], y), margin=5.0, temperature=0.1)
        rows += [{"part": float(part), "loss": float(loss), "method": name} for name, loss in losses.items()]
    order = [*labels, "InfoNCE"]
    chart = alt.Chart(alt.Data(values=rows)).mark_line(strokeWidth=2).encode(
        x=alt.X("part:Q", title="way from random embeddings (0) to a single direction (1)"),
        y=alt.Y("loss:Q", title="loss"),
        color=alt.Color("method:N", title=None, sort=order),
    )  # fmt: skip
    n, gamma, tau, margin = 8 * 50, 0.05, 0.1, 5.0
    inner = {name: (margin - 1) ** 2 / 2 if y else -0.5 for name, y in labels.items()}
    lowest = [{"loss": _collapsed(n, gamma * k / tau, 1 / tau), "method": name} for name, k in inner.items()]
    ends = alt.Chart(alt.Data(values=lowest)).mark_point(size=70, strokeWidth=2).encode(
        x=alt.datum(1), y="loss:Q", color=alt.Color("method:N", title=None, sort=order)
    )  # fmt: skip
    title = alt.TitleParams(
        "Total collapse is eMargin's minimum",
        subtitle="8 sequences of 50 frames, 320 dimensions, margin 5, temperature 0.1; circles: closed form",
    )
    return (chart + ends).properties(width=460, height=240, title=title)


def _collapsed(n: int, negative: float, positive: float) -> float:
    """The closed form of docs/methods.md: mean over frames; two in a sequence of 50 have one neighbour."""
    of = {p: np.log1p((n - 1 - p) * np.exp(negative - positive) / p) for p in (1, 2)}
    return float(0.04 * of[1] + 0.96 * of[2])


def frames_of(signal: np.ndarray) -> Frames:
    """(samples,) -> one record in sequences of 20 frames."""
    x = spectra(signal[None].astype(np.float32), SAMPLES, SAMPLES)
    store = x[: len(x) // 20 * 20].reshape(-1, 20, x.shape[1]).astype(np.float32)
    n = len(store)
    who = np.full(n, "sim")
    return Frames(store, np.arange(n), np.full((n, 20), -1), who, who, np.arange(n) * 20)


def cosine_chart() -> Any:
    """Measured and expected adjacent cosine of a simulated night, by SNR."""
    clean = simulate(0).signal[0]
    before, bins, rng = frames_of(clean), Bins(SAMPLES), np.random.default_rng(0)
    rows = []
    for snr_db in SNRS_DB:
        noise = rng.standard_normal(len(clean)) * clean.std() / 10 ** (snr_db / 20)
        cosine = adjacent_cosine(frames_of(clean + noise).x()).ravel()
        low, high = np.quantile(cosine, (0.01, 0.99))
        rows.append(
            {
                "snr": float(snr_db),
                "measured": float(cosine.mean()),
                "expected": float(predict(before, bins, snr_db).mean()),
                "low": float(low),
                "high": float(high),
            }
        )
    base = alt.Chart(alt.Data(values=rows)).encode(x=alt.X("snr:Q", title="SNR of added white noise (dB)"))
    y = alt.Y("measured:Q", title="cosine of adjacent frames", scale=alt.Scale(domain=[0.5, 1], zero=False))
    band = base.mark_area(opacity=0.2).encode(y=alt.Y("low:Q", title=""), y2="high:Q")
    line = base.mark_line(strokeWidth=2).encode(y="expected:Q")
    points = base.mark_point(filled=True, size=45).encode(y=y)
    limit = alt.Data(values=[{"y": np.pi / 4, "label": "π / 4"}])
    rule = alt.Chart(limit).mark_rule(strokeDash=[4, 4], color="#b2182b").encode(y="y:Q")
    text = alt.Chart(limit).mark_text(align="left", dx=4, dy=-8, color="#b2182b").encode(
        y="y:Q", x=alt.value(0), text="label:N"
    )  # fmt: skip
    title = alt.TitleParams(
        "Adjacent cosines of a simulated night",
        subtitle="points: measured mean; line: expected; band: middle 98 % of steps",
    )
    return (band + rule + text + line + points).properties(width=460, height=240, title=title)


if __name__ == "__main__":
    kernel_chart().save(FOLDER / "kernel.svg")
    collapse_chart().save(FOLDER / "collapse.svg")
    cosine_chart().save(FOLDER / "adjacent_cosine.svg")
