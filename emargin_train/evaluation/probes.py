"""Classifiers that read classes from fixed embeddings: what linear, neighbour and non-linear readers find.

All but the paper's probe give scores for classes that are equally frequent, right for balanced accuracy;
`with_shares` adds log p(c), right for accuracy on the natural mixture: one training serves both.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from emargin_train.evaluation import distances
from emargin_train.evaluation.points import Points, to_host
from emargin_train.evaluation.training import Scores, Training, folds, standardise

PAPER_BATCH = 128
NEIGHBOURS = 15
HIDDEN = 64
MLP_BATCH = 512
PATIENCE = 5  # epochs without gain


def with_shares(scores: np.ndarray, training: Training) -> np.ndarray:
    """log p(c|h) under the training frames' class shares, but for a constant: (n, K)."""
    return scores + np.log(training.share)


def paper_probe(training: Training, *, seed: int = 1, epochs: int = 10) -> Scores:
    """The published probe: one linear layer on h as it is, Adam 1e-3, cross-entropy, 10 epochs.

    As published it knows the natural mixture of classes. Published batches are 8 sequences of all training
    data, one to two thousand steps on the paper's datasets, and how far the layer gets hangs on that count:
    so batches here are 128 frames, 1,180 steps with 15,000 training frames.
    """
    generator = torch.Generator().manual_seed(seed)
    h, inputs = torch.from_numpy(to_host(training.h)), training.h.shape[1]
    one_hot = F.one_hot(torch.from_numpy(training.y)).to(h.dtype)  # (n, K)
    classes = one_hot.shape[1]
    weight, bias = (uniform(torch.empty(size), inputs, generator) for size in ((classes, inputs), (classes,)))
    optimizer = torch.optim.Adam([weight, bias], lr=1e-3, fused=True)
    for _ in range(epochs):
        order = torch.randperm(len(h), generator=generator)
        for x, goal in zip(h[order].split(PAPER_BATCH), one_hot[order].split(PAPER_BATCH), strict=True):
            error = (
                torch.addmm(bias, x, weight.T).softmax(1).sub_(goal).div_(len(x))
            )  # gradient of the logits
            weight.grad, bias.grad = error.T @ x, error.sum(0)
            optimizer.step()
    return lambda x: torch.addmm(bias, torch.from_numpy(to_host(x)), weight.T).log_softmax(1).numpy()


def nearest(training: Training, *, k: int = NEIGHBOURS) -> Scores:
    """The k nearest training frames vote, Euclidean on h as it is; a class's votes are divided by its share.

    Scores are log (votes + p(c)) - log p(c): without votes, all classes are level.
    """
    share = training.share
    k = min(k, len(training.y))

    def scores(h: Points) -> np.ndarray:
        near = training.y[distances.nearest(h, training.h, k)]  # (n, k)
        votes = (near[:, :, None] == np.arange(len(share))).sum(1)
        return np.log(votes + share) - np.log(share)

    return scores


def mlp(training: Training, *, seed: int = 1, epochs: int = 30) -> Scores:
    """One hidden layer of 64 ReLU units on standardised features, stopped early.

    AdamW 2e-3 with weight decay 1e-2, batches of 512 frames drawn so that classes are equally frequent. About
    a fifth of the training subjects are left out; the weights of the epoch with the lowest loss on them are
    kept, and training ends 5 epochs after the last gain.
    """
    generator = torch.Generator().manual_seed(seed)
    scale = standardise(training.h)
    x, y = torch.from_numpy(to_host(scale(training.h))), torch.from_numpy(training.y)
    weight = torch.from_numpy(training.weight)
    inside, outside = (torch.from_numpy(part) for part in folds(training.subject, 5)[0])
    layers = first_layers(x.shape[1], len(training.share), generator)
    optimizer = torch.optim.AdamW(layers, lr=2e-3, weight_decay=1e-2, fused=True)
    lowest, kept, idle = np.inf, [layer.detach() for layer in layers], 0
    for _ in range(epochs):
        drawn = weight[inside].sum(1).multinomial(len(inside), replacement=True, generator=generator)
        for batch in inside[drawn].split(MLP_BATCH):
            optimizer.zero_grad()
            F.cross_entropy(forward(layers, x[batch]), y[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            loss = -float((weight[outside] * forward(layers, x[outside]).log_softmax(1)).sum())
        idle += 1
        if loss < lowest:
            lowest, kept, idle = loss, [layer.detach().clone() for layer in layers], 0
        if idle == PATIENCE:
            break
    return lambda h: forward(kept, torch.from_numpy(to_host(scale(h)))).log_softmax(1).numpy()


def uniform(parameter: Tensor, inputs: int, generator: torch.Generator) -> Tensor:
    """torch's own start of a linear layer with so many inputs, drawn from our generator."""
    return parameter.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)


def first_layers(features: int, classes: int, generator: torch.Generator) -> list[Tensor]:
    sizes = ((HIDDEN, features), (HIDDEN,), (classes, HIDDEN), (classes,))
    inputs = (features, features, HIDDEN, HIDDEN)
    starts = (uniform(torch.empty(size), n, generator) for size, n in zip(sizes, inputs, strict=True))
    return [start.requires_grad_() for start in starts]


def forward(layers: list[Tensor], x: Tensor) -> Tensor:
    first, first_bias, second, second_bias = layers
    return F.linear(F.linear(x, first, first_bias).relu(), second, second_bias)
