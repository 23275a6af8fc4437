"""The dilated convolutions that TS2Vec published, and that SoftCLT, InfoTS, CoST and MF-CLR build on."""

from torch import Tensor, nn
from torch.nn import functional as F


class DilatedEncoder(nn.Module):
    """Linear F -> H, `depth + 1` residual blocks of dilation 1, 2, 4, ..., dropout: (B, T, F) -> (B, T, D).

    Not causal, and context reaches 1 + 4 (2^(depth + 1) - 1) frames, so with the usual depth of 10 every
    output sees its whole sequence. Outputs are signed and unbounded. Initial weights are PyTorch's defaults,
    drawn from the global generator.

    n_features: F; hidden: H; dim: D
    """

    def __init__(
        self, n_features: int, *, dim: int = 320, hidden: int = 64, depth: int = 10, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.input_fc = nn.Linear(n_features, hidden)
        widths = [hidden] * (depth + 1) + [dim]
        self.blocks = nn.ModuleList(
            _Block(widths[i], widths[i + 1], dilation=2**i, is_last=i == depth) for i in range(depth + 1)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (B, T, F), a frame with any NaN counts as absent; mask: (B, T), 0 where a latent is hidden."""
        absent = x.isnan().any(-1)
        h = self.input_fc(x.masked_fill(absent[..., None], 0))
        hidden = absent if mask is None else absent | ~mask.bool()
        h = h.masked_fill(hidden[..., None], 0).transpose(1, 2)
        for block in self.blocks:
            h = block(h)
        return self.dropout(h.transpose(1, 2))


class _Block(nn.Module):
    """conv2(gelu(conv1(gelu(h)))) + r(h), length kept."""

    def __init__(self, n_in: int, n_out: int, *, dilation: int, is_last: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(n_in, n_out, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv1d(n_out, n_out, 3, padding=dilation, dilation=dilation)
        self.projector = nn.Conv1d(n_in, n_out, 1) if is_last or n_in != n_out else nn.Identity()

    def forward(self, h: Tensor) -> Tensor:
        return self.conv2(F.gelu(self.conv1(F.gelu(h)))) + self.projector(h)
