"""Bodies as texts: masked, cut, and never taken away from the view."""

from __future__ import annotations

import codecs
import json
from typing import Any, Optional

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from .conf import Config

CUT = "... [truncated]"

# A body of unread bytes up to this many is read ahead of the view, or up to MAX_BODY_LENGTH.
READ_AHEAD = 64 * 1024

_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
_TEXTS = (_FORM, "application/javascript", "application/graphql", "application/x-ndjson", "")


def read_ahead(request: HttpRequest, config: Config) -> None:
    """Reads a small body, which the view then finds in memory, by whichever way it reads.

    Larger ones, those of unknown length and files are left to the view: they are logged if it asks
    for ``request.body`` or ``request.POST``, and are not if it reads the stream by itself.
    """
    length = request.META.get("CONTENT_LENGTH")
    if not length or not str(length).isdigit() or getattr(request, "_read_started", True):
        return
    most = max(config.max_body_length, READ_AHEAD)
    if settings.DATA_UPLOAD_MAX_MEMORY_SIZE is not None:
        most = min(most, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    if not 0 < int(length) <= most or not _is_text(_kind(request.META.get("CONTENT_TYPE"))):
        return
    try:
        _ = request.body
    # The client went away: the view is to meet that by itself.
    except Exception:
        setattr(request, "_read_started", False)  # noqa: B010


def request_body(request: HttpRequest, config: Config) -> Optional[str]:
    """The request's body as far as it was read and is text, else None."""
    content_type = request.META.get("CONTENT_TYPE")
    if _kind(content_type) == _MULTIPART:
        return _fields(request, config)
    data = request.__dict__.get("_body")
    return _text(data, content_type, request.encoding, config) if data else None


def response_body(response: HttpResponseBase, config: Config) -> Optional[str]:
    """The response's body if it is text that is there already, else None."""
    if response.streaming or not getattr(response, "is_rendered", True):
        return None
    if response.get("Content-Encoding", "identity") != "identity":
        return None
    data = getattr(response, "content", b"")
    return _text(data, response.get("Content-Type"), response.charset, config) if data else None


def _kind(content_type: Optional[str]) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def _is_text(kind: str) -> bool:
    return kind.startswith("text/") or kind.endswith(("json", "xml")) or kind in _TEXTS


def _text(
    data: bytes, content_type: Optional[str], encoding: Optional[str], config: Config
) -> Optional[str]:
    kind, limit = _kind(content_type), config.max_body_length
    if limit == 0 or not _is_text(kind):
        return None
    # What surely lies behind the limit need not be masked, but for a margin: masks change lengths.
    text = _decoded(data[: 4 * limit + 4096], encoding)
    if kind == _FORM:
        text = config.mask.query(text)
    else:
        text = config.mask.json(text)
        # A form under another name; in a page it would be found by chance only.
        if "=" in text and not text.lstrip().startswith(("{", "[", "<")):
            text = config.mask.query(text)
    return _cut(text, limit, len(data) > 4 * limit + 4096)


def _decoded(data: bytes, encoding: Optional[str]) -> str:
    try:
        codecs.lookup(encoding or "utf-8")
    except LookupError:
        encoding = None
    return data.decode(encoding or "utf-8", "replace")


def _cut(text: str, limit: int, was_cut: bool = False) -> str:
    return text[:limit] + CUT if was_cut or len(text) > limit else text


def _fields(request: HttpRequest, config: Config) -> Optional[str]:
    """A parsed multipart form as JSON; of a file only the size."""
    post, files = request.__dict__.get("_post"), request.__dict__.get("_files")
    if not post and not files or config.max_body_length == 0:
        return None
    fields: dict[str, Any] = {}
    for name, values in (post.lists() if post else ()):
        masked = config.mask.masked(name, [value[: config.max_body_length] for value in values])
        fields[name] = masked[0] if isinstance(masked, list) and len(masked) == 1 else masked
    for name, uploads in (files.lists() if files else ()):
        fields[name] = [f"[file, {upload.size} bytes]" for upload in uploads]
    return _cut(json.dumps(fields, ensure_ascii=False, default=str), config.max_body_length)
