"""Tests the command on the daemon's tables."""

import datetime
import io
import random

from django.core.management import CommandError, call_command
from django.db import connections

from .stores import ALIAS, StoreCase, both

NOW = datetime.datetime.now(datetime.timezone.utc)


def ago(days, **more):
    return (NOW - datetime.timedelta(days=days, **more)).strftime("%Y-%m-%d %H:%M:%S")


class Cleanup(StoreCase):
    def setUp(self):
        super().setUp()
        dice = random.Random(7)
        for nth in range(40):
            age = (100, 99, 50, 1)[nth % 4]
            code = dice.choice([None, 101, 200, 204, 302, 404, 500, 503, 700])
            self.insert("request_log", nth, ago(age, seconds=nth), path="/x")
            self.insert(
                "gunicorn_log", nth, ago(age, seconds=5 * nth), code=code, log_file=1 + nth % 3,
                response_bytes=dice.choice([None, 10, 2000]),
            )
        self.execute(
            "INSERT INTO gunicorn_minute (minute, log_file, informational, successful, redirection,"
            " client_error, server_error, other, response_bytes) VALUES (%s, 1, 0, 9, 0, 0, 0, 0, 7)",
            ago(100),
        )

    def count(self, table):
        return self.execute(f"SELECT count(*) FROM {table}")[0][0]

    def run_command(self, *options):
        out = io.StringIO()
        call_command("cleanup_audit_logs", *options, stdout=out, no_color=True)
        return out.getvalue()

    def test_rows_older_than_90_days_are_deleted_and_their_counts_stay(self):
        text = self.run_command()
        self.assertEqual((self.count("request_log"), self.count("gunicorn_log")), (20, 20))
        self.assertIn("Deleting 20 request logs older than ", text)
        self.assertIn("Successfully deleted 20 gunicorn logs", text)
        self.assertIn("No request logs found older than ", self.run_command())
        self.assertEqual(self.count("gunicorn_minute"), 1)

    def test_small_batches_do_the_same(self):
        text = self.run_command("--days=30", "--batch-size=7")
        self.assertIn("Deleted batch of 7 gunicorn logs (7/30)", text)
        self.assertEqual(self.count("gunicorn_log"), 10)

    def test_a_dry_run_deletes_nothing(self):
        text = self.run_command("--dry-run", "--days=30")
        self.assertIn("DRY RUN: Would delete 30 request logs older than ", text)
        self.assertEqual((self.count("request_log"), self.count("sweep")), (40, 0))

    def test_one_type_leaves_the_other(self):
        self.run_command("--log-type=request")
        self.assertEqual((self.count("request_log"), self.count("gunicorn_log")), (20, 40))
        self.run_command("--log-type=gunicorn")
        self.assertEqual(self.count("gunicorn_log"), 20)

    def test_the_sweep_is_recorded_for_verify(self):
        self.run_command("--days=30")
        ((gunicorn, request, rejected, cutoff),) = self.execute(
            "SELECT gunicorn_removed, request_removed, rejected_removed, cutoff FROM sweep"
        )
        self.assertEqual((gunicorn, request, rejected), (30, 30, 0))
        if not isinstance(cutoff, datetime.datetime):
            cutoff = datetime.datetime.fromisoformat(f"{cutoff}+00:00")
        # Without USE_TZ, Django gives local times.
        age = NOW - cutoff.astimezone(datetime.timezone.utc)
        self.assertAlmostEqual(age / datetime.timedelta(days=1), 30, delta=0.1)

    def test_the_daemons_next_sweep_stays_planned(self):
        self.run_command("--days=95")
        self.execute("UPDATE sweep SET next_at = %s", ago(-1))
        planned = self.execute("SELECT next_at FROM sweep")
        self.run_command("--days=30")
        self.assertEqual(self.execute("SELECT next_at FROM sweep ORDER BY id"), planned * 2)

    def test_without_tables_the_command_says_what_to_do(self):
        self.execute("ALTER TABLE request_log RENAME TO request_log_gone")
        try:
            for options in ((), ("--dry-run",), ("--log-type=request",)):
                with self.assertRaisesMessage(CommandError, "has no table request_log: log-ingestd makes it"):
                    self.run_command(*options)
            self.run_command("--log-type=gunicorn")
        finally:
            self.execute("ALTER TABLE request_log_gone RENAME TO request_log")

    def test_wrong_numbers_are_refused(self):
        for option in ("--days=0", "--days=-1", "--batch-size=0", "--days=999999999"):
            with self.assertRaises(CommandError):
                self.run_command(option)

    def test_a_running_sweep_is_not_disturbed(self):
        if self.vendor != "postgresql":
            self.skipTest("SQLite's lock is that of the file, for each batch")
        other = connections[ALIAS].copy()
        self.addCleanup(other.close)
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(1818846256, 3)")
            with self.assertRaisesMessage(CommandError, "Another sweep"):
                self.run_command()
            # The server frees a closed session's lock only some time later.
            cursor.execute("SELECT pg_advisory_unlock(1818846256, 3)")
        self.assertEqual(self.count("gunicorn_log"), 40)


CleanupOnSQLite, CleanupOnPostgreSQL = both(Cleanup)
del Cleanup
