"""Trials that share a GPU (Ray is told that there is one): one stack gives the rows of single trials, even if
an engine or a trial dies."""

from collections import Counter
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray
from ray._common.utils import reset_ray_address
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]
from ray.cluster_utils import Cluster

from study import plan
from study.cluster import engine_actor, tune_loop
from study.cluster.engine import Sharing
from study.run_study import run_study
from study.trial import run_trial, trial_records
from tests.cluster.conftest import wait_for
from tests.study import faults
from tests.study.conftest import small_settings
from tests.study.test_trial_stacked import FLOATS, SAME

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SHARED = {"references": (), "baseline_trials": 0, "sampler": "random", "design": "grid"}


@pytest.fixture(scope="module")
def node():
    ray.shutdown()
    AuthenticationTokenLoader.instance().reset_cache()  # that of a cluster of other tests
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    reset_ray_address()  # nobody else on this machine shall join it
    made.add_node(num_cpus=4, num_gpus=1)
    yield made
    made.shutdown()


def rows(settings) -> list[dict]:
    return pq.read_table(settings.folder / "results.parquet").to_pylist()


def check_as_alone(settings, folder) -> None:
    """Each row is that of its trial run by itself, replicate after replicate."""
    found = {(row["trial"], f"{row['split_seed']}-{row['seed']}"): row for row in rows(settings)}
    for job in (jobs := plan.jobs(settings, plan.arms(settings))):
        values = job.arm.listed()[job.number]
        spec = plan.spec(settings, job, values)
        list(run_trial(spec, folder / job.key, stacked=False))
        for record in trial_records(spec, folder / job.key):
            mine, alone = found[job.trial, record["replicate"]], record["row"]
            assert all(mine[name] == alone.get(name) for name in (*SAME, "diverged_step", "iterations"))
            for name in FLOATS:
                assert (mine[name] is None) == (alone.get(name) is None), (job.key, name)
                if mine[name] is not None:
                    assert mine[name] == pytest.approx(alone[name], rel=0.05, abs=0.05), (job.key, name)
    assert len(found) == sum(len(job.replicates) for job in jobs)


def engines(node) -> list[str]:
    ray.init(node.address, log_to_driver=False)
    try:
        return [named["name"] for named in ray.util.list_named_actors(all_namespaces=True)]
    finally:
        ray.shutdown()


def test_four_trials_are_one_stack_and_those_that_diverge_are_alone_in_it(node, tmp_path):
    settings = small_settings(
        **SHARED,
        out=str(tmp_path),
        address=node.address,
        gpus_per_trial=0.25,
        methods=("emargin-released", "emargin"),
        hyperparameters={"margin": "100,1", "threshold": "0.98", "weight_decay": "0"},
    )
    outcome = run_study(settings)
    assert outcome.counts == {"ok": 2, "diverged": 2, "failed": 0}
    together = Counter(row["stack_members"] for row in rows(settings))
    assert together == {4 * 2: 4 * 2}
    check_as_alone(settings, tmp_path)
    assert not engines(node)


def test_an_engine_that_nobody_asks_any_more_ends_by_itself(node):
    """As when its study's driver was killed."""

    @ray.remote(num_cpus=1, num_gpus=0.5)
    def begin_one() -> int:
        how = Sharing(2, 0.0, 1, False, idle_s=1.0)
        return ray.get(engine_actor._engine(how, "cpu").pid.remote())

    ray.init(node.address, log_to_driver=False)
    try:
        process = ray.get(begin_one.remote())
        wait_for(lambda: not ray.util.list_named_actors(all_namespaces=True), "ending")
        wait_for(lambda: not Path(f"/proc/{process}").exists(), "ending")
    finally:
        ray.shutdown()


@pytest.mark.faults
@pytest.mark.parametrize("fault", [faults.kill_engine, faults.kill])
def test_when_the_engine_or_a_trial_dies_it_goes_on_from_its_checkpoint(node, tmp_path, monkeypatch, fault):
    monkeypatch.setattr(tune_loop, "CHECKPOINT_EVERY_S", 0.0)
    broken = partial(faults.faulty, key="emargin-0001", times=1, fault=fault, note=tmp_path / "note")
    monkeypatch.setattr(tune_loop, "run_trial", broken)
    settings = small_settings(
        **SHARED,
        out=str(tmp_path),
        address=node.address,
        gpus_per_trial=0.5,
        hyperparameters={"margin": "1,2", "iterations": "250"},
        seeds=(0,),
    )
    outcome = run_study(settings)
    assert outcome.counts == {"ok": 2, "diverged": 0, "failed": 0}
    begun = Counter(line.split()[0] for line in (tmp_path / "note").read_text().splitlines())
    assert begun == {"emargin-0000": 2 if fault is faults.kill_engine else 1, "emargin-0001": 2}
    assert "0-0.pt" in (tmp_path / "emargin-0001.2").read_text().split()
    check_as_alone(settings, tmp_path)
    assert not engines(node)
