import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from emargin_train.evaluation import logistic, newton, probes, scores
from emargin_train.evaluation.training import Training, folds, standardise


def gaussians(
    n: int = 600, d: int = 5, shares: tuple[float, ...] = (0.7, 0.2, 0.1), seed: int = 0
) -> Training:
    """Unit Gaussians at 2 e_c for class c; subjects in stretches."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(len(shares)), rng.choice(len(shares), size=n - len(shares), p=shares)])
    h = (rng.standard_normal((n, d)) + 2 * np.eye(len(shares), d)[y]).astype(np.float32)
    return Training(torch.from_numpy(h), y, np.sort(rng.choice(list("abcdef"), size=n)))


def balanced(score: np.ndarray, y: np.ndarray) -> float:
    return scores.balanced_accuracy(scores.confusion(y, score.argmax(1), score.shape[1]))


def test_paper_probe_meets_a_plain_loop():
    training = gaussians()
    h, y = training.h, torch.tensor(training.y)
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


def solved(x: torch.Tensor, training: Training, penalty: float, **options: object) -> np.ndarray:
    """Return coefficients and, last, intercepts of one fit to all frames: (K, D+1)."""
    ones, goal = logistic.with_ones(x), torch.from_numpy(training.weight.T[None].copy())
    return newton.fit(ones, goal, penalty, gradient_at_end=logistic.GRADIENT, **options)[0].numpy()


def probabilities(x: torch.Tensor, w: np.ndarray) -> np.ndarray:
    return np.exp(newton.log_p(logistic.with_ones(x), torch.from_numpy(w[None]))[0].T.numpy())


def test_fit_meets_scikit_learn():
    training = gaussians(300)
    ours = solved(training.h, training, 0.01)
    theirs = LogisticRegression(C=100, tol=1e-8, max_iter=10000)
    theirs.fit(training.h.numpy(), training.y, sample_weight=training.weight.sum(1))
    expected = theirs.predict_proba(training.h.numpy())
    np.testing.assert_allclose(probabilities(training.h, ours), expected, atol=2e-3)


@pytest.mark.parametrize("penalty", logistic.PENALTIES)
def test_fit_has_converged(penalty):
    training = gaussians(300)
    x, weight = training.h.double().numpy(), training.weight.astype(np.float64)
    w = solved(training.h, training, penalty).T
    p = np.exp(x @ w[:-1] + w[-1])
    p /= p.sum(1, keepdims=True)
    error = p * weight.sum(1, keepdims=True) - weight
    gradient = np.vstack([x.T @ error + penalty * w[:-1], error.sum(0)])
    assert np.abs(gradient).max() < 6e-5


def test_a_warm_start_ends_where_a_cold_one_does():
    t = gaussians(300)
    start = torch.from_numpy(solved(t.h, t, 1.0)[None])
    warm, cold = (solved(t.h, t, 1e-3, start=begin) for begin in (start, None))
    np.testing.assert_allclose(probabilities(t.h, warm), probabilities(t.h, cold), atol=0.02)


def test_problems_side_by_side_end_where_they_do_alone():
    t = gaussians(300)
    x, whole = logistic.with_ones(t.h), torch.from_numpy(t.weight.T.copy())
    half = whole * (torch.arange(300) % 2 == 0)
    together = newton.fit(x, torch.stack([whole, half]), 0.1, gradient_at_end=1e-5)
    for i, goal in enumerate((whole, half)):
        alone = newton.fit(x, goal[None], 0.1, gradient_at_end=1e-5)
        ours, theirs = (newton.log_p(x, w)[0].exp() for w in (together[i : i + 1], alone))
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=0)


def test_features_that_depend_on_each_other_cost_few_steps(monkeypatch):
    """Forty features of three causes, as embeddings have them: the optimum itself, in a few dozen steps."""
    causes = gaussians(1500, d=3)
    mix = np.random.default_rng(1).standard_normal((3, 40)) * np.logspace(0, -2, 3)[:, None]
    h = causes.h.numpy() @ mix + 1e-3 * np.random.default_rng(2).standard_normal((1500, 40))
    h = torch.from_numpy(h.astype(np.float32))
    x = standardise(h)(h)
    products: list[int] = []
    solve = newton._solve

    def counted(x: torch.Tensor, *rest: object) -> torch.Tensor:
        class Counted(torch.Tensor):
            def __matmul__(self, other: torch.Tensor) -> torch.Tensor:
                products.append(1)
                return x @ other

        return solve(x.as_subclass(Counted), *rest)

    monkeypatch.setattr(newton, "_solve", counted)
    ours = solved(x, causes, 1e-3)
    theirs = LogisticRegression(C=1000, tol=1e-8, max_iter=10000)
    theirs.fit(x.double().numpy(), causes.y, sample_weight=causes.weight.sum(1))
    np.testing.assert_allclose(probabilities(x, ours), theirs.predict_proba(x.numpy()), atol=0.02)
    assert 0 < len(products) < 60 < theirs.n_iter_[0]


def test_a_class_that_a_problem_lacks_is_left_out_of_it():
    """Its intercept would fall for ever: fits without the class end at the same place, with fewer classes."""
    t = gaussians(300)
    x, goal = logistic.with_ones(t.h), torch.from_numpy(t.weight.T.copy())
    goal[1] = 0
    found = newton.fit(x, goal[None], 0.1, gradient_at_end=1e-6)
    others = newton.fit(x, goal[None, [0, 2]], 0.1, gradient_at_end=1e-6)
    torch.testing.assert_close(found[:, [0, 2]], others, atol=1e-5, rtol=0)
    assert not found[0, 1].any()


@pytest.mark.parametrize("choose", ["penalty", "epochs"])
def test_what_is_chosen_is_judged_on_left_out_subjects_and_the_probe_sees_all(choose):
    """The class of one subject alone: a probe that never saw that subject could not know it."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 200)
    h = torch.from_numpy((4 * np.eye(3, 5)[y] + rng.standard_normal((600, 5))).astype(np.float32))
    for alone in "abcdef":
        subject = np.array(list("abcdef"))[np.arange(600) % 6]
        subject[y == 2] = alone
        subject[y != 2] = np.where(subject[y != 2] == alone, "g", subject[y != 2])
        probe = logistic.logistic if choose == "penalty" else probes.mlp
        guess = probe(Training(h, y, subject))(h).argmax(1)
        assert (guess[y == 2] == 2).mean() > 0.9


