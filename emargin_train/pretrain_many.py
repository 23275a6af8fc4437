"""Train several encoders in one stack and measure each: what `pretrain` does, for all at once."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from emargin_train.config import TrainConfig
from emargin_train.cost import Clock
from emargin_train.data.frames import Splits
from emargin_train.data.settings import DataConfig
from emargin_train.pretrain import Outcome, begin
from emargin_train.train import Diverged, State
from emargin_train.train_many import TrainMany, train_many


def pretrain_many(
    configs: Sequence[TrainConfig],
    *,
    resume: Sequence[Path | None] | None = None,
    device: str = "cpu",
    train: TrainMany = train_many,
) -> Iterator[tuple[int, State | Outcome]]:
    """Yield (member, State) of each member as they come, and (member, Outcome) once it has ended.

    Seconds of data are shared evenly among these trainings, and seconds of training among all members of the
    stack, since the share of one alone cannot be known.
    resume: the checkpoint that each member continues from
    train: where the stack is trained, perhaps with others in it
    """
    clock = Clock()
    runs = [begin(config, device) for config in configs]
    clock.lap("data_seconds")
    loaded: dict[DataConfig, Splits] = {}  # the same data are one object, which a stack keeps once
    splits = [loaded.setdefault(c.data, run.splits) for c, run in zip(configs, runs, strict=True)]
    ended = []
    for i, item in train(configs, splits, resume=resume, device=device):
        if isinstance(item, State):
            yield i, item
        if isinstance(item, Diverged) or item.step >= configs[i].iterations:
            ended.append((i, item))
    clock.lap("train_seconds")
    for i, item in ended:
        own = Clock()
        own.seconds["data_seconds"] = clock.seconds["data_seconds"] / len(configs)
        own.seconds["train_seconds"] = clock.seconds["train_seconds"] / item.together
        run = runs[i]
        run.row["stack_members"] = item.together
        yield i, run.diverged(item, own) if isinstance(item, Diverged) else run.trained(item, own)
