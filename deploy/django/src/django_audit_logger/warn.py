"""Warns about failures of the log, without flooding another log."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("django_audit_logger")

# Seconds between two warnings of one process.
INTERVAL = 60.0


class Warner:
    """Warns of a failure with its traceback, at most once a minute, and counts the failures between."""

    def __init__(self) -> None:
        self._next = 0.0
        self._silent = 0

    def warn(self, doing: str, error: BaseException) -> None:
        moment = time.monotonic()
        if moment < self._next:
            self._silent += 1
            return
        self._next = moment + INTERVAL
        silent, self._silent = self._silent, 0
        logger.warning(
            "%s failed: %r (%d more since the last warning)", doing, error, silent, exc_info=error
        )

    def reset(self) -> None:
        """Lets the next warning through."""
        self._next = 0.0


warner = Warner()