def test_penalty_is_chosen_for_other_subjects():
    """A feature that tells the class in one subject, and lies about it in the next, asks for a penalty."""
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(6), 100)
    y = rng.integers(0, 2, 600)
    noise = 0.1 * rng.standard_normal((600, 1))
    honest = (2 * y - 1)[:, None] + noise
    swapping = honest * np.where(subject % 2, 1, -1)[:, None]
    names = subject.astype(str)

    def chosen(h: np.ndarray) -> float:
        points = torch.from_numpy(h.astype(np.float32))
        return logistic.choose_penalty(logistic.with_ones(points), Training(points, y, names))[0]

    weak, strong = chosen(honest), chosen(swapping)
    assert weak == min(logistic.PENALTIES) and strong == max(logistic.PENALTIES)


def of_few_causes(separation: float, spread: float, seed: int = 1) -> Training:
    """Forty features of five causes through a ReLU, six subjects who differ by `spread`, three classes."""
    rng = np.random.default_rng(seed)
    y, subject = np.arange(300) % 7 % 3, np.arange(300) * 6 // 300
    causes = rng.standard_normal((300, 5)) + separation * np.eye(3, 5)[y]
    causes += spread * rng.standard_normal((6, 5))[subject]
    h = np.maximum(causes @ rng.standard_normal((5, 40)), 0) + 0.02 * rng.standard_normal((300, 40))
    return Training(torch.from_numpy(h.astype(np.float32)), y, subject.astype(str))


def left_out_losses(x: torch.Tensor, t: Training) -> dict[float, float]:
    """The loss on left-out subjects for each penalty, by scikit-learn in float64, converged."""
    x, weight = x.double().numpy(), t.weight.sum(1).astype(np.float64)
    found = {}
    for penalty in logistic.PENALTIES:
        found[penalty] = 0.0
        for inside, outside in folds(t.subject, 3):
            theirs = LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-10, max_iter=1000)
            theirs.fit(x[inside], t.y[inside], sample_weight=weight[inside] / weight[inside].sum())
            log_p = theirs.predict_log_proba(x[outside])[np.arange(len(outside)), t.y[outside]]
            found[penalty] -= float(weight[outside] @ log_p)
    return found


