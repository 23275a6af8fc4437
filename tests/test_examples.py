"""The scripts and the notebook of examples/ run as they are, and `study.run` leaves its process alone."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import emargin_train
import study
from emargin_train.errors import UserError
from study import notebook
from tests.study.conftest import assert_one_line, here
from tests.tiny import tiny

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"


def run(folder: Path, *words: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        (sys.executable, *words), capture_output=True, text=True, cwd=folder, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_an_encoder_is_trained_kept_and_used(tmp_path):
    shown = run(tmp_path, str(EXAMPLES / "train_encoder.py"))
    assert "step 20 of 20" in shown and "kept in encoder.pt" in shown
    shown = run(tmp_path, str(EXAMPLES / "encode_recordings.py"))
    assert len(shown.splitlines()) == 10 and "320 numbers each" in shown


def test_results_are_read_and_drawn(tmp_path):
    folder = ROOT / "docs" / "findings" / "q1-sleepeeg-sim-infonce"
    shown = run(tmp_path, str(EXAMPLES / "read_results.py"), str(folder), "front.html")
    assert "silhouette_low" in shown and "vega" in (tmp_path / "front.html").read_text()


@pytest.mark.slow
def test_methods_stand_beside_those_of_aeon(tmp_path):
    lines = run(tmp_path, str(EXAMPLES / "compare_with_aeon.py"), "--epochs", "1").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ArrowHead")]
    assert [row[1] for row in rows[:6]] == ["raw", "pca", "random", "emargin", "infonce", "ts2vec"]
    assert all(0.2 < float(row[-1]) <= 1 for row in rows)


@pytest.mark.slow
def test_the_study_runs(tmp_path):
    shown = run(tmp_path, str(EXAMPLES / "run_study.py"))
    (page,) = (tmp_path / "runs").glob("*/report/index.html")
    assert shown.count("searched") == 4 and str(page.relative_to(tmp_path)) in shown


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    """Its cells are plain Python, so that no Jupyter is needed; signal handlers stay as they were."""
    cells = json.loads((EXAMPLES / "first_study.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert all(not line.startswith(("%", "!")) for cell in code for line in cell.splitlines())
    before = "import signal\nhandlers = [signal.getsignal(n) for n in (2, 15, 1)]"
    after = (
        "assert handlers == [signal.getsignal(n) for n in (2, 15, 1)]\nassert results.outcome.exit_code == 0"
    )
    (tmp_path / "notebook.py").write_text("\n".join([before, *code, after]))
    run(tmp_path, "notebook.py")
    assert (tmp_path / "runs" / "notebook" / "results.parquet").exists()


def test_names_that_a_newcomer_guesses(tmp_path):
    splits = emargin_train.load("sleepeeg-sim", subjects=4, sequence_length=20)
    assert splits.train.shape[1] == 20
    with pytest.raises(UserError, match="did you mean 'sleepeeg-sim'"):
        emargin_train.load("sleepeg-sim")
    with pytest.raises(UserError, match="'margin' is not a setting of data"):
        emargin_train.load("sleepeeg-sim", margin=3)  # it would change nothing
    with pytest.raises(UserError, match="'treshold' is not a setting: did you mean 'threshold'"):
        emargin_train.fit("sleepeeg-sim", treshold=0.3)
    with pytest.raises(AttributeError, match="it has Trained, evaluate, fit, load"):
        emargin_train.train_encoder  # noqa: B018
    with pytest.raises(UserError, match="--treshold is not a flag: did you mean --threshold"):
        study.run("sleepeeg-sim", treshold=0.3)


def test_a_diverged_training_has_no_encoder(tmp_path):
    trained = emargin_train.fit(
        "sleepeeg-sim", "emargin-released", margin=1000, subjects=4, iterations=3, sequence_length=20
    )
    of_encoder = {value for name, value in trained.metrics.items() if not name.startswith("pseudo_label")}
    assert trained.row["status"] == "diverged" and of_encoder == {None}
    with pytest.raises(ValueError, match="there is no encoder: the loss is not finite"):
        trained.save(tmp_path / "encoder.pt")


def test_a_trained_encoder_is_measured_again_and_on_other_splits(tmp_path):
    """On its own data it has the metrics of its training; frames of another kind are refused."""
    own = {"dataset": str(tiny()), "evaluation_frames": 100}
    trained = emargin_train.fit(**own, iterations=3)
    trained.save(tmp_path / "encoder.pt")
    found = emargin_train.evaluate(tmp_path / "encoder.pt")
    measured = [name for name in found if not name.startswith("pseudo_label")]  # of the method's labels
    assert {name: found[name] for name in measured} == {name: trained.metrics[name] for name in measured}
    assert emargin_train.evaluate(trained.encoder)["silhouette"] == found["silhouette"]
    other = emargin_train.evaluate(trained.encoder, split_seed=1)
    assert other["silhouette"] != found["silhouette"]
    with pytest.raises(UserError, match="frames of sleepeeg-sim have channels"):
        emargin_train.evaluate(trained.encoder, "sleepeeg-sim", subjects=3)
    with pytest.raises(UserError, match="'margin' is not a setting of data"):
        emargin_train.evaluate(trained.encoder, margin=3)


def test_a_device_that_is_not_there_is_refused():
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="--device is 'cuda', but this machine has no such device"):
            emargin_train.fit(str(tiny()), device="cuda", iterations=1)


def test_pretrain_can_keep_its_encoder(tmp_path):
    words = ("--dataset", str(tiny()), "--iterations", "2", "--out", str(tmp_path / "encoder.pt"))
    assert here(*words, module="emargin_train.pretrain").returncode == 0
    encoder = emargin_train.load_encoder(tmp_path / "encoder.pt")
    recording = next(emargin_train.recordings(str(tiny())))
    assert encoder.encode(recording).h.shape == (240, 320)
    assert_one_line(here(*words, module="emargin_train.pretrain"), "exists already", "--overwrite")
    with pytest.raises(UserError, match="is a folder: give a checkpoint"):
        emargin_train.load_encoder(tmp_path)


def test_arguments_become_flags():
    flags = {"seeds": [0, 1], "threshold": "-1:0.9", "quiet": True, "name": None, "dilated.depth": 4}
    assert notebook.words(flags) == ["--seeds=0,1", "--threshold=-1:0.9", "--quiet", "--dilated.depth=4"]


def test_asking_for_the_interface_sets_no_signal_handler():
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert callable(study.run)
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
