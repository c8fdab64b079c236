"""Gunicorn, the daemon and a PostgreSQL as plain processes of this machine."""

import csv
import io
import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("LOG_INGESTD_PROGRAM", str(ROOT / "target/debug/log-ingestd"))
PATIENCE = 60 # seconds


def free_port():
    """A port that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def until(what, condition):
    """Waits for a condition."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain until {what}")
        time.sleep(0.05)


def get(url):
    """The status of an answer, or None if there is none."""
    try:
        return urllib.request.urlopen(url, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


class Running:
    """A process, until it is left; then it must end by SIGTERM."""

    def __init__(self, command, env=None, **options):
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, **options)

    def __enter__(self):
        return self.process

    def __exit__(self, kind, *_):
        self.process.terminate()
        code = self.process.wait(timeout=PATIENCE)
        assert kind or code == 0, f"{self.process.args} ended with {code}"


def environment(**variables):
    """Nothing of the caller's but the PATH."""
    return {"PATH": os.environ["PATH"]} | variables


def urls(env):
    """Every stored URL, in order."""
    rows = subprocess.run([PROGRAM, "query", "--since", "2000-01-01", "--limit", "100000", "--output", "csv"], env=env, text=True,
                          check=True, capture_output=True).stdout
    return sorted(row["url"] for row in csv.DictReader(io.StringIO(rows)))
