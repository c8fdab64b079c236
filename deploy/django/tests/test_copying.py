"""Tests that rows of older packages are copied once each, whatever interrupts the copy."""

import collections
import datetime
import io
import signal
import sqlite3
import subprocess
import sys
import time

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import override_settings

from django_audit_logger.copying import PACKAGES
from django_audit_logger.models import GunicornLogModel, RequestLog
from django_audit_logger.utils import session_digest

from .server import PROJECT
from .stores import ALIAS, Postgres, StoreCase, both, environment
from .test_models import moment

NEW, OLD = PACKAGES
SHIFT = PACKAGES[NEW]
MANY = 4000


def tables(package, vendor):
    """Creates tables with the columns that the migrations of the packages make."""
    time, json, address, real = "timestamptz", "jsonb", "inet", "double precision"
    if vendor == "sqlite":
        time, json, address, real = "datetime", "text", "char(39)", "real"
    return f"""
        CREATE TABLE {package}_requestlog (id bigint PRIMARY KEY, timestamp {time} NOT NULL,
            method varchar(10) NOT NULL, path text NOT NULL, query_params text, headers {json} NOT NULL,
            body text, content_type varchar(100), status_code integer NOT NULL,
            response_headers {json} NOT NULL, response_body text, response_time_ms integer,
            ip_address {address}, user_id varchar(255), user_agent text, session_id varchar(255),
            extra_data {json});
        CREATE TABLE {package}_gunicornlogmodel (id bigint PRIMARY KEY, timestamp {time} NOT NULL,
            method varchar(20) NOT NULL, url text NOT NULL, host varchar(255), user_id varchar(255),
            user_ip {address}, agent text, source varchar(255), request {json}, response {json},
            headers {json}, duration {real}, code integer);"""


ROWS = """
    INSERT INTO PACKAGE_requestlog VALUES
        (1, '2024-05-06 07:08:09.123456', 'GET', '/a', '{"page": "2", "token": "hush"}',
         '"{\\"Host\\": \\"h\\", \\"Authorization\\": \\"hush\\", \\"Cookie\\": \\"hush\\"}"',
         '', NULL, 200, '{}', 'ok', 12, '203.0.113.9', '7', 'me', 'hushkey', '{"tenant": 7, "api_key": "hush"}'),
        (2, '2024-05-07 00:00:00', 'POST', '/b', 'c=d&password=hush', '{"Host": "h"}',
         '{"name": "jo", "password1": "hush"}', 'application/json; charset=utf-8', 404, '{"X": "y"}',
         '<p>no</p>', NULL, NULL, NULL, '', NULL, '{}'),
        (9, '2024-05-07 00:00:00', 'POST', '/reset/MQ/cb8f2k-0123456789abcdef0123456789abcdef/', '{}', '{}',
         'a=b&password=hush', 'application/x-www-form-urlencoded', 500, '{}', NULL, 0, NULL, NULL, NULL,
         NULL, NULL);
    INSERT INTO PACKAGE_gunicornlogmodel VALUES
        (1, '2024-05-06 07:08:09', 'GET', '/a?token=hush', 'h', 'jo', '2001:db8::1', 'me', 'http://r/?secret=hush',
         '{}', '{"headers": {"X-Api-Key": "hush"}}', '{"Cookie": "hush"}', 1234, 200),
        (2, '2024-05-06 07:08:59', 'GET', '/a', 'h', NULL, NULL, NULL, NULL, '{}', '{}', '{}', NULL, 503),
        (3, '2024-05-09 23:59:59', 'GET', '/a', 'h', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
"""


