"""Gives a source distribution what its tests share with the daemon's. The rest is in pyproject.toml."""

import pathlib
import shutil

from setuptools import setup
from setuptools.command.sdist import sdist

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


class Sdist(sdist):
    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        tests = pathlib.Path(base_dir, "tests")
        # Missing if this is a source distribution: then the copies are among its files.
        if (REPOSITORY / "migrations").is_dir():
            shutil.copytree(REPOSITORY / "migrations", tests / "migrations", dirs_exist_ok=True)
            shutil.copy(REPOSITORY / "fixtures/masking/cases.json", tests / "masking.json")


setup(cmdclass={"sdist": Sdist})
