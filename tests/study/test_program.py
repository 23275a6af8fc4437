"""All programs under one name: `emargin-study COMMAND`."""

import subprocess
import sys
from pathlib import Path

import pytest

from emargin_train.version import VERSION
from study import __main__ as program
from tests.study.conftest import assert_one_line, here

ROOT = Path(__file__).resolve().parents[2]


def test_every_program_of_the_study_is_a_command():
    modules = {command.module for command in program.COMMANDS.values()}
    programs = {
        f"study.{path.stem}"
        for path in (ROOT / "study").glob("*.py")
        if 'if __name__ == "__main__"' in path.read_text() and path.stem != "__main__"
    }
    assert programs <= modules


@pytest.mark.parametrize("name", program.COMMANDS)
def test_a_command_explains_itself_under_its_name(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/emargin-study", name, "--help"])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: emargin-study {name}") or name == "report"


@pytest.mark.parametrize("name", ["run", "server"])
def test_a_library_that_is_not_installed_is_named(name, monkeypatch, capsys):
    """As where only the extra `train` is installed."""

    def lacking(module, **_):
        raise ModuleNotFoundError("No module named 'psutil'", name="psutil._common")

    monkeypatch.setattr(program.runpy, "run_module", lacking)
    monkeypatch.setattr(sys, "argv", ["emargin-study", name])
    with pytest.raises(SystemExit) as ended:
        program.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert f"emargin-study {name} needs psutil" in line and "pip install 'emargin-study[study]'" in line


def test_a_module_of_ours_that_is_missing_is_no_mistake_of_the_user(monkeypatch):
    def lacking(module, **_):
        raise ModuleNotFoundError("No module named 'study.nothing'", name="study.nothing")

    monkeypatch.setattr(program.runpy, "run_module", lacking)
    monkeypatch.setattr(sys, "argv", ["emargin-study", "run"])
    with pytest.raises(ModuleNotFoundError):
        program.main()


def test_help_and_version():
    assert f"emargin-study {VERSION}" in here("--version", module="study.__main__").stdout
    for words in ((), ("--help",)):
        shown = here(*words, module="study.__main__").stdout
        assert all(name in shown for name in program.COMMANDS)


@pytest.mark.parametrize(
    "words, told",
    [
        (("rnu",), ("'rnu' is not a command", "did you mean 'run'?")),
        (("completion", "fish"), ("invalid choice: 'fish'",)),
    ],
)
def test_a_wrong_command_is_one_line(words, told):
    assert_one_line(here(*words, module="study.__main__"), *told)


@pytest.mark.parametrize(
    "words, told",
    [
        (("--treshold", "0.4"), ("--treshold is not a flag", "did you mean --threshold?")),
        (("--seed", "3"), ("did you mean --seeds?",)),
        (("--thresh", "3"), ("did you mean --threshold?",)),
        (("--qqq",), ("--qqq is not a flag: python -m study.run --help",)),
        (("again",), ("'again' is given, but it has no use here",)),
        (("--extend", "x"), ("--extend: invalid int value: 'x'",)),
        (("--threshold", "-1:0.4"), ("--threshold", "needs an equals sign: --threshold=-1")),
    ],
)
def test_a_wrong_flag_is_one_line(words, told):
    ran = here("--dataset", "sleepeeg-sim", *words, module="study.run")
    assert_one_line(ran, *told)
    assert "usage" not in ran.stderr and len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize("shell", program.SHELLS)
def test_the_completion_knows_commands_flags_and_values(shell):
    pytest.importorskip("shtab", reason="shtab writes the completion")
    script = program.completion(shell)
    for word in (*program.COMMANDS, "--threshold", "--data-dir", "paper-ecg", "emargin-semi"):
        assert word in script
    if shell == "bash":
        assert subprocess.run(("bash", "-n"), input=script, text=True).returncode == 0
