"""Decorators of views that are not logged, or without their bodies.

They mark the view and do not wrap it, so that they work for all kinds of views, also if a middleware
answers instead of the view. For views of classes:
``@method_decorator(no_body_log, name="dispatch")``, or ``@no_body_log`` on the class.
"""

from __future__ import annotations

from typing import Any, TypeVar

View = TypeVar("View")

_NO_ROW = "_audit_logger_no_row"
_NO_BODY = "_audit_logger_no_body"

# What is known of views, by their ids.
_known: dict[int, tuple[Any, tuple[bool, bool]]] = {}
_MOST_VIEWS = 4096


def no_request_log(view: View) -> View:
    """Writes no row for requests of this view."""
    setattr(view, _NO_ROW, True)
    return view


def no_body_log(view: View) -> View:
    """Writes rows of this view without the bodies of request and response."""
    setattr(view, _NO_BODY, True)
    return view


def marks(request: Any) -> tuple[bool, bool]:
    """Returns whether the request's view wants no row, and whether it wants no body."""
    match = request.resolver_match
    if match is None:
        return False, False
    view = match.func
    known = _known.get(id(view))
    if known is None or known[0] is not view:
        if len(_known) >= _MOST_VIEWS:
            _known.clear()
        known = _known[id(view)] = (view, _marks(view))
    return known[1]


def _marks(view: Any) -> tuple[bool, bool]:
    # Views of classes: as_view() of Django, and that of Django REST framework.
    places = (view, getattr(view, "view_class", None), getattr(view, "cls", None))
    return (
        any(getattr(place, _NO_ROW, False) for place in places),
        any(getattr(place, _NO_BODY, False) for place in places),
    )
