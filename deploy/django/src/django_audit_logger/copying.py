"""Copies rows of other packages' tables into the daemon's, once each, in any number of attempts.

A row's new id is negative and made of its old one, so that a second attempt finds what the first has
copied. The daemon never uses negative ids, nor file 0. Rows and their counts are written in one transaction.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any, Optional
from urllib.parse import urlencode

from django.apps.registry import Apps
from django.db import connections, models, transaction
from django.db.models import Max, Min, Model
from django.utils.timezone import get_default_timezone, is_naive, make_aware

from .bodies import masked_text
from .conf import get_config
from .models import GunicornLogModel, RequestLog
from .predecessor import MODULE
from .records import json_text, plain, storable
from .utils import session_digest

# How tables of each package begin, and what is added to their ids: both may have been used.
PACKAGES = {MODULE: 1 << 38, "django_audit_logger": 0}
# PostgreSQL's advisory locks: that of the daemon for partitions, and one for copies.
_DAYS_LOCK = (0x6C696430, 1)
_COPY_LOCK = (0x6C696430, 100)
# Days with partitions of their own.
_FIRST_DAY, _LAST_DAY = date(2000, 1, 1), date(2099, 12, 31)
# Days that are older share the partition of their month.
_BY_DAY = timedelta(days=400)
# Whether a partition has a moment before the one and from the other on.
_HAS_PARTITION = """
    SELECT EXISTS (
        SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid),
                                          '^FOR VALUES FROM [(](.*)[)] TO [(](.*)[)]$') AS bounds
         WHERE i.inhparent = to_regclass(%s)
           AND CASE WHEN bounds[1] LIKE '''%%' THEN btrim(bounds[1], '''')::timestamptz
                    ELSE '-infinity' END < %s::timestamptz
           AND CASE WHEN bounds[2] LIKE '''%%' THEN btrim(bounds[2], '''')::timestamptz
                    ELSE 'infinity' END > %s::timestamptz)"""
# Milliseconds to wait for SQLite's lock.
_PATIENCE = 120_000
_CLASSES = ("informational", "successful", "redirection", "client_error", "server_error", "other")

Row = Any


def _model(package: str, name: str, **fields: models.Field[Any, Any]) -> type[Model]:
    """Returns a model of another package's table, which is in no registry of this project."""
    meta = {"app_label": "copied", "apps": Apps(), "managed": False, "db_table": f"{package}_{name}"}
    common = {
        "id": models.BigIntegerField(primary_key=True),
        "timestamp": models.DateTimeField(),
        "method": models.TextField(),
        "headers": models.JSONField(),
        "user_id": models.TextField(),
    }
    body = {"__module__": __name__, "Meta": type("Meta", (), meta), **common, **fields}
    return type(name, (models.Model,), body)


def _request(package: str) -> type[Model]:
    texts = ("path", "query_params", "body", "content_type", "response_body", "user_agent", "session_id")
    return _model(
        package,
        "requestlog",
        **{name: models.TextField() for name in texts},
        status_code=models.IntegerField(),
        response_headers=models.JSONField(),
        response_time_ms=models.FloatField(),
        ip_address=models.GenericIPAddressField(),
        extra_data=models.JSONField(),
    )


def _access(package: str) -> type[Model]:
    return _model(
        package,
        "gunicornlogmodel",
        **{name: models.TextField() for name in ("url", "host", "agent", "source")},
        **{name: models.JSONField() for name in ("request", "response")},
        user_ip=models.GenericIPAddressField(),
        duration=models.FloatField(),
        code=models.IntegerField(),
    )


