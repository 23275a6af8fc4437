"""Train several encoders in one stack and measure each: what `pretrain` does, for all at once."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from emargin_train.config import TrainConfig
from emargin_train.cost import Clock
from emargin_train.pretrain import Outcome, begin
from emargin_train.train import Diverged, State
from emargin_train.train_many import train_many


def pretrain_many(
    configs: Sequence[TrainConfig], *, resume: Sequence[Path | None] | None = None, device: str = "cpu"
) -> Iterator[tuple[int, State | Outcome]]:
    """Yield (member, State) of each member as they come, and (member, Outcome) once it has ended.

    Seconds of data and training are shared evenly among the members: nobody's alone can be told.
    resume: checkpoint of each member, to go on from
    """
    clock = Clock()
    runs = [begin(config, None, device) for config in configs]
    clock.lap("data_seconds")
    ended = []
    for i, item in train_many(configs, [run.splits for run in runs], resume=resume, device=device):
        if isinstance(item, State):
            yield i, item
        if isinstance(item, Diverged) or item.step >= configs[i].iterations:
            ended.append((i, item))
    clock.lap("train_seconds")
    for i, item in ended:
        own = Clock()
        own.seconds |= {part: seconds / len(configs) for part, seconds in clock.seconds.items()}
        run = runs[i]
        yield i, run.diverged(item, own) if isinstance(item, Diverged) else run.trained(item, own)
