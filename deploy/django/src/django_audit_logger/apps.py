"""The configuration of the Django application."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.core.checks import register
from django.core.signals import got_request_exception


class AuditLoggerConfig(AppConfig):
    """Adds the models, the admin, the command and the checks."""

    name = "django_audit_logger"
    verbose_name = "Audit logs"

    def ready(self) -> None:
        from . import checks, failures, utils

        register(checks.check_settings)
        register(checks.check_place)
        register(checks.check_predecessor)
        register(checks.check_daemon, deploy=True)
        got_request_exception.connect(failures.remember_unhandled, dispatch_uid="django_audit_logger")
        if apps.is_installed("django.contrib.auth"):
            from django.contrib.auth.signals import user_logged_out

            user_logged_out.connect(utils.remember_logged_out, dispatch_uid="django_audit_logger")
