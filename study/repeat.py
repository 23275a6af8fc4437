"""Train one row of a study's table again, from its stored settings, and compare every metric.

python -m study.repeat runs/NAME TRIAL REPLICATE        # a replicate: split seed and seed, as 0-1
python -m study.repeat docs/findings/NAME TRIAL SEED --data-dir DATA   # the recordings are in DATA now

The row is trained on this machine, with one thread and without a cluster. On the machine that wrote the row,
with the same versions, every metric must be equal in all digits. Elsewhere sums are rounded differently, and
a training may amplify that a lot. So it is then trained five times, four of them from initial weights that
are changed in their last digit, which shows how much rounding changes each metric. The stored value has to
lie within the 99.9 % prediction interval of these trainings, or within 0.002 of the metric's range (of its
mean, if it has no bounds) of their mean. For the metrics of a probe this is 0.02, since some frames lie at
its border. The exit code is 1 if a metric is outside its tolerance.
"""

import math
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from analysis import tables
from analysis.errors import UserError as AnalysisError
from emargin_train.data.settings import DatasetSettings
from emargin_train.declarations import declarations
from emargin_train.errors import UserError, exit_on_user_error, nearest
from emargin_train.hyperparameters import table
from emargin_train.program import Parser
from emargin_train.settings import declared
from study.settings import StudySettings

SHARE_OF_RANGE, OF_A_PROBE = 0.002, 0.02
PREDICTED = 0.999  # of the values that rounding alone gives
TRAININGS = 5
SPLITS = ("train:", "validation:", "test:")
GIVEN_AS = ("threshold", "dissimilar_share")  # one of them was set, and the row has both


@dataclass(frozen=True)
class Compared:
    """A metric of the stored row, and of the trainings that repeat it; None where it has no value.

    repeated: the mean of the trainings
    rounding: their standard deviation; 0 for a single one
    """

    metric: str
    stored: float | None
    repeated: float | None
    rounding: float
    tolerance: float

    @property
    def difference(self) -> float:
        if self.stored is None or self.repeated is None:
            return 0.0 if self.stored is self.repeated else math.inf
        return self.repeated - self.stored

    @property
    def is_inside(self) -> bool:
        return abs(self.difference) <= self.tolerance


@dataclass(frozen=True)
class Row:
    """A row of a study's table, with what its training follows from.

    values: by column; None where the table has none
    settings, manifest: of its study
    """

    values: dict[str, Any]
    settings: StudySettings
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.values['study']} {self.values['trial']} {_replicate(self.values)}"


def find(source: Path, trial: str, replicate: str) -> Row:
    """The row of a study's folder, or of its results.parquet. Raises UserError."""
    folder = source.parent if source.suffix == ".parquet" else source
    if source.suffix == ".parquet" and source.name != "results.parquet":
        raise UserError(f"{source} is not named results.parquet: give the folder of a study, as runs/NAME")
    try:
        study = tables.load(folder)
    except AnalysisError as error:
        raise UserError(str(error)) from None
    if not study.settings:
        raise UserError(
            f"{folder} has no study.toml, and the table alone does not say how its data were made: "
            "copy the study.toml beside it"
        )
    settings = StudySettings.from_dict(study.settings)
    of_trial = study.rows[study.rows["trial"] == trial]
    if of_trial.empty:
        raise UserError(f"'{trial}' is not a trial of {folder}: {nearest(trial, set(study.rows['trial']))}")
    found = [row for row in of_trial.to_dict("records") if replicate in (_replicate(row), str(row["seed"]))]
    if len(found) != 1:
        known = ", ".join(_replicate(row) for row in of_trial.to_dict("records"))
        raise UserError(f"'{replicate}' is not one replicate of {trial}: give one of {known}")
    values = {str(name): None if _is_null(value) else value for name, value in found[0].items()}
    return Row(values, settings, study.manifest)


def _replicate(row: Mapping[str, Any]) -> str:
    """As in the names of files; a table of version 1 may lack the split seed."""
    return f"{_split_seed(row)}-{int(row['seed'])}"


