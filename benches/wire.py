#!/usr/bin/env python3
"""A wire to a server on this machine that is as long as one likes: bytes arrive half a round trip later.

    benches/wire.py PORT MILLISECONDS    prints the port of its near end, and runs until it is ended

As on a real wire, bytes that are on their way do not wait for each other, a connection takes one round trip more
before its first bytes arrive, and at most 16 MiB are on their way in one direction.
"""

import collections
import socket
import subprocess
import sys
import threading
import time

ON_THE_WAY = 16 << 20
CHUNK = 256 << 10


class Direction:
    """Bytes from one socket to another."""

    def __init__(self, source, sink, delay, opens):
        self.source, self.sink, self.delay, self.opens = source, sink, delay, opens
        self.queue, self.queued = collections.deque(), 0
        self.changed = threading.Condition()
        threading.Thread(target=self.receive, daemon=True).start()
        threading.Thread(target=self.deliver, daemon=True).start()

    def receive(self):
        chunk = b"?"
        while chunk:
            try:
                chunk = self.source.recv(CHUNK)
            except OSError:
                chunk = b""
            with self.changed:
                self.queue.append((max(time.monotonic(), self.opens) + self.delay, chunk))
                self.queued += len(chunk)
                self.changed.notify_all()
                self.changed.wait_for(lambda: self.queued < ON_THE_WAY)

    def deliver(self):
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.queue)
                due, chunk = self.queue.popleft()
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            try:
                if not chunk:
                    return self.sink.shutdown(socket.SHUT_WR)
                self.sink.sendall(chunk)
            except OSError:
                try:
                    self.source.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                return
            finally:
                with self.changed:
                    self.queued -= len(chunk)
                    self.changed.notify_all()


class Wire:
    """The same in a process of its own, for a benchmark."""

    def __init__(self, port, milliseconds):
        command = [sys.executable, __file__, str(port), str(milliseconds)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def main():
    port, round_trip = int(sys.argv[1]), float(sys.argv[2]) / 1000
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        near, _ = listener.accept()
        far = socket.create_connection(("127.0.0.1", port))
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opens = time.monotonic() + round_trip
        Direction(near, far, round_trip / 2, opens)
        Direction(far, near, round_trip / 2, opens)


if __name__ == "__main__":
    main()
