"""A log file that many processes and threads append to, and that rotates by size.

Each line is one ``write(2)`` to a descriptor with O_APPEND. A local file system does not mix such
writes. Before each write, one ``stat(2)`` of the path shows whether the file was renamed (by another
worker or by logrotate) and how large it is. Only a rotation takes a lock, and no writer waits for
it: while another one rotates, a writer goes on in the old file, a little past the limit.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

DEFAULT_MAX_BYTES = 10 * 1024 * 1024
DEFAULT_BACKUP_COUNT = 10

# A log has personal data: readable for a group, which the daemon's user can join, but not for all.
FILE_MODE = 0o640
DIRECTORY_MODE = 0o750


class _Opened:
    """A descriptor that is closed when no thread uses it any more."""

    __slots__ = ("device", "fd", "inode")

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        status = os.fstat(self.fd)
        self.device, self.inode = status.st_dev, status.st_ino

    def is_at(self, status: os.stat_result) -> bool:
        return status.st_ino == self.inode and status.st_dev == self.device

    def __del__(self) -> None:
        # Missing if the open failed.
        if hasattr(self, "fd"):
            os.close(self.fd)


class LogFile:
    """Appends lines to ``path``; ``path.1`` … ``path.N`` are the older files.

    A file larger than ``max_bytes`` is rotated, and ``backup_count`` older files stay; 0 for either
    never rotates. The file and its directory are created at the first line.
    """

    def __init__(
        self,
        path: str,
        max_bytes: int = DEFAULT_MAX_BYTES,
        backup_count: int = DEFAULT_BACKUP_COUNT,
    ) -> None:
        self.path = os.path.abspath(path)
        self.max_bytes = max_bytes
        self.backup_count = backup_count
        self._is_limited = max_bytes > 0 and backup_count > 0
        self._opened: _Opened | None = None
        self._torn = False

    def write(self, line: bytes) -> None:
        """Appends ``line``, which ends with a newline. Raises OSError if that fails."""
        # The local variable keeps the descriptor open while other threads replace it.
        opened = self._opened
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            opened = self._open()
        else:
            if self._is_limited and self._is_full(status.st_size, len(line)):
                self._rotate(len(line))
                opened = self._open()
            elif opened is None or status.st_ino != opened.inode or status.st_dev != opened.device:
                opened = self._open()
        if self._torn:
            # The disk was full in the middle of a line. A newline separates the next line from it.
            line = b"\n" + line
        written = os.write(opened.fd, line)
        self._torn = written != len(line)
        if self._torn:
            raise OSError(f"{self.path}: {written} of {len(line)} bytes of a line were written")

    def _is_full(self, size: int, more: int) -> bool:
        # A line that is larger than the limit gets a file of its own.
        return size + more > self.max_bytes and size > 0

    def _open(self) -> _Opened:
        try:
            opened = _Opened(self.path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.path), DIRECTORY_MODE, exist_ok=True)
            opened = _Opened(self.path)
        self._opened = opened
        return opened

    def _rotate(self, more: int) -> None:
        # A new descriptor: forked workers share inherited descriptors and their locks.
        try:
            locked = _Opened(self.path)
        except FileNotFoundError:
            return
        try:
            fcntl.flock(locked.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        try:
            with suppress(FileNotFoundError):
                status = os.stat(self.path)
                # Another worker may have rotated the file between the check and the lock.
                if locked.is_at(status) and self._is_full(status.st_size, more):
                    self._cascade()
        finally:
            fcntl.flock(locked.fd, fcntl.LOCK_UN)

    def _cascade(self) -> None:
        for nth in range(self.backup_count - 1, 0, -1):
            with suppress(FileNotFoundError):
                os.rename(f"{self.path}.{nth}", f"{self.path}.{nth + 1}")
        # Last: from here on another worker may rotate the next file.
        os.rename(self.path, f"{self.path}.1")