def _split_seed(row: Mapping[str, Any]) -> int:
    value: Any = row.get("split_seed")
    return 0 if _is_null(value) else int(value)


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def settings_of(row: Row, *, data_dir: str | None = None, dataset: str | None = None) -> dict[str, object]:
    """The settings of the row's training, as `TrainConfig.from_dict` takes them. Raises UserError.

    data_dir, dataset: in place of the stored ones, where the data lie elsewhere
    """
    method, encoder = row.values["method"], row.values.get("encoder") or row.settings.encoder
    if method not in declarations().methods:
        raise UserError(
            f"method '{method}' of {row.name} is not a method of this version: use the one that wrote it"
        )
    shared: dict[str, object] = {
        name: getattr(row.settings, name) for name in declared(DatasetSettings) if name != "dataset"
    }
    found = shared | {"dataset": dataset or row.settings.dataset, "method": method, "encoder": encoder}
    if data_dir is not None:
        found["data_dir"] = data_dir
    known = table(method, encoder)
    given_as = row.values.get("gate_given_as")
    for column in known:
        if column in GIVEN_AS and given_as is not None and column != given_as:
            continue
        if row.values.get(column) is not None:
            found[column] = row.values[column]
    both = [column for column in GIVEN_AS if column in found and column in known]
    if len(both) == 2:
        raise UserError(
            f"the table does not say whether {row.name} was given a threshold or a share: "
            "put the study.toml of version 1 beside it"
        )
    return found | {"split_seed": _split_seed(row.values), "seed": int(row.values["seed"])}


def same_place(row: Row, repeated: Mapping[str, Any]) -> list[str]:
    """What differs between the place where the row was written and this one; empty: all digits must agree."""
    found = []
    for name, value in (row.manifest.get("versions") or {}).items():
        here = platform.python_version() if name == "python" else _version(name)
        if here != value:
            found.append(f"{name} {value} there, {here} here")
    for name in ("device", "git_revision"):
        stored, here = row.values.get(name), repeated.get(name)
        if stored != here or stored is None:
            found.append(f"{name.replace('_', ' ')} {stored} there, {here} here")
    if str(row.values.get("git_revision")).endswith("+"):
        found.append("the code had changes there that were not committed")
    if str(row.manifest.get("schema_version")) == "1":
        found.append("version 1 there, which had other logistic and MLP probes (docs/log.md)")
    from emargin_train.cost import processor

    stored = (row.manifest.get("hardware") or {}).get("processor")
    if stored != processor():
        found.append(f"processor {stored or 'not recorded'} there, {processor()} here")
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except ModuleNotFoundError:
        return None


def compare(row: Row, repeated: Sequence[Mapping[str, Any]]) -> list[Compared]:
    """Every metric that a row has a value of, in the order of the table of metrics.

    repeated: the row of each training; a single one has to agree in every digit
    """
    found = []
    for name, metric in declarations().metrics.items():
        stored, values = row.values.get(name), [one.get(name) for one in repeated]
        if name not in row.values or (stored is None and all(value is None for value in values)):
            continue
        if stored is None and row.settings.metrics == "goals":
            continue  # it was not measured
        here = None if None in values else np.array(values, dtype=float)
        if here is None or len(here) == 1:
            found.append(Compared(name, stored, None if here is None else float(here[0]), 0.0, 0.0))
        else:
            rounding = float(here.std(ddof=1))
            tolerance = tolerance_of(metric, here)
            found.append(Compared(name, stored, float(here.mean()), rounding, tolerance))
    return found


def tolerance_of(metric: Any, values: np.ndarray) -> float:
    """How far rounding may take a metric from the mean of these values (n,): see the head of this file."""
    width = metric.high - metric.low
    size = width if math.isfinite(width) else abs(float(values.mean()))
    least = OF_A_PROBE if metric.group == "probe" else SHARE_OF_RANGE * size
    n = len(values)
    predicted = stats.t.ppf((1 + PREDICTED) / 2, n - 1) * values.std(ddof=1) * math.sqrt(1 + 1 / n)
    return max(float(predicted), least)


def other_split(row: Row, described: Sequence[str]) -> list[str]:
    """Lines about the train, validation and test split that differ from those in the manifest, both of each.

    described: what this version says of the split
    """
    stored = row.manifest.get("split") or ()
    if isinstance(stored, dict):  # since version 2, by split seed
        stored = stored.get(str(_split_seed(row.values)), ())
    there, here = (
        {line.partition(":")[0]: line for line in lines if line.startswith(SPLITS)}
        for lines in (stored, described)
    )
    different = [name for name in there if there[name] != here.get(name)]
    return [
        f"  {text}" for name in different for text in (f"there: {there[name]}", f"here: {here.get(name)}")
    ]


