"""Run a study: train an encoder at many settings and seeds, measure each, chart what trades against what.

The knobs are searched where a range A:B or a list a,b,c is given, and fixed where a single value is; an
interrupted study goes on where it stopped when the same command is given again."""

import argparse
import dataclasses
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from emargin_train.errors import UserError, exit_on_user_error, nearest
from emargin_train.flags import add_data_flags, data_settings
from study import secrets, signals
from study.presets import PRESETS
from study.space import SPACE, flag

EXAMPLES = """\
examples:
  The plan only: trials, settings, resources, time (nothing is run):
    python -m study.run --dataset sleepeeg-sim --trials 32 --dry-run
  Half a minute on a laptop, no data needed:
    python -m study.run --preset smoke
  A real study on the paper's sleep data, on a Ray cluster:
    python -m study.run --dataset sleepeeg --trials 64 --seeds 0,1,2,3,4 --address auto
  Your own WFDB recordings; the threshold as a share of steps, the margin fixed:
    python -m study.run --dataset ecg --data-dir mitdb --dissimilar-share 0:1 --margin 5
  Negative numbers need an equals sign:
    python -m study.run --dataset sleepeeg-sim --threshold=-1:0.9
  One factor at a time round the first values; the same settings again from a file:
    python -m study.run --dataset sleepeeg-sim --design ablation --threshold 0.4,0.2,0.6 --margin 5,1,10
    python -m study.run --config runs/NAME/study.toml --name again
  Go on with what was interrupted; with 16 trials more; with what failed once more:
    python -m study.run --resume runs/NAME
    python -m study.run --resume runs/NAME --extend 16
    python -m study.run --resume runs/NAME --retry failed

results:
  runs/NAME/results.parquet      one row per trial and seed
  runs/NAME/report/index.html    the Pareto front, the threshold's effect, every trial
  mlflow ui --backend-store-uri sqlite:///runs/mlflow.db      every trial, to browse and compare

exit codes: 0 done, or the time budget is used up; 1 no trial was ok, or the study stopped for a reason it
names; 2 something to put right, named in one line; 130 interrupted by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP
"""


def gpu_share(text: str) -> float | str:
    return text if text == "auto" else float(text)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m study.run",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--preset", metavar="NAME", help=f"complete settings: {', '.join(PRESETS)}; flags win over it"
    )
    parser.add_argument(
        "--name", help="of the study, a folder in --out (default: dataset and a digest of the settings)"
    )
    parser.add_argument("--out", metavar="DIR", help="where studies lie (default runs)")
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="settings as in a study's folder (study.toml); flags win over it",
    )
    parser.add_argument("--resume", metavar="DIR", help="go on with the study in this folder, e.g. runs/NAME")
    parser.add_argument(
        "--extend", type=int, metavar="N", help="go on with N more trials of each objective than it had"
    )
    parser.add_argument(
        "--retry", choices=("failed",), help="go on, and run again what failed (what diverged would again)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan and the expected time, run nothing"
    )
    add_data_flags(parser)

    study = parser.add_argument_group("study")
    study.add_argument("--objective", metavar="NAMES", help="emargin (default); a list a,b searches each")
    study.add_argument(
        "--trials", type=int, metavar="N", help="settings tried for each objective (default 32)"
    )
    study.add_argument(
        "--baseline-trials", type=int, metavar="N", help="of InfoNCE, over its temperature (default half)"
    )
    study.add_argument(
        "--references", metavar="NAMES", help="reference encoders (default raw,log-raw,pca,random,supervised)"
    )
    study.add_argument("--seeds", metavar="LIST", help="each setting is trained with each (default 0,1,2)")
    study.add_argument(
        "--iterations", type=int, metavar="N", help="training steps (default: the dataset's in the paper)"
    )
    study.add_argument("--batch-size", type=int, metavar="B", help="sequences in a step (default 8)")
    study.add_argument(
        "--goals", metavar="METRICS", help="searched for (default silhouette,probe_balanced_accuracy)"
    )
    study.add_argument(
        "--design",
        metavar="KIND",
        help="search (default); grid: all combinations of the lists; ablation: one knob at a time leaves "
        "the first value of its list",
    )
    study.add_argument(
        "--seeds-as-trials",
        action="store_true",
        default=None,
        help="schedule and search each seed as a trial of its own",
    )
    study.add_argument("--sampler", metavar="NAME", help="tpe (default), nsgaii, qmc or random")
    study.add_argument("--search-seed", type=int, metavar="N", help="of the sampler (default 0)")
    study.add_argument(
        "--keep-embeddings", metavar="WHICH", help="front (default: front and baselines), all or none"
    )

    knobs = parser.add_argument_group("knobs: one value, a list a,b,c, or a range A:B")
    helps = {
        "threshold": "adjacent frames below this cosine are dissimilar (default 0.2:0.99)",
        "dissimilar_share": "or: this share of training steps is",
        "margin": "of eMargin's kernel (default 0.5:10)",
        "temperature": "divides cosines (default 0.05:1)",
        "gate": "intended, all-similar, all-dissimilar, random, oracle, released",
        "snr_db": "signal-to-noise ratio of added noise, in dB",
        "framing": "what the encoder sees: magnitude (default), log",
        "label_share": "emargin-semi: labelled share of sequences (default 0.1)",
        "supervised_weight": "emargin-semi: weight of the supervised term (default 0.1:10)",
        "supervised_term": "emargin-semi: contrastive (default), cross-entropy",
        "neighbours": "positives of a frame: 2 (default), 1",
        "similar_sign": "sign of the kernel's similar part: -1 (default), 1",
        "gamma": "scale of the kernel in a logit (default 0.05)",
        "head": "projection head: none (default), linear, mlp",
        "kernel_size": "of the convolutions (default 1)",
    }
    for name, text in helps.items():
        knobs.add_argument(f"--{flag(name)}", metavar="SPEC", help=text)

    where = parser.add_argument_group("where")
    where.add_argument(
        "--address",
        help="Ray cluster: auto, HOST:PORT or local (default: RAY_ADDRESS, this machine's, or a new one)",
    )
    where.add_argument(
        "--tracking-uri", metavar="URI", help="MLflow server or database (default sqlite in --out)"
    )
    where.add_argument(
        "--optuna-storage",
        metavar="URL",
        help="database of the search, as postgresql://user@host/name; its password from OPTUNA_STORAGE (the "
        "whole URL) or PGPASSWORD (default: a file in the study's folder)",
    )
    where.add_argument(
        "--storage",
        metavar="URI",
        help="where running trials leave checkpoints: a folder or s3://bucket/path that all nodes reach "
        "(default: EMARGIN_STORAGE, else the study's folder)",
    )
    where.add_argument("--cpus-per-trial", type=int, metavar="N", help="and its threads (default 1)")
    where.add_argument(
        "--gpus-per-trial",
        type=gpu_share,
        metavar="X",
        help="0 (default), 1, a share such as 0.25, or auto: measured on a GPU of the cluster",
    )
    where.add_argument(
        "--tf32",
        action="store_true",
        default=None,
        help="on a GPU: products in TensorFloat-32, faster, three digits",
    )
    where.add_argument("--max-concurrent", type=int, metavar="N", help="trials at once (default: what fits)")
    where.add_argument(
        "--max-retries", type=int, metavar="N", help="of a trial whose worker died (default 2)"
    )
    where.add_argument(
        "--time-budget", metavar="T", help="as 90m, 2h or 1d; then no trial begins, and running ones finish"
    )
    where.add_argument("--max-failures", metavar="N", type=int, help="failed trials after which none begins")
    return parser


