"""Reads paths as servers may read them, so that no request is left out that was answered as another one.

``GET /health/../x`` begins with ``/health/``, and many a server answers ``/x``. A rule of exclusion covers a request
only if it covers the path in every reading. The daemon has the same rule; the cases in ``fixtures/masking`` hold the
two together.
"""

from __future__ import annotations

import re

# What servers read in different ways.
_SPECIAL = re.compile(r"[%;\\?#\0]|/\.|//")
# A percent sign may itself be encoded.
_DOT = re.compile("%(?:25)*2e", re.IGNORECASE)
_SEPARATOR = re.compile("%(?:25)*(2e|2f|5c|3b|3f|23|00)", re.IGNORECASE)
_SEPARATORS = {"2e": ".", "2f": "/", "5c": "/", "3b": ";", "3f": "?", "23": "#", "00": "\0"}
_END = re.compile(r"[?#\0]")


def is_plain(path: str) -> bool:
    """Returns whether all servers read this path in the same way."""
    return _SPECIAL.search(path) is None


def readings(path: str) -> tuple[str, str]:
    """Returns the path without dot segments, in the strictest and in the most liberal reading.

    The strictest is that of RFC 3986, 5.2.4, with dots that may be percent-encoded. In the most liberal one slashes may
    be encoded, be backslashes, and follow each other as one; ``;`` begins parameters of a segment; and ``?``, ``#`` and
    NUL end the path.
    """
    liberal = _SEPARATOR.sub(lambda code: _SEPARATORS[code[1].lower()], path).replace("\\", "/")
    return _without_dots(_DOT.sub(".", path), False), _without_dots(_END.split(liberal, maxsplit=1)[0], True)


def _without_dots(path: str, liberal: bool) -> str:
    kept: list[str] = []
    segments = path.removeprefix("/").split("/")
    last = len(segments) - 1
    for at, segment in enumerate(segments):
        if liberal:
            segment = segment.partition(";")[0]
        if segment in (".", ".."):
            if segment == "..":
                del kept[-1:]
            if at == last:
                kept.append("")
        elif segment or at == last or not liberal:
            kept.append(segment)
    return "/" + "/".join(kept)
