"""The samplers by name. Optuna's default is not used, since it may change with the version."""

from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler


def make_sampler(name: str, search_seed: int, number: int) -> BaseSampler:
    """The sampler for trial `number`.

    Each trial's sampler has its own seed, so that a resumed search continues as an uninterrupted one would.
    Only a quasi-random sequence needs the same seed for all trials; its position is in Optuna's storage.
    """
    seed = (search_seed + 1_000_003 * number) % 2**32  # NumPy takes no larger seed
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
