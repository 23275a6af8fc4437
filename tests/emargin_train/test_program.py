"""Commands that a message suggests run when they are pasted."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from emargin_train.program import pasted


def test_a_suggested_command_runs_this_python_wherever_it_is(monkeypatch, tmp_path):
    folder = tmp_path / "a folder; with 'marks'"
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    command = pasted("study.run", "--resume", folder)
    python, *words = shlex.split(command)
    assert Path(python).absolute() == Path(sys.executable) and words == [
        "-m",
        "study.run",
        "--resume",
        str(folder),
    ]
    ran = subprocess.run(pasted("json.tool", "--help"), shell=True, capture_output=True, text=True)
    assert ran.returncode == 0 and "usage" in ran.stdout


def test_an_environment_that_is_active_needs_no_path(monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent) + os.pathsep + "/usr/bin")
    if (Path(sys.executable).parent / "python").exists() and Path(sys.executable).name == "python":
        assert pasted("study.run") == "python -m study.run"
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(sys, "executable", str(Path.cwd() / ".venv" / "bin" / "python"))
    assert pasted("study.run") == ".venv/bin/python -m study.run"


def test_a_user_of_the_script_is_given_its_command(tmp_path, monkeypatch):
    script = tmp_path / "emargin-study"
    script.write_text("")
    script.chmod(0o700)
    monkeypatch.setattr(sys, "argv", ["emargin-study run", "--preset", "smoke"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pasted("study.run", "--resume", "runs/a b") == "emargin-study run --resume 'runs/a b'"
    assert pasted("mlflow", "ui").endswith("-m mlflow ui")  # not ours
    script.unlink()  # .venv/bin/emargin-study, where the environment is not active
    assert pasted("study.run").endswith("-m study.run")
    monkeypatch.setattr(sys, "argv", ["study/run.py"])
    assert pasted("study.run").endswith("-m study.run")


def test_every_suggested_program_is_a_command_of_the_script():
    from study.__main__ import COMMANDS

    root = Path(__file__).parents[2]
    texts = [
        path.read_text() for place in ("study", "emargin_train") for path in (root / place).rglob("*.py")
    ]
    suggested = {name for text in texts for name in re.findall(r"pasted\(\"(\w+\.\w+)\"", text)}
    assert suggested and all(COMMANDS[name.rpartition(".")[2]].module == name for name in suggested)
