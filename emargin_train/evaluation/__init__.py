"""Measure an encoder: clusters, probes and geometry of its embeddings."""

from emargin_train.evaluation.chosen import EvaluationSet, choose
from emargin_train.evaluation.evaluate import Embeddings, Evaluation, evaluate
from emargin_train.evaluation.metrics import METRICS, Metric

__all__ = ["METRICS", "Embeddings", "Evaluation", "EvaluationSet", "Metric", "choose", "evaluate"]
