"""Ten key numbers of docs/findings.md, from the Parquet files with pandas and SciPy alone.

Nothing of `analysis` is used, so that a mistake there cannot confirm itself. A number whose studies are not
there yet stands in the document as "has not been measured yet" or as a dash, and then that is checked.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "findings.md").read_text()
FOLDER = DOCS / "findings"
SILHOUETTE, PROBE = "test_silhouette", "test_probe_balanced_accuracy"
KNN, MLP = "test_knn_balanced_accuracy", "test_mlp_balanced_accuracy"
LEVEL = 0.05 / 2  # Q1 and Q2 have been looked at twice


def rows(pattern: str) -> pd.DataFrame:
    parts = [pd.read_parquet(path) for path in sorted(FOLDER.glob(f"{pattern}/results.parquet"))]
    made = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return made[made["status"] == "ok"] if len(made) else made


def value(made: pd.DataFrame, metric: str) -> "pd.Series[float]":
    """By dataset, noise level and split: mean over what is left, which is one setting."""
    keys = ["dataset", made["snr_db"].astype(float).fillna(99), "split_seed"]
    return made.groupby(keys)[metric].mean()


def gaps(a: "pd.Series[float]", b: "pd.Series[float]") -> dict[str, np.ndarray]:
    """Differences by dataset: one for each split, mean over noise levels."""
    found = (a - b).dropna()
    return {name: own.groupby("split_seed").mean().to_numpy() for name, own in found.groupby(level="dataset")}


def pooled(of: dict[str, np.ndarray]) -> tuple[float, ...]:
    """Paule and Mandel's mean with Hartung and Knapp's interval, from the textbook's formulas.

    Of a single dataset the mean alone, since nothing says how far others would differ.
    """
    y = np.array([gap.mean() for gap in of.values()])
    v = np.array([gap.var(ddof=1) / len(gap) for gap in of.values()])
    if len(y) == 1:
        return (float(y[0]),)
    k = len(y)

    def excess(tau2: float) -> float:
        w = 1 / (v + tau2)
        return float(np.sum(w * (y - np.average(y, weights=w)) ** 2) - (k - 1))

    tau2 = optimize.brentq(excess, 0, 10) if excess(0) > 0 else 0.0
    w = 1 / (v + tau2)
    mean = np.average(y, weights=w)
    scale = max(1, np.sum(w * (y - mean) ** 2) / (k - 1))
    half = stats.t.ppf(0.975, k - 1) * np.sqrt(scale / w.sum())
    return mean, mean - half, mean + half


def adjusted(p: list[float]) -> np.ndarray:
    """Holm, step by step."""
    order, found, highest = np.argsort(p), np.empty(len(p)), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, p[i] * (len(p) - rank)))
        found[i] = highest
    return found


def verdicts(of: dict[str, np.ndarray], margin: float) -> list[str]:
    shown = adjusted([stats.ttest_1samp(gap, 0).pvalue for gap in of.values()])
    within = adjusted(
        [
            max(
                stats.ttest_1samp(gap, -margin, alternative="greater").pvalue,
                stats.ttest_1samp(gap, margin, alternative="less").pvalue,
            )
            for gap in of.values()
        ]
    )
    return [
        "equivalent"
        if inside < LEVEL
        else "undecided"
        if p >= LEVEL
        else "higher"
        if gap.mean() > 0
        else "lower"
        for gap, p, inside in zip(of.values(), shown, within, strict=True)
    ]


def stated(what: str) -> str:
    """What the document says at the first mark of WHAT."""
    found = re.search(rf"<!-- = {re.escape(what)} -->(.*?)<!-- / -->", TEXT)
    assert found, f"the document does not state {what}"
    return found.group(1)


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"[-+]\d+\.\d+", text)]


def holds(what: str, expected: tuple[float, ...]) -> None:
    """A sentence may go on with the numbers of the real datasets alone."""
    assert numbers(stated(what))[: len(expected)] == pytest.approx(expected, abs=0.0006), what


def q1(method: str, **where: str) -> pd.DataFrame:
    made = rows("q1-*")
    for name, wanted in ({"method": method} | where).items():
        made = made[made[name] == wanted]
    return made


def q2(method: str, spread: float = 0) -> pd.DataFrame:
    made = rows("q2-*-emargin*" if method == "emargin" else "q2-*-infonce*")
    return made[(made["method"] == method) & (made["spread_weight"] == spread)] if len(made) else made


def q3(gate: str, share: float) -> pd.DataFrame:
    made = rows("q3-*-share*" if gate == "intended" else "q3-*-random*")
    return made[(made["dissimilar_share"] - share).abs() < 0.001] if len(made) else made


def against(a: pd.DataFrame, b: pd.DataFrame, metric: str, what: str) -> dict[str, np.ndarray] | None:
    """Differences by dataset; None where a side is missing, which the document then says."""
    if a.empty or b.empty:
        assert re.search(r"not been measured yet|no dataset yet|–", stated(what)), what
        return None
    return gaps(value(a, metric), value(b, metric))


@pytest.mark.parametrize("metric, short", [(PROBE, "probe"), (SILHOUETTE, "silhouette")])
def test_gain_of_labels(metric, short) -> None:
    """1 and 2."""
    of = against(q1("emargin-semi", label_control="none"), q1("emargin"), metric, f"labels {short} says")
    if of is not None:
        holds(f"labels {short} says", pooled(of))


def test_verdicts_on_the_gain_of_labels() -> None:
    """3: how many datasets show what."""
    of = against(q1("emargin-semi", label_control="none"), q1("emargin"), PROBE, "labels probe counts")
    if of is not None:
        found = pd.Series(verdicts(of, 0.05)).value_counts()
        said = dict(
            re.findall(r"(higher|lower|equivalent|undecided) on (\d+)", stated("labels probe counts"))
        )
        assert {word: int(n) for word, n in said.items()} == found.to_dict()


def test_labels_in_random_order() -> None:
    """4."""
    a, b = (q1("emargin-semi", label_control=control) for control in ("none", "shuffled"))
    of = against(a, b, PROBE, "labels-not-the-term probe says")
    if of is not None:
        holds("labels-not-the-term probe says", pooled(of))


@pytest.mark.parametrize("metric, short", [(SILHOUETTE, "silhouette"), (PROBE, "probe")])
def test_headline(metric, short) -> None:
    """5 and 6."""
    of = against(q2("emargin"), q2("infonce"), metric, f"headline {short} says")
    if of is not None:
        holds(f"headline {short} says", pooled(of))


def test_narrowed_infonce() -> None:
    """7."""
    of = against(q2("infonce", -3), q2("infonce"), SILHOUETTE, "infonce-narrowed silhouette says")
    if of is not None:
        holds("infonce-narrowed silhouette says", pooled(of))


def test_every_step_instead_of_none() -> None:
    """8: the mean over three noise levels within each split."""
    of = against(q3("intended", 1), q3("intended", 0), SILHOUETTE, "all-steps silhouette says")
    if of is not None:
        holds("all-steps silhouette says", pooled(of))


def test_lead_of_the_mlp() -> None:
    """9."""
    own = q2("emargin")
    if own.empty:
        assert stated("mlp-over-linear emargin") == "–"
        return
    holds("mlp-over-linear emargin", pooled(gaps(value(own, MLP), value(own, PROBE))))


def test_part_of_the_spectrum() -> None:
    """10: from the four Silhouettes of each split."""
    exchanged = sorted(FOLDER.glob("*/transplant.parquet"))
    if not exchanged:
        assert stated("transplant-spectrum silhouette") == "–"
        return
    made = pd.concat(map(pd.read_parquet, exchanged))
    cell = made.set_index(["dataset", "split_seed", "scores", "spectrum"])["silhouette"].unstack([2, 3])
    half = ((cell["a", "a"] - cell["a", "b"]) + (cell["b", "a"] - cell["b", "b"])) / 2
    holds("transplant-spectrum silhouette", pooled({n: own.to_numpy() for n, own in half.groupby(level=0)}))


def test_decided_verdicts_of_the_gain() -> None:
    """11: every verdict of the block on which the counts rest is the one that plain SciPy gives."""
    of = against(q1("emargin-semi", label_control="none"), q1("emargin"), KNN, "labels knn says")
    if of is not None:
        block = TEXT[TEXT.index("**labels.**") : TEXT.index("**labels-not-the-term.**")]
        lines = [line.split(" | ") for line in block.splitlines() if f"| {KNN} |" in line]
        said = {line[1]: line[8] for line in lines if line[1] not in ("all datasets", "real datasets")}
        assert said == dict(zip(of, verdicts(of, 0.05), strict=True))
