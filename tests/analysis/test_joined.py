"""Several studies read as one."""

from pathlib import Path

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
