"""Writes one line for each request. No request waits for a database or fails because of its log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, Optional, Union

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from . import bodies, records
from .addresses import client_ip
from .conf import Config, get_config
from .utils import get_session_id, get_user_id
from .warn import warner

Response = Union[HttpResponseBase, Awaitable[HttpResponseBase]]


class AuditLogMiddleware:
    """Logs requests and responses according to ``AUDIT_LOGGER``, under WSGI and ASGI."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Response:
        if self._is_async:
            return self._acall(request)
        began = perf_counter()
        config = _begin(request)
        if config is None:
            answer: HttpResponseBase = self.get_response(request)
            return answer
        try:
            response: HttpResponseBase = self.get_response(request)
        except BaseException as error:
            _log(config, request, None, _status(error), began)
            raise
        _log(config, request, response, response.status_code, began)
        return response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        began = perf_counter()
        config = _begin(request)
        if config is None:
            answer: HttpResponseBase = await self.get_response(request)
            return answer
        try:
            response: HttpResponseBase = await self.get_response(request)
        except BaseException as error:
            _log(config, request, None, _status(error), began)
            raise
        try:
            _log(config, request, response, response.status_code, began)
        # A callable of the project may use the database, for example for request.user.
        except SynchronousOnlyOperation:
            await sync_to_async(_log)(config, request, response, response.status_code, began)
        return response


def _begin(request: HttpRequest) -> Optional[Config]:
    """Returns the settings if this request is logged, else None."""
    try:
        config = get_config()
        if not config.enabled or config.excludes(request.path):
            return None
        if config.log_request_body:
            bodies.read_ahead(request, config)
        return config
    except Exception as error:
        warner.warn("reading the settings of the request log", error)
        return None


def _status(error: BaseException) -> Optional[int]:
    # Other exceptions end the worker or the task, and no response is sent.
    return 500 if isinstance(error, Exception) else None


def _log(
    config: Config,
    request: HttpRequest,
    response: Optional[HttpResponseBase],
    status: Optional[int],
    began: float,
) -> None:
    took = records.Json(f"{(perf_counter() - began) * 1000:.3f}")
    try:
        config.log.write(records.line("request", _values(config, request, response, status, took)))
    except SynchronousOnlyOperation as error:
        if response is not None:
            raise
        warner.warn("logging a failed request", error)
    except Exception as error:
        warner.warn("logging a request", error)


def _values(
    config: Config,
    request: HttpRequest,
    response: Optional[HttpResponseBase],
    status: Optional[int],
    took: records.Json,
) -> dict[str, Any]:
    meta, mask = request.META, config.mask
    user_id = _user_id(config, request)
    if user_id is not None:
        meta[records.USER_ID_KEY] = user_id
    response_headers = response_body = None
    if response is not None:
        stored = bodies.stored_headers(response)
        response_headers = mask.headers(stored.values(), bool(response.cookies))
        if config.log_response_body:
            response_body = bodies.response_body(response, stored, config)
    return {
        "method": request.method,
        "path": request.path,
        "query_params": mask.query(meta.get("QUERY_STRING") or "") or None,
        "headers": mask.request_headers(meta),
        "body": bodies.request_body(request, config) if config.log_request_body else None,
        "content_type": meta.get("CONTENT_TYPE") or None,
        "status_code": status,
        "response_headers": response_headers,
        "response_body": response_body,
        "response_time_ms": took,
        "ip_address": client_ip(meta),
        "user_id": user_id,
        "user_agent": meta.get("HTTP_USER_AGENT"),
        "session_id": get_session_id(request),
        "extra_data": _extra_data(config, request, response),
    }


def _user_id(config: Config, request: HttpRequest) -> Optional[str]:
    try:
        user_id = config.user_id(request)
    except SynchronousOnlyOperation:
        raise
    except Exception as error:
        warner.warn("USER_ID_CALLABLE", error)
        user_id = get_user_id(request)
    return None if user_id is None else str(user_id)


def _extra_data(config: Config, request: HttpRequest, response: Optional[HttpResponseBase]) -> Any:
    if config.extra_data is None or response is None:
        return None
    try:
        return config.extra_data(request, response)
    except SynchronousOnlyOperation:
        raise
    except Exception as error:
        warner.warn("EXTRA_DATA_CALLABLE", error)
        return None
