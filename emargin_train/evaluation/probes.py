"""Probes are classifiers of fixed embeddings: linear, nearest-neighbour and non-linear.

All except the paper's probe give scores as if classes were equally frequent, which suits balanced accuracy.
`with_shares` adds log p(c), which suits accuracy on the natural mixture, so one training serves both. A probe
that has something to choose (a penalty, a number of epochs) chooses it on left-out training subjects, and is
then fitted to all training subjects.
"""

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from emargin_train.evaluation import distances
from emargin_train.evaluation.steps import Adam, Batches, repeated
from emargin_train.evaluation.training import Scores, Training, folds

PAPER_BATCH = 128
PAPER_EPOCHS = 10
NEIGHBOURS = 15
HIDDEN = 64
MLP_BATCH = 512
MLP_EPOCHS = 30
MLP_STEPS = 400  # about the largest number of steps: with many frames, fewer epochs are tried
PATIENCE = 5  # the search ends after so many epochs without gain


def with_shares(scores: np.ndarray, training: Training) -> np.ndarray:
    """Return log p(c|h) under the training frames' class shares, up to a constant: (n, K)."""
    return scores + np.log(training.share)


def paper_probe(training: Training, *, seed: int = 1, epochs: int = PAPER_EPOCHS) -> Scores:
    """The published probe: one linear layer on unscaled h, Adam 1e-3, cross-entropy, 10 epochs.

    As published, it is trained on the natural mixture of classes. Published batches are 8 sequences of the
    training data, which makes one to two thousand steps on the paper's datasets. How far the layer converges
    depends on that number, so batches here are 128 frames: 1,180 steps with 15,000 training frames.
    """
    generator, h = torch.Generator().manual_seed(seed), training.h
    goal, inputs = F.one_hot(torch.from_numpy(training.y)).to(h), h.shape[1]
    classes = goal.shape[1]
    layers = [uniform(torch.empty(size), inputs, generator).to(h) for size in ((classes, inputs), (classes,))]
    batches = Batches(len(h), PAPER_BATCH, h.device)
    adam = Adam(layers, rate=1e-3, most_steps=epochs * batches.n_steps)
    step, call = paper_step(h, goal, adam, batches), repeated(h.device)
    for _ in range(epochs):
        batches.begin(torch.randperm(len(h), generator=generator))
        for _ in range(batches.n_steps):
            call(step)
    weight, bias = adam.layers
    return lambda x: torch.addmm(bias, x, weight.T).log_softmax(1).cpu().numpy()


def paper_step(h: Tensor, goal: Tensor, adam: Adam, batches: Batches) -> Callable[[], None]:
    """Return a step on the next batch. h: (n, D); goal: one-hot (n, K)"""
    weight, bias = adam.layers

    def step() -> None:
        index, share = batches.draw()
        x = h.index_select(0, index)
        error = torch.addmm(bias, x, weight.T).softmax(1).sub_(goal.index_select(0, index)).mul_(share)
        torch.mm(error.T, x, out=adam.gradients[0])
        torch.sum(error, 0, out=adam.gradients[1])
        adam.step()

    return step


def nearest(training: Training, *, k: int = NEIGHBOURS) -> Scores:
    """The k nearest training frames vote (Euclidean on h); the votes of a class are divided by its share.

    Scores are log (votes + p(c)) - log p(c), so that all classes are equal without votes. Nothing is chosen.
    """
    share = training.share
    k = min(k, len(training.y))

    def scores(h: Tensor) -> np.ndarray:
        near = training.y[distances.nearest(h, training.h, k)]  # (n, k)
        votes = (near[:, :, None] == np.arange(len(share))).sum(1)
        return np.log(votes + share) - np.log(share)

    return scores


def mlp(training: Training, *, seed: int = 1) -> Scores:
    """One hidden layer of 64 ReLU units on standardised features, stopped early.

    It is trained by AdamW 2e-3 with weight decay 1e-2, on batches of 512 frames in which classes are equally
    frequent. About a fifth of the training subjects are left out to choose the number of epochs: the one with
    the lowest loss on them. The search ends 5 epochs after the last gain. Then the probe is trained on all
    training subjects for that many epochs.
    """
    epochs = choose_epochs(training, seed)
    everything = torch.arange(len(training.y))
    layers = next(islice(mlp_epochs(training, everything, seed, epochs), epochs - 1, None))
    scale = training.standardised[1]
    return lambda h: forward(layers, scale(h)).log_softmax(1).cpu().numpy()


