"""Old rows leave in small batches.

The daemon's own sweep does the same (and drops whole days); this is for those who know the
command. Counts by minute and hour stay: they have a longer retention, which the daemon keeps.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from django.db import connections, transaction
from django.db.models import Model

# PostgreSQL's advisory lock of all who sweep this database; the daemon takes the same.
_SWEEP_LOCK = (0x6C696430, 3)


class Busy(Exception):
    """Another sweep, the daemon's or one like this, is under way."""


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
        """Raises Busy while somebody else sweeps. On SQLite each batch has the lock of the file."""
        if self.is_postgres and not self._one("SELECT pg_try_advisory_lock(%s, %s)", *_SWEEP_LOCK):
            raise Busy
        try:
            yield
        finally:
            if self.is_postgres:
                self._one("SELECT pg_advisory_unlock(%s, %s)", *_SWEEP_LOCK)

    def batch(self, model: type[Model], limit: int) -> int:
        """Deletes ``limit`` rows at most, the oldest of SQLite's or of one day; 0 if none is left."""
        table = model._meta.db_table
        with transaction.atomic(using=self.alias):
            delete = self._delete_postgres if self.is_postgres else self._delete_sqlite
            return delete(table, limit)

    def record(self, removed: dict[type[Model], int]) -> None:
        """Leaves a row in ``sweep``, by which ``log-ingestd verify`` knows that rows may be gone."""
        counts = {model._meta.db_table: count for model, count in removed.items()}
        self._execute(
            "INSERT INTO sweep (host, started_at, finished_at, cutoff, gunicorn_removed,"
            " request_removed, rejected_removed) VALUES (%s, %s, %s, %s, %s, %s, 0)",
            socket.gethostname(),
            self._time(self.began),
            self._time(datetime.now(timezone.utc)),
            self._time(self.cutoff),
            counts.get("gunicorn_log", 0),
            counts.get("request_log", 0),
        )

    def _delete_postgres(self, table: str, limit: int) -> int:
        # A row's place is found faster than its id, and names it within its partition.
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
        # As the daemon writes it: UTC, with a fraction only if there is one.
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
