"""The faults of the drill: what is prepared for each, how it strikes, and how it is repaired.

A fault that damages a file needs a driver that is killed first, or one that runs; one that takes a service
away needs a study that uses the service. Signals go to real processes, files are really damaged, and servers
are real.
"""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.cluster.conftest import Bucket, Database, bucket, mlflow_server, postgresql, running
from tests.cluster.gate import Gate
from tests.study.books import NAME, descendants
from tests.study.chaos_driver import Driver

AWAY_S = 4.0
PROCESSES = {
    "worker": ("ray::ImplicitFunc", "ray::IDLE"),
    "agent": ("ray::DashboardAgent", "ray::RuntimeEnvAgent"),
    "exporter": ("tracking.exporter",),
    "raylet": ("raylet/raylet",),
    "GCS": ("gcs_server",),
}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
FILES = ("records/*.json", "mlflow.jsonl", "optuna.log", "study.toml", ".study.toml", "identity.json",
         "manifest.json", "evaluation_frames/*", "results.parquet", "checkpoints/*.pt", "embeddings/*.arrow",
         "../mlflow.db")  # fmt: skip
LIVE_FILES = ("records/*.json", "optuna.log", "mlflow.jsonl", "identity.json", "manifest.json", "study.toml",
              "checkpoints/*.pt", "ray/*/*/*/*", "sandbox:emargin-trial-*/*/*")  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where one study of the drill keeps its things.

    out: --out. sandbox: TMPDIR and RAY_TMPDIR. flags, env: of its commands
    optuna_url, tracking_uri: where its books are, if not in `out`. gate: before the service that goes away
    """

    out: Path
    sandbox: Path
    flags: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    optuna_url: str | None = None
    tracking_uri: str | None = None
    gate: Gate | None = None

    @property
    def folder(self) -> Path:
        return self.out / NAME


@contextlib.contextmanager
def plain(out: Path, sandbox: Path) -> Iterator[Place]:
    """No services: Ray, Optuna's journal and MLflow's SQLite file on this machine."""
    yield Place(out, sandbox)


# Signals and processes


def signalled(place: Place, driver: Driver, rng: random.Random) -> str:
    how = rng.choice(SIGNALS)
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.kill(driver.pid, how)
    return f"{how.name} to the driver"


def twice(place: Place, driver: Driver, rng: random.Random) -> str:
    first, then, pause_s = rng.choice(SIGNALS[1:]), rng.choice(SIGNALS), rng.uniform(0, 2)
    with contextlib.suppress(ProcessLookupError):
        os.kill(driver.pid, first)
        time.sleep(pause_s)
        os.kill(driver.pid, then)
    return f"{first.name} to the driver, and {then.name} {pause_s:.1f} s later"


def process_struck(place: Place, driver: Driver, rng: random.Random) -> str:
    """Kill one of the driver's processes, or freeze it for some seconds."""
    name, frozen_s = rng.choice(tuple(PROCESSES)), rng.choice((0, 0, 0, AWAY_S))
    titles = descendants(driver.pid)
    found = sorted(pid for pid, title in titles.items() if any(one in title for one in PROCESSES[name]))
    if not found:
        return f"no {name} to strike"
    pid = rng.choice(found)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP if frozen_s else signal.SIGKILL)
        if frozen_s:
            time.sleep(frozen_s)
            os.kill(pid, signal.SIGCONT)
    return f"{name} frozen for {frozen_s:.0f} s" if frozen_s else f"{name} killed"


# Files


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": cut,
    "emptied": lambda path: path.write_bytes(b""),
    "removed": lambda path: path.unlink(),
    "duplicated": lambda path: shutil.copy(path, path.with_name(f"{path.stem} copy{path.suffix}")),
    "overwritten at its start": lambda path: path.write_bytes(b"\xff" + path.read_bytes()[1:]),
    "made a list": lambda path: path.write_text("[]\n"),
}


def damage(place: Place, patterns: tuple[str, ...], rng: random.Random) -> str:
    found = []
    for pattern in patterns:  # every kind of file is as likely, however many there are of it
        base = place.sandbox if pattern.startswith("sandbox:") else place.folder
        files = [path for path in sorted(base.glob(pattern.removeprefix("sandbox:"))) if path.is_file()]
        found += [rng.choice(files)] if files else []
    if not found:
        return "no file to damage"
    path, how = rng.choice(found), rng.choice(tuple(DAMAGES))
    try:
        DAMAGES[how](path)
    except FileNotFoundError:  # the study has just removed it
        return f"{path.name} was gone"
    return f"{path.name} {how}"


