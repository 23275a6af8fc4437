"""Checkpoints of running trials on S3, which refuses for a while."""

import os
import pickle
import subprocess
import sys
import time

import pytest

from emargin_train.errors import UserError
from study import checkpoints
from tests.cluster.conftest import Bucket, wait_for
from tests.study.conftest import small, small_settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FLAGS = ("--trials", "3", "--baseline-trials", "0", "--references", "raw,random", "--seeds", "0,1")


def test_a_study_keeps_its_checkpoints_on_s3_and_waits_while_it_refuses(tmp_path, s3: Bucket):
    flags = (*small(), *FLAGS, "--out", str(tmp_path), "--name", "away", "--address", "local")
    words = (sys.executable, "-m", "study.run", *flags, "--storage", f"s3://{s3.name}/pre/fix")
    env = os.environ | {"COLUMNS": "120"} | s3.env
    driver = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    records = tmp_path / "away" / "records"
    try:
        wait_for(lambda: len(list(records.glob("*.json"))) >= 2 or driver.poll() is not None, "a trial", 300)
        s3.gate.shut()
        time.sleep(15)  # longer than the AWS library tries by itself
        assert s3.gate.refused > 0, "nothing was asked of S3 while it refused"
    finally:
        s3.gate.open()
    out, err = driver.communicate(timeout=400)
    assert driver.returncode == 0, err
    assert {path.stem for path in records.glob("*.json")} == {
        "raw-0",
        *(f"random-{seed}" for seed in (0, 1)),
        *(f"emargin-000{trial}-{seed}" for trial in (0, 1, 2) for seed in (0, 1)),
    }
    assert len(list((tmp_path / "away" / "checkpoints").glob("emargin-*.pt"))) == 6
    assert not (tmp_path / "away" / "ray").exists()
    assert "5 ok, 0 diverged, 0 failed" in out
    left = [key for key in s3.keys() if "/checkpoint" in key]
    assert left == [], "a finished study removes what it put there"


@pytest.mark.parametrize(
    "storage, told",
    [
        ("s3://nosuchbucket/x", "cannot be written to"),
        ("ftp://host/x", "cannot be opened"),
        ("s3://key:aws-secret-1@studies/x", "with a key in it"),
    ],
)
def test_a_storage_that_cannot_be_used_is_told(s3, monkeypatch, storage, told):
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"--storage is .*{told}") as caught:
        checkpoints.check(small_settings(storage=storage))
    assert "aws-secret-1" not in str(caught.value)


def test_a_storage_that_can_be_used_is_left_as_it_was(s3, monkeypatch):
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    checkpoints.check(small_settings(storage=f"s3://{s3.name}/checked"))
    assert not [key for key in s3.keys() if key.startswith("checked/") and not key.endswith("/")]
    assert b"aws-secret" not in pickle.dumps(
        checkpoints.place(small_settings(storage="s3://studies")).filesystem
    )
