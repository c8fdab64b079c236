"""Tests that all modules are installed, and readable for each supported Python."""

import ast
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zipfile

import django_audit_logger

from .server import PROJECT
from .shared import MASKING, MIGRATIONS, REPOSITORY

SOURCE = PROJECT / "src"
# Those that start no Gunicorn and no daemon.
SOURCE_TESTS = [
    f"tests/test_{name}.py" for name in ("checks", "cleanup", "masking", "middleware", "models")
]


class Package(unittest.TestCase):
    def test_a_wheel_has_every_module_and_says_that_it_is_typed(self):
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(
                [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check",
                 "--no-deps", "--no-build-isolation", "--wheel-dir", directory, str(PROJECT)],
                check=True,
            )  # fmt: skip
            (wheel,) = pathlib.Path(directory).glob("log_ingestd_django-*-py3-none-any.whl")
            with zipfile.ZipFile(wheel) as file:
                everything = file.namelist()
                (metadata,) = (name for name in everything if name.endswith("/METADATA"))
                text = file.read(metadata).decode()
        names = {name for name in everything if ".dist-info/" not in name}
        self.assertTrue(any(name.endswith("/licenses/LICENSE") for name in everything), everything)
        self.assertIn("\nLicense-File: LICENSE\n", text)
        # On PyPI the module's name belongs to another package, whose version is 1.1.
        self.assertIn("\nName: log-ingestd-django\n", text)
        version = tuple(map(int, django_audit_logger.__version__.split(".")))
        self.assertGreater(version, (1, 1, 0))
        self.assertIn(f"\nVersion: {django_audit_logger.__version__}\n", text)
        files = {str(path.relative_to(SOURCE)) for path in SOURCE.glob("django_audit_logger/**/*.py")}
        others = {
            str(path.relative_to(SOURCE))
            for kind in ("templates/**/*.html", "static/**/*.css")
            for path in (SOURCE / "django_audit_logger").glob(kind)
        }
        self.assertEqual(len(others), 3)
        self.assertEqual(names, {*files, *others, "django_audit_logger/py.typed"})
        self.assertIn("django_audit_logger/management/commands/cleanup_audit_logs.py", names)

    def test_the_tests_run_from_a_source_distribution(self):
        with tempfile.TemporaryDirectory() as directory:
            build = "from setuptools import build_meta; print(build_meta.build_sdist({!r}))"
            subprocess.run(
                [sys.executable, "-c", build.format(directory)],
                cwd=PROJECT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            (archive,) = pathlib.Path(directory).glob("log_ingestd_django-*.tar.gz")
            with tarfile.open(archive) as file:
                self.assertFalse(any(member.issym() for member in file.getmembers()))
                file.extractall(directory)
            (root,) = (path for path in pathlib.Path(directory).iterdir() if path.is_dir())
            self.assertEqual((root / "LICENSE").read_text(), (REPOSITORY / "LICENSE").read_text())
            self.assertEqual((root / "tests/masking.json").read_text(), MASKING.read_text())
            copied = {path.relative_to(root / "tests/migrations") for path in root.rglob("*.sql")}
            self.assertEqual(copied, {path.relative_to(MIGRATIONS) for path in MIGRATIONS.rglob("*.sql")})
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *SOURCE_TESTS],
                cwd=root, env={**os.environ, "PYTHONPATH": str(root / "src")}, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )
            self.assertEqual(done.returncode, 0, done.stdout)

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
