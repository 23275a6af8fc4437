"""Studies on a real cluster of three nodes on this machine: limits, faults of workers, sharing of work."""

import dataclasses
import gc
from collections import Counter
from functools import partial
from pathlib import Path

import mlflow
import optuna
import pyarrow.parquet as pq
import pytest
import ray
from optuna.trial import TrialState
from ray import tune
from ray._common.utils import reset_ray_address
from ray.cluster_utils import Cluster
from ray.tune.experiment import Trial

from study.cluster import ray_private, tune_loop
from study.results import kept_trials
from study.run_study import run_study
from study.search.storage import make_storage
from tests.study import faults
from tests.study.books import VOLATILE
from tests.study.conftest import small_settings

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def nodes():
    """A head that runs no trial, and three nodes of one core.

    They ask for a token: a study that earlier tests ran here has switched this process to tokens already.
    """
    ray.shutdown()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_AUTH_MODE", raising=False)
        patch.setenv("RAY_AUTH_TOKEN", "0" * 32)
        ray_private.AuthenticationTokenLoader.instance().reset_cache()
        ray_private.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        reset_ray_address()  # nobody else on this machine shall join it
        for _ in range(3):
            made.add_node(num_cpus=1)
        yield made
        made.shutdown()


@pytest.fixture
def begin(nodes, tmp_path, monkeypatch):
    """Run a study of the given settings, with a trial of tests.study.faults in place of the real one."""

    def run(trial=None, *, settings=None, extend=None, retry_failed=False, **changed):
        settings = settings or small_settings(
            **{"out": str(tmp_path), "address": nodes.address, "sampler": "random"} | changed
        )
        if trial is not None:
            monkeypatch.setattr(tune_loop, "run_trial", partial(trial, note=tmp_path / "note"))
        return settings, run_study(settings, extend=extend, retry_failed=retry_failed)

    return run


def table(settings) -> list[dict]:
    rows = pq.read_table(settings.folder / "results.parquet").to_pylist()
    return [{k: v for k, v in row.items() if k not in VOLATILE | {"study"}} for row in rows]


def states(settings, method="emargin") -> Counter:
    storage = make_storage(settings.folder)
    study = optuna.load_study(study_name=f"{settings.name}/{method}", storage=storage)
    return Counter(trial.state for trial in study.trials)


def runs(settings) -> Counter:
    client = mlflow.MlflowClient(f"sqlite:///{settings.out}/mlflow.db")
    experiments = [e.experiment_id for e in client.search_experiments()]
    mine = f"tags.kind = 'replicate' and tags.study = '{settings.name}'"
    found = client.search_runs(experiments, mine, max_results=1000)
    assert len({run.data.tags["key"] for run in found}) == len(found)
    return Counter(run.info.status for run in found)


def begun(tmp_path: Path) -> Counter:
    return Counter(line.split()[0] for line in (tmp_path / "note").read_text().splitlines())


PLAIN = {"references": (), "baseline_trials": 0, "seeds": (0,)}


def test_failures_stop_a_study_and_what_failed_is_retried_once_asked(begin, tmp_path):
    fails = partial(faults.pretended, fails="emargin-0001")
    settings, outcome = begin(fails, **PLAIN, trials=6, max_failures=1, max_concurrent=1)
    assert outcome.stopped and "1 trial failed (--max-failures 1)" in outcome.stopped
    assert outcome.counts == {"ok": 1, "diverged": 0, "failed": 1} and outcome.exit_code == 1
    assert (settings.folder / "log" / "emargin-0001-0-0.traceback.txt").read_text().startswith("Traceback")
    _, outcome = begin(settings=settings)  # goes on, and does not retry by itself
    assert outcome.counts == {"ok": 5, "diverged": 0, "failed": 1} and outcome.exit_code == 0
    assert begun(tmp_path) == {f"emargin-{n:04d}": 1 for n in range(6)}
    assert runs(settings) == {"FINISHED": 5, "FAILED": 1}
    _, outcome = begin(settings=settings, retry_failed=True)
    assert outcome.counts == {"ok": 6, "diverged": 0, "failed": 0}
    assert begun(tmp_path)["emargin-0001"] == 2 and begun(tmp_path).total() == 7
    assert states(settings) == {TrialState.COMPLETE: 6, TrialState.FAIL: 1}
    assert runs(settings) == {"FINISHED": 6}
    assert [row["status"] for row in table(settings)] == ["ok"] * 6


def test_a_time_budget_ends_the_beginning_of_trials_and_extending_adds_some(begin, tmp_path):
    slow = partial(faults.pretended, seconds=4.0)  # 99 take 132 s on three nodes
    settings, outcome = begin(slow, **PLAIN, trials=99, time_budget="90s")  # busy machines start in a minute
    n_done = outcome.counts["ok"]
    assert outcome.stopped and "time budget" in outcome.stopped and outcome.exit_code == 0
    assert 1 <= n_done < 99 and begun(tmp_path).total() == n_done
    assert states(settings)[TrialState.COMPLETE] == n_done
    settings = dataclasses.replace(settings, time_budget=None)
    _, outcome = begin(partial(faults.pretended), settings=settings, extend=4)
    assert outcome.counts["ok"] == 103 and not outcome.stopped
    assert begun(tmp_path) == {f"emargin-{n:04d}": 1 for n in range(103)}
    assert states(settings) == {TrialState.COMPLETE: 103} and runs(settings) == {"FINISHED": 103}
    assert len({row["temperature"] for row in table(settings)}) == 103


