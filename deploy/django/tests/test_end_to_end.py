"""Sends many requests of every kind through Gunicorn and the daemon, during both kinds of rotation.

Each request that the server handled is one row in each table, as it was sent, and no secret is
anywhere. END_TO_END_REQUESTS is the number of requests that go to PostgreSQL.
"""

import base64
import collections
import gzip
import io
import json
import os
import re
import subprocess
import time

from django.core.management import call_command
from django.db import connections

from django_audit_logger.models import GunicornLogModel, RequestLog

from . import load
from .daemon import DaemonCase
from .logrotate import Logrotate
from .server import Gunicorn
from .stores import ALIAS, Postgres, both

COUNT = int(os.environ.get("END_TO_END_REQUESTS", "20000"))
# The second rotation compresses what the first one moved; the third finds such a file.
PARTS = 3
# The base64 forms of the password, for each offset in a group of three bytes.
ENCODED = [
    base64.b64encode(b"." * shift + load.SECRET.encode())[4 if shift else 0 : -4].decode()
    for shift in range(3)
]


class EndToEnd(DaemonCase):
    def load(self, count):
        """Sends the requests, and returns those that reached the server, by their numbers."""
        counted = self.directory / "counted"
        server = Gunicorn(
            self.logs, app="tests.counted", TEST_COUNTED=str(counted), GUNICORN_WORKERS="4",
            GUNICORN_LOG_MAX_BYTES=str(50_000 + 5 * count), GUNICORN_LOG_BACKUP_COUNT="1000",
            GUNICORN_ACCESS_LOG="",
        )
        self.addCleanup(server.stop)
        rotation = Logrotate(self.directory, self.logs)
        self.addCleanup(rotation.stop)
        rotation.start()
        sent, answered = {}, 0
        for part in range(PARTS):
            first = part * (count // PARTS + load.MORE)
            requests, answers = load.send(server.url, first, count // PARTS, self.directory)
            sent.update(requests)
            answered += answers
            rotation.wait_for(part + 1)
        server.stop()
        rotation.stop()
        # A worker may rename the log while logrotate looks at it, which then leaves it for the next time.
        unexpected = [line for _, said in rotation.said for line in said.splitlines()
                      if not re.search(r"\.log: No such file or directory$", line)]
        self.assertEqual(unexpected, [])
        self.assertIn((0, ""), rotation.said)
        numbers = [int(number) for number in counted.read_text().split()]
        self.assertEqual(len(numbers), len(set(numbers)))
        self.assertGreaterEqual(len(numbers), answered)
        self.assertGreater(answered, count - 2 * PARTS)  # threads and parts have equal shares
        return [sent[number] for number in sorted(numbers)]

    def check_rows(self, handled):
        def user(request):
            return "42" if request.path == "/login" else request.user

        self.wait_for(len(handled), RequestLog.objects.all())
        self.wait_for(len(handled), GunicornLogModel.objects.all())
        rows = RequestLog.objects.values_list(
            "query_params", "method", "path", "status_code", "user_agent"
        )
        self.assertEqual(
            sorted((int(row[0].split("&")[0][3:]), *row[1:]) for row in rows),
            [(it.number, it.method, it.path, it.status, it.agent) for it in handled],
        )
        rows = GunicornLogModel.objects.values_list("url", "method", "code", "agent", "user_id")
        self.assertEqual(
            sorted((int(re.search(r"\?id=(\d+)", row[0]).group(1)), *row[1:]) for row in rows),
            [(it.number, it.method, it.status, it.agent, user(it)) for it in handled],
        )
        # Each request has names of its own, which link its two rows.
        pairs = [set(it.objects.values_list("request_id", "trace_id", "route")) for it in (RequestLog, GunicornLogModel)]
        self.assertEqual(pairs[0], pairs[1])
        self.assertEqual(len({request_id for request_id, _, _ in pairs[0]}), len(handled))
        paths = collections.Counter(
            url.partition("?")[0] for url in GunicornLogModel.objects.values_list("url", flat=True)
        )
        self.assertEqual(paths, collections.Counter(it.url.partition("?")[0] for it in handled))
        self.assertEqual(self.execute("SELECT count(*) FROM rejected_line"), [(0,)])

    def dump(self):
        """Returns the whole content of the database."""
        if self.vendor == "postgresql":
            server = Postgres.get()
            command = [server.bin / "pg_dump", "-h", server.directory, "-U", "audit", "stored"]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout
        connections[ALIAS].ensure_connection()
        return "\n".join(connections[ALIAS].connection.iterdump())

    def check_secrets(self):
        texts = {"the database": self.dump()}
        for path in self.logs.iterdir():
            data = path.read_bytes()
            texts[path.name] = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
        names = " ".join(texts)
        for rotated in (r"\.log\.\d", r"\.log-\d+\.gz"):
            self.assertRegex(names, "access" + rotated)
            self.assertRegex(names, "requests" + rotated)
        self.assertIn("********", texts["the database"])
        for name, text in texts.items():
            # "t0p" and "s3cret" are in the answer of /login.
            for secret in (load.SECRET, *ENCODED, '"t0p', "s3cret"):
                at = text.find(secret)
                self.assertEqual(at, -1, f"in {name}: {text[max(at - 200, 0) : at + 200]}")

    def check_cleanup(self):
        """Imports older rows and deletes them with the command; verify counts them as swept."""
        old = self.logs / "old.log"
        with open(old, "w") as file:
            for nth in range(300):
                moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 86400 * nth / 5))
                for log in ("request", "gunicorn"):
                    file.write(json.dumps({"log": log, "timestamp": moment, "method": "GET"}) + "\n")
        self.assertEqual(self.ask("import", old)[0], 0)
        out = io.StringIO()
        call_command("cleanup_audit_logs", "--days=30", "--batch-size=40", stdout=out, no_color=True)
        for name in ("request", "gunicorn"):
            self.assertIn(f"Successfully deleted 150 {name} logs", out.getvalue())
        code, said = self.ask("verify")
        self.assertEqual(code, 0, said)
        self.assertIn("old.log: 600 lines = 300 rows + 0 rejected + 0 excluded + 300 swept", said)

    def check(self, count):
        handled = self.load(count)
        self.check_rows(handled)
        self.check_secrets()
        self.daemon.terminate()
        self.assertEqual(self.daemon.wait(20), 0)
        code, said = self.ask("verify")
        self.assertEqual(code, 0, said)
        self.check_cleanup()

    def test_each_request_is_one_row_and_no_secret_is_anywhere(self):
        self.check(COUNT if self.vendor == "postgresql" else min(COUNT, 2000))


EndToEndOnSQLite, EndToEndOnPostgreSQL = both(EndToEnd)
del EndToEnd
