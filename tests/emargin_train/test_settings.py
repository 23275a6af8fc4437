"""The declaration of a setting decides which values are allowed, the error for others, and its names."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emargin_train.errors import UserError
from emargin_train.settings import (
    Setting,
    Settings,
    declared,
    hyperparameter,
    hyperparameters,
    redefined,
    setting,
)


@dataclass(frozen=True, kw_only=True)
class Common(Settings):
    rate: float = hyperparameter(
        0.5, "The rate.", low=0, above=True, high=1, search=(0.1, 0.9), why="it is a rate"
    )
    steps: int = hyperparameter(3, "The number of steps.", low=1, log=True, why="it counts steps")
    kind: str = hyperparameter("soft", "The kind.", choices=("soft", "hard", "none"))
    sign: int = hyperparameter(-1, "The sign.", choices=(-1, 1), why="it is a sign")
    folder: str | None = setting(None, "The folder.", title="Folder of the files")
    fast: bool = setting(False, "It is fast.")
    internal: int = 7


@dataclass(frozen=True, kw_only=True)
class Own(Common, prefix="own"):
    depth: int | None = hyperparameter(2, "The depth.", low=0, high=9, why="it counts blocks")
    share: float | None = hyperparameter(
        None, "The share; it is given instead of a depth.", low=0, high=1, instead_of="depth"
    )


@dataclass(frozen=True, kw_only=True)
class Narrower(Common):
    rate: float = redefined(Common, "rate", 0.2, high=0.3, help="The low rate.", log=True)


def refused(one: Setting, value: Any) -> str:
    with pytest.raises(UserError) as caught:
        one.checked(value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "column, value, message",
    [
        ("rate", 0, "rate is 0, but it is a rate: give a value above 0 to 1"),
        ("rate", 1.0000001, "rate is 1.0000001, but it is a rate: give a value above 0 to 1"),
        ("rate", math.nan, "rate is nan, but it is a rate: give a value above 0 to 1"),
        ("rate", "0.5", "rate is '0.5', but it is a rate: give a number"),
        ("rate", True, "rate is True, but it is a rate: give a number"),
        ("rate", [0.5], "rate is [0.5], but it is a rate: give a number"),
        ("rate", None, "rate is missing, but it is a rate: give a value above 0 to 1"),
        ("steps", 0, "steps is 0, but it counts steps: give a value from 1"),
        ("steps", 2.5, "steps is 2.5, but it counts steps: give a whole number"),
        ("steps", math.inf, "steps is inf, but it counts steps: give a whole number"),
        ("steps", math.nan, "steps is nan, but it counts steps: give a whole number"),
        ("kind", "sofd", "kind is 'sofd': did you mean 'soft'? known: hard, none, soft"),
        ("kind", 3, "kind is 3: give one of soft, hard, none"),
        ("sign", 0, "sign is 0, but it is a sign: give -1 or 1"),
        ("folder", 5, "folder is 5: give a text"),
        ("fast", "no", "fast is 'no': give true or false"),
    ],
)
def test_a_value_outside_the_domain_is_refused_in_one_line(column: str, value: Any, message: str) -> None:
    assert refused(declared(Common)[column], value) == message


def test_infinity_is_refused_where_no_bound_says_so() -> None:
    free = Setting(column="x", kind=float)
    assert refused(free, math.inf) == "x is inf: give a value" == refused(free, -math.inf).replace("-", "")
    assert refused(free, 10**400).startswith("x is 1000") and free.checked(1e300) == 1e300


@pytest.mark.parametrize(
    "column, value, kept",
    [
        ("rate", 1, 1.0),
        ("rate", np.float32(0.5), 0.5),
        ("steps", 3.0, 3),
        ("steps", np.int64(4), 4),
        ("sign", 1.0, 1),
        ("folder", None, None),
        ("folder", Path("a") / "b", "a/b"),
        ("fast", True, True),
    ],
)
def test_a_value_is_kept_in_the_declared_kind(column: str, value: Any, kept: Any) -> None:
    found = declared(Common)[column].checked(value)
    assert found == kept and type(found) is type(kept)


@pytest.mark.parametrize(
    "column, text, value",
    [("rate", "1e-1", 0.1), ("steps", "12", 12), ("kind", "hard", "hard"), ("folder", "12", "12"),
     ("fast", "true", True), ("fast", "False", False), ("sign", "-1", -1)],
)  # fmt: skip
def test_a_flags_text_is_read(column: str, text: str, value: Any) -> None:
    found = declared(Common)[column].read(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "column, text, message",
    [
        ("rate", "fast", "rate is 'fast', but it is a rate: give a number"),
        ("steps", "1.5", "steps is '1.5', but it counts steps: give a whole number"),
        ("steps", "0", "steps is 0, but it counts steps: give a value from 1"),
        ("sign", "x", "sign is 'x', but it is a sign: give -1 or 1"),
        ("fast", "0", "fast is '0': give true or false"),
    ],
)
def test_a_text_that_names_no_value_is_refused(column: str, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        declared(Common)[column].read(text)
    assert str(caught.value) == message


def test_a_value_is_checked_when_it_is_made() -> None:
    with pytest.raises(UserError, match="steps is 0"):
        Common(steps=0)
    made = Common(rate=1, steps=5.0)  # type: ignore[arg-type]
    assert (made.rate, made.steps) == (1.0, 5) and type(made.rate) is float and type(made.steps) is int
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.rate = 2  # type: ignore[misc]


def test_what_a_declaration_derives() -> None:
    table = declared(Common)
    assert list(table) == ["rate", "steps", "kind", "sign", "folder", "fast"]  # without the internal one
    assert list(hyperparameters(Common)) == ["rate", "steps", "kind", "sign"]
    assert [one.scale for one in table.values()] == [
        "linear",
        "log",
        "category",
        "linear",
        "category",
        "category",
    ]
    assert [one.domain for one in table.values()] == [
        "above 0 to 1", "from 1", "one of soft, hard, none", "-1 or 1", "", ""
    ]  # fmt: skip
    assert table["rate"].title == "Rate" and table["folder"].title == "Folder of the files"
    assert (table["rate"].default, table["rate"].search, table["folder"].optional) == (0.5, (0.1, 0.9), True)
    assert Setting(kind=int, low=0, high=2**31 - 1).domain == "from 0 to 2147483647"


def test_a_table_is_the_callers_own() -> None:
    declared(Common).clear()
    assert "rate" in declared(Common)


def test_only_the_fields_that_a_class_declares_have_its_prefix() -> None:
    table = declared(Own)
    assert list(table)[-2:] == ["own.depth", "own.share"] and "rate" in table and "own.rate" not in table
    assert (table["own.depth"].name, table["own.depth"].flag) == ("depth", "--own.depth")
    assert Own(depth=4).flat() == Common().flat() | {"own.depth": 4, "own.share": None}
    assert Own.from_flat({"own.depth": 4, "depth": 9, "rate": 0.1}) == Own(depth=4, rate=0.1)
    with pytest.raises(UserError, match="^own.depth is 10, but it counts blocks: give a value from 0 to 9$"):
        Own(depth=10)


@dataclass(frozen=True, kw_only=True)
class Deeper(Own):
    more: int = hyperparameter(1, "It is more.")


def test_a_subclass_without_a_prefix_has_none_for_its_own_fields() -> None:
    assert list(declared(Deeper))[-3:] == ["own.depth", "own.share", "more"]


@dataclass(frozen=True, kw_only=True)
class Either(Settings):
    threshold: float | None = hyperparameter(0.4, "The threshold.", low=-1, high=1)
    share: float | None = hyperparameter(None, "The share.", low=0, high=1, instead_of="threshold")


@pytest.mark.parametrize("kind, prefix, name", [(Either, "", "threshold"), (Own, "own.", "depth")])
def test_one_of_two_settings_is_given_instead_of_the_other(
    kind: type[Settings], prefix: str, name: str
) -> None:
    assert declared(kind)[f"{prefix}share"].instead_of == f"{prefix}{name}"
    with pytest.raises(UserError) as caught:
        kind.from_flat({f"{prefix}{name}": 1, f"{prefix}share": 0.2})
    assert str(caught.value) == (
        f"{prefix}{name} is {getattr(kind(), name).__class__(1)} and {prefix}share 0.2, "
        "but one determines the other: give one"
    )


def test_a_setting_that_is_given_takes_the_place_of_a_default() -> None:
    assert Own.from_flat({"own.share": 0.2}) == Own(depth=None, share=0.2)
    assert Either.from_flat({"share": 0.2}) == Either(threshold=None, share=0.2)
    assert Either.from_flat({"share": None}) == Either() == Either.from_flat({})
    assert Either.from_flat({"share": None, "threshold": 0.1}) == Either(threshold=0.1)
    assert Either.from_flat(Either(threshold=None, share=0.2).flat()) == Either(threshold=None, share=0.2)


def test_a_subclass_may_change_a_default_and_a_domain() -> None:
    one, base = declared(Narrower)["rate"], declared(Common)["rate"]
    assert (one.default, one.high, one.help, one.scale) == (0.2, 0.3, "The low rate.", "log")
    assert (one.low, one.above, one.why, one.search) == (base.low, True, base.why, base.search)
    assert (base.default, base.high) == (0.5, 1) and Narrower().rate == 0.2
    with pytest.raises(UserError, match="rate is 0.5, but it is a rate: give a value above 0 to 0.3"):
        Narrower(rate=0.5)
    assert list(declared(Narrower)) == list(declared(Common))


def test_flat_and_back() -> None:
    made = Common(rate=0.25, kind="hard", folder="x", fast=True)
    assert Common.from_flat(made.flat()) == made
    assert Common.from_flat({"other": 1, "rate": 0.25}) == Common(rate=0.25)  # others are for other parts
