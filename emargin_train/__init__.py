"""Self-supervised encoders of time series: load data, train one encoder, measure it, encode recordings.

    import emargin_train

    splits = emargin_train.load("sleepeeg-sim", sequence_length=50)
    trained = emargin_train.fit("sleepeeg-sim", method="emargin", threshold=0.4, iterations=100)
    trained.metrics["silhouette"]
    trained.save("encoder.pt")
    embeddings = emargin_train.load_encoder("encoder.pt").encode(recording)

What these names need is imported when one of them is first asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emargin_train.interface import Trained, evaluate, fit, load, load_encoder, recordings

__all__ = ["Trained", "evaluate", "fit", "load", "load_encoder", "recordings"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from emargin_train import interface

        return getattr(interface, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}': it has {', '.join(__all__)}")
