"""What a study leaves behind of a cluster that it started: nothing, even where Ray does not end it."""

import json
import os
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
gone, alive = psutil.wait_procs(of_ray, timeout=3)
print(json.dumps([len(gone), [process.name() for process in alive]]))
"""


def test_agents_that_ray_started_later_are_ended_too() -> None:
    # Ray's workers are nice, so that on a busy machine even a killed one takes seconds to end.
    env = os.environ | {"RAY_worker_niceness": "0"}
    code = [sys.executable, "-c", LATE_AGENTS]
    ran = subprocess.run(code, capture_output=True, text=True, timeout=120, env=env)
    assert ran.returncode == 0, ran.stderr
    ended, left = json.loads(ran.stdout.splitlines()[-1])
    assert ended >= 4 and left == []


SIGTERM_WHILE_LEAVING = """
import json, pathlib, signal, threading, time
from study.cluster import connection

signal.signal(signal.SIGTERM, lambda *_: None)
longest, ended = 0.0, False

def is_caught():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition("SigCgt:")[2].split()[0], 16) >> (signal.SIGTERM - 1) & 1

def watch():
    global longest
    since = time.monotonic()
    while not ended:
        if is_caught():
            since = time.monotonic()
        longest = max(longest, time.monotonic() - since)
        time.sleep(0.002)

watcher = threading.Thread(target=watch)
with connection.joined(None):
    watcher.start()
time.sleep(0.5)
ended = True
watcher.join()
print(json.dumps([longest, bool(is_caught())]))
"""


def test_a_second_sigterm_does_not_end_the_process_while_ray_shuts_down() -> None:
    """Ray's C++ code takes the handler away, as chaos seed 82 found; it is set again at once."""
    code = [sys.executable, "-c", SIGTERM_WHILE_LEAVING]
    ran = subprocess.run(code, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    longest_s, is_caught = json.loads(ran.stdout.splitlines()[-1])
    assert is_caught and longest_s < 0.5
