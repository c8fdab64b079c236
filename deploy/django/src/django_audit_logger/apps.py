"""The configuration of the Django application."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register


class AuditLoggerConfig(AppConfig):
    """Adds the models, the admin, the command and the checks."""

    name = "django_audit_logger"
    verbose_name = "Audit logs"

    def ready(self) -> None:
        from . import checks

        register(checks.check_settings)
