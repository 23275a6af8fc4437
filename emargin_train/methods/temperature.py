"""The hyper-parameter that all methods with a contrast of cosines share."""

from dataclasses import dataclass

from emargin_train.settings import Settings, hyperparameter


@dataclass(frozen=True, kw_only=True)
class TemperatureSettings(Settings):
    temperature: float = hyperparameter(
        0.1,
        "The temperature divides every cosine; if it is small, the nearest negatives count most.",
        metavar="TAU",
        low=0,
        above=True,
        search=(0.05, 1),
        log=True,
        role="scientific",
        why="it divides cosines",
    )
