"""Tests ``manage.py log_ingestd``, which becomes the real daemon, and the check that asks for its rows."""

import datetime
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import types
from unittest import mock

from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import SimpleTestCase, override_settings

from django_audit_logger import daemon
from django_audit_logger.checks import check_daemon
from django_audit_logger.models import GunicornLogModel, RequestLog

from . import daemon as daemons
from .server import PROJECT
from .stores import ALIAS, Postgres, StoreCase, both
from .stores import environment as project

PASSWORD = "pass word/?#@'%"
USER = "needs_a_password"
MODULE = "import os, sys\nos.execv({program!r}, [{program!r}, *sys.argv[1:]])\n"


def line(log, **values):
    moment = datetime.datetime.now(datetime.timezone.utc).isoformat()
    return json.dumps({"log": log, "timestamp": moment, "method": "GET", **values}) + "\n"


class Start(daemons.DaemonCase):
    def start(self, command, variables):
        """Starts it by manage.py, with the program on PATH, and with a password for PostgreSQL."""
        self.settings = connections[ALIAS].settings_dict
        if self.vendor == "postgresql":
            Postgres.get().make_user(USER, PASSWORD)
            before = {key: self.settings[key] for key in ("USER", "PASSWORD")}
            self.settings.update(USER=USER, PASSWORD=PASSWORD)
            self.addCleanup(self.settings.update, before)
        self.bin = self.directory / "bin"
        self.bin.mkdir()
        (self.bin / "log-ingestd").symlink_to(daemons.PROGRAM)
        # A rotated file is read, too, and a name with the special characters of a pattern.
        self.logs = self.directory / "lo[g]s {a,b}"
        self.logs.mkdir()
        (self.logs / "requests.log.1").write_text(line("request", path="/rotated"))
        self.variables = {
            **project(self.settings), "GUNICORN_LOG_DIR": str(self.logs),
            "TEST_LOG_FILE": str(self.logs / "requests.log"), "PATH": f"{self.bin}:{os.environ['PATH']}",
        }
        self.variables.pop("LOG_INGESTD_PROGRAM")
        self.manage = [sys.executable, "-m", "django", "log_ingestd"]
        super().start([*self.manage, "--", "--listen", "off", "--host", "tests"], self.variables)

    def test_it_stores_both_logs_in_the_database_of_the_settings(self):
        (self.logs / "requests.log").write_text(line("request", path="/a"))
        (self.logs / "access.log").write_text(line("gunicorn", url="/a"))
        (self.logs / "another.log").write_text(line("gunicorn", url="/of/another"))
        self.wait_for(2, RequestLog.objects.all())
        self.wait_for(1, GunicornLogModel.objects.filter(url="/a"))
        with open(self.logs / "requests.log", "a") as file:
            file.write(line("request", path="/b"))
        self.wait_for(3, RequestLog.objects.all())
        paths = set(RequestLog.objects.values_list("path", flat=True))
        self.assertEqual(paths, {"/a", "/b", "/rotated"})
        self.assertEqual(GunicornLogModel.objects.count(), 1)
        # The process is the daemon now, and no argument of it has a password.
        process = pathlib.Path(f"/proc/{self.daemon.pid}")
        command = process.joinpath("cmdline").read_bytes().split(b"\0")
        self.assertEqual(command[0].decode(), str(self.bin / "log-ingestd"))
        for part in (b"pass", b"needs_a", b"sqlite:", b"postgres:"):
            self.assertFalse([word for word in command if part in word], part)
        # Other commands of the program have the same database.
        done = subprocess.run(
            [*self.manage, "--", "status", "--host", "tests", "--json"],
            env=self.variables, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True,
        )
        names = {pathlib.Path(file["path"]).name for file in json.loads(done.stdout)["files"]}
        self.assertEqual(names, {"requests.log", "requests.log.1", "access.log"})
        # A supervisor's signal reaches it.
        self.daemon.send_signal(signal.SIGTERM)
        self.assertEqual(self.daemon.wait(20), 0)
        self.assertIn("everything that was read is stored", (self.directory / "daemon.txt").read_text())

    def test_a_module_is_run_where_the_program_is_not_on_path(self):
        package = self.directory / "modules/log_ingestd"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "__main__.py").write_text(MODULE.format(program=daemons.PROGRAM))
        variables = {**self.variables, "PATH": "/nowhere", "PYTHONPATH": str(package.parent)}
        done = subprocess.run(
            [*self.manage, "--", "--version"],
            env=variables, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("\nlog-ingestd ", done.stdout)


StartOnSQLite, StartOnPostgreSQL = both(Start)
del Start


class Refusals(SimpleTestCase):
    databases = {"default"}

    def refused(self, function, *arguments):
        with self.assertRaises(daemon.Unusable) as caught:
            function(*arguments)
        return str(caught.exception)

    def test_a_missing_program_is_told_with_how_to_install_it(self):
        with tempfile.TemporaryDirectory() as directory, mock.patch.dict(os.environ, PATH=directory):
            self.assertIn("cargo install --profile dist", self.refused(daemon.program))
            path = f"{directory}/logs.sqlite3"
            log = {"LOG_FILE": f"{directory}/requests.log"}
            with mock.patch.dict(connections["default"].settings_dict, NAME=path), override_settings(AUDIT_LOGGER=log):
                with self.assertRaisesMessage(CommandError, "log-ingestd is not installed: it is neither on PATH"):
                    call_command("log_ingestd", stdout=io.StringIO())

    def test_databases_that_the_daemon_does_not_have(self):
        def connection(vendor, **settings):
            return types.SimpleNamespace(vendor=vendor, display_name=vendor, settings_dict=settings)

        for given, words in (
            (connection("mysql", NAME="x"), "cannot be in mysql: log-ingestd stores in PostgreSQL and SQLite"),
            (connection("sqlite", NAME=":memory:"), "is not a file"),
            (connections["default"], "is not a file"),
            (connection("postgresql", OPTIONS={"service": "x"}), "instead of OPTIONS['service']"),
        ):
            self.assertIn(words, self.refused(daemon.environment, given, {}))

    def test_parts_of_the_settings_become_parts_of_the_url(self):
        def url(**settings):
            it = types.SimpleNamespace(vendor="postgresql", settings_dict=settings)
            variables = daemon.environment(it, {"PGPASSWORD": "before", "HOME": "/h"})
            self.assertEqual(variables.pop("HOME"), "/h")
            return variables

        self.assertEqual(
            url(NAME="a/b", USER="jo doe", PASSWORD="p@ss", HOST="db.example", PORT=5433, OPTIONS={
                "sslmode": "verify-full", "sslrootcert": "/c a", "isolation_level": 3, "passfile": "/p",
            }),
            {
                "DATABASE_URL": "postgres://?sslmode=verify-full&sslrootcert=%2Fc%20a&user=jo%20doe"
                "&host=db.example&port=5433&dbname=a%2Fb", "PGPASSWORD": "p@ss", "PGPASSFILE": "/p",
            },
        )
        self.assertEqual(
            url(NAME="logs", USER="", HOST=""), {"DATABASE_URL": "postgres://?dbname=logs", "PGPASSWORD": "before"}
        )
        with override_settings(AUDIT_LOGGER={"SENSITIVE_FIELDS": ["pet", "badge"], "MASKING": "exact"}):
            variables = url(NAME="logs")
            self.assertEqual(variables["LOG_INGESTD_SENSITIVE_FIELDS"], "pet,badge")
            self.assertEqual(variables["LOG_INGESTD_MASKING"], "exact")

    def test_a_directory_is_made_or_refused(self):
        with tempfile.TemporaryDirectory() as directory, mock.patch.dict(os.environ, GUNICORN_LOG_DIR="/nowhere"):
            with override_settings(AUDIT_LOGGER={"LOG_FILE": f"{directory}/new/deep/r.log"}):
                # Gunicorn's directory is not there, and nothing of it is watched.
                self.assertEqual(daemon.watched(), [f"{directory}/new/deep/r.log*"])
            with override_settings(AUDIT_LOGGER={"LOG_FILE": "/proc/nowhere/r.log"}):
                self.assertIn("/proc/nowhere, is missing and cannot be made", self.refused(daemon.watched))


class Silence(StoreCase):
    def setUp(self):
        super().setUp()
        self.execute("DELETE FROM log_file")
        self.addCleanup(self.execute, "DELETE FROM log_file")

    def stored(self, **age):
        moment = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(**age)
        moment = moment if self.vendor == "postgresql" else str(moment.replace(tzinfo=None))
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
        self.execute(
            "INSERT INTO log_file (host, path, format, first_seen_at, committed_at)"
            " VALUES ('h', '/a', 'json', %s, %s)", f"{now}+00" if self.vendor == "postgresql" else now, moment,
        )

    def told(self):
        with override_settings(AUDIT_LOGGER={"DATABASE": ALIAS}):
            return "".join(f"{it.id} {it.msg}" for it in check_daemon())

    def test_an_hour_without_a_row_is_a_warning(self):
        self.assertIn(f"W004 log-ingestd has stored nothing in the database {ALIAS!r} yet", self.told())
        self.stored(hours=3)
        self.assertRegex(self.told(), "W004 .* has stored nothing .* since ....-..-.. ..:.. UTC")
        self.stored(minutes=59)
        self.assertEqual(self.told(), "")

    def test_without_tables_or_without_a_server_it_is_a_warning_too(self):
        self.execute("ALTER TABLE log_file RENAME TO log_file_gone")
        try:
            self.assertIn(f"W004 The database {ALIAS!r} cannot tell", self.told())
        finally:
            self.execute("ALTER TABLE log_file_gone RENAME TO log_file")

    def test_it_is_a_check_of_deploy_only(self):
        with override_settings(AUDIT_LOGGER={"DATABASE": ALIAS, "LOG_FILE": __file__ + "/r.log"}):
            for deploy in (False, True):
                ids = [it.id for it in run_checks(include_deployment_checks=deploy)]
                self.assertEqual("django_audit_logger.W004" in ids, deploy)
                self.assertIn("django_audit_logger.W002", ids)
        with override_settings(AUDIT_LOGGER={"DATABASE": ALIAS, "ENABLED": False}):
            self.assertEqual(check_daemon(), [])


SilenceOnSQLite, SilenceOnPostgreSQL = both(Silence)
del Silence
