"""The report's first sentences say what its rows say: each case plants one answer."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.endings import unfinished
from analysis.headlines import Headline, headlines
from analysis.summary import answers_html, best_html, header_html, headline, lead
from analysis.tables import Study
from tests.analysis import synthetic

SEEDS = 3
ACCURACY, TEST_ACCURACY = "probe_balanced_accuracy", "test_probe_balanced_accuracy"
SUBJECTS = {"sleepeeg-sim": {"0": {"train": ["s01", "s02"], "validation": ["s03"], "test": ["s04", "s05"]}}}


def planted(rows: pd.DataFrame, values: dict[str, float], spread: float = 0.0) -> pd.DataFrame:
    """The rows with these accuracies by method, validation 0.01 above test; `spread` is from seed to seed."""
    at = rows["seed"].map({0: -1.0, 1: 0.0, 2: 1.0}) * spread
    trained = ~rows["method"].isin(list(synthetic.TRUTH))
    noise = at.where(trained, 0.0)
    rows = rows.assign(**{TEST_ACCURACY: rows["method"].map(values) + noise})
    return rows.assign(**{ACCURACY: rows[TEST_ACCURACY] + 0.01})


def study_of(folder: Path, rows: pd.DataFrame, **manifest: Any) -> Study:
    study = analysis.load(synthetic.write(folder, rows))
    study.manifest.update(manifest)
    return study


def accuracy(study: Study) -> Headline:
    (found,) = [one for one in headlines(study) if one.metric.name == ACCURACY]
    return found


@pytest.fixture
def rows() -> pd.DataFrame:
    return synthetic.rows(trials=4, baseline_trials=2, diverged=0, failed=0, seeds=SEEDS)


LOW = {"raw": 0.2, "log-raw": 0.3, "random": 0.1, "supervised": 0.95}


@pytest.mark.parametrize(
    "values, spread, verdict, words",
    [
        (
            {"emargin": 0.5, "infonce": 0.4, "pca": 0.7},
            0.01,
            "loses",
            "the best reference, PCA of spectra, beats the best",
        ),
        (
            {"emargin": 0.7, "infonce": 0.4, "pca": 0.5},
            0.01,
            "beats",
            "eMargin beats the best reference, PCA",
        ),
        (
            {"emargin": 0.4, "infonce": 0.7, "pca": 0.5},
            0.01,
            "beats",
            "InfoNCE beats the best reference, PCA",
        ),
        (
            {"emargin": 0.52, "infonce": 0.4, "pca": 0.5},
            0.03,
            "tie",
            "eMargin and the best reference, PCA of spectra, cannot be told apart",
        ),
        (
            {"emargin": 0.5, "infonce": 0.4, "pca": 0.5},
            0.0,
            "tie",
            "eMargin equals the best reference, PCA",
        ),
        ({"emargin": 0.995, "infonce": 0.4, "pca": 0.999}, 0.0, "ceiling", "are at the ceiling"),
    ],
)
def test_the_planted_answer_is_the_headline(
    tmp_path: Path, rows: pd.DataFrame, values: dict[str, float], spread: float, verdict: str, words: str
) -> None:
    rows = planted(rows, LOW | values, spread)
    found = accuracy(study_of(tmp_path / "a", rows, subjects=SUBJECTS))
    assert (found.verdict, found.column) == (verdict, TEST_ACCURACY)
    assert words in found.claim and "upervised" not in found.claim  # it sees all labels: no reference to beat
    assert found.details.startswith("On 2 test subjects, ")


@pytest.mark.parametrize("seed", range(5))
def test_its_numbers_are_those_of_the_table(tmp_path: Path, seed: int) -> None:
    """Means, difference and interval again, from the rows alone; validation chooses both sides."""
    rows = synthetic.rows(trials=8, baseline_trials=3, diverged=0.1, failed=0.05, seeds=4, seed=seed)
    study = study_of(tmp_path / "a", rows)
    trained = ~rows["method"].isin(list(synthetic.TRUTH))
    complete = rows.groupby("trial")["status"].transform(lambda status: (status == "ok").all())
    means = rows[complete].groupby("trial")[ACCURACY].mean()
    references = rows.loc[rows["method"].isin(["raw", "log-raw", "pca", "random"]), "trial"].unique()
    method = means[means.index.isin(rows.loc[trained, "trial"])].idxmax()
    reference = means[means.index.isin(references)].idxmax()
    found = accuracy(study)
    assert (found.method, found.reference) == (method, reference)
    a, b = (rows[rows["trial"] == trial].set_index("seed")[TEST_ACCURACY] for trial in (method, reference))
    gap = (a - (b if len(b) > 1 else b.iloc[0])).to_numpy()
    half = 3.182446305284263 * gap.std(ddof=1) / 2  # t quantile of 3 degrees of freedom; root of 4
    shown = [float(text) for text in re.findall(r"[+-]?\d\.\d{3}", found.details.split(" The next")[0])]
    assert {round(float(x), 3) for x in (a.mean(), b.mean(), gap.mean(), gap.mean() - half)} <= set(shown)
    expected = "tie" if abs(gap.mean()) <= half else "beats" if gap.mean() > 0 else "loses"
    assert found.verdict == expected


def test_a_second_method_that_is_as_good_is_named(tmp_path: Path, rows: pd.DataFrame) -> None:
    even = planted(rows, LOW | {"emargin": 0.7, "infonce": 0.7, "pca": 0.2}, 0.01)
    details = accuracy(study_of(tmp_path / "a", even)).details
    assert "The next method, InfoNCE, has 0.700: the same." in details


def test_a_gate_that_never_fires_stands_beside_the_best_threshold(tmp_path: Path, rows: pd.DataFrame) -> None:
    rows = planted(rows, LOW | {"emargin": 0.7, "infonce": 0.4, "pca": 0.5}, 0.01)
    margin = rows["method"] == "emargin"
    for share, words in (
        (0.0, "never fires"),
        (0.0004, "fires at under 0.1% of steps"),
        (1.0, "at every step"),
    ):
        changed = rows.assign(dissimilar_share=rows["dissimilar_share"].where(~margin, share))
        study = study_of(tmp_path / words[:5], changed)
        found = accuracy(study)
        few = "no frame" if share == 0 else "hardly any frame"
        effect = "it does not choose between steps" if share == 1 else f"{few} is handled by the margin"
        assert f"{words}, so that {effect}." in found.details
        assert "The gate of eMargin at a threshold of 0." in found.details
        mark = "(all steps dissimilar)" if share == 1 else "(the gate never fires)"
        assert mark in best_html(study)
    busy = rows.assign(dissimilar_share=rows["dissimilar_share"].where(~margin, 0.3))
    assert "fires" not in accuracy(study_of(tmp_path / "busy", busy)).details


def test_a_method_that_diverged_is_named_with_its_reason(tmp_path: Path, rows: pd.DataFrame) -> None:
    """It is no best one; where all diverged, there is no method at all."""
    rows = planted(rows, LOW | {"emargin": 0.9, "infonce": 0.4, "pca": 0.5}, 0.01)
    margin = rows["method"] == "emargin"
    metrics = list(synthetic.METRICS)
    bad = rows.assign(
        status=rows["status"].where(~margin, "diverged"), diverged_step=np.where(margin, 12.0, np.nan)
    )
    bad.loc[margin, metrics] = None
    study = study_of(tmp_path / "a", bad)
    found = accuracy(study)
    assert found.verdict == "loses" and found.method is not None and found.method.startswith("infonce")
    reason = "All 12 trainings of eMargin diverged: the loss was not finite any more at step 12."
    assert unfinished(study) == [reason]
    header = header_html(study, [])
    assert reason in header and "the best reference, PCA of spectra, beats the best method, InfoNCE" in header
    alone = accuracy(study_of(tmp_path / "b", bad[bad["method"] != "infonce"]))
    assert alone.verdict == "alone" and "no method has a trial that ended well" in alone.claim


def test_the_settings_behind_a_divergence_are_found(tmp_path: Path) -> None:
    rows = synthetic.grid(thresholds=(0.2, 0.6, 0.9), snrs=(0.0,), seeds=2)
    rows = pd.concat([rows.assign(margin=m, trial=rows["trial"] + f"-{m}") for m in (5.0, 100.0)])
    rows["margin"] = rows["margin"].where(rows["method"] == "emargin")
    large = (rows["margin"] == 100).to_numpy()
    rows = rows.assign(
        status=np.where(large, "diverged", "ok"), diverged_step=np.where(large, rows["seed"] + 1, np.nan)
    )
    (said,) = unfinished(study_of(tmp_path / "a", rows))
    assert said == (
        "6 of 12 trainings of eMargin diverged: the loss was not finite any more between steps 1 and 2, in "
        "every training with margin 100."
    )
    coarse = study_of(tmp_path / "b", rows.assign(precision="float32"))
    assert unfinished(coarse) == [f"{said} With --precision float64, the same loss may stay finite."]
    exact = study_of(tmp_path / "c", rows.assign(precision=np.where(large, "float64", "float32")))
    assert "stay finite" not in unfinished(exact)[0]


CHANGES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "one seed": (lambda r: r[r["seed"] == 0], "with too few seeds to be sure"),
    "no reference": (lambda r: r[r["role"] != "reference"], "nothing says whether training helped"),
    "nothing complete": (lambda r: r.assign(status="failed"), "so there is nothing to say"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_it_says_what_cannot_be_said(tmp_path: Path, rows: pd.DataFrame, case: str) -> None:
    change, words = CHANGES[case]
    found = accuracy(study_of(tmp_path / "a", change(rows)))
    assert words in found.claim and np.isnan(found.difference.low)


def test_without_test_subjects_it_says_who_chose(tmp_path: Path, rows: pd.DataFrame) -> None:
    rows = rows.drop(columns=[name for name in rows if name.startswith("test_")])
    study = study_of(tmp_path / "a", rows, subjects=SUBJECTS)
    found = accuracy(study)
    assert found.column == ACCURACY
    assert found.details.startswith("On 1 validation subject, on whom the settings were chosen too, ")
    in_time = study_of(tmp_path / "b", rows.assign(split="time"))
    assert "recordings whose other parts are in training" in accuracy(in_time).details


def test_splits_are_the_unit_and_their_subjects_count_once(tmp_path: Path, rows: pd.DataFrame) -> None:
    """PCA has one value in each split, which stands for all seeds."""
    values = LOW | {"emargin": 0.6, "infonce": 0.4, "pca": 0.5}
    parts = [planted(rows, values, 0.01).assign(split_seed=split) for split in range(4)]
    for split, part in enumerate(parts):
        part[[ACCURACY, TEST_ACCURACY]] += 0.1 * split  # what a split shares cancels
    people = {str(split): {"test": [f"s{split}", "s9"]} for split in range(4)}
    study = study_of(tmp_path / "a", pd.concat(parts), subjects={"sleepeeg-sim": people})
    found = accuracy(study)
    assert found.verdict == "beats" and found.difference.n == 4
    assert found.difference.estimate == pytest.approx(0.1) and found.difference.low == pytest.approx(0.1)
    assert found.details.startswith("On 5 test subjects, ") and "over 4 splits" in found.details


def test_every_dataset_has_its_own_sentence_and_title(tmp_path: Path) -> None:
    rows = synthetic.rows(trials=2, baseline_trials=1, diverged=0, failed=0, datasets=("hapt", "ecg-sim"))
    titles = {"hapt": "HAPT: smartphone at the waist", "ecg-sim": "Simulated ECG: two leads"}
    study = study_of(tmp_path / "a", rows, dataset_titles=titles)
    claims = [one.claim for one in headlines(study)]
    assert len(claims) == 4
    assert [claim.split(",")[0] for claim in claims] == [
        "On HAPT",
        "On HAPT",
        "On Simulated ECG",
        "On Simulated ECG",
    ]
    assert headline(study).endswith("on HAPT and Simulated ECG")
    assert "Data: HAPT: smartphone at the waist; Simulated ECG: two leads." in lead(study)
    assert answers_html(study).count("<li") == 4


def test_recordings_without_labels_are_told(tmp_path: Path, rows: pd.DataFrame) -> None:
    told = "The recordings have no labels"
    assert told in lead(study_of(tmp_path / "plain", rows, classes=[]))
    assert told not in lead(study_of(tmp_path / "labelled", rows, classes=["a", "b"]))
