"""Lets pytest create the default database for every test, as Django's runner does."""

import pytest
from django.core.management import call_command


@pytest.fixture(scope="session", autouse=True)
def _default_database(django_db_setup, django_db_blocker):
    """Creates it also if no test requires one; the tests create the log tables themselves."""
    with django_db_blocker.unblock():
        call_command("migrate", verbosity=0)
