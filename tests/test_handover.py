"""`analysis` reads what `study` writes: each column has a kind; methods and hyper-parameters have titles."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import analysis
from analysis import pareto
from analysis.tables import per_trial, settings_text
from emargin_train.evaluation.metrics import METRICS
from emargin_train.hyperparameters import all_hyperparameters
from emargin_train.methods import METHODS
from study.schema import schema

GOALS = ("nmi", "silhouette")


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """One row for each method in the schema of the program, with both goals."""
    described = schema(GOALS)
    rows = []
    for i, (name, method) in enumerate(METHODS.items()):
        role = "searched" if method.role == "method" else "reference"
        row = {"trial": f"{name}-0000", "seed": 0, "split_seed": 0, "dataset": "sleepeeg-sim", "method": name}
        row |= {
            "role": role,
            "status": "ok",
            "nmi": 0.1 * i / len(METHODS),
            "silhouette": 0.5,
            "snr_db": 30.0,
        }
        if "margin" in schema_of(name):
            row |= {
                "margin": 1.0 + i,
                "threshold": 0.4,
                "dissimilar_share": 0.1,
                "gate_given_as": "threshold",
            }
        rows.append(row)
    rows[0]["gate"] = "random"
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in described]
    pq.write_table(pa.Table.from_arrays(columns, schema=described), tmp_path / "results.parquet")
    return tmp_path


def schema_of(method: str) -> set[str]:
    from emargin_train.hyperparameters import table

    return set(table(method))


def test_every_column_is_known(exported: Path) -> None:
    study = analysis.load(exported)
    assert study.schema.unknown == () and study.absent == ()
    assert set(study.metrics) == set(METRICS)
    assert set(study.hyperparameters) == set(all_hyperparameters())
    assert tuple(metric.name for metric in pareto.goals(study)) == GOALS


def test_methods_and_hyperparameters_keep_their_words(exported: Path) -> None:
    study = analysis.load(exported)
    assert list(study.methods) == list(METHODS)
    for name, method in METHODS.items():
        about = study.methods[name]
        assert (about.title, about.role) == (method.title, method.role)
        assert set(about.hyperparameters) == schema_of(name)
    for name, one in all_hyperparameters().items():
        about = study.hyperparameters[name]
        assert (about.title, about.scale, about.role, about.default) == (
            one.title,
            one.scale,
            one.role,
            one.default,
        )
        assert about.controls == tuple(one.controls)


def test_settings_and_controls_follow_from_the_file(exported: Path) -> None:
    study = analysis.load(exported)
    table = per_trial(study, GOALS)
    text = settings_text(study, table)
    assert text[table["method"] == "raw"].item() == ""
    assert any(words.startswith("margin ") for words in text)
    assert not any("dissimilar" in words for words in text)  # it follows from the threshold
    assert pareto.controls(study, table).sum() == 1
