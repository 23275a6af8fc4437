"""A study on two splits with two seeds, over a range of noise: what runs, and what the search sees."""

import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import optuna
import pyarrow.parquet as pq
import pytest

from analysis import tables
from study import plan, split_seeds
from study.goals import goal_values
from study.search.storage import make_storage
from tests.study.conftest import here, small, small_settings

GOALS = ("silhouette", "probe_balanced_accuracy")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    study = (
        "--trials",
        "2",
        "--seeds",
        "0,1",
        "--split-seeds",
        "0:1",
        "--snr-db",
        "0:20",
        "--baseline",
        "none",
    )
    where = ("--references", "raw,random", "--out", str(out), "--name", "noisy", "--address", "local")
    ran = here(*small(), *study, *where)
    assert ran.returncode == 0, ran.stderr
    return out / "noisy"


@pytest.fixture(scope="module")
def rows(finished):
    return pq.read_table(finished / "results.parquet").to_pylist()


@pytest.mark.slow
def test_a_trial_has_a_row_for_each_split_and_seed(finished, rows):
    assert {row["status"] for row in rows} == {"ok"}
    per_trial = Counter(row["trial"] for row in rows)
    assert per_trial == (
        {f"emargin-{n:04d}": 4 for n in range(2)}
        | {f"random-{n:04d}": 4 for n in range(3)}
        | {f"raw-{n:04d}": 2 for n in range(3)}  # its seed changes nothing
    )
    for trial in per_trial:
        own = [row for row in rows if row["trial"] == trial]
        pairs = [(row["split_seed"], row["seed"]) for row in own]
        assert pairs == [(0, 0), (0, 1), (1, 0), (1, 1)] or pairs == [(0, 0), (1, 0)]
        assert len({row["config_hash"] for row in own}) == 1
        assert len({row["snr_db"] for row in own}) == 1
        assert own[0]["silhouette"] != own[-1]["silhouette"]  # another split
    assert {path.stem for path in (finished / "records").glob("*.json")} == {
        f"{row['trial']}-{row['split_seed']}-{row['seed']}" for row in rows
    }
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["split"].keys() == {"0", "1"} and manifest["asked"] == len(rows) == 2 * 4 + 3 * 4 + 3 * 2


@pytest.mark.slow
def test_a_range_of_noise_is_searched_and_references_are_measured_at_its_ends_and_middle(rows):
    emargin = {row["snr_db"] for row in rows if row["method"] == "emargin"}
    assert len(emargin) == 2 and all(0 <= value <= 20 for value in emargin)
    for name in ("raw", "random"):
        own = {row["trial"]: row["snr_db"] for row in rows if row["method"] == name}
        assert own == {f"{name}-{n:04d}": value for n, value in enumerate((0, 10, 20))}
    assert {row["noise_kind"] for row in rows} == {"white"}


@pytest.mark.slow
def test_the_search_sees_the_mean_over_the_replicates(finished, rows):
    study = optuna.load_study(study_name="noisy/emargin", storage=make_storage(finished))
    assert len(study.trials) == 2
    for trial in study.trials:
        own = [row for row in rows if row["trial"] == trial.user_attrs["trial"]]
        assert trial.values == pytest.approx(goal_values(own, GOALS)) and len(own) == 4
        assert trial.values == pytest.approx([np.mean([row[goal] for row in own]) for goal in GOALS])
        assert trial.params["snr_db"] == pytest.approx(own[0]["snr_db"])


@pytest.mark.slow
def test_analysis_counts_splits_as_independent(finished):
    trials = tables.per_trial(tables.load(finished), ["silhouette"])
    emargin = trials[trials["method"] == "emargin"]
    assert set(emargin["replicates"]) == {4} and set(emargin["units"]) == {2}


def subjects(**of):
    return SimpleNamespace(by_name=lambda: {k: SimpleNamespace(subject=np.array(v)) for k, v in of.items()})


def test_one_subject_left_out_gives_a_split_for_every_subject(monkeypatch):
    asked = []

    def load(config):
        asked.append(config)
        return subjects(train=["a", "a", "b"], validation=["c"], test=["d", "d"])

    monkeypatch.setattr("emargin_train.data.load", load)
    settings = small_settings(split="leave-one-subject-out", methods=("emargin",), references=("raw",))
    splits = split_seeds.by_default(settings)
    assert splits == (0, 1, 2, 3) and asked[0].dataset == settings.dataset
    resolved = plan.resolved(settings, splits)
    assert resolved.split_seeds == splits
    arms = {arm.method: arm for arm in plan.arms(resolved)}
    assert [one.split_seed for one in arms["raw"].replicates] == [0, 1, 2, 3]
    assert len(arms["emargin"].replicates) == 4 * 2


def test_splits_that_are_named_are_not_looked_up(monkeypatch):
    monkeypatch.setattr("emargin_train.data.load", lambda _: pytest.fail("no data are needed"))
    named = small_settings(split="leave-one-subject-out", split_seeds=(2, 3))
    assert plan.resolved(named, split_seeds.by_default(named)).split_seeds == (2, 3)
    plain = small_settings()
    assert plan.resolved(plain, split_seeds.by_default(plain)).split_seeds == (0,)
