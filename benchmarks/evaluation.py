"""What evaluating an encoder costs, beside training it and beside scikit-learn.

    python -m benchmarks.evaluation        # two minutes

At the paper's sleep size: 15,000 training frames, 5,000 class-balanced and 5,000 natural validation frames,
320 dimensions, 5 classes; data are noise about class means, the encoder is trained with eMargin.

evaluation_share_paper   share of a trial (600 steps and evaluation) that the paper's battery takes (KMeans,
                         Silhouette, DBI, CH, its probe); baseline: the 0.15 that is asked for
evaluation_share_full    the same of everything in docs/metrics.md on validation; baseline: 0.35
evaluation_seconds       everything on validation; baseline: the 600 steps
evaluation_seconds_test  everything on validation and test; baseline: the 600 steps
silhouette_seconds, nearest_seconds, logistic_seconds
                         one part each; baseline: scikit-learn's (for logistic: one fit, the chosen penalty)
silhouette_error, nearest_error, logistic_error
                         largest difference from scikit-learn (of the score, of neighbour sets as a share, of
                         class probabilities); baseline: 1e-4, 0.001, 0.01
"""

import dataclasses
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

from benchmarks.common import report, seconds
from emargin_train.config import TrainConfig
from emargin_train.data.frames import Frames, Splits
from emargin_train.encode import encode
from emargin_train.evaluation import clustering, distances, probes
from emargin_train.evaluation.chosen import choose
from emargin_train.evaluation.evaluate import evaluate
from emargin_train.evaluation.logistic import Regression, choose_penalty
from emargin_train.evaluation.side import Side
from emargin_train.evaluation.training import Training, standardise
from emargin_train.methods.base import Method
from emargin_train.train import train

CLASSES, FEATURES, T = 5, 90, 200
STEPS = 600


def side(sequences: int, subjects: str, seed: int) -> Frames:
    """Magnitudes about the mean of their class and subject; classes hold for ten frames and are even."""
    rng = np.random.default_rng(seed)
    y = np.repeat(rng.integers(0, CLASSES, (sequences, T // 10)), 10, axis=1)
    subject = np.array([subjects[i % len(subjects)] for i in range(sequences)])
    of_class = np.random.default_rng(99).gamma(2, 1, (CLASSES, FEATURES))
    of_subject = {name: rng.gamma(9, 1 / 9, FEATURES) for name in subjects}
    scale = of_class[y] * np.stack([of_subject[name] for name in subject])[:, None]
    store = (scale * rng.rayleigh(0.8, (sequences, T, FEATURES))).astype(np.float32)
    return Frames(store, np.arange(sequences), y, subject, subject, np.arange(sequences) * T)


def paper_battery(trained: partial, splits: Splits) -> None:
    masks = choose(splits)
    training_side = Side(trained, splits.train, {"train": masks.train})
    validation = Side(trained, splits.validation, {"balanced": masks.balanced, "natural": masks.natural})
    h = validation.h("balanced")
    labels = clustering.kmeans(h, CLASSES)
    clustering.silhouettes(h, labels)
    clustering.published(h, labels)
    probe = probes.paper_probe(
        Training(training_side.h("train"), training_side.y("train"), training_side.subject("train"))
    )
    probe(validation.h("natural"))


def trained_method(splits: Splits, steps: int = 60) -> tuple[Method, float]:
    """A trained method, and the median seconds of a step once it runs."""
    times: list[float] = []
    last = time.perf_counter()
    for state in train(TrainConfig.from_dict({"iterations": steps, "report_every": 10}), splits):
        times.append((time.perf_counter() - last) / 10)
        method = state.method
        last = time.perf_counter()
    return method, statistics.median(times[1:])  # the first ten include reading the data


def against_scikit_learn(
    name: str, ours: Callable[[], object], theirs: Callable[[], object], error: float, most: float
) -> None:
    report(f"{name}_seconds", seconds(ours, 3), "s", baseline=statistics.median(seconds(theirs, 1)))
    report(f"{name}_error", error, "", baseline=most)


def main() -> None:
    splits = Splits(
        side(180, "abcdef", 0), side(60, "gh", 1), side(60, "ij", 2), tuple("01234"), "none", 1.0, {}, ()
    )
    method, step = trained_method(splits)
    trained = partial(encode, method)
    one_side = dataclasses.replace(splits, test=None)
    training_seconds = STEPS * step
    paper = seconds(lambda: paper_battery(trained, one_side), 3)
    full = seconds(lambda: evaluate(trained, one_side, choose(one_side)), 2)
    both = seconds(lambda: evaluate(trained, splits, choose(splits)), 2)
    report("evaluation_share_paper", [t / (t + training_seconds) for t in paper], "share", baseline=0.15)
    report("evaluation_share_full", [t / (t + training_seconds) for t in full], "share", baseline=0.35)
    report("evaluation_seconds", full, "s", baseline=training_seconds)
    report("evaluation_seconds_test", both, "s", baseline=training_seconds)

    masks = choose(splits)
    h, new = trained(splits.train, masks.train), trained(splits.validation, masks.balanced)
    y = splits.train.y[masks.train]
    training = Training(h, y, splits.train.subject[np.nonzero(masks.train)[0]])
    labels = clustering.kmeans(new, CLASSES)
    against_scikit_learn(
        "silhouette",
        lambda: clustering.silhouettes(new, labels),
        lambda: silhouette_score(new, labels),
        abs(clustering.silhouettes(new, labels)[0] - silhouette_score(new.astype(np.float64), labels)),
        1e-4,
    )
    theirs = NearestNeighbors(n_neighbors=15, algorithm="brute").fit(h)
    other = theirs.kneighbors(new, return_distance=False)
    against_scikit_learn(
        "nearest",
        lambda: distances.nearest(new, h, 15),
        lambda: theirs.kneighbors(new),
        float((np.sort(distances.nearest(new, h, 15)) != np.sort(other)).mean()),
        1e-3,
    )
    x = standardise(h)(h)
    penalty = choose_penalty(x, training)
    model = LogisticRegression(C=1 / penalty, tol=1e-6, max_iter=5000)
    weight = training.weight
    model.fit(x, y, sample_weight=weight.sum(1))
    w = Regression(x, weight).fit(penalty)
    scores = np.exp(x @ w[:-1] + w[-1])
    against_scikit_learn(
        "logistic",
        lambda: Regression(x, weight).fit(penalty),
        lambda: model.fit(x, y, sample_weight=weight.sum(1)),
        float(np.abs(scores / scores.sum(1, keepdims=True) - model.predict_proba(x)).max()),
        0.01,
    )


if __name__ == "__main__":
    main()
