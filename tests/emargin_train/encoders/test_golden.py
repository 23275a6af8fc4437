"""The projector computes what the released encoder computes."""

from pathlib import Path

import torch

from emargin_train.encoders.projector import Projector
from tests.emargin_train.golden import arrays


def golden_projector() -> Projector:
    encoder = Projector(10, channels=(128, 64, 12))
    saved = {
        k.removeprefix("encoder_init."): torch.from_numpy(v) for k, v in arrays().items() if "_init." in k
    }
    names = {
        f"{kind}{i + 1}": f"blocks.{3 * i + (kind == 'bn')}" for kind in ("conv", "bn") for i in range(3)
    }
    renamed = {f"{names[part]}.{leaf}": v for key, v in saved.items() for part, leaf in [key.split(".")]}
    encoder.load_state_dict(renamed)
    return encoder


def test_golden_encoder(shared: Path) -> None:
    """Training-mode output, then evaluation-mode output with the statistics of that one pass."""
    encoder, x = golden_projector(), torch.from_numpy(arrays()["encoder_x"])
    torch.testing.assert_close(
        encoder.train()(x), torch.from_numpy(arrays()["encoder_train_out"]), rtol=1e-5, atol=1e-5
    )
    after = torch.from_numpy(arrays()["encoder_eval_out_after_one_train_forward"])
    torch.testing.assert_close(encoder.eval()(x), after, rtol=1e-5, atol=1e-5)
