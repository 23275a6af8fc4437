"""Many trainings at once, as a stack: weights (K, ...), member by member what `train` does alone.

Members may differ in everything but shapes: objective and knobs, seed, noise, data. Whenever one reports, it
is an ordinary State, to be saved, evaluated or resumed alone.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path

from emargin_train import checkpoint
from emargin_train.config import TrainConfig
from emargin_train.data.frames import Splits
from emargin_train.stack import Member, Stack
from emargin_train.train import Diverged, State, start

TrainMany = Callable[..., Iterator[tuple[int, State | Diverged]]]  # with the arguments of `train_many`


def train_many(
    configs: Sequence[TrainConfig],
    splits: Sequence[Splits],
    *,
    resume: Sequence[Path | bytes | None] | None = None,
    device: str = "cpu",
    at_once: bool | None = None,
) -> Iterator[tuple[int, State | Diverged]]:
    """Yield (member, its State) every `report_every` steps of the member and at its end.

    A member whose loss is not finite yields Diverged instead, once, and the others go on as if it had never
    been there. A resumed member that has no steps left yields its State once; those behind catch up first.

    splits: the data of each member; resume: its checkpoint, to go on from
    at_once: of `Stack`
    Raises ValueError where the members' shapes differ.
    """
    members = [Member(start(c, s, device), s) for c, s in zip(configs, splits, strict=True)]
    for member, saved in zip(members, resume or [None] * len(members), strict=True):
        if saved is not None:
            member.state.restore(checkpoint.load(saved))
    if len({shapes(member.state) for member in members}) > 1:
        raise ValueError("the members of a stack differ in shapes: train them in stacks of their own")
    going = dict(enumerate(members))
    for i in [i for i, member in going.items() if member.is_done]:
        yield i, going.pop(i).state
    stack: Stack | None = None
    while going:
        step = min(member.state.step for member in going.values())
        level = {i: member for i, member in going.items() if member.state.step == step}
        stop = min(member.next_report for member in level.values())
        due = [i for i, member in level.items() if member.next_report == stop]
        if stack is None or set(stack.members) != set(level.values()):
            stack = None  # its memory first
            stack = Stack(list(level.values()), device, at_once=at_once)
        stack.advance(stop - step)
        for i, member in level.items():
            if member.diverged:
                yield i, Diverged(member.state.losses, len(level))
                del going[i]
            elif i in due:
                member.report()
                yield i, member.state
                if member.is_done:
                    del going[i]


def shapes(state: State) -> Hashable:
    """What members of a stack have in common."""
    batches, c = state.batches, state.config
    n_classes = state.classifier.out_features if state.classifier else None
    return (
        batches.n_plain,
        batches.n_labelled,
        batches.frames.shape[1:],
        c.encoder,
        n_classes,
        c.learning_rate,
    )
