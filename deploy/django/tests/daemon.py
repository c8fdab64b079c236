"""Runs the real daemon, which LOG_INGESTD_PROGRAM names, with a database of its own."""

import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

from django.db import connections

from .server import PROJECT
from .stores import ALIAS, Postgres, StoreCase

PROGRAM = os.environ.get("LOG_INGESTD_PROGRAM")


def environment():
    """The caller's without the program's name: it is not a setting, and the daemon would warn of it."""
    return {name: value for name, value in os.environ.items() if name != "LOG_INGESTD_PROGRAM"}


@unittest.skipUnless(PROGRAM, "LOG_INGESTD_PROGRAM names no daemon")
class DaemonCase(StoreCase):
    """Starts a daemon that watches ``logs`` and creates its tables in a database of its own."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        database = connections[ALIAS].settings_dict
        connections[ALIAS].close()
        if self.vendor == "postgresql":
            server = Postgres.get()
            server.psql("postgres", "CREATE DATABASE stored")
            self.addCleanup(server.psql, "postgres", "DROP DATABASE stored WITH (FORCE)")
            self.url, name = f"postgres://audit@/stored?host={server.directory}", "stored"
        else:
            name = str(self.directory / "stored.sqlite3")
            self.url = f"sqlite:{name}"
        before = database["NAME"]
        database["NAME"] = name
        self.addCleanup(database.__setitem__, "NAME", before)
        self.addCleanup(connections[ALIAS].close)
        self.logs = self.directory / "logs"
        self.logs.mkdir()
        self.start([PROGRAM, "--watch", str(self.logs), *self.flags()], environment())

    def start(self, command, variables):
        """Starts a daemon, whose messages are in ``daemon.txt``."""
        self.said = open(self.directory / "daemon.txt", "wb")
        self.addCleanup(self.said.close)
        self.daemon = subprocess.Popen(command, env=variables, stdout=self.said, stderr=self.said, cwd=PROJECT)
        self.addCleanup(self.stop)

    def flags(self):
        return ["--database-url", self.url, "--host", "tests"]

    def stop(self):
        if self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait(20)

    def ask(self, *command):
        """Runs another command of the program, and returns its exit code and its output."""
        done = subprocess.run(
            [PROGRAM, *map(str, command), *self.flags()],
            env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        return done.returncode, done.stdout

    def wait_for(self, count, rows):
        for _ in range(1000):
            try:
                if rows.count() >= count:
                    break
            # Until the daemon has created its tables.
            except Exception:
                connections[ALIAS].close()
            time.sleep(0.1)
        self.assertEqual(rows.count(), count, (self.directory / "daemon.txt").read_text())
