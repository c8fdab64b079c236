"""Tests that all modules are installed, and readable for each supported Python."""

import ast
import pathlib
import subprocess
import sys
import tempfile
import unittest
import zipfile

from .server import PROJECT

SOURCE = PROJECT / "src"


class Package(unittest.TestCase):
    def test_a_wheel_has_every_module_and_says_that_it_is_typed(self):
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(
                [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check",
                 "--no-deps", "--no-build-isolation", "--wheel-dir", directory, str(PROJECT)],
                check=True,
            )  # fmt: skip
            (wheel,) = pathlib.Path(directory).glob("django_audit_logger-*-py3-none-any.whl")
            with zipfile.ZipFile(wheel) as file:
                names = {name for name in file.namelist() if ".dist-info/" not in name}
        files = {str(path.relative_to(SOURCE)) for path in SOURCE.glob("django_audit_logger/**/*.py")}
        self.assertEqual(names, {*files, "django_audit_logger/py.typed"})
        self.assertIn("django_audit_logger/management/commands/cleanup_audit_logs.py", names)

    def test_every_module_can_be_read_by_python_3_9(self):
        """mypy no longer supports 3.9, so this test searches for newer syntax and for ``A | B`` at run time."""
        for path in SOURCE.glob("**/*.py"):
            with self.subTest(path.name):
                tree = ast.parse(path.read_text(), feature_version=(3, 9))
                later = "annotations" in {
                    name.name
                    for node in tree.body
                    if isinstance(node, ast.ImportFrom) and node.module == "__future__"
                    for name in node.names
                }
                self.assertEqual([] if later else list(unions(tree)), [])


def unions(tree):
    """Returns lines of annotations that Python 3.9 would evaluate and fail on."""
    for node in ast.walk(tree):
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            for inner in ast.walk(part) if part else ():
                if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.BitOr):
                    yield inner.lineno
