"""Which names mean a secret, and which texts look like one.

A name is divided into its parts: ``user[newPassword1]`` has the parts ``user``, ``new`` and
``password``. The tables below are compared with whole parts, so that ``monkey`` or ``bypass`` match
nothing. The daemon has the same tables and the same rule; the cases in ``fixtures/masking`` hold the
two together.
"""

from __future__ import annotations

import binascii
import re
import string
from collections.abc import Collection, Iterable, Iterator

# The default names of older versions, which compared whole names. Of themselves they mean a secret.
OLDER_FIELDS = ("password", "token", "access_key", "secret")

# Parts, or sequences of parts, that mean a secret. Joined they may also be one part: "apikey".
WORDS = (
    "pass", "pwd", "pswd", "passcode", "pass code", "pass word", "user pass", "db pass",
    "login pass", "new pass", "old pass", "confirm pass", "ftp pass", "smtp pass", "mail pass",
    "root pass", "admin pass", "pass phrase", "secrets", "auth", "authorization", "bearer", "jwt",
    "hmac", "otp", "totp", "session", "phpsessid", "sess id", "session id", "connect sid", "csrf",
    "xsrf", "credential", "credentials", "cred", "creds", "signature", "card", "card number",
    "card no", "card pin", "credit card", "debit card", "cvv", "cvc", "cvn", "card code",
    "security code", "verification code", "mfa code", "backup code", "backup codes",
    "recovery code", "recovery codes", "code verifier", "api key", "access key", "private key",
    "secret key", "signing key", "encryption key", "decryption key", "master key", "ssh key",
    "auth key", "shared key", "account key", "storage key", "service key", "server key",
    "deploy key", "webhook key", "session key", "api keys", "access keys", "private keys",
    "secret keys", "access tokens", "refresh tokens", "auth tokens", "api tokens", "id tokens",
    "session tokens", "backup tokens", "recovery tokens", "seed phrase", "recovery phrase",
    "mnemonic", "client assertion", "saml response", "saml request", "set cookie", "http cookie",
)  # fmt: skip
# Names that mean a secret only if they have no other part.
WHOLE = (
    "pin", "sid", "sig", "tokens", "assertion", "cookie", "cookies",
)  # fmt: skip
# A part that contains one of these means a secret: "mysqlpassword", "jsessionid".
WITHIN = (
    "password", "passwd", "passphrase", "apikey", "secretkey", "privatekey", "accesskey",
    "sessionid", "sessid", "csrf", "xsrf",
)  # fmt: skip
# A part that ends like this means a secret: "csrftoken".
ENDINGS = (
    "token", "secret", "pwd", "credential", "credentials", "signature",
)  # fmt: skip
# A name that ends with one of these parts describes a secret and is none: "token_type".
DESCRIPTIONS = (
    "address", "age", "alg", "algorithm", "at", "backend", "brand", "budget", "by", "category",
    "class", "color", "cost", "count", "counts", "country", "date", "days", "decimals", "details",
    "disabled", "duration", "enabled", "end", "ended", "error", "errors", "exp", "expiration",
    "expired", "expires", "expiry", "fail", "fee", "format", "four", "holder", "hours", "in",
    "index", "invalid", "issuer", "last", "layout", "len", "length", "level", "lifetime", "limit",
    "limits", "mark", "method", "methods", "minutes", "mode", "name", "network", "optional",
    "percentage", "policy", "position", "price", "provider", "rate", "realm", "remaining",
    "required", "resumed", "reused", "scheme", "seconds", "size", "standard", "start", "started",
    "status", "strength", "style", "supported", "symbol", "threshold", "through", "time", "timeout",
    "timestamp", "title", "ttl", "type", "types", "usage", "used", "user", "username", "valid",
    "validated", "verified", "version",
)  # fmt: skip
# A name that begins with one of these parts asks about a secret or counts some: "has_password".
QUESTIONS = (
    "can", "count", "forgot", "has", "is", "max", "min", "must", "needs", "num", "require",
    "requires", "show", "total",
)  # fmt: skip
# Sequences of parts that are no secret, although one of the parts is a word.
EXCEPTIONS = (
    "auth user id", "card id", "boarding pass", "season pass", "ski pass", "day pass", "bus pass",
    "secret santa", "business card", "report card", "post card", "sim card", "graphics card",
    "video card", "sound card", "memory card", "score card", "wild card", "playing card",
    "training session", "email signature",
)  # fmt: skip
# Letters of which each entry of WORDS, WHOLE, WITHIN and ENDINGS has some. They begin with as few and as
# rare letters as possible: so the search for them is fast.
SIGNS = (
    "pass", "pwd", "psw", "phr", "pin", "cre", "card", "cv", "cod", "ken", "key", "kie", "uth", "ses",
    "srf", "sig", "sid", "sse", "sam", "otp", "jwt", "bear", "mne", "hma",
)  # fmt: skip
# The same of values that look like a secret; card numbers have none.
VALUE_SIGNS = ("eyj", "bear", "basi", "priv")
# The same in groups of three, as the daemon searches for them.
NAME_TRIPLES = (
    "ass", "pwd", "swd", "ecr", "cre", "oke", "key", "aut", "ses", "srf", "sig", "ard", "cvv",
    "cvc", "cvn", "otp", "jwt", "bea", "oki", "cod", "phr", "aml", "mne", "sid", "hma", "sse",
    "pin",
)  # fmt: skip

