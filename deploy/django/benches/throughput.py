#!/usr/bin/env python3
"""Measures the cost of logging for a site: requests per second of a Django project under Gunicorn.

    LOG_INGESTD_PROGRAM=… python benches/throughput.py [TURNS [SECONDS]]     default 7 turns of 5 s

wrk sends requests to 4 sync workers, over 8 connections, in turns:

    without        no log at all
    ours           the middleware and GLogger: two lines for each request
    ours, stored   the same, while the daemon on the same processors stores the rows in PostgreSQL
    the other      the middleware of ``django-gunicorn-audit-logs`` (see ``other.py``), one row for each
                   request, over a connection that stays open. Gunicorn does not start with its logger

PostgreSQL runs on the same processors, too, unconfigured: a COMMIT waits for the disk.
"""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

import cost
import other
from tests.server import Gunicorn
from tests.stores import Postgres

HERE = pathlib.Path(__file__).resolve().parent
OURS = "django_audit_logger.middleware.AuditLogMiddleware"
# Taken out of the environment: the program would warn of a variable that is not a setting.
PROGRAM = os.environ.pop("LOG_INGESTD_PROGRAM", None)
CONTESTANTS = {
    "without": ([], "gunicorn.glogging.Logger"),
    "ours": ([OURS], "django_audit_logger.glogger.GLogger"),
    "ours, stored": ([OURS], "django_audit_logger.glogger.GLogger"),
    "the other": ([other.MIDDLEWARE], "gunicorn.glogging.Logger"),
}

if "BENCH_CONTESTANT" in os.environ:  # in a worker of Gunicorn
    cost.configure(os.environ["GUNICORN_LOG_DIR"], os.environ["BENCH_SERVER"], "cost")
    application = cost.handler(CONTESTANTS[os.environ["BENCH_CONTESTANT"]][0])


def turn(name, server, seconds):
    """Returns requests per second."""
    with tempfile.TemporaryDirectory() as directory:
        logs = pathlib.Path(directory, "logs")
        logs.mkdir()
        daemon = None
        if name == "ours, stored":
            url = f"postgres://audit@/daemon?host={server.directory}"
            daemon = subprocess.Popen(
                [PROGRAM, "--watch", logs, "--database-url", url, "--host", "bench"],
                stderr=subprocess.DEVNULL,
            )
        site = Gunicorn(
            logs, "--logger-class", CONTESTANTS[name][1], app="throughput", GUNICORN_WORKERS="4",
            GUNICORN_MAX_REQUESTS="0", GUNICORN_ACCESS_LOG="", BENCH_CONTESTANT=name,
            BENCH_SERVER=server.directory,
            PYTHONPATH=os.pathsep.join(map(str, (other.PROJECT, HERE, other.PLACE))),
        )
        try:
            script = str(HERE / "throughput.lua")
            wrk = ["wrk", "-t2", "-c8", "-s", script, site.url]
            subprocess.run([*wrk, "-d1"], check=True, capture_output=True)
            done = subprocess.run([*wrk, f"-d{seconds}"], check=True, capture_output=True, text=True)
        finally:
            site.stop()
            if daemon:
                daemon.terminate()
                daemon.wait()
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise SystemExit(f"{name}: {done.stdout}")
    return float(re.search(r"Requests/sec: +([\d.]+)", done.stdout).group(1))


def main():
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    server = Postgres(fsync="on")
    server.psql("postgres", "CREATE DATABASE daemon")
    with tempfile.TemporaryDirectory() as directory:
        cost.configure(directory, server.directory)
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
    names = [name for name in CONTESTANTS if PROGRAM or name != "ours, stored"]
    rates = {name: [] for name in names}
    for nth in range(turns):
        for name in names[nth % len(names) :] + names[: nth % len(names)]:
            rates[name].append(turn(name, server, seconds))
    for name, values in rates.items():
        # Within the same round, since a machine's speed varies.
        ratios = [rate / base for rate, base in zip(values, rates["without"])]
        print(
            f"{name:<14}{statistics.median(values):8.0f} requests/s ({min(values):.0f} to"
            f" {max(values):.0f}), {statistics.median(ratios):5.2f} of without"
        )
    rows = server.psql("postgres", f"SELECT count(*) FROM {other.NAME}_requestlog")
    print(f"rows of the other: {rows.strip()}")


if __name__ == "__main__":
    main()
