"""A study continues, whatever happens to its terminal."""

import io
import os
import sys

import pytest
from rich.console import Console

from study import display
from study.progress import Progress


def broken_pipe():
    reads, writes = os.pipe()
    os.close(reads)
    return os.fdopen(writes, "w")


def closed_file():
    stream = io.StringIO()
    stream.close()
    return stream


class HungUp(io.StringIO):
    """A terminal whose window was closed."""

    def write(self, text):
        raise OSError(5, "Input/output error")

    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [broken_pipe, closed_file, HungUp])
def test_progress_and_messages_survive_a_display_that_is_gone(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setattr(sys, "stdout", stream())
    with display.survives():
        rows = [{"status": "ok", "role": "searched", "method": "emargin", "silhouette": 0.5}]
        with Progress(("silhouette",), 2) as progress:
            progress.add("emargin", "emargin-0000", rows)
            print("warning: nobody reads this", file=sys.stderr, flush=True)
        Console(stderr=True).print("nor this")
        print("nor this", flush=True)
    assert progress.done == 1
    sys.stdout.flush() if stream is broken_pipe else None  # what was buffered is gone too


def test_a_refused_command_without_any_stream_still_has_its_exit_code(tmp_path):
    """As under `>&- 2>&-`: no file of the study may become the standard output."""
    words = f"{sys.executable} -m study.run --resume {tmp_path}/none <&- >&- 2>&-"
    assert os.waitstatus_to_exitcode(os.system(words)) == 2
