"""Tests the lines of a real Gunicorn, with each kind of worker."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

from .server import OLD, PROJECT, Gunicorn
from .support import lines

KEYS = (
    "log timestamp method url host user_ip agent source request response headers duration code "
    "protocol response_bytes pid route request_id trace_id user_id"
).split()


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def serve(self, *options, **more):
        server = Gunicorn(self.directory, *options, **more)
        self.addCleanup(server.stop)
        return server

    def rows(self, server, count):
        server.wait(lambda: len(lines(server.log)) >= count)
        rows = lines(server.log)
        self.assertEqual(len(rows), count)
        return rows


class Rules(Case):
    def test_the_address_and_exclusions_are_those_of_the_middleware(self):
        server = self.serve(TEST_AUDIT_LOGGER='{"EXCLUDE_PATHS": ["/health/", "/style"]}')
        for forwarded in ("6.6.6.6, 1.2.3.4", "1.2.3.4, ::ffff:203.0.113.9"):
            server.get("/health/")
            server.get("/style.css?a=b")
            server.get("/hello", **{"X-Forwarded-For": forwarded})
        rows = self.rows(server, 2)
        self.assertEqual([row["user_ip"] for row in rows], ["1.2.3.4", "203.0.113.9"])
        requests = lines(server.requests)
        self.assertEqual([row["ip_address"] for row in requests], ["1.2.3.4", "203.0.113.9"])
        self.assertEqual([row["path"] for row in requests], ["/hello"] * 2)

    def test_addresses_are_shortened_as_by_the_middleware(self):
        for options, app in (((), "tests.wsgi"), (("-k", "uvicorn_worker.UvicornWorker"), "tests.asgi")):
            self.setUp()
            server = self.serve(*options, app=app, TEST_AUDIT_LOGGER='{"ANONYMIZE_IP": true}')
            server.get("/hello", **{"X-Forwarded-For": "203.0.113.77, 2001:db8:1:2:3::4"})
            (row,), (request,) = self.rows(server, 1), lines(server.requests)
            if not options:
                self.assertEqual(row["headers"], request["headers"])
            self.assertEqual((row["user_ip"], request["ip_address"]), ("2001:db8:1::", "2001:db8:1::"))
            self.assertEqual(request["headers"]["x-forwarded-for"], "203.0.113.0, 2001:db8:1::")
            for log in (server.log, server.requests):
                self.assertNotIn("113.77", log.read_text())

    def test_the_address_of_the_callable_is_shortened_in_both_logs(self):
        server = self.serve(
            TEST_AUDIT_LOGGER='{"ANONYMIZE_IP": [16, 32], "IP_CALLABLE": "tests.test_anonymize.of_header"}'
        )
        server.get("/hello", **{"X-Client": "203.0.113.77"})
        self.assertEqual(self.rows(server, 1)[0]["user_ip"], "203.0.0.0")
        self.assertEqual(lines(server.requests)[0]["ip_address"], "203.0.0.0")


class Workers(Case):
    def check(self, server):
        """Checks all values of an access, and of one that fails."""
        status, _ = server.get(
            "/login?a=b&token=hush", **{
                "User-Agent": "me", "Referer": "http://r/?secret=hush", "X-Api-Key": "hush",
                "X-Forwarded-For": "203.0.113.9",
            }
        )
        self.assertEqual(status, 200)
        self.assertEqual(server.get("/fail")[0], 500)
        row, failed = self.rows(server, 2)
        self.assertLessEqual(set(row), set(KEYS))
        self.assertEqual(list(row)[:4], KEYS[:4])
        self.assertEqual((row["log"], row["method"]), ("gunicorn", "GET"))
        self.assertEqual(row["url"], "/login?a=b&token=********")
        self.assertEqual((row["code"], row["protocol"]), (200, "HTTP/1.1"))
        self.assertEqual(row["user_ip"], "203.0.113.9")
        self.assertEqual((row["agent"], row["source"]), ("me", "http://r/?secret=********"))
        self.assertEqual(row["host"], server.url.partition("//")[2])
        self.assertEqual(row["headers"]["x-api-key"], "********")
        self.assertEqual(row["response"]["headers"]["content-type"], "application/json")
        self.assertEqual(row["response"]["headers"]["set-cookie"], "********")
        self.assertTrue(100 < row["duration"] < 5_000_000)
        self.assertEqual(row["response_bytes"], len('{"token": "t0p", "user": "jo"}'))
        self.assertNotEqual(row["pid"], server.process.pid)
        self.assertEqual(failed["code"], 500)
        self.assertNotIn("hush", server.log.read_text())
        # Gunicorn's own log is still written.
        server.wait(lambda: server.output.read_text().count('"GET /') == 2)
        # The middleware's line of the same request.
        requests = lines(server.requests)
        self.assertEqual([it["status_code"] for it in requests], [200, 500])
        # Both lines of a request have the same names, and the client has them too.
        for access, request in zip((row, failed), requests):
            self.assertEqual(access["request_id"], request["request_id"])
            self.assertEqual(access["trace_id"], request["trace_id"])
            answered = access["response"]["headers"]
            self.assertEqual(answered["x-request-id"], access["request_id"])
            self.assertEqual(answered["traceresponse"].split("-")[1], access["trace_id"])
            self.assertEqual(access.get("route", request["route"]), request["route"])
        return row

    def test_sync(self):
        self.assertEqual(self.check(self.serve())["user_id"], "42")

    def test_gthread(self):
        server = self.serve("-k", "gthread", "--threads", "4")
        self.assertEqual(self.check(server)["user_id"], "42")

    def test_gevent(self):
        self.assertEqual(self.check(self.serve("-k", "gevent"))["user_id"], "42")

    @unittest.skipUnless(importlib.util.find_spec("gunicorn.asgi"), "this Gunicorn has none")
    def test_gunicorns_own_asgi_worker_logs_all_but_the_user(self):
        row = self.check(self.serve("-k", "asgi", app="tests.asgi"))
        self.assertNotIn("user_id", row)

    @unittest.skipUnless(OLD.exists(), "run-tests installs it")
    def test_gunicorn_20_1(self):
        for worker in ("sync", "gthread"):
            with self.subTest(worker):
                self.setUp()
                server = self.serve("-k", worker, old=True)
                self.assertEqual(server.version, "20.1.0")
                self.assertEqual(self.check(server)["user_id"], "42")

    def test_uvicorns_worker_logs_its_own_values(self):
        server = self.serve("-k", "uvicorn_worker.UvicornWorker", app="tests.asgi")
        server.get("/login?a=b&token=hush")
        (row,) = self.rows(server, 1)
        del row["timestamp"], row["pid"]
        self.assertEqual(
            row,
            {
                "log": "gunicorn", "method": "GET", "url": "/login?a=b&token=********",
                "user_ip": "127.0.0.1", "code": 200, "protocol": "HTTP/1.1",
            },
        )
        (request,) = lines(server.requests)
        self.assertEqual((request["status_code"], request["user_id"]), (200, "42"))


class Files(Case):
    def test_workers_that_rotate_under_load_lose_nothing(self):
        server = self.serve(
            "-k", "gthread", "--threads", "4", GUNICORN_WORKERS="3",
            GUNICORN_LOG_MAX_BYTES="20000", GUNICORN_LOG_BACKUP_COUNT="500",
        )
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: server.get(f"/hello?n={n}"), range(600)))
        self.assertEqual({status for status, _ in answers}, {200})
        server.stop()
        for name, key, values in (
            ("access.log", "url", {f"/hello?n={n}" for n in range(600)}),
            ("requests.log", "query_params", {f"n={n}" for n in range(600)}),
        ):
            files = [path for path in self.directory.iterdir() if path.name.startswith(name)]
            self.assertGreater(len(files), 5)
            rows = [row[key] for path in files for row in lines(path)]
            self.assertEqual((len(rows), set(rows)), (600, values))

    def test_text_may_be_turned_off(self):
        server = self.serve(GUNICORN_ACCESS_LOG="")
        server.get("/hello")
        self.rows(server, 1)
        self.assertNotIn("/hello", server.output.read_text())

    def test_text_for_the_very_file_of_our_lines_is_left_out(self):
        for options in ((), ("-k", "uvicorn_worker.UvicornWorker")):
            self.setUp()
            app = "tests.asgi" if options else "tests.wsgi"
            path = str(self.directory / "access.log")
            server = self.serve(*options, app=app, GUNICORN_ACCESS_LOG=path)
            server.get("/hello")
            self.rows(server, 1)

    def test_a_directory_that_cannot_be_written_fails_no_request(self):
        (self.directory / "file").write_text("")
        server = self.serve(GUNICORN_LOG_DIR=str(self.directory / "file"), GUNICORN_WORKERS="1")
        for _ in range(3):
            self.assertEqual(server.get("/hello")[0], 200)
        server.wait(lambda: "logging an access failed" in server.output.read_text())
        self.assertEqual(server.output.read_text().count("logging an access failed"), 1)

    def test_a_user_of_basic_auth_is_known(self):
        server = self.serve()
        server.get("/hello", Authorization="Basic am86aHVzaA==")
        self.assertEqual(self.rows(server, 1)[0]["user_id"], "jo")


class Configuration(Case):
    def read(self, **environment):
        """Returns Gunicorn's configuration with these variables."""
        done = subprocess.run(
            [sys.executable, "-m", "gunicorn", "--print-config",
             "-c", "src/django_audit_logger/gunicorn_config.py", "tests.wsgi:application"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **environment},
            cwd=PROJECT, capture_output=True, text=True, check=True,
        )
        return dict(re.findall(r"^(\w+) +=[ ]?(.*)$", done.stdout, re.MULTILINE))

    def test_defaults_and_variables(self):
        for environment, expected in (
            ({}, "['0.0.0.0:8000'] 4 info - - 1000 50"),
            (
                {
                    "GUNICORN_BIND": "127.0.0.1:9", "GUNICORN_WORKERS": "2",
                    "GUNICORN_LOG_LEVEL": "debug", "GUNICORN_ACCESS_LOG": "/tmp/a",
                    "GUNICORN_ERROR_LOG": "/tmp/e", "GUNICORN_MAX_REQUESTS": "5",
                    "GUNICORN_MAX_REQUESTS_JITTER": "1",
                },
                "['127.0.0.1:9'] 2 debug /tmp/a /tmp/e 5 1",
            ),
        ):
            values = self.read(**environment)
            names = "bind workers loglevel accesslog errorlog max_requests max_requests_jitter"
            self.assertEqual(" ".join(values[name] for name in names.split()), expected)
            self.assertIn("GLogger", values["logger_class"])
