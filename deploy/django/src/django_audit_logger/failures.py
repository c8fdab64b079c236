"""Describes the exceptions of views, so that the same failure can be found again."""

from __future__ import annotations

import hashlib
import sys
from types import TracebackType
from typing import Any, Optional

from .records import json_text
from .warn import warner

# The key of what is known of a request's exception, on the request.
KEY = "_audit_logger_exception"

# Modules between the server and the view. Which of their functions a traceback has depends on the server, and
# on other middleware, and not on the failure.
_CALLERS = (
    "django.core.handlers", "django.utils.deprecation", "asgiref", "asyncio", "concurrent",
    "django_audit_logger",
)  # fmt: skip
# Python 3.12 and newer has no frames for these.
_INLINED = ("<listcomp>", "<setcomp>", "<dictcomp>")


def remember_exception(request: Any, error: BaseException) -> None:
    """Keeps the class of a request's first exception and the hash of its traceback, for the row.

    Django's unhandled exceptions are kept by themselves. Code that handles one, and answers the request,
    may call this. A request of Django REST framework is accepted, too.
    """
    try:
        its = type(error)
        name = its.__qualname__ if its.__module__ == "builtins" else f"{its.__module__}.{its.__qualname__}"
        text = json_text({"class": name, "traceback_hash": _hash(name, error.__traceback__)})
        # As text, and not as the exception: that would keep all variables of its frames.
        getattr(request, "_request", request).__dict__.setdefault(KEY, text)
    except Exception as failure:
        warner.warn("describing an exception", failure)


def remember_unhandled(sender: Any, request: Any = None, **_: Any) -> None:
    """Receives Django's signal of an exception that nothing handled."""
    error = sys.exc_info()[1]
    if request is not None and error is not None:
        remember_exception(request, error)


def _hash(name: str, trace: Optional[TracebackType]) -> str:
    """Returns a hash of the exception's class and of the functions it went through.

    Line numbers and messages are not in it, and each function counts once: so a failure has the same hash
    after a change elsewhere in the file, and at any depth of a recursion.
    """
    parts = {name: None}
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        function = trace.tb_frame.f_code.co_name
        if function not in _INLINED and not f"{module}.".startswith(tuple(f"{it}." for it in _CALLERS)):
            parts[f"{module}:{function}"] = None
        trace = trace.tb_next
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:16]
