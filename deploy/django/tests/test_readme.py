"""Tests that the README is right."""

import io
import pathlib
import re
import sqlite3

from django.core.management import call_command
from django.db import connections
from django.test import SimpleTestCase

from django_audit_logger.conf import defaults
from django_audit_logger.models import GunicornLogModel, RequestLog

from .stores import ALIAS, Postgres, StoreCase, both

README = (pathlib.Path(__file__).resolve().parents[1] / "README.md").read_text()

OLD_ROWS = """
INSERT INTO django_audit_logger_requestlog VALUES
    (1, '2024-05-06 07:08:09.123456', 'GET', '/a', 'b=c', '{"host": "h"}', NULL, NULL, 200, '{}',
     'ok', 12, '203.0.113.9', 'jo', 'me', 'key', '{}'),
    (2, '2024-05-07 00:00:00', 'GET', '/b', NULL, '"{\\"host\\": \\"h\\"}"', NULL, NULL, 404, '{}',
     NULL, NULL, NULL, NULL, NULL, NULL, '{}');
INSERT INTO django_audit_logger_gunicornlogmodel VALUES
    (1, '2024-05-06 07:08:09', 'GET', '/a', 'h', 'jo', '203.0.113.9', 'me', NULL, '{}', '{}', '{}', 1234, 200),
    (2, '2024-05-06 07:08:59', 'GET', '/a', 'h', NULL, NULL, NULL, NULL, '{}', '{}', '{}', NULL, 503),
    (3, '2024-05-09 23:59:59', 'GET', '/a', 'h', NULL, NULL, NULL, NULL, '{}', '{}', '{}', NULL, NULL);
"""


def old_tables(vendor):
    """Creates tables as the migrations of the older package do."""
    time, json, address = ("timestamptz", "jsonb", "inet")
    if vendor == "sqlite":
        time, json, address = ("datetime", "text", "char(39)")
    return f"""
        CREATE TABLE django_audit_logger_requestlog (id integer PRIMARY KEY, timestamp {time},
            method varchar(10), path text, query_params text, headers {json}, body text,
            content_type varchar(100), status_code integer, response_headers {json},
            response_body text, response_time_ms integer, ip_address {address},
            user_id varchar(255), user_agent text, session_id varchar(255), extra_data {json});
        CREATE TABLE django_audit_logger_gunicornlogmodel (id integer PRIMARY KEY, timestamp {time},
            method varchar(20), url text, host varchar(255), user_id varchar(255),
            user_ip {address}, agent text, source text, request {json}, response {json},
            headers {json}, duration integer, code integer);"""


class OldRows(StoreCase):
    def run_sql(self, sql):
        if self.vendor == "postgresql":
            Postgres.get().psql("logs", "SET TimeZone = 'UTC';" + sql)
        else:
            database = sqlite3.connect(connections[ALIAS].settings_dict["NAME"])
            database.executescript(sql)
            database.close()

    def test_the_sql_copies_them_once_and_counts_them(self):
        name = "PostgreSQL" if self.vendor == "postgresql" else "SQLite"
        copy = re.search(rf"^{name}:\n\n```sql\n(.*?)```", README, re.DOTALL | re.MULTILINE).group(1)
        self.run_sql(old_tables(self.vendor) + OLD_ROWS)
        self.insert("request_log", 5, "2024-05-06 07:08:10", path="/new")
        for _ in range(2):
            self.run_sql(copy)
            self.assertEqual([row.id for row in RequestLog.objects.all()], [-2, 5, -1])
            self.assertEqual([row.id for row in GunicornLogModel.objects.all()], [-3, -2, -1])
        row = RequestLog.objects.get(id=-1)
        self.assertEqual((row.timestamp.microsecond, row.log_file, row.log_offset), (123456, 0, 1))
        self.assertEqual((row.headers, row.response_time_ms), ({"host": "h"}, 12.0))
        self.assertEqual(RequestLog.objects.get(id=-2).headers, {"host": "h"})
        self.assertEqual(GunicornLogModel.objects.get(duration=1234).user_ip, "203.0.113.9")
        minutes = self.execute(
            "SELECT successful, server_error, other, log_file FROM gunicorn_minute ORDER BY minute"
        )
        self.assertEqual([tuple(map(int, row)) for row in minutes], [(1, 1, 0, 0), (0, 0, 1, 0)])
        hours = self.execute("SELECT successful, server_error, other FROM gunicorn_hour ORDER BY hour")
        self.assertEqual([tuple(map(int, row)) for row in hours], [(1, 1, 0), (0, 0, 1)])
        # The command can delete the copied rows.
        call_command("cleanup_audit_logs", stdout=io.StringIO())
        for table in ("request_log", "gunicorn_log"):
            self.assertEqual(self.execute(f"SELECT count(*) FROM {table}"), [(0,)])


OldRowsOnSQLite, OldRowsOnPostgreSQL = both(OldRows)
del OldRows


class Words(SimpleTestCase):
    def test_every_setting_is_documented(self):
        table = README.partition("| `AUDIT_LOGGER[…]`")[2].partition("\n\n")[0]
        self.assertEqual(re.findall(r"^\| `(\w+)`", table, re.MULTILINE), list(defaults()))

    def test_every_variable_of_the_configuration_is_documented(self):
        source = pathlib.Path(__file__).resolve().parents[1] / "src/django_audit_logger"
        text = "".join(path.read_text() for path in source.glob("*.py"))
        used = set(re.findall(r'environ\.get\(\s*"(GUNICORN_\w+)"|_number\("(\w+)"', text))
        told = re.findall(r"^\| `(GUNICORN_\w+)`", README, re.MULTILINE)
        self.assertEqual({a or b for a, b in used}, set(told))
