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
            if "\x00" in value:
                value = value.replace("\x00", "\ufffd")
            parts.append(f'"{key}":{encode_basestring(value)}')
            continue
        if its is not Json:
            value = str(value) if its is int else _json(value)
        # The first encoder is much faster, and nearly always sufficient.
        if "\\" in value and _ESCAPED_NUL in value:
            value = _REAL_NUL.sub("\\1\ufffd", value)
        parts.append(f'"{key}":' + value)
    text = ",".join(parts) + "}\n"
    try:
        return text.encode()
    except UnicodeEncodeError:  # of a surrogate
        return _text(text).encode()


def _json(value: Any) -> str:
    try:
        return _encode(value)
    except (ValueError, TypeError, RecursionError):
        return _encode(_plain(value))


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


def _plain(value: Any, within: tuple[int, ...] = ()) -> Any:
    """Returns the value with plain and storable parts; ``within`` has the containers around it."""
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
