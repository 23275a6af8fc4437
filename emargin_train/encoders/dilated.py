"""The dilated convolutions of TS2Vec (Yue et al. 2022): an embedding depends on its whole sequence."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from emargin_train.encoders.base import Encoder
from emargin_train.settings import Settings, hyperparameter


@dataclass(frozen=True, kw_only=True)
class DilatedSettings(Settings, prefix="dilated"):
    depth: int = hyperparameter(
        10,
        "The dilated encoder has this many residual blocks before its last one; block i has dilation 2^i.",
        title="Depth",
        metavar="N",
        low=0,
        high=16,
        why="block i sees frames 2^i apart",
    )
    width: int = hyperparameter(
        64,
        "The residual blocks of the dilated encoder have this many channels.",
        title="Width",
        metavar="N",
        low=1,
        why="it counts channels",
    )
    dim: int = hyperparameter(
        320,
        "The dilated encoder gives embeddings of this many dimensions.",
        title="Dimensions",
        metavar="D",
        low=1,
        why="it counts dimensions",
    )
    dropout: float = hyperparameter(
        0.1,
        "Training sets this share of the output's values to 0.",
        title="Dropout",
        metavar="Q",
        low=0,
        high=0.99,
        why="it is a share of values",
    )


class Dilated(Encoder):
    """A linear layer F -> width, then depth + 1 residual blocks, the last one to D. Embeddings have any sign.

    Block i is y = conv(gelu(conv(gelu(h)))) + r(h). Both convolutions see 3 frames, 2^i apart, and zeros
    beyond the sequence; r is a convolution of one frame in the last block and where the widths differ, else h
    itself. Convolutions are symmetric in time, so the encoder is not causal. There is no normalisation layer.
    """

    name = "dilated"
    title = "Dilated convolution"
    Settings = DilatedSettings

    def __init__(self, n_features: int, settings: DilatedSettings | None = None) -> None:
        settings = settings or DilatedSettings()
        super().__init__(n_features, settings)
        self.dim, self.sees_sequence = settings.dim, True
        self.input_fc = nn.Linear(n_features, settings.width)
        widths = [settings.width] * (settings.depth + 1) + [settings.dim]
        self.blocks = nn.Sequential(
            *(
                _Block(n_in, n_out, 2**i, is_last=i == settings.depth)
                for i, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False))
            )
        )
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask: (B, T), False where the output of the linear layer is hidden, as in views for a training."""
        h = self.input_fc(x)
        if mask is not None:
            h = h.masked_fill(~mask[..., None], 0)
        return self.dropout(self.blocks(h.transpose(1, 2)).transpose(1, 2))


class _Block(nn.Module):
    """(B, n_in, T) -> (B, n_out, T)"""

    def __init__(self, n_in: int, n_out: int, dilation: int, *, is_last: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(n_in, n_out, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv1d(n_out, n_out, 3, padding=dilation, dilation=dilation)
        self.projector = nn.Conv1d(n_in, n_out, 1) if is_last or n_in != n_out else nn.Identity()

    def forward(self, h: Tensor) -> Tensor:
        return self.conv2(F.gelu(self.conv1(F.gelu(h)))) + self.projector(h)
