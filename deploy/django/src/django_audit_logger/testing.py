"""Helpers for the tests of projects that use this package."""

from __future__ import annotations

from typing import Optional

from django.db import connections, router

from .models import GunicornLogModel, RequestLog


def create_tables(using: Optional[str] = None) -> None:
    """Creates the two log tables in a test database, if they are missing: plain ones, without partitions.

    The daemon makes the real ones. ``using`` is the alias, by default that of the router. It may be
    called in ``setUpTestData``, or in a fixture.
    """
    for model in (RequestLog, GunicornLogModel):
        connection = connections[using or router.db_for_write(model)]
        if model._meta.db_table in connection.introspection.table_names():
            continue
        # Not by the editor's context: SQLite's refuses to work in the transaction of a TestCase.
        sql, parameters = connection.schema_editor().table_sql(model)
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