def test_a_long_study_keeps_nothing_of_the_parts_behind_it(begin, tmp_path, monkeypatch):
    """Tune would keep every trial in memory."""
    monkeypatch.setattr(tune_loop, "PART_JOBS", 3)
    monkeypatch.setattr(tune_loop, "PART_WAVES", 0)
    alive = []
    fit = tune.Tuner.fit

    def counted(tuner):
        fit(tuner)
        del tuner
        gc.collect()
        alive.append(sum(isinstance(thing, Trial) for thing in gc.get_objects()))

    monkeypatch.setattr(tune.Tuner, "fit", counted)
    _, outcome = begin(partial(faults.pretended), **PLAIN, trials=9)
    assert outcome.counts["ok"] == 9 and begun(tmp_path).total() == 9
    assert len(alive) >= 3 and max(alive) <= 3  # of the part that just ended, at most


def test_seeds_as_trials_give_the_rows_that_seeds_inside_give(begin):
    inside, _ = begin(references=("raw",), trials=2, name="inside")
    outside, outcome = begin(references=("raw",), trials=2, name="outside", seeds_as_trials=True)
    assert outcome.counts["ok"] == 2 * 2 + 1 * 2 + 1
    assert table(outside) == table(inside)
    assert states(inside) == {TrialState.COMPLETE: 2} and states(outside) == {TrialState.COMPLETE: 4}


def test_one_and_three_nodes_find_the_same_and_share_the_load(begin, tmp_path):
    quick = {"references": (), "baseline_trials": 0, "seeds": (0,), "trials": 6}
    alone, _ = begin(**quick, name="alone", max_concurrent=1)
    shared, _ = begin(**quick, name="shared", max_concurrent=3)
    assert table(alone) == table(shared)
    # trials that last longer than the workers' starts lie apart
    begin(partial(faults.pretended, seconds=3.0), **PLAIN, name="load", trials=30)
    nodes = Counter(line.split()[1] for line in (tmp_path / "note").read_text().splitlines())
    assert len(nodes) == 3 and nodes.total() == 30
    assert max(nodes.values()) <= 1.2 * 10 and min(nodes.values()) >= 0.8 * 10, nodes


@pytest.mark.parametrize("fault", [faults.kill, faults.no_memory, faults.no_disk])
def test_a_trial_whose_machine_fails_goes_on_from_its_checkpoint(begin, tmp_path, monkeypatch, fault):
    monkeypatch.setattr(tune_loop, "CHECKPOINT_EVERY_S", 0.0)
    plain = {"references": (), "baseline_trials": 0, "trials": 2}
    calm, _ = begin(**plain, name="calm")
    broken = partial(faults.faulty, key="emargin-0001", times=2, fault=fault)
    settings, outcome = begin(broken, **plain, name="broken")
    assert begun(tmp_path) == {"emargin-0000": 1, "emargin-0001": 3}
    assert (tmp_path / "emargin-0001.1").read_text() == ""
    assert "0-0.pt" in (tmp_path / "emargin-0001.2").read_text().split()
    assert outcome.counts == {"ok": 2, "diverged": 0, "failed": 0}
    assert table(settings) == table(calm)
    assert states(settings) == {TrialState.COMPLETE: 2} and runs(settings) == {"FINISHED": 2 * 2}


def test_a_trial_that_kills_every_worker_fails_and_the_others_go_on(begin, tmp_path):
    poison = partial(faults.faulty, key="emargin-0000", times=99, fault=faults.kill)
    settings, outcome = begin(poison, references=(), baseline_trials=0, trials=2, max_retries=1)
    assert begun(tmp_path) == {"emargin-0000": 2, "emargin-0001": 1}
    assert outcome.counts == {"ok": 1, "diverged": 0, "failed": 1}
    assert states(settings) == {TrialState.COMPLETE: 1, TrialState.FAIL: 1}
    rows = table(settings)
    assert [row["status"] for row in rows] == ["failed", "failed", "ok", "ok"]
    assert all(row["error"] for row in rows[:2]) and runs(settings) == {"FAILED": 2, "FINISHED": 2}


def test_a_setting_that_diverges_is_counted_and_stays_off_the_front(begin):
    """Forced by the released loss, whose margin of 100 overflows float32."""
    settings, outcome = begin(
        methods=("emargin-released", "emargin"),
        hyperparameters={"margin": "100", "threshold": "0.1:0.9"},  # its labels are all 1 there
        references=("raw",),
        baseline_trials=1,
        trials=2,
        sampler="tpe",
    )
    assert outcome.counts == {"ok": 4, "diverged": 2, "failed": 0} and not outcome.stopped
    assert states(settings, "emargin-released") == {TrialState.FAIL: 2}
    assert states(settings, "emargin") == {TrialState.COMPLETE: 2}
    bad = [row for row in table(settings) if row["method"] == "emargin-released"]
    assert all(row["status"] == "diverged" and row["diverged_step"] >= 1 for row in bad) and len(bad) == 4
    assert all(row["silhouette"] is None and "is not finite at step" in row["error"] for row in bad)
    kept = kept_trials(outcome.done, "front", settings.goals)
    assert not any(trial.startswith("emargin-released") for trial in kept)
    assert {trial.partition("-")[0] for trial in kept} == {"raw", "emargin", "infonce"}
    _, again = begin(settings=settings, retry_failed=True)  # what diverged is not tried again
    assert again.counts == outcome.counts and table(settings) == table(settings)
