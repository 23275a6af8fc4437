"""Commands that a message suggests run when they are pasted."""

import os
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