def shown(
    row: Row,
    repeated: Mapping[str, Any],
    compared: list[Compared],
    elsewhere: list[str],
    described: Sequence[str] = (),
) -> list[str]:
    """The comparison as lines of text. repeated: the row of the training whose weights were not changed"""
    lines = [f"{row.name}: {row.values['method']} on {row.values['dataset']}"]
    if elsewhere:
        lines += ["written elsewhere, so differences within the tolerance are rounding:"]
        lines += [f"  {one}" for one in elsewhere]
    else:
        lines += ["written on this machine with these versions: every digit must agree"]
    if row.values.get("data_hash") != repeated.get("data_hash"):
        lines.append(
            f"warning: the frames have the hash {repeated.get('data_hash')} here, and "
            f"{row.values.get('data_hash')} there: the recordings differ, or are framed in another way"
        )
        lines += other_split(row, described)
    heads = ("stored", "repeated", "difference", "rounding", "tolerance")
    lines.append(f"{'metric':32}" + "".join(f"{head:>13}" for head in heads))
    for one in compared:
        stored, here = (_number(value) for value in (one.stored, one.repeated))
        mark = "" if one.is_inside else "  outside"
        lines.append(
            f"{one.metric:32}{stored:>13}{here:>13}{one.difference:>13.2g}{one.rounding:>13.2g}"
            f"{one.tolerance:>13.2g}{mark}"
        )
    outside = [one.metric for one in compared if not one.is_inside]
    equal = sum(one.difference == 0 for one in compared)
    verdict = f"outside their tolerance: {', '.join(outside)}" if outside else "all within their tolerance"
    return [*lines, f"{len(compared)} metrics, {equal} equal in all digits; {verdict}"]


def _number(value: float | None) -> str:
    return "no value" if value is None else f"{value:.6g}"


def build_parser() -> Parser:
    parser = Parser("study.repeat", description=__doc__)
    parser.add_argument("study", type=Path, help="The folder of the study, or its results.parquet.")
    parser.add_argument("trial", help="The trial, such as emargin-0003.")
    parser.add_argument(
        "replicate", help="The replicate: its split seed and seed, such as 0-1; or the seed if it is enough."
    )
    parser.add_argument("--data-dir", metavar="DIR", help="The recordings are now in this folder.")
    parser.add_argument("--dataset", metavar="FILE", help="This .toml file describes the recordings now.")
    parser.add_argument(
        "--trainings",
        type=int,
        default=TRAININGS,
        metavar="N",
        help="If the row was written elsewhere, train it N times to measure what rounding changes (default "
        f"{TRAININGS}; at least 3).",
    )
    return parser


def main() -> None:
    args = build_parser().parse_args()
    if args.trainings < 3:
        raise UserError(
            f"--trainings is {args.trainings}, but a spread needs 3 or more: give a larger number"
        )
    row = find(args.study, args.trial, args.replicate)
    settings = settings_of(row, data_dir=args.data_dir, dataset=args.dataset)
    if str(settings["dataset"]).endswith(".toml") and not Path(str(settings["dataset"])).exists():
        raise UserError(
            f"the recordings of {row.name} are described in {settings['dataset']}, which does not exist "
            "here: say by --dataset where it is"
        )
    repeated, described = trained(settings)
    elsewhere = same_place(row, repeated)
    rows = [repeated]
    if elsewhere and repeated["status"] == "ok":
        rows += nudged(settings, args.trainings - 1)
    compared = compare(row, rows)
    print("\n".join(shown(row, repeated, compared, elsewhere, described)))
    same_end = row.values["status"] == repeated["status"]
    if not same_end:
        print(
            f"the row ended as {row.values['status']}, and here as {repeated['status']}: {repeated['error']}"
        )
    sys.exit(0 if same_end and all(one.is_inside for one in compared) else 1)


def nudged(settings: dict[str, object], n: int) -> list[dict[str, Any]]:
    """The rows of n trainings from weights that are changed in their last digit, without diverged ones."""
    found = []
    for number in range(1, n + 1):
        print(f"training {number + 1} of {n + 1}, to measure what rounding changes", file=sys.stderr)
        found.append(trained(settings, nudge=number)[0])
    diverged = [one for one in found if one["status"] != "ok"]
    if diverged:
        print(f"{len(diverged)} of these trainings diverged: {diverged[0]['error']}", file=sys.stderr)
    return [one for one in found if one["status"] == "ok"]


def trained(settings: dict[str, object], *, nudge: int = 0) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The row of a training with one thread, as a worker of a study has it, and its split in words.

    nudge: the seed of changes in the last digit of the initial weights; 0 = no change
    """
    import torch

    from emargin_train import checkpoint
    from emargin_train.config import TrainConfig
    from emargin_train.data import load
    from emargin_train.pretrain import Outcome, pretrain
    from emargin_train.train import start

    torch.set_num_threads(1)
    config = TrainConfig.from_dict(settings)
    splits = load(config.data)
    with tempfile.TemporaryDirectory() as folder:
        begun = None
        if nudge:
            state, begun = start(config, splits), Path(folder) / "begun.pt"
            generator = torch.Generator().manual_seed(nudge)
            with torch.no_grad():
                for weight in state.method.parameters():
                    digit = torch.finfo(weight.dtype).eps
                    weight.mul_(1 + digit * torch.randn(weight.shape, generator=generator).to(weight))
            checkpoint.save(state, begun)
        *_, outcome = pretrain(config, resume=begun)
    assert isinstance(outcome, Outcome)
    return outcome.row, splits.described


if __name__ == "__main__":
    exit_on_user_error(main)
