"""Runs the tests of models, admin and commands once more, in a project without ``USE_TZ``."""

import os
import subprocess
import sys
import unittest

from .server import PROJECT


class WithoutUseTz(unittest.TestCase):
    def test_times_are_local_and_every_page_and_command_works(self):
        modules = [f"tests.test_{name}" for name in ("admin", "cleanup", "copying", "models")]
        done = subprocess.run(
            [sys.executable, "-m", "django", "test", "--settings=tests.settings", *modules],
            cwd=PROJECT, env={**os.environ, "TEST_USE_TZ": "no"}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("\nOK", done.stdout)
