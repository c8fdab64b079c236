"""Gunicorn, the daemon and a PostgreSQL as plain processes of this machine."""

import csv
import fcntl
import io
import os
import random
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("LOG_INGESTD_PROGRAM", str(ROOT / "target/debug/log-ingestd"))
PATIENCE = 60 # seconds
RESERVED = []


def reserve_port():
    """A port that belongs to this process until its end.

    A port that was free a moment ago may be given to an outgoing connection. This one is below the
    range for those, and the lock on its file keeps other tests from it: see tests/it/ports.rs.
    """
    directory = Path(tempfile.gettempdir()) / "log-ingestd-ports"
    directory.mkdir(exist_ok=True)
    end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = list(range(12_000, max(end, 13_000)))
    random.shuffle(ports)
    for port in ports:
        lock = open(directory / str(port), "a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            lock.close()
            continue
        RESERVED.append(lock)
        return port
    raise AssertionError("no port is free")


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
