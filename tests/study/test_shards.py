"""Parts of a study (--shard): together they are the whole, each alone in its folder."""

import pyarrow.parquet as pq
import pytest

from analysis import join, tables
from emargin_train.errors import UserError
from study import command_line, identity, plan
from study.run_study import run_study
from study.search import claim
from study.search.plan_search import PlanSearch
from tests.study.conftest import small_settings

GRID = {"threshold": ",".join(str(i / 100) for i in range(37)), "margin": "1,2"}


def keys(**given: object) -> list[str]:
    settings = small_settings(**given)
    return [job.key for job in plan.jobs(settings, plan.arms(settings))]


@pytest.mark.parametrize("more", [{}, {"seeds_as_trials": True}, {"design": "ablation"}])
def test_sixteen_parts_are_the_whole_and_share_nothing(more):
    given = {"design": "grid", "hyperparameters": GRID} | more
    parts = [keys(shard=f"{k}/16", **given) for k in range(1, 17)]
    together = [key for part in parts for key in part]
    assert sorted(together) == sorted(keys(**given)) and len(together) == len(set(together))


def test_a_part_keeps_its_trials_when_the_study_is_extended():
    given = {"shard": "2/3", "optuna_storage": "postgresql://nobody@nowhere/x"}
    before, after = (keys(trials=n, **given) for n in (5, 9))
    assert set(before) < set(after)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "1/0", "a/b", "-1/3", "1/3/5"])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(UserError, match="--shard is"):
        small_settings(shard=text, design="grid", hyperparameters={"threshold": "0.1,0.2"})


def test_the_parts_of_a_search_need_one_database():
    with pytest.raises(UserError, match="--optuna-storage"):
        small_settings(shard="1/3")


def test_parts_differ_in_their_folder_alone():
    words = ["--dataset", "sleepeeg-sim", "--design", "grid", "--threshold", "0.1,0.2", "--shard"]
    one, two = (
        command_line.settings_of(command_line.build_parser().parse_args([*words, part]))
        for part in ("1/2", "2/2")
    )
    assert one.name.removesuffix("-1-of-2") == two.name.removesuffix("-2-of-2") != one.name


@pytest.fixture
def part(tmp_path):
    """The storage of a search, claimed by part k of 3, and its study's settings and plan."""

    def claimed(k: int, out: str = "a", **changed: object):
        settings = small_settings(
            **{
                "out": str(tmp_path / out), "name": f"small-{k}-of-3", "shard": f"{k}/3", "trials": 7,
                "references": (), "baseline_trials": 0, "sampler": "random",
                "optuna_storage": f"sqlite:///{tmp_path}/search.db",
            }
            | changed
        )  # fmt: skip
        settings = plan.resolved(settings)
        settings.folder.mkdir(parents=True, exist_ok=True)
        arms = plan.arms(settings)
        return settings, arms, claim.claimed_storage(settings, arms, identity.open_study(settings.folder))

    return claimed


def ended(search: PlanSearch) -> list[str]:
    """Run all of its trials."""
    names = []
    while search.has_more:
        spec = search.next(f"job {len(names)}")
        row = {"status": "ok", "silhouette": 0.1, "probe_balanced_accuracy": 0.2}
        search.end(f"job {len(names)}", [row | dict(spec.settings) for _ in spec.replicates])
        names.append(spec.trial)
    return names


def test_parts_of_a_search_share_one_optuna_study(part):
    searches = [PlanSearch(*part(k), {}) for k in (1, 2, 3)]
    names = [name for search in searches for name in ended(search)]
    assert sorted(names) == [f"emargin-{number:04d}" for number in range(7)]
    stored = searches[0]._studies["emargin"].trials
    assert sorted(trial.user_attrs["trial"] for trial in stored) == sorted(names)
    again = PlanSearch(*part(2), {})  # a driver that was lost, and lost its records too
    assert [again.next(str(i)).trial for i in range(2)] == ["emargin-0001", "emargin-0004"]
    assert len(searches[0]._studies["emargin"].trials) == 7


def test_a_part_is_claimed_once_and_with_the_settings_of_the_others(part):
    part(1), part(2)
    with pytest.raises(UserError, match="of another study"):
        part(1, out="elsewhere")
    with pytest.raises(UserError, match="of another study"):
        part(3, hyperparameters={"margin": "1:2"})
    with pytest.raises(UserError, match="of another study"):
        part(3, shard=None, name="small")
    part(3)


@pytest.mark.slow
def test_a_lost_part_resumes_alone_and_the_union_is_exact(tmp_path):
    given = {
        "design": "grid",
        "out": str(tmp_path),
        "references": ("raw",),
        "baseline_trials": 0,
        "seeds": (0,),
    }
    given |= {"hyperparameters": {"threshold": "0.1,0.2,0.3,0.4,0.5"}, "address": "local"}
    parts = [small_settings(name=f"small-{k}-of-2", shard=f"{k}/2", **given) for k in (1, 2)]
    for settings in parts:
        assert run_study(settings).exit_code == 0
    whole = {f"emargin-{number:04d}" for number in range(5)} | {"raw"}
    lost = sorted((parts[1].folder / "records").glob("emargin*.json"))
    before = pq.read_table(parts[1].folder / "results.parquet")["silhouette"].to_pylist()
    lost[0].unlink()
    assert run_study(parts[1]).exit_code == 0
    assert pq.read_table(parts[1].folder / "results.parquet")["silhouette"].to_pylist() == before
    together = join([tables.load(settings.folder) for settings in parts])
    trials = [name.split("/")[1] for name in together.rows["trial"]]
    assert sorted(trials) == sorted(whole) and together.manifest["asked"] == 6
    assert sorted(together.rows["threshold"].dropna().unique().round(1)) == [0.1, 0.2, 0.3, 0.4, 0.5]
