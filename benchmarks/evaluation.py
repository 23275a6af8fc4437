"""The time of evaluating an encoder, compared with its training and with scikit-learn.

    python -m benchmarks.evaluation        # a minute

All times are of the processor, with one thread, as a trial of a study has by default. The size is that of the
paper's sleep data: 15,000 training frames, 5,000 class-balanced and 5,000 natural validation frames, 320
dimensions, 5 classes. The data are class means with noise, and the encoder is trained with eMargin.

evaluation_share_paper   share of a trial (600 steps and evaluation) that the paper's battery takes (KMeans,
                         Silhouette, DBI, CH, its probe); baseline: the goal, 0.15
evaluation_share_full    the same for everything in docs/metrics.md on validation; baseline: 0.12
evaluation_share_goals   the same for the default goals alone, as in a search; baseline: 0.04
evaluation_seconds       everything on validation; baseline: the 600 steps
evaluation_seconds_test  everything on validation and test; baseline: the 600 steps
silhouette_seconds, nearest_seconds, logistic_seconds
                         one part each; baseline: scikit-learn's (for logistic: one fit with the chosen
                         penalty, both until no entry of the gradient is above 5e-5)
penalty_seconds          choosing the penalty of the logistic probe; baseline: the same fits by scikit-learn,
                         each one from the solution of the penalty before, to the same gradient
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
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

from benchmarks.common import parser_of, processor_seconds, report
from emargin_train.config import TrainConfig
from emargin_train.data.frames import Frames, Splits
from emargin_train.encode import encode
from emargin_train.evaluation import clustering, distances, probes
from emargin_train.evaluation.chosen import choose
from emargin_train.evaluation.encoded import EncodedSplit
from emargin_train.evaluation.evaluate import evaluate
from emargin_train.evaluation.logistic import GRADIENT, PENALTIES, SELECTION_CAP, choose_penalty, with_ones
from emargin_train.evaluation.newton import fit, log_p
from emargin_train.evaluation.training import Training, folds
from emargin_train.methods.base import Method
from emargin_train.train import train

CLASSES, FEATURES, T = 5, 90, 200
STEPS = 600
GOALS = ("silhouette", "probe_balanced_accuracy")


def made_split(sequences: int, subjects: str, seed: int) -> Frames:
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
    training = EncodedSplit(trained, splits.train, {"train": masks.train})
    validation = EncodedSplit(
        trained, splits.validation, {"balanced": masks.balanced, "natural": masks.natural}
    )
    h = validation.h("balanced")
    labels = clustering.kmeans(h, CLASSES)
    clustering.silhouettes(h, labels)
    clustering.published(h, labels)
    probe = probes.paper_probe(Training(training.h("train"), training.y("train"), training.subject("train")))
    probe(validation.h("natural"))


def trained_method(splits: Splits, steps: int = 60) -> tuple[Method, float]:
    """A trained method, and the median seconds of a step once it runs."""
    times: list[float] = []
    last = time.process_time()
    for state in train(TrainConfig.from_dict({"iterations": steps, "report_every": 10}), splits):
        times.append((time.process_time() - last) / 10)
        method = state.method
        last = time.process_time()
    return method, statistics.median(times[1:])  # the first ten include reading the data


def against_scikit_learn(
    name: str, ours: Callable[[], object], theirs: Callable[[], object], error: float, most: float
) -> None:
    times = processor_seconds({"ours": ours, "theirs": theirs}, 2)
    report(f"{name}_seconds", times["ours"], "s", baseline=statistics.median(times["theirs"]))
    report(f"{name}_error", error, "", baseline=most)


def penalties_by_scikit_learn(features: np.ndarray, training: Training, tried: int) -> None:
    """Fit every fold with so many penalties, from strong to weak."""
    few = np.linspace(0, len(features) - 1, min(len(features), SELECTION_CAP)).astype(int)
    weight = training.weight.sum(1)[few]
    for inside, _ in folds(training.subject[few], 3):
        model = LogisticRegression(tol=GRADIENT, max_iter=5000, warm_start=True)
        for penalty in PENALTIES[:tried]:
            model.set_params(C=1 / penalty)
            own = weight[inside] / weight[inside].sum()
            model.fit(features[few][inside], training.y[few][inside], sample_weight=own)


def main() -> None:
    parser_of("evaluation", __doc__).parse_args()
    torch.set_num_threads(1)
    splits = Splits(
        made_split(180, "abcdef", 0),
        made_split(60, "gh", 1),
        made_split(60, "ij", 2),
        tuple("01234"),
        "none",
        1.0,
        {},
        (),
    )
    method, step = trained_method(splits)
    trained = partial(encode, method)
    without_test = dataclasses.replace(splits, test=None)
    training_seconds = STEPS * step
    times = processor_seconds(
        {
            "paper": lambda: paper_battery(trained, without_test),
            "full": lambda: evaluate(trained, without_test, choose(without_test)),
            "goals": lambda: evaluate(trained, without_test, choose(without_test), metrics=GOALS),
            "both": lambda: evaluate(trained, splits, choose(splits)),
        },
        2,
    )
    for name, most in (("paper", 0.15), ("full", 0.12), ("goals", 0.04)):
        shares = [t / (t + training_seconds) for t in times[name]]
        report(f"evaluation_share_{name}", shares, "share", baseline=most)
    report("evaluation_seconds", times["full"], "s", baseline=training_seconds)
    report("evaluation_seconds_test", times["both"], "s", baseline=training_seconds)

    masks = choose(splits)
    h, new = (
        torch.as_tensor(trained(frames, mask))
        for frames, mask in ((splits.train, masks.train), (splits.validation, masks.balanced))
    )
    y = splits.train.y[masks.train]
    training = Training(h, y, splits.train.subject[np.nonzero(masks.train)[0]])
    labels = clustering.kmeans(new, CLASSES)
    against_scikit_learn(
        "silhouette",
        lambda: clustering.silhouettes(new, labels),
        lambda: silhouette_score(new.numpy(), labels),
        abs(clustering.silhouettes(new, labels)[0] - silhouette_score(new.double().numpy(), labels)),
        1e-4,
    )
    theirs = NearestNeighbors(n_neighbors=15, algorithm="brute").fit(h.numpy())
    other = theirs.kneighbors(new.numpy(), return_distance=False)
    against_scikit_learn(
        "nearest",
        lambda: distances.nearest(new, h, 15),
        lambda: theirs.kneighbors(new.numpy()),
        float((np.sort(distances.nearest(new, h, 15)) != np.sort(other)).mean()),
        1e-3,
    )
    features, weight = training.standardised[0], training.weight
    x, goal = with_ones(features), torch.from_numpy(weight.T[None].copy())
    penalty, start = choose_penalty(x, training)
    tried = min(len(PENALTIES), PENALTIES.index(penalty) + 2)  # the last one shows that it is worse
    choice = processor_seconds(
        {
            "ours": lambda: choose_penalty(x, training),
            "theirs": lambda: penalties_by_scikit_learn(features.numpy(), training, tried),
        },
        1,
    )
    report("penalty_seconds", choice["ours"], "s", baseline=choice["theirs"][0])
    exact = LogisticRegression(C=1 / penalty, tol=1e-7, max_iter=5000)
    exact.fit(features.numpy(), y, sample_weight=weight.sum(1))
    equal = LogisticRegression(C=1 / penalty, tol=GRADIENT, max_iter=5000)
    found = log_p(x, fit(x, goal, penalty, start=start, gradient_at_end=GRADIENT))[0].T.exp().numpy()
    against_scikit_learn(
        "logistic",
        lambda: fit(x, goal, penalty, start=start, gradient_at_end=GRADIENT),
        lambda: equal.fit(features.numpy(), y, sample_weight=weight.sum(1)),
        float(np.abs(found - exact.predict_proba(features.numpy())).max()),
        0.01,
    )


if __name__ == "__main__":
    main()
