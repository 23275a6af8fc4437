"""results.parquet: every column says what it is, and nothing that a record holds is dropped."""

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import tables
from emargin_train.encoders import ENCODERS
from emargin_train.evaluation.metrics import METRICS
from emargin_train.hyperparameters import all_hyperparameters, table
from emargin_train.methods import METHODS
from study import results
from study.schema import KINDS, of_extra, schema
from tests.study.tracking.views import record

GOALS = ("silhouette", "nmi")


def texts(field: pa.Field) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in field.metadata.items()}


def test_every_column_has_a_kind():
    kinds = {field.name: texts(field)["kind"] for field in schema(GOALS)}
    assert set(kinds.values()) == {"identity", "setting", "hyperparameter", "outcome", "metric", "cost"}
    assert {name for name, kind in kinds.items() if kind == "metric"} == set(METRICS)
    assert {name for name, kind in kinds.items() if kind == "hyperparameter"} == set(all_hyperparameters())
    assert len(kinds) == len(schema(GOALS).names)  # no name twice
    assert all(texts(field)["description"] for field in schema(GOALS))


@pytest.mark.parametrize("column", all_hyperparameters())
def test_a_hyperparameter_says_what_is_declared_of_it(column):
    one, field = all_hyperparameters()[column], schema().field(column)
    about = texts(field)
    assert (about["title"], about["description"]) == (one.title, one.help) and one.title and one.help
    assert (about["scale"], about["role"]) == (one.scale, one.role)
    assert json.loads(about["default"]) == one.default and json.loads(about["controls"]) == list(one.controls)
    if one.scale == "category":
        assert not {"low", "high"} & about.keys()
    else:
        assert (float(about["low"]), float(about["high"])) == (one.low, one.high)
    read_by = {name for name in METHODS if any(column in table(name, encoder) for encoder in ENCODERS)}
    trained = {name for name, method in METHODS.items() if method.Training is not None}
    methods = json.loads(about["methods"])
    assert trained <= read_by if methods == ["*"] else set(methods) == read_by
    assert field.type == KINDS[one.kind]


def test_the_table_names_its_methods_and_goals():
    about = {key.decode(): value.decode() for key, value in schema(GOALS).metadata.items()}
    assert about["schema_version"] == "2" and json.loads(about["goals"]) == list(GOALS)
    methods = json.loads(about["methods"])
    assert list(methods) == list(METHODS)
    for name, method in METHODS.items():
        assert methods[name] == {
            "title": method.title,
            "role": method.role,
            "description": method.description,
            "hyperparameters": list(table(name)),
            "encoder_variant": method.encoder_variant,
            "variant_of": method.variant_of,
        }


def exported(folder, *rows):
    """Of records whose rows have these values beside the usual ones."""
    made = [
        record(seed=seed, role="searched", dataset="tiny", trial="emargin-0000") for seed in range(len(rows))
    ]
    for item, row in zip(made, rows, strict=True):
        item["row"] |= {"trial": item["trial"], "silhouette": 0.5} | row
    return pq.read_table(results.export(folder, made, GOALS))


def test_a_value_without_a_column_gets_one_and_nothing_is_dropped(tmp_path):
    rows = [
        {
            "warmth": 1.5,
            "word": "a",
            "mixed": 1,
            "flag": True,
            "listed": [1, 2],
            "far": math.inf,
            "gone": None,
        },
        {"warmth": 2, "word": None, "mixed": "b", "flag": False, "far": 1.0},
        {},
    ]
    made = exported(tmp_path, *rows)
    extra = [name for name in made.column_names if name not in schema(GOALS).names]
    assert extra == ["warmth", "word", "mixed", "flag", "listed", "far", "gone"]
    assert {texts(made.schema.field(name))["kind"] for name in extra} == {"unknown"}
    found = {name: made[name].to_pylist() for name in extra}
    assert found == {
        "warmth": [1.5, 2.0, None],
        "word": ["a", None, None],
        "mixed": ["1", "b", None],
        "flag": ["True", "False", None],
        "listed": ["[1, 2]", None, None],
        "far": ["inf", "1.0", None],
        "gone": [None, None, None],
    }
    assert made.schema.metadata == schema(GOALS).metadata and made.num_rows == 3
    assert made["silhouette"].to_pylist() == [0.5] * 3
    study = tables.load(tmp_path)  # analysis reads it, and knows what it does not know
    assert set(study.schema.unknown) == set(extra) and study.rows["warmth"].tolist()[:2] == [1.5, 2.0]


def test_every_name_of_a_row_is_a_column(tmp_path):
    """Whatever names: none is lost between record and table."""
    names = [f"x{i}" for i in range(50)] + ["a.b", "a b", "ä"]
    made = exported(tmp_path, dict.fromkeys(names, 0.25))
    assert set(names) <= set(made.column_names)


@pytest.mark.parametrize(
    "values, kind",
    [
        ([1, 2.5, None], pa.float64()),
        ([True, False], pa.string()),
        ([1, "a"], pa.string()),
        ([math.nan], pa.string()),
        ([None], pa.string()),
        ([], pa.string()),
    ],
)
def test_the_type_of_a_column_that_is_not_known(values, kind):
    assert of_extra(values) == kind


@pytest.mark.parametrize("given", ["threshold", "dissimilar_share"])
def test_analysis_knows_which_of_threshold_and_share_was_given(tmp_path, given):
    """It never guesses: a share of few digits and a threshold of many, and the other way round."""
    values = [
        {"method": "emargin", "threshold": 0.61803398875, "dissimilar_share": 0.5, "gate_given_as": given},
        {"method": "emargin", "threshold": 0.5, "dissimilar_share": 0.38196601125, "gate_given_as": given},
    ]
    for number, row in enumerate(values):
        row["trial"] = f"emargin-000{number}"
    exported(tmp_path, *values)
    study = tables.load(tmp_path)
    trials = tables.per_trial(study, ["silhouette"])
    assert tables.varying(study, trials) == [given]
    assert set(trials["gate_given_as"]) == {given}


def test_a_missing_number_is_null_and_never_zero(tmp_path):
    made = exported(tmp_path, {"nmi": None, "ari": math.nan, "threshold": None}, {"nmi": 0.0})
    assert made["nmi"].to_pylist() == [None, 0.0]
    assert made["ari"].to_pylist() == [None, None] and made["threshold"].to_pylist() == [None, 0.4]
