"""A study of recordings without labels needs none, or says which flag to change."""

import pyarrow.parquet as pq
import pytest

from emargin_train.errors import UserError
from study import plan
from tests.study.conftest import here, small_settings
from tests.tiny import unlabelled


def settings(**more):
    given = {"dataset": str(unlabelled()), "goals": ("alignment", "uniformity")}
    return small_settings(**(given | more))


def test_references_that_learn_from_labels_are_left_out():
    arms = {arm.method for arm in plan.arms(settings())}
    assert "supervised" not in arms and {"emargin", "infonce", "raw", "pca"} <= arms


@pytest.mark.parametrize(
    "more, said",
    [
        ({"goals": ("silhouette", "probe_balanced_accuracy"), "clusters": 3}, "--goals has probe_balanced"),
        ({"goals": ("silhouette", "nmi"), "clusters": 3}, "--goals has nmi, which needs labels"),
        # one message names all that is missing: other goals, and a number of clusters
        ({"goals": ("silhouette", "probe_balanced_accuracy")}, "--goals silhouette,alignment --clusters 5"),
        ({"goals": ("silhouette", "alignment")}, "give --clusters"),
        ({"methods": ("emargin-semi",)}, "--method is emargin-semi"),
        ({"baseline": "emargin-semi"}, "--baseline is emargin-semi"),
    ],
)
def test_what_needs_labels_is_refused(more, said):
    with pytest.raises(UserError, match=said):
        plan.arms(settings(**more))


def test_enough_goals_are_left():
    plan.arms(settings(goals=("silhouette", "davies_bouldin"), clusters=3))


@pytest.mark.slow
def test_a_whole_study(tmp_path):
    words = ("--dataset", str(unlabelled()), "--iterations", "4", "--trials", "2", "--seeds", "0")
    goals = ("--goals", "silhouette,alignment", "--clusters", "3", "--address", "local")
    ran = here(*words, *goals, "--out", str(tmp_path), "--name", "plain")
    assert ran.returncode == 0, ran.stderr
    rows = pq.read_table(tmp_path / "plain" / "results.parquet").to_pylist()
    assert {row["status"] for row in rows} == {"ok"}
    assert all(row["silhouette"] is not None and row["probe_balanced_accuracy"] is None for row in rows)
    page = (tmp_path / "plain" / "report" / "index.html").read_text()
    assert "silhouette" in page.lower()
