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
# What is percent-encoded in a value that may be a URL, a form or JSON: " # % & . ; = ? @ [ {
_MAY_NEST = re.compile("%(?:2[2356e]|3[bdf]|40|[57]b)", re.IGNORECASE)
# JSON at the beginning of a parameter or of its value.
_BLANKS = r"(?:[+ \t\n\r\ufeff]|%20|%0[9AaDd])*"
_LIKE_JSON = re.compile(rf'{_BLANKS}(?:[{{\["]|%(?:22|25|[57][Bb]))')
_PLAIN_JSON = re.compile(rf"{_BLANKS}(?=[{{\[])")
# JSON at the beginning of a text, or a string, which may be JSON itself.
_BEGIN_JSON = re.compile(
    r'[\s\x00-\x1f\x7f-\x9f\ufeff]*(?:(?P<json>\{[\t\n\x0c\r ]*"|\[[\t\n\x0c\r ]*[{\["])|(?P<string>"))'
)
# Where JSON may begin within a text, and what shows that it is an object with a key, or a key.
_JSON_SIGN = re.compile(r'[{\["]')
_STRING_NEXT = re.compile(r'[\t\n\x0c\r ]*"')
_COLON_NEXT = re.compile(r"[\t\n\x0c\r ]*:")
_IS_VALUE = re.compile(r"=[ +]{0,3}\Z")
# What of a string of JSON may be a name and its value, or has to be decoded.
_MAY_HAVE_NAME = re.compile(r"[=\\%]")
_AUTHORITY = re.compile(r'//([^\s/?#"<>\\]*)@')
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.|\Z)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_URL_QUERY = re.compile("[?#]")
_BRACKETS = re.compile(r"[\[\]]")
# A JSON string whose end may be missing. It then extends to the text's end, so that no search for the
# next string begins inside it: the time is linear in the text's length.
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)'
# A string that has its end.
_CLOSED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
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
        self._encoded = _Encoded(self.text)
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
        return _Encoded(lambda value: self.text(change(value)))

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
        """Masks the values of a parsed field, or what is in them: URLs, forms and JSON."""
        if self.knows(name):
            return STARS
        return [self.json(value) if self._secrets is None else self.text(value) for value in values]

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
        return self._values_and_user(self._parameters(query, 0))

    def _parameters(self, text: str, nested: int) -> str:
        """Masks the parameters of a query or a form. JSON that stands in it as it is may hold a ``&``."""
        if '"' not in text or self._secrets is None:
            return "&".join([self._parameter(parameter, nested) for parameter in text.split("&")])
        parts, start, looked = [], 0, 0
        while start <= len(text):
            end = text.find("&", start)
            end = len(text) if end < 0 else end
            masked, known = None, False
            for begin in self._value_begins(text[start:end]):
                json_begin = _PLAIN_JSON.match(text, start + begin) if start + begin >= looked else None
                if json_begin is None:
                    continue
                looked = _value_end(text, json_begin.end())
                stop = text.find("&", looked)
                stop = len(text) if stop < 0 else stop
                if self._is_secret_within(text[start + begin : stop], nested):
                    masked, end = text[start : start + begin] + STARS, stop
                    break
                is_whole = begin == 0 or "=" not in text[start : start + begin - 1]
                known = known or stop == end and is_whole
            parts.append(self._parameter(text[start:end], nested, known) if masked is None else masked)
            start = end + 1
        return "&".join(parts)

    def _value_begins(self, parameter: str) -> Iterator[int]:
        """Returns where JSON may begin in a parameter, up to the first name of a secret."""
        yield 0
        for piece in _PIECE.finditer(parameter):
            name, equals, _ = piece.group().partition("=")
            if equals:
                if self.knows(unquote_plus(name)):
                    return
                yield piece.start() + len(name) + 1

    def _parameter(self, parameter: str, nested: int = 0, is_known: bool = False) -> str:
        # A parameter without a name. Known is that nothing is within its value.
        if (
            self._secrets is not None
            and not is_known
            and _LIKE_JSON.match(parameter)
            and self._is_secret_within(parameter, nested)
        ):
            return STARS
        # Some parameters are separated by other characters, which a secret may also contain. So
        # everything after the first secret's name is masked.
        for piece in _PIECE.finditer(parameter):
            name, equals, _ = piece.group().partition("=")
            value = piece.start() + len(name) + 1
            if not equals or value >= len(parameter):
                continue
            if self.knows(unquote_plus(name)) or self._is_secret(piece.group()[len(name) + 1 :]):
                return parameter[:value] + STARS
        if self._secrets is not None and not is_known:
            name, _, whole = parameter.partition("=")
            if self._is_secret_within(whole, nested):
                return f"{name}={STARS}"
        return parameter

    def _is_secret_within(self, value: str, nested: int) -> bool:
        """Returns whether a parameter, or its value, holds a secret when it is decoded: in a URL or a form, in
        JSON, or by its form."""
        if nested == _MOST_NESTED or not _may_nest(value):
            return False
        text = unquote_plus(value)
        if text == value:
            # The words of it are looked at where it stands.
            return self._values_and_user(self._by_names(text, nested + 1, False)) != text
        return self._text(text, nested + 1) != text or self._is_secret_within(text, nested + 1)

    def text(self, text: str) -> str:
        """Masks names and values, and what looks like a secret, in a text that may be a URL, a query, a form or
        JSON."""
        return text if self._secrets is None else self._text(text, 0)

    def _text(self, text: str, nested: int) -> str:
        return self._values_and_user(self._by_names(text, nested))

    def _values_and_user(self, text: str) -> str:
        if text.startswith("//"):
            user = _AUTHORITY.match(text)
            if user is not None and ":" in user[1]:
                text = f"//{STARS}{text[user.end() - 1 :]}"
        return self.values(text)

    def _by_names(self, text: str, nested: int, has_words: bool = True) -> str:
        """Masks the values of names, in JSON and, if it has words, outside of it."""
        if "=" not in text and '"' not in text and "%" not in text:
            return text
        parts, at = [], 0
        while at < len(text):
            found = _json_within(text, at)
            start, end = (len(text), len(text)) if found is None else found
            if start > at:
                words = text[at:start]
                parts.append(self._parameters(words, nested) if has_words else words)
            if end > start:
                parts.append(self._all_json(text[start:end], nested))
            at = end
        return "".join(parts)

    def _all_json(self, text: str, nested: int) -> str:
        assert self._secrets is not None
        words, _ = self._secrets.suspects(text)
        text = self._json(text, self._secret_keys(text, words) if words else [])
        return self._strings(text, nested)

    def _strings(self, text: str, nested: int) -> str:
        """Masks what is in the strings of JSON that are no keys. One with escapes is decoded, and written anew if it
        has a secret."""
        parts, copied = [], 0
        for string in _ANY_STRING.finditer(text):
            if _COLON_NEXT.match(text, string.end()):
                continue
            start, end = string.start() + 1, string.end()
            if _CLOSED.fullmatch(string.group()):
                end -= 1
            within = text[start:end]
            masked = self._string(within, nested) if _MAY_HAVE_NAME.search(within) else within
            if masked != within:
                parts += [text[copied:start], masked]
                copied = end
        return "".join([*parts, text[copied:]]) if copied else text

    def _string(self, string: str, nested: int) -> str:
        if nested == _MOST_NESTED:
            return string
        if "\\" not in string:
            return self._by_names(string, nested)
        plain = _plain(string)
        masked = self._text(plain, nested + 1)
        return encode_basestring(masked)[1:-1] if masked != plain else string

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
            # A name may be written with escapes.
            if (words or "%" in text or "\\" in text) and _MAY_HAVE_NAME.search(text):
                begin = _BEGIN_JSON.match(text)
                if begin is not None and begin["json"] is not None:
                    text = self._strings(text, 0)
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


