"""Repeating a stored row: what is found, what is refused, and when a difference is too large."""

import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from emargin_train.config import TrainConfig
from emargin_train.cost import processor
from emargin_train.declarations import declarations
from emargin_train.errors import UserError
from study import repeat
from tests import tiny
from tests.study.conftest import assert_one_line, here

ROOT = Path(__file__).resolve().parents[2]
VERSION_1 = ROOT / "tests" / "version_1"
GATES = VERSION_1 / "sleepeeg-sim-gates"  # with --dissimilar-share 0.5
COMMITTED = sorted([*ROOT.glob("docs/findings/*/results.parquet"), *VERSION_1.glob("*/results.parquet")])


def test_a_row_of_version_1_gives_the_settings_that_it_was_trained_with():
    settings = repeat.settings_of(repeat.find(GATES, "emargin-0003", "2"))
    config = TrainConfig.from_dict(settings)
    read = config.to_dict()
    assert (config.seed, config.data.split_seed, config.method) == (2, 0, "emargin")
    assert read["gate"] == "random" and read["dissimilar_share"] == 0.5 and read["threshold"] is None
    assert read["iterations"] == 100 and read["snr_db"] == 30 and read["sequence_length"] == 50


def test_a_threshold_that_was_given_stays_the_threshold():
    row = repeat.find(VERSION_1 / "sleepeeg-sim-threshold" / "results.parquet", "emargin-0004", "0-0")
    read = TrainConfig.from_dict(repeat.settings_of(row)).to_dict()
    assert read["threshold"] == row.values["threshold"] and read["dissimilar_share"] is None


@pytest.mark.parametrize("folder", [path.parent for path in COMMITTED], ids=lambda folder: folder.name)
def test_every_committed_study_can_be_repeated(folder):
    row = pq.read_table(folder / "results.parquet", columns=["trial", "split_seed", "seed"]).to_pylist()[-1]
    found = repeat.find(folder, row["trial"], f"{row['split_seed']}-{row['seed']}")
    TrainConfig.from_dict(repeat.settings_of(found))


