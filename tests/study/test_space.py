"""Flags of knobs: ranges, choices, fixed values, and what is refused."""

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emargin_train.errors import UserError
from study.space import SPACE, Choice, Range, parse, suggest


def test_one_grammar_for_all_knobs():
    assert parse("threshold", "0.2:0.99") == Range(0.2, 0.99)
    assert parse("margin", "0.5:10") == Range(0.5, 10, log=True)
    assert parse("margin", "0:10") == Range(0, 10)  # a logarithm has no zero
    assert parse("snr_db", "20,10,0") == Choice((20.0, 10.0, 0.0))
    assert parse("threshold", "-1:0.9") == Range(-1, 0.9)
    assert parse("temperature", "0.1") == 0.1
    assert parse("temperature", "0.1:0.1") == 0.1
    assert parse("gate", "intended,oracle") == Choice(("intended", "oracle"))


@pytest.mark.parametrize(
    "name, text, told",
    [
        ("threshold", "0.9:0.2", "give 0.2:0.9"),
        ("threshold", "0.2:1.5", "from -1 to 1"),
        ("temperature", "0:1", "above 0"),
        ("temperature", "nan", "above 0"),
        ("temperature", "0.1:inf", "above 0"),
        ("margin", "-1", "from 0"),
        ("margin", "much", "give a number"),
        ("margin", "1:2:3", "give A:B"),
        ("neighbours", "1.5", "give a whole number"),
        ("neighbours", "1:2", "give one value, or a list"),
        ("dissimilar_share", "0:2", "from 0 to 1"),
        ("threshold", "", "give a number"),
    ],
)
def test_a_bad_flag_names_value_reason_and_remedy(name, text, told):
    with pytest.raises(UserError) as error:
        parse(name, text)
    assert told in str(error.value)
    assert f"--{name.replace('_', '-')}" in str(error.value)


@given(st.floats(-1, 1), st.floats(-1, 1), st.integers(0, 2**31))
def test_a_suggestion_stays_in_its_range(a, b, seed):
    low, high = sorted((a, b))
    dimension = parse("threshold", f"{low!r}:{high!r}")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    value = suggest(study.ask(), {"threshold": dimension})["threshold"]
    assert low <= value <= high


def test_defaults_are_within_their_domains():
    for name, param in SPACE.items():
        if param.default is not None:
            parse(name, param.default)
