"""Train many encoders at once, as a stack with weights (K, ...). Each member gets what `train` would give it.

Members may differ in everything but shapes: method and hyper-parameters, seed, noise, data. A member reports
an ordinary State, which can be saved, evaluated or resumed alone.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path

from emargin_train import checkpoint
from emargin_train.config import TrainConfig
from emargin_train.data.frames import Splits
from emargin_train.methods.base import Shape
from emargin_train.methods.one_view import OneView
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

    A member whose loss is not finite yields Diverged instead, once, and the others continue as if it had
    never been in the stack. A resumed member without steps left yields its State once. Resumed members that
    are at earlier steps first catch up with the others.

    splits: the data of each member; resume: the checkpoint from which it continues
    at_once: as in `Stack`
    Raises ValueError where the members' shapes differ, or a method cannot be stacked (`stack_key`).
    """
    members = [Member(start(c, s, device), s) for c, s in zip(configs, splits, strict=True)]
    for member, saved in zip(members, resume or [None] * len(members), strict=True):
        if saved is not None:
            member.state.restore(checkpoint.load(saved))
            member.reported = member.state.step
    keys = {stack_key(member.state) for member in members}
    if len(keys) > 1 or None in keys:
        raise ValueError("these trainings cannot be in one stack: train them in separate stacks")
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
            stack = None  # this frees its memory
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


def can_stack(config: TrainConfig) -> bool:
    """Whether a training with these settings can be a member of a stack at all."""
    method = config.method_class(config.setup(Shape(2, 8, 2), 1.0))
    return isinstance(method, OneView) and method.can_stack()


def stack_key(state: State) -> Hashable | None:
    """A key that is equal for trainings that can be in one stack; None where the method cannot be stacked."""
    method, c = state.method, state.config
    if not isinstance(method, OneView) or not method.can_stack():
        return None
    assert c.training is not None
    return (
        method.n_plain,
        method.n_labelled,
        method.setup.shape,
        c.encoder,
        c.encoder_settings,
        getattr(c.settings, "head", None),
        method.classifier is not None,
        c.training.precision,
        c.training.learning_rate,
        c.training.weight_decay,
    )
