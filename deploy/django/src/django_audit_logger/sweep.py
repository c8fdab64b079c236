"""Old rows leave in small batches, and ``gunicorn_minute`` stays their exact count.

The daemon's own sweep does the same (and drops whole days); this is for those who know the
command. What is counted leaves the counts in the transaction that deletes.
"""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Optional

from django.db import connections, transaction
from django.db.models import Model

from .models import GunicornLogModel

CLASSES = ("informational", "successful", "redirection", "client_error", "server_error")
COUNTED = "timestamp, log_file, code, response_bytes"
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
            rows = delete(table, limit)
            if model is GunicornLogModel:
                self._uncount(rows)
        return len(rows)

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

    def _delete_postgres(self, table: str, limit: int) -> list[Any]:
        # A row's place is found faster than its id, and names it within its partition.
        old = f"SELECT tableoid::regclass::text FROM {table} WHERE timestamp < %s LIMIT 1"
        partition = self._one(old, self.cutoff)
        if partition is None:
            return []
        return self._execute(
            f"DELETE FROM {partition} WHERE ctid = ANY (ARRAY("
            f" SELECT ctid FROM {partition} WHERE timestamp < %s LIMIT %s))"
            f" RETURNING {self._columns(table)}",
            self.cutoff,
            limit,
        )

    def _delete_sqlite(self, table: str, limit: int) -> list[Any]:
        # Takes the lock to write first, since what was read without it may be old by then.
        self._execute("UPDATE gunicorn_minute SET other = other WHERE 0 = 1")
        old = f"FROM {table} WHERE timestamp < %s ORDER BY timestamp, id LIMIT %s"
        cutoff = self._time(self.cutoff)
        rows = self._execute(f"SELECT {self._columns(table)} {old}", cutoff, limit)
        self._execute(f"DELETE FROM {table} WHERE id IN (SELECT id {old})", cutoff, limit)
        return rows

    @staticmethod
    def _columns(table: str) -> str:
        return COUNTED if table == GunicornLogModel._meta.db_table else "id"

    def _uncount(self, rows: list[Any]) -> None:
        minutes: dict[tuple[Any, int], list[int]] = defaultdict(lambda: [0] * 7)
        for timestamp, log_file, code, response_bytes in rows:
            counts = minutes[_minute(timestamp), log_file]
            counts[_class(code)] += 1
            counts[6] += response_bytes or 0
        least = "greatest" if self.is_postgres else "max"
        columns = ", ".join(f"{name} = {name} - %s" for name in (*CLASSES, "other"))
        empty = " AND ".join(f"{name} <= 0" for name in (*CLASSES, "other"))
        # In one order, so that two who count do not wait for each other.
        for minute, counts in sorted(minutes.items()):
            self._execute(
                f"UPDATE gunicorn_minute SET {columns}, response_bytes = {least}(0, response_bytes"
                " - %s) WHERE minute = %s AND log_file = %s",
                *counts,
                *minute,
            )
            where = f"minute = %s AND log_file = %s AND {empty}"
            self._execute(f"DELETE FROM gunicorn_minute WHERE {where}", *minute)

    def _time(self, moment: datetime) -> Any:
        if self.is_postgres:
            return moment
        # As the daemon writes it: UTC, with a fraction only if there is one.
        return str(moment.astimezone(timezone.utc).replace(tzinfo=None))

    def _execute(self, sql: str, *values: Any) -> list[Any]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall()) if cursor.description else []

    def _one(self, sql: str, *values: Any) -> Any:
        rows = self._execute(sql, *values)
        return rows[0][0] if rows else None


def _class(code: Optional[int]) -> int:
    return code // 100 - 1 if code is not None and 100 <= code < 600 else 5


def _minute(timestamp: Any) -> Any:
    if isinstance(timestamp, datetime):
        return timestamp.astimezone(timezone.utc).replace(second=0, microsecond=0)
    return f"{timestamp[:16]}:00"
