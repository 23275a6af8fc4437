"""Run a local MLflow server. It shows the studies of a folder, and studies on other machines can write to it.

python -m study.server                                       # runs/mlflow.db at http://127.0.0.1:5000
python -m study.server --out studies --port 5001
MLFLOW_BACKEND_STORE_URI=postgresql://ada@db/mlflow python -m study.server --artifacts s3://bucket/mlflow

It listens only on this machine unless --host names another address. MLflow itself does not ask for a
password, so before you open it to others, put a proxy that does in front of it (docs/cluster.md).
"""

import argparse
import os
import socket
import sys
from pathlib import Path

from emargin_train.errors import UserError, exit_on_user_error
from study.tracking.mlflow_runs import client
from study.tracking.uri import check_answers, local

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


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m study.server",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
    args = parser.parse_args()
    check_free(args.host, args.port)
    uri = os.environ.get(DATABASE) or local(args.out)
    check_answers(uri)
    client(uri)  # make a new database here, under a lock, before MLflow's processes do
    artifacts = args.artifacts or str((args.out / "mlartifacts").resolve())
    os.environ |= {DATABASE: uri, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # four processes that nobody needs
    print(f"MLflow: http://{args.host}:{args.port} (Ctrl-C ends it)", flush=True)
    words = arguments(args.host, args.port, artifacts, args.allowed_hosts)
    os.execv(words[0], words)


if __name__ == "__main__":
    exit_on_user_error(main)
