"""Simulated studies in version 2 of results.parquet, for tests of `analysis`: the right answers are known."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import tomli_w

INF = float("inf")
MARGIN = ["emargin", "emargin-semi"]
# name: (low, high, best, title)
METRICS = {
    "silhouette": (-1, 1, "max", "Silhouette"),
    "davies_bouldin": (0, INF, "min", "Davies–Bouldin index"),
    "calinski_harabasz": (0, INF, "max", "Calinski–Harabasz index"),
    "largest_cluster_share": (0, 1, "none", "Share of the largest cluster"),
    "silhouette_normalised": (-1, 1, "max", "Silhouette of unit embeddings"),
    "silhouette_null": (-1, 1, "none", "Silhouette of a Gaussian of the same covariance"),
    "silhouette_excess": (-2, 2, "max", "Calibrated Silhouette"),
    "nmi": (0, 1, "max", "Normalised mutual information"),
    "ari": (-0.5, 1, "max", "Adjusted Rand index"),
    "silhouette_of_labels": (-1, 1, "max", "Silhouette of the true classes"),
    "paper_probe_accuracy": (0, 1, "max", "Probe accuracy, paper's protocol"),
    "paper_probe_precision": (0, 1, "max", "Probe precision, paper's protocol"),
    "paper_probe_recall": (0, 1, "max", "Probe recall, paper's protocol"),
    "paper_probe_f1": (0, 1, "max", "Probe F1, paper's protocol"),
    "probe_accuracy": (0, 1, "max", "Probe accuracy"),
    "probe_balanced_accuracy": (0, 1, "max", "Balanced probe accuracy"),
    "probe_precision": (0, 1, "max", "Probe precision"),
    "probe_recall": (0, 1, "max", "Probe recall"),
    "probe_f1": (0, 1, "max", "Probe F1"),
    "knn_balanced_accuracy": (0, 1, "max", "Balanced kNN accuracy"),
    "mlp_balanced_accuracy": (0, 1, "max", "Balanced MLP accuracy"),
    "effective_rank": (1, INF, "none", "Effective rank"),
    "participation_ratio": (1, INF, "none", "Participation ratio"),
    "intrinsic_dimension": (0, INF, "none", "Intrinsic dimension"),
    "mean_cosine": (-1, 1, "none", "Mean cosine"),
    "alignment": (0, 4, "min", "Alignment"),
    "uniformity": (-INF, 0, "min", "Uniformity"),
    "pseudo_label_auroc": (0, 1, "max", "AUROC of the pseudo-labels"),
    "pseudo_label_average_precision": (0, 1, "max", "Average precision of the pseudo-labels"),
    "pseudo_label_precision": (0, 1, "max", "Precision of the pseudo-labels"),
    "pseudo_label_recall": (0, 1, "max", "Recall of the pseudo-labels"),
    "pseudo_label_f1": (0, 1, "max", "F1 of the pseudo-labels"),
}
TEST_METRICS = (
    "silhouette",
    "davies_bouldin",
    "nmi",
    "probe_accuracy",
    "probe_balanced_accuracy",
    "knn_balanced_accuracy",
    "mlp_balanced_accuracy",
    "effective_rank",
)
for _name in TEST_METRICS:
    METRICS[f"test_{_name}"] = (*METRICS[_name][:3], f"{METRICS[_name][3]}, test subjects")

WHO = {
    "study": "made-up",
    "split_seed": 0,
    "data_hash": "d" * 12,
    "git_revision": "0" * 40,
    "device": "cpu",
}
Hyperparameters = dict[str, tuple[str, str, float | None, float | None, object, str, list[str]]]
Methods = dict[str, tuple[str, str]]
# name: title, scale, low, high, default, role, methods
HYPERPARAMETERS: Hyperparameters = {
    "gate": ("Gate", "category", None, None, "intended", "fixed", MARGIN),
    "threshold": ("Threshold", "linear", -1, 1, 0.4, "scientific", MARGIN),
    "dissimilar_share": ("Dissimilar share", "linear", 0, 1, None, "scientific", MARGIN),
    "margin": ("Margin", "log", 0, INF, 5.0, "scientific", MARGIN),
    "temperature": ("Temperature", "log", 0, INF, 0.1, "scientific", [*MARGIN, "infonce"]),
    "neighbours": ("Neighbours", "linear", 1, 2, 2, "fixed", MARGIN),
    "similar_sign": ("Sign of the similar part", "linear", -1, 1, -1, "fixed", MARGIN),
    "gamma": ("Gamma", "log", 0, INF, 0.05, "fixed", MARGIN),
    "label_share": ("Label share", "linear", 0, 1, 0.1, "fixed", ["emargin-semi"]),
    "supervised_term": ("Supervised term", "category", None, None, "contrastive", "fixed", ["emargin-semi"]),
    "supervised_weight": ("Supervised weight", "log", 0, INF, 1.0, "scientific", ["emargin-semi"]),
    "head": ("Head", "category", None, None, "none", "fixed", ["*"]),
    "kernel_size": ("Kernel size", "linear", 1, INF, 1, "fixed", ["*"]),
    "spectrum_scale": ("Spectrum scale", "category", None, None, "magnitude", "fixed", ["*"]),
    "iterations": ("Iterations", "linear", 1, INF, 600, "fixed", ["*"]),
    "batch_size": ("Batch size", "linear", 1, INF, 8, "fixed", ["*"]),
    "snr_db": ("SNR (dB)", "linear", -100, 100, None, "fixed", ["*"]),
    "learning_rate": ("Learning rate", "log", 0, INF, 1e-3, "nuisance", ["*"]),
    "weight_decay": ("Weight decay", "log", 0, INF, 0.0, "nuisance", ["*"]),
}
# Title and role, in display order; the hyper-parameters are those of the table above that name the method.
METHODS: Methods = {
    "emargin": ("eMargin", "method"),
    "infonce": ("InfoNCE", "method"),
    "emargin-semi": ("eMargin, semi-supervised", "method"),
    "supervised": ("supervised encoder", "upper bound"),
    "pca": ("PCA of spectra", "reference"),
    "raw": ("raw spectra", "reference"),
    "log-raw": ("log spectra", "reference"),
    "random": ("untrained encoder", "reference"),
}
CONTROLS = ["all-similar", "all-dissimilar", "random", "oracle"]
IDENTITY = ("study", "trial", "role", "config_hash", "seed", "split_seed", "data_hash", "git_revision")
IDENTITY += ("started_at", "device", "mlflow_run_id")
SETTINGS = {
    "dataset": "Dataset", "split": "Split", "method": "Method", "encoder": "Encoder",
    "encoder_variant": "Encoder variant", "gate_given_as": "Gate given as",
    "sequence_length": "Sequence length", "evaluation_frames": "Evaluation frames",
    "noise_kind": "Noise kind",
}  # fmt: skip
OUTCOMES = ("status", "error", "diverged_step", "final_loss")
COSTS = ("data_seconds", "train_seconds", "eval_seconds", "log_seconds", "peak_memory_mb")
TRUTH = {  # silhouette, balanced accuracy, effective rank of the references
    "raw": (0.48, 0.37, 28.0),
    "log-raw": (0.22, 0.55, 60.0),
    "pca": (0.50, 0.36, 20.0),
    "random": (0.33, 0.39, 66.0),
    "supervised": (0.20, 0.82, 40.0),
}


def role_of(method: str) -> str:
    """The role of a method's rows in these made-up studies."""
    return "reference" if method in TRUTH else "baseline" if method == "infonce" else "searched"


