"""The three questions answered from the verdicts over all data sets, by rules that were written first.

Each rule is total: it has a sentence for every combination of verdicts, also where nothing was measured yet.
"""

from collections.abc import Callable

import numpy as np

from analysis.evidence import SIDES, Evidence
from analysis.selection import meeting
from analysis.words import listed

UNMEASURED = "Not measured yet."
THREAD, SURFACE = 1.5, 3.0  # dimensions below which an embedding is a thread, and nearly one


def _verdicts(evidence: Evidence, *asked: tuple[str, str]) -> list[str] | None:
    """The verdicts over all data sets of (contrast, metric) pairs; None where one was not measured."""
    rows = [evidence.row(*one) for one in asked]
    return None if any(row is None for row in rows) else [row.verdict for row in rows]


def labels(evidence: Evidence) -> str:
    """Q1: can a semi-supervised variant keep the compactness and gain accuracy?"""
    found = _verdicts(evidence, ("labels", "probe"), ("labels", "silhouette"))
    if found is None:
        return UNMEASURED
    gain, compact = found
    if gain == "equivalent":
        return "No: with 10 % of labels the accuracy of a linear probe changes by less than the margin."
    if gain == "lower":
        return "No: with 10 % of labels a linear probe becomes less accurate."
    if gain == "undecided":
        return "Not shown: over all data sets, no gain of accuracy is clear."
    return {
        "higher": "Yes: accuracy and Silhouette both rise.",
        "equivalent": "Yes: accuracy rises, and Silhouette stays within its margin.",
        "lower": "Only half: accuracy rises, but Silhouette falls.",
        "undecided": "Accuracy rises; what happens to Silhouette is not clear over all data sets.",
    }[compact]


def spread(evidence: Evidence) -> str:
    """Q2: why do eMargin's embeddings score well and separate badly?"""
    found = _verdicts(
        evidence,
        ("headline", "silhouette"), ("infonce-narrowed", "silhouette"), ("emargin-spread", "silhouette"),
    )  # fmt: skip
    if found is None:
        return UNMEASURED
    better, narrowed, widened = found
    if better != "higher":
        return "The premise does not hold here: over all data sets, eMargin has no better Silhouette."
    enough, needed = narrowed == "higher", widened == "lower"
    if enough and needed:
        return "Because they are narrow: few directions are enough for the score, and are needed for it."
    if enough:
        return "A narrow spread is enough for the score, but that it is needed is not shown."
    if needed:
        return "A narrow spread is needed for the score, but that it is enough is not shown."
    return (
        "Not by their spread alone: neither narrowing InfoNCE nor widening eMargin moves the score clearly."
    )


def threshold(evidence: Evidence) -> str:
    """Q3: how robust is the threshold?"""
    pairs = [
        (name, metric) for name in ("papers-threshold", "all-steps") for metric in ("silhouette", "probe")
    ]
    found = _verdicts(evidence, *pairs)
    if found is None:
        return UNMEASURED
    idle = found[0] == found[1] == "equivalent"
    moved = [name for name, verdict in zip(("Silhouette", "accuracy"), found[2:], strict=True)
             if verdict in ("higher", "lower")]  # fmt: skip
    papers = (
        "The paper's threshold of 0.4 does the same as none."
        if idle
        else "That the paper's threshold of 0.4 does the same as none is not shown for both metrics."
    )
    if not moved:
        return f"{papers} Even the largest change, from no step to every step, moves neither metric clearly."
    return f"{papers} From no step to every step, it moves {' and '.join(moved)}."


def spirals(evidence: Evidence) -> str:
    """Are the embeddings threads? From their TwoNN dimension on each data set, means over splits."""
    sides = {c.name: c for c in evidence.plan.contrasts}[SIDES]
    rows = evidence.study.ok
    words, least = [], np.inf
    for side, where in (("eMargin", sides.a), ("InfoNCE", sides.b)):
        own = rows[meeting(rows, where)]
        means = own["intrinsic_dimension"].astype(float).groupby(own["dataset"]).mean().dropna()
        if means.empty:
            return UNMEASURED
        least = min(least, means.min()) if side == "eMargin" else least
        words.append(f"{means.min():.1f} to {means.max():.1f} for {side}")
    size = f"by data set, the mean TwoNN dimension is {listed(words)}"
    if least >= SURFACE:
        return f"No: {size}."
    return f"{'Nearly' if least >= THREAD else 'Yes'}, on some data set: {size}."


ANSWERS: dict[str, Callable[[Evidence], str]] = {
    "Q1": labels,
    "Q2": spread,
    "Q3": threshold,
    "spirals": spirals,
}
