"""A small dataset for quick trainings: noise in CSV files, where each class has another spectrum."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

SUBJECTS = ("anna", "bela", "carl", "dora", "emil")
DESCRIPTION = """\
title = "Tiny: coloured noise in three classes"
rate_hz = 50

[[signal]]
files = "{subject}.csv"
channels = ["x"]
rate_hz = 50

[labels]
from = "column"
column = "label"

[frames]
length = 20
hop = 20
sequence_length = 20
"""


def write(folder: Path) -> Path:
    """Write five subjects of 240 frames and their description; returns the path of the TOML file."""
    rng = np.random.default_rng(0)
    for subject in SUBJECTS:
        lines = ["x,label"]
        for label in rng.permutation(np.repeat(["low", "middle", "high"], 4)):
            n = 400
            spectrum = np.fft.rfft(rng.normal(size=n))
            centre = {"low": 3.0, "middle": 9.0, "high": 18.0}[label]
            spectrum *= np.exp(-0.5 * ((np.fft.rfftfreq(n, 1 / 50) - centre) / 3) ** 2)
            lines += [f"{value:.5f},{label}" for value in np.fft.irfft(spectrum, n)]
        (folder / f"{subject}.csv").write_text("\n".join(lines) + "\n")
    path = folder / "tiny.toml"
    path.write_text(DESCRIPTION)
    return path


@cache
def tiny() -> Path:
    """The tiny dataset, written once per test process."""
    folder = Path(tempfile.mkdtemp(prefix="emargin-tiny-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return write(folder)


@cache
def unlabelled() -> Path:
    """The tiny dataset as one without labels: its description has no [labels]."""
    before, after = DESCRIPTION.split("[labels]")
    path = tiny().parent / "unlabelled.toml"
    path.write_text(before + "[frames]" + after.split("[frames]")[1])
    return path
