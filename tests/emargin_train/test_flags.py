"""Flags, their help and their reading follow from the declared settings alone."""

import argparse

import pytest

from emargin_train.config import TrainConfig
from emargin_train.data.settings import DataConfig
from emargin_train.errors import UserError
from emargin_train.flags import add_flags, default_note, read_flags
from emargin_train.hyperparameters import all_hyperparameters, other_defaults, read_by
from emargin_train.methods import METHODS
from emargin_train.pretrain import DATA, build_parser, config_of
from emargin_train.settings import Setting, declared

SETTINGS = [
    Setting(
        name="rate", column="rate", kind=float, default=0.5, help="It is 50 % by rule.", metavar="R", low=0
    ),
    Setting(name="kind", column="own.kind", default="a", help="The kind.", choices=("a", "b", "c")),
    Setting(name="scale", column="scale", kind=int, help="The scale.", formerly="old_scale"),
]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_flags(made, SETTINGS)
    return made


def config(*flags: str) -> TrainConfig:
    return config_of(build_parser().parse_args(flags))


def test_help_is_the_declared_line_with_its_default_and_its_domain() -> None:
    text = " ".join(parser().format_help().split())
    assert "--rate R It is 50 % by rule. (default 0.5)" in text
    assert "--own.kind VALUE The kind. (default a; one of a, b, c)" in text
    assert "--scale VALUE The scale." in text and "old" not in text


def test_flags_that_are_given_are_read_by_column() -> None:
    args = parser().parse_args(["--rate", "2", "--own.kind", "b", "--old-scale", "3"])
    assert read_flags(args, SETTINGS) == {"rate": 2.0, "own.kind": "b", "scale": 3}
    assert read_flags(parser().parse_args([]), SETTINGS) == {}
    with pytest.raises(UserError, match="^rate is -1: give a value from 0$"):
        read_flags(parser().parse_args(["--rate=-1"]), SETTINGS)


def test_a_default_that_the_help_line_explains_is_not_repeated() -> None:
    one = Setting(
        column="n", kind=int, default=600, help="N steps (the default is the dataset's own number)."
    )
    assert default_note(one) == ""


@pytest.mark.parametrize("column", all_hyperparameters())
def test_what_the_help_prints_as_default_can_be_given(column: str) -> None:
    one = all_hyperparameters()[column]
    for default in {one.default, *other_defaults(column).values()} - {None}:
        assert one.read(str(default)) == default
        assert f"default {default}" in default_note(one) + read_by(column) or "default" in one.help


def test_help_names_other_defaults_and_the_methods_that_read_a_hyper_parameter() -> None:
    assert read_by("margin").startswith("(default 0.5 for emargin-adjacent) [emargin, ")
    assert read_by("weight_decay").startswith("(default 0.01 for emargin-released) (default 0.01 for ")
    released = {name for name, method in METHODS.items() if method.encoder_variant == "released"}
    found = other_defaults("weight_decay")
    assert released <= {name for name, value in found.items() if value == 0.01}
    assert read_by("gamma") == "[emargin, emargin-semi]" and "[" not in read_by("batch_size")


def test_every_setting_has_one_flag_in_the_help_of_pretrain() -> None:
    text = build_parser().format_help()
    for one in [*all_hyperparameters().values(), *declared(DataConfig).values()]:
        assert text.count(f"  {one.flag} {one.metavar}") == 1, one.column
    assert "--method NAME" in text and "--objective" not in text and "--framing" not in text


def test_data_settings_are_those_that_no_hyper_parameter_is() -> None:
    fixed = {one.column for one in DATA}
    assert "split" in fixed and not fixed & all_hyperparameters().keys()
    assert fixed | {"spectrum_scale", "snr_db"} == declared(DataConfig).keys()


def test_flags_of_version_1_keep_working() -> None:
    made = config("--objective", "infonce", "--framing", "log", "--temperature", "0.3")
    assert made == config("--method", "infonce", "--spectrum-scale", "log", "--temperature", "0.3")
    assert (made.method, made.data.spectrum_scale) == ("infonce", "log")


def test_steps_are_the_datasets_own_number_where_none_is_given() -> None:
    assert config("--dataset", "harth-sim").iterations == config("--dataset", "harth").iterations
    assert config("--iterations", "7").iterations == 7
    assert config("--method", "raw").iterations == 0


def test_prefixed_flags_reach_the_encoder() -> None:
    made = config("--encoder", "dilated", "--dilated.depth", "3", "--dissimilar-share", "0.2")
    assert made.to_dict()["dilated.depth"] == 3
    assert (made.to_dict()["threshold"], made.to_dict()["dissimilar_share"]) == (None, 0.2)


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--method emargin-adjacent --margin 3",
         "margin is 3, but emargin-adjacent adds it to a cosine: give a value from 0 to 1"),
        ("--method infonce --gamma 1", "gamma is given, but infonce has no such hyper-parameter"),
        ("--encoder dilated --kernel-size 3",
         "kernel_size is given, but it belongs to the encoder projector: give --encoder projector too"),
        ("--method raw --dilated.depth 3", "dilated.depth is given, but raw has no such hyper-parameter"),
        ("--method raw --spectrum-scale log", "spectrum_scale is given, but raw has no such hyper-parameter"),
        ("--method raw --iterations 3", "iterations is given, but raw has no such hyper-parameter"),
        ("--method emargn", "method is 'emargn': did you mean 'emargin'?"),
        ("--encoder dilate", "encoder is 'dilate': did you mean 'dilated'?"),
        ("--seed 1.5", "seed is '1.5', but it seeds generators: give a whole number"),
        ("--seed 2147483648",
         "seed is 2147483648, but it seeds generators: give a value from 0 to 2147483647"),
        ("--threshold 0.4 --dissimilar-share 0.2",
         "threshold is 0.4 and dissimilar_share 0.2, but one determines the other: give one"),
        ("--batch-size many", "batch_size is 'many', but a step needs sequences: give a whole number"),
        ("--snr-db 0:20", "snr_db is '0:20', but it is a ratio in decibels: give a number"),
        ("--dataset sleepeg", "did you mean"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(flags: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        config(*flags.split())
    assert message in str(caught.value) and "\n" not in str(caught.value)
