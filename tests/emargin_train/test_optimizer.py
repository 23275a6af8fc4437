"""Our AdamW takes the same steps as PyTorch's, and does not load its compiler."""

import subprocess
import sys

import pytest
import torch

from emargin_train.optimizer import AdamW
from tests.tiny import tiny


@pytest.mark.parametrize("more", [{"fused": True}, {}])
def test_steps_and_state_are_those_of_pytorch(more):
    steps = {}
    for kind in (torch.optim.AdamW, AdamW):
        generator = torch.Generator().manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(3, 2, generator=generator))
        optimizer = kind([weight], lr=0.1, weight_decay=0.01, **more)
        for number in range(6):
            optimizer.zero_grad()
            (weight @ torch.randn(2, generator=generator)).square().sum().backward()
            optimizer.step()
            if number == 3:
                saved = optimizer.state_dict()
                optimizer = kind([weight], lr=0.1, weight_decay=0.01, **more)
                optimizer.load_state_dict(saved)
        assert not weight.grad.requires_grad
        steps[kind] = weight.detach(), optimizer.state_dict()
    (theirs, state), (ours, own) = steps.values()
    assert torch.equal(ours, theirs) and own["param_groups"] == state["param_groups"]
    assert all(torch.equal(own["state"][0][name], value) for name, value in state["state"][0].items())


@pytest.mark.slow
def test_a_training_does_not_load_the_compiler():
    """Nor scikit-learn: together they would take three seconds of every worker."""
    program = f"""
import sys
from emargin_train import pretrain
sys.argv = ["pretrain", "--dataset", {str(tiny())!r}, "--iterations", "2", "--json"]
pretrain.main()
print({{"torch._dynamo", "sklearn"}} & sys.modules.keys())
"""
    ran = subprocess.run((sys.executable, "-c", program), check=True, capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1] == "set()"
