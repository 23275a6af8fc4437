"""CPC (van den Oord, Li, Vinyals 2018, arXiv:1807.03748): a causal context predicts the frames that follow.

Every frame that is not the last of its sequence is a query, and all frames of the batch are candidates. The
embedding is the encoder's output, not the context, which depends on earlier frames.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emargin_train.data.frames import Frames
from emargin_train.encoders.base import seeded
from emargin_train.errors import UserError
from emargin_train.losses.cpc import predictive_contrast, released_frames, sampled_contrast
from emargin_train.losses.unit import unit
from emargin_train.methods.base import Batch, Setup
from emargin_train.methods.pretext import SEES_SAMPLES, Pretext
from emargin_train.methods.released import PlainProjector, ReleasedTraining
from emargin_train.settings import Settings, hyperparameter


@dataclass(frozen=True, kw_only=True)
class CPCSettings(Settings, prefix="cpc"):
    steps: int = hyperparameter(
        4,
        "The context predicts 1 to K frames ahead.",
        title="Steps ahead",
        metavar="K",
        low=1,
        search=(1, 12),
        role="scientific",
        why="it predicts later frames",
    )
    temperature: float = hyperparameter(
        1.0,
        "Scores of CPC are divided by this temperature.",
        title="Temperature of CPC",
        metavar="TAU",
        low=0,
        above=True,
        search=(0.1, 10),
        log=True,
        role="scientific",
        why="it divides scores",
    )
    score: str = hyperparameter(
        "dot",
        "The score of a frame is its inner product with the prediction, or their cosine.",
        metavar="KIND",
        choices=("dot", "cosine"),
    )
    context: int = hyperparameter(
        256,
        "The context of CPC has this many dimensions.",
        metavar="N",
        low=1,
        why="it counts dimensions",
    )


class CPC(Pretext):
    name = "cpc"
    title = "CPC"
    description = "predicts the next embeddings from a recurrent context, among all frames of the batch"
    Settings = CPCSettings
    settings: CPCSettings
    missing_variants = {"published": SEES_SAMPLES}

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        s, d = self.settings, self.encoder.dim
        with seeded(setup.seed):
            self.context = nn.GRU(d, s.context, batch_first=True)
            self.predictors = nn.Linear(s.context, s.steps * d)

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        n_frames, steps = self.setup.shape.n_frames, self.settings.steps
        if steps >= n_frames:
            raise UserError(
                f"cpc.steps is {steps}, but sequences have {n_frames} frames: give fewer steps ahead than "
                "frames, and sequences of 2 frames or more"
            )

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        s = self.settings
        z = self.encoder(batch.x)
        queries = self.predictors(self.context(z)[0]).unflatten(-1, (s.steps, -1)).movedim(-2, 0)
        if s.score == "cosine":
            z, queries = unit(z), unit(queries)
        return predictive_contrast(z, queries, temperature=s.temperature)


class CPCReleased(Pretext):
    """One query for each sequence, always about its middle frame, whose answer is in the context that it has.

    Context network and predictor stay random.
    """

    name = "cpc-released"
    title = "CPC, as released"
    description = "predicts a frame that is in its own context, which stays random as its predictor does"
    encoder_variant = "released"
    variant_of = "cpc"
    uses_encoder = False
    own_encoder = PlainProjector
    Training = ReleasedTraining

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        d = self.encoder.dim
        with seeded(setup.seed):
            self.context, self.predictor = nn.GRU(d, d, batch_first=True), nn.Linear(d, d)
        self.context.requires_grad_(False)
        self.predictor.requires_grad_(False)

    def prepare(self, train: Frames) -> None:
        super().prepare(train)
        released_frames(self.setup.shape.n_frames)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        z, n_frames = self.encoder(batch.x), batch.x.shape[1]
        context, positive, pool = released_frames(n_frames)
        negatives = pool[torch.randint(len(pool), (n_frames // 2,), generator=generator)]
        query = self.predictor(self.context(z[:, context])[0][:, -1])
        return sampled_contrast(query, z[:, positive], z[:, negatives.to(z.device)]).mean()
