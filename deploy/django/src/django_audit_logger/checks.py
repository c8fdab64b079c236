"""System checks of the settings: errors show at the start, and not as missing rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.utils.module_loading import import_string

from .conf import NAME, defaults

_TYPES: dict[str, tuple[type, ...]] = {
    "ENABLED": (bool,),
    "LOG_REQUEST_BODY": (bool,),
    "LOG_RESPONSE_BODY": (bool,),
    "EXCLUDE_PATHS": (list, tuple, set, frozenset),
    "EXCLUDE_EXTENSIONS": (list, tuple, set, frozenset),
    "MAX_BODY_LENGTH": (int,),
    "SENSITIVE_FIELDS": (list, tuple, set, frozenset),
    "LOG_FILE": (str, os.PathLike),
    "MAX_BYTES": (int,),
    "BACKUP_COUNT": (int,),
    "DATABASE": (str, type(None)),
}
_CALLABLES = ("USER_ID_CALLABLE", "EXTRA_DATA_CALLABLE")
# Two bodies of this many characters may exceed the 4 MiB that the daemon accepts in one line.
_LONG_BODY = 300_000


def check_settings(**_: Any) -> list[CheckMessage]:
    """Returns all errors and warnings of ``AUDIT_LOGGER``."""
    values = getattr(settings, NAME, {})
    if not isinstance(values, Mapping):
        return [Error(f"{NAME} is no dictionary.", id="django_audit_logger.E001")]
    messages = [*_unknown(values), *_wrong_types(values), *_callables(values), *_long(values)]
    # Without valid types the directory is unknown.
    if not any(message.is_serious() for message in messages):
        messages += _directory({**defaults(), **values})
        messages += _database(values)
    return messages


def _unknown(values: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for key in values:
        if key not in _TYPES and key not in _CALLABLES:
            yield Warning(
                f"{NAME} has no setting {key!r}.",
                hint="Known are: " + ", ".join(sorted([*_TYPES, *_CALLABLES])) + ".",
                id="django_audit_logger.W001",
            )


def _wrong_types(values: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for key, types in _TYPES.items():
        if key not in values:
            continue
        value = values[key]
        wrong = not isinstance(value, types) or (int in types and isinstance(value, bool))
        if list in types and not wrong:
            wrong = not all(isinstance(item, str) for item in value)
        if wrong:
            wanted = "a list of strings" if list in types else types[0].__name__
            message = f"{NAME}[{key!r}] is {value!r}, not {wanted}."
            yield Error(message, id="django_audit_logger.E002")
        elif int in types and value < 0:
            message = f"{NAME}[{key!r}] is {value!r}, less than 0."
            yield Error(message, id="django_audit_logger.E003")


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
