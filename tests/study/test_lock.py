"""Only one process at a time works on a study, and a command that is refused changes nothing."""

import multiprocessing
import tomllib

import pytest

from emargin_train.errors import UserError
from study import plan, results, sync
from study import run_study as run_study_module
from study.ownership import owned
from study.run_study import run_study
from study.settings import StudySettings
from tests.tiny import tiny


def settings_of(out, **changed):
    given = {"dataset": str(tiny()), "out": str(out), "name": "one", "trials": 3, "address": "local"}
    return StudySettings(**(given | changed))


def begun(out):
    settings = plan.resolved(settings_of(out))
    results.make_folder(settings)
    results.store(settings)
    return settings.folder


def _own(folder, ready, end):
    with owned(folder):
        ready.set()
        end.wait()


@pytest.fixture
def taken(tmp_path):
    """A study that another process runs."""
    folder = begun(tmp_path)
    context = multiprocessing.get_context("fork")
    ready, end = context.Event(), context.Event()
    process = context.Process(target=_own, args=(folder, ready, end))
    process.start()
    ready.wait()
    yield folder
    end.set()
    process.join()


def test_a_study_has_one_driver_and_then_another(tmp_path):
    folder = begun(tmp_path)
    with owned(folder), pytest.raises(UserError, match="in use by another process"), owned(folder):
        pytest.fail("two drivers have it")
    with owned(folder):
        pass


@pytest.mark.parametrize("left", [".lock", ".study.toml.7.part", "records"])
def test_a_study_that_could_not_even_write_its_settings_is_begun_again(tmp_path, left):
    settings = settings_of(tmp_path)
    (settings.folder / "log").mkdir(parents=True)
    (settings.folder / left).mkdir(exist_ok=True) if left == "records" else (settings.folder / left).touch()
    results.check_free(settings)
    (settings.folder / "records").mkdir(exist_ok=True)
    (settings.folder / "records" / "a.json").write_text("{}")
    with pytest.raises(UserError, match="is not a study"):
        results.check_free(settings)


def test_a_study_is_extended_with_the_words_that_began_it(tmp_path):
    begun(tmp_path)
    extended, _, _ = run_study_module.checked(settings_of(tmp_path), 2)
    assert extended.trials == 5 and extended.split_seeds == (0,)
    with pytest.raises(UserError, match="--seeds"):
        run_study_module.checked(settings_of(tmp_path, seeds=(7,)), 2)


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("how", ["extended", "retried", "in less time", "with more workers", "synced"])
def test_a_command_that_is_refused_changes_nothing(taken, how):
    before = content(taken.parent)
    settings = results.stored_settings(taken)
    with pytest.raises(UserError, match="in use by another process"):
        match how:
            case "extended":
                run_study(settings, extend=2)
            case "retried":
                run_study(settings, retry_failed=True)
            case "in less time":
                run_study(settings_of(taken.parent, time_budget="1s"))
            case "with more workers":
                run_study(settings_of(taken.parent, max_concurrent=7))
            case "synced":
                sync.sync(taken)
    assert content(taken.parent) == before


def test_options_of_one_command_are_not_the_studys(tmp_path):
    settings = plan.resolved(settings_of(tmp_path, time_budget="1s", max_failures=1, max_concurrent=2))
    results.make_folder(settings)
    results.store(settings)
    stored = tomllib.loads((settings.folder / "study.toml").read_text())
    assert stored["max_concurrent"] == 2 and not {"time_budget", "max_failures"} & stored.keys()
    assert not {"time_budget", "max_failures"} & results.flat_settings(settings).keys()
    old = settings.to_toml()
    assert 'time_budget = "1s"' in old  # as earlier versions stored it
    (settings.folder / "study.toml").write_text(old)
    assert results.stored_settings(settings.folder).time_budget is None
