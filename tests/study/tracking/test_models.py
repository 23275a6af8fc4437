"""Encoders in MLflow: what a model gives, that it is there once, and that it needs no cluster."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest

from emargin_train.errors import UserError
from emargin_train.methods import METHODS
from emargin_train.trained_encoder import load_encoder
from study import records, results
from study.tracking import exporter, models
from study.tracking.mlflow_runs import StudyRuns
from study.tracking.tracker import Tracker
from study.tracking.uri import local
from tests.emargin_train.test_encode_file import SPEC, made
from tests.study.tracking.views import all_runs, opened, record, replicate_runs

KEY = "emargin-0000-0-0"
SIGNAL = np.random.default_rng(0).normal(0, 0.3, (2, 600)).astype(np.float32)


@pytest.fixture
def ready(folder: Path) -> Path:
    """A study with one record and its encoder."""
    records.save(folder, record())
    made(SPEC, folder / "checkpoints").rename(folder / "checkpoints" / f"{KEY}.pt")
    return folder


def finish(folder: Path, **chosen: str | None) -> int:
    tracker = Tracker(local(folder.parent), folder, dataset="sleepeeg-sim")
    tracker.start({"trials": "3"})
    wanted = {KEY: None} if not chosen else {key.replace("_", "-"): name for key, name in chosen.items()}
    return tracker.finish("FINISHED", patience_s=120, models=wanted)


def logged(folder: Path) -> list:
    client = mlflow.MlflowClient(local(folder.parent))
    return list(client.search_logged_models([e.experiment_id for e in client.search_experiments()]))


def test_a_model_is_made_once_and_gives_the_embeddings(ready, monkeypatch, tmp_path_factory):
    for _ in range(2):
        assert finish(ready, emargin_0000_0_0="sleep") == 0
    (model,), (run,) = logged(ready), replicate_runs(ready).values()
    assert (model.status, model.source_run_id, model.name) == ("READY", run.info.run_id, "encoder")
    assert run.info.status == "FINISHED" and len(all_runs(ready)) == 3
    assert model.params == {"threshold": "0.4"}
    client = mlflow.MlflowClient(local(ready.parent))
    (version,) = client.search_model_versions("name = 'sleep'")
    assert version.run_id == run.info.run_id and version.tags["key"] == KEY
    # What it gives, under each of its names.
    own = load_encoder(ready / "checkpoints" / f"{KEY}.pt")
    expected = own.encode_array(SIGNAL)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", local(ready.parent))
    for uri in (f"runs:/{run.info.run_id}/encoder", "models:/sleep/1", f"models:/{model.model_id}"):
        np.testing.assert_array_equal(load_encoder(uri).encode_array(SIGNAL).h, expected.h)
    with pytest.raises(UserError, match="cannot be loaded from MLflow"):
        load_encoder("models:/sleep/7")
    with monkeypatch.context() as elsewhere:
        elsewhere.delenv("MLFLOW_TRACKING_URI")
        elsewhere.setattr(mlflow, "is_tracking_uri_set", lambda: False)  # earlier tests have set it
        elsewhere.chdir(tmp_path_factory.mktemp("elsewhere"))
        with pytest.raises(UserError, match="set MLFLOW_TRACKING_URI"):
            load_encoder("models:/sleep/1")
        assert not Path("mlflow.db").exists()
    check_in_another_environment(ready, f"runs:/{run.info.run_id}/encoder", expected.h)


@pytest.mark.parametrize("method", ["timedrl-released", "ts2vec-published", "tnc-published"])
def test_a_model_of_any_variant_gives_its_embeddings(method, tmp_path):
    """Through what MLflow runs; the frames of the first sequence, as the method itself encodes them."""
    from study.tracking.encoder_model import EncoderModel

    path = made(SPEC, tmp_path, method=method, **METHODS[method].small)
    model, own = EncoderModel(), load_encoder(path)
    model.load_context(SimpleNamespace(artifacts={"checkpoint": path}))
    found = np.stack(model.predict(None, pd.DataFrame(SIGNAL.T, columns=["I", "II"]))["h"])
    x = own.method.cut()(SPEC.normalised(SIGNAL), SPEC.frame, SPEC.hop)
    expected = own.method.embed(x[None, : SPEC.sequence_length])[0].numpy()
    np.testing.assert_allclose(found[: SPEC.sequence_length], expected, rtol=1e-4, atol=1e-5)
    assert len(found) == len(x)


def test_a_model_that_takes_long_is_no_silent_server(ready, monkeypatch):
    """On a busy machine it takes longer than the driver waits for an answer."""
    said: list[tuple[int, bool]] = []
    done: list[bool] = []
    monkeypatch.setattr(exporter, "SAY_S", 0.05)
    monkeypatch.setattr(StudyRuns, "export_model", lambda *_: (time.sleep(0.5), done.append(True)))
    ours = exporter.Exporter(local(ready.parent), ready, dataset="sleepeeg-sim", params={})
    ours.hear({"finish": "FINISHED", "models": [(KEY, None)]})
    ours.run(lambda left: said.append((left, bool(done))))
    assert said.count((2, False)) > 3  # this one and the study's own run are left
    assert said[-1] == (0, True)


def test_a_damaged_checkpoint_has_no_model_and_holds_up_nothing(ready):
    """The study's end waited for it for ever."""
    records.save(ready, record(seed=1))
    whole = ready / "checkpoints" / f"{KEY}.pt"
    (ready / "checkpoints" / "emargin-0000-0-1.pt").write_bytes(whole.read_bytes()[:500])
    begun = time.monotonic()
    assert finish(ready, emargin_0000_0_1=None, emargin_0000_0_0=None) == 0
    assert time.monotonic() - begun < 100
    (model,) = logged(ready)
    assert model.tags["key"] == KEY and {run.info.status for run in all_runs(ready)} == {"FINISHED"}
    assert "no model of emargin-0000-0-1" in (ready / "log" / "mlflow.log").read_text()


