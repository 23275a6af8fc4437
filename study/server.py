"""Run a local MLflow server. It shows the studies of a folder, and studies on other machines can write to it.

python -m study.server                                       # runs/mlflow.db at http://127.0.0.1:5000
python -m study.server --out studies --port 5001
MLFLOW_BACKEND_STORE_URI=postgresql://ada@db/mlflow python -m study.server --artifacts s3://bucket/mlflow

It listens only on this machine unless --host names another address. MLflow itself does not ask for a
password, so before you open it to others, put a proxy that does in front of it (docs/cluster.md).
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import requests

from emargin_train.errors import UserError, exit_on_user_error
from emargin_train.program import Parser
from study.tracking.mlflow_runs import client
from study.tracking.uri import PROBE_SECONDS, check_answers, local

DATABASE = "MLFLOW_BACKEND_STORE_URI"  # an environment variable, since lists of processes show command lines


def arguments(host: str, port: int, artifacts: str, allowed_hosts: str | None) -> list[str]:
    """The command that starts MLflow's server; its database is in the environment."""
    words = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    words += ["--artifacts-destination", artifacts]
    return words + (["--allowed-hosts", allowed_hosts] if allowed_hosts else [])


def check_free(host: str, port: int) -> None:
    """Raises UserError where the server could not listen."""
    try:
        with socket.create_server((host, port)):
            pass
    except (OSError, OverflowError) as error:
        raise UserError(
            f"the server cannot listen on --host {host} --port {port} ({error}): "
            "give another port, or stop the program that uses it"
        ) from None


def build_parser() -> Parser:
    parser = Parser("study.server", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), help="The folder that holds the studies (default runs)."
    )
    parser.add_argument("--host", default="127.0.0.1", help="The server's address (default 127.0.0.1).")
    parser.add_argument("--port", type=int, default=5000, help="The server's port (default 5000).")
    parser.add_argument(
        "--artifacts", metavar="URI", help="Artifacts go to this folder or s3://... (default: in --out)."
    )
    parser.add_argument(
        "--allowed-hosts", metavar="NAMES", help="Browsers may use these host names (a flag of MLflow)."
    )
    return parser


def main() -> None:
    args = build_parser().parse_args()
    check_free(args.host, args.port)
    uri = os.environ.get(DATABASE) or local(args.out)
    check_answers(uri)
    client(uri)  # make a new database here, under a lock, before MLflow's processes do
    artifacts = args.artifacts or str((args.out / "mlartifacts").resolve())
    os.environ |= {DATABASE: uri, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # four processes that nobody needs
    sys.exit(serve(arguments(args.host, args.port, artifacts, args.allowed_hosts), args.host, args.port))


def serve(words: list[str], host: str, port: int) -> int:
    """Run the server until it ends, and say where it is once it answers; returns its exit code."""
    with subprocess.Popen(words) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        try:
            shown = threading.Thread(target=_show, args=(server, host, port), daemon=True)
            shown.start()
            return server.wait()
        except KeyboardInterrupt:  # the terminal sends it to the server too
            return server.wait()


def _show(server: "subprocess.Popen[bytes]", host: str, port: int) -> None:
    """Print the server's address once it answers."""
    here = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    while server.poll() is None:
        with contextlib.suppress(requests.RequestException):
            requests.get(f"http://{here}:{port}/health", timeout=PROBE_SECONDS).raise_for_status()
            print(f"MLflow: http://{host}:{port} (Ctrl-C ends it)", flush=True)
            return
        time.sleep(0.2)


if __name__ == "__main__":
    exit_on_user_error(main)
