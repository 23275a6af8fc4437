"""A hyper-parameter that is true or false: the same value from the flag to the report."""

import argparse
import tomllib
from dataclasses import dataclass

import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomli_w

import study.schema
from analysis import importance, tables
from emargin_train.errors import UserError
from emargin_train.flags import add_flags, default_note, read_flags
from emargin_train.hyperparameters import all_hyperparameters
from emargin_train.settings import Settings, declared, hyperparameter
from study import results, space
from tests.study.tracking.views import record

GOALS = ("silhouette", "nmi")


@dataclass(frozen=True, kw_only=True)
class Own(Settings, prefix="own"):
    scaled: bool = hyperparameter(True, "The views are scaled.", controls=(False,))


SCALED = declared(Own)["own.scaled"]


def given(*words: str) -> Own:
    parser = argparse.ArgumentParser()
    add_flags(parser, [SCALED])
    return Own.from_flat(read_flags(parser.parse_args(words), [SCALED]))


def test_the_flag_takes_a_value():
    assert given().scaled is True
    assert given("--own.scaled", "false").scaled is False and given("--own.scaled=True").scaled is True
    assert default_note(SCALED) == "(default true)"
    with pytest.raises(UserError, match="own.scaled is 'no': give true or false"):
        given("--own.scaled", "no")


@pytest.mark.parametrize("value", [True, False])
def test_its_text_is_read_as_the_same_value(value):
    assert SCALED.read(SCALED.text(value)) is value
    assert SCALED.read(str(value)) is value


def test_both_values_are_searched_as_categories_and_survive_toml():
    domain = space.parse(SCALED, "true,false")
    text = tomllib.loads(tomli_w.dumps({"own.scaled": str(domain)}))["own.scaled"]
    assert text == "true,false" and space.parse(SCALED, text) == domain == space.Choice((True, False))
    kinds = space.distributions({"own.scaled": domain})
    assert kinds == {"own.scaled": optuna.distributions.CategoricalDistribution((True, False))}
    search = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = {space.suggest(search.ask(), {"own.scaled": domain})["own.scaled"] for _ in range(20)}
    assert found == {True, False}
    with pytest.raises(UserError, match="is not a range"):
        space.parse(SCALED, "false:true")


def test_parquet_keeps_truths_and_analysis_shows_words(tmp_path, monkeypatch):
    known = all_hyperparameters() | {"own.scaled": SCALED}
    monkeypatch.setattr(study.schema, "all_hyperparameters", lambda: known)
    made = []
    for number, value in enumerate([True, False, None, False]):
        trial = f"emargin-000{number}"
        item = record(seed=0, role="searched", dataset="tiny", trial=trial)
        item["row"] |= {"trial": trial, "silhouette": 0.5 + number / 10, "own.scaled": value}
        made.append(item)
    path = results.export(tmp_path, made, GOALS)
    column = pq.read_table(path)["own.scaled"]
    assert column.type == pa.bool_() and column.to_pylist() == [True, False, None, False]

    loaded = tables.load(tmp_path)
    rows = loaded.rows
    assert rows["own.scaled"].where(rows["own.scaled"].notna(), None).tolist() == [
        "true",
        "false",
        None,
        "false",
    ]
    about = loaded.hyperparameters["own.scaled"]
    assert (about.scale, about.default, about.controls) == ("category", "true", ("false",))
    assert "own.scaled" in tables.varying(loaded, rows)
    assert "scaled true" in tables.settings_text(loaded, rows, ["own.scaled"])[0]
    assert tables.command(loaded, rows.iloc[1]).endswith("--own.scaled=false") or (
        "--own.scaled=false " in tables.command(loaded, rows.iloc[1])
    )
    known_rows = rows[rows["own.scaled"].notna()]
    metric = loaded.metric("silhouette")
    (trial, *_) = importance._as_trials(loaded, known_rows, ["own.scaled"], metric)
    assert trial.distributions["own.scaled"].choices == ("false", "true")