def setting(method: str, **values: object) -> dict[str, object]:
    """A trial's settings, those it does not have null."""
    given, trained = method.startswith("emargin"), method not in TRUTH or method == "supervised"
    row: dict[str, object] = {
        "dataset": "sleepeeg-sim",
        "split": "subject",
        "method": method,
        "role": role_of(method),
        "gate": "intended" if given else None,
        "threshold": None,
        "dissimilar_share": None,
        "gate_given_as": "threshold" if given else None,
        "margin": 5.0 if given else None,
        "temperature": 0.1 if given or method == "infonce" else None,
        "neighbours": 2 if given else None,
        "similar_sign": -1 if given else None,
        "gamma": 0.05 if given else None,
        "head": "none",
        "kernel_size": 1,
        "spectrum_scale": "magnitude",
        "learning_rate": 1e-3 if trained else None,
        "weight_decay": 0.0 if trained else None,
        "encoder": None if method in ("raw", "log-raw", "pca") else "projector",
        "encoder_variant": None if method in ("raw", "log-raw", "pca") else "shared",
        "iterations": 600 if given or method == "infonce" else None,
        "batch_size": 8 if given or method == "infonce" else None,
        "sequence_length": 200,
        "evaluation_frames": 5000,
        "snr_db": None,
        "noise_kind": "white",
        "label_share": None,
        "supervised_term": None,
        "supervised_weight": None,
    }
    return row | values


