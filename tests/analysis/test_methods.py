"""Methods beside each other: planted results come out, published figures stay apart, aeon ranks alike."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import analysis
from analysis import methods, published, ranks, report
from analysis.errors import UserError
from analysis.tables import Study
from tests.analysis import synthetic

PLANTED = {"emargin": 0.6, "infonce": 0.5, "ts2vec": 0.4, "tnc": 0.3, "pca": 0.45, "supervised": 0.9}
NAMES = synthetic.METHODS | {"ts2vec": ("TS2Vec", "method"), "tnc": ("TNC", "method")}
METRIC, TEST = "probe_balanced_accuracy", "test_probe_balanced_accuracy"
SETS = ("one", "two", "harth", "four", "five", "six")


def rows_of(datasets: tuple[str, ...], splits: int = 3, seeds: int = 2) -> pd.DataFrame:
    """Every method with two settings on each dataset; the first is the better one on validation alone."""
    made = []
    for i, dataset in enumerate(datasets):
        for method, level in PLANTED.items():
            trained = method not in ("pca", "supervised")
            for number in range(2 if trained else 1):
                base = "infonce" if trained else method
                row = synthetic.setting(base, dataset=dataset) | {
                    "method": method,
                    "temperature": 0.1 * (number + 1),
                }
                row["role"] = "searched" if trained else "reference"
                for split in range(splits):
                    for seed in range(seeds):
                        value = level + 0.02 * i + 0.01 * split + 0.001 * seed
                        here = row | {
                            "trial": f"{dataset}-{method}-{number}",
                            "seed": seed,
                            "split_seed": split,
                        }
                        here |= {METRIC: value + 0.1 - 0.05 * number, TEST: value + 0.001 * number}
                        made.append(here | {"silhouette": 1 - value, "status": "ok", "train_seconds": 2.0})
    return pd.DataFrame(made)


def study_of(folder: Path, rows: pd.DataFrame) -> Study:
    return analysis.load(synthetic.write(folder, rows, methods=NAMES, goals=(METRIC, "silhouette")))


@pytest.fixture
def six(tmp_path: Path) -> Study:
    return study_of(tmp_path / "six", rows_of(SETS))


def test_validation_chooses_and_test_subjects_are_reported(six: Study) -> None:
    made = methods.table(six, methods.chosen_metrics(six, [METRIC]))
    row = made[(made["dataset"] == "two") & (made["method"] == "ts2vec")].iloc[0]
    per_split = 0.4 + 0.02 + 0.01 * np.arange(3) + 0.0005  # mean of both seeds
    assert row["side"] == "test" and row["value"] == pytest.approx(per_split.mean())
    half = 4.302652729749464 * per_split.std(ddof=1) / np.sqrt(3)  # t quantile of 2 degrees: splits, not rows
    assert row["low"] == pytest.approx(per_split.mean() - half)
    assert (row["units"], row["replicates"], row["settings"], row["asked"]) == (3, 6, 2, 12)
    assert row["setting"].endswith("0.1") and row["seconds"] == 2.0


def test_planted_order_is_ranked_and_told_apart(six: Study) -> None:
    metrics = methods.chosen_metrics(six)
    made = methods.table(six, metrics)
    listing, found, said = methods.ranked(made, metrics[0])
    assert list(listing["method"]) == ["eMargin", "InfoNCE", "TS2Vec", "TNC"]
    assert list(listing["rank"]) == [1, 2, 3, 4]
    assert found is not None and found.critical_difference == pytest.approx(
        2.569 * np.sqrt(4 * 5 / 36), abs=1e-3
    )
    assert "eMargin ranks first of 4 methods over 6 datasets" in said
    assert "not told apart from InfoNCE (critical" in said
    with_references, _, _ = methods.ranked(made, metrics[0], references=True)
    assert set(with_references["method"]) == {*listing["method"], "PCA of spectra"}  # the upper bound never


def test_one_dataset_has_no_ranks_and_says_why(tmp_path: Path) -> None:
    study = study_of(tmp_path / "a", rows_of(SETS[:1]))
    section = methods.section(study)
    assert section.verdicts == ("No ranks: there is one dataset, and ranks are averages over datasets.",)
    assert [figure.name for figure in section.figures][:1] == ["methods-probe-balanced-accuracy"]
    assert "methods-ranks" not in [figure.name for figure in section.figures]


def test_few_datasets_cannot_tell_any_two_apart(tmp_path: Path) -> None:
    study = study_of(tmp_path / "a", rows_of(SETS[:2]))
    (metric, *_) = methods.chosen_metrics(study)
    _, found, said = methods.ranked(methods.table(study, [metric]), metric)
    assert found is not None and not found.can_differ and "no two of 4 methods can be told apart" in said


def test_missing_methods_and_null_metrics_are_named(tmp_path: Path) -> None:
    rows = rows_of(SETS[:4])
    rows = rows[~((rows["method"] == "tnc") & (rows["dataset"] == "two"))]
    rows.loc[(rows["method"] == "ts2vec") & (rows["dataset"] == "one"), [METRIC, TEST]] = None
    lost = (rows["method"] == "infonce") & (rows["dataset"] == "four") & (rows["seed"] == 1)
    rows.loc[lost, "status"] = "diverged"
    study = study_of(tmp_path / "a", rows)
    section = methods.section(study)
    assert "two has no value for TNC." in section.notes
    assert any("InfoNCE on four (6 of 12)" in note for note in section.notes)
    assert "InfoNCE, TS2Vec and TNC are left out" in section.verdicts[0]
    assert section.verdicts[0].startswith(
        "No ranks by balanced probe accuracy: 1 method with a value on every"
    )
    shown = section.figures[0].printed
    assert shown is not None and shown.set_index("method").loc["TNC", "two"] == "–"
    for figure in section.figures:
        for chart in figure.charts.values():
            assert all(chart.to_dict()["datasets"].values())


def test_sides_are_never_mixed_within_a_column(tmp_path: Path) -> None:
    rows = rows_of(SETS[:2])
    rows.loc[(rows["method"] == "tnc") & (rows["dataset"] == "one"), TEST] = None
    study = study_of(tmp_path / "a", rows)
    made = methods.table(study, methods.chosen_metrics(study, [METRIC]))
    sides = made.groupby("dataset")["side"].unique()
    assert list(sides["one"]) == ["validation"] and list(sides["two"]) == ["test"]


def test_variants_of_a_method_are_rows_of_their_own(tmp_path: Path) -> None:
    rows = rows_of(SETS[:1])
    other = rows[rows["method"] == "ts2vec"].assign(encoder_variant="published")
    other["trial"] = "published-" + other["trial"]
    other[TEST] += 0.1
    old = rows.assign(encoder_variant=None)  # rows of before the column mean the shared encoder
    study = study_of(tmp_path / "a", pd.concat([old, other]))
    made = methods.table(study, methods.chosen_metrics(study, [METRIC])).set_index("title")
    assert made.loc["TS2Vec (published)", "value"] == pytest.approx(made.loc["TS2Vec", "value"] + 0.1)
    assert made.loc["TS2Vec", "variant"] == "shared" and made.loc["PCA of spectra", "variant"] == "none"


def test_trainings_of_a_stack_share_its_time(tmp_path: Path) -> None:
    rows = rows_of(SETS[:1]).assign(
        train_seconds=12.0, stack_members=lambda r: np.where(r["method"] == "tnc", 6, 1)
    )
    study = study_of(tmp_path / "a", rows)
    cost = methods.table(study, methods.chosen_metrics(study, [METRIC])).set_index("method")["seconds"]
    assert cost["tnc"] == 2 and cost["ts2vec"] == 12


def test_other_data_of_the_same_name_are_refused(tmp_path: Path) -> None:
    rows = rows_of(SETS[:1])
    rows["data_hash"] = np.where(rows["method"] == "tnc", "abc", "def")
    study = study_of(tmp_path / "a", rows)
    with pytest.raises(UserError, match=r"'one' is not the same data everywhere \(data_hash def, abc\)"):
        methods.section(study)


def test_unequal_terms_are_named(tmp_path: Path) -> None:
    rows = rows_of(SETS[:1])
    rows["iterations"] = np.where(rows["method"] == "tnc", 50, 600)
    rows = rows[~((rows["method"] == "emargin") & (rows["temperature"] > 0.15))]
    notes = methods.section(study_of(tmp_path / "a", rows)).notes
    assert any("differ in iterations: eMargin 600" in note and "TNC 50" in note for note in notes)
    assert any("from 1 to 2 complete settings" in note for note in notes)


def test_published_figures_stand_apart(tmp_path: Path) -> None:
    study = study_of(tmp_path / "a", rows_of(SETS[2:5]))
    section = methods.section(study, ["silhouette"])
    (theirs,) = [figure for figure in section.figures if figure.name == "methods-published"]
    row = theirs.table[theirs.table["method"] == "TNC"].iloc[0]
    assert (row["data"], row["published"]) == ("HARTH", 0.0) and row["protocol"].startswith(
        "12 KMeans clusters"
    )
    made = section.figures[0].table
    ours = made[(made["title"] == "TNC") & (made["dataset"] == "harth")]["value"].item()
    assert row["ours"] == pytest.approx(ours) and not theirs.charts
    without = methods.table(study, methods.chosen_metrics(study, ["silhouette"]))
    assert set(without["title"]) == {
        "eMargin",
        "InfoNCE",
        "TS2Vec",
        "TNC",
        "PCA of spectra",
        "supervised encoder",
    }
    assert published.published()[["protocol", "source"]].notna().all(axis=None)
    simulated = study_of(tmp_path / "b", rows_of(SETS[2:3]).assign(dataset="harth-sim"))
    assert "methods-published" not in [f.name for f in methods.section(simulated).figures]  # other data


def test_the_report_and_the_command_line_show_it(six: Study, capsys: pytest.CaptureFixture[str]) -> None:
    methods.main([str(six.folder), "--metrics", METRIC, "--formats", "svg"])
    out = capsys.readouterr().out
    assert "eMargin ranks first" in out and "0.6" in out and "seconds" in out
    assert (six.folder / "report" / "methods-ranks.svg").read_text().startswith("<svg")
    page = report.build(six.folder).read_text(encoding="utf-8")
    assert 'id="methods-title"' in page and "eMargin ranks first of 4 methods over 6 datasets" in page
    with pytest.raises(UserError, match="'silhouete' is not a metric"):
        methods.main([str(six.folder), "--metrics", "silhouete"])


# 5 % quantiles of Nemenyi's test by number of methods (Demšar 2006, table 5 a)
NEMENYI = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}
SCORES = arrays.arrays(
    float, st.tuples(st.integers(2, 8), st.integers(3, 9)), elements=st.integers(0, 5).map(float)
)


@settings(deadline=None, max_examples=50)
@given(SCORES)
def test_ranks_and_groups_are_those_of_aeon_and_of_the_published_table(scores: np.ndarray) -> None:
    """Friedman's test with ties is aeon's; aeon 1.6 takes Nemenyi's quantile of one method too many."""
    stats = pytest.importorskip("aeon.benchmarking.stats", reason="aeon is not installed")
    found = ranks.average_ranks(scores, higher_is_better=True)
    n, k = scores.shape
    if found.friedman_p < 1:
        assert found.friedman_p == pytest.approx(stats.check_friedman(found.ranks))
    order = np.sort(found.average)
    gaps = order[None, :] - order[:, None]
    quantile = found.critical_difference / np.sqrt(k * (k + 1) / (6 * n))
    assert quantile == pytest.approx(NEMENYI[k], abs=1e-3)
    joined = ranks.groups(order, found.critical_difference)
    assert all(gaps[first, last] < found.critical_difference for first, last in joined)
    pairs = {(i, j) for i in range(k) for j in range(i + 1, k) if gaps[i, j] < found.critical_difference}
    assert pairs == {(i, j) for a, b in joined for i in range(a, b + 1) for j in range(i + 1, b + 1)}


def test_lower_is_better_turns_the_ranks() -> None:
    scores = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 2.0]])
    assert list(ranks.average_ranks(scores, higher_is_better=False).average) == [1, 2.25, 2.75]
    assert list(ranks.average_ranks(scores, higher_is_better=True).average) == [3, 1.75, 1.25]
