"""Flags of hyper-parameters: ranges, choices, fixed values, and what is refused."""

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emargin_train.errors import UserError
from emargin_train.hyperparameters import all_hyperparameters, table
from emargin_train.methods import METHODS
from study import space
from study.space import Choice, Range, contains, default_text, distributions, points, suggest

KNOWN = all_hyperparameters()


def parse(name: str, text: str) -> space.Domain:
    return space.parse(KNOWN[name], text)


def test_one_grammar_for_all_hyperparameters():
    assert parse("threshold", "0.2:0.99") == Range(0.2, 0.99)
    assert parse("margin", "0.5:10") == Range(0.5, 10, log=True)
    assert parse("margin", "0:10") == Range(0, 10)  # a logarithm has no zero
    assert parse("snr_db", "20,10,0") == Choice((20.0, 10.0, 0.0))
    assert parse("snr_db", "0:20") == Range(0, 20)
    assert parse("threshold", "-1:0.9") == Range(-1, 0.9)
    assert parse("temperature", "0.1") == 0.1
    assert parse("temperature", "0.1:0.1") == 0.1
    assert parse("gate", "intended,oracle") == Choice(("intended", "oracle"))
    assert parse("batch_size", "4:16") == Range(4, 16, log=True, whole=True)
    assert parse("dilated.depth", "4,8") == Choice((4, 8))


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
        ("neighbours", "1.5", "give 1 or 2"),
        ("neighbours", "1:2", "give one value, or a list"),
        ("gate", "intended:oracle", "give one value, or a list"),
        ("dissimilar_share", "0:2", "from 0 to 1"),
        ("threshold", "", "give one value, a list a,b,c, or a range"),
        ("threshold", "0.2,", "give one value, a list a,b,c, or a range"),
        ("threshold", "0.2:", "give one value, a list a,b,c, or a range"),
        ("batch_size", "4.5", "give a whole number"),
        ("dilated.depth", "-1", "from 0"),
    ],
)
def test_a_bad_flag_names_value_reason_and_remedy(name, text, told):
    with pytest.raises(UserError) as error:
        parse(name, text)
    assert told in str(error.value) and "\n" not in str(error.value)
    flag = f"--{name.replace('_', '-')}"
    assert str(error.value).startswith((flag, name))


@given(st.floats(-1, 1), st.floats(-1, 1), st.integers(0, 2**31))
def test_a_suggestion_stays_in_its_range(a, b, seed):
    low, high = sorted((a, b))
    domain = parse("threshold", f"{low!r}:{high!r}")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    value = suggest(study.ask(), {"threshold": domain})["threshold"]
    assert low <= value <= high and contains(domain, value)


@given(st.integers(1, 64), st.integers(1, 64), st.integers(0, 2**31))
def test_a_range_of_whole_numbers_is_searched_in_whole_numbers(a, b, seed):
    low, high = sorted((a, b))
    domain = parse("batch_size", f"{low}:{high}")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    value = suggest(study.ask(), {"batch_size": domain})["batch_size"]
    assert isinstance(value, int) and low <= value <= high
    assert all(isinstance(point, int) for point in points(domain))


def test_the_points_of_a_range_are_its_ends_and_its_middle():
    assert points(parse("snr_db", "0:20")) == (0, 10, 20)
    assert points(parse("margin", "1:100")) == (1, pytest.approx(10), 100)  # of a logarithmic scale
    assert points(parse("snr_db", "20,5")) == (20, 5)
    assert points(parse("snr_db", "7")) == (7,)


def test_what_a_domain_contains():
    assert contains(parse("margin", "0.5:10"), 10 * (1 + 1e-12)) and not contains(
        parse("margin", "0.5:10"), 10.1
    )
    assert not contains(parse("margin", "0.5:10"), "5") and not contains(parse("margin", "0.5:10"), None)
    assert contains(parse("gate", "intended,oracle"), "oracle")
    assert not contains(parse("gate", "intended,oracle"), "random")
    assert contains(parse("margin", "5"), 5) and not contains(parse("margin", "5"), 6)


@pytest.mark.parametrize("method", METHODS)
def test_defaults_and_default_ranges_are_within_their_domains(method):
    for one in table(method).values():
        if one.default is not None:
            assert space.parse(one, str(one.default)) == one.default
        text = default_text(one, searching=True)
        assert (text is None) == (one.search is None)
        if text is not None:
            domain = space.parse(one, text)
            assert isinstance(domain, Range) and (domain.low, domain.high) == one.search
            assert domain.log == (one.log and domain.low > 0)
        assert default_text(one, searching=False) is None


def test_optuna_knows_each_kind_of_domain():
    kinds = distributions(
        {
            "margin": parse("margin", "0.5:10"),
            "batch_size": parse("batch_size", "4:16"),
            "gate": parse("gate", "intended,oracle"),
            "gamma": parse("gamma", "0.05"),
        }
    )
    assert kinds == {
        "margin": optuna.distributions.FloatDistribution(0.5, 10, log=True),
        "batch_size": optuna.distributions.IntDistribution(4, 16, log=True),
        "gate": optuna.distributions.CategoricalDistribution(("intended", "oracle")),
    }
