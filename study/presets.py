"""Presets: complete settings of a study by name. Flags override them.

smoke             2 eMargin trials, 1 seed, 20 steps on simulated sleep EEG: half a minute on two cores
first             10 eMargin trials x 5 splits beside InfoNCE on 10 simulated nights, 80 steps: `make study`
paper-sleepeeg    the paper's settings, with the loss as the paper's code computes it, and 5 seeds; the
                  results are printed with the paper's figures
paper-harth       the same for HARTH
paper-ecg         the same for ECG
"""

from typing import Any

from emargin_train.errors import UserError, nearest

PAPER_THRESHOLD = 0.4
PAPER_WEIGHT_DECAY = "0.01"  # PyTorch's default: the released code does not pass on its own 0


def preset(name: str) -> dict[str, Any]:
    """The settings of a preset. Raises UserError for an unknown name."""
    if name not in NAMES:
        raise UserError(f"--preset is '{name}': {nearest(name, NAMES)}")
    return OWN[name] if name in OWN else _paper(name.removeprefix(PAPER))


def _paper(dataset: str) -> dict[str, Any]:
    """The settings that arXiv:2507.14828 gives for a dataset, with the split and weight decay of its code.

    Each seed is trained in float32, as the released code does, and in float64, where its loss has a value.
    """
    from emargin_train.data.catalogue import find

    known = find(dataset)
    return {
        "dataset": dataset,
        "methods": ("emargin-released",),
        "baseline": "none",
        "design": "grid",
        "hyperparameters": {
            "threshold": str(PAPER_THRESHOLD),
            "margin": str(known.margin),
            "temperature": str(known.temperature),
            "weight_decay": PAPER_WEIGHT_DECAY,
            "precision": "float32,float64",
        },
        "split": "released",
        "seeds": (0, 1, 2, 3, 4),
    }


OWN: dict[str, dict[str, Any]] = {
    "smoke": {
        "dataset": "sleepeeg-sim",
        "trials": 2,
        "baseline_trials": 1,
        "seeds": (0,),
        "hyperparameters": {"iterations": "20"},
        "references": ("raw", "random"),
    },
    "first": {
        "dataset": "sleepeeg-sim",
        "name": "first",
        "trials": 10,
        "baseline_trials": 4,
        "references": ("raw", "log-raw", "pca", "random"),
        "split_seeds": (0, 1, 2, 3, 4),  # other people each time, so that intervals are about people
        "seeds": (0,),
        "hyperparameters": {"iterations": "80"},
        "evaluation_frames": 2000,
    },
}
PAPER = "paper-"
NAMES = (*OWN, *(PAPER + dataset for dataset in ("sleepeeg", "harth", "ecg")))
