"""Answer the three questions from verdicts, by rules that were written before the verdicts were known.

Each rule has a sentence for every combination of verdicts, also where nothing was measured yet. Two rules are
younger than the verdicts, and make answers weaker: a verdict over all datasets counts only if it also holds
over the real ones alone, and the exchanged spectra say how much of the answer to Q2 is the spectrum.
"""

from collections.abc import Callable

from analysis.contrasts import MEANS
from analysis.evidence import SIDES, Evidence
from analysis.selection import meeting
from analysis.words import listed

UNMEASURED = "Not measured yet."
THREAD, SURFACE = 1.5, 3.0  # dimensions below which a cloud is a thread, and nearly one
MIXED = "mixed"
ONE = "the one dataset so far"
CHANGE = {  # by verdict; `margin` is that of equivalence, and no hyper-parameter
    "higher": "rises",
    "lower": "falls",
    "equivalent": "changes by less than {margin:g}",
    "undecided": "shows no clear change",
}


def outcome(evidence: Evidence, contrast: str, metric: str) -> str | None:
    """The verdict over all datasets, if it holds over the real ones too; else what single ones show.

    That is "mixed lower", for example. None where nothing was measured yet.
    """
    row, real = (evidence.row(contrast, metric, over) for over in MEANS)
    if row is None:
        return None
    if row.verdict != "undecided" and (real is None or real.verdict == row.verdict):
        return str(row.verdict)
    single = set(evidence.single(contrast, metric)["verdict"])
    if single == {"equivalent"}:
        return f"{MIXED} equivalent"  # too few datasets for a statement about all of them
    ways = [way for way in ("higher", "lower") if way in single]
    return " ".join([MIXED, *ways]) if ways else "undecided"


def change(evidence: Evidence, contrast: str, metric: str) -> str:
    """What a metric does by `outcome`, as the end of a sentence."""
    found, row = outcome(evidence, contrast, metric), evidence.row(contrast, metric)
    assert found is not None
    if found == "equivalent" and row.p < evidence.plan.level_of(row.question):
        return f"{'rises' if row.difference > 0 else 'falls'} by less than {row.margin:g}"
    words = {verdict: verb.format(margin=row.margin) for verdict, verb in CHANGE.items()}
    if found in words:
        return words[found]
    single = evidence.single(contrast, metric)["verdict"]
    if len(single) == 1:
        return f"{words[single.item()]} on {ONE}"
    parts = [f"{verb} on {(single == way).sum()}" for way, verb in words.items() if (single == way).any()]
    return f"{listed(parts)} of {len(single)} datasets"


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
    probes = [outcome(evidence, name, "probe") for name in asked[1:]]
    if None in (better, narrowed, widened, *probes):
        return UNMEASURED
    moves = [change(evidence, name, "silhouette") for name in asked]
    if better not in ("higher", f"{MIXED} higher"):
        return f"The premise does not hold here: with eMargin, Silhouette {moves[0]}."
    supports = [narrowed in ("higher", f"{MIXED} higher"), widened in ("lower", f"{MIXED} lower")]
    opposes = [narrowed in ("lower", f"{MIXED} lower"), widened in ("higher", f"{MIXED} higher")]
    narrow = "because they are narrow, which means that they vary in few directions."
    shares, rest = _of_spectrum(evidence)
    if any(opposes):
        lead = "The evidence is mixed on whether it is because they are narrow."
    elif (narrowed, widened) == ("higher", "lower") and not rest:
        lead = narrow.capitalize()
    elif (narrowed, widened) == ("higher", "lower"):
        lead = f"{'Largely' if shares[0] > 0.5 else 'In part'} {narrow}"
    else:
        lead = f"In part {narrow}" if any(supports) else f"Not {narrow}"
    pressed, held = (change(evidence, name, "probe") for name in asked[1:])
    said = (
        f"{lead} When we press InfoNCE's embeddings into few directions, Silhouette {moves[1]}, and "
        f"linear-probe accuracy {pressed}. When we keep eMargin's embeddings spread out, Silhouette "
        f"{moves[2]}, and linear-probe accuracy {held}."
    )
    if not rest:
        return said
    mean, least, most = shares
    return (
        f"{said} If two trained encoders exchange their spectra, the variances of their directions, "
        f"{mean:.0%} of the difference in Silhouette goes with the spectrum ({least:.0%} to {most:.0%} by "
        "dataset)."
    )


def _of_spectrum(evidence: Evidence) -> tuple[tuple[float, float, float], bool]:
    """(share of the difference in Silhouette that goes with an exchanged spectrum, whether the rest is shown)

    The share is that of the means over datasets, then the least and the most of a single dataset.
    """
    names = [f"transplant-{part}" for part in ("spectrum", "both", "scores")]
    spectrum, both, scores = (evidence.row(name, "silhouette") for name in names)
    if spectrum is None or both is None or scores is None:
        return (float("nan"),) * 3, False
    single = [evidence.single(name, "silhouette").set_index("dataset")["difference"] for name in names[:2]]
    shares = (single[0] / single[1]).astype(float)
    mean = spectrum.difference / both.difference
    return (mean, float(shares.min()), float(shares.max())), scores.verdict == "higher"


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
    singles = [evidence.single("papers-threshold", metric)["verdict"] for metric in ("silhouette", "probe")]
    n = len(singles[0])
    where = f"each of {n} datasets" if n > 1 else ONE
    if not idle:
        papers = "It is not shown for both metrics that the paper's threshold of 0.4 does the same as none."
    elif n and all((single == "equivalent").all() for single in singles):
        papers = f"The paper's threshold of 0.4 does the same as none on {where}."
    else:
        papers = "As a mean over datasets, the paper's threshold of 0.4 does the same as none."
    silhouette, accuracy = (change(evidence, "all-steps", metric) for metric in ("silhouette", "probe"))
    return (
        f"{papers} When every step is called dissimilar, rather than none, Silhouette {silhouette}, and "
        f"accuracy {accuracy}."
    )


def spirals(evidence: Evidence) -> str:
    """Are the embeddings threads? From the dimension of neighbourhoods (TwoNN) and of the whole cloud.

    By dataset, as means over splits; the answer is about eMargin.
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
        lead = "Yes, on at least one dataset."
    elif near < SURFACE:
        lead = "Nearly, on at least one dataset."
    elif far < SURFACE:
        lead = (
            "Not at the scale of nearest neighbours; but on at least one dataset nearly all variance lies "
            "in a few directions, as it does in a thread with some thickness."
        )
    else:
        lead = "No."
    return (
        f"{lead} By dataset, the mean dimension of small neighbourhoods (TwoNN; 1 for a thin thread) is "
        f"{words['intrinsic_dimension']}, and the number of directions that hold the variance of the whole "
        f"cloud (participation ratio) is {words['participation_ratio']}."
    )


ANSWERS: dict[str, Callable[[Evidence], str]] = {
    "Q1": labels,
    "Q2": spread,
    "Q3": threshold,
    "spirals": spirals,
}
