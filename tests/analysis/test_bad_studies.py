"""Studies that show little: the report says so, draws no empty chart and escapes the study's texts."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import report
from tests.analysis import synthetic

METRICS = list(synthetic.METRICS)


def untrained(rows: pd.DataFrame) -> pd.Series:
    return rows["method"].isin(list(synthetic.TRUTH))


def diverged(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows[~untrained(rows)].assign(status="diverged")
    rows[METRICS] = None
    return rows


def nulls(rows: pd.DataFrame) -> pd.DataFrame:
    kept = ("study", "trial", "seed", "dataset", "method", "status")
    return rows.assign(**{name: None for name in rows if name not in kept})


CASES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "one row": (
        lambda r: r[(r["trial"] == "emargin-0000") & (r["seed"] == 0)],
        "at most 1 seed",
    ),
    "one trial": (lambda r: r[r["trial"] == "emargin-0000"], "1 trial "),
    "one seed": (lambda r: r[r["seed"] == 0], "no interval can be given"),
    "all diverged": (diverged, "All 12 trainings of eMargin diverged"),
    "nulls": (nulls, "there is no front to draw"),
    "references alone": (lambda r: r[untrained(r)], "so there is no best trial"),
    "baseline alone": (lambda r: r[r["method"] == "infonce"], "InfoNCE, on sleepeeg-sim (simulated)"),
    "columns missing": (
        lambda r: r[
            ["trial", "seed", "dataset", "method", "status", "silhouette", "probe_balanced_accuracy"]
        ],
        "results.parquet lacks role, split",
    ),
    "no variation": (lambda r: r.assign(silhouette=0.5, probe_balanced_accuracy=0.5), "0.500"),
}


def specs(page: str) -> list[dict[str, Any]]:
    """The charts within a page."""
    found = re.findall(r'<script type="application/json" id="[\w-]+-spec">(.*?)</script>', page, flags=re.S)
    return [json.loads(text) for text in found]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    rows = synthetic.rows(trials=4, baseline_trials=2, diverged=0, failed=0)
    folder = tmp_path_factory.mktemp("runs")
    return {
        name: report.build(synthetic.write(folder / name.replace(" ", "-"), change(rows)))
        for name, (change, _) in CASES.items()
    }


@pytest.mark.parametrize("case", CASES)
def test_report_says_what_cannot_be_said(pages: dict[str, Path], case: str) -> None:
    page = pages[case].read_text(encoding="utf-8")
    assert CASES[case][1] in page
    assert not re.search(r">\s*(nan|None|inf|NaN)\s*<", page)
    for spec in specs(page):
        assert spec["datasets"] and all(spec["datasets"].values())  # no chart without rows


@pytest.mark.browser
@pytest.mark.parametrize("case", CASES)
def test_no_page_complains(pages: dict[str, Path], chromium: Any, case: str) -> None:
    """Vega warns in the console of layers without anything to draw."""
    page = chromium.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(pages[case].as_uri())
    page.wait_for_function("document.documentElement.dataset.drawn === 'all'")
    page.close()
    assert said == []


def test_names_from_a_study_are_text(tmp_path: Path) -> None:
    """Whatever a study is called, and whatever its errors say, is no markup."""
    rows = synthetic.rows(trials=4, baseline_trials=2, diverged=0, failed=0.3)
    bad = "</script><img src=x onerror=alert(1)>"
    rows = rows.assign(study=bad, trial=bad + rows["trial"])
    rows.loc[rows["status"] == "failed", "error"] = bad
    page = report.build(synthetic.write(tmp_path / "a", rows)).read_text(encoding="utf-8")
    assert "<img src=x" not in page and "&lt;img src=x" in page


@pytest.mark.slow
def test_hundred_thousand_rows(tmp_path: Path) -> None:
    one = synthetic.rows(trials=330, baseline_trials=170, seeds=4, references=False)
    many = pd.concat([one.assign(trial=one["trial"] + f"-{i}") for i in range(50)])
    assert len(many) == 100_000
    path = report.build(synthetic.write(tmp_path / "many", many))
    assert path.stat().st_size < 6e6
    assert "beside this page holds all 25,000" in path.read_text(encoding="utf-8")
    assert "Charts draw 1,200 of 25,000 trials" in path.read_text(encoding="utf-8")
    assert len(pd.read_csv(path.parent / "trials.csv")) == 25_000