@pytest.mark.parametrize("separation, spread", [(3.0, 2.0), (4.0, 1.0)])
def test_the_chosen_penalty_is_that_of_converged_fits(separation, spread):
    """Here fits by L-BFGS that stop at a gradient of 1e-3 choose a penalty ten times weaker or stronger."""
    t = of_few_causes(separation, spread)
    features = t.standardised[0]
    x, expected = logistic.with_ones(features), left_out_losses(features, t)
    chosen, _ = logistic.choose_penalty(x, t)
    assert chosen == min(expected, key=expected.__getitem__)
    some, goal, judge = logistic.left_out(x, t)
    ours = {penalty: loss for penalty, loss, _ in logistic.path(some, goal, judge, whole=True)}
    assert ours == pytest.approx(expected, rel=0.02)


def test_a_loose_fit_would_choose_another_penalty():
    t = of_few_causes(3.0, 2.0)
    x = logistic.with_ones(t.standardised[0])
    loose = logistic.path(*logistic.left_out(x, t), gradient_at_end=1e-3, whole=True)
    losses = {penalty: loss for penalty, loss, _ in loose}
    assert logistic.choose_penalty(x, t)[0] != min(losses, key=losses.__getitem__)


@pytest.mark.parametrize("seed", range(2, 10))
def test_a_penalty_that_is_given_up_early_would_not_have_won(seed):
    t = of_few_causes(*np.random.default_rng(seed).uniform((1, 0), (4, 2.5)), seed=seed)
    x = logistic.with_ones(t.standardised[0])
    whole = logistic.path(*logistic.left_out(x, t), gradient_at_end=1e-6, whole=True)
    losses = [loss for _, loss, _ in whole]
    first_rise = next((i for i in range(1, len(losses)) if losses[i] >= losses[i - 1]), len(losses))
    assert logistic.choose_penalty(x, t)[0] == logistic.PENALTIES[first_rise - 1]


def test_logistic_does_not_depend_on_scale_and_shift_of_features():
    t = gaussians()
    moved = Training(t.h * torch.tensor([1, 10, 100, 0.1, 1]) + 7, t.y, t.subject)
    before, after = logistic.logistic(t)(t.h), logistic.logistic(moved)(moved.h)
    np.testing.assert_allclose(before, after, atol=5e-3)


@pytest.mark.parametrize("reader", [logistic.logistic, probes.nearest, probes.mlp])
def test_readers_reach_the_best_possible_on_both_mixtures(reader):
    """Bayes' rule is known here: nearest centre for equal shares, with log shares for the natural mixture."""
    training, new = gaussians(3000), gaussians(3000, seed=1)
    log_density = -0.5 * ((new.h.numpy()[:, None] - 2 * np.eye(3, 5)) ** 2).sum(2)
    score = reader(training)(new.h)
    assert balanced(score, new.y) > balanced(log_density, new.y) - 0.03
    natural = (probes.with_shares(score, training).argmax(1) == new.y).mean()
    assert natural > ((log_density + np.log(new.share)).argmax(1) == new.y).mean() - 0.03
    assert natural > (score.argmax(1) == new.y).mean() - 0.005


def test_nearest_meets_scikit_learn():
    training, new = gaussians(), gaussians(seed=1)
    theirs = KNeighborsClassifier(15).fit(training.h.numpy(), training.y)
    votes = theirs.predict_proba(new.h.numpy()) * 15
    expected = np.log(votes + training.share) - np.log(training.share)
    np.testing.assert_allclose(probes.nearest(training)(new.h), expected, atol=1e-9)


def test_mlp_is_trained_as_torch_trains_it():
    training = gaussians(700)
    epochs = probes.choose_epochs(training, 2)
    x, y = training.standardised[0], torch.from_numpy(training.y)
    generator = torch.Generator().manual_seed(2)
    layers = [a.requires_grad_() for a in probes.first_layers(5, 3, generator)]
    optimizer = torch.optim.AdamW(layers, lr=2e-3, weight_decay=1e-2)
    often = torch.from_numpy(training.weight).sum(1)
    for _ in range(epochs):
        for batch in often.multinomial(700, replacement=True, generator=generator).split(512):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(probes.forward(layers, x[batch]), y[batch]).backward()
            optimizer.step()
    expected = probes.forward(layers, x).log_softmax(1).detach().numpy()
    np.testing.assert_allclose(probes.mlp(training, seed=2)(training.h), expected, atol=1e-3)


def test_mlp_reads_what_a_linear_probe_cannot():
    rng = np.random.default_rng(0)
    h = rng.standard_normal((3000, 4)).astype(np.float32)
    y = ((h[:, 0] * h[:, 1]) > 0).astype(np.int64)
    h = torch.from_numpy(h)
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
    h = torch.from_numpy(h.astype(np.float32))
    x = standardise(h)(h).numpy()
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(x.std(0), [1, 1, 0], atol=1e-5)
