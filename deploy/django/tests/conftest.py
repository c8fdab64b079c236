"""pytest makes the default database for every test, as Django's runner does."""

import pytest
from django.core.management import call_command


@pytest.fixture(scope="session", autouse=True)
def _default_database(django_db_setup, django_db_blocker):
    """Also where no test says that it needs one; log tables are made by the tests themselves."""
    with django_db_blocker.unblock():
        call_command("migrate", verbosity=0)
