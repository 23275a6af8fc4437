"""The searcher, driven as Tune drives it but without a cluster."""

import math

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from study import plan
from study.results import kept_trials
from study.search import PlanSearch, make_storage
from tests.study.conftest import small_settings


def rows_for(spec, *, status="ok"):
    """Made-up results that depend on the settings alone."""
    threshold = spec.settings.get("threshold") or 0.5
    temperature = spec.settings.get("temperature") or 1.0
    values = {"silhouette": threshold, "probe_balanced_accuracy": 1 / (1 + temperature)}
    if status != "ok":
        values = dict.fromkeys(values)
    return [
        {"status": status, "seed": s, "objective": spec.objective, "role": spec.role} | values
        for s in spec.seeds
    ]


def drive(folder, settings, *, stop_after=None, done=None, status=lambda spec: "ok"):
    """Ask and tell one by one; returns the specs in order, and the rows of those that ended."""
    folder.mkdir(exist_ok=True)
    search = PlanSearch(settings, plan.arms(settings), make_storage(folder), done or {})
    specs, ended = [], dict(done or {})
    while True:
        config = search.suggest(f"t{len(specs)}")
        if config == Searcher.FINISHED:
            return search, specs, ended
        spec = config["spec"]
        specs.append(spec)
        if stop_after is not None and len(specs) > stop_after:
            return search, specs, ended  # killed while this one ran
        rows = rows_for(spec, status=status(spec))
        search.on_trial_complete(f"t{len(specs) - 1}", {"rows": rows})
        ended[spec.trial] = rows


def states(folder, settings, objective):
    name = f"{settings.name}/{objective}"
    study = optuna.load_study(study_name=name, storage=make_storage(folder))
    return [trial.state for trial in study.trials]


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii", "qmc", "random"])
def test_every_trial_is_asked_for_once_with_its_own_setting(tmp_path, sampler):
    settings = small_settings(trials=6, sampler=sampler)
    _, specs, _ = drive(tmp_path / "a", settings)
    assert [s.trial for s in specs] == [a.trial_name(n) for a, n in plan.order(plan.arms(settings))]
    searched = {tuple(sorted(s.settings.items())) for s in specs if s.objective == "emargin"}
    assert len(searched) == 6


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii", "qmc", "random"])
@pytest.mark.parametrize("stop_after", [0, 5, 8, 11])
def test_a_resumed_search_asks_what_an_undisturbed_one_would(tmp_path, sampler, stop_after):
    settings = small_settings(trials=8, sampler=sampler)
    _, undisturbed, _ = drive(tmp_path / "a", settings)
    _, before, done = drive(tmp_path / "b", settings, stop_after=stop_after)
    _, after, _ = drive(tmp_path / "b", settings, done=done)
    asked = {spec.trial: spec for spec in (*before, *after)}
    assert [asked[spec.trial] for spec in undisturbed] == undisturbed
    assert len(after) == len(undisturbed) - len(done)
    assert set(states(tmp_path / "b", settings, "emargin")) == {TrialState.COMPLETE}


def test_a_trial_finished_but_not_told_is_told_on_resuming(tmp_path):
    settings = small_settings()
    _, specs, done = drive(tmp_path / "a", settings, stop_after=5)
    lost = specs[-1]
    drive(tmp_path / "a", settings, done=done | {lost.trial: rows_for(lost)})
    assert states(tmp_path / "a", settings, "emargin") == [TrialState.COMPLETE] * 3


def test_a_trial_told_but_not_recorded_is_asked_again_and_told_once(tmp_path):
    settings = small_settings()
    _, specs, done = drive(tmp_path / "a", settings, stop_after=7)
    lost = next(spec for spec in reversed(specs) if spec.trial in done)  # told, then the driver died
    del done[lost.trial]
    _, after, _ = drive(tmp_path / "a", settings, done=done)
    assert lost in after
    assert states(tmp_path / "a", settings, "emargin") == [TrialState.COMPLETE] * 3
    assert states(tmp_path / "a", settings, "infonce") == [TrialState.COMPLETE] * 2


def test_a_trial_asked_but_not_named_is_used_for_the_next(tmp_path):
    settings = small_settings()
    _, undisturbed, _ = drive(tmp_path / "a", settings)
    drive(tmp_path / "b", settings, stop_after=0)
    optuna.load_study(study_name="small/emargin", storage=make_storage(tmp_path / "b")).ask()  # and died
    _, resumed, _ = drive(tmp_path / "b", settings)
    assert resumed == undisturbed
    assert states(tmp_path / "b", settings, "emargin") == [TrialState.COMPLETE] * 3


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_trial_that_is_not_ok_fails_in_optuna_and_stays_off_the_front(tmp_path, status):
    settings = small_settings()
    bad = "emargin-0001"
    _, _, ended = drive(tmp_path / "a", settings, status=lambda s: status if s.trial == bad else "ok")
    assert states(tmp_path / "a", settings, "emargin") == [
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.COMPLETE,
    ]
    kept = kept_trials(ended, "front", settings.goals)
    assert bad not in kept and "raw" in kept


def test_a_lost_worker_fails_in_optuna(tmp_path):
    settings = small_settings()
    search = PlanSearch(settings, plan.arms(settings), make_storage(tmp_path), {})
    for number in range(6):
        spec = search.suggest(f"t{number}")["spec"]
    assert spec.objective == "emargin"
    search.on_trial_complete("t5", error=True)
    assert states(tmp_path, settings, "emargin") == [TrialState.FAIL]


def test_optuna_sees_the_mean_over_seeds(tmp_path):
    settings = small_settings()
    search = PlanSearch(settings, plan.arms(settings), make_storage(tmp_path), {})
    for number in range(6):
        spec = search.suggest(f"t{number}")["spec"]
    rows = rows_for(spec)
    rows[0]["silhouette"], rows[1]["silhouette"] = 0.25, 0.75
    search.on_trial_complete("t5", {"rows": rows})
    study = optuna.load_study(study_name="small/emargin", storage=make_storage(tmp_path))
    assert math.isclose(study.trials[0].values[0], 0.5)
