"""Real servers, which the tests start on loopback and end. A test is skipped where its server is missing."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cluster.gate import Gate


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def wait_for(ready: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"{what} took more than {seconds:.0f} s"
        time.sleep(0.1)


def listens(port: int, host: str = "127.0.0.1") -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


@dataclass
class Server:
    """A program that listens on a port of this machine; may be stopped and started again."""

    words: tuple[str, ...]
    port: int
    env: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    end: signal.Signals = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Server":
        self.process = subprocess.Popen(
            self.words,
            env=os.environ | self.env,
            user=self.user,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )

        def ready() -> bool:
            assert self.process is not None and self.process.poll() is None, f"{self.words} ended"
            return listens(self.port)

        wait_for(ready, self.words[0], 120)
        return self

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, self.end)
            self.process.wait(30)
            self.process = None
            wait_for(lambda: not listens(self.port), "ending", 30)


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    try:
        yield server.start()
    finally:
        server.stop()


def mlflow_server(out: Path, *words: str, **env: str) -> Server:
    """`python -m study.server` on the studies in `out`."""
    port = free_port()
    flags = ("--out", str(out), "--port", str(port), *words)
    return Server((sys.executable, "-m", "study.server", *flags), port, env)


def postgres_program(name: str) -> str | None:
    """Debian keeps PostgreSQL's programs off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@dataclass(frozen=True)
class Database:
    server: Server
    password: str

    def uri(self, name: str, password: str | None = None) -> str:
        secret = f":{password}" if password else ""
        return f"postgresql://study{secret}@127.0.0.1:{self.server.port}/{name}"


@contextlib.contextmanager
def postgresql() -> Iterator[Database]:
    """PostgreSQL with the user `study`, who has a password, and the databases `postgres` and `mlflow`."""
    pytest.importorskip("psycopg", reason="needs the PostgreSQL driver: pip install '.[cluster]'")
    initdb, postgres = postgres_program("initdb"), postgres_program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql, or make test-cluster as root")
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="emargin-pg-"))
    password = "pg-secret-5f1c"
    (folder / "password").write_text(password)
    if user:
        shutil.chown(folder, user)
        shutil.chown(folder / "password", user)
    port = free_port()
    setup = (
        initdb,
        "-D",
        f"{folder}/data",
        "-U",
        "study",
        "--auth=scram-sha-256",
        f"--pwfile={folder}/password",
    )
    words = (postgres, "-D", f"{folder}/data", "-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-F")
    try:
        subprocess.run(setup, check=True, capture_output=True, user=user, cwd=folder)
        with running(Server(words, port, user=user, end=signal.SIGINT)) as server:
            made = Database(server, password)
            import psycopg

            def ready() -> bool:
                with contextlib.suppress(psycopg.OperationalError):  # it listens before it has started up
                    psycopg.connect(made.uri("postgres", password)).close()
                    return True
                return False

            wait_for(ready, "PostgreSQL")
            with psycopg.connect(made.uri("postgres", password), autocommit=True) as connection:
                connection.execute("CREATE DATABASE mlflow")
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def database() -> Iterator[Database]:
    with postgresql() as made:
        yield made


@dataclass(frozen=True)
class Bucket:
    """S3 as moto serves it, behind a gate that can refuse.

    env: what a program needs to find it
    """

    name: str
    gate: Gate
    env: dict[str, str]

    def keys(self) -> list[str]:
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=self.env["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
        )
        return [item["Key"] for item in client.list_objects_v2(Bucket=self.name).get("Contents", [])]


@contextlib.contextmanager
def bucket() -> Iterator[Bucket]:
    """S3 with one empty bucket."""
    pytest.importorskip("moto", reason="needs moto: pip install '.[dev]'")
    import boto3

    port = free_port()
    words = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))
    with running(Server(words, port)), Gate(port) as gate:
        env = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{gate.port}",
            "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{gate.port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "study",
            "AWS_SECRET_ACCESS_KEY": "aws-secret-77ab",
        }
        client = boto3.client(
            "s3",
            endpoint_url=env["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="study",
            aws_secret_access_key="aws-secret-77ab",
        )
        client.create_bucket(Bucket="studies")
        yield Bucket("studies", gate, env)


@pytest.fixture(scope="session")
def s3() -> Iterator[Bucket]:
    with bucket() as made:
        yield made
