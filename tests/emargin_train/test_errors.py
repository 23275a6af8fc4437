"""Programs end well whatever becomes of their output: one line or none, no traceback, no lost failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emargin_train import checkpoint
from emargin_train.config import TrainConfig
from emargin_train.data import load
from emargin_train.train import train as training
from tests import tiny

PROGRAM = """
import sys
from emargin_train.errors import UserError, exit_on_user_error
def main():
    {}
exit_on_user_error(main)
"""
MANY = "for i in range(100000): print('line', i, file={})"


def run(body: str, **how: object) -> subprocess.Popen[bytes]:
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
    return subprocess.Popen([sys.executable, "-c", PROGRAM.format(body)], **how)  # type: ignore[call-overload]


def closed() -> int:
    """The end of a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    return write


@pytest.mark.parametrize("body", [MANY.format("sys.stdout"), "print('one line')", "print(1); sys.exit(3)"])
def test_output_that_nobody_reads_ends_the_program_without_a_word(body: str) -> None:
    program = run(body, stdout=closed())
    assert program.communicate()[1] == b"" and program.returncode == 1


@pytest.mark.parametrize("body", [MANY.format("sys.stderr"), "raise UserError('wrong')"])
def test_an_error_that_nobody_reads_ends_the_program_too(body: str) -> None:
    program = run(body, stderr=closed())
    assert program.communicate()[0] == b"" and program.returncode in (1, 2)
    program = run(body, stdout=closed(), stderr=subprocess.STDOUT)  # 2>&1 | head -0
    program.communicate()
    assert program.returncode in (1, 2)


def test_a_full_disk_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "wb") as full:
        program = run("print('one line')", stdout=full)
        err = program.communicate()[1].decode()
    assert (
        err == "error: the output cannot be written (No space left on device)\n" and program.returncode == 1
    )


def test_without_standard_output_a_program_runs() -> None:
    body = PROGRAM.format("print(1); raise UserError('value, reason, remedy')")
    program = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, body], capture_output=True, text=True
    )
    assert program.stderr == "error: value, reason, remedy\n" and program.returncode == 2


@pytest.mark.parametrize("error", ["BrokenPipeError('a connection')", "OSError(28, 'no space')"])
def test_other_broken_pipes_are_not_hidden(error: str) -> None:
    program = run(f"raise {error}")
    err = program.communicate()[1].decode()
    assert "Traceback" in err and program.returncode == 1


ODD = "runs 50%25 #?é;'$x"


def ends(program: list[str], environment: dict[str, str], code: int, **how: object) -> tuple[str, str]:
    """Output and error output of a program that ends with that exit code and without a traceback."""
    command = [sys.executable, "-m", *program]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
    done = subprocess.run(command, env=environment, text=True, **how)  # type: ignore[call-overload]
    out, err = done.stdout or "", done.stderr or ""
    assert done.returncode == code and "Traceback" not in err and "Broken" not in err, (out, err)
    return out, err


@pytest.mark.slow
def test_every_program_in_odd_folders_and_without_a_home(tmp_path: Path) -> None:
    """A long TMPDIR, a HOME that is not there, names with every legal character, a pipe that is closed."""
    import pyarrow.parquet as pq

    folder, toml = tmp_path / ODD, str(tiny.tiny())
    long = tmp_path / ("x" * 120) / "t"
    long.mkdir(parents=True)
    folder.mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "EMARGIN_CACHE"}
    environment |= {"TMPDIR": str(long), "HOME": "/dev/null/home"}
    train = ["emargin_train.pretrain", "--dataset", toml, "--method", "infonce", "--iterations", "2"]
    assert "EMARGIN_CACHE" in ends(train, environment, 2)[1]
    get = ["emargin_train.data", "download", "harth"]
    assert "cannot be written" in ends(get, environment, 2)[1]

    environment["EMARGIN_CACHE"] = str(folder / "cache")
    assert '"status": "ok"' in ends([*train, "--json"], environment, 0)[0]
    ends(train, environment, 1, stdout=closed())
    ends(train, environment, 1, stdout=closed(), stderr=subprocess.STDOUT)
    picture, page = folder / "a #%20.svg", folder / "b?.html"
    look = ["emargin_train.data", "describe", toml]
    assert str(picture) in ends([*look, "--plot", str(picture)], environment, 0)[0]
    ends([*look, "--check", "--page", str(page)], environment, 0)
    ends(look, environment, 1, stdout=closed(), stderr=subprocess.STDOUT)
    assert picture.read_text().startswith("<svg") and "<!doctype html>" in page.read_text()

    environment["EMARGIN_MIRROR"] = "http://127.0.0.1:9"  # nobody is there
    _, err = ends([*get, "--to", str(folder / "raw")], environment, 2)
    assert "127.0.0.1:9" in err
    ends([*get, "--to", str(folder / "raw")], environment, 2, stdout=closed())

    config = TrainConfig.from_dict({"dataset": toml, "method": "infonce", "iterations": 2})
    *_, state = training(config, load(config.data))
    checkpoint.save(state, folder / "encoder #1.pt")
    out = folder / "of%20all:é'.parquet"
    encode = ["emargin_train.encode", str(folder / "encoder #1.pt"), toml, "--out", str(out)]
    ends(encode, environment, 0)
    assert pq.read_table(str(out)).num_rows > 0
    ends([*encode, "--overwrite"], environment, 1, stdout=closed())
    assert not list(folder.glob("*.part"))
