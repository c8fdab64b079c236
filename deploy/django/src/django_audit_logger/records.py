"""How a record becomes a line that the daemon can store."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

# Where the Gunicorn logger finds the user: under WSGI, request.META is the environ that it is given.
USER_ID_KEY = "django_audit_logger.user_id"

# Neither can be stored as text by PostgreSQL.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_ESCAPED_NUL = "\\u0000"
# Nested deeper than this, a value is data gone wrong.
_MAX_DEPTH = 32

_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str
).encode


def line(kind: str, values: dict[str, Any]) -> bytes:
    """One line of the log: JSON, UTF-8, "log" first, a newline only at its end.

    Values that are None are left out. NUL characters and lone surrogates become U+FFFD; what JSON
    does not know becomes its ``str()``, NaN and infinities null.
    """
    record: dict[str, Any] = {"log": kind, "timestamp": now()}
    record.update((key, value) for key, value in values.items() if value is not None)
    try:
        text = _encode(record)
        if _ESCAPED_NUL not in text:
            return text.encode() + b"\n"
    # Also UnicodeEncodeError, for a surrogate. All of this is rare, so that it may be slow.
    except (ValueError, TypeError, RecursionError):
        pass
    return _encode(_plain(record)).encode() + b"\n"


def now() -> str:
    """This moment, UTC, with microseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


@lru_cache(maxsize=1024)
def _header_name(key: str) -> str:
    return key[5:].replace("_", "-").lower()


def request_headers(environ: Mapping[str, Any]) -> dict[str, Any]:
    """The request's headers by their lower-case names."""
    headers = {_header_name(key): value for key, value in environ.items() if key[:5] == "HTTP_"}
    for key, name in (("CONTENT_TYPE", "content-type"), ("CONTENT_LENGTH", "content-length")):
        if environ.get(key):
            headers[name] = environ[key]
    return headers


def _plain(value: Any, within: tuple[int, ...] = ()) -> Any:
    """The same with plain and storable values; ``within`` names the containers around it."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, (dict, list, tuple)):
        return _text(value)
    if len(within) >= _MAX_DEPTH or id(value) in within:
        return "…"
    within = (*within, id(value))
    if isinstance(value, dict):
        return {_text(key): _plain(item, within) for key, item in value.items()}
    return [_plain(item, within) for item in value]


def _text(value: Any) -> str:
    return _UNSTORABLE.sub("\ufffd", str(value))
