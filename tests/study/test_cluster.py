"""Ray as a study starts it."""

import pytest
import ray
from ray._private.services import find_bootstrap_address

from study import cluster

pytestmark = pytest.mark.slow


def test_a_ray_of_our_own_is_found_by_no_other_study(monkeypatch):
    """A second study on the same machine would join it, and die with it."""
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    before = find_bootstrap_address(None)
    with cluster.joined(None) as resources:
        assert resources["CPU"] >= 1
        assert find_bootstrap_address(None) == before
        assert ray.get_runtime_context().gcs_address != before
    assert find_bootstrap_address(None) == before
