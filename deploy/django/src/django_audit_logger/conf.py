"""Reads the settings: ``AUDIT_LOGGER`` of Django, with some defaults from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Optional

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from .logfile import DEFAULT_BACKUP_COUNT, DEFAULT_MAX_BYTES, LogFile
from .masking import Mask
from .warn import warner

NAME = "AUDIT_LOGGER"
DEFAULT_DIRECTORY = "/var/log/gunicorn"
DEFAULT_SENSITIVE_FIELDS = ("password", "token", "access_key", "secret")
# An unread body of up to this many bytes, or MAX_BODY_LENGTH if larger, is read before the view.
READ_AHEAD = 64 * 1024
# Other settings of Django that are read once.
_OTHERS = ("DATA_UPLOAD_MAX_MEMORY_SIZE", "DEFAULT_CHARSET")

UserIdCallable = Callable[..., Any]
ExtraDataCallable = Callable[..., Any]


def log_directory() -> str:
    """Returns the default directory of log files."""
    return os.environ.get("GUNICORN_LOG_DIR") or DEFAULT_DIRECTORY


def rotation() -> tuple[int, int]:
    """Returns the largest size of a log file in bytes, and how many older files are kept."""
    return (
        _number("GUNICORN_LOG_MAX_BYTES", DEFAULT_MAX_BYTES),
        _number("GUNICORN_LOG_BACKUP_COUNT", DEFAULT_BACKUP_COUNT),
    )


def _number(name: str, default: int) -> int:
    try:
        return int(os.environ.get(name) or default)
    except ValueError as error:
        warner.warn(f"reading {name}", error)
        return default


def defaults() -> dict[str, Any]:
    """Returns all settings with their defaults."""
    max_bytes, backup_count = rotation()
    return {
        "ENABLED": True,
        "LOG_REQUEST_BODY": True,
        "LOG_RESPONSE_BODY": True,
        "EXCLUDE_PATHS": [],
        "EXCLUDE_EXTENSIONS": [],
        "MAX_BODY_LENGTH": 10000,
        "SENSITIVE_FIELDS": list(DEFAULT_SENSITIVE_FIELDS),
        "USER_ID_CALLABLE": "django_audit_logger.utils.get_user_id",
        "EXTRA_DATA_CALLABLE": None,
        "LOG_FILE": os.path.join(log_directory(), "requests.log"),
        "MAX_BYTES": max_bytes,
        "BACKUP_COUNT": backup_count,
        "DATABASE": None,
    }


def given() -> Mapping[str, Any]:
    """Returns the project's settings."""
    values = getattr(settings, NAME, None)
    return values if isinstance(values, Mapping) else {}


@dataclass(frozen=True)
class Config:
    """The settings, in the form that the middleware uses."""

    enabled: bool
    log_request_body: bool
    log_response_body: bool
    exclude_paths: tuple[str, ...]
    exclude_extensions: tuple[str, ...]
    max_body_length: int
    user_id: UserIdCallable
    extra_data: Optional[ExtraDataCallable]
    mask: Mask
    log: LogFile
    # Bodies of up to this many bytes are read before the view.
    read_ahead: int
    # Charsets that Django derived from the Content-Type of responses.
    charsets: dict[str, str] = field(default_factory=dict)

    def excludes(self, path: str) -> bool:
        """Returns whether requests for this path are not logged."""
        return path.startswith(self.exclude_paths) or (
            bool(self.exclude_extensions) and path.lower().endswith(self.exclude_extensions)
        )


@lru_cache(maxsize=1)
def get_config() -> Config:
    """Returns the current settings. They are read once, and again after ``setting_changed``."""
    values = {**defaults(), **given()}
    max_body_length = int(values["MAX_BODY_LENGTH"])
    read_ahead = max(max_body_length, READ_AHEAD)
    if settings.DATA_UPLOAD_MAX_MEMORY_SIZE is not None:
        read_ahead = min(read_ahead, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    return Config(
        enabled=bool(values["ENABLED"]),
        log_request_body=bool(values["LOG_REQUEST_BODY"]),
        log_response_body=bool(values["LOG_RESPONSE_BODY"]),
        exclude_paths=tuple(values["EXCLUDE_PATHS"] or ()),
        exclude_extensions=tuple(name.lower() for name in values["EXCLUDE_EXTENSIONS"] or ()),
        max_body_length=max_body_length,
        user_id=_callable(values["USER_ID_CALLABLE"] or defaults()["USER_ID_CALLABLE"]),
        extra_data=_callable(values["EXTRA_DATA_CALLABLE"]) if values["EXTRA_DATA_CALLABLE"] else None,
        mask=Mask(values["SENSITIVE_FIELDS"] or ()),
        log=LogFile(os.fspath(values["LOG_FILE"]), int(values["MAX_BYTES"]), int(values["BACKUP_COUNT"])),
        read_ahead=read_ahead,
    )


def _callable(value: Any) -> Callable[..., Any]:
    found = value if callable(value) else import_string(value)
    if not callable(found):
        raise TypeError(f"{value!r} is not callable")
    function: Callable[..., Any] = found
    return function


def _reset(*, setting: str, **_: Any) -> None:
    if setting == NAME or setting in _OTHERS:
        get_config.cache_clear()


setting_changed.connect(_reset, dispatch_uid="django_audit_logger.conf")
