"""Reads bodies as texts, masks and cuts them. The view can still read each body."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Optional

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from .conf import Config
from .masking import Mask, begins_like_json

CUT = "... [truncated]"

# Most content types, and their charsets, that are cached.
_MOST_TYPES = 256

_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
_TEXTS = (_FORM, "application/javascript", "application/graphql", "application/x-ndjson", "")


def read_ahead(request: HttpRequest, config: Config) -> None:
    """Reads a small body into memory. The view can then read it in any way.

    Larger bodies, those of unknown length and files are left to the view. They are logged if the
    view uses ``request.body`` or ``request.POST``, and not if it reads the stream itself.
    """
    length = request.META.get("CONTENT_LENGTH")
    if not length or not str(length).isdigit() or getattr(request, "_read_started", True):
        return
    if not 0 < int(length) <= config.read_ahead or not _content(request.META.get("CONTENT_TYPE"))[1]:
        return
    try:
        _ = request.body
    # The client disconnected: the view must get this error itself.
    except Exception:
        setattr(request, "_read_started", False)  # noqa: B010


def request_body(request: HttpRequest, config: Config) -> Optional[str]:
    """Returns the request's body if it was read and is text, else None."""
    content_type = request.META.get("CONTENT_TYPE")
    if content_type and _content(content_type)[0] == _MULTIPART:
        return _fields(request, config)
    data = request.__dict__.get("_body")
    if not data:
        return None
    encoding = request.META.get("HTTP_CONTENT_ENCODING")
    if encoding:
        data = _decompressed(data, encoding, config)
    return _text(data, content_type, request.encoding, config) if data else None


def stored_headers(response: HttpResponseBase) -> Mapping[str, tuple[str, str]]:
    """Returns names and values of the response's headers, by their lower-case names."""
    # Django's own dictionary of the same, if there is one: it saves a look-up for each header.
    stored = response.headers.__dict__.get("_store")
    if type(stored) is dict:
        return stored
    return {name.lower(): (name, value) for name, value in response.items()}


def response_body(
    response: HttpResponseBase, headers: Mapping[str, tuple[str, str]], config: Config
) -> Optional[str]:
    """Returns the response's body if it is text and not streamed, else None."""
    if response.streaming or not getattr(response, "is_rendered", True):
        return None
    data = getattr(response, "content", b"")
    if data and "content-encoding" in headers:
        data = _decompressed(data, headers["content-encoding"][1], config)
    if not data:
        return None
    content_type = headers["content-type"][1] if "content-type" in headers else ""
    return _text(data, content_type, _charset(response, content_type, config), config)


def _decompressed(data: bytes, encoding: str, config: Config) -> Optional[bytes]:
    """Returns as much of a compressed body as is logged; None if it cannot be read."""
    encoding = encoding.strip().lower()
    if encoding == "identity":
        return data
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return None
    # A deflated body may have a header or not.
    for wbits in (47, -15):
        try:
            return zlib.decompressobj(wbits).decompress(data, config.most_bytes + 1)
        except zlib.error:
            continue
    return None


def _charset(response: HttpResponseBase, content_type: str, config: Config) -> str:
    # Unless the charset was set explicitly, Django derives it from the type. That search takes longer
    # than the rest of this function, so its result is cached.
    if response.__dict__.get("_charset", "") is not None:
        return response.charset
    charset = config.charsets.get(content_type)
    if charset is None:
        charset = response.charset
        if len(config.charsets) < _MOST_TYPES:
            config.charsets[content_type] = charset
    return charset


@lru_cache(maxsize=_MOST_TYPES)
def _content(content_type: Optional[str]) -> tuple[str, bool]:
    """Returns the type without its parameters, and whether it is a text type."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind, kind.startswith("text/") or kind.endswith(("json", "xml")) or kind in _TEXTS


def _text(
    data: bytes, content_type: Optional[str], encoding: Optional[str], config: Config
) -> Optional[str]:
    kind, is_text = _content(content_type)
    limit = config.max_body_length
    if limit == 0 or not is_text:
        return None
    most = config.most_bytes
    text = masked_text(_decoded(data[:most], encoding), kind, config.mask)
    return _cut(text, limit, len(data) > most)


def masked_text(text: str, kind: str, mask: Mask) -> str:
    """Masks a body of this type, which has no parameters."""
    if kind == _FORM:
        return mask.query(text)
    text = mask.json(text)
    # A form with another type. In an HTML page a match would be chance.
    if "=" in text and not begins_like_json(text) and not text.lstrip("\ufeff\n\r\t ").startswith("<"):
        text = mask.query(text)
    return text


def _decoded(data: bytes, encoding: Optional[str]) -> str:
    try:
        return data.decode(encoding or "utf-8", "replace")
    except LookupError:
        return data.decode("utf-8", "replace")


def _cut(text: str, limit: int, was_cut: bool = False) -> str:
    return text[:limit] + CUT if was_cut or len(text) > limit else text


def _fields(request: HttpRequest, config: Config) -> Optional[str]:
    """Returns a parsed multipart form as JSON; of a file only the size."""
    post, files = request.__dict__.get("_post"), request.__dict__.get("_files")
    if not post and not files or config.max_body_length == 0:
        return None
    fields: dict[str, Any] = {}
    for name, values in (post.lists() if post else ()):
        # A view may have put values of any type into its copy of the form.
        texts = [str(value)[: config.max_body_length] for value in values]
        masked = config.mask.masked(str(name), texts)
        fields[name] = masked[0] if isinstance(masked, list) and len(masked) == 1 else masked
    for name, uploads in (files.lists() if files else ()):
        fields[name] = [f"[file, {upload.size} bytes]" for upload in uploads]
    return _cut(json.dumps(fields, ensure_ascii=False, default=str), config.max_body_length)
