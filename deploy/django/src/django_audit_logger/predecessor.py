"""Knows the settings of the package django-gunicorn-audit-logs 0.3.5, and what replaces each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .conf import NAME

MODULE = "django_gunicorn_audit_logs"

_SAME = (
    "ENABLED", "LOG_REQUEST_BODY", "LOG_RESPONSE_BODY", "EXCLUDE_PATHS", "EXCLUDE_EXTENSIONS",
    "MAX_BODY_LENGTH", "SENSITIVE_FIELDS", "USER_ID_CALLABLE", "EXTRA_DATA_CALLABLE",
)  # fmt: skip
_LENGTH = f"{NAME}['MAX_BODY_LENGTH'], as large as the longest body"
_RETENTION = "the daemon's --retention, or cleanup_audit_logs --days"
_QUEUE = "nothing: no request waits for a database"
_STORE = "nothing: log-ingestd stores in PostgreSQL or SQLite"
_MAIL = "a handler of Django's LOGGING for the logger django_audit_logger"
_ERRORS = f"nothing: a request never fails because of its log; for a message, {_MAIL}"

# Keys of AUDIT_LOGS.
_KEYS = {
    **{key: f"{NAME}[{key!r}]" for key in _SAME},
    "SAVE_FULL_BODY": _LENGTH,
    "RETENTION_DAYS": _RETENTION,
    "MASK_FUNCTION": f"{NAME}['SENSITIVE_FIELDS'], ['MASKING'] and ['MASK_PATHS']",
    "EXCEPTION_HANDLER": _MAIL,
}
_SETTINGS = {
    "AUDIT_LOGS_ENABLED": f"{NAME}['ENABLED']",
    "AUDIT_LOGS_EXCLUDE_PATHS": f"{NAME}['EXCLUDE_PATHS']",
    "AUDIT_LOGS_MAX_BODY_LENGTH": f"{NAME}['MAX_BODY_LENGTH']",
    "AUDIT_LOGGER_MAX_BODY_LENGTH": f"{NAME}['MAX_BODY_LENGTH']",
    "AUDIT_LOGS_SAVE_FULL_BODY": _LENGTH,
    "AUDIT_LOGS_ASYNC_LOGGING": _QUEUE,
    "AUDIT_CELERY_QUEUE": _QUEUE,
    **dict.fromkeys(
        (
            "AUDIT_LOGS_MONGO", "AUDIT_LOGS_USE_MONGO", "AUDIT_LOGS_WRITE_TO_BOTH", "AUDIT_LOGS_MONGO_URI",
            "AUDIT_LOGS_MONGO_DB_NAME", "AUDIT_LOGS_MONGO_REQUEST_LOGS_COLLECTION",
            "AUDIT_LOGS_MONGO_GUNICORN_LOGS_COLLECTION",
        ),
        _STORE,
    ),
    **dict.fromkeys(
        (
            "AUDIT_LOGS_ERROR_EMAIL_SENDER", "AUDIT_LOGS_ERROR_EMAIL_RECIPIENTS",
            "AUDIT_LOGGER_ERROR_EMAIL_SENDER", "AUDIT_LOGGER_ERROR_EMAIL_RECIPIENTS",
            "AUDIT_LOGS_AWS_ACCESS_KEY_ID", "AUDIT_LOGS_AWS_SECRET_ACCESS_KEY", "AUDIT_LOGS_AWS_SES_REGION_NAME",
        ),
        _MAIL,
    ),
    "AUDIT_LOGS_RAISE_EXCEPTIONS": _ERRORS,
    "AUDIT_LOGGER_RAISE_EXCEPTIONS": _ERRORS,
}  # fmt: skip
# Items of lists.
_ITEMS = {
    "INSTALLED_APPS": {
        MODULE: "django_audit_logger, and remove this one when copy_audit_logs has copied its rows",
    },
    "MIDDLEWARE": {
        f"{MODULE}.middleware.RequestLogMiddleware": (
            "django_audit_logger.middleware.AuditLogMiddleware, as the first item"
        ),
    },
    "DATABASE_ROUTERS": {
        f"{MODULE}.routers.AuditLogRouter": (
            f"django_audit_logger.router.AuditRouter, and {NAME}['DATABASE']: 'audit_logs'"
        ),
    },
}


def used(settings: Any) -> Iterator[tuple[str, str]]:
    """Returns what of the other package the settings have, and what replaces it."""
    keys = getattr(settings, "AUDIT_LOGS", None)
    if isinstance(keys, Mapping):
        for key in keys:
            yield f"AUDIT_LOGS[{key!r}]", _KEYS.get(key, "nothing")
    for name, replacement in _SETTINGS.items():
        if hasattr(settings, name):
            yield name, replacement
    for name, items in _ITEMS.items():
        for item in getattr(settings, name, ()):
            # A configuration of the application, too: MODULE.apps.….
            for known, replacement in items.items():
                if isinstance(item, str) and (item == known or item.startswith(f"{known}.apps.")):
                    yield f"{name}: {item!r}", replacement
