"""Callables for ``USER_ID_CALLABLE``."""

from __future__ import annotations

from typing import Optional

from django.http import HttpRequest

from .utils import get_user_id


def always(request: HttpRequest) -> Optional[str]:
    """Returns the user's key, and loads the user for it if nothing else has: one or two queries."""
    user_id = get_user_id(request)
    if user_id is None:
        user = getattr(request, "user", None)
        key = getattr(user, "pk", None)
        user_id = None if key is None else str(key)
    return user_id


def username(request: HttpRequest) -> Optional[str]:
    """Returns the user's name, and loads the user for it if nothing else has."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    return str(user.get_username())
