"""The encoder, what it is shown, and how frames become embeddings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emargin_train.config import EncoderConfig
from emargin_train.data.frames import Frames

CHANNELS = (128, 64, 320)
HEAD_DIM = 128
ENCODE_SEQUENCES = 64  # per batch of `encode`

ToInput = Callable[[np.ndarray | Tensor], Tensor]


class Encoder(nn.Module):
    """Three blocks Conv1d(k) - BatchNorm - ReLU, F -> 128 -> 64 -> D: the paper's `FeatureProjector`.

    With kernel size 1 frames are encoded one by one; a larger kernel sees neighbours of the same
    sequence, with zeros beyond its ends. Initial weights are PyTorch's defaults, drawn from `seed`
    alone; the global generator is left as it was.

    n_features: F; channels: outputs of the three blocks, the last is D (320 in the paper)
    """

    def __init__(
        self,
        n_features: int,
        config: EncoderConfig | None = None,
        *,
        channels: tuple[int, int, int] = CHANNELS,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.config = config or EncoderConfig()
        self.n_features = n_features
        k = self.config.kernel_size
        with seeded(seed):
            self.blocks = nn.Sequential()
            for n_in, n_out in zip((n_features, *channels[:-1]), channels, strict=True):
                self.blocks.append(nn.Conv1d(n_in, n_out, k, padding=k // 2))
                self.blocks.append(nn.BatchNorm1d(n_out))
                self.blocks.append(nn.ReLU())
            self.head = _head(self.config.head, channels[-1])

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, F) -> embeddings h (B, T, D), all >= 0: what is evaluated."""
        if self.config.kernel_size > 1:
            return self.blocks(x.transpose(1, 2)).transpose(1, 2)
        h = x.flatten(0, 1)  # frames one by one: the same as a convolution, without its transposes
        for layer in self.blocks:
            if isinstance(layer, nn.Conv1d):
                h = F.linear(h, layer.weight[:, :, 0], layer.bias)
            else:
                h = layer(h)
        return h.unflatten(0, x.shape[:2])

    def project(self, h: Tensor) -> Tensor:
        """(B, T, D) -> what the objective contrasts: h itself, or (B, T, 128) after a head."""
        return self.head(h)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """PyTorch's initial weights from a seed; the global generator is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        yield


def linear_classifier(dim: int, n_classes: int, *, seed: int) -> nn.Linear:
    """(..., dim) embeddings -> (..., n_classes) logits."""
    with seeded(seed):
        return nn.Linear(dim, n_classes)


def _head(name: str, dim: int) -> nn.Module:
    if name == "linear":
        return nn.Linear(dim, HEAD_DIM)
    if name == "mlp":
        return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, HEAD_DIM))
    return nn.Identity()


def framing(name: str, magnitude_scale: float) -> ToInput:
    """What the encoder is shown of magnitudes x, any shape: `magnitude` x itself, `log` log(1 + x / scale).

    magnitude_scale: `Splits.magnitude_scale`, above 0
    """

    def to_input(x: np.ndarray | Tensor) -> Tensor:
        x = torch.as_tensor(x)
        return torch.log1p(x / magnitude_scale) if name == "log" else x

    return to_input


@torch.no_grad()
def encode(encoder: Encoder, frames: Frames, chosen: np.ndarray, to_input: ToInput) -> np.ndarray | Tensor:
    """Embeddings of the chosen frames, in row-major order of `chosen`: (n, D) float32.

    An array if the encoder is on a CPU, else a tensor that stays where the encoder is.
    Evaluation mode (the encoder's mode is put back), in batches of whole sequences.

    chosen: (N, T) bool
    """
    if chosen.shape != frames.shape[:2] or chosen.dtype != bool:
        raise TypeError(f"chosen is {chosen.dtype} {chosen.shape}, not bool {frames.shape[:2]}")
    first = next(encoder.parameters())
    was_training = encoder.training
    encoder.eval()
    dim = encoder(torch.zeros(1, 1, encoder.n_features, dtype=first.dtype, device=first.device)).shape[-1]
    h = torch.empty((int(chosen.sum()), dim), device=first.device)
    done = 0
    touched = np.flatnonzero(chosen.any(1))
    for which in np.split(touched, range(ENCODE_SEQUENCES, len(touched), ENCODE_SEQUENCES)):
        x = to_input(torch.from_numpy(frames.x(which)).to(first.device)).to(first.dtype)
        own = torch.from_numpy(np.flatnonzero(chosen[which])).to(first.device)
        h[done : done + len(own)] = encoder(x).flatten(0, 1)[own]
        done += len(own)
    encoder.train(was_training)
    return h.numpy() if first.device.type == "cpu" else h
