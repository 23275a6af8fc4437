"""Run a study: `python -m study.run`; its flags are in `study.command_line`."""

import argparse
import sys
import time
from pathlib import Path

from emargin_train.errors import UserError, exit_on_user_error
from study import signals
from study.command_line import build_parser, flags_of, resumed_settings, settings_of
from study.settings import StudySettings


def main() -> None:
    args = build_parser().parse_args()
    if args.resume:
        settings = resumed_settings(Path(args.resume), flags_of(args))
    else:
        settings = settings_of(args)
    if args.dry_run:
        from study.dry_run import describe

        print(describe(settings))
        return
    with signals.handled(settings.folder) as received:
        run(settings, args, received)


def run(settings: StudySettings, args: argparse.Namespace, received: signals.Received) -> None:
    """Run the study, print how it ended, and exit with its code."""
    from study.run_study import run_study
    from study.stopper import is_full

    folder = settings.folder
    started = time.monotonic()
    try:
        outcome = run_study(settings, extend=args.extend, retry_failed=args.retry == "failed")
    except OSError as error:
        if not is_full(error):
            raise
        raise UserError(
            f"{folder} cannot be written ({error.strerror}): "
            f"free some space, then resume with python -m study.run --resume {folder}"
        ) from None
    except KeyboardInterrupt:
        print("interrupted before the first trial", file=sys.stderr)
        sys.exit(received.exit_code)
    print(outcome.summary(time.monotonic() - started))
    if args.preset and args.preset.startswith("paper-"):
        from study.published import compare

        print(compare(args.preset, settings, outcome.done))
    if outcome.interrupted:  # whoever stops a study does not wait for a report
        print(f"report:  python -m analysis.report {folder}")
    elif outcome.counts["ok"]:
        from analysis.report import build

        print(f"report:  {build(folder)}")
    print(f"results: {folder / 'results.parquet'}")
    print(f"browse:  {outcome.browse}")
    if outcome.undelivered:
        print(
            f"warning: MLflow did not answer, and {outcome.undelivered} runs have not reached it; "
            f"nothing is lost: once it is back, python -m study.sync {folder}",
            file=sys.stderr,
        )
    if outcome.stopped:
        print(f"{outcome.stopped}; to resume: python -m study.run --resume {folder}")
    sys.exit(received.exit_code if outcome.interrupted else outcome.exit_code)


if __name__ == "__main__":
    exit_on_user_error(main)