def share_of(threshold: float) -> float:
    """Share of steps below a cosine threshold in these made-up data."""
    return float(1 / (1 + np.exp(-(threshold - 0.8) / 0.05)))


def outcome(row: dict[str, object], rng: np.random.Generator, noise: float = 0.01) -> dict[str, object]:
    """Metrics of one seed: more dissimilar steps, higher Silhouette, lower rank, lower accuracy."""
    method = str(row["method"])
    if method in TRUTH:
        silhouette, accuracy, rank = TRUTH[method]
    elif method == "infonce":
        t = np.log10(float(row["temperature"]))  # type: ignore[arg-type]
        silhouette, accuracy, rank = 0.25 - 0.15 * t, 0.55 - 0.08 * (t + 1) ** 2, 130.0
    else:
        share = float(row["dissimilar_share"])  # type: ignore[arg-type]
        strength = share * np.log10(1 + float(row["margin"]))  # type: ignore[arg-type]
        silhouette, accuracy, rank = (
            0.45 + 0.35 * strength,
            0.55 - 0.2 * strength,
            40 * np.exp(-2 * strength) + 2,
        )
        if row["label_share"] is not None:
            accuracy += 0.15 * np.sqrt(float(row["label_share"]) * 10)  # type: ignore[arg-type]
    if row["snr_db"] is not None:
        accuracy -= 0.01 * (20 - float(row["snr_db"]))  # type: ignore[arg-type]
    silhouette, accuracy = (float(v + noise * rng.normal()) for v in (silhouette, accuracy))
    rank = float(rank * np.exp(0.05 * rng.normal()))
    values: dict[str, object] = {name: float(np.clip(0.5 + 0.1 * rng.normal(), 0, 1)) for name in METRICS}
    values |= {
        "silhouette": silhouette,
        "silhouette_normalised": silhouette - 0.05,
        "silhouette_null": 0.02 + rank**-0.5,
    }
    values |= {"silhouette_excess": silhouette - 0.02 - rank**-0.5, "davies_bouldin": 1.6 - 1.4 * silhouette}
    values |= {"effective_rank": rank, "participation_ratio": rank / 2, "intrinsic_dimension": 2 + rank / 20}
    values |= {"mean_cosine": 1 - rank / 200, "uniformity": -rank / 60, "calinski_harabasz": 900 * silhouette}
    values |= {
        "probe_balanced_accuracy": accuracy,
        "probe_accuracy": accuracy + 0.1,
        "paper_probe_accuracy": accuracy,
    }
    values |= {
        "knn_balanced_accuracy": accuracy - 0.02,
        "mlp_balanced_accuracy": accuracy + 0.03,
        "nmi": accuracy / 2,
    }
    values |= {f"test_{name}": float(values[name]) - 0.02 for name in TEST_METRICS}  # type: ignore[arg-type]
    if not method.startswith("emargin"):
        values |= {name: None for name in METRICS if name.startswith("pseudo")}
    return values


def rows(
    *,
    trials: int = 24,
    seeds: int = 3,
    baseline_trials: int = 12,
    references: bool = True,
    diverged: float = 0.03,
    failed: float = 0.01,
    seed: int = 0,
    datasets: tuple[str, ...] = ("sleepeeg-sim",),
    fixed: dict[str, object] | None = None,
) -> pd.DataFrame:
    """A searched study: eMargin over three hyper-parameters, InfoNCE over its temperature, references."""
    rng = np.random.default_rng(seed)
    settings: list[tuple[str, dict[str, object]]] = []
    for dataset in datasets:
        prefix = f"{dataset}-" if len(datasets) > 1 else ""
        common = {"dataset": dataset} | (fixed or {})
        if references:
            settings += [(prefix + name, setting(name, **common)) for name in TRUTH]
        for i in range(trials):
            threshold = float(rng.uniform(0.2, 0.99))
            chosen = {"threshold": threshold, "dissimilar_share": share_of(threshold)}
            chosen |= {
                "margin": float(10 ** rng.uniform(-0.3, 1)),
                "temperature": float(10 ** rng.uniform(-1.3, 0)),
            }
            settings.append((f"{prefix}emargin-{i:04d}", setting("emargin", **{**chosen, **common})))
        for i in range(baseline_trials):
            chosen = {"temperature": float(10 ** rng.uniform(-1.3, 0))}
            settings.append((f"{prefix}infonce-{i:04d}", setting("infonce", **{**chosen, **common})))
    return expand(settings, seeds=seeds, diverged=diverged, failed=failed, rng=rng)


