"""Creates both databases for the daemon, and queries them directly."""

import contextlib
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile

import psycopg


class Sqlite:
    name = "sqlite"

    def __init__(self, directory):
        self.path = pathlib.Path(directory) / "logs.sqlite3"
        self.url = f"sqlite:{self.path}"

    def ask(self, sql):
        with contextlib.closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as database:
            return database.execute(sql).fetchall()

    def remove(self):
        pass


class Postgres:
    name = "postgres"
    server = None
    number = 0

    def __init__(self, _directory):
        Postgres.server = Postgres.server or Server()
        Postgres.number += 1
        self.database = f"logs{Postgres.number}"
        self.server.ask("postgres", f"CREATE DATABASE {self.database}")
        self.url = f"postgres://page@/{self.database}?host={self.server.directory}"

    def ask(self, sql):
        return self.server.ask(self.database, sql)

    def remove(self):
        self.server.ask("postgres", f"DROP DATABASE {self.database} WITH (FORCE)")


class Server:
    """Runs a PostgreSQL server in a temporary directory, with a Unix socket only."""

    def __init__(self):
        programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        assert programs, "no PostgreSQL server is installed: apt-get install postgresql"
        self.programs = programs[-1]
        self.directory = tempfile.mkdtemp(prefix="page-postgres-")
        # PostgreSQL refuses to run as root.
        self.other = os.geteuid() == 0
        if self.other:
            shutil.chown(self.directory, "postgres")
        self.run("initdb", "-D", self.data, "-U", "page", "--auth=trust", "--no-sync")
        options = f"-c listen_addresses='' -c fsync=off -k {self.directory}"
        self.run("pg_ctl", "-D", self.data, "-o", options, "-l", f"{self.data}/log", "-w", "start")

    @property
    def data(self):
        return f"{self.directory}/data"

    def run(self, program, *arguments):
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if self.other else []
        command = [*user, str(self.programs / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    def ask(self, database, sql):
        where = {"host": self.directory, "user": "page", "dbname": database, "autocommit": True}
        with psycopg.connect(**where, options="-c timezone=UTC") as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def stop(self):
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")
        shutil.rmtree(self.directory, ignore_errors=True)
