"""Encodes a record as a line that the daemon can store."""

from __future__ import annotations

import json
import math
import re
import time
from json.encoder import encode_basestring
from typing import Any

# The key of the user for the Gunicorn logger: under WSGI, request.META is the logger's environ.
USER_ID_KEY = "django_audit_logger.user_id"
# The same for the address that IP_CALLABLE returned.
ADDRESS_KEY = "django_audit_logger.ip_address"
# The same for the names of the request, and the route of its view.
REQUEST_ID_KEY = "django_audit_logger.request_id"
TRACE_ID_KEY = "django_audit_logger.trace_id"
ROUTE_KEY = "django_audit_logger.route"

# PostgreSQL can store neither as text.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_ESCAPED_NUL = "\\u0000"
# The same after any number of escaped backslashes. After one more backslash it is not an escape.
_REAL_NUL = re.compile(r"((?<!\\)(?:\\\\)*)\\u0000")
# A value nested deeper than this is a programming error.
_MAX_DEPTH = 32

_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str
).encode


class Json(str):
    """A text that is already JSON."""

    __slots__ = ()


def line(kind: str, values: dict[str, Any]) -> bytes:
    """Returns one line of the log: JSON, UTF-8, "log" first, a newline only at its end.

    Values that are None are left out. NUL characters and lone surrogates become U+FFFD. Types that
    JSON does not have become their ``str()``, NaN and infinities null.
    """
    # Encoding everything at once takes twice the time: nearly all values are texts.
    parts = [f'{{"log":"{kind}","timestamp":"{now()}"']
    for key, value in values.items():
        if value is None:
            continue
        its = type(value)
        if its is str:
            parts.append(f'"{key}":{encode_basestring(value)}')
        elif its is Json:
            parts.append(f'"{key}":' + value)
        else:
            parts.append(f'"{key}":{value if its is int else json_text(value)}')
    return encoded(",".join(parts) + "}\n")


def encoded(text: str) -> bytes:
    """Returns a line of JSON as bytes, with U+FFFD in place of what cannot be stored."""
    # The first search is much faster, and nearly always sufficient.
    if _ESCAPED_NUL in text:
        text = _REAL_NUL.sub("\\1\ufffd", text)
    try:
        return text.encode()
    except UnicodeEncodeError:  # of a surrogate
        return storable(text).encode()


def json_text(value: Any) -> Json:
    """Returns any value as JSON."""
    try:
        return Json(_encode(value))
    except (ValueError, TypeError, RecursionError):
        return Json(_encode(plain(value)))


# The second of the last line, and its text.
_second = (-1, "")


def now() -> str:
    """Returns the current time in UTC, with microseconds."""
    global _second
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    second, name = _second
    if second != seconds:
        name = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        _second = seconds, name
    return f"{name}.{nanoseconds // 1000:06d}+00:00"


def plain(value: Any, within: tuple[int, ...] = ()) -> Any:
    """Returns the value with plain and storable parts; ``within`` has the containers around it."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, (dict, list, tuple)):
        return storable(value)
    if len(within) >= _MAX_DEPTH or id(value) in within:
        return "…"
    within = (*within, id(value))
    if isinstance(value, dict):
        return {storable(key): plain(item, within) for key, item in value.items()}
    return [plain(item, within) for item in value]


def storable(value: Any) -> str:
    """Returns a text that PostgreSQL can store."""
    return _UNSTORABLE.sub("\ufffd", str(value))
