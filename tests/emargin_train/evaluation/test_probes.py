import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from emargin_train.evaluation import logistic, probes, scores
from emargin_train.evaluation.training import Training, folds, standardise


def gaussians(
    n: int = 600, d: int = 5, shares: tuple[float, ...] = (0.7, 0.2, 0.1), seed: int = 0
) -> Training:
    """Unit Gaussians at 2 e_c for class c; subjects in stretches."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(len(shares)), rng.choice(len(shares), size=n - len(shares), p=shares)])
    h = (rng.standard_normal((n, d)) + 2 * np.eye(len(shares), d)[y]).astype(np.float32)
    return Training(h, y, np.sort(rng.choice(list("abcdef"), size=n)))


def balanced(score: np.ndarray, y: np.ndarray) -> float:
    return scores.balanced_accuracy(scores.confusion(y, score.argmax(1), score.shape[1]))


def test_paper_probe_meets_a_plain_loop():
    training = gaussians()
    h, y = torch.tensor(training.h), torch.tensor(training.y)
    generator = torch.Generator().manual_seed(3)
    weight = torch.empty(3, 5).uniform_(-(5**-0.5), 5**-0.5, generator=generator).requires_grad_()
    bias = torch.empty(3).uniform_(-(5**-0.5), 5**-0.5, generator=generator).requires_grad_()
    optimizer = torch.optim.Adam([weight, bias], lr=1e-3)
    for _ in range(10):
        order = torch.randperm(len(y), generator=generator)
        for low in range(0, len(y), 128):
            batch = order[low : low + 128]
            log_p = torch.log_softmax(h[batch] @ weight.T + bias, 1)
            loss = -log_p[torch.arange(len(batch)), y[batch]].mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    expected = torch.log_softmax(h @ weight.T + bias, 1).detach().numpy()
    np.testing.assert_allclose(probes.paper_probe(training, seed=3)(training.h), expected, atol=1e-5)


def test_fit_meets_scikit_learn():
    training = gaussians(300)
    x, weight = training.h, training.weight
    ours = logistic.Regression(x, weight).fit(0.01)
    theirs = LogisticRegression(C=100, tol=1e-8, max_iter=10000)
    theirs.fit(x, training.y, sample_weight=weight.sum(1))
    np.testing.assert_allclose(np.exp(logistic.log_p(x, ours)), theirs.predict_proba(x), atol=2e-3)


@pytest.mark.parametrize("penalty", logistic.PENALTIES)
def test_fit_has_converged(penalty):
    training = gaussians(300)
    x, weight = training.h.astype(np.float64), training.weight.astype(np.float64)
    w = logistic.Regression(training.h, training.weight).fit(penalty)
    p = np.exp(x @ w[:-1] + w[-1])
    p /= p.sum(1, keepdims=True)
    error = p * weight.sum(1, keepdims=True) - weight
    gradient = np.vstack([x.T @ error + penalty * w[:-1], error.sum(0)])
    assert np.abs(gradient).max() < 1.5e-4  # 1e-4 in float32


def test_a_warm_start_ends_where_a_cold_one_does():
    t = gaussians(300)
    problem = logistic.Regression(t.h, t.weight)
    warm, cold = (problem.fit(1e-3, start) for start in (problem.fit(1.0), None))
    np.testing.assert_allclose(logistic.log_p(t.h, warm), logistic.log_p(t.h, cold), atol=0.02)


def test_features_that_depend_on_each_other_cost_few_turns(monkeypatch):
    """Forty features of three causes, as embeddings have them: the optimum itself, in a few dozen turns."""
    causes = gaussians(1500, d=3)
    mix = np.random.default_rng(1).standard_normal((3, 40)) * np.logspace(0, -2, 3)[:, None]
    h = causes.h @ mix + 1e-3 * np.random.default_rng(2).standard_normal((1500, 40))
    x = standardise(h)(h)
    turns: list[int] = []
    minimize = logistic.minimize

    def counted(*args: object, **options: object) -> object:
        found = minimize(*args, **options)
        turns.append(found.nfev)
        return found

    monkeypatch.setattr(logistic, "minimize", counted)
    ours = logistic.Regression(x, causes.weight).fit(1e-3)
    theirs = LogisticRegression(C=1000, tol=1e-8, max_iter=10000)
    theirs.fit(x.astype(np.float64), causes.y, sample_weight=causes.weight.sum(1))
    np.testing.assert_allclose(np.exp(logistic.log_p(x, ours)), theirs.predict_proba(x), atol=0.02)
    assert turns[0] < 60 < theirs.n_iter_[0]


def test_penalty_is_chosen_for_other_subjects():
    """A feature that tells the class in one subject, and lies about it in the next, asks for a penalty."""
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(6), 100)
    y = rng.integers(0, 2, 600)
    noise = 0.1 * rng.standard_normal((600, 1))
    honest = (2 * y - 1)[:, None] + noise
    swapping = honest * np.where(subject % 2, 1, -1)[:, None]
    names = subject.astype(str)
    weak = logistic.choose_penalty(honest.astype(np.float32), Training(honest.astype(np.float32), y, names))
    strong = logistic.choose_penalty(
        swapping.astype(np.float32), Training(swapping.astype(np.float32), y, names)
    )
    assert weak == min(logistic.PENALTIES) and strong == max(logistic.PENALTIES)


def test_logistic_does_not_depend_on_scale_and_shift_of_features():
    t = gaussians()
    moved = Training(t.h * np.float32([1, 10, 100, 0.1, 1]) + np.float32(7), t.y, t.subject)
    before, after = logistic.logistic(t)(t.h), logistic.logistic(moved)(moved.h)
    np.testing.assert_allclose(before, after, atol=5e-3)


@pytest.mark.parametrize("reader", [logistic.logistic, probes.nearest, probes.mlp])
def test_readers_reach_the_best_possible_on_both_mixtures(reader):
    """Bayes' rule is known here: nearest centre for equal shares, with log shares for the natural mixture."""
    training, new = gaussians(3000), gaussians(3000, seed=1)
    log_density = -0.5 * ((new.h[:, None] - 2 * np.eye(3, 5)) ** 2).sum(2)
    score = reader(training)(new.h)
    assert balanced(score, new.y) > balanced(log_density, new.y) - 0.03
    natural = (probes.with_shares(score, training).argmax(1) == new.y).mean()
    assert natural > ((log_density + np.log(new.share)).argmax(1) == new.y).mean() - 0.03
    assert natural > (score.argmax(1) == new.y).mean() - 0.005


