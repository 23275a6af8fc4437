"""Several studies read as one."""

from pathlib import Path

import pandas as pd
import pytest

import analysis
from analysis import report, robustness
from analysis.tables import Study
from tests.analysis import synthetic


@pytest.fixture
def two(tmp_path: Path) -> tuple[Study, Study]:
    """Grids of the same trial names on two datasets."""
    folders = []
    for i, name in enumerate(("sleepeeg-sim", "ecg-sim")):
        rows = synthetic.grid(seeds=3, snrs=(0.0, 10.0), seed=i)
        folders.append(synthetic.write(tmp_path / name, rows.assign(dataset=name, study=name)))
    first, second = (analysis.load(folder) for folder in folders)
    return first, second


def test_rows_add_up_and_trials_stay_apart(two: tuple[Study, Study]) -> None:
    both = analysis.join(two)
    assert len(both.rows) == sum(len(study.rows) for study in two)
    assert both.rows["trial"].nunique() == sum(study.rows["trial"].nunique() for study in two)
    for study in two:
        one = both.rows[both.rows["dataset"] == study.rows["dataset"].iloc[0]]
        assert sorted(one["silhouette"].dropna()) == sorted(study.rows["silhouette"].dropna())
    assert both.metrics.keys() == two[0].metrics.keys()


def test_studies_of_one_name_stay_apart(tmp_path: Path) -> None:
    folders = [synthetic.write(tmp_path / out / "a", synthetic.rows(seed=i)) for i, out in enumerate("xy")]
    studies = [analysis.load(folder) for folder in folders]
    assert studies[0].name == studies[1].name
    both = analysis.join(studies)
    assert both.rows["trial"].nunique() == sum(study.rows["trial"].nunique() for study in studies)


def on_splits(folder: Path, splits: range, **more: object) -> Study:
    rows = synthetic.rows()
    rows = pd.concat(
        rows.assign(split_seed=split, silhouette=rows["silhouette"] - split / 1000) for split in splits
    )
    return analysis.load(synthetic.write(folder, rows.assign(study=folder.name, **more)))


def test_a_setting_with_more_splits_in_a_second_study_is_one_trial(tmp_path: Path) -> None:
    first, more = on_splits(tmp_path / "first", range(2)), on_splits(tmp_path / "more", range(2, 5))
    both = analysis.join([first, more])
    again = [on_splits(tmp_path / f"again-{i}", part) for i, part in enumerate((range(2), range(2, 5)))]
    repeated = analysis.join([first, *again, more]).rows["trial"].nunique()
    assert repeated == 2 * first.rows["trial"].nunique()
    assert both.rows["trial"].nunique() == first.rows["trial"].nunique() == more.rows["trial"].nunique()
    table = analysis.per_trial(both, ["silhouette"]).set_index("trial")
    assert set(table["units"]) == {5}
    for trial, own in both.rows.groupby("trial"):
        told = {part.name: part.rows[part.rows["trial"] == trial.partition("/")[2]] for part in (first, more)}
        expected = pd.concat(told.values())["silhouette"]
        assert trial.startswith("first/")
        assert sorted(own["silhouette"].dropna()) == sorted(expected.dropna())


@pytest.mark.parametrize(
    "splits, more",
    [(range(1, 3), {}), (range(2, 4), {"sequence_length": 7}), (range(2, 4), {"dataset": "other"})],
    ids=["a split in common", "another setting", "another dataset"],
)
def test_what_repeats_or_differs_stays_apart(tmp_path: Path, splits: range, more: dict[str, object]) -> None:
    studies = [on_splits(tmp_path / "first", range(2)), on_splits(tmp_path / "more", splits, **more)]
    both = analysis.join(studies)
    assert both.rows["trial"].nunique() == sum(study.rows["trial"].nunique() for study in studies)


def test_one_study_is_itself(two: tuple[Study, Study]) -> None:
    assert analysis.join(two[:1]) is two[0]


def test_verdicts_are_corrected_over_the_datasets(two: tuple[Study, Study]) -> None:
    metric = two[0].metric("silhouette")
    alone = [robustness.verdicts(robustness.grids(study), metric, 0.1) for study in two]
    both = robustness.verdicts(robustness.grids(analysis.join(two)), metric, 0.1)
    assert set(both["dataset"]) == {"sleepeeg-sim", "ecg-sim"}
    for table in alone:
        name = table["dataset"].iloc[0]
        joint = both[both["dataset"] == name].iloc[0]
        assert joint["range"] == table["range"].iloc[0]
        assert joint["p_sensitive"] >= table["p_sensitive"].iloc[0]


def test_a_report_of_two_studies_names_both(two: tuple[Study, Study]) -> None:
    page = report.build(two[0].folder, two[1].folder).read_text()
    assert "ecg-sim" in page and "sleepeeg-sim" in page
