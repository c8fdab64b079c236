"""Tests that Django's own server logs requests, where Gunicorn is not installed."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from .server import PROJECT
from .support import lines


class RunServer(unittest.TestCase):
    def test_each_request_is_one_row_with_and_without_the_reloader(self):
        for options in ((), ("--noreload",)):
            with tempfile.TemporaryDirectory() as directory, socket.socket() as reserved:
                # Bound and not listening: the server may take this port, and others do not get it.
                reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                reserved.bind(("127.0.0.1", 0))
                address = "127.0.0.1:{}".format(reserved.getsockname()[1])
                self.serve(pathlib.Path(directory), address, *options)

    def serve(self, directory, address, *options):
        (directory / "gunicorn").mkdir()
        (directory / "gunicorn/__init__.py").write_text("raise ImportError('it is not here')\n")
        log = directory / "logs/requests.log"
        environment = {
            **os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "TEST_LOG_FILE": str(log),
            "TEST_DATABASE": str(directory / "default.sqlite3"), "PYTHONPATH": str(directory),
            "PYTHONWARNINGS": "ignore",
        }
        with open(directory / "said.txt", "wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "django", "runserver", *options, address],
                env=environment, cwd=PROJECT, stdout=said, stderr=said, start_new_session=True,
            )
        try:
            for path, status in (("/hello?token=hush", 200), ("/missing", 404), ("/fail", 500)):
                self.assertEqual(self.get(f"http://{address}{path}", process, directory), status)
            rows = lines(log)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(10)
        self.assertEqual([(row["path"], row["status_code"]) for row in rows], [
            ("/hello", 200), ("/missing", 404), ("/fail", 500),
        ])
        self.assertEqual((rows[0]["query_params"], rows[0]["ip_address"]), ("token=********", "127.0.0.1"))
        self.assertEqual(rows[2]["extra_data"]["exception"]["class"], "ValueError")
        # Gunicorn's log is Gunicorn's alone.
        self.assertEqual([path.name for path in log.parent.iterdir()], ["requests.log"])

    def get(self, url, process, directory):
        for _ in range(1000):
            try:
                with urllib.request.urlopen(url, timeout=20) as response:
                    return response.status
            except urllib.error.HTTPError as error:
                error.close()
                return error.code
            # Until it listens.
            except urllib.error.URLError:
                self.assertIsNone(process.poll(), (directory / "said.txt").read_text())
                time.sleep(0.02)
        self.fail((directory / "said.txt").read_text())
