"""What a request tells of its client, without a query."""

from __future__ import annotations

import hashlib
from typing import Optional

from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from .addresses import client_ip

# Where django.contrib.auth.login keeps the key of the user.
_SESSION_USER = "_auth_user_id"


def get_user_id(request: HttpRequest) -> Optional[str]:
    """The key of the user, if the view or a middleware has found who that is; else None.

    Looking at ``request.user`` would load session and user from the database for requests that do
    not need them, so only what is there already is looked at.
    """
    # Set by login() in place of the lazy one, or evaluated, or looked up by another way.
    known = request.__dict__
    user = known.get("user")
    if user is not None and isinstance(user, LazyObject):
        user = user.__dict__.get("_wrapped")
    if user is None or user is empty:
        user = known.get("_cached_user") or known.get("_acached_user")
    if user is not None:
        return None if getattr(user, "pk", None) is None else str(user.pk)
    # The session's own dictionary: asking the session would count as an access, and say Vary.
    session = known.get("session")
    if session is None:
        return None
    cache = getattr(session, "__dict__", {}).get("_session_cache") or {}
    user_id = cache.get(_SESSION_USER)
    return None if user_id is None else str(user_id)


def get_session_id(request: HttpRequest) -> Optional[str]:
    """Names the session; see :func:`session_digest`. None without a session."""
    session = request.__dict__.get("session")
    if session is None:
        return None
    key = getattr(session, "session_key", None)
    return session_digest(key) if key else None


def session_digest(key: str) -> str:
    """What stands in the log for a session's key: who reads it cannot become that user by it."""
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()[:32]


def get_client_ip(request: HttpRequest) -> Optional[str]:
    """The client's address; see :func:`.addresses.client_ip`."""
    return client_ip(request.META)
