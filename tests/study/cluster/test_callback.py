"""What the driver makes of a job that ends, without a cluster."""

from types import SimpleNamespace

import pytest

from study.cluster.callback import StudyCallback
from study.cluster.connection import GONE
from study.stopper import Stopper


class Search:
    """Remembers how jobs ended."""

    def __init__(self):
        self.ended = []

    def end(self, job_id, rows):
        self.ended.append((job_id, rows))


@pytest.mark.parametrize(
    "reason, is_lost, told",
    [
        ("ActorDiedError: the owner's node has crashed", True, GONE),
        ("OSError: No space left on device", False, "a: OSError: No space left on device"),
    ],
)
def test_a_trial_that_ends_with_its_machine_has_not_failed(tmp_path, reason, is_lost, told):
    search, stopper = Search(), Stopper()
    job = SimpleNamespace(
        config={"spec": SimpleNamespace(key="a")}, get_error=lambda: reason, trial_id="1", local_path=None
    )
    head, progress = SimpleNamespace(has_lost_us=lambda: is_lost), SimpleNamespace(running=1)
    callback = StudyCallback(tmp_path, search, None, progress, stopper, None, head, 2)
    callback.on_trial_error(0, [job], job)
    assert search.ended == [("1", None)] and stopper.reached == told
    assert list(tmp_path.iterdir()) == []
