"""What a study leaves behind of a cluster that it started: nothing, even where Ray does not end it."""

import json
import subprocess
import sys

LATE_AGENTS = """
import json, os, signal, sys, time
import psutil
from study.cluster import connection

whole = connection._family

def is_agent(process):  # the words of the raylet name its agents too
    words = " ".join(process.cmdline()).lower()
    return process.name() not in ("raylet", "gcs_server") and "agent" in words

connection._family = lambda: {process for process in whole() if not is_agent(process)}  # agents start later
with connection.joined(None):
    while not any(map(is_agent, whole())):
        time.sleep(0.1)
    of_ray = whole()
    for process in of_ray:
        if "raylet" in process.name():
            os.kill(process.pid, signal.SIGSTOP)  # so that it does not end them
gone, alive = psutil.wait_procs(of_ray, timeout=1)
print(json.dumps([len(gone), [process.name() for process in alive]]))
"""


def test_agents_that_ray_started_later_are_ended_too() -> None:
    ran = subprocess.run([sys.executable, "-c", LATE_AGENTS], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    ended, left = json.loads(ran.stdout.splitlines()[-1])
    assert ended >= 4 and left == []
