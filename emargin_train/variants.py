"""The variants of a method, found by what each says of itself.

- shared: its loss and views on the study's encoder, trained as every other method
- published: with the encoder and the training that it was published with
- released: as the code of the eMargin paper has it, faults included
"""

from collections.abc import Iterable

from emargin_train.declarations import declarations
from emargin_train.errors import UserError
from emargin_train.hyperparameters import method_named
from emargin_train.settings import Setting

VARIANTS = ("shared", "published", "released")
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


def find_variant(name: str, variant: str) -> str:
    """The name of a method in one of its variants; a name that says its variant already is left as it is.

    Raises UserError for a variant that does not exist.
    """
    method = method_named(name)
    if method.variant_of is not None and method.encoder_variant != variant:
        raise UserError(
            f"variant is {variant}, but {name} is the {method.encoder_variant} variant of "
            f"{method.variant_of}: give {method.variant_of}, or leave the variant out"
        )
    found = {
        one.encoder_variant: other
        for other, one in declarations().methods.items()
        if name in (other, one.variant_of)
    }
    if variant not in found:
        why = f", since {reason}" if (reason := method.missing_variants.get(variant)) else ""
        raise UserError(f"{name} has no {variant} variant{why}: give {' or '.join(map(str, found))}")
    return found[variant]


def in_variants(names: Iterable[str], variants: Iterable[str]) -> tuple[str, ...]:
    """The names of methods in each of some variants, without repeats. Raises UserError as `find_variant`."""
    variants = tuple(variants)
    found: dict[str, None] = {}
    for name in names:
        method = method_named(name)
        is_said = method.variant_of is not None and method.encoder_variant in variants
        for variant in (method.encoder_variant,) if is_said else variants:
            found[find_variant(name, str(variant))] = None
    return tuple(found)
