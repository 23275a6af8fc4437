import pytest

from emargin_train.evaluation.metrics import METRICS

COLUMNS = """
silhouette davies_bouldin calinski_harabasz largest_cluster_share silhouette_normalised silhouette_null
silhouette_excess silhouette_permuted nmi ari silhouette_of_labels
paper_probe_accuracy paper_probe_precision paper_probe_recall paper_probe_f1
probe_accuracy probe_balanced_accuracy probe_precision probe_recall probe_f1
knn_balanced_accuracy mlp_balanced_accuracy
effective_rank participation_ratio intrinsic_dimension mean_cosine alignment uniformity class_centroid_spread
pseudo_label_auroc pseudo_label_average_precision pseudo_label_precision pseudo_label_recall pseudo_label_f1
test_silhouette test_davies_bouldin test_nmi test_probe_accuracy test_probe_balanced_accuracy
test_knn_balanced_accuracy test_mlp_balanced_accuracy test_effective_rank
""".split()


def test_metrics_are_the_columns_of_the_schema():
    assert list(METRICS) == COLUMNS


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_what_it_is(name):
    metric = METRICS[name]
    assert metric.low < metric.high and metric.best in ("max", "min", None)
    assert metric.title and metric.source and metric.description
    assert ("test" in metric.frames) == name.startswith("test_")


def test_davies_bouldin_is_good_at_its_low_end():
    assert METRICS["davies_bouldin"].best == METRICS["test_davies_bouldin"].best == "min"
    assert METRICS["silhouette"].best == "max"