def grid(
    thresholds: tuple[float, ...] = (-1.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99),
    snrs: tuple[float | None, ...] = (0.0, 10.0, 20.0),
    *,
    seeds: int = 5,
    seed: int = 0,
    datasets: tuple[str, ...] = ("sleepeeg-sim",),
    gates: tuple[str, ...] = ("intended",),
    baseline: bool = True,
) -> pd.DataFrame:
    """A threshold x SNR grid of eMargin, with InfoNCE and references at each SNR."""
    settings: list[tuple[str, dict[str, object]]] = []
    for dataset in datasets:
        for snr in snrs:
            world = {"dataset": dataset, "snr_db": snr}
            for gate in gates:
                for t in thresholds:
                    chosen = {"threshold": t, "dissimilar_share": share_of(t), "gate": gate}
                    settings.append((f"{dataset}-{snr}-{gate}-{t}", setting("emargin", **chosen, **world)))
            if baseline:
                settings.append((f"{dataset}-{snr}-infonce", setting("infonce", **world)))
            settings += [(f"{dataset}-{snr}-{name}", setting(name, **world)) for name in ("raw", "random")]
    return expand(settings, seeds=seeds, diverged=0, failed=0, rng=np.random.default_rng(seed))


def semi(shares: tuple[float, ...] = (0.01, 0.05, 0.1), seeds: int = 5, seed: int = 0) -> pd.DataFrame:
    """Semi-supervised eMargin over label share and weight, with both ends."""
    chosen: dict[str, object] = {"threshold": 0.8, "dissimilar_share": 0.5}
    settings = [(name, setting(name)) for name in ("infonce", "random", "supervised")]
    settings.append(("emargin", setting("emargin", **chosen)))
    for share in shares:
        for weight in (0.3, 1.0, 3.0):
            extra = {"label_share": share, "supervised_weight": weight, "supervised_term": "contrastive"}
            settings.append((f"semi-{share}-{weight}", setting("emargin-semi", **chosen, **extra)))
    return expand(settings, seeds=seeds, diverged=0, failed=0, rng=np.random.default_rng(seed))


