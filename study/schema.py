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

IDENTITY: dict[str, pa.DataType] = {
    "study": TEXT, "trial": TEXT, "role": TEXT, "config_hash": TEXT, "seed": INT, "split_seed": INT,
    "data_hash": TEXT, "git_revision": TEXT, "started_at": TIME, "device": TEXT, "mlflow_run_id": TEXT,
}  # fmt: skip
SETTINGS: dict[str, pa.DataType] = {
    "dataset": TEXT, "split": TEXT, "method": TEXT, "encoder": TEXT, "encoder_variant": TEXT,
    "encoder_context": TEXT,  # frame, or sequence: an embedding depends on other frames of its sequence too
    "gate_given_as": TEXT, "sequence_length": INT, "evaluation_frames": INT, "noise_kind": TEXT,
}  # fmt: skip
OUTCOME: dict[str, pa.DataType] = {
    "status": TEXT, "error": TEXT, "diverged_step": INT, "final_loss": NUMBER,
    "null_reasons": TEXT,  # JSON: metric -> why it is null
}  # fmt: skip
COST: dict[str, pa.DataType] = {
    "data_seconds": NUMBER, "train_seconds": NUMBER, "eval_seconds": NUMBER, "log_seconds": NUMBER,
    "peak_memory_mb": NUMBER, "stack_members": INT,  # trainings in its stack, which shared train_seconds
}  # fmt: skip


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


def _plain(columns: dict[str, pa.DataType], kind: str) -> list[pa.Field]:
    return [pa.field(name, of, metadata={"kind": kind}) for name, of in columns.items()]


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
