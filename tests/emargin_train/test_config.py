"""The settings of a training: to a flat dictionary and back, which settings are refused, and the digest."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest

from emargin_train.config import TrainConfig
from emargin_train.encoders import ENCODERS
from emargin_train.encoders.base import NoSettings
from emargin_train.encoders.dilated import DilatedSettings
from emargin_train.errors import UserError
from emargin_train.hyperparameters import all_hyperparameters, readers, table
from emargin_train.methods import METHODS
from emargin_train.methods.base import TrainingSettings
from emargin_train.methods.emargin import EMargin, EMarginSettings
from emargin_train.methods.infonce import InfoNCESettings
from emargin_train.methods.temperature import TemperatureSettings
from emargin_train.settings import hyperparameter

EVERY = [(method, encoder) for method in METHODS for encoder in ENCODERS]


def of(method: str, encoder: str = "projector", **flat: Any) -> TrainConfig:
    return TrainConfig.from_dict({"method": method, "encoder": encoder} | flat)


@pytest.mark.parametrize("method, encoder", EVERY)
def test_a_flat_dictionary_and_back(method: str, encoder: str) -> None:
    config = of(method, encoder, seed=3, report_every=7, snr_db=-3.5, split_seed=2)
    flat = config.to_dict()
    assert TrainConfig.from_dict(flat) == config and of(method, encoder).to_dict().keys() == flat.keys()
    assert (flat["method"], flat["encoder"], flat["seed"], flat["snr_db"]) == (method, encoder, 3, -3.5)
    assert config.hyperparameters() == {column: flat[column] for column in table(method, encoder)}
    assert hash(config) == hash(TrainConfig.from_dict(flat))


@pytest.mark.parametrize("method, encoder", EVERY)
def test_hyper_parameters_are_those_of_method_encoder_training_and_data(method: str, encoder: str) -> None:
    kind, columns = METHODS[method], set(table(method, encoder))
    assert ("temperature" in columns) == issubclass(kind.Settings, TemperatureSettings)
    assert ("iterations" in columns) == (kind.Training is not None)
    trained = encoder if kind.uses_encoder else kind.own_encoder and kind.own_encoder.name
    assert ("dilated.depth" in columns) == (trained == "dilated")
    assert ("kernel_size" in columns) == (kind.uses_encoder and encoder == "projector")
    assert ("spectrum_scale" in columns) == (kind.fixed_scale is None) and "snr_db" in columns
    assert columns <= all_hyperparameters().keys()
    assert all(method in readers(column) for column in columns)


@pytest.mark.parametrize("method, encoder", EVERY)
def test_a_hyper_parameter_of_another_method_is_refused(method: str, encoder: str) -> None:
    """In one line that says who reads it, whatever its value; unknown names likewise."""
    for column, one in all_hyperparameters().items():
        if column in table(method, encoder):
            continue
        with pytest.raises(UserError) as caught:
            of(method, encoder, **{column: one.default})
        message = str(caught.value)
        assert message.startswith(f"{column} is given, but ") and "\n" not in message
        owner = "dilated" if column.startswith("dilated.") else "projector"
        by_encoder = column == "kernel_size" or column.startswith("dilated.")
        if by_encoder and METHODS[method].uses_encoder:
            assert message.endswith(f"give --encoder {owner} too")
        else:
            assert f"(it belongs to {', '.join(readers(column))}): leave it out" in message


def test_an_unknown_setting_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        UserError, match="^'temprature' is not a setting: did you mean 'temperature'\\? known: "
    ):
        of("emargin", temprature=0.1)


def test_names_of_version_1_are_read() -> None:
    old = TrainConfig.from_dict({"objective": "infonce", "framing": "log"})
    assert old == of("infonce", spectrum_scale="log")
    assert not {"objective", "framing"} & old.to_dict().keys()


@pytest.mark.parametrize(
    "flat, message",
    [
        ({"seed": -1}, "seed is -1, but it seeds generators: give a value from 0 to 2147483647"),
        ({"seed": 1.5}, "seed is 1.5, but it seeds generators: give a whole number"),
        ({"seed": "x"}, "seed is 'x', but it seeds generators: give a whole number"),
        ({"report_every": 0}, "report_every is 0, but it counts steps: give a value from 1"),
        ({"temperature": 0}, "temperature is 0, but it divides cosines: give a value above 0"),
        ({"iterations": float("inf")}, "iterations is inf, but a training has steps: give a whole number"),
    ],
)
def test_values_are_checked(flat: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        of("emargin", **flat)
    assert str(caught.value) == message


def test_settings_of_another_kind_are_a_programming_error() -> None:
    with pytest.raises(TypeError, match="settings of emargin is InfoNCESettings"):
        TrainConfig(method="emargin", settings=InfoNCESettings())
    with pytest.raises(TypeError, match="encoder_settings of emargin is DilatedSettings"):
        TrainConfig(method="emargin", encoder_settings=DilatedSettings())
    with pytest.raises(TypeError, match="training of raw is TrainingSettings"):
        TrainConfig(method="raw", training=TrainingSettings())
    assert TrainConfig(method="raw").encoder_settings == NoSettings()


# What is given instead of another, and defaults of a method's own.


def test_a_share_is_given_instead_of_a_threshold() -> None:
    flat = of("emargin", dissimilar_share=0.3).to_dict()
    assert (flat["threshold"], flat["dissimilar_share"]) == (None, 0.3)
    assert TrainConfig.from_dict(flat).to_dict() == flat
    assert of("emargin", dissimilar_share=None) == of("emargin") == of("emargin", threshold=0.4)
    with pytest.raises(
        UserError, match="threshold is 0.5 and dissimilar_share 0.3, but one determines the other"
    ):
        of("emargin", dissimilar_share=0.3, threshold=0.5)
    with pytest.raises(UserError, match="threshold is missing"):
        of("emargin", threshold=None)


def test_defaults_of_a_method_are_its_own() -> None:
    decay = {name: of(name).to_dict()["weight_decay"] for name in METHODS if METHODS[name].Training}
    assert {name for name, value in decay.items() if value == 0.01} == {
        "emargin-released",
        "infonce-released",
    }
    assert set(decay.values()) == {0.0, 0.01}
    assert of("emargin").to_dict()["margin"] == 5.0 and of("emargin-adjacent").to_dict()["margin"] == 0.5
    adjacent, usual = table("emargin-adjacent")["margin"], table("emargin")["margin"]
    assert (adjacent.high, adjacent.scale, adjacent.search) == (1, "linear", (0, 1))
    assert (usual.scale, usual.search) == ("log", (0.5, 10)) and usual.high > 100


def test_other_settings_by_column() -> None:
    config = of("emargin", "dilated", margin=2.0)
    changed = config.changed(**{"dilated.depth": 4, "seed": 9})
    assert changed == of("emargin", "dilated", margin=2.0, seed=9, **{"dilated.depth": 4})
    assert isinstance(config.encoder_settings, DilatedSettings) and config.encoder_settings.depth == 10


# The digest.


@pytest.mark.parametrize("method, encoder", EVERY)
def test_replicates_have_one_digest(method: str, encoder: str) -> None:
    config = of(method, encoder)
    replicate = config.changed(seed=5, split_seed=7, report_every=3, data_dir="elsewhere")
    assert replicate != config and replicate.digest() == config.digest()


@pytest.mark.parametrize("method, encoder", EVERY)
def test_every_hyper_parameter_and_every_setting_of_the_data_is_in_the_digest(
    method: str, encoder: str
) -> None:
    config = of(method, encoder)
    other = {"split": "time", "subjects": 4, "sequence_length": 9, "dataset": "ecg", "noise_kind": "pink",
             "noise_on": "train", "noise_seed": 3, "evaluation_frames": 99, "clusters": 7}  # fmt: skip
    for column, one in table(method, encoder).items():
        other[column] = another(one)
    digests = {column: changed(config, column, value).digest() for column, value in other.items()}
    assert len({config.digest(), *digests.values()}) == len(digests) + 1


def changed(config: TrainConfig, column: str, value: Any) -> TrainConfig:
    apart = {"threshold": None} if column == "dissimilar_share" else {}
    return config.changed(**{column: value}, **apart)


def another(one: Any) -> Any:
    """A value that is not the default."""
    if one.choices:
        return next(value for value in one.choices if value != one.default)
    if one.default is None or one.column == "dilated.dropout":
        return 0.25
    if one.kind is int:
        return one.default + 2
    return one.default / 2 if one.default else 0.125


def test_the_digest_is_of_the_dataset_by_name() -> None:
    assert of("emargin", dataset="a/own.toml").digest() == of("emargin", dataset="b/own.toml").digest()


def test_methods_and_encoders_have_digests_of_their_own() -> None:
    used = [pair for pair in EVERY if METHODS[pair[0]].uses_encoder]
    assert len({of(*pair).digest() for pair in used}) == len(used)
    for name in METHODS:  # an encoder that a method does not use is not in it
        if not METHODS[name].uses_encoder:
            assert of(name, "projector").digest() == of(name, "dilated").digest()


@dataclass(frozen=True, kw_only=True)
class WithOneMore(EMarginSettings):
    softness: float = hyperparameter(0.0, "The softness is new.", low=0)


@dataclass(frozen=True, kw_only=True)
class TrainingWithOneMore(TrainingSettings):
    warm_up: int = hyperparameter(1, "The number of steps to warm up is new.", low=1)


def test_a_new_setting_changes_no_digest_but_where_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = [{}, {"margin": 2.0}, {"dissimilar_share": 0.3, "snr_db": 5.0, "seed": 4}]
    before = [of("emargin", **flat).digest() for flat in given]
    stored = of("emargin", margin=2.0).to_dict()
    monkeypatch.setattr(EMargin, "Settings", WithOneMore)
    monkeypatch.setattr(EMargin, "Training", TrainingWithOneMore)
    assert [of("emargin", **flat).digest() for flat in given] == before
    assert (
        of("emargin", softness=0.5).digest() not in before and of("emargin", warm_up=2).digest() not in before
    )
    old = TrainConfig.from_dict(stored)  # a key that an old checkpoint lacks means its default
    assert old.to_dict() == stored | {"softness": 0.0, "warm_up": 1}


def test_digests_do_not_change_from_version_to_version() -> None:
    """Resuming and joining results rest on them: a change here needs a reason."""
    assert of("emargin").digest() == "2d094c3db02b"
    assert of("infonce", "dilated", temperature=0.2).digest() == "4bbf51f45a04"
    assert of("raw").digest() == "1f0387a550f3"


def test_a_training_is_a_frozen_value() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        of("emargin").seed = 3  # type: ignore[misc]
