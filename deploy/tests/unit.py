"""The service's unit: what systemd says of its sandbox, and that the daemon works in it.

`systemd-analyze` looks at the unit anywhere. Where a machine with a real systemd can be had, the service
runs on it: with SQLite, and with PostgreSQL by loopback and by socket as it is installed; with a
database on another machine after what install.md says.
"""

import shutil
import subprocess
import sys
import time

import package
import services
from document import Document
from machine import Machine, cannot_boot

UNIT = package.ROOT / "deploy/systemd/log-ingestd.service"
# The most that the unit may expose: tenths, by systemd-analyze's own measure from 0 to 10.
EXPOSURE = 10
SETTINGS = "/etc/log-ingestd/config.toml"
LOG = "/var/log/app/access.log"
# An address that is none of loopback's. It is on the loopback interface, but systemd looks at addresses.
ELSEWHERE = "192.0.2.10"
SOCKETS = "/run/postgresql"


def look_at_the_unit():
    """What systemd says of the unit without running it."""
    fake = UNIT.read_text().replace("/usr/bin/log-ingestd", "/bin/true")
    fake = fake.replace("Documentation=man:log-ingestd(1) ", "Documentation=")
    checked = package.ROOT / "target/log-ingestd.service"
    checked.write_text(fake)
    said = subprocess.run(["systemd-analyze", "verify", checked], text=True, capture_output=True)
    assert said.returncode == 0 and not said.stderr, said.stderr
    said = subprocess.run(["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", checked],
                          text=True, capture_output=True)
    assert said.returncode == 0, said.stdout + said.stderr
    return f"systemd-analyze: the unit is valid; {said.stdout.strip().splitlines()[-1].lstrip('→ ')}"


class Service:
    """The unit on a machine, with a log that grows."""

    def __init__(self, machine):
        self.machine = machine
        self.written = 0
        machine.ask("mkdir -p /var/log/app /etc/log-ingestd && chgrp adm /var/log/app && chmod 750 /var/log/app")
        shutil.copy(services.PROGRAM, machine.path("/usr/bin/log-ingestd"))
        shutil.copy(UNIT, machine.path("/etc/systemd/system/log-ingestd.service"))
        machine.ask("systemctl daemon-reload")

    def append(self, count):
        """Appends lines, each with a URL of its own."""
        now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        numbers = range(self.written, self.written + count)
        self.written += count
        with open(self.machine.path(LOG), "a") as log:
            log.write("".join(f'127.0.0.1 - - [{now}] "GET /{number} HTTP/1.1" 200 2 "-" "x"\n' for number in numbers))
        self.machine.ask(f"chgrp adm {LOG} && chmod 640 {LOG}")

    def restart(self, settings=""):
        """The service with these settings."""
        self.machine.path(SETTINGS).write_text(f'watch = ["/var/log/app"]\nlisten = "0.0.0.0:8686"\n'
                                               f'auth-file = "/etc/log-ingestd/auth"\n{settings}')
        self.machine.ask(f"chgrp adm {SETTINGS} && chmod 640 {SETTINGS}; systemctl reset-failed log-ingestd;"
                         " systemctl restart --no-block log-ingestd")

    def journal(self):
        return self.machine.ask("journalctl --unit log-ingestd --output cat --no-pager")

    def says(self, words):
        self.machine.until(f"the journal says {words!r}", lambda: words in self.journal())

    def reachable(self, address):
        """Whether a client of this address gets an answer of the page."""
        ask = (f"curl --silent --max-time 3 --output /dev/null --write-out '%{{http_code}}' http://{address}:8686/healthz")
        return self.machine.ask(ask, check=False).strip() == "200"

    def rows(self, query):
        """Waits until every line is a row, by what this command prints."""
        self.machine.until(f"{self.written} rows are there",
                           lambda: self.machine.ask(query, check=False).strip() == str(self.written))


def with_sqlite(service):
    service.append(100)
    service.restart()
    service.rows("log-ingestd query --since 1d --limit 100000 --output csv | tail -n +2 | wc -l")
    assert service.reachable("127.0.0.1"), service.journal()
    print("   in its sandbox, with SQLite: rows, and the page by loopback", flush=True)


def begin_postgres(machine):
    server = machine.ask("ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1").strip()
    machine.ask(f"""set -e
        ip address add {ELSEWHERE}/32 dev lo
        install -d -o postgres /var/lib/pg
        install -d -o postgres -m 755 {SOCKETS}
        cd /
        setpriv --reuid postgres --regid postgres --clear-groups {server}/initdb -D /var/lib/pg/data -U logs -A trust \
            --no-sync >/dev/null
        echo 'host all all {ELSEWHERE}/32 trust' >>/var/lib/pg/data/pg_hba.conf
        systemd-run --quiet --unit pg -p User=postgres {server}/postgres -D /var/lib/pg/data \
            -c unix_socket_directories={SOCKETS} -c listen_addresses='127.0.0.1,{ELSEWHERE}' -c fsync=off
        until psql -h {SOCKETS} -U logs -d postgres -qc 'SELECT 1' >/dev/null 2>&1; do sleep 0.1; done""")


def with_postgres(service, name, host):
    """The service with a database of its own at this host; the command that counts its rows."""
    service.machine.ask(f"createdb -h {SOCKETS} -U logs {name}")
    service.restart(f'database-url = "postgres://logs@{host}"\nconnect-timeout = "5s"\n'.replace("NAME", name))
    return f"psql -h {SOCKETS} -U logs -d {name} -Atc 'SELECT count(DISTINCT url) FROM gunicorn_log'"


def with_databases(service, page):
    begin_postgres(service.machine)
    for name, host in (("tcp", "127.0.0.1/NAME"), ("named", "localhost/NAME"),
                       ("socket", f"/NAME?host={SOCKETS}")):
        rows = with_postgres(service, name, host)
        service.append(10)
        service.rows(rows)
        print(f"   in its sandbox, with PostgreSQL at {host.replace('NAME', name)}: every row", flush=True)
    if "BPF" in service.journal() or service.reachable(ELSEWHERE):
        print("   NOT SHOWN: this kernel drops no packets for systemd (IPAddressDeny=)", flush=True)
        return
    rows = with_postgres(service, "elsewhere", f"{ELSEWHERE}/NAME")
    service.says("IPAddressAllow=")
    service.machine.ask(page.take("network"))
    service.rows(rows)
    assert service.reachable(ELSEWHERE), service.journal()
    print("   another machine: denied, which the journal explains; reached with install.md's drop-in", flush=True)


def main():
    print(f"   {look_at_the_unit()}", flush=True)
    if why := cannot_boot():
        print(f"unit.py: NOT RUN on a machine with systemd: {why}; systemd-analyze alone has looked at the unit",
              flush=True)
        return
    with Machine() as machine:
        service = Service(machine)
        machine.ask("printf 'secret\\n' | log-ingestd hash-password jo | install -m 640 -g adm /dev/stdin"
                    " /etc/log-ingestd/auth")
        try:
            with_sqlite(service)
            with_databases(service, Document(package.ROOT / "deploy/docs/install.md"))
            machine.ask(f"systemd-analyze security --threshold={EXPOSURE} log-ingestd")
        except BaseException:
            print(service.journal()[-6000:], file=sys.stderr)
            raise


if __name__ == "__main__":
    main()
