"""Trained encoders as MLflow models: one for each kept trial, and versions of a registered model.

A model is found again by the run that it belongs to. One that was only begun is deleted and made again, so
that killing the exporter leaves neither duplicates nor halves.
"""

import json
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types.schema import Array, ColSpec, DataType, ParamSchema, ParamSpec, Schema

import emargin_train
from emargin_train import checkpoint
from emargin_train.data.signal_spec import SignalSpec
from emargin_train.errors import UserError
from emargin_train.hyperparameters import all_hyperparameters

NAME = "encoder"  # of a model within its run
CODE = Path(__file__).parent / "encoder_model.py"
# What loading a model imports, beside Python itself; the tests load one with these alone.
REQUIREMENTS = (
    "filelock", "mlflow", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "threadpoolctl", "torch"
)  # fmt: skip


def requirements() -> list[str]:
    """The packages that a model needs, at the versions that are installed here."""
    return [f"{name}=={version(name).partition('+')[0]}" for name in REQUIREMENTS]


def signature(spec: SignalSpec) -> ModelSignature:
    """A column for each channel in; start_s and h out; rate and units, which are training's by default."""
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.double, channel) for channel in spec.channels]),
        outputs=Schema([ColSpec(DataType.double, "start_s"), ColSpec(Array(DataType.double), "h")]),
        params=ParamSchema(
            [
                ParamSpec("rate_hz", DataType.double, spec.rate_hz),
                ParamSpec("units", DataType.string, ",".join(spec.units)),
            ]
        ),
    )


def example(spec: SignalSpec) -> pd.DataFrame:
    """A recording of two frames: slow waves."""
    t = np.arange(spec.frame + spec.hop) / spec.frame
    return pd.DataFrame({channel: np.sin(2 * np.pi * (i + 1) * t) for i, channel in enumerate(spec.channels)})


def write(checkpoint_path: Path, folder: Path, model: Model) -> None:
    """An MLflow model of the encoder in a checkpoint, into a folder that is not there yet."""
    spec = SignalSpec.from_dict(checkpoint.load(checkpoint_path)["signal"])
    mlflow.pyfunc.save_model(
        folder,
        mlflow_model=model,
        python_model=str(CODE),
        artifacts={"checkpoint": str(checkpoint_path)},
        code_paths=[str(Path(emargin_train.__file__).parent)],
        pip_requirements=requirements(),
        signature=signature(spec),
        input_example=example(spec),
        metadata={"signal": json.dumps(spec.to_dict())},
    )


def log(client: mlflow.MlflowClient, experiment: str, run: str, path: Path, tags: dict[str, str]) -> str:
    """The id of the run's model, which is made from the checkpoint `path` unless it is there."""
    for known in _of_run(client, experiment, run):
        if known.status == LoggedModelStatus.READY:
            return known.model_id
        client.delete_logged_model(known.model_id)
    params = client.get_run(run).data.params
    setting = {name: params[name] for name in all_hyperparameters() if name in params}
    made = client.create_logged_model(experiment, NAME, source_run_id=run, tags=tags, params=setting)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / NAME
        try:
            write(
                path, place, Model(model_id=made.model_id, run_id=run, artifact_path=made.artifact_location)
            )
        except UserError:  # the checkpoint is damaged
            client.delete_logged_model(made.model_id)
            raise
        client.log_model_artifacts(made.model_id, str(place))
    client.log_outputs(run, [LoggedModelOutput(made.model_id, step=0)])
    client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
    return made.model_id


def _of_run(client: mlflow.MlflowClient, experiment: str, run: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_logged_models([experiment], f"source_run_id = '{run}'", page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def register(client: mlflow.MlflowClient, name: str, model_id: str, run: str, tags: dict[str, str]) -> None:
    """Make the model a version of the registered model `name`, unless it is one."""
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    quoted = name.replace("'", "\\'")
    known = client.search_model_versions(f"name = '{quoted}'", max_results=1000)
    if not any(one.run_id == run for one in known):
        client.create_model_version(
            name, f"models:/{model_id}", run_id=run, tags=tags, model_id=model_id, await_creation_for=0
        )
