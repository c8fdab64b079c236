"""Reads the settings: ``AUDIT_LOGGER`` of Django, with some defaults from the environment."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Optional

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from .addresses import ADDRESS_HEADERS, DEFAULT_BITS, DEFAULT_HEADERS, Addresses, Bits
from .logfile import DEFAULT_BACKUP_COUNT, DEFAULT_MAX_BYTES, LogFile
from .masking import Mask
from .paths import is_plain, readings
from .secrets import OLDER_FIELDS
from .warn import warner

NAME = "AUDIT_LOGGER"
DEFAULT_DIRECTORY = "/var/log/gunicorn"
DEFAULT_SENSITIVE_FIELDS = OLDER_FIELDS
# The token of Django's own page for a new password.
DEFAULT_PATHS = (r"/reset/[^/]+/([0-9A-Za-z]+-[0-9A-Za-z]{20,})",)
# The two values of MASKING.
BY_MEANING, EXACT = "meaning", "exact"
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
        "LOG_IN_TESTS": False,
        "LOG_REQUEST_BODY": True,
        "LOG_RESPONSE_BODY": True,
        "LOG_ROUTE": True,
        "REQUEST_IDS": True,
        "EXCLUDE_PATHS": [],
        "EXCLUDE_EXTENSIONS": [],
        "EXCLUDE_PATTERNS": [],
        "SHOULD_LOG_CALLABLE": None,
        "MAX_BODY_LENGTH": 10000,
        "SENSITIVE_FIELDS": list(DEFAULT_SENSITIVE_FIELDS),
        "MASKING": BY_MEANING,
        "MASK_PATHS": list(DEFAULT_PATHS),
        "USER_ID_CALLABLE": "django_audit_logger.utils.get_user_id",
        "EXTRA_DATA_CALLABLE": None,
        "TRUSTED_PROXIES": None,
        "IP_HEADERS": list(DEFAULT_HEADERS),
        "IP_CALLABLE": None,
        "ANONYMIZE_IP": False,
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
    log_route: bool
    request_ids: bool
    exclude_paths: tuple[str, ...]
    exclude_extensions: tuple[str, ...]
    exclude_patterns: tuple[re.Pattern[str], ...]
    should_log: Optional[Callable[..., Any]]
    max_body_length: int
    # Bytes of a body that are masked: a margin after that length, since masks change lengths.
    most_bytes: int
    user_id: UserIdCallable
    extra_data: Optional[ExtraDataCallable]
    ip: Optional[Callable[..., Any]]
    addresses: Addresses
    # Whether one of the callables is async.
    is_async: bool
    mask: Mask
    log: LogFile
    # Bodies of up to this many bytes are read before the view.
    read_ahead: int
    # Charsets that Django derived from the Content-Type of responses.
    charsets: dict[str, str] = field(default_factory=dict)

    def excludes(self, path: str) -> bool:
        """Returns whether requests for this path are not logged."""
        if not self._covers(path):
            return False
        if is_plain(path):
            return True
        # The same rule has to cover it in every reading.
        read = readings(path)
        for prefix in self.exclude_paths:
            if path.startswith(prefix) and all(map(str.startswith, read, readings(prefix))):
                return True
        for extension in self.exclude_extensions:
            if all(one.lower().endswith(extension) for one in (path, *read)):
                return True
        return any(all(map(pattern.search, (path, *read))) for pattern in self.exclude_patterns)

    def _covers(self, path: str) -> bool:
        if path.startswith(self.exclude_paths):
            return True
        if self.exclude_extensions and path.lower().endswith(self.exclude_extensions):
            return True
        for pattern in self.exclude_patterns:
            if pattern.search(path):
                return True
        return False


@lru_cache(maxsize=1)
def get_config() -> Config:
    """Returns the current settings. They are read once, and again after ``setting_changed``."""
    values = {**defaults(), **given()}
    max_body_length = int(values["MAX_BODY_LENGTH"])
    read_ahead = max(max_body_length, READ_AHEAD)
    if settings.DATA_UPLOAD_MAX_MEMORY_SIZE is not None:
        read_ahead = min(read_ahead, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    user_id = _callable(values["USER_ID_CALLABLE"] or defaults()["USER_ID_CALLABLE"])
    extra_data, ip, should_log = (
        _callable(values[name]) if values[name] else None
        for name in ("EXTRA_DATA_CALLABLE", "IP_CALLABLE", "SHOULD_LOG_CALLABLE")
    )
    proxies = values["TRUSTED_PROXIES"]
    ip_headers, bits = texts(values["IP_HEADERS"]), kept_bits(values["ANONYMIZE_IP"])
    addresses = Addresses(
        proxies if proxies is None or isinstance(proxies, int) else texts(proxies), ip_headers, bits
    )
    # These headers have addresses, too.
    names = (*ADDRESS_HEADERS, *map(str.lower, ip_headers)) if bits else ()
    return Config(
        enabled=bool(values["ENABLED"]) and (bool(values["LOG_IN_TESTS"]) or not _is_test_run()),
        log_request_body=bool(values["LOG_REQUEST_BODY"]),
        log_response_body=bool(values["LOG_RESPONSE_BODY"]),
        log_route=bool(values["LOG_ROUTE"]),
        request_ids=bool(values["REQUEST_IDS"]),
        exclude_paths=texts(values["EXCLUDE_PATHS"]),
        exclude_extensions=tuple(name.lower() for name in texts(values["EXCLUDE_EXTENSIONS"])),
        max_body_length=max_body_length,
        most_bytes=4 * max_body_length + 4096,
        exclude_patterns=_patterns(values["EXCLUDE_PATTERNS"]),
        should_log=should_log,
        user_id=user_id,
        extra_data=extra_data,
        ip=ip,
        addresses=addresses,
        is_async=any(_is_async(function) for function in (user_id, extra_data, ip, should_log)),
        mask=Mask(
            texts(values["SENSITIVE_FIELDS"]),
            exact=values["MASKING"] == EXACT,
            paths=_patterns(values["MASK_PATHS"]),
            changes=dict.fromkeys(names, addresses.in_header),
        ),
        log=LogFile(os.fspath(values["LOG_FILE"]), int(values["MAX_BYTES"]), int(values["BACKUP_COUNT"])),
        read_ahead=read_ahead,
    )


def texts(value: Any) -> tuple[str, ...]:
    """Returns a list of texts. One text alone is a list with commas between its items."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return tuple(value or ())


def kept_bits(value: Any) -> Optional[Bits]:
    """Returns how many bits of IPv4 and of IPv6 addresses are kept; None for all of them."""
    if not value:
        return None
    version4, version6 = DEFAULT_BITS if value is True else map(int, value)
    if not (0 <= version4 <= 32 and 0 <= version6 <= 128):
        raise ValueError(f"{value!r} has a number of bits that addresses do not have")
    return version4, version6


def _patterns(value: Any) -> tuple[re.Pattern[str], ...]:
    # A text alone is one pattern: patterns may have commas.
    return tuple(re.compile(it) for it in ((value,) if isinstance(value, str) else value or ()))


def _is_test_run() -> bool:
    """Returns whether Django's test environment is set up, by its runner or by pytest-django."""
    utils = sys.modules.get("django.test.utils")
    return hasattr(getattr(utils, "_TestState", None), "saved_data")


def _is_async(function: Optional[Callable[..., Any]]) -> bool:
    return iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))


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
