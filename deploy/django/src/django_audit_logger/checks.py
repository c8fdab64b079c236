"""System checks of the settings: errors show at the start, and not as missing rows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from ipaddress import ip_network
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning
from django.db import connections, router
from django.utils.module_loading import import_string

from . import predecessor
from .conf import BY_MEANING, EXACT, NAME, defaults, given, kept_bits

_TYPES: dict[str, tuple[type, ...]] = {
    "ENABLED": (bool,),
    "LOG_IN_TESTS": (bool,),
    "LOG_REQUEST_BODY": (bool,),
    "LOG_RESPONSE_BODY": (bool,),
    "LOG_ROUTE": (bool,),
    "REQUEST_IDS": (bool,),
    "EXCLUDE_PATHS": (list, tuple, set, frozenset),
    "EXCLUDE_EXTENSIONS": (list, tuple, set, frozenset),
    "MAX_BODY_LENGTH": (int,),
    "SENSITIVE_FIELDS": (list, tuple, set, frozenset),
    "MASKING": (str,),
    "EXCLUDE_PATTERNS": (list, tuple, set, frozenset),
    "MASK_PATHS": (list, tuple, set, frozenset),
    "TRUSTED_PROXIES": (list, tuple, set, frozenset, int, type(None)),
    "IP_HEADERS": (list, tuple),
    "LOG_FILE": (str, os.PathLike),
    "MAX_BYTES": (int,),
    "BACKUP_COUNT": (int,),
    "DATABASE": (str, type(None)),
}
MIDDLEWARE = "django_audit_logger.middleware.AuditLogMiddleware"
_CALLABLES = ("USER_ID_CALLABLE", "EXTRA_DATA_CALLABLE", "IP_CALLABLE", "SHOULD_LOG_CALLABLE")
# Two bodies of this many characters may exceed the 4 MiB that the daemon accepts in one line.
_LONG_BODY = 300_000
# After so long without a new row, the daemon may not run.
_SILENCE = timedelta(hours=1)


def check_settings(**_: Any) -> list[CheckMessage]:
    """Returns all errors and warnings of ``AUDIT_LOGGER``."""
    values = getattr(settings, NAME, {})
    if not isinstance(values, Mapping):
        return [Error(f"{NAME} is no dictionary.", id="django_audit_logger.E001")]
    messages = [
        *_unknown(values), *_wrong_types(values), *_masking(values), *_proxies(values), *_patterns(values),
        *_bits(values), *_callables(values), *_long(values),
    ]  # fmt: skip
    # Without valid types the directory is unknown.
    if not any(message.is_serious() for message in messages):
        messages += _directory({**defaults(), **values})
        messages += _database(values)
    return messages


def check_place(**_: Any) -> list[CheckMessage]:
    """Says what the middleware cannot see from its place."""
    paths = list(settings.MIDDLEWARE)
    if MIDDLEWARE not in paths or paths[0] == MIDDLEWARE:
        return []
    before = [path.rpartition(".")[2] for path in paths[: paths.index(MIDDLEWARE)]]
    return [
        Info(
            f"AuditLogMiddleware stands after {', '.join(before)}: it logs neither requests that "
            "these answer (redirects, refused hosts and tokens) nor what these change of a response "
            "(status 304, compression, headers, cookies).",
            hint="Put it first in MIDDLEWARE: the log then has what the client gets.",
            id="django_audit_logger.I001",
        )
    ]


def check_daemon(**_: Any) -> list[CheckMessage]:
    """Warns if the daemon has stored nothing for an hour. Only for ``check --deploy``: it asks the database."""
    values = {**defaults(), **given()}
    if not values["ENABLED"]:
        return []
    from .models import RequestLog

    alias = router.db_for_read(RequestLog)
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT max(committed_at) FROM log_file")
            latest = cursor.fetchone()[0]
    # Whatever the database's driver raises, or the settings cause.
    except Exception as error:
        what = f"The database {alias!r} cannot tell whether log-ingestd has stored anything: {error}"
        return [_silent(what.rstrip())]
    if latest is None:
        return [_silent(f"log-ingestd has stored nothing in the database {alias!r} yet.")]
    if isinstance(latest, str):  # SQLite's texts are in UTC
        latest = datetime.fromisoformat(latest)
    if latest.tzinfo is None:
        latest = latest.replace(tzinfo=timezone.utc)
    if datetime.now(timezone.utc) - latest < _SILENCE:
        return []
    since = latest.astimezone(timezone.utc)
    return [_silent(f"log-ingestd has stored nothing in the database {alias!r} since {since:%Y-%m-%d %H:%M} UTC.")]


def _silent(what: str) -> CheckMessage:
    return Warning(
        what,
        hint="Start it with `python manage.py log_ingestd`; `log-ingestd status` shows what it follows. If no "
        "request came for so long, all is well.",
        id="django_audit_logger.W004",
    )


def check_predecessor(**_: Any) -> list[CheckMessage]:
    """Names settings of the package django-gunicorn-audit-logs, and what replaces each."""
    return [
        Warning(
            f"{name} is a setting of django-gunicorn-audit-logs.",
            hint=f"Instead: {replacement}.",
            id="django_audit_logger.W005",
        )
        for name, replacement in predecessor.used(settings)
    ]


def _unknown(values: Mapping[str, Any]) -> Iterator[CheckMessage]:
    known = defaults()
    for key in values:
        if key not in known:
            yield Warning(
                f"{NAME} has no setting {key!r}.",
                hint="Known are: " + ", ".join(sorted(known)) + ".",
                id="django_audit_logger.W001",
            )


def _wrong_types(values: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for key, types in _TYPES.items():
        if key not in values:
            continue
        value = values[key]
        wrong = not isinstance(value, types) or (int in types and isinstance(value, bool))
        is_list = isinstance(value, (list, tuple, set, frozenset))
        if is_list and not wrong:
            wrong = not all(isinstance(item, str) for item in value)
        if wrong:
            wanted = "a list of strings" if list in types else types[0].__name__
            wanted += ", or a number" if list in types and int in types else ""
            message = f"{NAME}[{key!r}] is {value!r}, not {wanted}."
            yield Error(message, id="django_audit_logger.E002")
        elif isinstance(value, int) and value < 0:
            message = f"{NAME}[{key!r}] is {value!r}, less than 0."
            yield Error(message, id="django_audit_logger.E003")


def _proxies(values: Mapping[str, Any]) -> Iterator[CheckMessage]:
    proxies = values.get("TRUSTED_PROXIES")
    for network in proxies if isinstance(proxies, (list, tuple, set, frozenset)) else ():
        try:
            ip_network(network, strict=False)
        except ValueError:
            message = f"{NAME}['TRUSTED_PROXIES'] has {network!r}, which is not a network."
            yield Error(message, id="django_audit_logger.E007")


def _bits(values: Mapping[str, Any]) -> Iterator[CheckMessage]:
    value = values.get("ANONYMIZE_IP")
    try:
        kept_bits(value)
    except (TypeError, ValueError):
        yield Error(
            f"{NAME}['ANONYMIZE_IP'] is {value!r}: expected True, False or the bits that are kept of IPv4 "
            "and of IPv6 addresses, such as (24, 48).",
            id="django_audit_logger.E009",
        )


def _patterns(values: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for key in ("EXCLUDE_PATTERNS", "MASK_PATHS"):
        patterns = values.get(key)
        for pattern in patterns if isinstance(patterns, (list, tuple, set, frozenset)) else ():
            try:
                re.compile(pattern)
            except (re.error, TypeError) as error:
                message = f"{NAME}[{key!r}] has {pattern!r}, which is not a regular expression: {error}."
                yield Error(message, id="django_audit_logger.E008")


def _masking(values: Mapping[str, Any]) -> Iterator[CheckMessage]:
    rule = values.get("MASKING", BY_MEANING)
    if isinstance(rule, str) and rule not in (BY_MEANING, EXACT):
        message = f"{NAME}['MASKING'] is {rule!r}, and neither {BY_MEANING!r} nor {EXACT!r}."
        yield Error(message, id="django_audit_logger.E006")


def _callables(values: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for key in _CALLABLES:
        value = values.get(key)
        if value is None or callable(value):
            continue
        try:
            found = import_string(value) if isinstance(value, str) else value
            problem = "" if callable(found) else "is not callable"
        # The module may raise anything when it is imported.
        except Exception as error:
            problem = f"cannot be imported: {error}"
        if problem:
            yield Error(f"{NAME}[{key!r}], {value!r}, {problem}.", id="django_audit_logger.E004")


def _long(values: Mapping[str, Any]) -> Iterator[CheckMessage]:
    length = values.get("MAX_BODY_LENGTH")
    if isinstance(length, int) and length > _LONG_BODY:
        yield Warning(
            f"{NAME}['MAX_BODY_LENGTH'] is more than {_LONG_BODY}: lines may pass the 4 MiB that "
            "the daemon takes.",
            id="django_audit_logger.W003",
        )


def _directory(values: Mapping[str, Any]) -> Iterator[CheckMessage]:
    if not values["ENABLED"]:
        return
    path = os.path.abspath(os.fspath(values["LOG_FILE"]))
    directory = os.path.dirname(path)
    # Missing directories are created at the first line.
    while not os.path.exists(directory):
        directory = os.path.dirname(directory)
    writable = os.access(directory, os.W_OK | os.X_OK) and os.path.isdir(directory)
    if writable and (not os.path.exists(path) or os.access(path, os.W_OK)):
        return
    yield Warning(
        f"Requests cannot be logged to {path}: this user may not write there.",
        hint=f"Set {NAME}['LOG_FILE'] or GUNICORN_LOG_DIR, or give the user that directory.",
        id="django_audit_logger.W002",
    )


def _database(values: Mapping[str, Any]) -> Iterator[CheckMessage]:
    alias = values.get("DATABASE")
    if alias is not None and alias not in settings.DATABASES:
        message = f"{NAME}['DATABASE'] is {alias!r}, which is not in DATABASES."
        yield Error(message, id="django_audit_logger.E005")
