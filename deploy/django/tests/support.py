"""Helpers of the test cases, which run under pytest and under Django's runner."""

import json
import pathlib
import tempfile

from django.test import override_settings

from django_audit_logger.warn import warner


class LogMixin:
    """Gives each test a log of its own."""

    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.log = self.directory / "requests.log"
        self.set()
        warner.reset()

    def set(self, **settings):
        """Sets these settings of AUDIT_LOGGER until the test ends."""
        values = {"LOG_FILE": str(self.log), "LOG_IN_TESTS": True, **settings}
        override = override_settings(AUDIT_LOGGER=values)
        override.enable()
        self.addCleanup(override.disable)

    def rows(self):
        return lines(self.log)

    def row(self):
        (row,) = self.rows()
        return row


def lines(path):
    """Returns the records of a log, each of them one complete line."""
    if not path.exists():
        return []
    data = path.read_bytes()
    assert data == b"" or data.endswith(b"\n")
    return [json.loads(line) for line in data.decode().split("\n")[:-1]]
