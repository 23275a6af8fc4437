"""The table of all metrics, with range and source. Only this table says which end of a range is good."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

from emargin_train.evaluation import clustering, geometry


@dataclass(frozen=True)
class Metric:
    """The description of one metric, a column of results.parquet.

    low, high: range of the values; inf = unbounded
    best: "max" or "min", the end that is good; None where neither is (a description, not a score)
    source: the paper or implementation that defines it
    group: clustering | probe | geometry | pseudo-label
    frames: the frames on which it is computed
    needs_labels: whether it is null for recordings without labels
    compute: a function from a `cloud.Cloud`, which has embeddings h (n, D) and classes (n,), to the value;
        metrics without this function are computed in `battery`
    """

    title: str
    low: float
    high: float
    best: Literal["max", "min"] | None
    source: str
    group: str
    frames: str
    description: str
    needs_labels: bool = False
    compute: Callable[[Any], float] | None = None


BALANCED = "class-balanced validation"
NATURAL = "natural validation"
PAIRS = "adjacent validation pairs"
TRAIN_STEPS = "training steps, against true class changes"

ROUSSEEUW = "Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7"
DAVIES = "Davies & Bouldin 1979, doi:10.1109/TPAMI.1979.4766909"
CALINSKI = "Caliński & Harabasz 1974, doi:10.1080/03610927408827101"
ARTHUR = "ours; k-means++: Arthur & Vassilvitskii 2007"
STREHL = "Strehl & Ghosh 2002, JMLR 3:583-617"
HUBERT = "Hubert & Arabie 1985, doi:10.1007/BF01908075"
TIBSHIRANI = "after the gap statistic, Tibshirani et al. 2001, doi:10.1111/1467-9868.00293"
EMARGIN = "eMargin, arXiv:2507.14828, released protocol"
BISHOP = "Bishop 2006, section 4.3.4; decision by Menon et al. 2021, arXiv:2007.07314"
COVER = "Cover & Hart 1967, doi:10.1109/TIT.1967.1053964"
ALAIN = "non-linear probe after Alain & Bengio 2016, arXiv:1610.01644"
SOKOLOVA = "Sokolova & Lapalme 2009, doi:10.1016/j.ipm.2009.03.002"
ROY = "Roy & Vetterli 2007; RankMe, Garrido et al. 2023, arXiv:2210.02885"
GAO = "Gao et al. 2017, doi:10.1101/214262"
FACCO = "TwoNN: Facco et al. 2017, doi:10.1038/s41598-017-11873-y"
ETHAYARAJH = "anisotropy: Ethayarajh 2019, arXiv:1909.00512"
WANG = "Wang & Isola 2020, arXiv:2005.10242"
FISHER = "correlation ratio: Fisher 1925; trace criterion of discriminant analysis"
FAWCETT = "Fawcett 2006, doi:10.1016/j.patrec.2005.10.010"
DAVIS = "Davis & Goadrich 2006, doi:10.1145/1143844.1143874"


def _clustering(
    title: str,
    low: float,
    high: float,
    best: Literal["max", "min"] | None,
    source: str,
    what: str,
    compute: Callable[[Any], float] | None = None,
    *,
    needs_labels: bool = False,
) -> Metric:
    return Metric(title, low, high, best, source, "clustering", BALANCED, what, needs_labels, compute)


def _probe(title: str, source: str, frames: str, what: str) -> Metric:
    return Metric(title, 0, 1, "max", source, "probe", frames, what, True)


def _geometry(
    title: str,
    low: float,
    high: float,
    best: Literal["max", "min"] | None,
    source: str,
    what: str,
    frames: str = BALANCED,
    compute: Callable[[Any], float] | None = None,
    *,
    needs_labels: bool = False,
) -> Metric:
    return Metric(title, low, high, best, source, "geometry", frames, what, needs_labels, compute)


def _pseudo(title: str, source: str, what: str) -> Metric:
    return Metric(title, 0, 1, "max", source, "pseudo-label", TRAIN_STEPS, what, True)


_VALIDATION: dict[str, Metric] = {
    "silhouette": _clustering(
        "Silhouette", -1, 1, "max", ROUSSEEUW, "of KMeans' clusters on h, as published"
    ),
    "davies_bouldin": _clustering("Davies–Bouldin", 0, inf, "min", DAVIES, "of KMeans' clusters on h"),
    "calinski_harabasz": _clustering(
        "Caliński–Harabasz", 0, inf, "max", CALINSKI, "of KMeans' clusters on h"
    ),
    "largest_cluster_share": _clustering(
        "Largest cluster", 0, 1, "min", ARTHUR, "share of frames in KMeans' largest cluster"
    ),
    "silhouette_normalised": _clustering(
        "Silhouette on z", -1, 1, "max", ROUSSEEUW, "KMeans and Silhouette on z = h/|h| instead of h"
    ),
    "silhouette_null": _clustering(
        "Silhouette of a Gaussian", -1, 1, None, TIBSHIRANI,
        "mean score of the same KMeans on Gaussian draws with the covariance of h",
    ),
    "silhouette_excess": _clustering(
        "Silhouette beyond a Gaussian", -2, 2, "max", TIBSHIRANI,
        "silhouette minus silhouette_null; about 0 for a Gaussian cloud",
    ),
    "silhouette_permuted": _clustering(
        "Silhouette of permuted scores", -1, 1, None, "ours; after parallel analysis, Buja & Eyuboglu 1992",
        "score of the same KMeans after the principal scores of h are permuted independently: same "
        "spectrum, same tails, no clusters",
        lambda cloud: clustering.silhouette_permuted(cloud.h, cloud.n_clusters),
    ),
    "nmi": _clustering(
        "NMI", 0, 1, "max", STREHL, "KMeans' clusters and the classes, arithmetic mean",
        needs_labels=True,
    ),
    "ari": _clustering(
        "ARI", -0.5, 1, "max", HUBERT, "KMeans' clusters and the classes; 0 is chance", needs_labels=True
    ),
    "silhouette_of_labels": _clustering(
        "Silhouette of classes", -1, 1, "max", ROUSSEEUW, "of the true classes on h", needs_labels=True
    ),
    "paper_probe_accuracy": _probe(
        "Accuracy (paper's probe)", EMARGIN, NATURAL, "one linear layer, Adam 1e-3, 10 epochs"
    ),
    "paper_probe_precision": _probe("Precision (paper's probe)", EMARGIN, NATURAL, "macro average"),
    "paper_probe_recall": _probe("Recall (paper's probe)", EMARGIN, NATURAL, "macro average"),
    "paper_probe_f1": _probe("F1 (paper's probe)", EMARGIN, NATURAL, "weighted by frequency, as published"),
    "probe_accuracy": _probe("Accuracy (logistic)", BISHOP, NATURAL, "converged logistic regression"),
    "probe_balanced_accuracy": _probe(
        "Balanced accuracy (logistic)", BISHOP, BALANCED, "converged logistic regression; mean recall"
    ),
    "probe_precision": _probe("Precision (logistic)", SOKOLOVA, NATURAL, "macro average"),
    "probe_recall": _probe("Recall (logistic)", SOKOLOVA, NATURAL, "macro average"),
    "probe_f1": _probe("F1 (logistic)", SOKOLOVA, NATURAL, "macro average"),
    "knn_balanced_accuracy": _probe(
        "Balanced accuracy (kNN)", COVER, BALANCED, "15 nearest training frames, Euclidean on h"
    ),
    "mlp_balanced_accuracy": _probe(
        "Balanced accuracy (MLP)", ALAIN, BALANCED, "one hidden layer of 64; it also finds what is not linear"
    ),
    "effective_rank": _geometry(
        "Effective rank", 1, inf, None, ROY, "exp of the entropy of the centred embeddings' singular values"
    ),
    "participation_ratio": _geometry(
        "Participation ratio", 1, inf, None, GAO, "(sum of covariance eigenvalues)^2 / sum of their squares"
    ),
    "intrinsic_dimension": _geometry(
        "Intrinsic dimension", 0, inf, None, FACCO, "from the ratios of second to first neighbour distances"
    ),
    "mean_cosine": _geometry(
        "Mean cosine", -1, 1, None, ETHAYARAJH, "over all pairs; 1 is total collapse",
        compute=lambda cloud: geometry.mean_cosine(cloud.h),
    ),
    "alignment": _geometry(
        "Alignment", 0, 4, "min", WANG, "mean |z_i - z_(i+1)|^2 over adjacent frames of a sequence", PAIRS
    ),
    "uniformity": _geometry(
        "Uniformity", -8, 0, "min", WANG, "log mean exp(-2 |z_i - z_j|^2) over all pairs"
    ),
    "class_centroid_spread": _geometry(
        "Spread of class centroids", 0, 1, "max", FISHER,
        "share of the variance of h between class centroids",
        compute=lambda cloud: geometry.class_centroid_spread(cloud.h, cloud.classes), needs_labels=True,
    ),
    "pseudo_label_auroc": _pseudo("Pseudo-label AUROC", FAWCETT, "of adjacent cosines; 0.5 is chance"),
    "pseudo_label_average_precision": _pseudo("Pseudo-label average precision", DAVIS, "of adjacent cosines"),
    "pseudo_label_precision": _pseudo("Pseudo-label precision", SOKOLOVA, "of label 1"),
    "pseudo_label_recall": _pseudo("Pseudo-label recall", SOKOLOVA, "of label 1"),
    "pseudo_label_f1": _pseudo("Pseudo-label F1", SOKOLOVA, "of label 1"),
}  # fmt: skip

TESTED = (
    "silhouette", "davies_bouldin", "nmi", "probe_accuracy", "probe_balanced_accuracy",
    "knn_balanced_accuracy", "mlp_balanced_accuracy", "effective_rank",
)  # fmt: skip


def _on_test(metric: Metric) -> Metric:
    fields = metric.__dict__ | {
        "title": f"{metric.title}, test",
        "frames": metric.frames.replace("validation", "test"),
    }
    return Metric(**fields)


METRICS: dict[str, Metric] = _VALIDATION | {f"test_{name}": _on_test(_VALIDATION[name]) for name in TESTED}