_Parts = tuple[str, ...]

_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[0-9a-z\x80-\U0010ffff]+")
_UNDIVIDED = re.compile(r"[0-9A-Za-z\x80-\U0010ffff]+")
_DIGITS = "0123456789"


def _parts(name: str, pattern: re.Pattern[str]) -> _Parts:
    parts = (part.lower().rstrip(_DIGITS) for part in pattern.findall(name))
    return tuple(part for part in parts if part)


def _find(parts: _Parts, wanted: _Parts) -> int:
    """Returns where ``wanted`` is in the parts, as the same sequence or joined as one part; -1 if not."""
    length = len(wanted)
    for at in range(len(parts) - length + 1):
        if parts[at : at + length] == wanted:
            return at
    joined = "".join(wanted)
    return parts.index(joined) if joined in parts else -1


# A text as bytes: lower-case letters, and blanks for all others: tabs for digits, newlines for what may be between
# those of a number.
_LETTERS = bytes(
    it | 32 if chr(it).isalpha() and it < 128 else 9 if 48 <= it <= 57 else 10 if it in b" -" else 32
    for it in range(256)
)
# Digits of card numbers, alone and in groups.
_NUMBERS = (b"\t" * 14, b"\t\t\t\t\n\t\t\t\t\n\t\t\t\t", b"\t\t\t\t\n\t\t\t\t\t\t\n\t\t\t\t")
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
# Words that are remembered, and letters of each.
_MOST_WORDS = 8192
_LONG_WORD = 30

_WORDS = tuple(tuple(word.split()) for word in WORDS)
_EXCEPTIONS = tuple(tuple(word.split()) for word in EXCEPTIONS)
_JOINED = frozenset(word.replace(" ", "") for word in (*WORDS, *WITHIN, *ENDINGS))


