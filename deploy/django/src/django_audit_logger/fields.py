"""The column of times, which the daemon stores in UTC whatever the project's settings are."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Optional

from django.conf import settings
from django.db import models
from django.utils.timezone import get_default_timezone, is_naive, make_aware


class TimestampField(models.DateTimeField):  # type: ignore[type-arg] # not generic at run time
    """A time: aware with ``USE_TZ``, without it naive and in ``TIME_ZONE``, as in the project's tables."""

    def from_db_value(
        self, value: Optional[datetime], expression: Any, connection: Any
    ) -> Optional[datetime]:
        # PostgreSQL stores moments. SQLite stores texts in UTC, which Django takes for local times.
        if value is None or connection.vendor != "sqlite":
            return value
        moment = value.replace(tzinfo=timezone.utc)
        if settings.USE_TZ:
            return moment
        return moment.astimezone(get_default_timezone()).replace(tzinfo=None)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if not prepared:
            value = self.get_prep_value(value)
        if not isinstance(value, datetime):
            return super().get_db_prep_value(value, connection, prepared=True)
        if is_naive(value):
            value = make_aware(value, get_default_timezone())
        if connection.vendor == "sqlite":
            # The daemon's format: a fraction only if it is not 0.
            return str(value.astimezone(timezone.utc).replace(tzinfo=None))
        return value

    def deconstruct(self) -> Any:
        name, _, arguments, options = super().deconstruct()
        return name, "django.db.models.DateTimeField", arguments, options
