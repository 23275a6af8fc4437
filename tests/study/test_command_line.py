"""The flags of `python -m study.run`: one for each declared setting, with help in whole sentences."""

import argparse
import re

import pytest

from emargin_train.errors import UserError
from emargin_train.hyperparameters import all_hyperparameters
from study import presets
from study.command_line import build_parser, settings_of
from study.settings import StudySettings, declared_settings
from tests.study.conftest import here, small

ACTIONS = build_parser()._actions


def flags_for(column: str) -> list[argparse.Action]:
    """The visible flags that give a setting."""
    dest = {"methods": "method"}.get(column, column)
    return [one for one in ACTIONS if one.dest == dest and one.help is not argparse.SUPPRESS]


def settings_from(*words: str) -> StudySettings:
    return settings_of(build_parser().parse_args([*small(), *words]))


@pytest.mark.parametrize("column", [*declared_settings(), *all_hyperparameters()])
def test_a_declared_setting_has_one_flag(column):
    (action,) = flags_for(column)
    expected = "--method" if column == "methods" else "--" + column.replace("_", "-")
    assert action.option_strings == [expected]


def test_no_flag_is_for_anything_else():
    own = {"help", "quiet", "version", "preset", "config", "resume", "extend", "retry", "dry_run", "variant"}
    shown = {one.dest for one in ACTIONS if one.help is not argparse.SUPPRESS}
    declared = {*declared_settings(), *all_hyperparameters()} - {"methods"} | {"method"}
    assert shown == own | declared


# A text that begins as a title does, with a noun and what it is of, needs one of these to be a sentence.
TITLE = re.compile(r"(The |An? )?[\w-]+( [\w-]+)?( (of|for|in|that|which|from) |[:.,])")
VERB = re.compile(
    r"\b(is|are|has|have|sees?|gives?|takes?|tries|decides?|divides?|holds?|belongs?|chooses|runs?|adds?|wins?"
    r"|begins|draws|scales|shrinks|leaves?|learns?|gets?|looks?|sets|uses|trains|go(es)?)\b"
)


@pytest.mark.parametrize(
    "action", [one for one in ACTIONS if one.help is not argparse.SUPPRESS], ids=lambda one: one.dest
)
def test_a_help_line_is_a_sentence(action):
    text = re.sub(
        r"\s*(\(default[^()]*\)|\(searched[^()]*\)|\[[^\[\]]*\])", "", action.help
    )  # what is derived
    assert re.fullmatch(r"[A-Z-].*[\w)]\.\)?", text.strip(), re.DOTALL), text
    assert len(text.split()) > 3 and not text.startswith(("How", "Where", "Whose", "Which")), text
    assert VERB.search(text) or not TITLE.match(text), text
    assert "()" not in text and "(default )" not in text and "None" not in text


def test_help_reads_like_a_manual_page():
    ran = here("--help")
    assert ran.returncode == 0
    for told in (
        "examples:",
        "exit codes:",
        "--dissimilar-share",
        "results.parquet",
        "python -m study.run --preset smoke",
    ):
        assert told in ran.stdout
    assert "--objective" not in ran.stdout and "--framing" not in ran.stdout


@pytest.mark.parametrize("flag", ["--objective", "--objectives", "--method", "--methods"])
def test_the_method_has_its_former_flags(flag):
    assert settings_from(flag, "emargin,infonce").methods == ("emargin", "infonce")


def test_former_flags_of_version_1_still_work():
    settings = settings_from("--framing", "log", "--split-seed", "3", "--batch-size", "4")
    assert settings.hyperparameters == {"iterations": "4", "spectrum_scale": "log", "batch_size": "4"}
    assert settings.split_seeds == (3,)


def test_lists_and_ranges_of_seeds():
    settings = settings_from("--seeds", "0:2", "--split-seeds", "0,5")
    assert settings.seeds == (0, 1, 2) and settings.split_seeds == (0, 5)
    assert settings_from("--references", "").references == ()


@pytest.mark.parametrize("preset", presets.NAMES)
def test_a_preset_is_complete_and_flags_win(preset):
    settings = settings_of(build_parser().parse_args(["--preset", preset, "--seeds", "7", "--margin", "3"]))
    known = presets.preset(preset)
    assert settings.seeds == (7,) and settings.dataset == known["dataset"]
    assert settings.hyperparameters == known["hyperparameters"] | {"margin": "3"}


def test_a_name_is_a_digest_of_the_settings():
    """So that the same command finds its study, wherever and however it runs."""
    one = settings_from("--trials", "3")
    assert one.name == settings_from("--trials", "3", "--max-concurrent", "1").name
    assert one.name.startswith("tiny-") and one.name != settings_from("--trials", "4").name


def test_a_config_with_an_unknown_setting_is_refused(tmp_path):
    (tmp_path / "study.toml").write_text('dataset = "sleepeeg-sim"\nname = "a"\ntrails = 3\n')
    with pytest.raises(UserError, match="did you mean 'trials'"):
        settings_of(build_parser().parse_args(["--config", str(tmp_path / "study.toml")]))


def test_variants_name_the_methods():
    """--variant says which forms of the methods are studied; they are stored as methods of their own."""
    assert settings_from("--method", "emargin,infonce", "--variant", "shared,released").methods == (
        "emargin", "emargin-released", "infonce", "infonce-released",
    )  # fmt: skip
    assert settings_from("--variant", "released").methods == ("emargin-released",)
    assert settings_from("--preset", "paper-ecg", "--variant", "released").methods == ("emargin-released",)
    with pytest.raises(UserError, match="emargin has no published variant: give shared or released"):
        settings_from("--variant", "published")
    with pytest.raises(UserError, match="variant is 'relased'.*did you mean 'released'"):
        settings_from("--variant", "relased")
