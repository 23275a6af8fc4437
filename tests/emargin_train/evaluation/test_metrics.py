import sys
from pathlib import Path

import pytest

from emargin_train.errors import UserError, exit_on_user_error
from emargin_train.evaluation.__main__ import main, updated
from emargin_train.evaluation.metrics import METRICS

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
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


def test_the_document_is_current():
    assert updated(DOCUMENT.read_text()) == DOCUMENT.read_text()


def test_a_document_without_a_place_for_the_table_is_refused(tmp_path, monkeypatch, capsys):
    with pytest.raises(UserError, match="no place for the table"):
        updated("# Metrics")
    monkeypatch.setattr(sys, "argv", ["evaluation", str(tmp_path / "none.md")])
    with pytest.raises(SystemExit) as done:
        exit_on_user_error(main)
    said = capsys.readouterr().err
    assert done.value.code == 2 and "there is no file" in said and said.count("\n") == 1


def test_the_command_renews_the_table(tmp_path, monkeypatch):
    path = tmp_path / "metrics.md"
    path.write_text(DOCUMENT.read_text().replace("| `nmi` |", "| `old` |"))
    monkeypatch.setattr(sys, "argv", ["evaluation", str(path)])
    main()
    assert path.read_text() == DOCUMENT.read_text()
