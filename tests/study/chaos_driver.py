"""A driver of the drill: `python -m study.run` in a process that is forked from one with all modules loaded.

Loading torch, Ray and MLflow takes most of the time of a study that lasts seconds. Nothing else differs from
a start by hand, except that no report is written, which is no store of the study.
"""

import atexit
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import psutil

LOADED = ["study.run", "study.run_study", "study.command_line", "study.dry_run", "analysis.report", __name__]


def _run(words: tuple[str, ...], env: dict[str, str], said: str) -> None:
    """Run the command, with its output in the file or pipe `said`; its exit code is that of this process."""
    import analysis.report
    from study import run

    os.setpgrp()
    out, nothing = os.open(said, os.O_WRONLY | os.O_APPEND), os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL if number != signal.SIGPIPE else signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ |= env
    tempfile.tempdir = None  # TMPDIR is read again
    sys.argv = ["study.run", *words]
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
    analysis.report.build = lambda folder: "none in this drill"  # type: ignore[assignment]
    try:
        run.program()
    finally:
        atexit._run_exitfuncs()  # which a forked process leaves out


class Driver:
    """The command in a process group of its own.

    sandbox: its TMPDIR and RAY_TMPDIR, empty before and after
    """

    def __init__(self, sandbox: Path, *words: str, has_pipe: bool = False, **env: str) -> None:
        self.sandbox, self.begun = sandbox, time.monotonic()
        self._said = Path(f"{sandbox}.{time.monotonic_ns()}.txt")
        self._pipe: int | None = None
        if has_pipe:
            os.mkfifo(self._said)
            self._pipe = os.open(self._said, os.O_RDONLY | os.O_NONBLOCK)
        else:
            self._said.touch()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(LOADED)
        env = {"COLUMNS": "120", "TMPDIR": str(sandbox), "RAY_TMPDIR": str(sandbox)} | env
        self._process = context.Process(target=_run, args=(words, os.environ | env, str(self._said)))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, seconds: float) -> int | None:
        """The exit code; None where it has not ended by then."""
        self._process.join(seconds)
        return self._process.exitcode

    def said(self) -> str:
        return "" if self._pipe is not None else self._said.read_text()

    def close_pipe(self) -> None:
        assert self._pipe is not None
        os.close(self._pipe)

    def processes(self) -> list[psutil.Process]:
        """All that it has started and that still run, whoever their parent is by now."""
        mine, found = f"TMPDIR={self.sandbox}".encode(), []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mine in (folder / "environ").read_bytes().split(b"\0") and int(folder.name) != os.getpid():
                    found.append(psutil.Process(int(folder.name)))
            except (OSError, psutil.NoSuchProcess):
                continue  # it has ended
        return [one for one in found if one.pid != self.pid and one.status() != psutil.STATUS_ZOMBIE]

    def kill(self) -> None:
        """End the driver, as a machine that loses its power does: with all that it started."""
        family = [*psutil.Process(self.pid).children(recursive=True)] if self.poll() is None else []
        self._process.kill()
        self._process.join()
        for process in {*family, *self.processes()}:
            if process.is_running():
                process.kill()
        psutil.wait_procs(family, timeout=10)
