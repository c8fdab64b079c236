"""Finds what the tests share with the daemon's: files of the repository, of which a source distribution has copies."""

import pathlib

TESTS = pathlib.Path(__file__).parent
REPOSITORY = TESTS.parents[2]


def _path(name, in_repository):
    copy = TESTS / name
    return copy if copy.exists() else REPOSITORY / in_repository


MIGRATIONS = _path("migrations", "migrations")
MASKING = _path("masking.json", "fixtures/masking/cases.json")
