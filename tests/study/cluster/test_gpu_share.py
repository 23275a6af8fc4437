"""How many trials share a GPU: the decision, its measurement on a CPU, and a cluster without a GPU."""

import pytest
import ray
import torch
from hypothesis import given
from hypothesis import strategies as st

from emargin_train.errors import UserError
from study import plan
from study.cluster import gpu_share, ray_private
from study.cluster.gpu_share import MOST, PROCESS_MB, ROOM, Measured, measure, trials_per_gpu
from tests.study.conftest import small_settings

positive = st.floats(min_value=1e-6, max_value=1e3)


def test_a_gpu_that_waits_for_launches_is_shared_by_many() -> None:
    """A stack takes as long as one trial."""
    assert trials_per_gpu(lambda n: Measured(1e-3, 50.0 * n), 80_000) == MOST


def test_a_gpu_that_is_busy_with_one_is_not_shared() -> None:
    assert trials_per_gpu(lambda n: Measured(1e-3 * n, 50.0 * n), 80_000) == 1


def test_memory_ends_it() -> None:
    """Two fit, four do not, and are never tried."""
    tried = []

    def measured(n: int) -> Measured:
        tried.append(n)
        return Measured(1e-3, 2_000.0 * n)

    assert trials_per_gpu(measured, (2 * 2_000 + 3 * PROCESS_MB) / ROOM + 1) == 2 and tried == [1, 2]


@given(launch=positive, work=positive, peak=st.floats(1, 1e5), total=st.floats(1e3, 1e6))
def test_what_is_chosen_fits_and_paid(launch: float, work: float, peak: float, total: float) -> None:
    """Of a GPU whose step takes a fixed time and some for each trial."""
    n = trials_per_gpu(lambda k: Measured(launch + work * k, peak * k), total)
    assert n in (1, 2, 4, 8, 16)
    if n > 1:
        assert peak * n + (n + 1) * PROCESS_MB <= ROOM * total
        assert (launch + work * n) / n <= gpu_share.PAYS * (launch + work * n / 2) / (n / 2)


def config():
    settings = small_settings()
    return plan.first_config(settings, plan.arms(settings))


def test_a_step_is_measured() -> None:
    one = measure(config(), (0, 1), "cpu", 1)
    assert 0 < one.step_s < 10 and one.peak_mb == 0


def test_a_method_that_cannot_be_stacked_has_a_gpu_to_itself(monkeypatch) -> None:
    monkeypatch.setattr(config().method_class, "after_step", lambda self, step: None)
    assert gpu_share.measured_share(config(), (0,)) == 1.0


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_torch_does_not_find_is_told(monkeypatch) -> None:
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # An earlier study in this process may have switched it to tokens.
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 32)
    ray_private.AuthenticationTokenLoader.instance().reset_cache()
    ray.init("local", num_cpus=1, num_gpus=1, log_to_driver=False, include_dashboard=False)
    try:
        with pytest.raises(UserError, match="--gpus-per-trial is auto, but torch finds no GPU"):
            gpu_share.measured_share(config(), (0,))
    finally:
        ray.shutdown()
