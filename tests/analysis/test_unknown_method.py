"""A method and a hyper-parameter that `analysis` does not know appear in every chart with their titles."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis import (
    charts,
    compare,
    embeddings,
    geometry,
    importance,
    pareto,
    report,
    robustness,
    semi,
    slices,
)
from analysis.sections import Section
from analysis.tables import Study, command, per_trial, settings_text
from tests.analysis import synthetic

NAME, TITLE = "vicreg", "VICReg"
WEIGHT, WEIGHT_TITLE = "vicreg.variance_weight", "Variance weight"
METHODS = {"infonce": synthetic.METHODS["infonce"], NAME: (TITLE, "method")} | synthetic.METHODS
HYPERPARAMETERS = synthetic.HYPERPARAMETERS | {
    WEIGHT: (WEIGHT_TITLE, "log", 0.0, synthetic.INF, 25.0, "scientific", [NAME]),
    "label_share": (*synthetic.HYPERPARAMETERS["label_share"][:-1], ["emargin-semi", "vicreg-semi"]),
}


def rows_of_vicreg(trials: int = 14, seeds: int = 3) -> pd.DataFrame:
    """Trials searched over the variance weight: more weight, higher Silhouette and lower accuracy."""
    rng = np.random.default_rng(3)
    settings = []
    for i in range(trials):
        weight = float(10 ** rng.uniform(-1, 2))
        row = synthetic.setting("infonce", temperature=0.1) | {"method": NAME, "role": "searched"}
        rate = float(10 ** rng.uniform(-4, -2))
        settings.append((f"{NAME}-{i:04d}", row | {WEIGHT: weight, "learning_rate": rate}))
    rows = synthetic.expand(
        [(trial, row | {"method": "infonce"}) for trial, row in settings],
        seeds=seeds,
        diverged=0,
        failed=0,
        rng=rng,
    ).assign(method=NAME, temperature=None)
    strength = np.log10(rows[WEIGHT].astype(float)) / 10
    rows["silhouette"] += strength
    rows["probe_balanced_accuracy"] -= strength
    return rows


def together(*tables: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table.dropna(axis="columns", how="all") for table in tables], ignore_index=True)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    rows = together(rows_of_vicreg(), synthetic.rows(trials=4, baseline_trials=2, diverged=0, failed=0))
    folder = tmp_path_factory.mktemp("runs") / "vicreg"
    synthetic.write(folder, rows, methods=METHODS, hyperparameters=HYPERPARAMETERS)
    synthetic.write_embeddings(folder, f"{NAME}-0000", 0, n=60)
    synthetic.write_embeddings(folder, "infonce-0000", 0, n=60)
    return analysis.load(folder)


def data_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for rows in spec.get("datasets", {}).values() for row in rows]


def colours(spec: Any) -> Iterator[dict[str, Any]]:
    """Every colour or shape by method within a spec that has a legend of methods."""
    if isinstance(spec, dict):
        if spec.get("field") == "method" and "values" in (spec.get("legend") or {}):
            yield spec
        for value in spec.values():
            yield from colours(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from colours(value)


@pytest.fixture(scope="module")
def sections(study: Study) -> dict[str, Section]:
    pytest.importorskip("optuna", reason="optuna is not installed")
    made = {
        "pareto": pareto.section(study),
        "geometry": geometry.section(study),
        "settings": slices.section(study),
        "importance": importance.section(study),
        "embeddings": embeddings.section(study),
        "compare": compare.compared(study, arms=(NAME, "infonce")),
    }
    return {name: section for name, section in made.items() if section is not None}


def test_every_chart_draws_it_with_a_colour_and_a_legend_entry(sections: dict[str, Section]) -> None:
    assert len(sections) == 6
    checked = 0
    for section in sections.values():
        for figure in section.figures:
            for chart in figure.charts.values():
                spec = chart.to_dict()
                drawn = {row["method"] for row in data_of(spec) if row.get("role") not in (None, "reference")}
                for colour in colours(spec):
                    shown = colour["legend"]["values"]
                    assert set(shown) <= set(colour["scale"]["domain"])
                    assert drawn == set(shown), figure.name
                    checked += TITLE in drawn
    assert checked >= 6


def test_colours_are_one_for_each_method_and_follow_the_display_order(study: Study) -> None:
    names = [name for name in METHODS if name in set(study.rows["method"])]
    colour = charts.method_colour(study, names).to_dict()
    trained = [METHODS[name][0] for name in names if METHODS[name][1] == "method"]
    assert colour["scale"]["domain"] == trained and trained[:2] == ["InfoNCE", TITLE]
    for name in ("light", "dark"):
        palette = charts.theme(name)["range"]["category"]
        assert len(set(palette)) == len(palette) >= 12


def test_its_hyperparameter_has_a_title_a_scale_and_charts(
    study: Study, sections: dict[str, Section]
) -> None:
    section = sections["settings"]
    figure = next(figure for figure in section.figures if WEIGHT_TITLE in figure.title)
    assert re.fullmatch(r"[\w-]+", figure.name)
    spec = next(iter(figure.charts.values())).to_dict()
    scales = [layer["encoding"]["x"]["scale"] for layer in spec["layer"]]
    assert all(scale["type"] == "log" for scale in scales)
    assert all(row["at"] > 0 for row in data_of(spec))
    assert any("rises with the variance weight of VICReg" in text for text in section.verdicts)
    table = per_trial(study, ["silhouette"])
    text = settings_text(study, table)[table["trial"] == f"{NAME}-0000"].iloc[0]
    assert "variance weight " in text and "learning rate " in text
    line = command(study, table.set_index("trial").loc[f"{NAME}-0000"])
    assert "--method vicreg" in line and "--vicreg.variance-weight=" in line


def test_importance_finds_its_hyperparameter(sections: dict[str, Section]) -> None:
    section = sections["importance"]
    assert any("of VICReg" in text and "variance weight" in text for text in section.verdicts)
    panels = section.figures[1].charts.values()
    assert all("variance weight" in {row["axis"] for row in data_of(chart.to_dict())} for chart in panels)


def test_a_gate_of_its_own_is_judged(tmp_path: Path) -> None:
    rows = synthetic.grid(snrs=(0.0, 10.0), seeds=3, baseline=False)
    rows.loc[rows["method"] == "emargin", "method"] = NAME
    made = synthetic.write(tmp_path / "a", rows, methods=METHODS, hyperparameters=HYPERPARAMETERS)
    section = robustness.section(analysis.load(made))
    assert section is not None and "sleepeeg-sim, VICReg: " in section.verdicts[0]
    for chart in section.figures[0].charts.values():
        assert any(TITLE in str(row.get("name")) for row in data_of(chart.to_dict()))


def test_the_report_names_it(study: Study) -> None:
    page = report.build(study.folder).read_text(encoding="utf-8")
    header = page.split("<header>")[1].split("</header>")[0]
    assert TITLE in header and "variance weight" in header and NAME + "<" not in header
    specs = re.findall(r'<script type="application/json" id="([\w-]+)-spec">(.*?)</script>', page, flags=re.S)
    drawn = {name for name, text in specs if TITLE in json.dumps(json.loads(text), ensure_ascii=False)}
    assert {"pareto", "hypervolume", "settings-vicreg-variance-weight-1"} <= drawn


def test_a_semi_supervised_method_is_known_by_its_labels(tmp_path: Path) -> None:
    """Its end without labels is the method that reads everything else that it reads."""
    plain = rows_of_vicreg(trials=2, seeds=3)
    labelled = plain.assign(
        method="vicreg-semi", trial="semi-" + plain["trial"], label_share=0.1, supervised_weight=1.0
    )
    labelled["probe_balanced_accuracy"] += 0.2
    methods = METHODS | {"vicreg-semi": ("VICReg with labels", "method")}
    declared = HYPERPARAMETERS | {WEIGHT: (*HYPERPARAMETERS[WEIGHT][:-1], [NAME, "vicreg-semi"])}
    rows = together(plain, labelled, synthetic.rows(trials=0, baseline_trials=2, diverged=0, failed=0))
    made = synthetic.write(tmp_path / "a", rows, methods=methods, hyperparameters=declared)
    study = analysis.load(made)
    assert semi.labelled(study) == ["vicreg-semi"] and semi.plain(study, "vicreg-semi") == NAME
    section = semi.section(study)
    assert section is not None
    against = next(text for text in section.verdicts if text.startswith("Against VICReg,"))
    assert "+0.2" in against
    ends = section.figures[1].charts["sleepeeg-sim"].to_dict()
    assert {"VICReg with labels", TITLE} <= {row["method"] for row in data_of(ends)}