def _may_nest(value: str) -> bool:
    """Returns whether a value may hold a text within it: one that is percent-encoded in a place that matters, JSON,
    or a URL without its scheme."""
    if "%" in value:
        return "@" in value or '"' in value or value.startswith("//") or _MAY_NEST.search(value) is not None
    return '"' in value or value.startswith("//")


def _json_within(text: str, at: int) -> Optional[tuple[int, int]]:
    """Returns where the next JSON stands in a text: an object with a key, a list or a string at the beginning of the
    text, or from a key without an object to the end. JSON that is a parameter's value belongs to the parameter."""
    if at == 0:
        begin = _BEGIN_JSON.match(text)
        if begin is not None:
            start = begin.start(str(begin.lastgroup))
            end = _value_end(text, start)
            if begin["string"] and _COLON_NEXT.match(text, end):
                end = len(text)
            return start, end
    opening = -1
    while (sign := _JSON_SIGN.search(text, at)) is not None:
        found, at = sign.start(), sign.end()
        if sign.group() != '"':
            if _IS_VALUE.search(text[max(found - 4, 0) : found]):
                at, opening = _value_end(text, found), -1
            elif sign.group() == "{" and _STRING_NEXT.match(text, at):
                return found, _value_end(text, found)
        elif opening >= 0 and _COLON_NEXT.match(text, at):
            return opening, len(text)
        else:
            opening = found
    return None


def _plain(string: str) -> str:
    """Returns the text of a JSON string, given without its quotation marks, also if it is cut off or invalid."""
    plain = _ESCAPE.sub(_unescape, string)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _unescape(escape: re.Match[str]) -> str:
    kind = escape[1]
    return chr(int(kind[1:], 16)) if len(kind) > 1 else _ESCAPES.get(kind, kind)


def begins_like_json(text: str) -> bool:
    """Returns whether a text is JSON, as far as its beginning says."""
    return text.lstrip("\ufeff\t\n\x0c\r ").startswith(("{", "["))


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
