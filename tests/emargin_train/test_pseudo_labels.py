"""Pseudo-labels, thresholds, gates, and how good labels are; against loops and scikit-learn."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from emargin_train.data.frames import Frames
from emargin_train.gates import GATES, gate_labels, released_labels
from emargin_train.pseudo_labels import (
    adjacent_cosine,
    adjacent_cosines,
    dissimilar,
    pseudo_label_metrics,
    resolve_threshold,
    steps_of,
    true_changes,
)
from tests.emargin_train.synthetic import make_frames

FRAMES = make_frames(30, 12, 6)


def loop_labels(x: np.ndarray, threshold: float) -> np.ndarray:
    """Frame by frame; a last frame has no successor in its sequence."""
    n, t, f = x.shape
    y = np.zeros((n, t), bool)
    for i in range(n):
        for j in range(t - 1):
            a, b = [float(v) for v in x[i, j]], [float(v) for v in x[i, j + 1]]
            length = math.sqrt(sum(v * v for v in a)) * math.sqrt(sum(v * v for v in b))
            cosine = sum(v * w for v, w in zip(a, b, strict=True)) / length if length else 0.0
            y[i, j] = cosine < threshold
    return y


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 999), st.integers(1, 4), st.integers(2, 6), st.floats(-1, 1))
def test_labels_equal_loops_for_any_threshold(seed: int, n: int, t: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.gamma(0.5, 1, (n, t, 5)).astype(np.float32)
    x[rng.random((n, t)) < 0.1] = 0
    assert (dissimilar(x, threshold) == loop_labels(x, threshold)).all()


def test_steps_do_not_cross_sequences() -> None:
    """Two sequences of one direction each, orthogonal to one another: every step inside is similar."""
    x = np.zeros((2, 3, 2), np.float32)
    x[0, :, 0] = x[1, :, 1] = 1
    assert not dissimilar(x, 0.99).any()
    assert released_labels(np.ones(4), 0.99).all()  # as released, everything is dissimilar


def test_chunks_and_selection_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = adjacent_cosine(FRAMES.x())
    monkeypatch.setattr("emargin_train.pseudo_labels.labels.CHUNK_SEQUENCES", 7)
    assert (adjacent_cosines(FRAMES) == whole).all()
    assert (adjacent_cosines(FRAMES.select(np.array([4, 2]))) == whole[[4, 2]]).all()


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1))
def test_share_becomes_the_threshold_at_its_quantile(share: float) -> None:
    threshold, resolved = resolve_threshold(FRAMES, dissimilar_share=share)
    n_steps = 30 * 11
    assert resolved == round(share * n_steps) / n_steps  # no ties in these frames
    assert resolved == dissimilar(FRAMES.x(), threshold)[:, :-1].mean()
    again = resolve_threshold(FRAMES, threshold=min(threshold, 1.0))
    assert again[1] == pytest.approx(resolved)


@pytest.mark.parametrize("threshold", [-1.0, 0.4, 0.9, 1.0])
def test_threshold_becomes_a_share(threshold: float) -> None:
    assert resolve_threshold(FRAMES, threshold=threshold) == (
        threshold,
        (adjacent_cosine(FRAMES.x()) < threshold).mean(),
    )


def test_a_threshold_or_a_share_is_needed() -> None:
    with pytest.raises(ValueError, match="neither threshold nor dissimilar_share"):
        resolve_threshold(FRAMES)


def test_ties_lower_the_share_that_results() -> None:
    same = replace(FRAMES, store=np.ones_like(FRAMES.store))
    _, share = resolve_threshold(same, dissimilar_share=0.5)
    assert share == 0
    _, share = resolve_threshold(same, dissimilar_share=1.0)
    assert share == 1


def test_true_changes_leave_out_unlabelled_steps() -> None:
    y = np.array([[0, 0, 1, -1, 1, 2], [-1, -1, 3, 3, 0, 0]])
    changed, known = true_changes(y)
    assert changed.astype(int).tolist() == [[0, 1, 0, 0, 1], [0, 0, 0, 1, 0]]
    assert known.astype(int).tolist() == [[1, 1, 0, 0, 1], [0, 0, 1, 1, 1]]


# Gates


def test_gates_are_what_they_say() -> None:
    threshold, share = resolve_threshold(FRAMES, dissimilar_share=0.3)
    y = {gate: gate_labels(gate, FRAMES, threshold, seed=1) for gate in GATES}
    assert all(labels.shape == (30, 12) and labels.dtype == bool for labels in y.values())
    assert (y["intended"] == loop_labels(FRAMES.x(), threshold)).all()
    assert not y["all-similar"].any() and y["all-dissimilar"].all()
    assert y["random"][:, :-1].mean() == share and not y["random"][:, -1].any()
    assert abs(np.corrcoef(y["random"].ravel(), y["intended"].ravel())[0, 1]) < 0.25
    assert (y["oracle"][:, :-1] == (FRAMES.y[:, :-1] != FRAMES.y[:, 1:])).all() and not y["oracle"][
        :, -1
    ].any()


def test_random_gate_is_of_its_seed() -> None:
    first, again, other = (gate_labels("random", FRAMES, 0.8, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


def test_oracle_gate_does_not_change_across_unlabelled_frames() -> None:
    hidden = replace(FRAMES, y=np.where(np.arange(12) % 2, FRAMES.y, -1))
    assert not gate_labels("oracle", hidden, 0.5, seed=0).any()


@settings(max_examples=50, deadline=None)
@given(st.floats(-1, 1), st.integers(0, 99))
def test_released_labels_equal_two_assignments_one_after_the_other(threshold: float, seed: int) -> None:
    """Known fault 1: the second assignment undoes the first."""
    cosine = np.random.default_rng(seed).uniform(-1, 1, 20)
    slow = cosine.copy()
    slow[slow > threshold] = 0
    slow[slow <= threshold] = 1
    assert (released_labels(cosine, threshold) == slow).all()
    assert threshold < 0 or slow.all()


# Quality


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_quality_equals_scikit_learn(threshold: float) -> None:
    frames = replace(FRAMES, y=np.where(np.random.default_rng(0).random((30, 12)) < 0.1, -1, FRAMES.y))
    changed, known = true_changes(frames.y)
    cosine = adjacent_cosine(frames.x())
    truth, guess = changed[known], cosine[known] < threshold
    expected = {
        "dissimilar_share": (cosine < threshold).mean(),
        "pseudo_label_precision": metrics.precision_score(truth, guess),
        "pseudo_label_recall": metrics.recall_score(truth, guess),
        "pseudo_label_f1": metrics.f1_score(truth, guess),
        "pseudo_label_auroc": metrics.roc_auc_score(truth, -cosine[known]),
        "pseudo_label_average_precision": metrics.average_precision_score(truth, -cosine[known]),
    }
    assert 0 < guess.sum() < known.sum()
    assert pseudo_label_metrics(frames, threshold) == pytest.approx(expected)


def test_what_is_not_defined_is_none() -> None:
    one_class = replace(FRAMES, y=np.zeros_like(FRAMES.y))
    row = pseudo_label_metrics(one_class, 0.9)
    assert row["pseudo_label_auroc"] is None and row["pseudo_label_average_precision"] is None
    assert row["pseudo_label_recall"] is None and row["pseudo_label_precision"] == 0
    row = pseudo_label_metrics(FRAMES, -1)
    assert row["pseudo_label_precision"] is None and row["pseudo_label_recall"] == 0
    assert row["pseudo_label_f1"] == 0  # changes are there, none is found
    unlabelled = replace(FRAMES, y=np.full_like(FRAMES.y, -1))
    row = pseudo_label_metrics(unlabelled, 0.9)
    assert row.pop("dissimilar_share") is not None and set(row.values()) == {None}


def test_several_splits_are_taken_together() -> None:
    parts = [FRAMES.select(np.arange(10)), FRAMES.select(np.arange(10, 30))]
    whole, both = steps_of([FRAMES]), steps_of(parts)
    for name in ("cosine", "changed", "unchanged"):
        assert (getattr(whole, name) == getattr(both, name)).all()


def test_informative_spectra_are_found_and_uninformative_are_not() -> None:
    assert (pseudo_label_metrics(FRAMES, 0.8)["pseudo_label_auroc"] or 0) > 0.9
    blind = replace(FRAMES, store=np.random.default_rng(0).gamma(1, 1, FRAMES.store.shape).astype(np.float32))
    assert pseudo_label_metrics(blind, 0.8)["pseudo_label_auroc"] == pytest.approx(0.5, abs=0.1)


def test_whole_dataset_and_fifty_thresholds_in_seconds() -> None:
    """A million frames' worth of work at a tenth of the size: well under a second of processor time."""
    import time

    t, f = 200, 90
    store = np.random.default_rng(0).random((500, t, f), np.float32)
    n = len(store)
    y = np.random.default_rng(1).integers(0, 5, (n, t))
    who = np.full(n, "a")
    frames = Frames(store, np.arange(n), y, who, who, np.zeros(n, np.int64))
    start = time.process_time()
    steps = steps_of([frames])
    rows = [steps.at(float(threshold)) for threshold in np.linspace(0.2, 0.99, 50)]
    ranking = steps.ranking()
    assert time.process_time() - start < 5
    assert len(rows) == 50 and None not in ranking.values()


# The program


def program(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "emargin_train.pseudo_labels", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


@pytest.mark.slow
def test_program_prints_and_draws(tmp_path: Path) -> None:
    picture = tmp_path / "new" / "labels.svg"
    done = program(
        "--dataset", "sleepeeg-sim", "--subjects", "3", "--snr-db=-5", "--thresholds", "0.7,0.85",
        "--plot", str(picture),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "AUROC" in done.stdout and "SNR dB: -5" in done.stdout and "0.850" in done.stdout
    assert "…" not in done.stdout
    drawn = picture.read_text()
    assert drawn.startswith("<svg") and "share dissimilar" in drawn


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags, named",
    [
        (("--thresholds", "0.4,x"), "'0.4,x'"),
        (("--thresholds", "0.9:0.2"), "0.9:0.2"),
        (("--thresholds", "1.5"), "1.5"),
        (("--snr-db", "1000"), "1000"),
        (("--dataset", "sleepeg-sim"), "sleepeeg-sim"),
    ],
)
def test_bad_input_is_one_line(flags: tuple[str, ...], named: str) -> None:
    done = program(*flags)
    assert done.returncode == 2
    assert named in done.stderr and done.stderr.count("\n") == 1
