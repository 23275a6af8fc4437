"""Steps of probes: the optimiser gives the same as PyTorch's, and a GPU can record a step."""

from collections.abc import Callable

import pytest
import torch

from emargin_train.evaluation import probes
from emargin_train.evaluation.steps import Adam, Batches
from tests.emargin_train.test_capture import Blind, Tape

from .test_probes import gaussians


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_adam_is_torch_s(decay):
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(3, 5, generator=generator), torch.randn(3, generator=generator)]
    ours = Adam(start, rate=1e-2, decay=decay, most_steps=50)
    theirs = [layer.clone().requires_grad_() for layer in start]
    optimizer = torch.optim.AdamW(theirs, lr=1e-2, weight_decay=decay)
    for _ in range(50):
        for own, other in zip(ours.gradients, theirs, strict=True):
            own.copy_(torch.randn(own.shape, generator=generator))
            other.grad = own.clone()
        ours.step()
        optimizer.step()
    for own, other in zip(ours.layers, theirs, strict=True):
        torch.testing.assert_close(own, other.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n, size", [(10, 4), (8, 4), (3, 4)])
def test_batches_hold_each_frame_once_and_means_are_of_frames(n, size):
    batches = Batches(n, size, torch.device("cpu"))
    batches.begin(torch.arange(n).flip(0))
    seen = []
    for _ in range(batches.n_steps):
        index, share = batches.draw()
        assert share.sum() == pytest.approx(1)
        seen += index[share[:, 0] > 0].tolist()
    assert seen == list(reversed(range(n)))


def steps_of(probe: str) -> tuple[Adam, Callable[[], None]]:
    training = gaussians(300)
    goal = torch.nn.functional.one_hot(torch.from_numpy(training.y)).to(training.h)
    generator = torch.Generator().manual_seed(2)
    layers = [torch.ones(3, 5) / 7, torch.zeros(3)]
    if probe == "mlp":
        layers = probes.first_layers(5, 3, generator)
    adam = Adam(layers, rate=1e-3, most_steps=10)
    batches = Batches(300, 30, training.h.device)
    batches.begin(torch.randperm(300, generator=generator))
    make = probes.mlp_step if probe == "mlp" else probes.paper_step
    return adam, make(training.h, goal, adam, batches)


@pytest.mark.parametrize("probe", ["paper", "mlp"])
def test_steps_can_be_recorded(probe):
    """A step looks at no value; and a replay, on the same memory, continues as a call does."""
    (called, call), (replayed, record) = steps_of(probe), steps_of(probe)
    with Blind():
        call()
    with (tape := Tape()):
        record()
    for _ in range(5):
        call()
        tape.replay()
    assert torch.equal(called.parameters, replayed.parameters)
    before = called.parameters.clone()
    call()
    assert not torch.equal(called.parameters, before)
