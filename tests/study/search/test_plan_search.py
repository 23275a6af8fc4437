"""The search, called in the same way as by the cluster, but without a cluster."""

import math

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from study import plan
from study.results import kept_trials
from study.search import plan_search
from study.search.plan_search import PlanSearch
from study.search.samplers import make_sampler
from study.search.storage import make_storage
from study.settings import SAMPLERS
from study.stopper import Stopper
from tests.study.conftest import small_settings


def rows_for(spec, *, status="ok"):
    """Made-up results that depend on the settings alone."""
    threshold = spec.settings.get("threshold") or 0.5
    temperature = spec.settings.get("temperature") or 1.0
    values = {"silhouette": threshold, "probe_balanced_accuracy": 1 / (1 + temperature)}
    if status != "ok":
        values = dict.fromkeys(values)
    return [
        {"status": status, "split_seed": one.split_seed, "seed": one.seed}
        | {"method": spec.method, "role": spec.role}
        | values
        for one in spec.replicates
    ]


def drive(folder, settings, *, stop_after=None, done=None, status=lambda spec: "ok"):
    """Ask and tell one by one; returns the specs in order, and the rows of those that ended."""
    folder.mkdir(exist_ok=True)
    search = PlanSearch(settings, plan.arms(settings), make_storage(folder), done or {})
    specs, ended = [], dict(done or {})
    while True:
        spec = search.next(f"t{len(specs)}")
        if spec is None:
            return search, specs, ended
        specs.append(spec)
        if stop_after is not None and len(specs) > stop_after:
            return search, specs, ended  # killed while this one ran
        rows = rows_for(spec, status=status(spec))
        search.end(f"t{len(specs) - 1}", rows)
        ended[spec.key] = rows


def states(folder, settings, method):
    name = f"{settings.name}/{method}"
    study = optuna.load_study(study_name=name, storage=make_storage(folder))
    return [trial.state for trial in study.trials]


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii", "qmc", "random"])
def test_every_trial_is_asked_for_once_with_its_own_setting(tmp_path, sampler):
    settings = small_settings(trials=6, sampler=sampler)
    _, specs, _ = drive(tmp_path / "a", settings)
    assert [s.trial for s in specs] == [a.trial_name(n) for a, n in plan.order(plan.arms(settings))]
    searched = {tuple(sorted(s.settings.items())) for s in specs if s.method == "emargin"}
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


@pytest.mark.parametrize("damage", ["emptied", "cut", "removed", "replaced"])
@pytest.mark.parametrize("when", ["asked", "told"])
def test_a_journal_that_another_program_damages_ends_the_search(tmp_path, damage, when):
    """Found by a random drill: Optuna gave the setting of an old trial to a new one, without a word."""
    settings, folder = small_settings(trials=6), tmp_path / "b"
    _, undisturbed, _ = drive(tmp_path / "a", settings)
    folder.mkdir()
    stopper, journal, done = Stopper(), folder / "optuna.log", {}
    search = PlanSearch(settings, plan.arms(settings), make_storage(folder), {}, stopper)
    while (spec := search.next("job")) is not None:
        if len(done) == 3 and when == "asked":
            damaged(journal, damage)
        done[spec.key] = rows_for(spec)
        search.end("job", done[spec.key])
        if len(done) == 4 and when == "told":
            damaged(journal, damage)
        assert len(done) <= 5, "the search went on"
    assert "optuna.log" in stopper.reached
    _, after, _ = drive(folder, settings, done=done)
    asked = {spec.trial: spec for spec in after}
    assert all(asked[spec.trial] == spec for spec in undisturbed if spec.trial not in done)


def damaged(journal, how):
    if how == "removed":
        journal.unlink()
    elif how == "replaced":
        journal.rename(f"{journal}.old")
        journal.write_bytes(b"")
    else:
        journal.write_bytes(b"" if how == "emptied" else journal.read_bytes()[:300])


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
        spec = search.next(f"t{number}")
    assert spec.method == "emargin"
    search.end("t5", [])
    assert states(tmp_path, settings, "emargin") == [TrialState.FAIL]


