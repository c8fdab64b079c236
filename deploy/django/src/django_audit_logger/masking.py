"""Secrets are replaced by stars before anything is cut or written.

A field is known by its whole name, without regard to case and to how it is escaped; of a name with
brackets (``user[password]``) any part counts. This is how the daemon does it, too. Texts are masked
where they stand and not parsed and written again: what is logged is otherwise what was sent, and a
text that is broken, or cut off in the middle of a secret, is masked as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote_plus

STARS = "********"

SECRET_HEADERS = frozenset(
    ("authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key")
)
# Headers that hold a URL, whose parameters are masked.
_URL_HEADERS = frozenset(("referer", "location", "content-location"))

_PIECE = re.compile("[^;?#]+")
_BRACKETS = re.compile(r"[\[\]]")
# A JSON string whose end may be missing. It takes the rest of the text then, so that a search for
# the next one never begins inside: all of this is linear in the text's length.
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)'
_VALUE = re.compile(rf"{_STRING}|[^\s,}}\]]+", re.DOTALL)
_TOKEN = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
_ANY_STRING = re.compile(_STRING, re.DOTALL)
_COLON = re.compile(r"\s*:\s*")


class Mask:
    """Masks the fields with these names; JSON and forms are left alone if there is none."""

    def __init__(self, fields: Iterable[str]) -> None:
        names = {field.strip().lower() for field in fields}
        self.names = frozenset(names - {""})
        self._headers = SECRET_HEADERS | {name.replace("_", "-") for name in self.names}
        names_or = "|".join(map(re.escape, sorted(self.names))) or "(?!)"
        self._key = re.compile(
            rf'"(?:[^"\\]*\[)?(?:{names_or})(?:[\[\]][^"\\]*)?"\s*:\s*', re.IGNORECASE
        )

    def _may_have(self, text: str, escape: str) -> bool:
        # Most texts hold no such name at all, which is seen ten times as fast as by the patterns.
        if escape in text:
            return bool(self.names)
        text = text.lower()
        return any(name in text for name in self.names)

    def knows(self, name: str) -> bool:
        name = name.strip().lower()
        if name in self.names:
            return True
        return "[" in name and any(part in self.names for part in _BRACKETS.split(name))

    def masked(self, name: str, values: list[str]) -> list[str] | str:
        """The values of a field that was parsed already; JSON in them is masked too."""
        return STARS if self.knows(name) else [self.json(value) for value in values]

    def query(self, query: str) -> str:
        """A query, or a form: ``a=b&password=********``."""
        if not self._may_have(query, "%"):
            return query
        return "&".join(map(self._parameter, query.split("&")))

    def _parameter(self, parameter: str) -> str:
        # Some parameters are parted by other characters, which a secret may also hold: from the
        # first secret on all is masked.
        for piece in _PIECE.finditer(parameter):
            name, equals, _ = piece.group().partition("=")
            value = piece.start() + len(name) + 1
            if equals and value < len(parameter) and self.knows(unquote_plus(name)):
                return parameter[:value] + STARS
        return parameter

    def url(self, url: str) -> str:
        """A URL, whose parameters stand behind its first ``?`` or ``#``."""
        start = re.search("[?#]", url)
        return url[: start.end()] + self.query(url[start.end() :]) if start else url

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers by their lower-case names."""
        masked = {}
        for name, value in headers.items():
            name = name.lower()
            if name in self._headers:
                value = STARS
            elif name in _URL_HEADERS:
                value = self.url(value)
            masked[name] = value
        return masked

    def json(self, text: str) -> str:
        """The value of each such key, be it an object or a list, in JSON of any depth."""
        if not self._may_have(text, "\\u"):
            return text
        text = _masked(text, self._plain_keys(text))
        return _masked(text, self._escaped_keys(text)) if "\\u" in text else text

    def _plain_keys(self, text: str) -> Iterator[int]:
        # In a JSON string quotes are escaped, so that this finds keys only, in broken JSON too.
        return (key.end() for key in self._key.finditer(text))

    def _escaped_keys(self, text: str) -> Iterator[int]:
        for key in _ANY_STRING.finditer(text):
            colon = _COLON.match(text, key.end())
            if colon and "\\" in key.group() and self.knows(_unescaped(key.group())):
                yield colon.end()


def _masked(text: str, values: Iterator[int]) -> str:
    """Stars in place of the values that begin at these places."""
    parts, copied = [], 0
    for start in values:
        if start < copied:
            continue  # within one that is masked already
        end = _value_end(text, start)
        if end > start:
            parts += [text[copied:start], f'"{STARS}"']
            copied = end
    return "".join([*parts, text[copied:]])


def _unescaped(name: str) -> str:
    """What a JSON string says."""
    try:
        return str(json.loads(name, strict=False))
    except ValueError:
        return name


def _value_end(text: str, start: int) -> int:
    """Where the value ends that begins at ``start``; the text's end if its end is missing."""
    if text[start : start + 1] not in ("{", "["):
        value = _VALUE.match(text, start)
        return value.end() if value else start
    depth = 0
    for token in _TOKEN.finditer(text, start):
        if token.group() in ("{", "["):
            depth += 1
        elif token.group() in ("}", "]"):
            depth -= 1
            if depth == 0:
                return token.end()
    return len(text)
