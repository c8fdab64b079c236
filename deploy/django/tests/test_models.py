"""Tests the models over the daemon's tables, and the README's queries."""

import datetime
import io

from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.db.models import Max
from django.test import SimpleTestCase, override_settings
from django.utils.timezone import get_default_timezone

from django_audit_logger.models import GunicornLogModel, RequestLog
from django_audit_logger.router import AuditRouter

from .stores import ALIAS, StoreCase, both

UTC = datetime.timezone.utc


def moment(*parts):
    """Returns a time, given in UTC, as the project's settings want it: in Chicago without USE_TZ."""
    aware = datetime.datetime(*parts, tzinfo=UTC)
    return aware if settings.USE_TZ else aware.astimezone(get_default_timezone()).replace(tzinfo=None)


class Rows(StoreCase):
    def setUp(self):
        super().setUp()
        self.insert(
            "request_log", 1, "2026-11-23 08:41:00", method="GET", path="/api/a",
            headers='{"host": "h"}', status_code=200, response_headers='{"x": "y"}',
            response_time_ms=1.25, ip_address="203.0.113.9", user_id="user123",
            extra_data='{"tenant": {"id": 7}}',
        )
        self.insert("request_log", 2, "2026-11-23 08:41:00.123456", path="/b", status_code=500)
        self.insert(
            "gunicorn_log", 3, "2026-11-24 00:00:00", method="GET", url="/api/a?b=c", host="h",
            user_ip="2001:db8::1", user_id="user123", duration=1234, code=404, pid=7,
            response_bytes=12, protocol="HTTP/1.1", headers='{"accept": "*/*"}',
            request='{"environ": {"a": "b"}}', response='{"headers": {"c": "d"}}',
        )

    def test_every_query_of_the_readme(self):
        def ids(queryset):
            return [row.id for row in queryset]

        self.assertEqual(ids(RequestLog.objects.all()), [2, 1])
        self.assertEqual(ids(RequestLog.objects.filter(path__startswith="/api/")), [1])
        self.assertEqual(ids(RequestLog.objects.filter(status_code__gte=400)), [2])
        self.assertEqual(ids(RequestLog.objects.filter(user_id="user123")), [1])
        self.assertEqual(ids(GunicornLogModel.objects.all()), [3])
        self.assertEqual(ids(GunicornLogModel.objects.filter(url__startswith="/api/")), [3])
        self.assertEqual(ids(GunicornLogModel.objects.filter(code__gte=400)), [3])
        self.assertEqual(ids(GunicornLogModel.objects.filter(user_id="user123")), [3])

    def test_each_column_is_read_with_its_type(self):
        row = RequestLog.objects.get(id=1)
        self.assertEqual(row.timestamp, moment(2026, 11, 23, 8, 41))
        self.assertEqual(row.headers, {"host": "h"})
        self.assertEqual(row.extra_data, {"tenant": {"id": 7}})
        self.assertEqual((row.response_time_ms, row.ip_address), (1.25, "203.0.113.9"))
        self.assertEqual((row.log_file, row.log_offset, row.body), (1, 1, None))
        logged = "08:41:00" if settings.USE_TZ else "02:41:00"
        self.assertEqual(str(row), f"GET /api/a - 200 (2026-11-23 {logged})")
        row = GunicornLogModel.objects.get(id=3)
        self.assertEqual((row.user_ip, row.duration, row.pid), ("2001:db8::1", 1234, 7))
        self.assertEqual(row.response, {"headers": {"c": "d"}})
        self.assertEqual(RequestLog.objects.get(id=2).timestamp.microsecond, 123456)

    def test_times_addresses_and_json_can_be_asked_for(self):
        after = moment(2026, 11, 23, 8, 41, 0, 1)
        self.assertEqual(RequestLog.objects.get(timestamp__gte=after).id, 2)
        aware = datetime.datetime(2026, 11, 23, 8, 41, 0, 1, tzinfo=UTC)
        self.assertEqual(RequestLog.objects.get(timestamp__gte=aware).id, 2)
        times = (moment(2026, 11, 23, 8, 41), moment(2026, 11, 23, 8, 41, 0, 123456))
        self.assertEqual(RequestLog.objects.filter(timestamp__range=times).count(), 2)
        self.assertEqual(RequestLog.objects.get(timestamp=times[0]).id, 1)
        latest = RequestLog.objects.aggregate(latest=Max("timestamp"))["latest"]
        self.assertEqual(latest, times[1])
        self.assertEqual(RequestLog.objects.get(ip_address="203.0.113.9").id, 1)
        self.assertEqual(RequestLog.objects.get(extra_data__tenant__id=7).id, 1)
        self.assertEqual(GunicornLogModel.objects.get(headers__accept="*/*").id, 3)

    def test_every_column_of_the_table_is_a_field(self):
        for model in (RequestLog, GunicornLogModel):
            with self.subTest(model), connections[ALIAS].cursor() as it:
                it.execute(f"SELECT * FROM {model._meta.db_table} LIMIT 0")
                columns = {column[0] for column in it.description}
            self.assertEqual({field.column for field in model._meta.fields}, columns)


RowsOnSQLite, RowsOnPostgreSQL = both(Rows)
del Rows


class Router(SimpleTestCase):
    def test_without_a_database_everything_is_as_it_was(self):
        router = AuditRouter()
        with override_settings(AUDIT_LOGGER={}):
            self.assertIsNone(router.db_for_read(RequestLog))
            self.assertIsNone(router.allow_migrate("default", "auth"))
            self.assertIs(router.allow_migrate("default", "django_audit_logger"), False)

    def test_a_database_of_its_own_gets_the_models_and_no_migration(self):
        router = AuditRouter()
        with override_settings(AUDIT_LOGGER={"DATABASE": "logs"}):
            self.assertEqual(router.db_for_read(RequestLog), "logs")
            self.assertEqual(router.db_for_write(GunicornLogModel), "logs")
            self.assertIs(router.allow_migrate("logs", "auth"), False)
            self.assertIsNone(router.allow_migrate("default", "auth"))

    def test_no_migration_is_wanted(self):
        out = io.StringIO()
        call_command("makemigrations", "--check", "--dry-run", stdout=out)
        self.assertIn("No changes detected", out.getvalue())

    databases = {"default"}
