"""Version 1 of results.parquet, converted to version 2 on reading.

Version 1 files do not describe their methods and hyper-parameters; so this file describes those of the
program that wrote them. It never needs additions.
"""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

RENAMED = {"objective": "method", "framing": "spectrum_scale"}
MARGIN = (
    "gate",
    "threshold",
    "dissimilar_share",
    "margin",
    "temperature",
    "neighbours",
    "similar_sign",
    "gamma",
)
LABELS = ("label_share", "supervised_term", "supervised_weight")
# name: title, role, and those of its hyper-parameters that not all methods read
METHODS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "emargin": ("eMargin", "method", MARGIN),
    "infonce": ("InfoNCE", "method", ("temperature", "neighbours")),
    "emargin-semi": ("eMargin, semi-supervised", "method", (*MARGIN, *LABELS)),
    "emargin-adjacent": ("eMargin, adjacent", "method", MARGIN[:6]),
    "emargin-released": (
        "eMargin, as released",
        "method",
        ("threshold", "margin", "temperature", "neighbours"),
    ),
    "infonce-released": ("InfoNCE, as released", "method", ("temperature", "neighbours")),
    "supervised": ("Supervised", "upper bound", ()),
    "pca": ("PCA", "reference", ()),
    "raw": ("Raw spectra", "reference", ()),
    "log-raw": ("Log spectra", "reference", ()),
    "random": ("Random encoder", "reference", ()),
}
BASELINES = ("infonce", "infonce-released")  # these have the role "baseline", in files without this column
WITHOUT_ENCODER = ("pca", "raw", "log-raw")
# name: title, scale, low, high, default, role
HYPERPARAMETERS: dict[str, tuple[str, str, float | None, float | None, Any, str]] = {
    "gate": ("Gate", "category", None, None, "intended", "fixed"),
    "threshold": ("Threshold", "linear", -1, 1, 0.4, "scientific"),
    "dissimilar_share": ("Dissimilar share", "linear", 0, 1, None, "scientific"),
    "margin": ("Margin", "log", 0, float("inf"), 5.0, "scientific"),
    "temperature": ("Temperature", "log", 0, float("inf"), 0.1, "scientific"),
    "neighbours": ("Neighbours", "linear", 1, 2, 2, "fixed"),
    "similar_sign": ("Sign of the similar part", "linear", -1, 1, -1, "fixed"),
    "gamma": ("Gamma", "log", 0, float("inf"), 0.05, "fixed"),
    "label_share": ("Label share", "linear", 0, 1, 0.1, "fixed"),
    "supervised_term": ("Supervised term", "category", None, None, "contrastive", "fixed"),
    "supervised_weight": ("Supervised weight", "log", 0, float("inf"), 1.0, "scientific"),
    "head": ("Head", "category", None, None, "none", "fixed"),
    "kernel_size": ("Kernel size", "linear", 1, float("inf"), 1, "fixed"),
    "spectrum_scale": ("Spectrum scale", "category", None, None, "magnitude", "fixed"),
    "iterations": ("Iterations", "linear", 1, float("inf"), None, "fixed"),
    "batch_size": ("Batch size", "linear", 1, float("inf"), 8, "fixed"),
    "snr_db": ("SNR (dB)", "linear", -100, 100, None, "fixed"),
}
CONTROLS = {"gate": ["all-similar", "all-dissimilar", "random", "oracle"]}
IDENTITY = (
    "study", "trial", "role", "config_hash", "seed", "split_seed", "data_hash", "git_revision", "started_at",
    "device", "mlflow_run_id",
)  # fmt: skip
SETTINGS = {
    "dataset": "Dataset", "split": "Split", "method": "Method", "encoder": "Encoder",
    "encoder_variant": "Encoder variant", "gate_given_as": "Gate given as",
    "sequence_length": "Sequence length", "evaluation_frames": "Evaluation frames",
    "noise_kind": "Noise kind",
}  # fmt: skip
OUTCOMES = ("status", "error", "diverged_step", "final_loss", "null_reasons")
COSTS = ("data_seconds", "train_seconds", "eval_seconds", "log_seconds", "peak_memory_mb", "stack_members")


def converted(table: pa.Table, study: Mapping[str, Any]) -> pa.Table:
    """Convert a version 1 table to version 2.

    study: the study.toml beside the file. Only this file says which of threshold and share was set: where it
        is
        missing, `gate_given_as` is null.
    """
    rows = table.rename_columns([RENAMED.get(name, name) for name in table.column_names])
    if "method" not in rows.column_names:
        return rows
    methods = pd.Series(rows["method"].to_pylist(), dtype=object)
    added = {
        "role": methods.map(_role),
        "encoder": methods.map(lambda name: None if name in WITHOUT_ENCODER else "projector"),
        "encoder_variant": methods.map(_variant),
        "gate_given_as": methods.map(lambda name: _given(name, study)),
    }
    for name, values in added.items():
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.array(values, pa.string(), from_pandas=True))
    fields = [column.with_metadata(_about(column)) for column in rows.schema]
    described = {
        name: {"title": title, "role": role, "hyperparameters": list(own), "description": ""}
        for name, (title, role, own) in METHODS.items()
    }
    return rows.cast(pa.schema(fields, metadata={"schema_version": "2", "methods": json.dumps(described)}))


def _role(method: str) -> str:
    if METHODS.get(method, ("", "method", ()))[1] != "method":
        return "reference"
    return "baseline" if method in BASELINES else "searched"


def _variant(method: str) -> str | None:
    if method in WITHOUT_ENCODER:
        return None
    return "released" if method.endswith("-released") else "shared"


def _given(method: str, study: Mapping[str, Any]) -> str | None:
    reads = METHODS.get(method, ("", "", ()))[2]
    if "threshold" not in reads or "dimensions" not in study:
        return None
    # The share replaced the default threshold for the methods that read it.
    share = "dissimilar_share" in study["dimensions"] and "dissimilar_share" in reads
    return "dissimilar_share" if share else "threshold"


def _about(column: pa.Field) -> dict[str, str]:
    """The field's metadata in version 2; empty for a column that version 1 did not have."""
    name, known = column.name, {k.decode(): v.decode() for k, v in (column.metadata or {}).items()}
    if "best" in known:
        return known | {"kind": "metric"}
    if name in HYPERPARAMETERS:
        title, scale, low, high, default, role = HYPERPARAMETERS[name]
        readers = [method for method, (*_, own) in METHODS.items() if name in own]
        about = {"kind": "hyperparameter", "title": title, "scale": scale, "role": role}
        about |= {"default": json.dumps(default), "methods": json.dumps(readers or ["*"])}
        about["controls"] = json.dumps(CONTROLS.get(name, []))
        return about if low is None else about | {"low": str(low), "high": str(high)}
    if name in SETTINGS:
        return {"kind": "setting", "title": SETTINGS[name]}
    for kind, names in (("identity", IDENTITY), ("outcome", OUTCOMES), ("cost", COSTS)):
        if name in names:
            return {"kind": kind}
    return known
