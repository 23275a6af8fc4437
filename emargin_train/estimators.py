"""Every method as a transformer for scikit-learn and aeon.

    from emargin_train.estimators import EMargin

    features = EMargin(iterations=100).fit(X).transform(X)     # X: (n_cases, n_channels, n_timepoints)
    classifier = make_pipeline(EMargin(), LogisticRegression()).fit(X, y)

There is one class for each method: `EMargin`, or `ESTIMATORS[name]`. Their parameters are the
hyper-parameters that the method declares, so that `get_params`, `clone`, `GridSearchCV` and pickle work.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from aeon.transformations.collection import BaseCollectionTransformer
from sklearn.utils import check_random_state

from emargin_train.config import TrainConfig
from emargin_train.data.frames import Cut, Frames, Splits, samples, spectra
from emargin_train.data.recording import UNLABELLED
from emargin_train.encode import encode
from emargin_train.errors import UserError
from emargin_train.hyperparameters import table
from emargin_train.methods import METHODS
from emargin_train.train import train

TAKES = ("signals", "frames")
POOLING = ("mean", "max", None)
FRAMES_OF_A_SERIES = 8  # frames in a series, where no frame length is given
DATA = ("snr_db",)  # hyper-parameters that only recordings have


class MethodTransformer(BaseCollectionTransformer):
    """Trains a method on the frames of series, and turns series into embeddings.

    A series is cut into frames, whose magnitude spectra form one sequence. Labels y (n_cases,) are the
    classes of all frames of their series; only methods that learn from labels use them.

    takes: `signals`, which are cut into frames; or `frames`, where each time point of X is a frame already,
        and the channels are its features, such as a spectrogram's (magnitudes, so 0 or more)
    frame_length: samples of a frame; None = an eighth of the series
    hop_length: samples from the start of one frame to the next; None = the length of a frame
    pooling: `mean` or `max` over a series' frames gives (n_cases, D); None gives (n_cases, D, n_frames)
    random_state: the seed of the training
    all other parameters: the hyper-parameters of the method, which `python -m emargin_train.pretrain --help`
        lists

    Attributes: method_ (the trained `Method`), losses_ (of every step), n_frames_
    """

    method: str
    _tags = {
        "X_inner_type": "numpy3D",
        "capability:multivariate": True,
        "output_data_type": "Tabular",
        "non_deterministic": False,
    }

    def _fit(self, X: np.ndarray, y: Any = None) -> "MethodTransformer":
        if self.pooling not in POOLING:
            raise UserError(f"pooling is {self.pooling!r}: give 'mean', 'max' or None")
        names, labels = (np.array(["-"]), np.full(len(X), UNLABELLED)) if y is None else _classes(y)
        frames = self._frames(X, labels)
        self.n_frames_ = frames.shape[1]
        above = frames.store[frames.store > 0]
        splits = Splits(
            train=frames,
            validation=frames,
            test=None,
            class_names=tuple(map(str, names)),
            data_hash="fit",
            magnitude_scale=float(np.median(above)) if len(above) else 1.0,
            n_dropped={},
            described=(),
            n_channels=1 if self.takes == "frames" else X.shape[1],
        )
        try:
            *_, state = train(self._config(), splits)
        except UserError as error:
            if self.n_frames_ > 1:
                raise
            raise UserError(
                f"{error}; here, a series of {X.shape[2]} time points has one frame: give longer series, or "
                "a shorter frame_length"
            ) from None
        self.method_, self.losses_ = state.method, state.losses
        return self

    def _transform(self, X: np.ndarray, y: Any = None) -> np.ndarray:
        frames = self._frames(X, np.full(len(X), UNLABELLED))
        n, t, _ = frames.shape
        h = np.asarray(encode(self.method_, frames, np.ones((n, t), bool)), np.float64).reshape(n, t, -1)
        if self.pooling is None:
            return h.transpose(0, 2, 1)
        return h.mean(1) if self.pooling == "mean" else h.max(1)

    def _frames(self, X: np.ndarray, labels: np.ndarray) -> Frames:
        """(n_cases, n_channels, n_timepoints) and the class of each series -> frames, one sequence each."""
        if self.takes not in TAKES:
            raise UserError(f"takes is {self.takes!r}: give 'signals' or 'frames'")
        x, raw = self._as_they_are(X) if self.takes == "frames" else self._cut(X)
        y = np.repeat(labels[:, None], x.shape[1], axis=1).astype(np.int64)
        names = np.arange(len(X)).astype(str)
        start = np.zeros(len(X), np.int64)
        return Frames(x, np.arange(len(X)), y, names, names, start, raw)

    def _cut(self, X: np.ndarray) -> tuple[np.ndarray, Callable[[], np.ndarray]]:
        """Spectra of all frames (n_cases, n_frames, n_features), and a function that gives their samples."""
        length = X.shape[2]
        frame = max(2, length // FRAMES_OF_A_SERIES) if self.frame_length is None else self.frame_length
        if not isinstance(frame, int | np.integer) or not 2 <= frame <= length:
            raise UserError(
                f"frame_length is {frame!r}, but series have {length} samples: give a whole number from 2 to "
                f"{length}"
            )
        hop = frame if self.hop_length is None else self.hop_length
        if not isinstance(hop, int | np.integer) or hop < 1:
            raise UserError(
                f"hop_length is {hop!r}, but it counts the samples from one frame to the next: give a whole "
                "number of 1 or more"
            )

        def stacked(cut: Cut) -> np.ndarray:
            return np.stack([cut(series.astype(np.float32), int(frame), int(hop)) for series in X])

        return stacked(spectra), lambda: stacked(samples)

    def _as_they_are(self, X: np.ndarray) -> tuple[np.ndarray, None]:
        """Frames that were made elsewhere: (n_cases, n_frames, n_features); their samples are not known."""
        if self.frame_length is not None or self.hop_length is not None:
            raise UserError(
                "takes is 'frames', so that nothing is cut: leave out frame_length and hop_length"
            )
        return np.ascontiguousarray(X.transpose(0, 2, 1), np.float32), None

    def _config(self) -> TrainConfig:
        flat = {column: getattr(self, _parameter(column)) for column in _columns(self.method)}
        for one in table(self.method).values():  # one may be given instead of another, which is then dropped
            if one.instead_of in flat and flat.get(one.column) is not None:
                if flat[one.instead_of] != table(self.method)[one.instead_of].default:
                    raise UserError(f"{one.column} and {one.instead_of} are both given: give one")
                del flat[one.instead_of]
        random_state = self.random_state
        if not isinstance(random_state, int | np.integer):
            random_state = check_random_state(random_state).randint(2**31 - 1)
        return TrainConfig.from_dict(flat | {"method": self.method, "seed": int(random_state)})

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> dict[str, Any]:
        """A short training in which no method diverges: aeon's checks use a few very short series."""
        short = {"iterations": 2, "batch_size": 4, "temperature": 1.0, "margin": 0.5, "neighbours": 1}
        small = {_parameter(column): value for column, value in METHODS[cls.method].small.items()}
        return small | {name: value for name, value in short.items() if name in table(cls.method)}


