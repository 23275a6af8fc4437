"""The hyper-parameters of all methods, encoders and data: who reads which, with which default."""

from typing import Any

from emargin_train.data.settings import DataConfig
from emargin_train.declarations import declarations
from emargin_train.errors import UserError, nearest
from emargin_train.settings import Setting, Settings, declared, hyperparameters

DEFAULT_METHOD, DEFAULT_ENCODER = "emargin", "projector"
FORMER = {"objective": "method", "framing": "spectrum_scale"}  # names of version 1


def method_named(name: str) -> Any:
    """What a method declares. Raises UserError for an unknown name."""
    return _named("method", name, declarations().methods)


def encoder_named(name: str) -> Any:
    """What an encoder declares. Raises UserError for an unknown name."""
    return _named("encoder", name, declarations().encoders)


def _named(kind: str, name: str, known: Any) -> Any:
    if name not in known:
        raise UserError(f"{kind} is '{name}': {nearest(name, known)}")
    return known[name]


def table(method: str, encoder: str = DEFAULT_ENCODER) -> dict[str, Setting]:
    """The hyper-parameters that a method reads, by column: of itself, its encoder, training and data."""
    found: dict[str, Setting] = {}
    for part in parts(method, encoder):
        found |= hyperparameters(part)
    if method_named(method).fixed_scale is not None:
        del found["spectrum_scale"]
    return found


def parts(method: str, encoder: str = DEFAULT_ENCODER) -> list[type[Settings]]:
    """The settings classes of a training: of its method, of its encoder, of the training, and of the data."""
    of = method_named(method)
    trained = encoder_named(encoder) if of.uses_encoder else of.own_encoder
    of_encoder = None if trained is None else trained.Settings
    return [part for part in (of.Settings, of_encoder, of.Training, DataConfig) if part is not None]


def all_hyperparameters() -> dict[str, Setting]:
    """Every hyper-parameter of any method and encoder, by column; of several declarations, the first."""
    found: dict[str, Setting] = {}
    for method in declarations().methods:
        for encoder in declarations().encoders:
            for column, one in table(method, encoder).items():
                found.setdefault(column, one)
    return found


def readers(column: str) -> list[str]:
    """The methods that read a hyper-parameter, with any encoder."""
    known = declarations()
    return [m for m in known.methods if any(column in table(m, encoder) for encoder in known.encoders)]


def read_by(column: str) -> str:
    """What a help line says of methods: whose default is another one, and who reads the hyper-parameter.

    Readers are not named where every trained method is one.
    """
    parts = [f"(default {default} for {name})" for name, default in other_defaults(column).items()]
    names = readers(column)
    trained = {name for name, method in declarations().methods.items() if method.Training is not None}
    return " ".join(parts if trained <= set(names) else [*parts, f"[{', '.join(names)}]"])


def other_defaults(column: str) -> dict[str, Any]:
    """The defaults of the methods that have another default than the flag of a hyper-parameter, by method."""
    usual = all_hyperparameters()[column].default
    tables = {name: table(name, encoder) for encoder in declarations().encoders for name in readers(column)}
    own = {name: of[column].default for name, of in tables.items() if column in of}
    return {name: default for name, default in own.items() if default != usual}


def not_read(name: str, method: str, known: set[str]) -> str:
    """Why a setting is refused, in one line."""
    encoders = declarations().encoders
    owner = next((other for other in encoders if name in declared(encoders[other].Settings)), None)
    if owner is not None and method_named(method).uses_encoder:
        return f"{name} is given, but it belongs to the encoder {owner}: give --encoder {owner} too"
    owners = readers(name)
    if owners:
        return (
            f"{name} is given, but {method} has no such hyper-parameter (it belongs to {', '.join(owners)}): "
            "leave it out"
        )
    return f"'{name}' is not a setting: {nearest(name, known)}"