def damaged_when_killed(place: Place, driver: Driver, rng: random.Random) -> str:
    driver.kill()
    n = rng.choice((1, 1, 2, 3))
    return "the driver killed, " + ", ".join(damage(place, FILES, rng) for _ in range(n))


def damaged_live(place: Place, driver: Driver, rng: random.Random) -> str:
    return damage(place, LIVE_FILES, rng) + " while it ran"


# Services


@cache
def _services() -> contextlib.ExitStack:
    return contextlib.ExitStack()


def end_services() -> None:
    _services().close()


@cache
def _database() -> Database:
    return _services().enter_context(postgresql())


@cache
def _bucket() -> Bucket:
    return _services().enter_context(bucket())


@contextlib.contextmanager
def on_postgresql(out: Path, sandbox: Path) -> Iterator[Place]:
    """The search in a new database of a real PostgreSQL."""
    import psycopg

    database = _database()
    name = f"drill_{time.monotonic_ns()}"
    with psycopg.connect(database.uri("postgres", database.password), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    with Gate(database.server.port) as gate:
        url = f"postgresql://study@127.0.0.1:{gate.port}/{name}"
        flags, env = ("--optuna-storage", url), {"PGPASSWORD": database.password}
        yield Place(out, sandbox, flags, env, database.uri(name, database.password), gate=gate)


@contextlib.contextmanager
def on_server(out: Path, sandbox: Path) -> Iterator[Place]:
    """A real MLflow server of its own."""
    served = out.parent / "served"
    served.mkdir()
    with running(mlflow_server(served)) as server, Gate(server.port) as gate:
        flags = ("--tracking-uri", f"http://127.0.0.1:{gate.port}")
        yield Place(out, sandbox, flags, tracking_uri=f"http://127.0.0.1:{server.port}", gate=gate)


@contextlib.contextmanager
def on_s3(out: Path, sandbox: Path) -> Iterator[Place]:
    s3 = _bucket()
    yield Place(out, sandbox, ("--storage", f"s3://{s3.name}/{time.monotonic_ns()}"), s3.env, gate=s3.gate)


def away(place: Place, driver: Driver, rng: random.Random) -> str:
    """The service refuses for some seconds; the driver may be killed meanwhile."""
    seconds, is_killed = rng.uniform(0.5, 2 * AWAY_S), rng.random() < 0.3
    assert place.gate is not None
    place.gate.shut()
    time.sleep(seconds / 2)
    if is_killed:
        driver.kill()
    time.sleep(seconds / 2)
    place.gate.open()
    return f"the service away for {seconds:.1f} s" + (" and the driver killed meanwhile" if is_killed else "")


def locked(place: Place, driver: Driver, rng: random.Random) -> str:
    """Another program holds MLflow's SQLite file for some seconds."""
    file, seconds = place.out / "mlflow.db", rng.uniform(1, 2 * AWAY_S)
    if not file.exists():
        return "no mlflow.db to lock"
    with contextlib.closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
    return f"mlflow.db locked for {seconds:.1f} s"


@contextlib.contextmanager
def small_disk(out: Path, sandbox: Path) -> Iterator[Place]:
    """48 MB of memory as a disk for --out."""
    out.mkdir(exist_ok=True)
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(out)), check=True)
    try:
        yield Place(out, sandbox)
    finally:
        subprocess.run(("umount", "--lazy", str(out)), check=True)


def filled(place: Place, driver: Driver, rng: random.Random) -> str:
    """Leave no byte on the disk, for some seconds or until the study ends."""
    ballast, seconds = place.out / "ballast", rng.choice((1.0, 60.0))
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size) == size:
                    pass
    driver.wait(seconds)
    ballast.unlink()
    return f"the disk full for {seconds:.0f} s at most"


def pipe_closed(place: Place, driver: Driver, rng: random.Random) -> str:
    driver.close_pipe()
    return "the reader of its output gone"


@dataclass(frozen=True)
class Fault:
    """One kind of fault. weight: how often it is drawn"""

    strike: Callable[[Place, Driver, random.Random], str]
    weight: int
    place: Callable[[Path, Path], contextlib.AbstractContextManager[Place]] = plain


FAULTS = (
    Fault(signalled, 6),
    Fault(twice, 3),
    Fault(process_struck, 10),
    Fault(damaged_when_killed, 12),
    Fault(damaged_live, 6),
    Fault(away, 3, on_postgresql),
    Fault(away, 2, on_server),
    Fault(away, 2, on_s3),
    Fault(locked, 2),
    Fault(filled, 3, small_disk),
    Fault(pipe_closed, 1),
)
