"""The projection head: trained with the encoder, and left out where embeddings are measured."""

import pytest
import torch

from emargin_train.methods.one_view import OneView
from emargin_train.train import start, train
from tests.emargin_train.configs import config
from tests.emargin_train.synthetic import make_splits

SPLITS = make_splits()


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_head_is_trained_and_not_evaluated(head: str) -> None:
    *_, state = train(config(head=head, kernel_size=3), SPLITS)
    method, fresh = state.method, start(config(head=head, kernel_size=3), SPLITS).method
    assert isinstance(method, OneView) and isinstance(fresh, OneView)
    weight = "weight" if head == "linear" else "0.weight"
    assert not torch.equal(method.head.state_dict()[weight], fresh.head.state_dict()[weight])
    assert method.encode(torch.rand(2, 5, SPLITS.train.shape[2])).shape == (2, 5, 320)
    assert method.head(torch.rand(2, 5, 320)).shape == (2, 5, 128)


def test_without_a_head_the_loss_is_taken_of_the_embeddings() -> None:
    method = start(config(), SPLITS).method.eval()
    x = torch.rand(2, 5, SPLITS.train.shape[2])
    (z,) = method(x)
    assert torch.equal(z, method.encode(x))


def test_the_encoder_starts_from_the_seed_alone() -> None:
    """Neither a head nor a classifier changes its initial weights."""

    def initial(method: str, **more: object) -> dict[str, torch.Tensor]:
        return start(config(method, **more), SPLITS).method.state_dict()

    plain = initial("emargin-semi")
    other = initial("emargin-semi", supervised_term="cross-entropy", head="mlp")
    assert all(torch.equal(other[name], value) for name, value in plain.items())
    first = "encoder.blocks.0.weight"
    assert not torch.equal(plain[first], initial("emargin-semi", seed=4)[first])
