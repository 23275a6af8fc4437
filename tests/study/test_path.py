"""The way from the flag `--threshold` to the kernel leads through few files, and never back into one."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from study import plan, trial
from study.command_line import build_parser, settings_of
from tests.study.conftest import small

ROOT = Path(__file__).resolve().parents[2]
OWN = ("emargin_train", "study", "analysis", "tests")
VALUE, MARGIN, MOST = 0.43217, 1.61803, 8


def own_file(frame: FrameType) -> str | None:
    """The path of our own file that a call is in; installed packages may lie in the checkout too."""
    path = Path(frame.f_code.co_filename)
    file = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
    return file if file.split("/")[0] in OWN else None


def files_of(frame: FrameType | None) -> list[str]:
    """The files on the stack, from the outermost call of ours to this one, without repeats in a row."""
    found: list[str] = []
    while frame is not None:
        file = own_file(frame)
        if file and not file.startswith("tests/") and (not found or found[-1] != file):
            found.append(file)
        frame = frame.f_back
    return found[::-1]


def watched(run: Callable[[], object], wanted: Callable[[FrameType], bool]) -> list[list[str]]:
    """The stacks of files at all calls that are wanted, while `run` runs."""
    stacks = []

    def seen(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and own_file(frame) and wanted(frame):
            stacks.append(files_of(frame))

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        run()
    finally:
        sys.setprofile(before)
    return stacks


def passed(frame: FrameType) -> Iterator[Any]:
    """The values of a call's arguments."""
    code = frame.f_code
    return (
        frame.f_locals.get(name) for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    )


def is_for(value: float) -> Callable[[FrameType], bool]:
    """Whether a call is handed the value itself, as a number or as the text of a flag."""
    return lambda frame: any(
        type(one) in (float, str) and one in (value, str(value)) for one in passed(frame)
    )


def straight(*parts: list[str]) -> list[str]:
    """The files of several parts of a path, of which each begins where the one before ended."""
    path: list[str] = []
    for file in (file for part in parts for file in part):
        if not path or path[-1] != file:
            path.append(file)
    return path


@pytest.fixture(scope="module")
def spec_of_flags() -> tuple[plan.TrialSpec, list[str]]:
    """The trial that a command line asks for, and the files that the flag's text goes through until then."""
    words = (*small(), "--threshold", str(VALUE), "--margin", str(MARGIN), "--temperature", "0.1")
    words += ("--iterations", "1", "--seeds", "0", "--references", "", "--baseline", "none")
    made: list[plan.TrialSpec] = []

    def ask() -> None:
        settings = settings_of(build_parser().parse_args(words))
        (arm,) = plan.arms(settings)
        (values,) = arm.listed()
        made.append(plan.spec(settings, plan.Job(arm, 0, arm.replicates), values))

    read = watched(ask, lambda frame: frame.f_code.co_name == "parse" and is_for(VALUE)(frame))
    assert read and all(files == ["study/plan.py", "study/space.py"] for files in read)  # text to number
    return made[0], ["study/command_line.py", "study/plan.py"]


def test_the_threshold_passes_few_files_and_never_goes_back(spec_of_flags, tmp_path):
    """To where it is compared with cosines, which makes the labels that switch the kernel."""
    spec, before = spec_of_flags
    stacks = watched(
        lambda: list(trial.run_trial(spec, tmp_path)),
        lambda frame: frame.f_code.co_name in ("gate_labels", "below") and is_for(VALUE)(frame),
    )
    inside = max((files for files in stacks if "emargin_train/gates.py" in files), key=len)
    path = straight(before, inside)
    print(" -> ".join(path))
    assert path[:3] == [*before, "study/trial.py"] and "emargin_train/methods/gated.py" in path
    assert len(path) <= MOST, path
    assert len(set(path)) == len(path), "a file is entered again after it was left"


def test_the_margin_passes_few_files_and_never_goes_back(spec_of_flags, tmp_path):
    """To the loss, whose kernel it is in."""
    spec, before = spec_of_flags
    stacks = watched(
        lambda: list(trial.run_trial(spec, tmp_path)),
        lambda frame: own_file(frame) == "emargin_train/losses/contrast.py" and is_for(MARGIN)(frame),
    )
    assert stacks
    path = straight(before, min(stacks, key=len))
    print(" -> ".join(path))
    assert path[:3] == [*before, "study/trial.py"] and path[-1] == "emargin_train/losses/contrast.py"
    assert len(path) <= MOST, path
    assert len(set(path)) == len(path), "a file is entered again after it was left"


def test_the_check_sees_a_file_that_is_entered_again():
    assert straight(["a", "b"], ["b", "c"]) == ["a", "b", "c"]
    path = straight(["a", "b"], ["a"])
    assert len(set(path)) < len(path)
