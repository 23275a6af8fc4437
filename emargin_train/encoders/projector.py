"""The paper's encoder: three convolution blocks that see one frame at a time by default."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from emargin_train import settings as declaration
from emargin_train.encoders.base import Encoder
from emargin_train.errors import UserError
from emargin_train.settings import Settings, hyperparameter

CHANNELS = (128, 64, 320)


@dataclass(frozen=True, kw_only=True)
class ProjectorSettings(Settings):
    kernel_size: int = hyperparameter(
        1,
        "A convolution of the projector sees K frames; 1 encodes each frame by itself.",
        title="Kernel size",
        metavar="K",
        low=1,
        why="it counts frames",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel_size % 2 == 0:
            raise UserError(
                f"kernel_size is {self.kernel_size}, but a kernel has a frame in its middle: "
                "give an odd number"
            )


class Projector(Encoder):
    """Three blocks Conv1d(k) - BatchNorm - ReLU, F -> 128 -> 64 -> D: the paper's `FeatureProjector`.

    With kernel size 1 every frame is encoded by itself; a larger kernel also sees its neighbours in the
    sequence, with zeros beyond the ends. No embedding has a negative entry.

    channels: number of outputs of each block; the last one is D (320 in the paper)
    """

    name = "projector"
    title = "Projector"
    order = 0
    Settings: ClassVar[type[declaration.Settings]] = ProjectorSettings

    def __init__(
        self,
        n_features: int,
        settings: ProjectorSettings | None = None,
        *,
        channels: tuple[int, int, int] = CHANNELS,
    ) -> None:
        settings = settings or ProjectorSettings()
        super().__init__(n_features, settings)
        self.dim, k = channels[-1], settings.kernel_size
        self.sees_sequence = k > 1
        self.blocks = nn.Sequential()
        for n_in, n_out in zip((n_features, *channels[:-1]), channels, strict=True):
            self.blocks.append(nn.Conv1d(n_in, n_out, k, padding=k // 2))
            self.blocks.append(nn.BatchNorm1d(n_out))
            self.blocks.append(nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.shape[:2].numel() == 1:
            raise UserError(
                "a step of the projector sees a single frame, but its normalisation needs several: give a "
                "larger batch size or longer sequences"
            )
        if self.sees_sequence:
            return self.blocks(x.transpose(1, 2)).transpose(1, 2)
        h = x.flatten(0, 1)  # frame by frame: this equals a convolution, without its transposes
        for layer in self.blocks:
            if isinstance(layer, nn.Conv1d):
                h = F.linear(h, layer.weight[:, :, 0], layer.bias)
            else:
                h = layer(h)
        return h.unflatten(0, x.shape[:2])