class Copying(StoreCase):
    def setUp(self):
        super().setUp()
        for package in PACKAGES:
            for name in ("requestlog", "gunicornlogmodel"):
                self.execute(f"DROP TABLE IF EXISTS {package}_{name}")

    def run_sql(self, sql):
        """Runs statements as other programs do: times are in UTC."""
        if self.vendor == "postgresql":
            Postgres.get().psql("logs", "SET TimeZone = 'UTC';" + sql)
        else:
            connections[ALIAS].close()
            database = sqlite3.connect(connections[ALIAS].settings_dict["NAME"])
            database.executescript(sql)
            database.close()

    def make(self, package, rows=ROWS):
        self.run_sql(tables(package, self.vendor) + rows.replace("PACKAGE", package))

    def copy(self, *options):
        out = io.StringIO()
        call_command("copy_audit_logs", *options, stdout=out, no_color=True)
        return out.getvalue()

    def moment(self, *parts):
        """Returns a time of the other table. In SQLite, and without USE_TZ, Django has written local times there."""
        is_local = self.vendor == "sqlite" and not settings.USE_TZ
        return datetime.datetime(*parts) if is_local else moment(*parts)

    def counts(self, unit):
        columns = "informational, successful, redirection, client_error, server_error, other, log_file"
        return self.execute(f"SELECT {columns} FROM gunicorn_{unit} ORDER BY {unit}, log_file")

    def test_each_row_is_copied_once_and_counted(self):
        self.make(NEW)
        self.insert("request_log", 5, "2024-05-06 07:08:10", path="/new")
        for attempt, copied in enumerate((3, 0)):
            said = self.copy("--batch-size=2")
            self.assertIn(f"{NEW}_requestlog: 3 rows, {copied} copied now, 3 in request_log", said)
            self.assertIn(f"{NEW}_gunicornlogmodel: 3 rows, {copied} copied now, 3 in gunicorn_log", said)
            self.assertEqual({row.id for row in RequestLog.objects.all()}, {5, *(-SHIFT - it for it in (1, 2, 9))})
            self.assertEqual({row.id for row in GunicornLogModel.objects.all()}, {-SHIFT - it for it in (1, 2, 3)})
            self.assertEqual(self.counts("minute"), [(0, 1, 0, 0, 1, 0, 0), (0, 0, 0, 0, 0, 1, 0)], attempt)
            self.assertEqual(self.counts("hour"), [(0, 1, 0, 0, 1, 0, 0), (0, 0, 0, 0, 0, 1, 0)])

    def test_values_are_those_of_the_daemons_rows(self):
        self.make(NEW)
        self.copy()
        first, second, third = RequestLog.objects.order_by("log_offset")
        self.assertEqual(first.timestamp, self.moment(2024, 5, 6, 7, 8, 9, 123456))
        self.assertEqual((first.log_file, first.log_offset), (0, 1))
        self.assertEqual(first.query_params, "page=2&token=********")
        self.assertEqual(first.headers, {"host": "h", "authorization": "********", "cookie": "********"})
        self.assertEqual((first.body, first.content_type, first.response_headers), (None, None, None))
        self.assertEqual((first.response_time_ms, first.ip_address, first.user_id), (12.0, "203.0.113.9", "7"))
        self.assertEqual(first.session_id, session_digest("hushkey"))
        self.assertEqual(first.extra_data, {"tenant": 7, "api_key": "********"})
        self.assertEqual((second.query_params, second.status_code), ("c=d&password=********", 404))
        self.assertEqual(second.body, '{"name": "jo", "password1": "********"}')
        self.assertEqual((second.response_body, second.response_headers), ("<p>no</p>", {"x": "y"}))
        self.assertEqual((second.user_agent, second.extra_data), (None, None))
        self.assertEqual((third.path, third.query_params, third.headers), ("/reset/MQ/********/", None, None))
        self.assertEqual((third.body, third.response_time_ms), ("a=b&password=********", 0.0))
        access = GunicornLogModel.objects.get(log_offset=1)
        self.assertEqual((access.url, access.source), ("/a?token=********", "http://r/?secret=********"))
        self.assertEqual((access.user_ip, access.duration, access.code), ("2001:db8::1", 1234, 200))
        self.assertEqual(access.headers, {"cookie": "********"})
        self.assertEqual((access.request, access.response), (None, {"headers": {"X-Api-Key": "********"}}))

    def test_masks_and_addresses_are_those_of_the_settings(self):
        self.make(NEW)
        values = {"DATABASE": ALIAS, "SENSITIVE_FIELDS": [], "ANONYMIZE_IP": True}
        with override_settings(AUDIT_LOGGER=values):
            self.copy()
        first = RequestLog.objects.get(log_offset=1)
        self.assertEqual((first.query_params, first.ip_address), ("page=2&token=hush", "203.0.113.0"))

    def test_rows_of_both_packages_stay_apart(self):
        self.make(OLD)
        self.copy()
        self.assertEqual({row.id for row in RequestLog.objects.all()}, {-1, -2, -9})
        self.make(NEW)
        self.assertIn(f"{OLD}_requestlog: 3 rows, 0 copied now, 3 in request_log", self.copy())
        self.assertEqual((RequestLog.objects.count(), GunicornLogModel.objects.count()), (6, 6))
        self.assertEqual(self.counts("hour"), [(0, 2, 0, 0, 2, 0, 0), (0, 0, 0, 0, 0, 2, 0)])

    def test_tables_of_another_database_are_found(self):
        with connections["default"].cursor() as cursor:
            for statement in tables(NEW, "sqlite").split(";")[:-1]:
                cursor.execute(statement)
                self.addCleanup(self.drop_default, statement.split()[2])
            for nth in range(2):
                cursor.execute(
                    f"INSERT INTO {NEW}_requestlog VALUES (%s, %s, 'GET', %s, NULL, %s, %s, NULL, 200, '{{}}',"
                    " NULL, NULL, %s, NULL, NULL, NULL, NULL)",
                    # SQLite holds what PostgreSQL cannot.
                    [nth, "2024-05-06 07:08:09", "/a\0b", '{"x": "a\\u0000b", "y": 7}', "a\0b", ("", "nowhere")[nth]],
                )
        self.assertIn("2 rows, 2 copied now, 2 in request_log", self.copy())
        for row in RequestLog.objects.all():
            self.assertEqual((row.path, row.body, row.ip_address), ("/a\ufffdb", "a\ufffdb", None))
            self.assertEqual(row.headers, {"x": "a\ufffdb", "y": "7"})
        self.assertIn("2 rows, 0 copied now", self.copy("--database=default"))

    def drop_default(self, table):
        with connections["default"].cursor() as cursor:
            cursor.execute(f"DROP TABLE {table}")

    def test_old_days_share_partitions_with_those_of_the_daemon(self):
        if self.vendor != "postgresql":
            return  # it has none
        bounds = "FOR VALUES FROM ('2019-01-01 00:00:00+00') TO ('2020-01-01 00:00:00+00')"
        for table in ("gunicorn_log", "request_log"):
            self.run_sql(f"CREATE TABLE {table}_2019 PARTITION OF {table} {bounds}")
            self.addCleanup(self.run_sql, f"DROP TABLE {table}_2019")
        self.make(NEW, ROWS.replace("2024-", "2019-"))
        self.make(OLD, ROWS.replace("2024-", "2018-"))
        self.copy()
        partitions = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^gunicorn_log_201[89]' ORDER BY 1"
        self.assertEqual(self.execute(partitions), [("gunicorn_log_201805",), ("gunicorn_log_2019",)])
        self.assertEqual((RequestLog.objects.count(), GunicornLogModel.objects.count()), (6, 6))

    def test_a_row_that_was_committed_late_is_copied_too(self):
        self.make(NEW)
        self.copy()
        self.run_sql(
            f"INSERT INTO {NEW}_gunicornlogmodel (id, timestamp, method, url, code)"
            " VALUES (0, '2024-05-06 07:08:01', 'GET', '/late', 200)"
        )
        self.assertIn("4 rows, 1 copied now, 4 in gunicorn_log", self.copy())
        self.assertEqual(self.counts("minute")[0], (0, 2, 0, 0, 1, 0, 0))

    def many(self):
        """Makes thousands of rows in each table, over two days."""
        series = f"generate_series(1, {MANY}) AS nth"
        if self.vendor == "sqlite":
            series = (
                f"(WITH RECURSIVE s(nth) AS (SELECT 1 UNION ALL SELECT nth + 1 FROM s WHERE nth < {MANY})"
                " SELECT nth FROM s)"
            )
        at = "'2024-05-06 00:00:00' + nth * interval '40 seconds'"
        at = f"timestamp {at}" if self.vendor == "postgresql" else (
            "strftime('%Y-%m-%d %H:%M:%S', '2024-05-06', (nth * 40) || ' seconds')"
        )
        empty = "'{}'"
        self.make(NEW, f"""
            INSERT INTO PACKAGE_requestlog (id, timestamp, method, path, headers, status_code, response_headers)
                SELECT nth, {at}, 'GET', '/' || nth, {empty}, 200, {empty} FROM {series};
            INSERT INTO PACKAGE_gunicornlogmodel (id, timestamp, method, url, code)
                SELECT nth, {at}, 'GET', '/' || nth, 200 + nth % 300 FROM {series};
        """)

    def start(self):
        """Starts the command as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "django", "copy_audit_logs", "--batch-size=25"],
            cwd=PROJECT, env=environment(connections[ALIAS].settings_dict), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )

    def total(self):
        return sum(self.execute(f"SELECT count(*) FROM {table}")[0][0] for table in ("request_log", "gunicorn_log"))

    def check_many(self):
        for model, field in ((RequestLog, "path"), (GunicornLogModel, "url")):
            found = sorted(model.objects.values_list("log_offset", field))
            self.assertEqual(found, [(nth, f"/{nth}") for nth in range(1, MANY + 1)])
        for unit in ("minute", "hour"):
            sums = [sum(map(int, column)) for column in zip(*self.counts(unit))]
            codes = collections.Counter((200 + nth % 300) // 100 for nth in range(1, MANY + 1))
            self.assertEqual(sums, [0, codes[2], codes[3], codes[4], 0, 0, 0])

    def test_a_killed_copy_goes_on_where_it_stopped(self):
        self.many()
        # In the first table, in the second, and between two batches of both.
        for least in (200, MANY + 200, MANY + 1500):
            process = self.start()
            deadline = time.monotonic() + 60
            while self.total() < least:
                self.assertIsNone(process.poll(), "it ended before it was killed")
                self.assertLess(time.monotonic(), deadline)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            self.assertEqual(process.returncode, -signal.SIGKILL)
            self.assertLess(self.total(), 2 * MANY)
        done = self.start()
        said = done.communicate()[0]
        self.assertEqual(done.returncode, 0, said)
        self.assertIn(f"{MANY} rows, 0 copied now, {MANY} in request_log", said)
        self.assertRegex(said, f"{MANY} rows, [0-9]+ copied now, {MANY} in gunicorn_log")
        self.check_many()

    def test_two_copies_at_once_copy_each_row_once(self):
        self.many()
        for process in [self.start(), self.start()]:
            said = process.communicate()[0]
            self.assertEqual(process.returncode, 0, said)
        self.check_many()

    def test_what_is_missing_is_named(self):
        with self.assertRaisesMessage(CommandError, f"No table to copy in {ALIAS}: expected {NEW}_requestlog"):
            self.copy(f"--database={ALIAS}")
        with self.assertRaisesMessage(CommandError, "'nowhere' is not in DATABASES"):
            self.copy("--database=nowhere")
        with self.assertRaisesMessage(CommandError, "Batch size"):
            self.copy("--batch-size=0")
        self.execute("ALTER TABLE sweep RENAME TO sweep_gone")
        try:
            with self.assertRaisesMessage(CommandError, "has no table sweep: log-ingestd makes it"):
                self.copy()
        finally:
            self.execute("ALTER TABLE sweep_gone RENAME TO sweep")

    def test_the_copied_rows_can_be_deleted_by_the_command(self):
        self.make(NEW)
        self.copy()
        call_command("cleanup_audit_logs", stdout=io.StringIO())
        self.assertEqual(self.total(), 0)


CopyingOnSQLite, CopyingOnPostgreSQL = both(Copying)
del Copying
