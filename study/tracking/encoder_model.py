"""What MLflow runs when it loads an encoder: the file is copied into each model, and started from there.

    model = mlflow.pyfunc.load_model("runs:/RUN_ID/encoder")
    found = model.predict(signals, params={"rate_hz": 128.0, "units": "uV"})     # start_s, h

signals: a DataFrame with a column for each channel of the training and a row for each sample of one recording
rate_hz, units: where they are not those of the training; signals are converted, or refused

It needs emargin_train, which lies beside it, and neither Ray nor Optuna.
"""

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class EncoderModel(PythonModel):
    """The embeddings of the frames of a recording: start_s, in seconds, and h, a list of D numbers."""

    def load_context(self, context: Any) -> None:
        from emargin_train.trained_encoder import load_encoder

        self.encoder = load_encoder(context.artifacts["checkpoint"])

    # Without types: MLflow would take them for the model's signature, which is given beside it.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        given, spec = params or {}, self.encoder.signal
        units = given.get("units")
        encoded = self.encoder.encode_array(
            model_input[list(spec.channels)].to_numpy("float32").T,
            rate_hz=given.get("rate_hz"),
            units=None if units is None else tuple(units.split(",")),
        )
        return pd.DataFrame({"start_s": encoded.start_s, "h": encoded.h.tolist()})


set_model(EncoderModel())
