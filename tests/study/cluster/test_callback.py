"""What the driver makes of a job that ends, without a cluster."""

from types import SimpleNamespace

import pytest

from study.cluster.callback import StudyCallback
from study.cluster.connection import GONE
from study.stopper import Stopper


class Search:
    """Remembers how jobs ended."""

    def __init__(self):
        self.ended, self.repeated = [], []

    def again(self, job_id):
        self.repeated.append(job_id)

    def end(self, job_id, rows):
        self.ended.append((job_id, rows))


def lost(folder, search, stopper, reason, *, is_lost=False):
    """A callback, and a job whose worker is lost for this reason."""
    job = SimpleNamespace(
        config={"spec": SimpleNamespace(key="a")}, get_error=lambda: reason, trial_id="1", local_path=None
    )
    head, progress = SimpleNamespace(has_lost_us=lambda: is_lost), SimpleNamespace(running=0)
    return StudyCallback(folder, search, None, progress, stopper, None, head, 2), job


@pytest.mark.parametrize(
    "reason, is_lost, told",
    [
        ("ActorDiedError: the owner's node has crashed", True, GONE),
        ("OSError: No space left on device", False, "a: OSError: No space left on device"),
    ],
)
def test_a_trial_that_ends_with_its_machine_has_not_failed(tmp_path, reason, is_lost, told):
    search, stopper = Search(), Stopper()
    callback, job = lost(tmp_path, search, stopper, reason, is_lost=is_lost)
    callback.on_trial_start(0, [job], job)
    callback.on_trial_error(0, [job], job)
    assert search.ended == [("1", None)] and stopper.reached == told
    assert list(tmp_path.iterdir()) == []


def test_a_trial_whose_worker_never_started_runs_again_and_is_never_recorded_as_failed(tmp_path):
    """Tune gives up at once when a node is lost between two jobs of one worker."""
    search, stopper = Search(), Stopper()
    callback, job = lost(tmp_path, search, stopper, "ActorDiedError: its node was lost")
    for _ in range(2):
        callback.on_trial_error(0, [job], job)
    assert search.repeated == ["1", "1"] and stopper.reached is None
    callback.on_trial_error(0, [job], job)
    assert search.ended == [("1", None)]
    assert stopper.reached == "no worker could be started for a (ActorDiedError: its node was lost)"
    assert list(tmp_path.iterdir()) == []
