"""Checkpoints of running trials on S3, which refuses for a while."""

import pickle
import time

import pytest

from emargin_train.errors import UserError
from study.cluster import checkpoints
from tests.cluster.conftest import Bucket
from tests.study.books import NAME, Books, begin, n_records, stable, wait_until
from tests.study.conftest import small_settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

REFUSES_S = 15  # longer than the AWS library tries by itself


def test_a_study_keeps_its_checkpoints_on_s3_and_waits_while_it_refuses(tmp_path, s3: Bucket):
    driver = begin(tmp_path, "--address", "local", "--storage", f"s3://{s3.name}/pre/fix", **s3.env)
    try:
        wait_until(lambda: n_records(tmp_path) >= 2, driver)
        s3.gate.shut()
        time.sleep(REFUSES_S)
        assert s3.gate.refused > 0, "nothing was asked of S3 while it refused"
    finally:
        s3.gate.open()
    told, _ = driver.communicate(timeout=400)
    assert driver.returncode == 0 and "6 ok, 0 diverged, 0 failed" in told, told
    Books.of(tmp_path).check(f"S3 refusing for {REFUSES_S} s", stable(tmp_path))
    assert len(list((tmp_path / NAME / "checkpoints").glob("*.pt"))) == 11
    assert not (tmp_path / NAME / "ray").exists()
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
