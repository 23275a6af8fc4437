"""The samplers by name. Optuna's default is not used, since it may change with the version."""

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial


def make_sampler(name: str, search_seed: int, number: int, kinds: dict[str, BaseDistribution]) -> BaseSampler:
    """The sampler for trial `number`.

    Each trial's sampler has its own seed, so that a resumed search continues as an uninterrupted one would.
    Only a quasi-random sequence needs the same seed for all trials; its position is in Optuna's storage.

    kinds: the distribution of every hyper-parameter that is searched
    """
    seed = (search_seed + 1_000_003 * number) % 2**32  # NumPy takes no larger seed
    match name:
        case "tpe":
            return TPESampler(seed=seed, multivariate=True, constant_liar=True)
        case "nsgaii":
            return NSGAIISampler(seed=seed)
        case "qmc":
            return _Sobol(kinds, search_seed)
        case "random":
            return RandomSampler(seed=seed)
    raise ValueError(name)


class _Sobol(QMCSampler):
    """Draws from a Sobol sequence over this study's own hyper-parameters.

    Optuna's class takes the space of the first trial in the storage, and raises ValueError where that trial
    belongs to another study.
    """

    def __init__(self, kinds: dict[str, BaseDistribution], seed: int) -> None:
        super().__init__(qmc_type="sobol", scramble=True, seed=seed, warn_independent_sampling=False)
        self._kinds = kinds

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._kinds
