"""Runs the real daemon on a directory of logs, with its page."""

import datetime
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

import logs

# Taken out of the environment: the program would warn of a variable that is not a setting.
PROGRAM = os.environ.pop("LOG_INGESTD_PROGRAM")
AT = re.compile(r"the page is at (https?://\S+/)")


def wait(condition, what, seconds=30):
    """Returns the first true value of the condition."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"in vain: {what}"
        time.sleep(0.05)


class Site:
    def __init__(self, store, files, retention="off", flags=()):
        """`files`: names and contents at the start. `flags`: of the daemon, besides its own."""
        self.directory = tempfile.TemporaryDirectory(prefix="page-")
        root = pathlib.Path(self.directory.name)
        self.logs = root / "logs"
        self.logs.mkdir()
        for name, lines in files.items():
            (self.logs / name).write_bytes(b"".join(lines))
        self.store = store(root)
        self.said = root / "daemon.txt"
        self.command = [PROGRAM, "--watch", str(self.logs), "--database-url", self.store.url,
                        "--host", "web1", "--listen", "127.0.0.1:0", "--retention", retention, *flags]
        self.start()
        lines = sum(path.read_bytes().count(b"\n") for path in self.logs.iterdir())
        wait(lambda: self.number("SELECT coalesce(sum(lines), 0) FROM log_file") >= lines, "the rows")

    def start(self):
        with self.said.open("wb") as said:
            self.daemon = subprocess.Popen(self.command, stdout=said, stderr=said)
        self.address = wait(self.find, "the address of the page")

    def stop(self):
        self.daemon.send_signal(signal.SIGTERM)
        assert self.daemon.wait(20) == 0, self.said.read_text()

    def find(self):
        assert self.daemon.poll() is None, self.said.read_text()
        found = AT.search(self.said.read_text())
        return found and found[1]

    def ask(self, sql):
        return self.store.ask(sql)

    def column(self, sql):
        return [row[0] for row in self.ask(sql)]

    def number(self, sql):
        # A database without tables has no rows.
        try:
            return int(self.column(sql)[0])
        except Exception:
            if self.daemon.poll() is not None:
                raise
            return 0

    def append(self, name, *lines):
        with (self.logs / name).open("ab") as log:
            log.write(b"".join(lines))

    def close(self):
        try:
            self.stop()
        finally:
            self.daemon.kill()
            self.store.remove()
            self.directory.cleanup()


def full(store):
    # The last second of a past minute: rows that tests add are counted in a later one.
    minute = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0)
    now = minute - datetime.timedelta(seconds=1)
    files = {"access.log": logs.access(now), "requests.log": logs.requests(now), logs.IGNORED: [b"half a line"]}
    site = Site(store, files)
    site.now = now
    # All logged rows, without those that the tests add later.
    first, last = now - datetime.timedelta(minutes=70), now + datetime.timedelta(seconds=1)
    site.range = {"from": first.strftime("%Y-%m-%dT%H:%M:%SZ"), "to": last.strftime("%Y-%m-%dT%H:%M:%SZ")}
    site.within = f"timestamp >= '{first:%Y-%m-%d %H:%M:%S}' AND timestamp < '{last:%Y-%m-%d %H:%M:%S}'"
    return site
