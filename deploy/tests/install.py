"""docs/install.md, done on a machine with a real systemd: from the package to its purge.

Where no such machine can be had, it says so, and systemd-analyze alone looks at the unit.
"""

import re
import shutil
import sys
import time

import package
from document import Document
from machine import Machine, cannot_boot
from unit import EXPOSURE, look_at_the_unit

SERVICE = "/etc/systemd/system/log-ingestd.service.d"
SETTINGS = "/etc/log-ingestd/config.toml"
LOG = "/var/log/app/access.log"


def told(words):
    print(f"   {words}", flush=True)


class Story:
    """One installation's life."""

    def __init__(self, machine, page, files, packages):
        self.machine, self.page, self.files, self.packages = machine, page, files, packages
        self.written = 0

    def do(self, name, replaced=None, **options):
        """A block of the page, as it stands there; each command must succeed."""
        return self.machine.ask("set -e\n" + self.page.take(name, replaced), **options)

    def show(self, property):
        return self.machine.ask(f"systemctl show --value --property {property} log-ingestd").strip()

    def journal(self):
        return self.machine.ask("journalctl --unit log-ingestd --output cat --no-pager")

    def says(self, words, times=1):
        self.machine.until(f"the journal says {words!r}", lambda: self.journal().count(words) >= times)

    def is_active(self):
        return self.show("ActiveState") == "active"

    def log(self, count, path=LOG):
        """Appends lines, each with a URL of its own."""
        numbers = range(self.written, self.written + count)
        self.written += count
        lines = "".join(f'127.0.0.1 - - [{time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())}] '
                        f'"GET /{number} HTTP/1.1" 200 2 "-" "curl/8"\n' for number in numbers)
        with open(self.machine.path(path), "a") as log:
            log.write(lines)

    def urls(self):
        rows = self.machine.ask("log-ingestd query --since 1d --limit 100000 --output csv", check=False).splitlines()
        if not rows or "url" not in rows[0].split(","):
            return []
        at = rows[0].split(",").index("url")
        return sorted(int(row.split(",")[at][1:]) for row in rows[1:])

    def stored(self):
        """Waits until every line is a row, once."""
        self.machine.until(f"{self.written} rows are there", lambda: len(self.urls()) >= self.written)
        assert self.urls() == list(range(self.written)), self.urls()

    def settings(self, text):
        """Replaces the settings but for what is followed; the file stays the same one, with its rights."""
        self.machine.path(SETTINGS).write_text(f'watch = ["/var/log/app"]\n{text}')

    def ask_as(self, groups, command):
        """What a command says to a user who is in these groups only, and its exit code."""
        return self.machine.ask(f"cd /; setpriv --reuid 65534 --regid 65534 {groups} env HOME=/nonexistent"
                                f" {command}; echo exit code $?")

    def add(self, name, text):
        """A drop-in of the test's own."""
        self.machine.path(f"{SERVICE}/{name}.conf").write_text(text)
        self.machine.ask("systemctl daemon-reload")

    # The story, in order.

    def checked(self):
        for file in [*self.files.iterdir(), *self.packages]:
            shutil.copy(file, self.machine.path("/root"))
        assert "FAILED" not in self.do("checksums")
        told("the files of the release: their checksums are right")

    def with_pip(self):
        wheel = next(self.files.glob("*.whl")).name
        said = self.do("pip", {"log_ingestd-0.1.0-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl": wheel})
        assert "log-ingestd 0.1.0" in said, said
        told("the wheel: installed without an index of packages")

    def installed(self):
        self.machine.ask("mkdir /var/log/app && chgrp adm /var/log/app && chmod 750 /var/log/app")
        self.log(100)
        self.machine.ask(f"chown root:adm {LOG} && chmod 640 {LOG}")
        self.do("install", {"log-ingestd_0.1.0-1_amd64.deb": self.packages[0].name})
        assert self.machine.ask("systemctl is-enabled log-ingestd").strip() == "enabled"
        assert (self.show("ActiveState"), self.show("Result")) == ("inactive", "exec-condition")
        self.says(f"nothing to follow yet: set watch in {SETTINGS}")
        assert not self.machine.ask("systemctl --failed --no-legend").strip()
        assert self.machine.ask(f"stat --format '%a %U %G' {SETTINGS}").strip() == "640 root adm"
        told("installed: enabled, skipped while there is nothing to follow, not failed")

    def imported_first(self):
        """By root, before the service has run: the service must be able to go on with it."""
        said = self.machine.ask(f"log-ingestd import {LOG} && log-ingestd cleanup --days 300")
        assert f"{self.written} stored" in said and "/var/lib/log-ingestd/log-ingestd.sqlite3" in said, said
        told("import and cleanup by root before the first start: into the service's database")

    def configured(self):
        status = self.do("configure")
        assert "active (running)" in status and 'Status: "files followed: 1"' in status, status
        self.stored()
        said = self.do("ask", check=False)
        assert "access.log" in said and "caught up" in said and "/var/log/app" in said, said
        assert "settings are read from '/etc/log-ingestd/config.toml'" in self.journal()
        assert "look into it with: /usr/bin/log-ingestd query\n" in self.journal()
        # systemd's own incantation reads the same.
        service = ("systemd-run --quiet --pipe --wait -E STATE_DIRECTORY=/var/lib/log-ingestd log-ingestd"
                   " query --since 1d --limit 100000 --output csv")
        assert self.machine.ask(service).count("\n") == self.written + 1
        assert "following" in self.do("journal")
        told("started: ready when its file is followed; rows of a log that it may only read; commands find them")

    def asked_by_others(self):
        said = self.ask_as("--clear-groups", "log-ingestd status")
        assert f"cannot read the configuration file '{SETTINGS}' of the installed service: Permission denied" in said
        assert "--config /dev/null" in said and "exit code 2" in said, said
        said = self.ask_as("--clear-groups", "log-ingestd status --config /dev/null --database-url sqlite:/tmp/none")
        assert "Permission denied" not in said, said
        said = self.ask_as("--groups adm", "log-ingestd check /var/log/app/access.log")
        assert "0 rejected" in said and "exit code 0" in said, said
        said = self.ask_as("--groups adm", "log-ingestd status")
        assert "/var/lib/log-ingestd/log-ingestd.sqlite3" in said and "ermission denied" in said, said
        told("asked by users without rights: told what they may not read, and what to do")

    def confined(self):
        pid = self.show("MainPID")
        process = self.machine.path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^Uid:\t(6[1-5]\d{3})\t", process, re.M), process
        assert re.search(r"^CapBnd:\t0+$", process, re.M), process
        inside = f"nsenter --target {pid} --mount"
        for place in ("/var/log/app", "/etc", "/var/lib/private"):
            said = self.machine.ask(f"{inside} touch {place}/new", check=False)
            assert "Read-only file system" in said, said
        self.machine.ask(f"systemd-analyze security --threshold={EXPOSURE} log-ingestd")
        told("confined: a user of its own, no capability, cannot write even as root")

    def grouped(self):
        foreign = "/var/log/app/foreign.log"
        self.machine.ask(f"install -m 640 -o www-data -g www-data /dev/null {foreign}")
        before = self.written
        self.log(10, foreign)
        self.says("foreign.log")
        assert self.urls() == list(range(before))
        self.do("group")
        self.stored()
        told("a log of another group: read with the drop-in, not without")

    def reloaded(self):
        before = self.machine.path(SETTINGS).read_text()
        pid = self.show("MainPID")
        self.settings('exclude-path = ["/health/"]\n')
        self.do("reload")
        self.says("configuration read again")
        with open(self.machine.path(LOG), "a") as log:
            log.write('127.0.0.1 - - [24/Nov/2026:08:41:00 +0000] "GET /health/ HTTP/1.1" 200 2 "-" "-"\n')
        self.log(10)
        self.stored()
        self.machine.path(SETTINGS).write_text("watch = 7\n")
        self.machine.ask(self.page.blocks["reload"])
        self.says("keeping the old configuration")
        self.machine.until("it is active again", self.is_active)
        assert self.show("MainPID") == pid
        self.machine.path(SETTINGS).write_text(before)
        told("reloaded: new settings at once; wrong ones are told, and the old ones stay")

    def killed(self):
        for _ in range(3):
            restarts, pid = int(self.show("NRestarts")), self.show("MainPID")
            self.log(3000)
            self.machine.ask(f"kill -9 {pid}")
            self.log(10)
            self.machine.until("it is started again", lambda: int(self.show("NRestarts")) > restarts)
            self.machine.until("it is active", self.is_active)
        self.stored()
        told("kill -9, three times with a backlog: started again, every line once")

    def hung(self):
        self.add("test", "[Service]\nWatchdogSec=2s\nRestartSec=100ms\n")
        self.machine.ask("systemctl restart log-ingestd")
        restarts, pid = int(self.show("NRestarts")), self.show("MainPID")
        self.machine.ask(f"kill -STOP {pid}")
        self.machine.until("the watchdog starts it again", lambda: int(self.show("NRestarts")) > restarts)
        self.machine.until("it is active", self.is_active)
        assert "Watchdog timeout" in self.journal()
        self.log(10)
        self.stored()
        told("stopped with SIGSTOP: the watchdog started it again")

    def stopped(self):
        self.machine.ask("systemctl stop log-ingestd")
        assert (self.show("ActiveState"), self.show("Result")) == ("inactive", "success")
        self.says("stopped; everything that was read is stored")
        # By root, while the service does not run.
        self.machine.ask("log-ingestd status && log-ingestd cleanup --days 300 && log-ingestd doctor")
        owners = self.machine.ask("find /var/lib/private/log-ingestd -printf '%U\\n' | sort -u").split()
        assert len(owners) == 1 and owners != ["0"], owners
        self.log(10)
        self.machine.ask("systemctl start log-ingestd")
        self.stored()
        told("stopped and started: the state of the user that is made anew is there")

    def misconfigured(self):
        restarts = self.show("NRestarts")
        self.add("wrong", "[Service]\nEnvironment=LOG_INGESTD_POLL_INTERVAL=soon\n")
        said = self.machine.ask("systemctl restart log-ingestd", check=False)
        assert "failed" in said, said
        self.says("--poll-interval: invalid duration 'soon'")
        assert (self.show("ActiveState"), self.show("ExecMainStatus")) == ("failed", "2")
        assert self.show("NRestarts") in ("0", restarts)
        self.machine.ask(f"rm {SERVICE}/wrong.conf; systemctl daemon-reload; systemctl restart log-ingestd")
        told("a wrong setting: told in the journal, not tried again")

    def with_a_password(self):
        server = self.machine.ask("ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1").strip()
        self.machine.ask(f"""set -e
            install -d -o postgres /var/lib/pg
            echo right >/var/lib/pg/password
            chmod 644 /var/lib/pg/password
            cd /
            setpriv --reuid postgres --regid postgres --clear-groups {server}/initdb -D /var/lib/pg/data \
                -U logs --pwfile /var/lib/pg/password -A scram-sha-256 --no-sync >/dev/null
            systemd-run --quiet --unit pg -p User=postgres {server}/postgres -D /var/lib/pg/data \
                -c unix_socket_directories=/tmp -c fsync=off
            until PGPASSWORD=right psql -h 127.0.0.1 -U logs -d postgres -qc 'CREATE DATABASE logs' 2>/dev/null
            do sleep 0.1; done""")
        self.do("network")
        here = {"db.example": "127.0.0.1"}
        said = self.do("database", here | {"PASSWORD": "wrong"}, check=False)
        assert "failed" in said, said
        self.says('password authentication failed for user "logs"')
        restarts = int(self.show("NRestarts"))
        self.machine.until("it is tried again", lambda: int(self.show("NRestarts")) > restarts)
        self.machine.ask(f"sed -i 's|:wrong@|:right@|' {SETTINGS}; systemctl restart log-ingestd")
        ask = f"PGPASSWORD=right psql -h 127.0.0.1 -U logs -d logs -Atc \"SELECT count(DISTINCT url) = count(*) AND count(*) = {self.written}\
            FROM gunicorn_log WHERE url <> '/health/'\""
        self.machine.until("PostgreSQL has every row",
                           lambda: self.machine.ask(ask).strip() == "t")
        said = self.ask_as("--groups adm", "log-ingestd status")
        assert "/var/log/app/access.log" in said and "exit code 0" in said, said
        told("PostgreSQL: a wrong password is told and tried again; commands of a member of adm find its rows")
        said = self.do("password", here | {"PASSWORD": "right"})
        assert "/var/log/app/access.log" in said and ":right@" not in self.machine.path(SETTINGS).read_text(), said
        self.machine.until("it is active", self.is_active)
        told("PostgreSQL: a password as a credential")
        self.machine.ask("systemctl stop pg")
        self.log(1)
        self.machine.until("the status says it", lambda: "the store is unavailable" in self.show("StatusText"))
        assert self.is_active()
        self.settings("")
        self.machine.ask(f"rm {SERVICE}/password.conf; systemctl daemon-reload; systemctl restart log-ingestd")
        self.stored()
        told("a database that is unavailable: told by the status, and the service goes on")

    def with_a_page(self):
        self.settings('#listen = "127.0.0.1:8686"\n#auth-file = "/etc/log-ingestd/auth"\n')
        self.do("page", given="secret\n")
        ask = "exec 3<>/dev/tcp/127.0.0.1/8686; printf 'GET %s HTTP/1.0\\r\\n\\r\\n' {} >&3; head -1 <&3"
        assert " 200 " in self.machine.ask(ask.format("/healthz"))
        assert " 401 " in self.machine.ask(ask.format("/readyz"))
        assert self.machine.ask("stat --format '%a %G' /etc/log-ingestd/auth").strip() == "640 adm"
        assert self.machine.ask("log-ingestd healthcheck && echo alive").strip() == "alive"
        self.settings("")
        self.machine.ask("systemctl restart log-ingestd")
        told("the page: an auth file that the service may read")

    def rotated(self):
        self.machine.ask("mkdir -p /etc/logrotate.d")
        self.do("logrotate")
        said = self.machine.ask("logrotate --debug --force /etc/logrotate.d/app")
        assert "rotating pattern: /var/log/app/access.log" in said and "error" not in said, said

    def upgraded(self):
        pid = self.show("MainPID")
        self.do("upgrade", {"log-ingestd_0.1.0-2_amd64.deb": self.packages[1].name})
        assert self.is_active() and self.show("MainPID") != pid
        assert 'watch = ["/var/log/app"]\n' in self.machine.path(SETTINGS).read_text()
        assert self.machine.ask(f"stat --format '%a %G' {SETTINGS}").strip() == "640 adm"
        self.log(10)
        self.stored()
        told("upgraded: restarted, with its settings and its offsets")

    def removed(self):
        self.do("remove", given="y\n")
        assert not self.machine.path("/usr/bin/log-ingestd").exists()
        assert self.machine.path(SETTINGS).exists()
        assert self.show("ActiveState") == "inactive"
        self.machine.ask(f"apt-get install -y ./{self.packages[1].name}")
        self.log(10)
        self.stored()
        self.do("purge", given="y\n")
        for gone in (SETTINGS, "/var/lib/private/log-ingestd", "/var/lib/log-ingestd",
                     "/usr/bin/log-ingestd", "/usr/lib/systemd/system/log-ingestd.service",
                     "/etc/systemd/system/multi-user.target.wants/log-ingestd.service"):
            path = self.machine.path(gone)
            assert not path.exists() and not path.is_symlink(), gone
        assert "Purging" not in self.machine.ask("dpkg --list log-ingestd", check=False)
        told("removed and installed again: goes on; purged: nothing is left")

    def by_hand(self):
        self.machine.ask(f"rm -rf {SERVICE}")
        self.do("by hand")
        self.machine.ask("set -e\n" + self.page.blocks["configure"])
        assert self.is_active()
        self.machine.ask("mkdir -p /etc/bash_completion.d /usr/local/share/zsh/site-functions"
                         " /etc/fish/completions")
        self.do("completions")
        self.machine.ask("bash -n /etc/bash_completion.d/log-ingestd")
        told("without the package: the same by hand")

    def tell(self):
        for part in (self.checked, self.with_pip, self.installed, self.imported_first, self.configured,
                     self.asked_by_others, self.confined, self.grouped, self.reloaded, self.killed, self.hung,
                     self.stopped, self.misconfigured, self.with_a_password, self.with_a_page, self.rotated,
                     self.upgraded, self.removed, self.by_hand):
            try:
                part()
            except BaseException:
                print(f"in {part.__name__}:\n{self.journal()[-6000:]}", file=sys.stderr)
                raise
        self.page.is_done()


def main():
    told(look_at_the_unit())
    page = Document(package.ROOT / "deploy/docs/install.md")
    files = package.release(page.take("build"))
    packages = [next(files.glob("*.deb")), package.rebuild("2")]
    if why := cannot_boot():
        print(f"install.py: NOT RUN on a machine with systemd: {why}; the unit and the release's files were "
              "only looked at", flush=True)
        return
    began = time.monotonic()
    with Machine() as machine:
        version = machine.ask("systemctl --version").split()[1]
        told(f"a machine with systemd {version} as PID 1")
        Story(machine, page, files, packages).tell()
    told(f"install.md was run as it stands, in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
