"""The contract of readers is checked where a recording is made."""

from dataclasses import replace

import numpy as np
import pytest

from tests.emargin_train.data.fakes import recording

GOOD = recording(np.zeros((2, 10)), np.zeros(10), "s1", "r7")


@pytest.mark.parametrize(
    "field, value, told",
    [
        ("signal", np.zeros((2, 10)), "float64"),
        ("signal", np.zeros(10, np.float32), "float32 \\(10,\\)"),
        ("signal", np.full((2, 10), np.nan, np.float32), "not finite"),
        ("labels", np.zeros(9, np.int16), "int16 \\(9,\\)"),
        ("labels", np.zeros(10, np.int64), "int64"),
        ("labels", np.full(10, 3, np.int16), "from 3 to 3"),
        ("labels", np.full(10, -2, np.int16), "from -2 to -2"),
        ("rate_hz", 0.0, "above 0"),
        ("rate_hz", float("nan"), "above 0"),
        ("channels", ("one",), "2 channels"),
        ("units", ("V",), "2 channels"),
        ("clean", np.zeros((1, 10), np.float32), "clean"),
    ],
)
def test_what_breaks_the_contract_is_named_with_its_record(field, value, told):
    with pytest.raises((TypeError, ValueError), match=f"record r7 of subject s1.*{told}"):
        replace(GOOD, **{field: value})


def test_seconds():
    assert GOOD.seconds == 1.0