@pytest.mark.parametrize(
    "words, told",
    [
        (("absent", "emargin-0000", "0"), ("absent is not a folder",)),
        ((str(GATES), "emargin-9", "0"), ("'emargin-9' is not a trial", "did you mean 'emargin-000")),
        ((str(GATES), "emargin-0003", "0-7"), ("not one replicate", "0-0, 0-1")),
        ((str(GATES / "manifest.parquet"), "emargin-0003", "0"), ("results.parquet",)),
        ((str(GATES), "emargin-0003", "0", "--trainings", "2"), ("--trainings is 2", "3 or more")),
        ((str(VERSION_1 / "mitdb-125-gates"), "emargin-0003", "0"), ("DATA is not a folder", "--data-dir")),
    ],
)
def test_what_cannot_be_repeated_is_refused_in_one_line(words, told, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert_one_line(here(*words, module="study.repeat"), *told)


def test_a_table_without_its_settings_is_refused(tmp_path):
    (tmp_path / "results.parquet").write_bytes((GATES / "results.parquet").read_bytes())
    with pytest.raises(UserError, match="has no study.toml"):
        repeat.find(tmp_path, "emargin-0003", "0")


@pytest.fixture
def row() -> repeat.Row:
    return repeat.find(GATES, "emargin-0003", "2")


def test_on_the_same_machine_every_digit_counts(row):
    """Versions, code, device and processor as stored: then the last bit is a difference."""
    manifest = {"versions": {}, "hardware": {"processor": processor()}, "schema_version": "2"}
    here_too = dataclasses.replace(
        row, manifest=manifest, values=row.values | {"git_revision": "abc", "device": "cpu"}
    )
    again = dict(here_too.values)
    assert repeat.same_place(here_too, again) == []
    again["silhouette"] = math.nextafter(again["silhouette"], 1)
    assert [one.metric for one in repeat.compare(here_too, [again]) if not one.is_inside] == ["silhouette"]
    for changed in ({"git_revision": "abd"}, {"device": "gpu"}):
        assert len(repeat.same_place(here_too, here_too.values | changed)) == 1
    dirty = dataclasses.replace(here_too, values=here_too.values | {"git_revision": "abc+"})
    assert repeat.same_place(dirty, dirty.values) == ["the code had changes there that were not committed"]


def trainings(values: dict, spread: float = 1e-6) -> list[dict]:
    """Five rows about these values, whose metrics differ by so much."""
    metrics = [name for name in declarations().metrics if values.get(name) is not None]
    return [values | {name: values[name] + spread * (i - 2) for name in metrics} for i in range(5)]


def test_another_seed_is_not_a_repetition_where_rounding_changes_little(row):
    """The tolerance is then so small that the trial's other replicates are outside it."""
    study = pq.read_table(GATES / "results.parquet").to_pylist()
    for other in [one for one in study if one["trial"] == "emargin-0003"]:
        outside = [one.metric for one in repeat.compare(row, trainings(other)) if not one.is_inside]
        assert (outside == []) == (other["seed"] == row.values["seed"]), outside


def test_a_metric_that_rounding_changes_a_lot_has_a_wide_tolerance(row):
    """It is the interval that predicts a sixth training from five; 8.61 is Student's t at 99.9 %."""
    (found,) = [one for one in repeat.compare(row, trainings(row.values, 0.01)) if one.metric == "silhouette"]
    assert found.repeated == pytest.approx(row.values["silhouette"])
    assert found.rounding == pytest.approx(0.01 * math.sqrt(2.5))
    assert found.tolerance == pytest.approx(8.610302 * found.rounding * math.sqrt(1.2), rel=1e-5)


def test_a_metric_that_has_no_value_any_more_is_outside(row):
    for rows in ([row.values | {"silhouette": None}], [row.values, row.values | {"silhouette": None}]):
        outside = [one.metric for one in repeat.compare(row, rows) if not one.is_inside]
        assert outside == ["silhouette"]


def test_the_least_tolerances_are_those_that_the_help_states():
    metrics, equal = declarations().metrics, np.full(5, 0.5)
    assert repeat.tolerance_of(metrics["silhouette"], equal) == 0.004
    assert repeat.tolerance_of(metrics["probe_accuracy"], equal) == 0.02
    assert repeat.tolerance_of(metrics["effective_rank"], equal) == pytest.approx(0.001)


def test_a_nudge_changes_the_last_digit_and_a_training_amplifies_it():
    settings = {"dataset": str(tiny.tiny()), "method": "infonce", "iterations": 200, "evaluation_frames": 100}
    plain, again, nudged = (repeat.trained(settings, nudge=nudge)[0] for nudge in (0, 0, 1))
    assert plain["final_loss"] == again["final_loss"] != nudged["final_loss"]
    assert nudged["final_loss"] == pytest.approx(plain["final_loss"], rel=1e-2)
    assert plain["data_hash"] == nudged["data_hash"] and nudged["status"] == "ok"


def test_metrics_that_the_study_did_not_measure_are_not_compared(row):
    """With --metrics goals, a row has the goals alone; a repeated training has everything."""
    settings = dataclasses.replace(row.settings, metrics="goals")
    few = dataclasses.replace(row, settings=settings, values=row.values | {"nmi": None, "ari": None})
    assert not {"nmi", "ari"} & {one.metric for one in repeat.compare(few, [row.values])}
    all_ = dataclasses.replace(row, values=row.values | {"nmi": None})
    assert [one.metric for one in repeat.compare(all_, [row.values]) if not one.is_inside] == ["nmi"]


def test_a_description_that_is_elsewhere_now_is_asked_for(tmp_path):
    folder = tmp_path / "gone"
    shutil.copytree(GATES, folder)
    text = (folder / "study.toml").read_text().replace('dataset = "sleepeeg-sim"', 'dataset = "gone/my.toml"')
    (folder / "study.toml").write_text(text)
    ran = here(str(folder), "emargin-0003", "0", module="study.repeat")
    assert_one_line(ran, "described in gone/my.toml", "say by --dataset")


def test_the_report_names_what_is_outside_and_where_the_row_was_written(row):
    again = row.values | {"silhouette": -1.0, "data_hash": "other"}
    text = "\n".join(
        repeat.shown(row, again, repeat.compare(row, trainings(again)), repeat.same_place(row, again))
    )
    split = json.loads((GATES / "manifest.json").read_text())["split"]
    assert repeat.other_split(row, split) == []
    other = [split[0], split[1].replace("validation: ", "validation: 1"), *split[2:]]
    assert repeat.other_split(row, other) == [f"  there: {split[1]}", f"  here: {other[1]}"]
    assert "outside their tolerance: silhouette" in text and "hash other here" in text
    assert (
        "version 1 there" in text
        and json.loads((GATES / "manifest.json").read_text())["schema_version"] == "1"
    )
