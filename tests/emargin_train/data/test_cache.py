"""The cache: built once whoever asks, mapped without a copy, rebuilt when damaged, never half there."""

import hashlib
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from emargin_train.data import cache, load
from emargin_train.data.recording import Part
from emargin_train.data.settings import DataConfig
from emargin_train.errors import UserError
from tests.emargin_train.data.fakes import noisy_recording, register

SHAPE = (3, 5)
N = 7


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EMARGIN_CACHE", str(tmp_path / "cache"))


def expected() -> np.ndarray:
    return np.random.default_rng(0).random((N, *SHAPE), np.float32)


def write_expected(target: Path) -> None:
    index = {"number": pa.array(range(N))}
    cache.write(target, iter(expected()), SHAPE, lambda: (index, {"told": "so"}))


def slow_build(log: str, seconds: float, target: Path) -> None:
    with open(log, "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    write_expected(target)


def ask(log: str, seconds: float) -> bool:
    stored = cache.get("shared", lambda target: slow_build(log, seconds, target))
    return bool((stored.store == expected()).all())


def test_what_was_written_comes_back_mapped_and_read_only():
    stored = cache.get("k", write_expected)
    np.testing.assert_array_equal(stored.store, expected())
    assert stored.index["number"].to_pylist() == list(range(N)) and stored.info == {"told": "so"}
    assert not stored.store.flags.writeable and stored.store.base is not None
    assert cache.get("k", lambda target: pytest.fail("built again")) is stored


@pytest.mark.parametrize("n", [1, 2, 3])
def test_any_number_of_sequences(n):
    x = np.random.default_rng(n).random((n, 4, 3), np.float32)
    stored = cache.get(f"n{n}", lambda target: cache.write(target, iter(x), (4, 3), lambda: ({}, {})))
    np.testing.assert_array_equal(stored.store, x)


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
        return
    if how == "empty":
        content = bytearray()
    elif how == "cut":
        content = content[:-1]
    else:
        place = {"first": 0, "middle": len(content) // 2, "last": len(content) - 1}[how]
        content[place] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("name", [cache.FRAMES, cache.INDEX, cache.SUMS])
@pytest.mark.parametrize("how", ["gone", "empty", "cut", "first", "middle", "last"])
def test_damage_is_found_and_the_set_built_again(name, how):
    before = cache.get("k", write_expected)
    kept = before.store.copy()
    damage(cache.folder() / "frames" / "k" / name, how)
    built = []
    after = cache.get("k", lambda target: (built.append(1), write_expected(target))[1])
    assert built == [1]
    np.testing.assert_array_equal(after.store, kept)
    assert cache.get("k", write_expected) is after


def test_every_flipped_bit_is_found():
    cache.get("k", write_expected)
    path = cache.folder() / "frames" / "k"
    rng = np.random.default_rng(0)
    for name in (cache.FRAMES, cache.INDEX, cache.SUMS):
        whole = (path / name).read_bytes()
        for place in rng.integers(0, 8 * len(whole), 60):
            flipped = bytearray(whole)
            flipped[place // 8] ^= 1 << place % 8
            (path / name).write_bytes(flipped)
            with pytest.raises(cache.Damaged):
                cache._open(path)
        (path / name).write_bytes(whole)
    cache._open(path)


def test_one_process_builds_and_the_others_wait(tmp_path):
    log = str(tmp_path / "builders")
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        answers = pool.starmap(ask, [(log, 1.0)] * 4, chunksize=1)
    assert answers == [True] * 4
    assert len(Path(log).read_text().split()) == 1


def test_a_killed_builder_leaves_nothing_and_the_next_one_builds(tmp_path):
    log = tmp_path / "builders"
    process = multiprocessing.get_context("spawn").Process(target=ask, args=(str(log), 60.0))
    process.start()
    until = time.monotonic() + 60
    while not log.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert ask(str(log), 0)
    assert len(log.read_text().split()) == 2
    assert not list((cache.folder() / "frames").glob("*.tmp"))


def test_a_failing_build_leaves_no_set():
    def fail(target: Path) -> None:
        (target / cache.FRAMES).write_bytes(b"half")
        raise UserError("record 7 is damaged: get it again")

    with pytest.raises(UserError, match="record 7"):
        cache.get("k", fail)
    assert [p.name for p in (cache.folder() / "frames").iterdir() if p.is_dir()] == []
    assert len(cache.get("k", write_expected).store) == N


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EMARGIN_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="file' cannot be written.*EMARGIN_CACHE"):
        cache.get("k", write_expected)


def test_a_home_folder_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setenv("EMARGIN_CACHE", "/proc/nohome/.cache")
    with pytest.raises(UserError, match="nohome.* cannot be written.*EMARGIN_CACHE"):
        cache.get("k", write_expected)


def test_a_full_disk_is_named_and_leaves_nothing():
    def fill(target: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="No space left on device.*EMARGIN_CACHE"):
        cache.get("k", fill)
    assert not list((cache.folder() / "frames").glob("*/"))


def part(path: Path, settings: str = "") -> Part:
    return Part(lambda: [], files=(path,), settings=settings)


def test_content_follows_bytes_and_settings_but_not_place(tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "x.dat").write_bytes(b"signal")
    here, there = tmp_path / "a" / "x.dat", tmp_path / "b" / "x.dat"
    first = cache.content([part(here)])
    assert cache.content([part(there)]) == first
    assert cache.content([part(here, "version 2")]) != first
    here.write_bytes(b"Signal")  # same size, a moment later
    assert cache.content([part(here)]) != first
    here.write_bytes(b"signal")
    assert cache.content([part(here)]) == first
    assert cache.key(first) != cache.key(first, "more")


def test_content_reads_each_file_once(tmp_path, monkeypatch):
    path = tmp_path / "x.dat"
    path.write_bytes(b"signal")
    first = cache.content([part(path)])
    monkeypatch.setattr(hashlib, "file_digest", lambda *a: pytest.fail("read again"))
    assert cache.content([part(path)]) == first


def test_a_damaged_note_of_contents_is_no_obstacle(tmp_path):
    path = tmp_path / "x.dat"
    path.write_bytes(b"signal")
    first = cache.content([part(path)])
    (cache.folder() / "contents.json").write_text('{"half')
    assert cache.content([part(path)]) == first


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="gone.dat' cannot be read"):
        cache.content([part(tmp_path / "gone.dat")])


def test_damaged_frames_are_rebuilt_by_load(monkeypatch):
    register(monkeypatch, [noisy_recording(f"s{i}", 60, i) for i in range(5)])
    before = load(DataConfig(dataset="fake")).train.x()
    (path,) = (cache.folder() / "frames").glob("*/frames.arrow")
    damage(path, "middle")
    np.testing.assert_array_equal(load(DataConfig(dataset="fake")).train.x(), before)
    assert cache.size_bytes() > before.nbytes
