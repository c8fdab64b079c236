"""Tests the way from a request to rows, with a real Gunicorn and the real daemon.

Runs where LOG_INGESTD_PROGRAM names the daemon, as in the repository's tests.
"""

from django_audit_logger.models import GunicornLogModel, RequestLog

from .daemon import DaemonCase
from .server import Gunicorn
from .stores import both

BODY = b'{"password": "hush", "text": "a\\u0000b \xf0\x9f\x8e\x89 \\"\\\\"}'


class Daemon(DaemonCase):
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