def test_a_server_that_refuses_a_model_does_not_keep_the_study_open(ready, monkeypatch):
    def refuse(*_: object) -> None:
        time.sleep(0.2)
        raise OSError("no models here")

    said: list[int] = []
    monkeypatch.setattr(exporter, "SAY_S", 0.05)
    monkeypatch.setattr(StudyRuns, "export_model", refuse)
    ours = exporter.Exporter(local(ready.parent), ready, dataset="sleepeeg-sim", params={})
    ours.hear({"finish": "FINISHED", "models": [(KEY, None)]})
    threading.Thread(target=lambda: (time.sleep(3), ours.stop())).start()
    ours.run(said.append)
    assert 0 < len(said) < 6  # from the first attempt alone, although there were several


PROGRAM = """
import sys
for name in ("ray", "optuna", "study", "analysis", "altair", "rich"):
    sys.modules[name] = None                       # importing one of them fails
import json, mlflow, numpy as np, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
example = model.input_example
signal = np.load(sys.argv[2])
frame = pd.DataFrame(signal.T.astype(float), columns=["I", "II"])
plain = model.predict(frame)
volts = model.predict(frame / 1000, params={"units": "V"})
fast = model.predict(frame, params={"rate_hz": 200.0})
np.savez(sys.argv[3], plain=np.stack(plain["h"]), volts=np.stack(volts["h"]), fast=np.stack(fast["h"]),
         start_s=plain["start_s"], example=np.stack(model.predict(example)["h"]))
print(json.dumps({"inputs": model.metadata.signature.inputs.to_dict(),
                  "own": sys.modules["emargin_train"].__file__}))
"""