PLAIN = (
    "name", "out", "trials", "baseline_trials", "iterations", "batch_size", "design", "seeds_as_trials",
    "sampler", "search_seed", "keep_embeddings", "address", "tracking_uri", "optuna_storage", "storage",
    "cpus_per_trial", "gpus_per_trial", "tf32", "max_concurrent", "max_retries", "time_budget",
    "max_failures",
)  # fmt: skip


def flags_of(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that flags name. A password goes to the environment, whatever holds it."""
    given = data_settings(args)
    given |= {name: getattr(args, name) for name in PLAIN if getattr(args, name) is not None}
    for flag_name, name in (("objective", "objectives"), ("references", "references"), ("goals", "goals")):
        text = getattr(args, flag_name)
        if text is not None:
            given[name] = tuple(part.strip() for part in text.split(",") if part.strip())
    if args.seeds is not None:
        try:
            given["seeds"] = tuple(int(part) for part in args.seeds.split(","))
        except ValueError:
            raise UserError(
                f"--seeds is '{args.seeds}', but seeds are whole numbers: give a list as 0,1,2"
            ) from None
    dimensions = {name: getattr(args, name) for name in SPACE if getattr(args, name) is not None}
    if dimensions:
        given["dimensions"] = dimensions
    given.setdefault("optuna_storage", os.environ.get(secrets.VARIABLES["optuna_storage"]))
    given.setdefault("storage", os.environ.get("EMARGIN_STORAGE"))
    return given | {
        name: secrets.put_away(name, given[name]) for name in secrets.VARIABLES if given.get(name) is not None
    }


def settings_of(args: argparse.Namespace) -> Any:
    """Preset, then file, then flags. Raises UserError for what cannot be."""
    from emargin_train.data.catalogue import find
    from study.settings import StudySettings, stored_part

    if args.preset is not None and args.preset not in PRESETS:
        raise UserError(f"--preset is '{args.preset}': {nearest(args.preset, PRESETS)}")
    given: dict[str, Any] = {}
    for source in (
        PRESETS[args.preset] if args.preset else {},
        stored_part(Path(args.config)) if args.config else {},
        flags_of(args),
    ):
        given |= source | {"dimensions": given.get("dimensions", {}) | source.get("dimensions", {})}
    if "dataset" not in given:
        raise UserError(
            "--dataset is missing, but a study needs data: give one, as sleepeeg-sim, or --preset smoke"
        )
    find(given["dataset"])  # an unknown name is told before anything else
    if "name" not in given:
        stable = {k: v for k, v in given.items() if k not in StudySettings.OPERATIONAL}
        digest = hashlib.sha256(json.dumps(stable, sort_keys=True).encode()).hexdigest()[:6]
        stem = Path(given["dataset"]).stem.replace(":", "-")
        given["name"] = f"{stem}-{digest}"
    return StudySettings(**given)


def resumed_settings(folder: Path, given: dict[str, Any]) -> Any:
    """Of the study in a folder; flags may change where and how it runs, not what it finds."""
    from study import results

    settings = results.stored_settings(folder)
    for name, value in given.items():
        stored = getattr(settings, name)
        if value is not None and name not in settings.OPERATIONAL and value != stored:
            raise UserError(
                f"--{name.replace('_', '-')} is given beside --resume, but {folder} is a study with another: "
                "leave it out, or start a study of another name"
            )
    changed = {k: v for k, v in given.items() if v is not None and k in settings.OPERATIONAL and k != "out"}
    return dataclasses.replace(settings, **changed)


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


def run(settings: Any, args: argparse.Namespace, received: signals.Received) -> None:
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
