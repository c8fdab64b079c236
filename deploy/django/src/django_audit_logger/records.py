"""How a record becomes a line that the daemon can store."""

from __future__ import annotations

import json
import math
import re
import time
from json.encoder import encode_basestring
from typing import Any

# Where the Gunicorn logger finds the user: under WSGI, request.META is the environ that it is given.
USER_ID_KEY = "django_audit_logger.user_id"

# Neither can be stored as text by PostgreSQL.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_ESCAPED_NUL = "\\u0000"
# The same behind any number of escaped backslashes: behind an odd one more it is no escape.
_REAL_NUL = re.compile(r"((?<!\\)(?:\\\\)*)\\u0000")
# Nested deeper than this, a value is data gone wrong.
_MAX_DEPTH = 32

_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str
).encode


class Json(str):
    """A text that is JSON already."""

    __slots__ = ()


def line(kind: str, values: dict[str, Any]) -> bytes:
    """One line of the log: JSON, UTF-8, "log" first, a newline only at its end.

    Values that are None are left out. NUL characters and lone surrogates become U+FFFD; what JSON
    does not know becomes its ``str()``, NaN and infinities null.
    """
    # An encoder of all of it at once takes twice the time: nearly everything is a text.
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
        # The first of these is much faster, and nearly always enough.
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


# The second that lines were last written in, and its name.
_second = (-1, "")


def now() -> str:
    """This moment, UTC, with microseconds."""
    global _second
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    second, name = _second
    if second != seconds:
        name = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        _second = seconds, name
    return f"{name}.{nanoseconds // 1000:06d}+00:00"


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
