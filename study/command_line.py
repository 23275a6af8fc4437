"""The command line of `python -m study.run`: its flags, and the settings that result from them."""

import argparse
import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from emargin_train.data.settings import DatasetSettings
from emargin_train.errors import UserError
from emargin_train.flags import add_flags, default_note, read_flags
from emargin_train.hyperparameters import all_hyperparameters, read_by, table
from emargin_train.program import Parser
from emargin_train.settings import Setting, declared
from emargin_train.variants import VARIANT, in_variants
from study import plan, presets, secrets
from study.settings import OPERATIONAL, StudySettings, declared_settings, flag_of, stored_part

EXAMPLES = """\
examples:
  Show the plan only (trials, settings, resources, time) and run nothing:
    python -m study.run --dataset sleepeeg-sim --trials 32 --dry-run
  Try the program for half a minute on a laptop, without any data:
    python -m study.run --preset smoke
  A real study on the paper's sleep data, on a Ray cluster:
    python -m study.run --dataset sleepeeg --trials 64 --seeds 0,1,2,3,4 --address auto
  Your own WFDB recordings; the threshold is given as a share of steps, and the margin is fixed:
    python -m study.run --dataset ecg --data-dir mitdb --dissimilar-share 0:1 --margin 5
  Negative numbers need an equals sign:
    python -m study.run --dataset sleepeeg-sim --threshold=-1:0.9
  An ablation, in which one hyper-parameter at a time differs from the first value of its list:
    python -m study.run --dataset sleepeeg-sim --design ablation --threshold 0.4,0.2,0.6 --margin 5,1,10
  Two methods and InfoNCE, each setting on ten splits of the subjects:
    python -m study.run --dataset sleepeeg-sim --method emargin,emargin-semi --split-seeds 0:9
  The settings of an earlier study, under another name:
    python -m study.run --config runs/NAME/study.toml --name again
  Continue an interrupted study; add 16 trials to it; run its failed trials again:
    python -m study.run --resume runs/NAME
    python -m study.run --resume runs/NAME --extend 16
    python -m study.run --resume runs/NAME --retry failed

results:
  runs/NAME/results.parquet      one row for each replicate of each trial
  runs/NAME/report/index.html    the report: Pareto front, effect of the threshold, every trial
  mlflow ui --backend-store-uri sqlite:///runs/mlflow.db      opens MLflow, to browse and compare

exit codes:
  0   the study is done, or its time budget is used up
  1   no trial was ok, or the study stopped for a reason that it prints
  2   a flag or a file has to be corrected, as one line on standard error explains
  130, 143, 129   the study was interrupted by Ctrl-C, SIGTERM or SIGHUP
"""


DESCRIPTION = """\
Run a study: train an encoder with many settings and seeds, measure every one, and chart which goals conflict.

A hyper-parameter is searched where a range A:B or a list a,b,c is given, and fixed where a single value is
given. An interrupted study continues where it stopped when the same command is given again."""


def build_parser() -> Parser:
    parser = Parser("study.run", description=DESCRIPTION, epilog=EXAMPLES)
    parser.add_argument(
        "--preset",
        metavar="NAME",
        help=f"Take the settings of a preset: {', '.join(presets.NAMES)}. Other flags override them.",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="Take the settings of an earlier study from its study.toml. Other flags override them.",
    )
    parser.add_argument("--resume", metavar="DIR", help="Resume the study in this folder, such as runs/NAME.")
    parser.add_argument(
        "--extend",
        type=int,
        metavar="N",
        help="Resume the study with N more trials of each method of --method, and half as many of the "
        "baseline unless --baseline-trials gave their number.",
    )
    parser.add_argument(
        "--retry",
        choices=("failed",),
        help="Resume the study, and run failed trials again. (Trials that diverged do not run again, since "
        "they would diverge again.)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="Print the plan and the expected time, and run nothing.",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="Nothing is printed but the results, warnings and errors."
    )
    data, study, where = _groups()
    add_flags(parser.add_argument_group("data"), data)
    add_flags(parser.add_argument_group("study"), [*study, VARIANT])
    group = parser.add_argument_group("hyper-parameters: one value, a list a,b,c, or a range A:B")
    for one in all_hyperparameters().values():
        add_flags(
            group,
            [dataclasses.replace(one, metavar="SPEC")],
            notes={one.column: f"{searched_note(one)} {read_by(one.column)}".strip()},
        )
    add_flags(parser.add_argument_group("where it runs"), where)
    group = parser.add_argument_group("names of version 1")
    for flag, column in (("--objective", "methods"), ("--objectives", "methods"), ("--methods", "methods")):
        group.add_argument(flag, dest=column, metavar="NAMES", help=argparse.SUPPRESS)
    return parser