def test_nearest_meets_scikit_learn():
    training, new = gaussians(), gaussians(seed=1)
    votes = KNeighborsClassifier(15).fit(training.h, training.y).predict_proba(new.h) * 15
    expected = np.log(votes + training.share) - np.log(training.share)
    np.testing.assert_allclose(probes.nearest(training)(new.h), expected, atol=1e-9)


def test_mlp_reads_what_a_linear_probe_cannot():
    rng = np.random.default_rng(0)
    h = rng.standard_normal((3000, 4)).astype(np.float32)
    y = ((h[:, 0] * h[:, 1]) > 0).astype(np.int64)
    training = Training(h, y, np.sort(rng.choice(list("abcdef"), size=3000)))
    assert balanced(logistic.logistic(training)(h), y) < 0.6
    assert balanced(probes.mlp(training)(h), y) > 0.9
    assert balanced(probes.nearest(training)(h), y) > 0.9


def test_rare_classes_are_found():
    training, new = (
        gaussians(4000, shares=(0.98, 0.01, 0.01)),
        gaussians(4000, shares=(0.98, 0.01, 0.01), seed=1),
    )
    for reader in (logistic.logistic, probes.mlp):
        assert balanced(reader(training)(new.h), new.y) > 0.75
    assert balanced(probes.paper_probe(training)(new.h), new.y) < 0.5  # as published: the rare are lost


def test_probes_repeat_themselves_and_leave_the_global_generator():
    training = gaussians()
    state = torch.random.get_rng_state()
    for probe in (probes.paper_probe, probes.mlp):
        once, again, other = (probe(training, seed=seed)(training.h) for seed in (1, 1, 2))
        assert (once == again).all() and (once != other).any()
    assert (torch.random.get_rng_state() == state).all()


@pytest.mark.parametrize("subjects, n, expected", [("abcdef", 3, 3), ("ab", 3, 2), ("a", 3, 3)])
def test_folds_keep_subjects_apart(subjects, n, expected):
    subject = np.sort(np.random.default_rng(0).choice(list(subjects), size=60))
    parts = folds(subject, n)
    assert len(parts) == expected
    assert (np.sort(np.concatenate([outside for _, outside in parts])) == np.arange(60)).all()
    for inside, outside in parts:
        assert (np.sort(np.concatenate([inside, outside])) == np.arange(60)).all()
        if len(subjects) > 1:
            assert not set(subject[inside]) & set(subject[outside])
        else:
            assert (np.diff(outside) == 1).all()  # one stretch


def test_standardise_silences_constant_features():
    h = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32) * [1, 100, 0] + [5, -3, 0.1]
    x = standardise(h.astype(np.float32))(h.astype(np.float32))
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(0), [1, 1, 0], atol=1e-5)
