"""Studies: many trainings with different settings, on one machine or a Ray cluster.

import study

results = study.run(dataset="sleepeeg-sim", method="emargin", trials=8, seeds=[0, 1], iterations=50)
results.trials("silhouette", "probe_balanced_accuracy")
results.front()
study.read("runs/first").report()
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.notebook import Results, read

__all__ = ["Results", "read", "run"]


def __getattr__(name: str) -> Any:
    """What these names need is imported when one of them is first asked for."""
    if name == "run":
        return importlib.import_module("study.run")  # the program, which can be called
    if name in ("Results", "read"):
        return getattr(importlib.import_module("study.notebook"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}': it has {', '.join(__all__)}")
