"""A daemon that follows a log, and how long a line takes until another session sees its row.

Another session asks the database for what is new again and again, without a pause; each row is seen
by the first answer that it is in, so that the times include the question's own.
"""

import os
import subprocess
import threading
import time

from lib import PROGRAM


class Watcher(threading.Thread):
    """Asks for the highest line number, over one psql that stays."""

    def __init__(self, command, pause=0.0):
        super().__init__(daemon=True)
        self.psql = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pause = pause
        self.seen = []  # (time, lines seen)
        self.enough = threading.Event()

    def run(self):
        last = 0
        while not self.enough.is_set():
            self.psql.stdin.write("SELECT coalesce(sum(stored_rows), 0) FROM log_file;\n")
            self.psql.stdin.flush()
            rows = int(self.psql.stdout.readline())
            if rows > last:
                self.seen.append((time.monotonic(), rows))
                last = rows
            time.sleep(self.pause)
        self.psql.stdin.close()


def line(number):
    now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    return (f'203.0.113.9 - - [{now}] "GET /api/v1/items/{number} HTTP/1.1" 200 {number} '
            f'"https://shop.example/" "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0"\n').encode()


def follow(url, command, lines, write, pause=0.0):
    """Runs the daemon, has `write` append lines, and tells each one's time in ms, shortest first."""
    directory = os.path.dirname(lines)
    daemon = subprocess.Popen([PROGRAM, "--watch", directory, "--database-url", url, "--log-level", "warn"])
    watcher = Watcher(command, pause)
    watcher.start()
    with open(lines, "ab", buffering=0) as log:
        written = []
        log.write(line(0))
        while not watcher.seen:
            time.sleep(0.01)
        written.append(0.0)
        write(log, written)
    end = time.monotonic() + 30
    while watcher.seen[-1][1] < len(written) and time.monotonic() < end:
        time.sleep(0.01)
    watcher.enough.set()
    daemon.terminate()
    assert daemon.wait() == 0
    assert watcher.seen[-1][1] == len(written), "lines are missing"
    took, seen = [], iter(watcher.seen)
    at, rows = next(seen)
    for number, when in enumerate(written):
        while rows <= number:
            at, rows = next(seen)
        took.append((at - when) * 1000)
    return sorted(took[1:])


def at_rate(seconds, rate):
    """Writes in steps of 1 ms, as many workers would; one line at a time, unless there are many."""
    def write(log, written):
        began = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            due = int((now - began) * rate) + 1 - len(written)
            at_once = max(1, rate // 2000)
            for _ in range(0, due, at_once):
                written.extend([time.monotonic()] * at_once)
                log.write(b"".join(line(len(written) - nth) for nth in range(at_once)))
            time.sleep(0.001)
    return write


def share(took, of):
    """The time that this share of the lines did not exceed."""
    return took[min(len(took) - 1, int(len(took) * of))]
