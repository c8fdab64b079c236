"""Secrets are replaced by stars before anything is cut or written.

A field is known by its whole name, without regard to case and to how it is escaped; of a name with
brackets (``user[password]``) any part counts. This is how the daemon does it, too. Texts are masked
where they stand and not parsed and written again: what is logged is otherwise what was sent, and a
text that is broken, or cut off in the middle of a secret, is masked as well.
"""

from __future__ import annotations

import json
import re
import string
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
# Characters of a key with brackets that are looked at, lest hostile texts cost more than their length.
_LONG_KEY = 100
_KEY_END = re.compile(rf'(?:[\[\]][^"\\]{{0,{_LONG_KEY}}})?"\s*:\s*')
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_COLON = re.compile(r"\s*:\s*")


class Mask:
    """Masks the fields with these names; JSON and forms are left alone if there is none."""

    def __init__(self, fields: Iterable[str]) -> None:
        names = {field.strip().lower() for field in fields}
        self.names = frozenset(names - {""})
        self._headers = SECRET_HEADERS | {name.replace("_", "-") for name in self.names}

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
        if "%" not in query:
            lowered = query.lower()
            if not any(name in lowered for name in self.names):
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
        text = _masked(text, self._plain_keys(text))
        return _masked(text, self._escaped_keys(text)) if "\\u" in text else text

    def _plain_keys(self, text: str) -> list[int]:
        """Where the values of unescaped keys begin, in broken JSON too.

        It looks for the names and then around them, which is faster than a pattern that begins at
        each quote. In a JSON string quotes are escaped, so that only keys are found.
        """
        lowered = text.lower()
        if len(lowered) != len(text):
            lowered = text.translate(_ASCII_LOWER)
        values = []
        for name in self.names:
            at = lowered.find(name)
            while at >= 0:
                end = at + len(name)
                behind = _KEY_END.match(text, end)
                if behind and _begins_key(text, at):
                    values.append(behind.end())
                at = lowered.find(name, end)
        return sorted(values)

    def _escaped_keys(self, text: str) -> Iterator[int]:
        for key in _ANY_STRING.finditer(text):
            colon = _COLON.match(text, key.end())
            if colon and "\\" in key.group() and self.knows(_unescaped(key.group())):
                yield colon.end()


def _begins_key(text: str, at: int) -> bool:
    before = text[at - 1 : at]
    if before == '"':
        return True
    # user[password]
    quote = text.rfind('"', max(at - _LONG_KEY, 0), at) if before == "[" else -1
    return quote >= 0 and "\\" not in text[quote:at]


def _masked(text: str, values: Iterable[int]) -> str:
    """Stars in place of the values that begin at these places."""
    parts, copied = [], 0
    for start in values:
        if start < copied:
            continue  # within one that is masked already
        end = _value_end(text, start)
        if end > start:
            parts += [text[copied:start], f'"{STARS}"']
            copied = end
    return "".join([*parts, text[copied:]]) if copied else text


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
