"""Run a study: train an encoder at many settings and seeds, measure each, chart what trades against what.

The knobs are searched where a range A:B or a list a,b,c is given, and fixed where a single value is; an
interrupted study goes on where it stopped when the same command is given again."""

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from emargin_train.errors import UserError, exit_on_user_error, nearest
from emargin_train.flags import add_data_flags, data_settings
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

results:
  runs/NAME/results.parquet      one row per trial and seed
  runs/NAME/report/index.html    the Pareto front, the threshold's effect, every trial
  mlflow ui --backend-store-uri sqlite:///runs/mlflow.db      every trial, to browse and compare

exit codes: 0 done; 1 done, but no trial was ok; 2 something to put right, named in one line; 130 interrupted
"""


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
    parser.add_argument("--resume", metavar="DIR", help="go on with the study in this folder, e.g. runs/NAME")
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
        "--design", metavar="KIND", help="search (default), or grid: all combinations of the lists"
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
    where.add_argument("--cpus-per-trial", type=int, metavar="N", help="and its threads (default 1)")
    where.add_argument(
        "--gpus-per-trial", type=float, metavar="X", help="0 (default), 1, or a share such as 0.25"
    )
    where.add_argument("--max-concurrent", type=int, metavar="N", help="trials at once (default: what fits)")
    where.add_argument(
        "--max-retries", type=int, metavar="N", help="of a trial whose worker died (default 2)"
    )
    return parser


def settings_of(args: argparse.Namespace) -> Any:
    """Preset, then flags. Raises UserError for what cannot be."""
    from emargin_train.data.catalogue import find
    from study.settings import StudySettings

    if args.preset is not None and args.preset not in PRESETS:
        raise UserError(f"--preset is '{args.preset}': {nearest(args.preset, PRESETS)}")
    given: dict[str, Any] = dict(PRESETS[args.preset]) if args.preset else {}
    given |= data_settings(args)
    names: tuple[str, ...] = (
        "name",
        "out",
        "trials",
        "baseline_trials",
        "iterations",
        "batch_size",
        "design",
        "sampler",
        "search_seed",
    )
    names += (
        "keep_embeddings",
        "address",
        "tracking_uri",
        "cpus_per_trial",
        "gpus_per_trial",
        "max_concurrent",
        "max_retries",
    )
    given |= {name: getattr(args, name) for name in names if getattr(args, name) is not None}
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
    given["dimensions"] = given.get("dimensions", {}) | dimensions
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


def main() -> None:
    args = build_parser().parse_args()
    from study import results

    settings = results.stored_settings(Path(args.resume)) if args.resume else settings_of(args)
    if args.dry_run:
        from study.dry_run import describe

        print(describe(settings))
        return
    from study.conduct import conduct

    started = time.monotonic()
    outcome = conduct(settings)
    folder = settings.folder
    print(outcome.summary(time.monotonic() - started))
    if args.preset and args.preset.startswith("paper-"):
        from study.published import compare

        print(compare(args.preset, settings, outcome.done))
    if outcome.counts["ok"]:
        from analysis.report import build

        print(f"report:  {build(folder)}")
    print(f"results: {folder / 'results.parquet'}")
    print(f"browse:  {outcome.browse}")
    if outcome.interrupted:
        print(f"interrupted; to go on: python -m study.run --resume {folder}")
        sys.exit(130)
    sys.exit(0 if outcome.counts["ok"] else 1)


if __name__ == "__main__":
    exit_on_user_error(main)