class Copy:
    """Copies one table of the database ``source`` into the daemon's table in ``target``."""

    def __init__(self, package: str, target_model: type[Model], source: str, target: str) -> None:
        self.source_model = (_request if target_model is RequestLog else _access)(package)
        self.target_model = target_model
        self.source, self.target = source, target
        self.shift = PACKAGES[package]
        self.is_postgres = connections[target].vendor == "postgresql"

    @property
    def table(self) -> str:
        return str(self.source_model._meta.db_table)

    def is_present(self) -> bool:
        return self.table in connections[self.source].introspection.table_names()

    def counts(self) -> tuple[int, int]:
        """Returns the rows of the other table, and how many of them are in the daemon's."""
        rows = self.source_model._default_manager.using(self.source)
        limits = rows.aggregate(first=Min("id"), last=Max("id"), a=Min("timestamp"), b=Max("timestamp"))
        if limits["first"] is None:
            return 0, 0
        times = (limits["a"], limits["b"])
        return rows.count(), self._copies(limits["first"], limits["last"], times).count()

    def _copies(self, first: int, last: int, times: tuple[datetime, datetime]) -> models.QuerySet[Any]:
        """Returns the daemon's rows of these old ids."""
        ids = (-self.shift - last, -self.shift - first)
        rows: models.QuerySet[Any] = self.target_model._default_manager.using(self.target)
        # By time, too: PostgreSQL then looks into the partitions of these days only.
        rows = rows.filter(id__range=ids, log_file=0, timestamp__range=times).order_by()
        return rows

    def run(self, limit: int) -> Iterator[int]:
        """Copies what is missing in batches of ``limit`` rows of the other table; yields rows copied in each."""
        rows, last = self.source_model._default_manager.using(self.source).order_by("id"), None
        for alias in {self.source, self.target}:
            _be_patient(alias)
        while True:
            batch = list((rows if last is None else rows.filter(id__gt=last))[:limit])
            if not batch:
                return
            last = batch[-1].pk
            yield self._copy(batch)

    def _copy(self, batch: Sequence[Row]) -> int:
        days = {_utc(row.timestamp).date() for row in batch}
        self._make_days(days)
        with transaction.atomic(using=self.target):
            self._wait_for_other_copies()
            times = (min(row.timestamp for row in batch), max(row.timestamp for row in batch))
            copies = self._copies(batch[0].pk, batch[-1].pk, times)
            known = set(copies.values_list("log_offset", flat=True))
            missing = [row for row in batch if row.pk not in known]
            copies.bulk_create([self._copied(row) for row in missing])
            if self.target_model is GunicornLogModel:
                self._count(missing)
        return len(missing)

    def _wait_for_other_copies(self) -> None:
        with connections[self.target].cursor() as cursor:
            if self.is_postgres:
                cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", _COPY_LOCK)
            else:
                # SQLite's lock for writing, before anything is read.
                cursor.execute("DELETE FROM gunicorn_minute WHERE minute IS NULL")

    def _copied(self, row: Row) -> Model:
        values = (_request_values if self.target_model is RequestLog else _access_values)(row)
        return self.target_model(
            id=-self.shift - row.pk,
            timestamp=row.timestamp,
            log_file=0,
            log_offset=row.pk,
            method=_text(row.method),
            headers=_headers(row.headers),
            user_id=_text(row.user_id),
            **values,
        )

    def _make_days(self, days: set[date]) -> None:
        """Makes partitions, which the daemon makes only for days of its own lines."""
        if not self.is_postgres:
            return
        parent = self.target_model._meta.db_table
        with connections[self.target].cursor() as cursor:
            for day in sorted(days):
                tomorrow = day + timedelta(days=1)
                if not _FIRST_DAY <= day <= _LAST_DAY or _has_partition(cursor, parent, day, tomorrow):
                    continue
                with transaction.atomic(using=self.target):
                    cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", _DAYS_LOCK)
                    if _has_partition(cursor, parent, day, tomorrow):
                        continue
                    kind, name, first, end = "day", f"{parent}_{day:%Y%m%d}", day, tomorrow
                    month = day.replace(day=1)
                    next_month = (month + timedelta(days=31)).replace(day=1)
                    is_old = next_month <= datetime.now(timezone.utc).date() - _BY_DAY
                    if is_old and not _has_partition(cursor, parent, month, next_month):
                        kind, name, first, end = "month", f"{parent}_{day:%Y%m}", month, next_month
                    cursor.execute(f"CREATE TABLE IF NOT EXISTS {name} (LIKE {parent} INCLUDING ALL)")
                    cursor.execute(f"COMMENT ON TABLE {name} IS 'One {kind} of {parent}'")
                    cursor.execute(
                        f"ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES"
                        f" FROM ('{first} 00:00:00+00') TO ('{end} 00:00:00+00')"
                    )

    def _count(self, rows: Sequence[Row]) -> None:
        """Adds rows to the counts by minute and by hour, which charts read."""
        columns = ", ".join(_CLASSES)
        for unit, format in (("minute", "%Y-%m-%d %H:%M:00"), ("hour", "%Y-%m-%d %H:00:00")):
            counts: dict[str, Counter[str]] = {}
            for row in rows:
                moment = _utc(row.timestamp).strftime(format)
                counts.setdefault(moment, Counter())[_class(row.code)] += 1
            sums = ", ".join(f"{name} = gunicorn_{unit}.{name} + excluded.{name}" for name in _CLASSES)
            sql = (
                f"INSERT INTO gunicorn_{unit} ({unit}, log_file, {columns}, response_bytes)"
                f" VALUES (%s, 0{', %s' * len(_CLASSES)}, 0)"
                f" ON CONFLICT ({unit}, log_file) DO UPDATE SET {sums}"
            )
            with connections[self.target].cursor() as cursor:
                for moment, count in sorted(counts.items()):
                    at = f"{moment}+00" if self.is_postgres else moment
                    cursor.execute(sql, [at, *(count[name] for name in _CLASSES)])


