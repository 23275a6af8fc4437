import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from emargin_train.evaluation import scores

labels = st.integers(1, 60).flatmap(lambda n: arrays(np.int64, (2, n), elements=st.integers(0, 4)))


@settings(deadline=None, max_examples=40)
@given(labels)
def test_scores_meet_scikit_learn(drawn):
    true, guess = drawn
    counts = scores.confusion(true, guess, 5)
    assert (counts == metrics.confusion_matrix(true, guess, labels=range(5))).all()
    present = np.unique(true)
    macro = {"labels": present, "average": "macro", "zero_division": 0}
    assert scores.ours(counts) == pytest.approx(
        (
            metrics.accuracy_score(true, guess),
            metrics.precision_score(true, guess, **macro),
            metrics.recall_score(true, guess, **macro),
            metrics.f1_score(true, guess, **macro),
        )
    )
    assert scores.published(counts) == pytest.approx(
        (
            metrics.accuracy_score(true, guess),
            metrics.precision_score(true, guess, average="macro", zero_division=0),
            metrics.recall_score(true, guess, average="macro", zero_division=0),
            metrics.f1_score(true, guess, average="weighted", zero_division=0),
        )
    )


def test_guessing_the_commonest_class_has_balanced_accuracy_of_chance():
    true = np.repeat([0, 1, 2, 3], [1000, 10, 5, 1])
    counts = scores.confusion(true, np.zeros_like(true), 4)
    assert scores.accuracy(counts) > 0.98
    assert scores.balanced_accuracy(counts) == 0.25
