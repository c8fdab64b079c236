"""Tests the recommended place, before the usual middleware: rows have what the client gets."""

import http.client
import pathlib
import tempfile
import unittest

from .server import Gunicorn
from .support import lines


class Stack(unittest.TestCase):
    def serve(self, **environment):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.server = Gunicorn(
            pathlib.Path(directory.name), DJANGO_SETTINGS_MODULE="tests.stack", **environment
        )
        self.addCleanup(self.server.stop)
        self.count = 0

    def ask(self, method, path, body=None, **headers):
        """Returns the client's response and the row of it, which agree."""
        connection = http.client.HTTPConnection(self.server.url.partition("//")[2], timeout=10)
        self.addCleanup(connection.close)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        data = response.read()
        self.count += 1
        for log in (self.server.log, self.server.requests):
            self.server.wait(lambda: len(lines(log)) >= self.count)  # noqa: B023
        row, access = lines(self.server.requests)[-1], lines(self.server.log)[-1]
        self.assertEqual((row["status_code"], access["code"]), (response.status, response.status))
        self.assertEqual(access["response_bytes"], len(data))
        got = {name.lower() for name, _ in response.getheaders()} - {"server", "date", "connection"}
        self.assertEqual(got - {"transfer-encoding", "content-length"}, set(row["response_headers"]) - {"content-length"})
        return response, row

    def test_rows_have_what_the_client_gets(self):
        self.serve()
        # CommonMiddleware adds the slash.
        _, row = self.ask("GET", "/long?token=hush")
        self.assertEqual((row["status_code"], row["path"]), (301, "/long"))
        self.assertEqual(row["response_headers"]["location"], "/long/?token=********")
        # GZipMiddleware compresses.
        response, row = self.ask("GET", "/long/", Accept_Encoding="gzip")
        self.assertEqual(row["response_headers"]["content-encoding"], "gzip")
        self.assertEqual(row["response_headers"]["content-length"], response.getheader("Content-Length"))
        self.assertTrue(row["response_body"].startswith("a long text, a long text"))
        self.assertTrue(row["response_body"].endswith("Bearer ********"))
        # ConditionalGetMiddleware answers 304, without a body.
        _, row = self.ask("GET", "/long/", If_None_Match=self.ask("GET", "/long/")[0].getheader("ETag"))
        self.assertEqual(row["status_code"], 304)
        self.assertNotIn("response_body", row)
        # CommonMiddleware refuses the host.
        _, row = self.ask("GET", "/long/", Host="elsewhere.example")
        self.assertEqual((row["status_code"], row["headers"]["host"]), (400, "elsewhere.example"))
        # CsrfViewMiddleware refuses the form; and sets its cookie.
        _, row = self.ask("POST", "/form/", "a=b", Content_Type="application/x-www-form-urlencoded")
        self.assertEqual((row["status_code"], row["body"]), (403, "a=b"))
        _, row = self.ask("GET", "/form/")
        self.assertEqual(row["response_headers"]["set-cookie"], "********")
        # WhiteNoise serves a file.
        _, row = self.ask("GET", "/static/counted.py")
        self.assertEqual((row["status_code"], row["path"]), (200, "/static/counted.py"))
        # SessionMiddleware has the session, and the user in it.
        _, row = self.ask("GET", "/who/")
        self.assertEqual(row["user_id"], "42")
        self.assertNotIn("hush", self.server.requests.read_text())

    def test_a_redirect_to_https_is_logged(self):
        self.serve(TEST_SSL="1")
        _, row = self.ask("GET", "/long/")
        self.assertEqual(row["status_code"], 301)
        self.assertTrue(row["response_headers"]["location"].startswith("https://"))