def expand(
    settings: list[tuple[str, dict[str, object]]],
    *,
    seeds: int,
    diverged: float,
    failed: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Each setting once per seed, in the order of asking; the fixed references once."""
    made = []
    started = pd.Timestamp("2025-01-01", tz="UTC")
    for trial, row in settings:
        once = row["method"] in ("raw", "log-raw", "pca")
        for s in range(1 if once else seeds):
            fate = rng.uniform()
            trained = row["method"] not in TRUTH
            status = "ok"
            if trained and fate < diverged + failed:
                status = "diverged" if fate < diverged else "failed"
            values = outcome(row, rng) if status == "ok" else dict.fromkeys(METRICS)
            started += pd.Timedelta(seconds=7)
            who = WHO | {"trial": trial, "seed": s, "config_hash": trial, "started_at": started.isoformat()}
            end = {
                "status": status,
                "error": "RuntimeError: made up" if status == "failed" else None,
                "diverged_step": 12 if status == "diverged" else None,
                "final_loss": 3.2 if status == "ok" and trained else None,
            }
            made.append(
                who | row | end | values | dict.fromkeys(COSTS, 1.5) | {"mlflow_run_id": f"{trial}-{s}"}
            )
    return pd.DataFrame(made)


def methods_json(methods: Methods = METHODS, hyperparameters: Hyperparameters = HYPERPARAMETERS) -> str:
    """The methods' description in the Arrow metadata."""
    described = {}
    for name, (title, role) in methods.items():
        own = [n for n, about in hyperparameters.items() if name in about[-1] or about[-1] == ["*"]]
        own = own if role != "reference" else []
        described[name] = {"title": title, "role": role, "hyperparameters": own, "description": "made up"}
    return json.dumps(described)


def field_of(column: pa.Field, hyperparameters: Hyperparameters = HYPERPARAMETERS) -> pa.Field:
    """A column's field with its metadata in version 2."""
    name = column.name
    if name in METRICS:
        low, high, best, title = METRICS[name]
        about = {"kind": "metric", "low": str(low), "high": str(high), "best": best, "title": title}
        return pa.field(name, pa.float64(), metadata=about | {"source": "made up"})
    if name in hyperparameters:
        title, scale, low, high, default, role, methods = hyperparameters[name]
        about = {"kind": "hyperparameter", "title": title, "scale": scale, "role": role}
        about |= {"default": json.dumps(default), "methods": json.dumps(methods), "description": "made up"}
        about["controls"] = json.dumps(CONTROLS if name == "gate" else [])
        if low is not None:
            about |= {"low": str(low), "high": str(high)}
        return column.with_metadata(about)
    if name in SETTINGS:
        return column.with_metadata({"kind": "setting", "title": SETTINGS[name]})
    kinds = {"identity": IDENTITY, "outcome": OUTCOMES, "cost": COSTS}
    for kind, names in kinds.items():
        if name in names:
            return column.with_metadata({"kind": kind})
    return column


def write(
    folder: Path,
    table: pd.DataFrame,
    *,
    version: bytes | None = b"2",
    settings: dict[str, object] | None = None,
    goals: tuple[str, ...] | None = None,
    methods: Methods = METHODS,
    hyperparameters: Hyperparameters = HYPERPARAMETERS,
) -> Path:
    """A study's folder around a table, as a study leaves it: results.parquet of version 2 and what is beside.

    methods, hyperparameters: what the file says of them; a column that is in no table says nothing of itself
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = pa.Table.from_pandas(table, preserve_index=False)
    fields = [field_of(column, hyperparameters) for column in made.schema]
    metadata = (
        {}
        if version is None
        else {"schema_version": version.decode(), "methods": methods_json(methods, hyperparameters)}
    )
    if goals is not None:
        metadata["goals"] = json.dumps(goals)
    pq.write_table(made.cast(pa.schema(fields, metadata=metadata)), folder / "results.parquet")
    default = {
        "name": folder.name,
        "dataset": "sleepeeg-sim",
        "methods": ["emargin"],
        "trials": 24,
        "seeds": [0, 1, 2],
        "goals": ["silhouette", "probe_balanced_accuracy"],
        "dimensions": {"threshold": "0.2:0.99", "margin": "0.5:10", "temperature": "0.05:1"},
    }
    (folder / "study.toml").write_text(
        tomli_w.dumps(default if settings is None else settings), encoding="utf-8"
    )
    manifest = {
        "versions": {"python": "3.12", "torch": "2.13.0"},
        "git_revision": "0" * 40,
        "data_hash": "d" * 12,
        "hardware": "2 CPU cores",
        "split": ["train: s01 s02 s03", "validation: s04", "test: s05"],
        "clusters": dict.fromkeys(map(str, table["dataset"].unique()), 5),
        "classes": ["wake", "N1", "N2", "N3", "REM"],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def write_embeddings(
    folder: Path, trial: str, seed: int, *, n: int = 300, rank: int = 3, n_classes: int = 5
) -> Path:
    """embeddings/<trial>-0-<seed>.arrow: frames of a random walk through `rank` dimensions of 320."""
    rng = np.random.default_rng(seed)
    basis = rng.normal(size=(rank, 320))
    h = (np.cumsum(rng.normal(size=(n, rank)), axis=0) @ basis).astype(np.float32)
    label = np.repeat(np.arange(n_classes), -(-n // n_classes))[:n]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(h.ravel()), 320)
    table = pa.table(
        {
            "h": vectors,
            "label": pa.array(label, pa.int64()),
            "cluster": pa.array((label + 1) % n_classes, pa.int64()),
            "subject": ["s04"] * n,
            "record": ["r04"] * n,
            "frame": pa.array(np.arange(n), pa.int64()),
        }
    )
    path = folder / "embeddings" / f"{trial}-0-{seed}.arrow"
    path.parent.mkdir(parents=True, exist_ok=True)
    feather.write_feather(table, path, compression="uncompressed")
    return path
