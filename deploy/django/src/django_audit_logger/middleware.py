"""Writes one line for each request. No request waits for a database or fails because of its log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from json.encoder import encode_basestring as text
from time import perf_counter
from typing import Any, Optional, Union

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from . import bodies, failures, ids, records
from .conf import Config, get_config
from .decorators import marks
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
            failures.remember_exception(request, error)
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
            failures.remember_exception(request, error)
            _log(config, request, None, _status(error), began)
            raise
        # A callable of the project may be async, or use the database, for example for request.user.
        if config.is_async:
            await sync_to_async(_log)(config, request, response, response.status_code, began)
            return response
        try:
            _log(config, request, response, response.status_code, began)
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
        if config.request_ids:
            ids.begin(request, config.mask)
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
    took = (perf_counter() - began) * 1000
    try:
        no_row, no_body = marks(request)
        if no_row:
            return
        row = _Row(config, request, response, not no_body)
        if config.should_log is not None and not row.is_wanted(config.should_log):
            return
        config.log.write(row.line(status, took))
    except SynchronousOnlyOperation as error:
        if response is not None:
            raise
        warner.warn("logging a failed request", error)
    except Exception as error:
        warner.warn("logging a request", error)
    finally:
        if config.request_ids:
            ids.end(request, response, config.mask)


class _Row:
    """The values of one request. A part that fails is None, and named in ``extra_data``."""

    __slots__ = ("config", "errors", "has_bodies", "request", "response")

    def __init__(
        self,
        config: Config,
        request: HttpRequest,
        response: Optional[HttpResponseBase],
        has_bodies: bool,
    ) -> None:
        self.config = config
        self.request = request
        self.response = response
        self.has_bodies = has_bodies
        self.errors: list[str] = []

    def is_wanted(self, function: Callable[..., Any]) -> bool:
        """Returns whether the request is logged, as SHOULD_LOG_CALLABLE says."""
        wanted = self.part("should_log", _called, function, self.request, self.request, self.response)
        return bool(wanted) or "should_log" in self.errors

    def line(self, status: Optional[int], took: float) -> bytes:
        """Returns the line of the log. Each part is guarded by itself."""
        request, response, config = self.request, self.response, self.config
        known, meta, mask = request.__dict__, request.META, config.mask
        # Plain statements, and members of JSON from the beginning: calls of a function for each part, and a dictionary
        # of the parts, take a fifth of the time of a small request.
        method = path = query = headers = body = content_type = code = response_headers = response_body = ""
        address = user = agent = session = route = view = named = more = ""
        extra: Optional[records.Json] = None
        try:
            if config.user_id is get_user_id:
                user_id = get_user_id(request)
            else:
                user_id = self._user_id()
        except Exception as error:
            self.failed("user_id", error)
            user_id = self.part("user_id", get_user_id, request)
        if user_id is not None:
            meta[records.USER_ID_KEY] = user_id
            user = f',"user_id":{text(user_id)}'
        try:
            if request.method is not None:
                method = f',"method":{text(request.method)}'
        except Exception as error:
            self.failed("method", error)
        try:
            path = f',"path":{text(mask.path(request.path))}'
        except Exception as error:
            self.failed("path", error)
        try:
            requested = meta.get("QUERY_STRING")
            if requested:
                query = f',"query_params":{text(mask.query(requested))}'
        except Exception as error:
            self.failed("query_params", error)
        try:
            headers = f',"headers":{mask.request_headers(meta)}'
        except Exception as error:
            self.failed("headers", error)
        try:
            if config.log_request_body and self.has_bodies:
                value = bodies.request_body(request, config)
                if value is not None:
                    body = f',"body":{text(value)}'
        except Exception as error:
            self.failed("body", error)
        try:
            value = meta.get("CONTENT_TYPE")
            if value:
                content_type = f',"content_type":{text(value)}'
        except Exception as error:
            self.failed("content_type", error)
        try:
            value = meta.get("HTTP_USER_AGENT")
            if value is not None:
                agent = f',"user_agent":{text(value)}'
        except Exception as error:
            self.failed("user_agent", error)
        try:
            if config.log_route:
                match = request.resolver_match
                if match is not None:
                    # Of a site's root it is "/".
                    value = meta[records.ROUTE_KEY] = str(match.route) or "/"
                    route = f',"route":{text(value)}'
                    if match.view_name is not None:
                        view = f',"view":{text(match.view_name)}'
        except Exception as error:
            self.failed("route", error)
        if status is not None:
            code = f',"status_code":{status}'
        stored: Optional[Mapping[str, tuple[str, str]]] = None
        sent: tuple[tuple[str, str], ...] = ()
        added = ""
        try:
            if response is not None:
                stored = bodies.stored_headers(response)
                sent = tuple(stored.values())
        except Exception as error:
            self.failed("response_headers", error)
        try:
            if config.request_ids:
                names = ids.settle(request, response, mask)
                if names is not None:
                    # Of characters that are the same in JSON.
                    named = f',"request_id":"{names[0]}","trace_id":"{names[1]}"'
                    added = names[2]
        except Exception as error:
            self.failed("request_id", error)
        if response is not None:
            try:
                if stored is not None:
                    value = mask.headers(sent, bool(response.cookies), added)
                    response_headers = f',"response_headers":{value}'
            except Exception as error:
                self.failed("response_headers", error)
            try:
                # The body of a response to HEAD is not sent.
                if stored and config.log_response_body and self.has_bodies and request.method != "HEAD":
                    value = bodies.response_body(response, stored, config)
                    if value is not None:
                        response_body = f',"response_body":{text(value)}'
            except Exception as error:
                self.failed("response_body", error)
            try:
                if config.extra_data is not None:
                    extra = self._extra(config.extra_data)
            except Exception as error:
                self.failed("extra_data", error)
        try:
            if config.ip is None:
                value = config.addresses.client_ip(meta)
            else:
                value = self._ip_address(config.ip)
            if value is not None:
                address = f',"ip_address":"{value}"'
        except Exception as error:
            self.failed("ip_address", error)
        try:
            if "session" in known:
                value = get_session_id(request)
                if value is not None:
                    session = f',"session_id":"{value}"'
        except Exception as error:
            self.failed("session_id", error)
        if failures.KEY in known:
            extra = _with(extra, "exception", known[failures.KEY])
        # Last: it has the names of the parts that failed.
        if self.errors:
            extra = _with(extra, "errors", records.json_text(self.errors))
        if extra is not None:
            more = f',"extra_data":{extra}'
        return records.encoded(
            f'{{"log":"request","timestamp":"{records.now()}"{method}{path}{query}{headers}{body}{content_type}'
            f'{code}{response_headers}{response_body},"response_time_ms":{took:.3f}{address}{user}{agent}{session}'
            f"{route}{view}{named}{more}}}\n"
        )

    def part(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function; if it fails, the part is None, and the others have their values."""
        try:
            return function(*arguments)
        except Exception as error:
            self.failed(name, error)
            return None

    def failed(self, name: str, error: Exception) -> None:
        """Names a part that failed. A part that queries is tried again in a thread, with all others."""
        if isinstance(error, SynchronousOnlyOperation):
            raise error
        if name not in self.errors:
            self.errors.append(name)
        warner.warn(f"logging {name} of {self.request.path}", error)

    def _user_id(self) -> Optional[str]:
        user_id = _called(self.config.user_id, self.request, self.request)
        return None if user_id is None else str(user_id)

    def _ip_address(self, function: Callable[..., Any]) -> Optional[str]:
        address = self.config.addresses.storable(_called(function, self.request, self.request))
        if address is not None:
            self.request.META[records.ADDRESS_KEY] = address
        return address

    def _extra(self, function: Callable[..., Any]) -> Optional[records.Json]:
        value = _called(function, self.request, self.request, self.response)
        # Encoded here: a value that cannot be encoded costs itself, and not the row.
        return None if value is None else records.Json(self.config.mask.json(records.json_text(value)))


def _with(value: Optional[records.Json], key: str, added: records.Json) -> records.Json:
    """Adds one key to ``extra_data``; what is not an object becomes the key ``value``."""
    if value is None or value == "{}":
        return records.Json(f'{{"{key}":{added}}}')
    if value.startswith("{"):
        return records.Json(f'{value[:-1]},"{key}":{added}}}')
    return records.Json(f'{{"value":{value},"{key}":{added}}}')


def _called(function: Callable[..., Any], request: HttpRequest, *arguments: Any) -> Any:
    """Calls a function of the project, also an async one. That it used the session adds no ``Vary``."""
    session = request.__dict__.get("session")
    untouched = getattr(session, "accessed", None) is False
    try:
        value = function(*arguments)
        if isawaitable(value):
            value = async_to_sync(_awaited)(value)
        return value
    finally:
        if session is not None and untouched:
            session.accessed = False


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value
