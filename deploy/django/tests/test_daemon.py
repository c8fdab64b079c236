"""From a request to rows, with a real Gunicorn and the real daemon.

Runs where LOG_INGESTD_PROGRAM names the daemon, as in the repository's tests.
"""

import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

from django.db import connections

from django_audit_logger.models import GunicornLogModel, RequestLog

from .server import Gunicorn
from .stores import ALIAS, Postgres, StoreCase, both

PROGRAM = os.environ.get("LOG_INGESTD_PROGRAM")
BODY = b'{"password": "hush", "text": "a\\u0000b \xf0\x9f\x8e\x89 \\"\\\\"}'


@unittest.skipUnless(PROGRAM, "LOG_INGESTD_PROGRAM names no daemon")
class Daemon(StoreCase):
    """The daemon makes its tables itself, in a database of its own name."""

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
            url, name = f"postgres://audit@/stored?host={server.directory}", "stored"
        else:
            name = str(self.directory / "stored.sqlite3")
            url = f"sqlite:{name}"
        before = database["NAME"]
        database["NAME"] = name
        self.addCleanup(database.__setitem__, "NAME", before)
        self.addCleanup(connections[ALIAS].close)
        self.logs = self.directory / "logs"
        self.logs.mkdir()
        self.said = open(self.directory / "daemon.txt", "wb")
        self.addCleanup(self.said.close)
        self.daemon = subprocess.Popen(
            [PROGRAM, "--watch", str(self.logs), "--database-url", url, "--host", "tests"],
            stdout=self.said, stderr=self.said,
        )
        self.addCleanup(self.stop)

    def stop(self):
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait(20)

    def wait_for(self, count, rows):
        for _ in range(300):
            try:
                if rows.count() >= count:
                    break
            # Until the daemon has made its tables.
            except Exception:
                connections[ALIAS].close()
            time.sleep(0.1)
        self.assertEqual(rows.count(), count, (self.directory / "daemon.txt").read_text())

    def test_requests_become_rows_through_rotations_once(self):
        server = Gunicorn(
            self.logs,
            GUNICORN_LOG_MAX_BYTES="6000", GUNICORN_LOG_BACKUP_COUNT="50",
            GUNICORN_ACCESS_LOG="",  # the daemon would store these lines, too
        )
        self.addCleanup(server.stop)
        for nth in range(60):
            server.get(f"/login?n={nth}&token=hush", **{"User-Agent": "me"})
        server.post("/echo?as=text/plain", BODY, "application/json")
        server.get("/fail")
        self.wait_for(62, RequestLog.objects.all())
        self.wait_for(62, GunicornLogModel.objects.all())
        for model, field in ((RequestLog, "query_params"), (GunicornLogModel, "url")):
            stored = model.objects.filter(user_id="42").values_list(field, flat=True)
            wanted = [f"n={nth}&token=********" for nth in range(60)]
            self.assertEqual(sorted(text.partition("?")[2] or text for text in stored), sorted(wanted))
        post = RequestLog.objects.get(method="POST")
        self.assertEqual(post.body, BODY.decode().replace("hush", "********"))
        self.assertEqual((post.status_code, post.ip_address), (200, "127.0.0.1"))
        self.assertEqual(post.response_headers["content-type"], "text/plain")
        self.assertEqual(RequestLog.objects.get(status_code=500).path, "/fail")
        access = GunicornLogModel.objects.get(method="POST")
        self.assertEqual(access.response_bytes, len(BODY))
        self.assertEqual(access.request["environ"]["wsgi.url_scheme"], "http")
        self.assertLess(abs((access.timestamp - post.timestamp).total_seconds()), 5)
        self.assertEqual(self.execute("SELECT count(*) FROM rejected_line")[0][0], 0)


DaemonOnSQLite, DaemonOnPostgreSQL = both(Daemon)
del Daemon
