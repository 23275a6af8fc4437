import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from emargin_train.config import TrainConfig
from emargin_train.errors import UserError
from emargin_train.trace import TRACED_STEPS, traced
from emargin_train.train import train
from tests.emargin_train.synthetic import make_splits


def names(path: Path) -> list[str]:
    return [event.get("name") for event in json.loads(path.read_text())["traceEvents"]]


def test_a_trace_has_the_first_steps_and_what_comes_after_the_last(tmp_path):
    config = TrainConfig.from_dict({"iterations": 60, "report_every": 10, "dissimilar_share": 0.3})
    with traced(tmp_path / "deep" / "trace.json", "cpu") as trace:
        for state in train(config, make_splits()):
            trace.after(state)
        with torch.profiler.record_function("evaluation"):
            torch.ones(3).sum()
    found = names(tmp_path / "deep" / "trace.json")
    assert found.count("step") == TRACED_STEPS
    assert "evaluation" in found and "aten::mm" in found


def test_without_a_file_nothing_is_traced():
    config = TrainConfig.from_dict({"iterations": 2, "dissimilar_share": 0.3})
    with traced(None, "cpu") as trace:
        for state in train(config, make_splits()):
            trace.after(state)


def test_a_file_that_cannot_be_written_is_told_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--profile is"), traced(tmp_path / "file" / "trace.json", "cpu"):
        pass


@pytest.mark.slow
def test_the_program_writes_one(tmp_path):
    command = (sys.executable, "-m", "emargin_train.pretrain", "--dataset", "sleepeeg-sim", "--subjects", "5")
    more = ("--iterations", "3", "--evaluation-frames", "60", "--json", "--profile", str(tmp_path / "t.json"))
    done = subprocess.run((*command, *more), capture_output=True, text=True, check=True)
    row = json.loads(done.stdout)
    assert all(row[part] > 0 for part in ("data_seconds", "train_seconds", "eval_seconds"))
    found = names(tmp_path / "t.json")
    assert found.count("step") == 3 and "data" in found and "evaluation" in found
