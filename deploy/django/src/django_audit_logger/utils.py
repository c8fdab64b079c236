"""Finds user, session and address of a request, without a query."""

from __future__ import annotations

import hashlib
from typing import Any, Optional

from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

# The session's key for the user, set by django.contrib.auth.login.
_SESSION_USER = "_auth_user_id"


# The key of the user whom this request logged out, on the request.
_LOGGED_OUT = "_audit_logger_logged_out"


def remember_logged_out(sender: Any, request: Any, user: Any, **_: Any) -> None:
    """Keeps the user of a request that logs out: afterwards the request is anonymous."""
    if request is not None and getattr(user, "pk", None) is not None:
        request.__dict__[_LOGGED_OUT] = user.pk


def get_user_id(request: HttpRequest) -> Optional[str]:
    """Returns the user's key if the view or a middleware has loaded the user, else None.

    Access to ``request.user`` would load session and user from the database for requests that do not
    need them. So this function uses only what is loaded already.
    """
    # Set by login() instead of the lazy object, evaluated, or set by other code.
    known = request.__dict__
    user = known.get("user")
    if user is not None and isinstance(user, LazyObject):
        user = user.__dict__.get("_wrapped")
    if user is None or user is empty:
        user = known.get("_cached_user") or known.get("_acached_user")
    if user is not None:
        key = getattr(user, "pk", None)
        if key is not None:
            return str(key)
    left = known.get(_LOGGED_OUT)
    if left is not None:
        return str(left)
    if user is not None:
        return None
    # The session's own dictionary: access to the session would mark it as used, and add Vary: Cookie.
    session = known.get("session")
    if session is None:
        return None
    cache = getattr(session, "__dict__", {}).get("_session_cache") or {}
    user_id = cache.get(_SESSION_USER)
    return None if user_id is None else str(user_id)


def get_session_id(request: HttpRequest) -> Optional[str]:
    """Returns the digest of the session (see :func:`session_digest`); None without a session."""
    session = request.__dict__.get("session")
    if session is None:
        return None
    key = getattr(session, "session_key", None)
    return session_digest(key) if key else None


def session_digest(key: str) -> str:
    """Returns a digest of a session's key: a reader of the log cannot use it to take over the session."""
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()[:32]


def get_client_ip(request: HttpRequest) -> Optional[str]:
    """Returns the client's address by ``TRUSTED_PROXIES`` and ``IP_HEADERS``."""
    from .conf import get_config

    return get_config().addresses.client_ip(request.META)
