"""Deletes old rows in small batches.

The daemon's own sweep does the same, and drops whole days. This one is for users of the command.
Counts by minute and hour stay: the daemon deletes them after their own, longer retention.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from django.db import connections, transaction
from django.db.models import Model

# PostgreSQL's advisory lock for sweeps of this database; the daemon takes the same.
_SWEEP_LOCK = (0x6C696430, 3)


def missing_tables(alias: str, models: Iterable[type[Model]]) -> str:
    """Returns what to do if the database does not have these tables; an empty text if it has them."""
    present = set(connections[alias].introspection.table_names())
    wanted = [*(model._meta.db_table for model in models), "sweep"]
    missing = ", ".join(name for name in wanted if name not in present)
    return missing and (
        f"The database {alias!r} has no table {missing}: log-ingestd makes it at its first start. Start it "
        "with this database, or name the one that it uses in AUDIT_LOGGER['DATABASE']"
    )


class Busy(Exception):
    """Another sweep, by the daemon or by this command, is running."""


class Sweep:
    """Deletes rows of the daemon's tables that are older than ``cutoff``."""

    def __init__(self, alias: str, cutoff: datetime) -> None:
        self.connection = connections[alias]
        self.alias = alias
        self.cutoff = cutoff
        self.began = datetime.now(timezone.utc)
        self.is_postgres = self.connection.vendor == "postgresql"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Raises Busy during another sweep. On SQLite each batch takes the lock of the file."""
        if self.is_postgres and not self._one("SELECT pg_try_advisory_lock(%s, %s)", *_SWEEP_LOCK):
            raise Busy
        try:
            yield
        finally:
            if self.is_postgres:
                self._one("SELECT pg_advisory_unlock(%s, %s)", *_SWEEP_LOCK)

    def batch(self, model: type[Model], limit: int) -> int:
        """Deletes up to ``limit`` of the oldest rows (SQLite) or of one day; returns 0 if none is left."""
        table = model._meta.db_table
        with transaction.atomic(using=self.alias):
            delete = self._delete_postgres if self.is_postgres else self._delete_sqlite
            return delete(table, limit)

    def record(self, removed: dict[type[Model], int]) -> None:
        """Adds a row to ``sweep``, which tells ``log-ingestd verify`` that rows may be missing."""
        counts = {model._meta.db_table: count for model, count in removed.items()}
        self._execute(
            # The daemon's next sweep stays planned.
            "INSERT INTO sweep (host, started_at, finished_at, cutoff, next_at, gunicorn_removed,"
            " request_removed, rejected_removed) VALUES (%s, %s, %s, %s, (SELECT next_at FROM sweep"
            " ORDER BY finished_at DESC, id DESC LIMIT 1), %s, %s, 0)",
            socket.gethostname(),
            self._time(self.began),
            self._time(datetime.now(timezone.utc)),
            self._time(self.cutoff),
            counts.get("gunicorn_log", 0),
            counts.get("request_log", 0),
        )

    def _delete_postgres(self, table: str, limit: int) -> int:
        # ctid is the row's position in its partition. It is found faster than the id.
        old = f"SELECT tableoid::regclass::text FROM {table} WHERE timestamp < %s LIMIT 1"
        partition = self._one(old, self.cutoff)
        if partition is None:
            return 0
        return self._change(
            f"DELETE FROM {partition} WHERE ctid = ANY (ARRAY("
            f" SELECT ctid FROM {partition} WHERE timestamp < %s LIMIT %s))",
            self.cutoff,
            limit,
        )

    def _delete_sqlite(self, table: str, limit: int) -> int:
        old = f"SELECT id FROM {table} WHERE timestamp < %s ORDER BY timestamp, id LIMIT %s"
        return self._change(
            f"DELETE FROM {table} WHERE id IN ({old})", self._time(self.cutoff), limit
        )

    def _time(self, moment: datetime) -> Any:
        if self.is_postgres:
            return moment
        # The daemon's format: UTC, with a fraction only if it is not 0.
        return str(moment.astimezone(timezone.utc).replace(tzinfo=None))

    def _execute(self, sql: str, *values: Any) -> list[Any]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall()) if cursor.description else []

    def _change(self, sql: str, *values: Any) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            return int(cursor.rowcount)

    def _one(self, sql: str, *values: Any) -> Any:
        rows = self._execute(sql, *values)
        return rows[0][0] if rows else None
