"""The samplers by name; never Optuna's default, which may change with its version."""

from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler


def make_sampler(name: str, search_seed: int, number: int) -> BaseSampler:
    """The sampler for trial `number`.

    Each trial's sampler has its own seed, so that a resumed search continues as an uninterrupted one would.
    A quasi-random sequence needs the same seed throughout; its position is in Optuna's storage.
    """
    seed = (search_seed + 1_000_003 * number) % 2**32  # NumPy takes no more
    match name:
        case "tpe":
            return TPESampler(seed=seed, multivariate=True, constant_liar=True)
        case "nsgaii":
            return NSGAIISampler(seed=seed)
        case "qmc":
            return QMCSampler(
                qmc_type="sobol", scramble=True, seed=search_seed, warn_independent_sampling=False
            )
        case "random":
            return RandomSampler(seed=seed)
    raise ValueError(name)