class Names:
    """The names that mean a secret: those of the tables, and ``fields``, which no exception undoes."""

    def __init__(self, fields: Iterable[str]) -> None:
        # The names of the older default are in the tables, where exceptions apply to them.
        added = (_parts(name, _CAMEL) for name in fields if name.strip() not in OLDER_FIELDS)
        self._fields = tuple(parts for parts in added if parts)
        # A text in lower case in which this is not found has no name of a secret.
        own = [parts[0] for parts in self._fields]
        signs = (*SIGNS, *map(re.escape, own))
        self.signs = re.compile("|".join(dict.fromkeys(signs)))
        self._all_signs = re.compile("|".join(dict.fromkeys((*signs, *VALUE_SIGNS))))
        self._are_letters = all(part.isascii() and part.isalpha() for part in own)
        # Words in which no sign is found. Most texts of a site have the words of others.
        self._innocent: set[bytes] = set()
        # Others, and whether they may be of a value.
        self._suspicious: dict[bytes, tuple[str, bool]] = {}

    def suspects(self, text: str) -> tuple[Collection[str], bool]:
        """Returns a text's words, in lower case, that may be a part of a secret's name or value, and whether the
        text may have a value that looks like a secret, other than user information."""
        letters = _letters(text)
        has_value = _has_number(letters)
        if not self._are_letters:
            signs = {sign.group() for sign in self._all_signs.finditer(lower(text))}
            return signs, has_value or not signs.isdisjoint(VALUE_SIGNS)
        words = letters.split()
        found: list[str] = []
        if not self._innocent.issuperset(words):
            for word in set(words) - self._innocent:
                text, is_of_value = self._suspicious.get(word) or self._suspect(word)
                if text:
                    found.append(text)
                    has_value = has_value or is_of_value
        return found, has_value

    def _suspect(self, word: bytes) -> tuple[str, bool]:
        """Returns a new word if it has a sign, else an empty text, and whether it may be of a value."""
        text = word.decode()
        has_sign = self._all_signs.search(text) is not None
        suspect = (text if has_sign else "", any(sign in text for sign in VALUE_SIGNS))
        if len(word) <= _LONG_WORD:
            if len(self._innocent) + len(self._suspicious) >= _MOST_WORDS:
                self._innocent.clear()
                self._suspicious.clear()
            if has_sign:
                self._suspicious[word] = suspect
            else:
                self._innocent.add(word)
        return suspect

    def has(self, name: str) -> bool:
        divided = _parts(name, _CAMEL)
        if self._means_secret(divided):
            return True
        # tOKEN, as a client may write what the server reads in any case.
        whole = _parts(name, _UNDIVIDED)
        return whole != divided and not _JOINED.isdisjoint(whole)

    def _means_secret(self, parts: _Parts) -> bool:
        if any(_find(parts, field) >= 0 for field in self._fields):
            return True
        if not parts or len(parts) > 1 and (parts[0] in QUESTIONS or parts[-1] in DESCRIPTIONS):
            return False
        if len(parts) == 1 and parts[0] in WHOLE:
            return True
        for exception in _EXCEPTIONS:
            while (at := _find(parts, exception)) >= 0:
                length = len(exception) if parts[at] == exception[0] else 1
                # An empty part stays, so that its neighbours do not become a sequence.
                parts = (*parts[:at], "", *parts[at + length :])
        return any(
            part.endswith(ENDINGS) or any(word in part for word in WITHIN) for part in parts
        ) or any(_find(parts, word) >= 0 for word in _WORDS)


_TOKENS = (
    r"(?P<token>eyJ(?:[A-Za-z0-9_-]{5,}(?P<more>[A-Za-z0-9_.-]*)|[A-Za-z0-9_-]*))"
    r"|:(?://|\\/\\/)(?P<user>[^\t\n\x0c\r /?#\"<>\\]+)@"
)
_BEGIN_TOKEN = re.compile(_TOKENS)
_BEGIN = re.compile(
    rf"{_TOKENS}"
    r"|(?i:bearer) +(?P<bearer>[A-Za-z0-9_.~+/=-]*)"
    r"|(?i:basic) +(?P<basic>[A-Za-z0-9_.~+/=-]*)"
    r"|(?P<pem>-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z0-9 ]*)"
    r"|(?P<number>(?P<first>[0-9]+)(?:(?P<by>[ -])[0-9]+(?:(?P=by)[0-9]+){0,3})?)"
)
_PEM_END = re.compile(r'-----END [^"]*?-----|(?=")|\Z')
# Before and after a number that stands alone; "\\n" is a newline in JSON.
_BEFORE_NUMBER = re.compile(r"(?:^|[^A-Za-z0-9_.+-]|\\[nrt])\Z")
_AFTER_NUMBER = re.compile(r"[A-Za-z0-9_-]|\.[0-9]")
_GROUPS = ((4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 6, 4), (4, 6, 5))


def may_have_value(lowered: str) -> bool:
    """Returns whether a text, given in lower case, may have a value that looks like a secret."""
    return (
        "eyj" in lowered
        or "bearer " in lowered
        or "basic " in lowered
        or "private key" in lowered
        or "@" in lowered
        or may_have_number(lowered)
    )


def may_have_user(text: str) -> bool:
    """Returns whether a text may have a URL with user information."""
    return "@" in text and ("://" in text or ":\\/\\/" in text)


def may_have_token(text: str) -> bool:
    """Returns whether a text may have a value that ``find_tokens`` finds."""
    return "@" in text or "eyJ" in text


def find_tokens(text: str) -> Iterator[tuple[int, int]]:
    """Returns where JSON Web Tokens and the user information of URLs are: secrets also where numbers and words
    may be anything."""
    return find_values(text, _BEGIN_TOKEN)


def may_have_number(text: str) -> bool:
    """Returns whether a text may have a card number."""
    return _has_number(_letters(text))


