"""Complete settings by name; flags given beside a preset win.

smoke     2 eMargin trials, 1 seed, 20 steps on simulated sleep EEG: about half a minute on two cores
first     12 eMargin trials x 2 seeds beside InfoNCE on simulated sleep EEG: `make study`
"""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {
        "dataset": "sleepeeg-sim",
        "trials": 2,
        "baseline_trials": 1,
        "seeds": (0,),
        "iterations": 20,
        "references": ("raw", "random"),
    },
    "first": {
        "dataset": "sleepeeg-sim",
        "name": "first",
        "trials": 12,
        "seeds": (0, 1),
        "iterations": 100,
    },
}