def test_optuna_sees_the_mean_over_replicates(tmp_path):
    settings = small_settings(split_seeds=(0, 1))
    search = PlanSearch(settings, plan.arms(settings), make_storage(tmp_path), {})
    for number in range(6):
        spec = search.next(f"t{number}")
    rows = rows_for(spec)
    assert len(rows) == 2 * 2
    for row, value in zip(rows, (0.25, 0.75, 0.0, 0.2), strict=True):
        row["silhouette"] = value
    search.end("t5", rows)
    study = optuna.load_study(study_name="small/emargin", storage=make_storage(tmp_path))
    assert math.isclose(study.trials[0].values[0], 0.3)


def test_an_extended_search_asks_what_a_longer_one_would(tmp_path):
    longer = small_settings(trials=6)
    _, undisturbed, _ = drive(tmp_path / "a", longer)
    _, first, done = drive(tmp_path / "b", small_settings(trials=3))
    _, more, _ = drive(tmp_path / "b", longer, done=done)
    assert len(first) + len(more) == len(undisturbed)
    asked = {spec.trial: spec for spec in (*first, *more)}
    assert [asked[spec.trial] for spec in undisturbed] == undisturbed


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("stop_after", [None, 8, 9])
def test_seeds_as_trials_share_their_setting(tmp_path, sampler, stop_after):
    settings = small_settings(seeds_as_trials=True, sampler=sampler)
    before = []
    done = None
    if stop_after is not None:
        _, before, done = drive(tmp_path / "a", settings, stop_after=stop_after)
    _, after, _ = drive(tmp_path / "a", settings, done=done)
    asked = {spec.key: spec for spec in (*before, *after)}
    assert len(asked) == 3 * 2 + 2 * 2 + 3 + 2 * 2
    for trial in {spec.trial for spec in asked.values()}:
        settings_of = [spec.settings for spec in asked.values() if spec.trial == trial]
        assert all(other == settings_of[0] for other in settings_of)
    assert states(tmp_path / "a", settings, "emargin") == [TrialState.COMPLETE] * 6
    assert all(len(spec.replicates) == 1 for spec in asked.values())
    study = optuna.load_study(study_name="small/emargin", storage=make_storage(tmp_path / "a"))
    assert len({trial.user_attrs["trial"] for trial in study.trials}) == 6


def test_a_random_search_tries_the_same_settings_with_seeds_inside_or_outside(tmp_path):
    inside = small_settings(sampler="random")
    outside = small_settings(sampler="random", seeds_as_trials=True)
    _, together, _ = drive(tmp_path / "a", inside)
    _, apart, _ = drive(tmp_path / "b", outside)
    assert {s.trial: s.settings for s in together} == {s.trial: s.settings for s in apart}


def test_a_failed_trial_that_is_retried_keeps_its_setting_and_is_added_once(tmp_path):
    settings = small_settings()
    bad = "emargin-0001"
    _, specs, done = drive(tmp_path, settings, status=lambda s: "failed" if s.trial == bad else "ok")
    del done[bad]
    for _ in range(2):  # fails once more, then ends well
        _, again, _ = drive(tmp_path, settings, done=done, status=lambda _: "failed")
        assert again == [spec for spec in specs if spec.trial == bad]
    _, _, done = drive(tmp_path, settings, done=done)
    drive(tmp_path, settings, done=done)
    assert states(tmp_path, settings, "emargin") == [
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.COMPLETE,
        TrialState.COMPLETE,
    ]


@pytest.mark.parametrize("damage", ["gone", "cut", "garbled"])
def test_a_search_whose_storage_is_damaged_is_told_anew_from_the_records(tmp_path, damage):
    settings = small_settings(trials=6)
    _, undisturbed, _ = drive(tmp_path / "a", settings)
    _, before, done = drive(tmp_path / "b", settings, stop_after=8)
    values = {spec.trial: spec.settings for spec in before}
    done = {trial: [row | values[trial] for row in rows] for trial, rows in done.items()}
    journal = tmp_path / "b" / "optuna.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    match damage:
        case "gone":
            journal.unlink()
        case "cut":
            journal.write_bytes(b"".join(lines)[:-20])
        case "garbled":
            journal.write_bytes(b"".join((*lines[:5], lines[5][:10], *lines[6:])))
    _, after, _ = drive(tmp_path / "b", settings, done=done)
    asked = {spec.trial: spec for spec in (*before, *after)}
    assert [asked[spec.trial] for spec in undisturbed] == undisturbed
    assert states(tmp_path / "b", settings, "emargin") == [TrialState.COMPLETE] * 6


