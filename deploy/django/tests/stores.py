"""Creates the daemon's tables in real databases, with its own SQL."""

import atexit
import copy
import datetime
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

from django.db import connections
from django.test import SimpleTestCase, override_settings

from .shared import MIGRATIONS

ALIAS = "logs"


def schema(database):
    """Runs all migrations in their order, each in a transaction, as the daemon does."""
    migrations = sorted((MIGRATIONS / database).glob("*.sql"))
    return "\n".join(f"BEGIN;\n{path.read_text()}\nCOMMIT;" for path in migrations)


class Postgres:
    """Runs a server in a temporary directory, until the tests end."""

    _server = None

    @classmethod
    def get(cls):
        if cls._server is None:
            cls._server = cls()
        return cls._server

    def __init__(self, fsync="off"):
        programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not programs:
            raise RuntimeError("no PostgreSQL server is installed: apt-get install postgresql")
        self.bin = programs[-1].parent
        self.directory = tempfile.mkdtemp(prefix="audit-postgres-")
        self.user = []
        if os.getuid() == 0:
            # PostgreSQL refuses to run as root.
            self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            shutil.chown(self.directory, "postgres")
        self.data = f"{self.directory}/data"
        self._run("initdb", "-D", self.data, "-U", "audit", "--auth=trust", "--no-sync")
        options = f"-c listen_addresses='' -c fsync={fsync} -k {self.directory}"
        self._run("pg_ctl", "-D", self.data, "-o", options, "-l", f"{self.data}/log", "-w", "start")
        atexit.register(self.stop)

    def stop(self):
        self._run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")
        shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, program, *arguments):
        command = [*self.user, str(self.bin / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    def make_user(self, name, password):
        """Makes a user who needs the password, once; others need none."""
        if name in self.psql("postgres", "SELECT rolname FROM pg_roles").split():
            return
        password = password.replace("'", "''")
        self.psql("postgres", f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD '{password}'")
        rules = pathlib.Path(self.data, "pg_hba.conf")
        rules.write_text(f"local all {name} scram-sha-256\n{rules.read_text()}")
        self.psql("postgres", "SELECT pg_reload_conf()")

    def psql(self, database, text):
        command = [str(self.bin / "psql"), "-h", self.directory, "-U", "audit", "-XqAt"]
        command += ["-v", "ON_ERROR_STOP=1", "-d", database]
        done = subprocess.run(command, input=text, check=True, capture_output=True, text=True)
        return done.stdout

    def create(self, name):
        self.psql("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.psql("postgres", f"CREATE DATABASE {name}")
        self.psql(name, schema("postgres"))
        return {
            "ENGINE": "django.db.backends.postgresql", "NAME": name, "USER": "audit",
            "HOST": self.directory,
        }


class StoreCase(SimpleTestCase):
    """Tests with the daemon's tables in the database ``ALIAS``; see :func:`both`."""

    databases = {"default"}
    vendor = ""

    @classmethod
    def setUpClass(cls):
        if not cls.vendor:
            raise unittest.SkipTest("only its two subclasses run")
        cls._files = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls._files.cleanup)
        if cls.vendor == "postgresql":
            settings = Postgres.get().create("logs")
        else:
            path = f"{cls._files.name}/logs.sqlite3"
            with sqlite3.connect(path) as database:
                database.executescript(schema("sqlite"))
            database.close()
            settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": path}
        connections.databases[ALIAS] = {**copy.deepcopy(connections.databases["default"]), **settings}
        cls.addClassCleanup(connections.databases.pop, ALIAS)
        cls.addClassCleanup(connections.__delitem__, ALIAS)
        cls.addClassCleanup(lambda: connections[ALIAS].close())
        cls._routed = override_settings(
            DATABASE_ROUTERS=["django_audit_logger.router.AuditRouter"],
            AUDIT_LOGGER={"DATABASE": ALIAS, "ENABLED": False},
        )
        cls._routed.enable()
        cls.addClassCleanup(cls._routed.disable)
        cls.databases = {"default", ALIAS}  # before now, a test runner would look for it
        super().setUpClass()

    def setUp(self):
        super().setUp()
        counts = ("gunicorn_minute", "gunicorn_hour", "gunicorn_route_hour", "gunicorn_route_day")
        for table in ("request_log", "gunicorn_log", *counts, "sweep"):
            self.execute(f"DELETE FROM {table}")

    def execute(self, sql, *values):
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else cursor.rowcount

    def insert(self, table, id, timestamp, **values):
        """Adds one row as the daemon does; creates the month's partition if it is missing."""
        values = {"id": id, "timestamp": timestamp, "log_file": 1, "log_offset": id, **values}
        if self.vendor == "postgresql":
            first = datetime.date.fromisoformat(timestamp[:10]).replace(day=1)
            end = (first + datetime.timedelta(days=31)).replace(day=1)
            self.execute(
                f"CREATE TABLE IF NOT EXISTS {table}_{first:%Y%m} PARTITION OF {table} "
                f"FOR VALUES FROM ('{first} 00:00:00+00') TO ('{end} 00:00:00+00')"
            )
            timestamp = f"{timestamp}+00"
            values["timestamp"] = timestamp
        columns, marks = ", ".join(values), ", ".join(["%s"] * len(values))
        self.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", *values.values())


def environment(database):
    """Returns the environment of a process of the tests' project that has the logs in this database."""
    kept = {key: str(database[key]) for key in ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")}
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "TEST_LOGS": json.dumps(kept)}


def both(case):
    """Runs the same tests on SQLite and on PostgreSQL."""
    return [
        type(f"{case.__name__}On{name}", (case,), {"vendor": vendor, "__module__": case.__module__})
        for name, vendor in (("SQLite", "sqlite"), ("PostgreSQL", "postgresql"))
    ]
