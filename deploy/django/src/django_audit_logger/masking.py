"""Replaces secrets by stars, before a text is cut or written.

A field is recognized by the meaning of its name, and some values by their form: see ``secrets.py``. By
the exact rule, a field is recognized by its whole name, ignoring case and escapes; any part of a name
with brackets (``user[password]``) counts. The daemon uses the same rules. Texts are masked in place and
not parsed and written again: the rest of the logged text is what was sent, and a text that is broken,
or cut off in the middle of a secret, is masked, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from json.encoder import encode_basestring
from typing import Any, NamedTuple, Optional
from urllib.parse import unquote_plus

from .secrets import (
    Names,
    find_tokens,
    find_values,
    lower,
    may_have_token,
    may_have_user,
    may_have_value,
)

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
# Names of fields that are known to be secret or not, and characters of each.
_MOST_FIELDS = 4096
_LONG_FIELD = 200
# The same for values of headers.
_MOST_VALUES = 1000
_LONG_VALUE = 300
# No value with fewer characters looks like a secret.
_SHORTEST_VALUE = 11
# No text with fewer characters, and without a colon, has a secret: "Basic Og".
_SHORTEST_TEXT = 8

# How often a value within a value is decoded: more would let a client choose the time that a request takes.
_MOST_NESTED = 4

_PIECE = re.compile("[^;?#]+")
# A value that may be a URL, a form or JSON after it is decoded.
_MAY_NEST = re.compile(r"[\t\n\x0c\r ]*[{[]|.*?%(?:3d|40|7b|5b|25)", re.DOTALL | re.IGNORECASE)
_URL_QUERY = re.compile("[?#]")
_BRACKETS = re.compile(r"[\[\]]")
# A JSON string whose end may be missing. It then extends to the text's end, so that no search for the
# next string begins inside it: the time is linear in the text's length.
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)'
_VALUE = re.compile(rf"{_STRING}|[^\s,}}\]]+", re.DOTALL)
_TOKEN = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
_ANY_STRING = re.compile(_STRING, re.DOTALL)
# Most characters of a key before the part by which it is found: the time stays linear.
_LONG_NAME = 1000
# Most characters of a key with brackets that are checked: the time stays linear in the text's length.
_LONG_KEY = 100
_KEY_END = re.compile(rf'(?:[\[\]][^"\\]{{0,{_LONG_KEY}}})?"\s*:\s*')
_COLON = re.compile(r"\s*:\s*")
# A key without escapes.
_KEY = re.compile(r'"([^"\\]*)"\s*:\s*')


class _Plan(NamedTuple):
    """The recipe that turns the headers of one kind of request into a JSON object."""

    template: str  # the object's beginning; empty without headers
    plain: tuple[str, ...]  # keys whose encoded values are inserted
    changed: tuple[tuple[str, str, _Encoded], ...]
    entity: tuple[tuple[str, str, str], ...]


class _Encoded(dict[str, str]):
    """Values of headers, masked by a function and encoded as JSON. Most requests have values that others had."""

    def __init__(self, change: Callable[[str], str]) -> None:
        self._change = change

    def __missing__(self, value: str) -> str:
        encoded = encode_basestring(self._change(value))
        # A client may send any number of values.
        if len(value) <= _LONG_VALUE:
            if len(self) >= _MOST_VALUES:
                self.clear()
            self[value] = encoded
        return encoded


class Mask:
    """Masks secrets, and the fields with these names. Without names, JSON and forms stay as they are.

    If ``exact``, only fields with exactly these names are masked, and no value by its form. ``changes``
    are functions for values of headers, by the headers' lower-case names.
    """

    def __init__(
        self,
        fields: Iterable[str],
        exact: bool = False,
        paths: Iterable[re.Pattern[str]] = (),
        changes: Mapping[str, Callable[[str], str]] = {},
    ) -> None:
        fields = tuple(fields)
        names = {field.strip().lower() for field in fields}
        self.names = frozenset(names - {""})
        self._names = tuple(self.names)
        self._headers = SECRET_HEADERS | {name.replace("_", "-") for name in self.names}
        # The names by their meaning; None by the exact rule, and if nothing is masked.
        self._secrets = Names(fields) if self.names and not exact else None
        changes = {**dict.fromkeys(_URL_HEADERS, self.url), **changes}
        # Values of headers, masked and encoded; by the names of headers that are changed before.
        self._encoded = _Encoded(self.values)
        self._changed = {name: self._encoded_after(change) for name, change in changes.items()}
        # Patterns whose groups are masked in paths.
        self._paths = tuple(paths) if self.names else ()
        # Whether fields are secret.
        self._fields: dict[str, bool] = {}
        # Recipes of requests, by the keys of their headers.
        self._plans: dict[tuple[str, ...], _Plan] = {}
        # Encoded names of response headers whose values are not masked.
        self._begins: dict[str, str] = {}
        # Queries, masked.
        self._queries: dict[str, str] = {}
        # The JSON of the two headers with ids, if they are masked.
        self.request_id_header, self.trace_header = (
            f',"{name}":"{STARS}"' if self._hides(name) else "" for name in ("x-request-id", "traceresponse")
        )

    def _encoded_after(self, change: Callable[[str], str]) -> _Encoded:
        return _Encoded(lambda value: self.values(change(value)))

    def knows(self, name: str) -> bool:
        if self._secrets is not None:
            known = self._fields.get(name)
            if known is None:
                known = self._secrets.has(name)
                if len(name) <= _LONG_FIELD:
                    # A client may send any number of names.
                    if len(self._fields) >= _MOST_FIELDS:
                        self._fields.clear()
                    self._fields[name] = known
            return known
        name = name.strip().lower()
        if name in self.names:
            return True
        return "[" in name and any(part in self.names for part in _BRACKETS.split(name))

    def masked(self, name: str, values: list[str]) -> list[str] | str:
        """Masks the values of a parsed field, and JSON in them."""
        return STARS if self.knows(name) else [self.json(value) for value in values]

    def query(self, query: str) -> str:
        """Masks a query or a form: ``a=b&password=********``."""
        if self._secrets is not None:
            known = self._queries.get(query)
            if known is None:
                known = self._query(query)
                if len(query) <= _LONG_VALUE:
                    if len(self._queries) >= _MOST_VALUES:
                        self._queries.clear()
                    self._queries[query] = known
            return known
        if "%" not in query:
            lowered = query.lower()
            for name in self._names:
                if name in lowered:
                    break
            else:
                return query
        return "&".join(map(self._parameter, query.split("&")))

    def _query(self, query: str) -> str:
        if "%" not in query and "+" not in query:
            lowered = query.lower()
            if not self._has_sign(lowered) and not may_have_value(lowered):
                return query
        return self.values("&".join(map(self._parameter, query.split("&"))))

    def _parameter(self, parameter: str, nested: int = 0) -> str:
        # Some parameters are separated by other characters, which a secret may also contain. So
        # everything after the first secret's name is masked.
        for piece in _PIECE.finditer(parameter):
            name, equals, _ = piece.group().partition("=")
            value = piece.start() + len(name) + 1
            if not equals or value >= len(parameter):
                continue
            if self.knows(unquote_plus(name)) or self._is_secret(piece.group()[len(name) + 1 :]):
                return parameter[:value] + STARS
        if self._secrets is not None:
            name, _, whole = parameter.partition("=")
            if self._is_secret_within(whole, nested):
                return f"{name}={STARS}"
        return parameter

    def _is_secret_within(self, value: str, nested: int) -> bool:
        """Returns whether a parameter's value holds a secret when it is decoded: in a URL or a form, in JSON,
        or by its form."""
        if nested == _MOST_NESTED or not _MAY_NEST.match(value):
            return False
        text = unquote_plus(value)
        if text.lstrip()[:1] in ("{", "[") and self.json(text) != text:
            return True
        if any(part != self._parameter(part, nested + 1) for part in text.split("&")):
            return True
        return any(True for _ in find_values(text)) or self._is_secret_within(text, nested + 1)

    def _is_secret(self, value: str) -> bool:
        """Returns whether a part of a parameter's value looks like a secret."""
        if self._secrets is None or len(value) < _SHORTEST_VALUE:
            return False
        value = unquote_plus(value)
        return may_have_value(value.lower()) and any(True for _ in find_values(value))

    def _has_sign(self, lowered: str) -> bool:
        """Returns whether a text in lower case may have the name of a secret."""
        return self._secrets is not None and self._secrets.signs.search(lowered) is not None

    def _hides(self, name: str) -> bool:
        """Returns whether a header, by its lower-case name, is masked."""
        return name in self._headers or self._secrets is not None and self.knows(name)

    def url(self, url: str) -> str:
        """Masks a URL, whose parameters are after its first ``?`` or ``#``."""
        start = _URL_QUERY.search(url)
        if start is None:
            return self.path(url)
        return self.path(url[: start.end()]) + self.query(url[start.end() :])

    def path(self, path: str) -> str:
        """Masks the groups of the patterns for paths, and what ``tokens`` masks."""
        for pattern in self._paths:
            path = pattern.sub(_without_groups, path)
        # Asked here, too: few paths have one, and two calls take longer.
        return self.tokens(path) if "@" in path or "eyJ" in path else path

    def tokens(self, text: str) -> str:
        """Masks JSON Web Tokens and the user information of URLs, in any text."""
        if self._secrets is None or not may_have_token(text):
            return text
        parts, copied = [], 0
        for start, end in find_tokens(text):
            parts += [text[copied:start], STARS]
            copied = end
        return "".join([*parts, text[copied:]]) if copied else text

    def request_headers(self, environ: Mapping[str, Any]) -> str:
        """Returns the headers of a WSGI environ as a JSON object, by their lower-case names."""
        keys = tuple(environ)
        plan = self._plans.get(keys)
        if plan is None:
            plan = self._plan(keys)
        encoded = self._encoded.__getitem__
        try:
            text = plan.template % tuple(map(encoded, map(environ.__getitem__, plan.plain)))
        except (TypeError, AttributeError):  # of a value that is not a text
            values = map(environ.__getitem__, plan.plain)
            text = plan.template % tuple(encoded(str(value)) for value in values)
        for begin, key, changed in plan.changed:
            text += (begin if text else "{" + begin[1:]) + changed[str(environ[key])]
        for begin, key, other in plan.entity:
            value = environ[key] or environ[other]
            if value:
                text += (begin if text else "{" + begin[1:]) + encoded(str(value))
        return (text or "{") + "}"

    def _plan(self, keys: tuple[str, ...]) -> _Plan:
        """Returns the recipe for requests with these keys. Most servers get few kinds of requests."""
        template, plain, changed, entity = [], [], [], []
        for key in keys:
            if key[:5] != "HTTP_" or key[5:] in _ENTITY_HEADERS:
                continue
            name = key[5:].replace("_", "-").lower()
            begin = f",{encode_basestring(name)}:"
            if name in self._changed and not self._hides(name):
                changed.append((begin, key, self._changed[name]))
                continue
            begin = begin.replace("%", "%%")
            if self._hides(name):
                template.append(f'{begin}"{STARS}"')
            else:
                template.append(f"{begin}%s")
                plain.append(key)
        for key, begin in _ENTITY_HEADERS.items():
            names = [name for name in (key, f"HTTP_{key}") if name in keys]
            if names:
                entity.append((begin, names[0], names[-1]))
        opened = "{" + "".join(template)[1:] if template else ""
        plan = _Plan(opened, tuple(plain), tuple(changed), tuple(entity))
        # A client may send any number of names of any length, so the cache is limited.
        if sum(map(len, keys)) < _MOST_LETTERS:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[keys] = plan
        return plan

    def headers(
        self,
        headers: Iterable[tuple[str, str]],
        cookies: bool = False,
        members: str = "",
    ) -> str:
        """Returns headers as a JSON object by their lower-case names, with one entry for ``cookies``.

        ``members`` are more entries of the object, encoded, each after a comma.
        """
        parts = []
        begins, encoded = self._begins, self._encoded
        for name, value in headers:
            begin = begins.get(name)
            if begin is not None:
                parts.append(begin + encoded[value])
            else:
                parts.append(self._header(name, value))
        if cookies and _SET_COOKIE not in parts:
            parts.append(_SET_COOKIE)
        # Some responses have no other headers.
        return f"{{{','.join(parts)}{members if parts else members[1:]}}}"

    def _header(self, given: str, value: str) -> str:
        """Returns one header. If its value stays as it is, the encoded name is cached."""
        name = given.lower()
        begin = encode_basestring(name) + ":"
        if self._hides(name):
            return f'{begin}"{STARS}"'
        if name in self._changed:
            return begin + self._changed[name][value]
        if len(self._begins) < _MOST_NAMES:
            self._begins[given] = begin
        return begin + self._encoded[value]

    def json(self, text: str) -> str:
        """Masks the value of each such key in JSON of any depth, also an object or a list."""
        if self._secrets is not None:
            has_colon = ":" in text
            if not has_colon and len(text) < _SHORTEST_TEXT:
                return text
            words, has_value = self._secrets.suspects(text)
            if has_colon:
                text = self._json(text, self._secret_keys(text, words) if words else [])
            return self._without_values(text) if has_value or may_have_user(text) else text
        return self._json(text, self._plain_keys(text)) if ":" in text else text

    def _secret_keys(self, text: str, words: Iterable[str]) -> list[int]:
        """Returns where the values of keys without escapes begin whose names mean a secret."""
        lowered = lower(text)
        values = set()
        for word in words:
            at = lowered.find(word)
            while at >= 0:
                # The string around it, if that is a key: what is between two strings is none.
                quote = text.rfind('"', max(at - _LONG_NAME, 0), at)
                key = _KEY.match(text, quote) if quote >= 0 else None
                seen = at + len(word)
                if key is not None:
                    seen = max(seen, key.end())
                    if self.knows(key[1]):
                        values.add(key.end())
                at = lowered.find(word, seen)
        return sorted(values)

    def values(self, text: str) -> str:
        """Masks what looks like a secret, wherever it stands."""
        if self._secrets is None or not may_have_value(text.lower()):
            return text
        return self._without_values(text)

    def _without_values(self, text: str) -> str:
        """Masks what looks like a secret. A number in JSON becomes a text."""
        parts, copied, strings = [], 0, None
        for start, end in find_values(text):
            if strings is None:
                is_json = text.lstrip()[:1] in ("{", "[")
                strings = _ANY_STRING.finditer(text) if is_json else iter(())
                string = next(strings, None)
            while string is not None and string.end() <= start:
                string = next(strings, None)
            is_bare = is_json and (string is None or string.start() > start)
            parts += [text[copied:start], f'"{STARS}"' if is_bare else STARS]
            copied = end
        return "".join([*parts, text[copied:]]) if copied else text

    def _json(self, text: str, values: list[int]) -> str:
        if values:
            text = _masked(text, values)
        return _masked(text, self._escaped_keys(text)) if "\\" in text and "\\u" in text else text

    def _plain_keys(self, text: str) -> list[int]:
        """Returns where the values of unescaped keys begin, also in broken JSON.

        It searches for the names and then checks the text around them. That is faster than a pattern
        that begins at each quote. In a JSON string quotes are escaped, so only keys are found.
        """
        lowered = lower(text)
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


def _without_groups(found: re.Match[str]) -> str:
    text, start = found.group(), found.start()
    for nth in range(len(found.groups()), 0, -1):
        begin, end = found.span(nth)
        if begin >= 0:
            text = text[: begin - start] + STARS + text[end - start :]
    return text


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