def _be_patient(alias: str) -> None:
    """Lets SQLite wait for the daemon and for other copies: its waiters have no order."""
    if connections[alias].vendor == "sqlite":
        with connections[alias].cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {_PATIENCE}")


def _has_partition(cursor: Any, table: str, first: date, end: date) -> bool:
    cursor.execute(_HAS_PARTITION, [table, f"{end} 00:00:00+00", f"{first} 00:00:00+00"])
    return bool(cursor.fetchone()[0])


def _utc(moment: datetime) -> datetime:
    # Without USE_TZ a time of the other table is local, as Django wrote it.
    if is_naive(moment):
        moment = make_aware(moment, get_default_timezone())
    return moment.astimezone(timezone.utc)


def _class(code: Optional[int]) -> str:
    return _CLASSES[code // 100 - 1] if code is not None and 100 <= code < 600 else "other"


def _request_values(row: Row) -> dict[str, Any]:
    mask = get_config().mask
    kind = (row.content_type or "").partition(";")[0].strip().lower()
    return {
        "path": _text(row.path, mask.path),
        "query_params": _text(_query(row.query_params), mask.query),
        "body": _text(row.body, lambda text: masked_text(text, kind, mask)),
        "content_type": _text(row.content_type),
        "status_code": row.status_code,
        "response_headers": _headers(row.response_headers),
        "response_body": _text(row.response_body, lambda text: masked_text(text, "", mask)),
        "response_time_ms": row.response_time_ms,
        "ip_address": _address(row.ip_address),
        "user_agent": _text(row.user_agent, mask.tokens),
        # The other package stored the key itself.
        "session_id": _text(row.session_id, session_digest),
        "extra_data": _json(row.extra_data),
    }


def _access_values(row: Row) -> dict[str, Any]:
    mask = get_config().mask
    return {
        "url": _text(row.url, mask.url),
        "host": _text(row.host),
        "user_ip": _address(row.user_ip),
        "agent": _text(row.agent, mask.tokens),
        "source": _text(row.source, mask.url),
        "request": _json(row.request),
        "response": _json(row.response),
        "duration": None if row.duration is None else round(row.duration),
        "code": row.code,
    }


def _text(text: Optional[str], change: Callable[[str], str] = str) -> Optional[str]:
    """Returns a text as it is stored; None if it is empty."""
    return storable(change(text)) if text else None


def _query(text: Optional[str]) -> Optional[str]:
    """Returns a query as it is requested. One of the packages stored it as JSON."""
    value = _parsed(text)
    return urlencode(value, doseq=True) if isinstance(value, dict) else text


def _parsed(value: Any) -> Any:
    """Returns JSON's value, also of JSON that was encoded twice."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            pass
    return value


def _headers(value: Any) -> Any:
    value = _parsed(value)
    if not isinstance(value, dict) or not value:
        return None
    headers = ((str(name), str(text)) for name, text in value.items())
    return plain(json.loads(get_config().mask.headers(headers)))


def _json(value: Any) -> Any:
    value = _parsed(value)
    if value is None or value == {} or value == "":
        return None
    return plain(json.loads(get_config().mask.json(json_text(value))))


def _address(value: Any) -> Optional[str]:
    try:
        return get_config().addresses.storable(value)
    except ValueError:
        return None
