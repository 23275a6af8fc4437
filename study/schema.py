"""The columns of results.parquet and their metadata, from which `analysis` learns all it knows of a study.

Hyper-parameters come from the methods and encoders that declare them, metrics from the table of metrics.
"""

import json
import math

import pyarrow as pa

from emargin_train.declarations import declarations
from emargin_train.hyperparameters import all_hyperparameters, readers, table
from emargin_train.settings import Setting

SCHEMA_VERSION = "2"
TEXT, INT, NUMBER, TIME = pa.string(), pa.int64(), pa.float64(), pa.timestamp("us", tz="UTC")
TRUTH = pa.bool_()
KINDS = {int: INT, float: NUMBER, str: TEXT, bool: TRUTH}

# Columns by name: the type, and what the column holds.
Plain = dict[str, tuple[pa.DataType, str]]
IDENTITY: Plain = {
    "study": (TEXT, "the name of the study's folder"),
    "trial": (TEXT, "the name of the trial; its replicates share it"),
    "role": (TEXT, "searched, baseline or reference: why the study has this trial"),
    "config_hash": (TEXT, "a digest of all settings of the training, seeds included"),
    "seed": (INT, "the training seed of the replicate"),
    "split_seed": (INT, "the split seed of the replicate"),
    "data_hash": (TEXT, "a digest of the frames that were trained on and measured"),
    "git_revision": (TEXT, "the commit of the code; + means that files were changed after it"),
    "started_at": (TIME, "when the training began"),
    "device": (TEXT, "where it was trained, such as cpu"),
    "mlflow_experiment_id": (TEXT, "the experiment of the next column's run"),
    "mlflow_run_id": (TEXT, "the run of this replicate in MLflow"),
}
SETTINGS: Plain = {
    "dataset": (TEXT, "the name of the dataset"),
    "split": (TEXT, "how subjects or time were divided (--split)"),
    "method": (TEXT, "the method"),
    "encoder": (TEXT, "the encoder that was trained; null for a reference without one"),
    "encoder_variant": (TEXT, "shared, published or released; null for a reference without an encoder"),
    "encoder_context": (TEXT, "what an embedding depends on: its frame, or its whole sequence"),
    "gate_given_as": (TEXT, "threshold or dissimilar_share: which of the two was given"),
    "sequence_length": (INT, "frames in a sequence"),
    "evaluation_frames": (INT, "at most so many frames of a split were measured"),
    "noise_kind": (TEXT, "the kind of noise that was added; null = none was"),
}
OUTCOME: Plain = {
    "status": (TEXT, "ok, diverged (the loss was not finite) or failed (an error was raised)"),
    "error": (TEXT, "why it diverged or failed"),
    "diverged_step": (INT, "the step at which the loss was no longer finite"),
    "final_loss": (NUMBER, "the loss of the last step, or the last one that was finite"),
    "null_reasons": (TEXT, "JSON: for each metric that is null, the reason"),
}
COST: Plain = {
    "data_seconds": (NUMBER, "time to read or make the frames"),
    "train_seconds": (NUMBER, "time of the training"),
    "eval_seconds": (NUMBER, "time of the evaluation"),
    "log_seconds": (NUMBER, "time in which the driver stored the files of the replicate"),
    "peak_memory_mb": (NUMBER, "the largest memory of the process, in MB"),
    "stack_members": (INT, "trainings in the same stack, which share train_seconds"),
}


def schema(goals: tuple[str, ...] = ()) -> pa.Schema:
    """The columns in order. Their metadata describe each column; the table's metadata list the methods.

    goals: the goals of the study's search
    """
    fields = _plain(IDENTITY, "identity") + _plain(SETTINGS, "setting")
    fields += [_hyperparameter(one) for one in all_hyperparameters().values()]
    fields += _plain(OUTCOME, "outcome")
    for name, metric in declarations().metrics.items():
        about = {
            "kind": "metric",
            "title": metric.title,
            "low": str(metric.low),
            "high": str(metric.high),
            "best": metric.best or "none",
            "source": metric.source,
            "group": metric.group,
            "frames": metric.frames,
            "description": metric.description,
        }
        fields.append(pa.field(name, NUMBER, metadata=about))
    fields += _plain(COST, "cost")
    methods = {
        name: {
            "title": method.title,
            "role": method.role,
            "encoder_variant": method.encoder_variant,
            "variant_of": method.variant_of,
            "description": method.description,
            "hyperparameters": list(table(name)),
        }
        for name, method in declarations().methods.items()
    }
    about = {"schema_version": SCHEMA_VERSION, "methods": json.dumps(methods), "goals": json.dumps(goals)}
    return pa.schema(fields, metadata=about)


def _plain(columns: Plain, kind: str) -> list[pa.Field]:
    return [
        pa.field(name, of, metadata={"kind": kind, "description": what})
        for name, (of, what) in columns.items()
    ]


def _hyperparameter(one: Setting) -> pa.Field:
    trained = [name for name, method in declarations().methods.items() if method.Training is not None]
    owners = readers(one.column)
    about = {
        "kind": "hyperparameter",
        "title": one.title,
        "description": one.help,
        "scale": one.scale,
        "role": one.role,
        "default": json.dumps(one.default),
        "methods": json.dumps(["*"] if set(trained) <= set(owners) else owners),
        "controls": json.dumps(one.controls),
    }
    if one.scale != "category":
        about |= {"low": str(one.low), "high": str(one.high)}
    return pa.field(one.column, KINDS[one.kind], metadata=about)


def of_extra(values: list[object]) -> pa.DataType:
    """The type of a column that this version does not know: numbers if all its values are, else text."""
    known = [value for value in values if value is not None]
    is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
    return NUMBER if known and is_number and all(map(math.isfinite, known)) else TEXT  # type: ignore[arg-type]
