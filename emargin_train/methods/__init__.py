"""The methods by name. A new method is a file in this folder: nothing else has to name it."""

from collections.abc import Iterable

from emargin_train.discovery import named_classes
from emargin_train.errors import UserError, nearest
from emargin_train.methods.base import VARIANTS, Method
from emargin_train.settings import Setting

METHODS: dict[str, type[Method]] = named_classes(__name__, __path__, Method)
VARIANT = Setting(
    name="variant",
    column="variant",
    many=True,
    default=("shared",),
    choices=VARIANTS,
    metavar="NAMES",
    help="The methods of --method are taken in these variants: on the encoder that all share, as published, "
    "or as the released code of the eMargin paper has them.",
)


def find_method(name: str) -> type[Method]:
    """Raises UserError for an unknown name."""
    if name not in METHODS:
        raise UserError(f"method is '{name}': {nearest(name, METHODS)}")
    return METHODS[name]


def find_variant(name: str, variant: str) -> str:
    """The name of a method in one of its variants; a name that says its variant already is left as it is.

    Raises UserError for a variant that there is not.
    """
    method = find_method(name)
    if method.variant_of is not None and method.encoder_variant != variant:
        raise UserError(
            f"variant is {variant}, but {name} is the {method.encoder_variant} variant of "
            f"{method.variant_of}: give {method.variant_of}, or leave the variant out"
        )
    found = {one.encoder_variant: other for other, one in METHODS.items() if name in (other, one.variant_of)}
    if variant not in found:
        why = f", since {reason}" if (reason := method.missing_variants.get(variant)) else ""
        raise UserError(f"{name} has no {variant} variant{why}: give {' or '.join(map(str, found))}")
    return found[variant]


def in_variants(names: Iterable[str], variants: Iterable[str]) -> tuple[str, ...]:
    """The names of methods in each of some variants, without repeats. Raises UserError as `find_variant`."""
    variants = tuple(variants)
    found: dict[str, None] = {}
    for name in names:
        method = find_method(name)
        is_said = method.variant_of is not None and method.encoder_variant in variants
        for variant in (method.encoder_variant,) if is_said else variants:
            found[find_variant(name, str(variant))] = None
    return tuple(found)