def test_a_stopper_ends_the_asking(tmp_path):
    settings = small_settings()
    stopper = Stopper(max_failures=2)
    search = PlanSearch(settings, plan.arms(settings), make_storage(tmp_path), {}, stopper)
    for number in range(5):
        search.next(f"t{number}")
        assert stopper.reached is None
    stopper.count_failure()
    assert search.next("t5") is not None
    stopper.count_failure()
    assert search.next("t6") is None and "2 trials failed" in (stopper.reached or "")
    assert "time budget" in (Stopper(time_budget_s=1e-9).reached or "")
    assert Stopper(time_budget_s=1000).reached is None


class Flaky(optuna.storages.InMemoryStorage):
    """Fails at chosen calls, before or after the deed is done, as a database that goes away does."""

    def __init__(self, fail_at, *, after):
        super().__init__()
        self.calls, self.fail_at, self.after = 0, fail_at, after

    def _call(self, deed, *args, **more):
        self.calls += 1
        fails = self.calls in self.fail_at
        if fails and not self.after:
            raise StorageInternalError("gone")
        answer = deed(*args, **more)
        if fails:
            raise StorageInternalError("gone")
        return answer

    def create_new_trial(self, *args, **more):
        return self._call(super().create_new_trial, *args, **more)

    def set_trial_param(self, *args, **more):
        return self._call(super().set_trial_param, *args, **more)

    def set_trial_user_attr(self, *args, **more):
        return self._call(super().set_trial_user_attr, *args, **more)

    def set_trial_state_values(self, *args, **more):
        return self._call(super().set_trial_state_values, *args, **more)


@pytest.mark.parametrize("after", [False, True])
def test_a_database_that_goes_away_at_any_call_loses_and_doubles_nothing(tmp_path, after):
    settings = small_settings(references=())
    _, undisturbed, _ = drive(tmp_path, settings)
    for fail_at in range(1, 25):
        storage = Flaky({fail_at, fail_at + 2}, after=after)
        search = PlanSearch(settings, plan.arms(settings), storage, {})
        specs = []
        while spec := search.next(f"t{len(specs)}"):
            specs.append(spec)
            search.end(f"t{len(specs) - 1}", rows_for(specs[-1]))
        assert specs == undisturbed
        for study in optuna.get_all_study_names(storage):
            trials = optuna.load_study(study_name=study, storage=storage).trials
            assert {trial.state for trial in trials} == {TrialState.COMPLETE}
            assert len(trials) == (3 if study == "small/emargin" else 2)


def test_a_database_that_stays_away_ends_the_asking_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(plan_search, "PATIENCE_S", 0.3)
    settings = small_settings(references=())
    stopper = Stopper()
    storage = Flaky(range(6, 10_000), after=False)
    search = PlanSearch(settings, plan.arms(settings), storage, {}, stopper)
    spec = search.next("t0")
    search.end("t0", rows_for(spec))  # told, or not: no error
    assert search.next("t1") is None
    assert "storage cannot be used" in (stopper.reached or "")


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("search_seed, number", [(0, 4_295), (2**32 - 1, 1), (7, 10**7)])
def test_the_sampler_of_any_trial_has_a_seed_that_numpy_takes(name, search_seed, number):
    """1,000,003 times a trial's number passes 2^32 at the 4,295th: longer studies ended there."""
    kinds = {"x": optuna.distributions.FloatDistribution(0, 1)}
    study = optuna.create_study(sampler=make_sampler(name, search_seed, number, kinds))
    assert 0 <= study.ask(kinds).params["x"] <= 1


def test_every_trial_of_a_long_study_draws_its_own():
    study, kind = optuna.create_study(), optuna.distributions.FloatDistribution(0, 1)
    samplers = (make_sampler("random", 11, number, {"x": kind}) for number in range(0, 20_000, 40))
    assert len({sampler.sample_independent(study, None, "x", kind) for sampler in samplers}) == 500
