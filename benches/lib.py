"""What the benchmarks of whole processes share: a PostgreSQL of their own, and pairs of runs.

A machine's speed drifts, so the contestants take turns, and what counts is the ratio of the two
runs of one round: its median over the rounds.
"""

import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Another build may be tried: the tests run each benchmark in short with the one that they have. The
# program itself would warn of the variable, which is not a setting.
GIVEN = os.environ.pop("LOG_INGESTD_PROGRAM", None)
PROGRAM = GIVEN or str(ROOT / "target/dist/log-ingestd")


def build():
    """Builds the program as the packages have it, unless another one is to be tried."""
    if GIVEN:
        return
    subprocess.run(["cargo", "build", "--profile", "dist", "--quiet"], cwd=ROOT, check=True)


def load(path, lines, *more):
    """Writes the benchmarks' log, and returns its size in bytes."""
    with open(path, "wb") as out:
        subprocess.run([ROOT / "benches/load", str(lines), *map(str, more)], stdout=out, check=True)
    return os.path.getsize(path)


class Run:
    """One run of a command: seconds, its own CPU seconds, peak memory in MiB."""

    def __init__(self, command, **options):
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, **options)
        self.output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.seconds = time.monotonic() - began
        self.cpu = usage.ru_utime + usage.ru_stime
        self.peak = usage.ru_maxrss / 1024
        if process.returncode != 0:
            sys.exit(f"{command} failed with exit code {process.returncode}")


class Postgres:
    """A server with its default configuration, in a temporary directory, on a socket there.

    With `network` it listens to TCP on this machine, too, with and without TLS.
    """

    def __init__(self, directory=None, network=False):
        programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not programs:
            sys.exit("no PostgreSQL server is installed: apt-get install postgresql")
        self.bin = programs[-1].parent
        self.port = 5432
        self.directory = tempfile.mkdtemp(prefix="log-ingestd-bench-", dir=directory)
        # It refuses to run as root.
        self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        if os.getuid() == 0:
            shutil.chown(self.directory, "postgres")
        else:
            self.user = []
        self.data = f"{self.directory}/data"
        self._run("initdb", "-D", self.data, "-U", "bench", "--auth=trust")
        options = f"-c listen_addresses='' -k {self.directory}"
        if network:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = free.getsockname()[1]
            self._certify()
            # The socket keeps its usual name, with the port in it.
            options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c ssl=on -k {self.directory}"
        self._run("pg_ctl", "-D", self.data, "-o", options, "-l", f"{self.directory}/log", "-w", "start")
        with open(f"{self.data}/postmaster.pid") as pid:
            self.pid = int(pid.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")
        shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, program, *arguments):
        command = [*self.user, str(self.bin / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    def _certify(self):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "30", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.crt"],
            cwd=self.data, check=True, stderr=subprocess.DEVNULL)
        for name in ("server.key", "server.crt"):
            os.chmod(f"{self.data}/{name}", 0o600)
            if self.user:
                shutil.chown(f"{self.data}/{name}", "postgres", "postgres")

    def url(self, database, port=None, tls=False):
        """The URL by the socket, or by this port of 127.0.0.1."""
        if port is None:
            return f"postgres://bench@/{database}?host={self.directory}&port={self.port}"
        return f"postgres://bench@127.0.0.1:{port}/{database}?sslmode={'require' if tls else 'disable'}"

    def psql(self, database, *arguments, port=None, tls=False):
        """The command that runs these psql arguments."""
        return [
            str(self.bin / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.url(database, port, tls), *arguments,
        ]

    def sql(self, database, text):
        """Runs SQL, and returns what it prints."""
        done = subprocess.run(self.psql(database, "-c", text), check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def create(self, database, template="template1"):
        self.sql("postgres", f"DROP DATABASE IF EXISTS {database}")
        self.sql("postgres", f"CREATE DATABASE {database} TEMPLATE {template}")
        self.sql("postgres", "CHECKPOINT")

    def cpu(self):
        """CPU seconds of all sessions that have ended so far."""
        while self.sql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname = 'contest'") != "0":
            time.sleep(0.01)
        time.sleep(0.1)  # the session that has just asked
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def turns(rounds, contestants):
    """Lets each have its turn in each round; returns the runs of each."""
    runs = {name: [] for name in contestants}
    for nth in range(rounds):
        for name, run in contestants.items():
            runs[name].append(run())
            print(f"  round {nth + 1}: {name} {runs[name][-1].seconds:.2f} s", file=sys.stderr)
    return runs


def median(runs, figure):
    return statistics.median(figure(run) for run in runs)


def ratio(one, other):
    """The median, least and greatest ratio of their times, round by round."""
    ratios = [a.seconds / b.seconds for a, b in zip(one, other)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
