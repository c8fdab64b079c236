"""Gunicorn's logger, which also writes each access as one JSON line. It never uses a database.

The worker classes ``sync``, ``gthread``, ``gevent``, ``eventlet`` and Gunicorn's own ``asgi`` call
:meth:`GLogger.access`, with all values. Uvicorn's worker does not: it logs through the handlers of
Gunicorn's access logger. One of these is ours. It gets method, URL, protocol, status and address.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Optional
from urllib.parse import unquote

from django.conf import settings
from gunicorn.glogging import Logger

from . import conf, ids, records
from .addresses import Addresses
from .logfile import LogFile
from .masking import Mask
from .warn import warner

# Keys of the environ that no other column contains.
_ENVIRON = ("wsgi.url_scheme", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT", "SCRIPT_NAME")
_UVICORN = "uvicorn.access"


class GLogger(Logger):
    """``logger_class`` for Gunicorn 20.1 and newer; lines go to ``GUNICORN_LOG_DIR/access.log``."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.lines = LogFile(os.path.join(conf.log_directory(), "access.log"), *conf.rotation())
        for handler in list(self.access_log.handlers):
            # A handler from before a reload, or one that would write text between the JSON lines.
            if isinstance(handler, UvicornHandler) or self._is_ours(handler):
                self.access_log.removeHandler(handler)
        self.access_log.addHandler(UvicornHandler(self.lines))
        self._writes_text = not self._is_ours_by_name(cfg.accesslog) and bool(
            cfg.accesslog
            or cfg.logconfig
            or cfg.logconfig_dict
            or getattr(cfg, "logconfig_json", None)
            or (cfg.syslog and not cfg.disable_redirect_access_to_syslog)
        )

    @property
    def access_log_enabled(self) -> bool:
        """Returns True: some workers check this before they call :meth:`access`."""
        return True

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> None:
        try:
            if not _is_excluded(environ):
                values = access_values(resp, req, environ, request_time)
                if "user_id" not in values:
                    values["user_id"] = self._get_user(environ)
                self.lines.write(records.line("gunicorn", values))
        except Exception as error:
            warner.warn("logging an access", error)
        if self._writes_text:
            super().access(resp, req, environ, request_time)

    def _is_ours(self, handler: logging.Handler) -> bool:
        return isinstance(handler, logging.FileHandler) and self._is_ours_by_name(
            handler.baseFilename
        )

    def _is_ours_by_name(self, path: Optional[str]) -> bool:
        return bool(path) and os.path.realpath(str(path)) == os.path.realpath(self.lines.path)


def access_values(
    resp: Any, req: Any, environ: Mapping[str, Any], request_time: Any
) -> dict[str, Any]:
    """Returns the fields of one access, with the names of the daemon's table."""
    mask = _mask()
    referer, agent = environ.get("HTTP_REFERER"), environ.get("HTTP_USER_AGENT")
    url = environ.get("RAW_URI") or getattr(req, "uri", None)
    others = {key: str(environ[key]) for key in _ENVIRON if environ.get(key)}
    response_headers = {name.lower(): value for name, value in _texts(resp.headers)}
    code = int(str(resp.status).split(None, 1)[0])
    request_id, trace_id = ids.of_access(environ, response_headers, mask)
    values: dict[str, Any] = {
        "method": environ.get("REQUEST_METHOD"),
        "url": mask.url(str(url)) if url else None,
        "host": environ.get("HTTP_HOST"),
        "user_ip": environ.get(records.ADDRESS_KEY) or _addresses().client_ip(environ),
        "agent": mask.tokens(agent) if agent else None,
        "source": mask.url(referer) if referer else None,
        "request": {"environ": others} if others else None,
        "response": records.Json(f'{{"headers":{mask.headers(response_headers.items())}}}'),
        "headers": records.Json(mask.request_headers(environ)),
        "duration": _microseconds(request_time),
        "code": code,
        "protocol": environ.get("SERVER_PROTOCOL"),
        "response_bytes": _sent(resp, environ, code),
        "pid": os.getpid(),
        "route": environ.get(records.ROUTE_KEY),
        "request_id": request_id,
        "trace_id": trace_id,
    }
    if environ.get(records.USER_ID_KEY):
        values["user_id"] = environ[records.USER_ID_KEY]
    return values


class UvicornHandler(logging.Handler):
    """Writes lines for records of ``uvicorn.access``; ignores Gunicorn's own records."""

    def __init__(self, lines: LogFile) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != _UVICORN or not isinstance(record.args, tuple) or len(record.args) != 5:
            return
        try:
            address, method, url, version, status = record.args
            if _is_excluded({}, str(url)):
                return
            values = {
                "method": method,
                "url": _mask().url(str(url)),
                "user_ip": _addresses().client_ip({"REMOTE_ADDR": str(address).rpartition(":")[0]}),
                "code": int(str(status)),
                "protocol": f"HTTP/{version}",
                "pid": record.process,
            }
            self.lines.write(records.line("gunicorn", values))
        except Exception as error:
            warner.warn("logging an access", error)


_without_django = (
    Mask(conf.DEFAULT_SENSITIVE_FIELDS, paths=map(re.compile, conf.DEFAULT_PATHS)),
    Addresses(),
)


# The application may not be a Django one.
def _mask() -> Mask:
    return conf.get_config().mask if settings.configured else _without_django[0]


def _addresses() -> Addresses:
    return conf.get_config().addresses if settings.configured else _without_django[1]


def _is_excluded(environ: Mapping[str, Any], url: Optional[str] = None) -> bool:
    if not settings.configured:
        return False
    if url is not None:
        path = unquote(url.partition("?")[0])
    else:
        path = (environ.get("SCRIPT_NAME") or "") + (environ.get("PATH_INFO") or "")
    return conf.get_config().excludes(path)


def _sent(resp: Any, environ: Mapping[str, Any], code: int) -> Any:
    sent = getattr(resp, "sent", None)
    # Gunicorn does not count what it sends by sendfile.
    if sent == 0 and environ.get("REQUEST_METHOD") != "HEAD" and code not in (204, 304):
        return getattr(resp, "response_length", None) or sent
    return sent


def _microseconds(took: Any) -> int:
    seconds = getattr(took, "days", 0) * 86400 + took.seconds
    return int(seconds * 1_000_000 + took.microseconds)


def _texts(headers: Any) -> Iterable[tuple[str, str]]:
    for name, value in headers.items() if hasattr(headers, "items") else headers:
        yield _text(name), _text(value)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
