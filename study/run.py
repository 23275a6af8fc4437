"""Run a study: `python -m study.run`; its flags are in `study.command_line`.

What takes seconds to load is imported where it is needed, after the secrets are off the command line.
"""

import argparse
import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from emargin_train.errors import UserError, exit_on_user_error
from emargin_train.program import pasted
from study import display, secrets, signals

if TYPE_CHECKING:
    from study.notebook import Results
    from study.run_study import StudyOutcome
    from study.settings import StudySettings


def main() -> None:
    from study.command_line import build_parser, flags_of, resumed_settings, settings_of

    args = build_parser().parse_args()
    if args.resume:
        for flag in ("preset", "config"):
            if getattr(args, flag):
                raise UserError(
                    f"--{flag} is given with --resume, which takes the settings of the study itself: leave "
                    "one of them out"
                )
        settings = resumed_settings(Path(args.resume), flags_of(args))
    else:
        settings = settings_of(args)
    if args.dry_run:
        from study.dry_run import describe

        print(describe(settings, args.extend))
        return
    import_module("study.run_study")  # it takes a second, in which a signal ends this process as any other
    with signals.handled(settings.folder) as received:
        run(settings, args, received)


def hide_secrets() -> None:
    """Start this program again without secrets on its command line, which lists of processes would show."""
    shown = secrets.hidden(sys.argv[1:])
    if shown != sys.argv[1:]:
        os.execv(sys.executable, [sys.executable, "-m", "study.run", *shown])


def run(settings: "StudySettings", args: argparse.Namespace, received: signals.Received) -> None:
    """Run the study, print how it ended, and exit with its code."""
    from study.closing import StudyEnded
    from study.run_study import run_study
    from study.stopper import is_full

    folder = settings.folder
    resume = pasted("study.run", "--resume", folder)
    started = time.monotonic()
    try:
        outcome = run_study(
            settings,
            extend=args.extend,
            retry_failed=args.retry == "failed",
            quiet=args.quiet,
            report=True,
        )
    except OSError as error:
        if not is_full(error):
            raise
        raise UserError(
            f"{folder} cannot be written ({error.strerror}): free some space, then resume with {resume}"
        ) from None
    except StudyEnded as error:
        print(f"error: {error}", file=sys.stderr)
        signals.end(1)
    except KeyboardInterrupt:
        then = f"; to resume: {resume}" if (folder / "study.toml").exists() else ""
        print(f"interrupted before the study began{then}", file=sys.stderr)
        sys.exit(received.exit_code)
    show(settings, args, outcome, time.monotonic() - started)
    code = received.exit_code if outcome.interrupted else outcome.exit_code
    # Where the cluster died, a thread and some of its processes still run. Where a signal came while Ray
    # started, its C++ may be half initialised, and would crash this process as Python ends.
    if outcome.is_abandoned or received.number is not None:
        signals.end(code)
    sys.exit(code)


def show(
    settings: "StudySettings", args: argparse.Namespace, outcome: "StudyOutcome", seconds: float
) -> None:
    """Print how the study ended."""
    folder = settings.folder
    print(outcome.summary(seconds))
    if outcome.done and args.preset and args.preset.startswith("paper-"):
        from study.published import compare

        print(compare(args.preset, settings, outcome.done))
    if outcome.report is not None or outcome.counts["ok"]:
        print(f"report:  {outcome.report or pasted('analysis.report', folder)}")
    if outcome.not_drawn is not None:
        print(
            f"warning: the report could not be drawn ({outcome.not_drawn}); the traceback is in "
            f"{folder / 'log' / 'report.traceback.txt'}",
            file=sys.stderr,
        )
    print(f"results: {folder / 'results.parquet'}")
    print(f"browse:  {outcome.browse}")
    if outcome.not_exported:
        print(
            f"warning: MLflow did not answer, and {outcome.not_exported} runs have not reached it; "
            f"nothing is lost: once it answers again, run {pasted('study.sync', folder)}",
            file=sys.stderr,
        )
    if outcome.not_published is not None:
        print(
            f"warning: MLflow lacks the study's table and report ({outcome.not_published}); "
            f"to add them: {pasted('study.sync', folder)}",
            file=sys.stderr,
        )
    if outcome.stopped:
        print(f"{outcome.stopped}; to resume: {pasted('study.run', '--resume', folder)}")


def program() -> None:
    """Run the command as its own process does."""
    display.open_streams()
    with display.survives():
        try:
            exit_on_user_error(hide_secrets)
            exit_on_user_error(main)
        except KeyboardInterrupt:  # while modules were loaded
            print("interrupted before the study began", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)


class Program(ModuleType):
    """This module, so that `study.run(...)` runs a study too, and not only `python -m study.run`."""

    def __call__(self, dataset: str | None = None, **flags: Any) -> "Results":
        from study.notebook import run

        return run(dataset, **flags)


if __name__ != "__main__":
    sys.modules[__name__].__class__ = Program

if __name__ == "__main__":
    program()
