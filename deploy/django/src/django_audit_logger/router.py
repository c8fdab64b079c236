"""Routes the log models to a database of their own."""

from __future__ import annotations

from typing import Any, Optional

from django.db.models import Model

from .conf import given

APP = "django_audit_logger"


class AuditRouter:
    """Routes the log models to ``AUDIT_LOGGER["DATABASE"]``, and refuses migrations there."""

    def db_for_read(self, model: type[Model], **hints: Any) -> Optional[str]:
        return given().get("DATABASE") if model._meta.app_label == APP else None

    db_for_write = db_for_read

    def allow_relation(self, obj1: Model, obj2: Model, **hints: Any) -> Optional[bool]:
        ours = (obj1._meta.app_label == APP, obj2._meta.app_label == APP)
        return ours[0] and ours[1] if any(ours) else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> Optional[bool]:
        # The daemon creates its tables, and its own database gets no other tables.
        alias = given().get("DATABASE")
        if app_label == APP or (db == alias and alias not in (None, "default")):
            return False
        return None