def _has_number(letters: bytes) -> bool:
    # Each of them begins so, and few texts have that.
    if b"\t\t\t\t" not in letters:
        return False
    for number in _NUMBERS:
        if number in letters:
            return True
    return False


def _letters(text: str) -> bytes:
    # Other letters may be those of ASCII in lower case.
    return (text if text.isascii() else lower(text)).encode(errors="replace").translate(_LETTERS)


def lower(text: str) -> str:
    """Returns a text in lower case in which each character has its place."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text.translate(_ASCII_LOWER)


def find_values(text: str, pattern: re.Pattern[str] = _BEGIN) -> Iterator[tuple[int, int]]:
    """Returns where values that look like secrets are: JSON Web Tokens, what follows ``Bearer`` and
    ``Basic``, private keys, card numbers, and the user information of URLs."""
    at = 0
    while (begin := pattern.search(text, at)) is not None:
        # The outermost group, which ends last.
        kind = begin.lastgroup
        assert kind is not None
        start, end = begin.span(kind)
        if kind == "token":
            header, *others = begin["token"].split(".")
            is_secret = (
                len(header) >= 8
                and bool(others)
                and (others[0].startswith("eyJ") or len(others) > 1)
            )
            at = end if is_secret else start + len(header)
        elif kind == "user":
            # What is masked already stays.
            is_secret = begin["user"] != "********"
            at = end
        elif kind == "bearer":
            token = begin["bearer"]
            is_secret = len(token) >= 20 or len(token) >= 8 and any(it in _DIGITS for it in token)
            at = end if is_secret else begin.start() + 6
        elif kind == "basic":
            is_secret = _is_basic(begin["basic"])
            at = end if is_secret else begin.start() + 5
        elif kind == "pem":
            closing = _PEM_END.search(text, end)
            end = at = closing.end() if closing else len(text)
            is_secret = True
        else:
            end, is_secret = _card_number(text, begin)
            at = end
        if is_secret:
            yield start, end


def _is_basic(text: str) -> bool:
    """Returns whether this is a name and a password in base64."""
    digits = text[:-2] if text.endswith("==") else text[:-1] if text.endswith("=") else text
    if len(digits) % 4 == 1 or not re.fullmatch("[A-Za-z0-9+/]+", digits):
        return False
    try:
        decoded = binascii.a2b_base64(digits + "=" * (-len(digits) % 4)).decode()
    except ValueError:
        return False
    return ":" in decoded and not any(it < " " or "\x7f" <= it < "\xa0" for it in decoded)


def _card_number(text: str, found: re.Match[str]) -> tuple[int, bool]:
    """Returns the end of what was looked at, and whether it is a card number: the digits of an issuer, a
    length that it uses, and the check digit."""
    start, first = found.start(), found.end("first")
    if not _BEFORE_NUMBER.search(text[max(start - 2, 0) : start]):
        return first, False
    end = found.end() if first - start == 4 else first
    groups = re.findall("[0-9]+", text[start:end])
    lengths = tuple(map(len, groups))
    if lengths not in _GROUPS and not (len(groups) == 1 and 14 <= lengths[0] <= 19):
        return first, False
    digits = "".join(groups)
    good = _is_of_issuer(digits) and _has_check_digit(digits) and not _AFTER_NUMBER.match(text, end)
    return (end, True) if good else (first, False)


def _is_of_issuer(digits: str) -> bool:
    first, length = int(digits[:4]), len(digits)
    if 4000 <= first <= 4999 or first == 6011 or 6440 <= first <= 6599:
        return length in (16, 19)
    if 5100 <= first <= 5599 or 2221 <= first <= 2720:
        return length == 16
    if 3400 <= first <= 3499 or 3700 <= first <= 3799:
        return length == 15
    if 3000 <= first <= 3059 or 3600 <= first <= 3699 or 3800 <= first <= 3999:
        return length in (14, 16)
    if 3528 <= first <= 3589 or 6200 <= first <= 6299:
        return 16 <= length <= 19
    return first in (5018, 5020, 5038, 5893, 6304, 6759, 6761, 6762, 6763) and length in (16, 18, 19)


def _has_check_digit(digits: str) -> bool:
    """Returns whether Luhn's check holds: every second digit from the end counts twice."""
    doubled = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    backwards = [int(digit) for digit in reversed(digits)]
    return (sum(backwards[::2]) + sum(doubled[digit] for digit in backwards[1::2])) % 10 == 0
