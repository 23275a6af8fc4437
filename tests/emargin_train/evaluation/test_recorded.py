"""Probes of tensors against those of arrays; and that their steps can be recorded on a GPU."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import rosen, rosen_der
from sklearn.linear_model import LogisticRegression

from emargin_train.evaluation import logistic, logistic_stacked, probes, recorded
from emargin_train.evaluation.lbfgs import LOOK_EVERY, MEMORY, Descent, minimise
from emargin_train.evaluation.training import Training, standardise
from tests.emargin_train.test_capture import Blind, Tape

from .test_probes import balanced, gaussians


def there(training: Training) -> Training:
    return Training(torch.from_numpy(training.h), training.y, training.subject)


def embeddings(n: int = 900, d: int = 60, seed: int = 0) -> Training:
    """Rectified mixtures of few causes, as an encoder's: features depend on each other, some are constant."""
    causes = gaussians(n, d=6, seed=seed)
    rng = np.random.default_rng(1)
    h = np.maximum(causes.h @ rng.standard_normal((6, d)) * np.logspace(0, -1.5, d), 0)
    h[:, 3] = 0.7
    return Training(h.astype(np.float32), causes.y, causes.subject)


@pytest.mark.parametrize("n", [100, 128, 300, 600])
def test_the_paper_s_probe_has_the_weights_of_an_array_s(n):
    """Log-probabilities of the unit vectors and of 0 tell all weights."""
    training = gaussians(n)
    asked = np.concatenate([np.zeros((1, 5)), np.eye(5)]).astype(np.float32)
    here = probes.paper_probe(training, seed=3)(asked)
    found = recorded.paper_probe(there(training), seed=3)(torch.from_numpy(asked))
    np.testing.assert_allclose(found, here, atol=1e-4)


@pytest.mark.parametrize("n", [300, 1100])
def test_the_mlp_has_the_scores_of_an_array_s(n):
    training = gaussians(n)
    here = probes.mlp(training, seed=2)(training.h)
    found = recorded.mlp(there(training), seed=2)(torch.from_numpy(training.h))
    np.testing.assert_allclose(found, here, atol=2e-3)


def test_on_embeddings_probes_guess_what_an_array_s_guess():
    training, new = embeddings(), embeddings(seed=7)
    for here, found in (
        (probes.paper_probe, recorded.paper_probe),
        (probes.mlp, recorded.mlp),
        (logistic.logistic, logistic_stacked.logistic),
        (probes.nearest, probes.nearest),
    ):
        expected, scores = here(training)(new.h), found(there(training))(torch.from_numpy(new.h))
        assert (expected.argmax(1) == scores.argmax(1)).mean() > 0.995
        assert balanced(scores, new.y) == pytest.approx(balanced(expected, new.y), abs=0.005)


@pytest.mark.parametrize("penalty", logistic.PENALTIES)
def test_a_stacked_fit_has_converged(penalty):
    training = embeddings()
    x = standardise(training.h)(training.h)
    weight = torch.from_numpy(training.weight)
    w = logistic_stacked.fit(torch.from_numpy(x), weight[None], torch.tensor([penalty]).double(), 5e-5)[0].T
    p = np.exp(x.astype(np.float64) @ w[:-1].numpy() + w[-1].numpy())
    p /= p.sum(1, keepdims=True)
    error = p * training.weight.sum(1, keepdims=True) - training.weight
    gradient = np.vstack([x.T @ error + penalty * w[:-1].numpy(), error.sum(0)])
    assert np.abs(gradient).max() < 6e-5
    theirs = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=10000)
    theirs.fit(x.astype(np.float64), training.y, sample_weight=training.weight.sum(1))
    np.testing.assert_allclose(p, theirs.predict_proba(x), atol=0.01)


def test_problems_of_a_stack_end_where_they_do_alone():
    training = embeddings(300, 20)
    x, weight = torch.from_numpy(standardise(training.h)(training.h)), torch.from_numpy(training.weight)
    half = weight * (torch.arange(len(weight)) % 2 == 0)[:, None]
    penalty = torch.tensor([1e-3, 1.0, 0.1]).double()
    together = logistic_stacked.fit(x, torch.stack([weight, half, half]), penalty, 1e-5)
    for i, own in enumerate((weight, half, half)):
        alone = logistic_stacked.fit(x, own[None], penalty[i : i + 1], 1e-5)[0]
        ours, theirs = (logistic_stacked.log_p(x, w[None]) for w in (together[i], alone))
        torch.testing.assert_close(ours, theirs, atol=5e-3, rtol=0)


@pytest.mark.parametrize("subjects", ["abcdef", "ab", "a"])
@pytest.mark.parametrize("noise", [0.1, 3.0])
def test_the_penalty_is_chosen_as_for_an_array(subjects, noise):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 500)
    h = (np.eye(3, 8)[y] + noise * rng.standard_normal((500, 8))).astype(np.float32)
    training = Training(h, y, np.sort(rng.choice(list(subjects), 500)))
    x = standardise(h)(h)
    chosen = logistic_stacked.choose_penalty(torch.from_numpy(x), there(training))
    assert chosen == logistic.choose_penalty(x, training)


