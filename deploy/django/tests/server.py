"""Runs a real Gunicorn with the package's configuration."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

PROJECT = pathlib.Path(__file__).resolve().parents[1]
# An old Gunicorn in addition to the new one; see run-tests.
OLD = PROJECT / ".venv/gunicorn-20.1.0"


class Gunicorn:
    """Serves the tests' project until ``stop``; its logs are in ``directory``."""

    def __init__(self, directory, *options, app="tests.wsgi", old=False, **environment):
        self.errors = directory / "error.txt"
        self.output = directory / "output.txt"
        self.log = directory / "access.log"
        self.requests = directory / "requests.log"
        paths = [str(OLD)] if old else []
        # The address is the last argument: a test without one gets any free port.
        environment = {
            **os.environ,
            "GUNICORN_BIND": "127.0.0.1:0",
            "GUNICORN_WORKERS": "2",
            "GUNICORN_LOG_DIR": str(directory),
            "GUNICORN_ERROR_LOG": str(self.errors),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TEST_LOG_FILE": str(self.requests),
            "TEST_SESSIONS": "django.contrib.sessions.backends.signed_cookies",
            "PYTHONPATH": os.pathsep.join([*paths, str(PROJECT)]),
            **environment,
        }
        command = [sys.executable, "-m", "gunicorn", "-c", "python:django_audit_logger.gunicorn_config"]
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [*command, *options, f"{app}:application"],
                env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=PROJECT,
            )
        listening = self.wait(lambda: re.search(r"Listening at: (http://\S+)", self.said()))
        self.url = listening.group(1)
        self.version = re.search(r"Starting gunicorn (\S+)", self.said()).group(1)

    def said(self):
        return self.errors.read_text() if self.errors.exists() else ""

    def wait(self, condition):
        for _ in range(1000):
            found = condition()
            if found:
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"gave up: {self.said()} {self.output.read_text()}")

    def post(self, path, body, content_type):
        return self.get(path, body, **{"Content-Type": content_type})

    def get(self, path, body=None, **headers):
        request = urllib.request.Request(self.url + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