def _groups() -> tuple[list[Setting], list[Setting], list[Setting]]:
    """The declared settings in three groups: those of the data, of the study, and of where it runs."""
    of_data = declared(DatasetSettings)
    known = {
        column: dataclasses.replace(one, column="method") if column == "methods" else one
        for column, one in declared_settings().items()
    }
    data = [
        known["dataset"],
        *(one for column, one in known.items() if column in of_data and column != "dataset"),
    ]
    where = [one for column, one in known.items() if column in OPERATIONAL]
    return data, [one for one in known.values() if one not in data and one not in where], where


def searched_note(one: Setting) -> str:
    """The range that is searched by default, or the default value."""
    if one.search is None:
        return default_note(one)
    return f"(searched in {one.search[0]:g}:{one.search[1]:g} by default)"


def flags_of(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that flags give. A password in any of them is moved to the environment."""
    settings = declared_settings()
    given: dict[str, Any] = read_flags(args, (one for name, one in settings.items() if name != "methods"))
    methods = getattr(args, "methods", None) or getattr(args, "method", None)
    if methods is not None:
        given["methods"] = settings["methods"].read(methods)
    if args.variant is not None:
        given["variants"] = VARIANT.read(args.variant)
    texts = {c: getattr(args, c) for c in all_hyperparameters() if getattr(args, c) is not None}
    if texts:
        given["hyperparameters"] = texts
    for name, variable in (
        ("optuna_storage", secrets.VARIABLES["optuna_storage"]),
        ("storage", "EMARGIN_STORAGE"),
    ):
        given.setdefault(name, os.environ.get(variable))
    return given | {
        name: secrets.put_away(name, given[name]) for name in secrets.VARIABLES if given.get(name) is not None
    }


def settings_of(args: argparse.Namespace) -> StudySettings:
    """The settings of preset, file and flags; later ones win. Raises UserError for impossible settings."""
    from emargin_train.data.catalogue import find

    given: dict[str, Any] = {}
    flags = flags_of(args)
    for source in (
        presets.preset(args.preset) if args.preset else {},
        stored_part(Path(args.config)) if args.config else {},
        flags,
    ):
        texts = given.get("hyperparameters", {}) | source.get("hyperparameters", {})
        given |= source | {"hyperparameters": texts}
    _name_variants(given, StudySettings.methods)
    if given.get("dataset"):
        find(given["dataset"])  # an unknown name is refused before anything else
    if given.get("dataset") and "name" not in given:
        stable = {k: v for k, v in given.items() if k not in (*OPERATIONAL, "shard")}
        digest = hashlib.sha256(json.dumps(stable, sort_keys=True).encode()).hexdigest()[:6]
        stem = Path(given["dataset"]).stem.replace(":", "-")
        given["name"] = f"{stem}-{digest}"
    settings = StudySettings(**{"name": "-"} | given)
    settings = dataclasses.replace(settings, name=settings.name + settings.ending)
    return plan.with_given(settings, flags.get("hyperparameters", {}))


def _name_variants(given: dict[str, Any], methods: tuple[str, ...]) -> None:
    """Put the variants that were given into the methods; `methods`, where those are not given."""
    variants = given.pop("variants", None)
    if variants is not None:
        given["methods"] = in_variants(given.get("methods", methods), variants)


def resumed_settings(folder: Path, given: dict[str, Any]) -> StudySettings:
    """The settings of the study in a folder; flags may change where and how it runs, not what it finds."""
    from study import results  # loads pandas and scikit-learn, which a help text does not need

    stored = results.stored_settings(folder)
    given = {name: value for name, value in given.items() if value is not None}
    _name_variants(given, stored.methods)
    texts = given.pop("hyperparameters", {})
    for column, text in texts.items():
        if not any(column in table(method, stored.encoder) for method in stored.space):
            raise UserError(
                f"{flag_of(column)} {text} is given with --resume, but no method of {folder} has that "
                "hyper-parameter: leave it out"
            )
    asked = {name: value for name, value in given.items() if name not in OPERATIONAL}
    differences = plan.with_given(dataclasses.replace(stored, **asked), texts).differences(stored)
    flags = {flag_of(column) for column in (*asked, *texts)}
    for flag, (new, old) in sorted(differences.items(), key=lambda one: one[0] not in flags):
        raise UserError(
            f"{flag} {new} is given with --resume, but {folder} is a study with {old}: leave it out, "
            "or start a study with another name"
        )
    changed = {name: value for name, value in given.items() if name in OPERATIONAL and name != "out"}
    return dataclasses.replace(stored, **changed)
