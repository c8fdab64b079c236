"""Gunicorn's logger, which also writes each access as one JSON line. It never uses a database.

The worker classes ``sync``, ``gthread``, ``gevent``, ``eventlet`` and Gunicorn's own ``asgi`` call
:meth:`GLogger.access`, with all values. Uvicorn's worker does not: it logs through the handlers of
Gunicorn's access logger. One of these is ours. It gets method, URL, protocol, status and address.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from django.conf import settings
from gunicorn.glogging import Logger

from . import conf, records
from .addresses import client_ip
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
    referer = environ.get("HTTP_REFERER")
    url = environ.get("RAW_URI") or getattr(req, "uri", None)
    others = {key: str(environ[key]) for key in _ENVIRON if environ.get(key)}
    response_headers = {name.lower(): value for name, value in _texts(resp.headers)}
    values: dict[str, Any] = {
        "method": environ.get("REQUEST_METHOD"),
        "url": mask.url(str(url)) if url else None,
        "host": environ.get("HTTP_HOST"),
        "user_ip": client_ip(environ),
        "agent": environ.get("HTTP_USER_AGENT"),
        "source": mask.url(referer) if referer else None,
        "request": {"environ": others} if others else None,
        "response": records.Json(f'{{"headers":{mask.headers(response_headers.items())}}}'),
        "headers": mask.request_headers(environ),
        "duration": _microseconds(request_time),
        "code": int(str(resp.status).split(None, 1)[0]),
        "protocol": environ.get("SERVER_PROTOCOL"),
        "response_bytes": getattr(resp, "sent", None),
        "pid": os.getpid(),
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
            values = {
                "method": method,
                "url": _mask().url(str(url)),
                "user_ip": client_ip({"REMOTE_ADDR": str(address).rpartition(":")[0]}),
                "code": int(str(status)),
                "protocol": f"HTTP/{version}",
                "pid": record.process,
            }
            self.lines.write(records.line("gunicorn", values))
        except Exception as error:
            warner.warn("logging an access", error)


_without_django = Mask(conf.DEFAULT_SENSITIVE_FIELDS)


def _mask() -> Mask:
    # The application may not be a Django one.
    return conf.get_config().mask if settings.configured else _without_django


def _microseconds(took: Any) -> int:
    seconds = getattr(took, "days", 0) * 86400 + took.seconds
    return int(seconds * 1_000_000 + took.microseconds)


def _texts(headers: Any) -> Iterable[tuple[str, str]]:
    for name, value in headers.items() if hasattr(headers, "items") else headers:
        yield _text(name), _text(value)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