def choose_epochs(training: Training, seed: int) -> int:
    """Return the number of epochs with the lowest loss on left-out subjects: 1 or more.

    As in `logistic.choose_penalty`, frames of a class that no other subject has are not judged. Five parts
    could be left out: it is the first one of those with the most classes to judge.
    """
    x, _ = training.standardised
    parts = [
        (inside, outside[np.isin(training.y[outside], training.y[inside])])
        for inside, outside in folds(training.subject, 5)
    ]
    inside, outside = max(parts, key=lambda part: len(np.unique(training.y[part[1]])))
    judges = x[torch.from_numpy(outside).to(x.device)]
    judged = torch.from_numpy(training.weight[outside]).to(x.device)
    best, lowest = 1, np.inf
    most = min(MLP_EPOCHS, max(1, MLP_STEPS * MLP_BATCH // len(inside)))
    for epoch, layers in enumerate(mlp_epochs(training, torch.from_numpy(inside), seed, most), start=1):
        loss = -float((judged * forward(layers, judges).log_softmax(1)).sum())
        if loss < lowest:
            best, lowest = epoch, loss
        if epoch - best == PATIENCE:
            break
    return best


def mlp_epochs(training: Training, frames: Tensor, seed: int, epochs: int) -> Iterator[list[Tensor]]:
    """Train on these frames (m,) and yield the layers after each epoch. The layers are not copies."""
    x, _ = training.standardised
    generator, goal = torch.Generator().manual_seed(seed), F.one_hot(torch.from_numpy(training.y)).to(x)
    often = torch.from_numpy(training.weight).sum(1)[frames]
    batches = Batches(len(frames), min(MLP_BATCH, len(frames)), x.device)
    layers = [layer.to(x) for layer in first_layers(x.shape[1], goal.shape[1], generator)]
    adam = Adam(layers, rate=2e-3, decay=1e-2, most_steps=epochs * batches.n_steps)
    step, call = mlp_step(x, goal, adam, batches), repeated(x.device)
    for _ in range(epochs):
        batches.begin(frames[often.multinomial(len(frames), replacement=True, generator=generator)])
        for _ in range(batches.n_steps):
            call(step)
        yield adam.layers


def mlp_step(x: Tensor, goal: Tensor, adam: Adam, batches: Batches) -> Callable[[], None]:
    """Return a step on the next batch. x: (n, D); goal: one-hot (n, K)"""
    first, first_bias, second, second_bias = adam.layers

    def step() -> None:
        index, share = batches.draw()
        batch = x.index_select(0, index)
        hidden = torch.addmm(first_bias, batch, first.T).relu_()
        error = torch.addmm(second_bias, hidden, second.T).softmax(1)
        error.sub_(goal.index_select(0, index)).mul_(share)
        back = torch.mm(error, second).mul_(hidden > 0)
        torch.mm(back.T, batch, out=adam.gradients[0])
        torch.sum(back, 0, out=adam.gradients[1])
        torch.mm(error.T, hidden, out=adam.gradients[2])
        torch.sum(error, 0, out=adam.gradients[3])
        adam.step()

    return step


def uniform(parameter: Tensor, inputs: int, generator: torch.Generator) -> Tensor:
    """Draw PyTorch's initial values of a linear layer with so many inputs from this generator."""
    return parameter.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)


def first_layers(features: int, classes: int, generator: torch.Generator) -> list[Tensor]:
    """Return the initial weights and biases of both layers, on the CPU."""
    sizes = ((HIDDEN, features), (HIDDEN,), (classes, HIDDEN), (classes,))
    inputs = (features, features, HIDDEN, HIDDEN)
    return [uniform(torch.empty(size), n, generator) for size, n in zip(sizes, inputs, strict=True)]


def forward(layers: list[Tensor], x: Tensor) -> Tensor:
    """Return the logits: (n, K). x: (n, D) standardised features"""
    first, first_bias, second, second_bias = layers
    return F.linear(F.linear(x, first, first_bias).relu(), second, second_bias)
