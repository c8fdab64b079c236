"""Names each request, for this log, for Gunicorn's, for other logs and for the client.

``X-Request-ID`` and ``traceparent`` of the request count if they are well formed; else new ids are made. A
client may choose its ids, so they are not always unique.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Optional

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from .masking import Mask
from .records import REQUEST_ID_KEY, TRACE_ID_KEY
from .warn import warner

REQUEST_ID_HEADER = "X-Request-ID"
# Of the W3C's Trace Context, Level 2: the trace of the request, for the client.
TRACE_HEADER = "traceresponse"

# The daemon has the same rules.
_REQUEST_ID = re.compile(r"(?!-\Z)[A-Za-z0-9\-_.:+/=@~|,]{1,200}")
_TRACE_PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})"
)
# Versions after 00 may have more.
_TRACE_LENGTH = 55

# The key of the ids on the request.
_KEY = "_audit_logger_ids"


# Request id, trace id, and the header that tells the client the trace.
Ids = tuple[str, str, str]

# Ids of this many requests are made at once: a call of the system for each takes ten times as long.
_MANY = 64
# An id of 32 digits and one of a span, of 16.
_made: list[tuple[str, str]] = []
# A worker must not have the ids of its siblings.
os.register_at_fork(after_in_child=_made.clear)

_current: ContextVar[Optional[Ids]] = ContextVar("django_audit_logger.ids", default=None)


class RequestIdFilter(logging.Filter):
    """Gives log records ``request_id`` and ``trace_id`` of the request that is handled, else ``-``."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id, record.trace_id = current() or ("-", "-")
        return True


def current() -> Optional[tuple[str, str]]:
    """Returns request id and trace id of the request that is handled, or None."""
    ids = _current.get()
    return ids and ids[:2]


def begin(request: HttpRequest, mask: Mask) -> None:
    """Gives the request its ids."""
    meta = request.META
    try:
        made, span = _made.pop()
    except IndexError:
        made, span = _make()
    if "HTTP_X_REQUEST_ID" in meta or "HTTP_TRACEPARENT" in meta:
        request_id = valid_request_id(meta.get("HTTP_X_REQUEST_ID"), mask) or made
        trace_id, flags = trace(meta.get("HTTP_TRACEPARENT")) or (made, "00")
        ids = request_id, trace_id, f"00-{trace_id}-{span}-{flags}"
    else:
        ids = made, made, f"00-{made}-{span}-00"
    request.__dict__[_KEY] = ids
    _current.set(ids)


def _make() -> tuple[str, str]:
    """Returns new ids of one request and of a span, and keeps those of the next ones."""
    digits = os.urandom(_MANY * 24)
    made = digits[: _MANY * 16].hex("-", 16).split("-")
    first, *others = zip(made, digits[_MANY * 16 :].hex("-", 8).split("-"))
    _made.extend(others)
    return first


def settle(
    request: HttpRequest, response: Optional[HttpResponseBase], mask: Mask
) -> Optional[tuple[str, str, str]]:
    """Adds the ids to the response. Returns them, and the headers that it has added as members of JSON.

    The request id counts that the view, or another middleware, has answered. The Gunicorn logger gets the
    same ids.
    """
    ids: Optional[Ids] = request.__dict__.get(_KEY)
    if ids is None:
        return None
    request_id, trace_id, trace_response = ids
    added = ""
    meta = request.META
    if response is not None:
        # Django's own dictionary, if there is one: it would check each character once more.
        stored = response.headers.__dict__.get("_store")
        if type(stored) is not dict:
            stored = _Checked(response)
        if "x-request-id" not in stored:
            # Both are of characters that headers and JSON have as they are.
            stored["x-request-id"] = REQUEST_ID_HEADER, request_id
            added = mask.request_id_header or f',"x-request-id":"{request_id}"'
        else:
            request_id = valid_request_id(response.headers[REQUEST_ID_HEADER], mask) or request_id
        if TRACE_HEADER not in stored:
            stored[TRACE_HEADER] = TRACE_HEADER, trace_response
            added += mask.trace_header or f',"{TRACE_HEADER}":"{trace_response}"'
    meta[REQUEST_ID_KEY] = request_id
    meta[TRACE_ID_KEY] = trace_id
    return request_id, trace_id, added


class _Checked:
    """Headers of a response of another kind."""

    def __init__(self, response: HttpResponseBase) -> None:
        self._response = response

    def __contains__(self, name: str) -> bool:
        return bool(self._response.has_header(name))

    def __setitem__(self, _: str, header: tuple[str, str]) -> None:
        self._response.headers[header[0]] = header[1]


def end(request: HttpRequest, response: Optional[HttpResponseBase], mask: Mask) -> None:
    """Forgets the ids. The response has them, also if the request is not logged."""
    _current.set(None)
    if REQUEST_ID_KEY not in request.META:
        try:
            settle(request, response, mask)
        except Exception as error:
            warner.warn("adding the request's id to its response", error)


def valid_request_id(value: Any, mask: Mask) -> Optional[str]:
    """Returns a request id of which all logs can make use: short, of usual characters, and no secret."""
    if not isinstance(value, str) or _REQUEST_ID.fullmatch(value) is None:
        return None
    return value if mask.values(value) == value else None


def trace(value: Any) -> Optional[tuple[str, str]]:
    """Returns the trace id and the flags of a ``traceparent``; None if it is malformed."""
    if not isinstance(value, str):
        return None
    found = _TRACE_PARENT.match(value)
    if found is None or len(value) > _TRACE_LENGTH and (value[:2] == "00" or value[_TRACE_LENGTH] != "-"):
        return None
    return found[1], found[2]


def of_access(
    environ: Mapping[str, Any], response_headers: Mapping[str, str], mask: Mask
) -> tuple[Optional[str], Optional[str]]:
    """Returns the ids of an access: those of the middleware, else those of the response or the request."""
    request_id, trace_id = environ.get(REQUEST_ID_KEY), environ.get(TRACE_ID_KEY)
    for headers, name, parent in (
        (response_headers, "x-request-id", TRACE_HEADER),
        (environ, "HTTP_X_REQUEST_ID", "HTTP_TRACEPARENT"),
    ):
        if request_id is None:
            request_id = valid_request_id(headers.get(name), mask)
        if trace_id is None:
            trace_id = (trace(headers.get(parent)) or (None,))[0]
    return request_id, trace_id