def _classes(y: Any) -> tuple[np.ndarray, np.ndarray]:
    names, labels = np.unique(np.asarray(y), return_inverse=True)
    return names, labels


def _columns(method: str) -> list[str]:
    return [column for column in table(method) if column not in DATA]


def _parameter(column: str) -> str:
    return column.replace(".", "_")


def _make(method: str) -> type[MethodTransformer]:
    """The class of one method, with its hyper-parameters as keyword parameters of the constructor."""
    known = table(method)
    defaults: dict[str, Any] = {
        "takes": "signals",
        "frame_length": None,
        "hop_length": None,
        "pooling": "mean",
    }
    defaults |= {_parameter(column): known[column].default for column in _columns(method)}
    defaults["random_state"] = 0

    def __init__(self: MethodTransformer, **given: Any) -> None:
        for name in given:
            if name not in defaults:
                raise TypeError(f"{type(self).__name__} has no parameter '{name}'")
        for name, value in (defaults | given).items():
            setattr(self, name, value)
        BaseCollectionTransformer.__init__(self)

    keyword = inspect.Parameter.KEYWORD_ONLY
    own = [inspect.Parameter(name, keyword, default=value) for name, value in defaults.items()]
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    __init__.__signature__ = inspect.Signature([first, *own])  # type: ignore[attr-defined]
    of = METHODS[method]
    name = "".join(part[0].upper() + part[1:] for part in of.__name__.split("_"))
    about = f"{of.title}: it {of.description}.\n\n{inspect.getdoc(MethodTransformer)}"
    tags = {"requires_y": of.needs_labels}
    return type(
        name,
        (MethodTransformer,),
        {"method": method, "__init__": __init__, "__doc__": about, "__module__": __name__, "_tags": tags},
    )


ESTIMATORS: dict[str, type[MethodTransformer]] = {method: _make(method) for method in METHODS}
# Each class is a name of this module, so that pickle finds it: EMargin, InfoNCE, Supervised ...
globals().update({estimator.__name__: estimator for estimator in ESTIMATORS.values()})
__all__ = ["ESTIMATORS", *(estimator.__name__ for estimator in ESTIMATORS.values())]