def check_in_another_environment(folder: Path, uri: str, expected: np.ndarray) -> None:
    """One without Ray, Optuna and this repository: the code of the model is that beside it."""
    np.save(folder / "signal.npy", SIGNAL)
    words = (sys.executable, "-c", PROGRAM, uri, folder / "signal.npy", folder / "h.npz")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    ran = subprocess.run(
        words,
        env=env | {"MLFLOW_TRACKING_URI": local(folder.parent)},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout.splitlines()[-1])
    assert [column["name"] for column in said["inputs"]] == ["I", "II"]
    assert Path(said["own"]).parent.parent.name == "code"
    got = np.load(folder / "h.npz")
    np.testing.assert_array_equal(got["plain"], expected)
    np.testing.assert_allclose(got["volts"], expected, rtol=1e-3, atol=1e-4)
    assert len(got["fast"]) == (300 - 20) // 8 + 1 and len(got["example"]) == 2
    np.testing.assert_allclose(got["start_s"], np.arange(len(expected)) * 0.08)


def test_a_model_that_was_only_begun_is_made_again(ready):
    runs = opened(ready)
    runs.export(record(), [])
    (run,) = replicate_runs(ready).values()
    client = mlflow.MlflowClient(local(ready.parent))
    client.create_logged_model(run.info.experiment_id, "encoder", source_run_id=run.info.run_id)
    before = os.environ.get("MLFLOW_TRACKING_URI"), list(sys.path)
    runs.export_model(KEY, None, ready / "checkpoints")
    assert before == (os.environ.get("MLFLOW_TRACKING_URI"), sys.path)  # other studies use them
    (model,) = logged(ready)
    assert model.status == "READY"


def test_a_replicate_without_a_checkpoint_has_no_model(folder):
    records.save(folder, record())
    assert finish(folder) == 0
    assert logged(folder) == []


def test_requirements_are_pinned_and_are_all_that_is_imported():
    """Of the packages that loading an encoder imports, each is one of these, or one that they require."""
    program = (
        "import sys, emargin_train.trained_encoder;"
        "print(*{name.partition('.')[0] for name in sys.modules if 'site-packages' in "
        "str(getattr(sys.modules[name], '__file__', ''))})"
    )
    ran = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    names = {"scikit-learn": "sklearn"}
    mine = {names.get(name, name) for name in models.REQUIREMENTS}
    ours = {"filelock", "rich", "aeon", "requests", "wfdb", "edfio", "neurokit2", "h5py"}
    assert not loaded & (ours - mine), loaded & (ours - mine)
    assert all("==" in line and "+" not in line for line in models.requirements())


def test_models_are_of_the_front_and_of_the_first_replicate():
    def rows(trial, method, silhouette, accuracy, role="searched"):
        goals = {"silhouette": silhouette, "probe_balanced_accuracy": accuracy, "status": "ok"}
        return [
            goals | {"trial": trial, "method": method, "role": role, "split_seed": split, "seed": seed}
            for split, seed in ((1, 0), (0, 1), (0, 0))
        ]

    done = {
        "a-0": rows("a-0", "a", 0.9, 0.5),
        "a-1": rows("a-1", "a", 0.5, 0.9),
        "a-2": rows("a-2", "a", 0.4, 0.8),  # beaten by a-1
        "b-0": rows("b-0", "b", 0.4, 0.4, role="baseline"),  # the best of its method, beaten by both
        "pca": rows("pca", "pca", 1.0, 1.0, role="reference"),
    }
    goals = ("silhouette", "probe_balanced_accuracy")
    expected = {"a-0-0-0": "sleep", "a-1-0-0": "sleep", "b-0-0-0": None}
    assert results.models(done, goals, "sleep") == expected
    assert results.models({}, goals, "sleep") == {}


def test_a_column_for_each_channel_and_an_example_of_two_frames():
    frame = models.example(SPEC)
    assert isinstance(frame, pd.DataFrame) and list(frame) == ["I", "II"] and len(frame) == 28
