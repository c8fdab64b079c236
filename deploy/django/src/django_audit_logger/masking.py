"""Replaces secrets by stars, before a text is cut or written.

A field is recognized by its whole name, ignoring case and escapes. Any part of a name with brackets
(``user[password]``) counts. The daemon uses the same rules. Texts are masked in place and not parsed
and written again: the rest of the logged text is what was sent, and a text that is broken, or cut
off in the middle of a secret, is masked, too.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterable, Iterator, Mapping
from json.encoder import encode_basestring
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from .records import Json

STARS = "********"

SECRET_HEADERS = frozenset(
    ("authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key")
)
# Headers that contain a URL, whose parameters are masked.
_URL_HEADERS = frozenset(("referer", "location", "content-location"))
_SET_COOKIE = f'"set-cookie":"{STARS}"'
# The two headers without the prefix HTTP_ in WSGI.
_ENTITY_HEADERS = {"CONTENT_TYPE": ',"content-type":', "CONTENT_LENGTH": ',"content-length":'}
# Limits of the caches: kinds of requests, characters of the keys of each, names in responses.
_MOST_PLANS = 256
_MOST_LETTERS = 4000
_MOST_NAMES = 1000

_PIECE = re.compile("[^;?#]+")
_URL_QUERY = re.compile("[?#]")
_BRACKETS = re.compile(r"[\[\]]")
# A JSON string whose end may be missing. It then extends to the text's end, so that no search for the
# next string begins inside it: the time is linear in the text's length.
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)'
_VALUE = re.compile(rf"{_STRING}|[^\s,}}\]]+", re.DOTALL)
_TOKEN = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
_ANY_STRING = re.compile(_STRING, re.DOTALL)
# Most characters of a key with brackets that are checked: the time stays linear in the text's length.
_LONG_KEY = 100
_KEY_END = re.compile(rf'(?:[\[\]][^"\\]{{0,{_LONG_KEY}}})?"\s*:\s*')
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_COLON = re.compile(r"\s*:\s*")


class _Plan(NamedTuple):
    """The recipe that turns the headers of one kind of request into a JSON object."""

    template: str
    plain: tuple[str, ...]  # keys whose encoded values are inserted
    urls: tuple[tuple[str, str], ...]
    entity: tuple[tuple[str, str, str], ...]


class Mask:
    """Masks the fields with these names. Without names, JSON and forms stay as they are."""

    def __init__(self, fields: Iterable[str]) -> None:
        names = {field.strip().lower() for field in fields}
        self.names = frozenset(names - {""})
        self._names = tuple(self.names)
        self._headers = SECRET_HEADERS | {name.replace("_", "-") for name in self.names}
        # Recipes of requests, by the keys of their headers.
        self._plans: dict[tuple[str, ...], _Plan] = {}
        # Encoded names of response headers whose values are not masked.
        self._begins: dict[str, str] = {}

    def knows(self, name: str) -> bool:
        name = name.strip().lower()
        if name in self.names:
            return True
        return "[" in name and any(part in self.names for part in _BRACKETS.split(name))

    def masked(self, name: str, values: list[str]) -> list[str] | str:
        """Masks the values of a parsed field, and JSON in them."""
        return STARS if self.knows(name) else [self.json(value) for value in values]

    def query(self, query: str) -> str:
        """Masks a query or a form: ``a=b&password=********``."""
        if "%" not in query:
            lowered = query.lower()
            for name in self._names:
                if name in lowered:
                    break
            else:
                return query
        return "&".join(map(self._parameter, query.split("&")))

    def _parameter(self, parameter: str) -> str:
        # Some parameters are separated by other characters, which a secret may also contain. So
        # everything after the first secret's name is masked.
        for piece in _PIECE.finditer(parameter):
            name, equals, _ = piece.group().partition("=")
            value = piece.start() + len(name) + 1
            if equals and value < len(parameter) and self.knows(unquote_plus(name)):
                return parameter[:value] + STARS
        return parameter

    def url(self, url: str) -> str:
        """Masks a URL, whose parameters are after its first ``?`` or ``#``."""
        start = _URL_QUERY.search(url)
        return url[: start.end()] + self.query(url[start.end() :]) if start else url

    def request_headers(self, environ: Mapping[str, Any]) -> Json:
        """Returns the headers of a WSGI environ as a JSON object, by their lower-case names."""
        keys = tuple(environ)
        plan = self._plans.get(keys)
        if plan is None:
            plan = self._plan(keys)
        values = map(environ.__getitem__, plan.plain)
        try:
            text = plan.template % tuple(map(encode_basestring, values))
        except TypeError:  # of a value that is not a text
            values = map(environ.__getitem__, plan.plain)
            text = plan.template % tuple(encode_basestring(str(value)) for value in values)
        for begin, key in plan.urls:
            text += begin + encode_basestring(self.url(str(environ[key])))
        for begin, key, other in plan.entity:
            value = environ.get(key) or environ.get(other)
            if value:
                text += begin + encode_basestring(str(value))
        return Json(f"{{{text[1:]}}}")

    def _plan(self, keys: tuple[str, ...]) -> _Plan:
        """Returns the recipe for requests with these keys. Most servers get few kinds of requests."""
        template, plain, urls, entity = [], [], [], []
        for key in keys:
            if key[:5] != "HTTP_" or key[5:] in _ENTITY_HEADERS:
                continue
            name = key[5:].replace("_", "-").lower()
            begin = f",{encode_basestring(name)}:"
            if name in _URL_HEADERS and name not in self._headers:
                urls.append((begin, key))
                continue
            begin = begin.replace("%", "%%")
            if name in self._headers:
                template.append(f'{begin}"{STARS}"')
            else:
                template.append(f"{begin}%s")
                plain.append(key)
        for key, begin in _ENTITY_HEADERS.items():
            if key in keys or f"HTTP_{key}" in keys:
                entity.append((begin, key, f"HTTP_{key}"))
        plan = _Plan("".join(template), tuple(plain), tuple(urls), tuple(entity))
        # A client may send any number of names of any length, so the cache is limited.
        if sum(map(len, keys)) < _MOST_LETTERS:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[keys] = plan
        return plan

    def headers(self, headers: Iterable[tuple[str, str]], cookies: bool = False) -> Json:
        """Returns headers as a JSON object by their lower-case names, with one entry for ``cookies``."""
        parts = []
        begins = self._begins
        for name, value in headers:
            begin = begins.get(name)
            if begin is not None:
                parts.append(begin + encode_basestring(value))
            else:
                parts.append(self._header(name, value))
        if cookies and _SET_COOKIE not in parts:
            parts.append(_SET_COOKIE)
        return Json(f"{{{','.join(parts)}}}")

    def _header(self, given: str, value: str) -> str:
        """Returns one header. If its value needs no masking, the encoded name is cached."""
        name = given.lower()
        begin = encode_basestring(name) + ":"
        if name in self._headers:
            return f'{begin}"{STARS}"'
        if name in _URL_HEADERS:
            value = self.url(value)
        elif len(self._begins) < _MOST_NAMES:
            self._begins[given] = begin
        return begin + encode_basestring(value)

    def json(self, text: str) -> str:
        """Masks the value of each such key in JSON of any depth, also an object or a list."""
        if ":" not in text:
            return text
        values = self._plain_keys(text)
        if values:
            text = _masked(text, values)
        return _masked(text, self._escaped_keys(text)) if "\\" in text and "\\u" in text else text

    def _plain_keys(self, text: str) -> list[int]:
        """Returns where the values of unescaped keys begin, also in broken JSON.

        It searches for the names and then checks the text around them. That is faster than a pattern
        that begins at each quote. In a JSON string quotes are escaped, so only keys are found.
        """
        lowered = text.lower()
        if len(lowered) != len(text):
            lowered = text.translate(_ASCII_LOWER)
        values = []
        for name in self._names:
            at = lowered.find(name)
            while at >= 0:
                end = at + len(name)
                behind = _KEY_END.match(text, end)
                if behind and _begins_key(text, at):
                    values.append(behind.end())
                at = lowered.find(name, end)
        values.sort()
        return values

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
    """Replaces the values that begin at these positions by stars."""
    parts, copied = [], 0
    for start in values:
        if start < copied:
            continue  # within a value that is masked already
        end = _value_end(text, start)
        if end > start:
            parts += [text[copied:start], f'"{STARS}"']
            copied = end
    return "".join([*parts, text[copied:]]) if copied else text


def _unescaped(name: str) -> str:
    """Returns the value of a JSON string."""
    try:
        return str(json.loads(name, strict=False))
    except ValueError:
        return name


def _value_end(text: str, start: int) -> int:
    """Returns the end of the value that begins at ``start``; the text's end if it is missing."""
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