def quadratics(p: int, n: int) -> tuple[Callable, torch.Tensor]:
    """p quadratics of condition 1e4 and their lowest points (p, n)."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(p, n, n, generator=generator, dtype=torch.float64))[0]
    curved = basis @ torch.diag_embed(torch.logspace(-4, 0, n, dtype=torch.float64).expand(p, n)) @ basis.mT
    lowest = torch.randn(p, n, generator=generator, dtype=torch.float64)

    def loss(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        gradient = (curved @ (x - lowest)[:, :, None])[:, :, 0]
        return ((x - lowest) * gradient).sum(1) / 2, gradient, gradient.abs().amax(1) < 1e-9

    return loss, lowest


@pytest.mark.parametrize("n", [3, 2 * MEMORY])
def test_minima_of_quadratics_are_found(n):
    loss, lowest = quadratics(4, n)
    torch.testing.assert_close(minimise(loss, torch.zeros_like(lowest)), lowest, atol=1e-4, rtol=0)


def test_steps_that_overshoot_are_halved():
    """Rosenbrock's valley, from its usual start."""

    def loss(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        value = torch.tensor([rosen(row) for row in x.numpy()])
        gradient = torch.from_numpy(np.stack([rosen_der(row) for row in x.numpy()]))
        return value, gradient, gradient.abs().amax(1) < 1e-8

    start = torch.tensor([[-1.2, 1.0], [0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(minimise(loss, start), torch.ones(2, 2).double(), atol=1e-6, rtol=0)


def test_a_problem_that_goes_wrong_disturbs_no_other():
    loss, lowest = quadratics(3, 5)

    def broken(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        value, gradient, good = loss(x)
        value[1] = torch.nan
        return value, gradient, good

    found = minimise(broken, torch.zeros_like(lowest))
    assert (found[1] == 0).all()  # never taken a step
    torch.testing.assert_close(found[[0, 2]], lowest[[0, 2]], atol=1e-4, rtol=0)


def paper() -> tuple[list[torch.Tensor], Callable[[], None]]:
    x, y = torch.from_numpy(gaussians(300).h), torch.from_numpy(gaussians(300).y)
    layer = [torch.ones(3, 5) / 7, torch.zeros(3)]
    optimizer = torch.optim.Adam(layer, lr=1e-3, fused=True)
    batches = recorded.Batches(300, 30, x.device)
    batches.begin(torch.randperm(300, generator=torch.Generator().manual_seed(1)))
    return layer, recorded.paper_step(x, torch.nn.functional.one_hot(y).to(x), layer, optimizer, batches)


def mlp() -> tuple[list[torch.Tensor], Callable[[], None]]:
    x, y = torch.from_numpy(gaussians(300).h), torch.from_numpy(gaussians(300).y)
    layers = [layer.detach() for layer in probes.first_layers(5, 3, torch.Generator().manual_seed(2))]
    optimizer = torch.optim.AdamW(layers, lr=2e-3, weight_decay=1e-2, fused=True)
    batches = recorded.Batches(300, 30, x.device)
    batches.begin(torch.randperm(300, generator=torch.Generator().manual_seed(1)))
    return layers, recorded.mlp_step(x, torch.nn.functional.one_hot(y).to(x), layers, optimizer, batches)


def descent() -> tuple[list[torch.Tensor], Callable[[], None]]:
    training = embeddings(200, 8)
    x, goal = torch.from_numpy(training.h), torch.from_numpy(training.weight).mT[None].contiguous()

    def loss(u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        log_p = (u.view(3, 8).float() @ x.T).log_softmax(0)[None]
        gradient = ((log_p.exp() * goal.sum(1, keepdim=True) - goal) @ x).double().flatten(1) + u
        value = -(goal * log_p).sum((1, 2), dtype=torch.float64) + u.square().sum(1) / 2
        return value, gradient, gradient.abs().amax(1) < 1e-12

    made = Descent(loss, torch.zeros(1, 24, dtype=torch.float64))
    return [made.x], made.turn


@pytest.mark.parametrize("make", [paper, mlp, descent])
def test_steps_can_be_recorded(make):
    """No look at a value; and a replay, on the same memory, goes on as a call does."""
    (called, call), (replayed, record) = make(), make()
    call(), record()  # optimizers set themselves up
    with Blind():
        call()
    with (tape := Tape()):
        record()
    for _ in range(5):
        call()
        tape.replay()
    assert all(torch.equal(a, b) for a, b in zip(called, replayed, strict=True))
    before = [a.clone() for a in called]
    call()
    assert any(not torch.equal(a, b) for a, b in zip(called, before, strict=True))


def test_a_stack_of_problems_is_seldom_looked_at(monkeypatch):
    turns = []
    turn = Descent.turn
    monkeypatch.setattr(Descent, "turn", lambda self: (turns.append(1), turn(self)))
    loss, lowest = quadratics(4, 30)
    minimise(loss, torch.zeros_like(lowest))
    assert turns and len(turns) % LOOK_EVERY == 0
    turns.clear()
    minimise(loss, lowest)
    assert not turns  # all good from the start
