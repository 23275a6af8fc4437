"""The forms of a method: shared, published, released; found by what each declares, refused where missing."""

import pytest

from emargin_train.config import TrainConfig, encoder_of
from emargin_train.errors import UserError
from emargin_train.methods import METHODS
from emargin_train.pretrain import Outcome, build_parser, config_of, pretrain, settings_row
from emargin_train.variants import VARIANTS, find_variant, in_variants
from tests import tiny
from tests.emargin_train.configs import config

FORMS = [name for name, method in METHODS.items() if method.variant_of is not None]


@pytest.mark.parametrize("name", FORMS)
def test_a_variant_says_whose_and_which_it_is(name: str) -> None:
    method = METHODS[name]
    base = METHODS[str(method.variant_of)]
    assert base.variant_of is None and base.encoder_variant == "shared"
    assert method.encoder_variant in VARIANTS and method.encoder_variant != "shared"
    assert name == f"{method.variant_of}-{method.encoder_variant}"
    assert method.title == f"{base.title}, as {method.encoder_variant}"
    assert (
        find_variant(str(method.variant_of), method.encoder_variant)
        == name
        == find_variant(name, method.encoder_variant)
    )


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_found_or_refused_in_one_line(name: str, variant: str) -> None:
    try:
        found = METHODS[find_variant(name, variant)]
    except UserError as error:
        said = str(error)
        assert "\n" not in said and variant in said and ": give " in said
        return
    assert found.encoder_variant == variant and name in (found.name, found.variant_of)


def test_a_missing_variant_is_not_also_there() -> None:
    for name, method in METHODS.items():
        for variant in method.missing_variants:
            assert variant in VARIANTS
            with pytest.raises(UserError, match=f"{name} has no {variant} variant, since "):
                find_variant(name, variant)


def test_names_and_variants_are_crossed_without_repeats() -> None:
    assert in_variants(("emargin", "infonce"), ("shared",)) == ("emargin", "infonce")
    both = ("emargin", "emargin-released", "infonce", "infonce-released")
    assert in_variants(("emargin", "infonce"), ("shared", "released")) == both
    assert in_variants(both, ("shared", "released")) == both  # as stored in a study.toml
    with pytest.raises(UserError, match="emargin-released is the released variant of emargin"):
        in_variants(("emargin-released",), ("shared",))
    with pytest.raises(UserError, match="emargin has no published variant: give shared or released"):
        in_variants(("emargin",), ("published",))


@pytest.mark.parametrize("name", METHODS)
def test_a_row_says_which_variant_and_which_encoder(name: str) -> None:
    """Two columns say all; a method of its own encoder ignores the chosen one, in the hash too."""
    method = METHODS[name]
    row = settings_row(TrainConfig(method=name))
    assert row["encoder_variant"] == method.encoder_variant
    encoder = encoder_of(method, "projector")
    assert row["encoder"] == (None if encoder is None else encoder.name)
    if not method.uses_encoder:
        other = settings_row(TrainConfig(method=name, encoder="dilated"))
        assert {k: v for k, v in other.items() if k != "started_at"} == {
            k: v for k, v in row.items() if k != "started_at"
        }


def test_flags_of_one_training() -> None:
    def method(*words: str) -> str:
        return config_of(build_parser().parse_args(["--dataset", "sleepeeg-sim", *words])).method

    assert method("--variant", "released") == "emargin-released"
    assert method("--method", "infonce", "--variant", "shared") == "infonce"
    with pytest.raises(UserError, match="variant is 'relased'.*did you mean 'released'"):
        method("--variant", "relased")
    with pytest.raises(UserError, match="--encoder is dilated, but raw has no encoder: leave it out"):
        method("--method", "raw", "--encoder", "dilated")


def test_old_hashes_are_unchanged() -> None:
    """Of settings as they were before there were variants."""
    names = "emargin", "ts2vec", "raw", "emargin-released"
    assert [TrainConfig(method=name).digest() for name in names] == [
        "2d094c3db02b", "10f80fd13c52", "1f0387a550f3", "5cddfa3f6a69"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name, sees", [("ts2vec", "frame"), ("timedrl", "sequence"), ("ts2vec-published", "sequence")]
)
def test_a_row_says_whether_an_encoder_context_its_sequence(name: str, sees: str) -> None:
    *_, outcome = pretrain(
        config(name, dataset=str(tiny.tiny()), iterations=1, batch_size=2, evaluation_frames=50)
    )
    assert isinstance(outcome, Outcome)
    assert outcome.row["encoder_context"] == sees and outcome.row["status"] == "ok"
