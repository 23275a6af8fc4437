"""Train several encoders in one stack and measure each: the same as `pretrain`, for all at once."""

from collections.abc import Collection, Iterator, Sequence
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
    metrics: Collection[str] | None = None,
) -> Iterator[tuple[int, State | Outcome]]:
    """Yield (member, State) whenever a member reports, and (member, Outcome) when it has ended.

    The time for loading data is shared evenly among these trainings, and the time of training among all
    members of the stack, since the share of a single one cannot be measured.
    resume: the checkpoint from which each member continues
    train: the function that trains the stack; other trainings may join the stack there
    metrics: the names of those that are measured; None = all
    """
    clock = Clock()
    runs = [begin(config, device, metrics) for config in configs]
    clock.lap("data_seconds")
    loaded: dict[DataConfig, Splits] = {}  # equal data are one object, of which a stack keeps one copy
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
