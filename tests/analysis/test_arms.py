"""Arms of several studies in one table."""

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.arms import arms, main, markdown
from analysis.statistics import mean_interval
from analysis.tables import load
from tests.analysis import synthetic


@pytest.fixture
def studies(tmp_path):
    gates = synthetic.grid((0.4,), (20.0,), gates=("intended", "oracle"), baseline=False, seeds=3)
    searched = synthetic.rows(trials=2, baseline_trials=1, seeds=1, diverged=0, failed=0)
    return [
        load(synthetic.write(tmp_path / name, table))
        for name, table in (("gates", gates), ("search", searched))
    ]


def test_each_trial_of_each_study_is_one_arm_with_its_interval(studies):
    table = arms(analysis.join(studies), ["silhouette", "effective_rank"])
    assert len(table) == sum(study.rows["trial"].nunique() for study in studies)
    oracle = table[table["gate"] == "oracle"].iloc[0]
    seeds = studies[0].rows.query("gate == 'oracle'")["silhouette"]
    expected = mean_interval(seeds)
    assert np.allclose(
        oracle[["silhouette", "silhouette_low", "silhouette_high"]].astype(float), expected[:3]
    )
    assert oracle["arm"].startswith("emargin (gate oracle")


def test_one_seed_gives_a_mean_without_an_interval_and_null_a_dash(studies):
    table = arms(studies[1], ["silhouette", "pseudo_label_auroc"])
    raw = next(
        line for line in markdown(table, ["silhouette", "pseudo_label_auroc"]).splitlines() if "raw" in line
    )
    assert "[" not in raw and raw.endswith("| – |")


def test_the_command_prints_and_writes_the_table(studies, tmp_path, capsys):
    main(
        [str(study.folder) for study in studies]
        + ["--metrics", "silhouette", "--csv", str(tmp_path / "a.csv")]
    )
    assert "| arm | replicates | ok | silhouette |" in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "a.csv")) == len(arms(analysis.join(studies), ["silhouette"]))
