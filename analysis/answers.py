"""Answer the three questions from verdicts, by rules that were written before the verdicts were known.

Each rule has a sentence for every combination of verdicts, also where nothing was measured yet.
"""

from collections.abc import Callable

from analysis.evidence import SIDES, Evidence
from analysis.selection import meeting
from analysis.words import listed

UNMEASURED = "Not measured yet."
THREAD, SURFACE = 1.5, 3.0  # dimensions below which a cloud is a thread, and nearly one
MIXED = "mixed"
ONE = "the one data set so far"
CHANGE = {
    "higher": "rises",
    "lower": "falls",
    "equivalent": "changes by less than the margin",
    "undecided": "shows no clear change",
}
WAYS = {"higher": "rises", "lower": "falls", "equivalent": "changes by less than the margin"}


def outcome(evidence: Evidence, contrast: str, metric: str) -> str | None:
    """The verdict over all data sets; where that is open, what single ones show, such as "mixed lower".

    None where nothing was measured yet.
    """
    row = evidence.row(contrast, metric)
    if row is None or row.verdict != "undecided":
        return None if row is None else str(row.verdict)
    single = set(evidence.single(contrast, metric)["verdict"])
    if single == {"equivalent"}:
        return f"{MIXED} equivalent"  # too few data sets for a statement about all of them
    ways = [way for way in ("higher", "lower") if way in single]
    return " ".join([MIXED, *ways]) if ways else "undecided"


def change(evidence: Evidence, contrast: str, metric: str) -> str:
    """What a metric does by `outcome`, as the end of a sentence."""
    found = outcome(evidence, contrast, metric)
    assert found is not None
    if found in CHANGE:
        return CHANGE[found]
    single = evidence.single(contrast, metric)["verdict"]
    if len(single) == 1:
        return f"{WAYS[single.item()]} on {ONE}"
    words = [f"{verb} on {(single == way).sum()}" for way, verb in WAYS.items() if (single == way).any()]
    return f"{listed(words)} of {len(single)} data sets"


def labels(evidence: Evidence) -> str:
    """Q1: can a semi-supervised variant keep the compactness and gain accuracy?"""
    gain, compact = (outcome(evidence, "labels", metric) for metric in ("probe", "silhouette"))
    if gain is None or compact is None:
        return UNMEASURED
    if gain in ("equivalent", f"{MIXED} equivalent", "lower", f"{MIXED} lower"):
        lead = "No"
    elif gain == "undecided":
        lead = "Not shown"
    elif gain == "higher" and compact in ("higher", "equivalent", f"{MIXED} equivalent"):
        lead = "Yes"
    else:
        lead = "Only in part"
    accuracy, silhouette = (change(evidence, "labels", metric) for metric in ("probe", "silhouette"))
    return f"{lead}: accuracy {accuracy}, and Silhouette {silhouette}."


def spread(evidence: Evidence) -> str:
    """Q2: why do eMargin's embeddings score well and separate badly?"""
    asked = ("headline", "infonce-narrowed", "emargin-spread")
    better, narrowed, widened = (outcome(evidence, name, "silhouette") for name in asked)
    if better is None or narrowed is None or widened is None:
        return UNMEASURED
    moves = [change(evidence, name, "silhouette") for name in asked]
    if not better.endswith("higher"):
        return f"The premise does not hold here: with eMargin, Silhouette {moves[0]}."
    clear = [narrowed == "higher", widened == "lower"]
    some = [narrowed.endswith("higher"), widened.endswith("lower")]
    narrow = "because they are narrow, which means that they vary in few directions"
    lead = narrow.capitalize() if all(clear) else f"In part {narrow}"
    lead = lead if any(some) else f"Not {narrow}"
    return (
        f"{lead}: Silhouette {moves[1]} when we press InfoNCE's embeddings into few directions, and "
        f"{moves[2]} when we keep eMargin's embeddings spread out."
    )


def threshold(evidence: Evidence) -> str:
    """Q3: how robust is the threshold?"""
    found = [
        outcome(evidence, name, metric)
        for name in ("papers-threshold", "all-steps")
        for metric in ("silhouette", "probe")
    ]
    if None in found:
        return UNMEASURED
    idle = all(str(one).endswith("equivalent") for one in found[:2])
    n = len(evidence.single("papers-threshold", "silhouette"))
    papers = (
        f"The paper's threshold of 0.4 does the same as none on {f'each of {n} data sets' if n > 1 else ONE}."
        if idle and found[:2] != ["equivalent", "equivalent"]
        else "The paper's threshold of 0.4 does the same as none."
        if idle
        else "It is not shown for both metrics that the paper's threshold of 0.4 does the same as none."
    )
    silhouette, accuracy = (change(evidence, "all-steps", metric) for metric in ("silhouette", "probe"))
    return (
        f"{papers} Where every step is called dissimilar instead of none, Silhouette {silhouette}, and "
        f"accuracy {accuracy}."
    )


def spirals(evidence: Evidence) -> str:
    """Are the embeddings threads? From the dimension of neighbourhoods (TwoNN) and of the whole cloud.

    By data set, as means over splits; the answer is about eMargin.
    """
    sides = {contrast.name: contrast for contrast in evidence.plan.contrasts}[SIDES]
    rows = evidence.study.ok
    least: dict[str, float] = {}
    words: dict[str, str] = {}
    for metric in ("intrinsic_dimension", "participation_ratio"):
        said = []
        for side, where in (("eMargin", sides.a), ("InfoNCE", sides.b)):
            own = rows[meeting(rows, where)]
            means = own[metric].astype(float).groupby(own["dataset"]).mean().dropna()
            if means.empty:
                return UNMEASURED
            least.setdefault(metric, float(means.min()))
            said.append(f"{means.min():.1f} to {means.max():.1f} for {side}")
        words[metric] = listed(said)
    near, far = least["intrinsic_dimension"], least["participation_ratio"]
    if near < THREAD:
        lead = "Yes, on at least one data set."
    elif near < SURFACE:
        lead = "Nearly, on at least one data set."
    elif far < SURFACE:
        lead = "No, but on at least one data set nearly all variance lies in a few directions."
    else:
        lead = "No."
    return (
        f"{lead} A thread has dimension 1. By data set, the mean dimension of small neighbourhoods (TwoNN) "
        f"is {words['intrinsic_dimension']}, and the number of directions that hold the variance of the "
        f"whole cloud (participation ratio) is {words['participation_ratio']}."
    )


ANSWERS: dict[str, Callable[[Evidence], str]] = {
    "Q1": labels,
    "Q2": spread,
    "Q3": threshold,
    "spirals": spirals,
}
