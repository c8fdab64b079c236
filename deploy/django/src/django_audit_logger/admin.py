"""Shows the log rows in the admin, read-only."""

from __future__ import annotations

import ipaddress
import json
from datetime import timedelta
from typing import Any, ClassVar, Optional

from django.conf import settings
from django.contrib import admin, messages
from django.db import DatabaseError, connections
from django.db.models import Model, Q, QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.functional import lazy
from django.utils.html import format_html, format_html_join

from .admin_list import (
    CodeFilter,
    CountlessPaginator,
    LogList,
    MethodFilter,
    PeriodFilter,
    StatusCodeFilter,
    current_page,
    is_any_time,
    shown,
    zone,
    zone_name,
)
from .models import GunicornLogModel, RequestLog

# Number of a path's first characters that the daemon's index contains.
_INDEXED = 200
_PRE = '<pre style="white-space: pre-wrap; overflow-wrap: anywhere; margin: 0">{}</pre>'


def _pretty(value: Any) -> str:
    """Returns JSON, or a text that may be JSON, laid out over lines and escaped."""
    if value is None:
        return "-"
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return format_html(_PRE, value)
    return format_html(_PRE, json.dumps(value, indent=2, ensure_ascii=False))


def _block(field: str) -> Any:
    """Returns a field of a row as a formatted block."""

    @admin.display(description=field.replace("_", " "))
    def show(row: Model) -> str:
        return _pretty(getattr(row, field))

    show.__name__ = f"{field}_block"
    return show


# How far apart the two logs may write the same request, and the most links: an id is not always unique.
_NEAR = timedelta(minutes=10)
_MOST_LINKS = 5


def _counterpart(model: type[Model], description: str) -> Any:
    """Returns links to the rows of the other log with the same request id."""

    @admin.display(description=description)
    def show(row: Any) -> str:
        if row.request_id is None:
            return "-"
        times = (row.timestamp - _NEAR, row.timestamp + _NEAR)
        rows = model._default_manager.filter(request_id=row.request_id, timestamp__range=times)
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
        links = ((reverse(name, args=[it.pk]), shown(it.timestamp)) for it in rows[:_MOST_LINKS])
        return format_html_join(" ", '<a href="{}">{}</a>', links) or "-"

    show.__name__ = f"{model._meta.model_name}_links"
    return show


class LogAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # not generic at run time
    """The base of both lists: no count, no scan, no sort except by time."""

    paginator = CountlessPaginator
    show_full_result_count = False
    list_per_page = 100
    # No "show all".
    list_max_show_all = 0
    ordering = ("-timestamp", "-id")
    sortable_by = ("time",)
    actions = None
    search_help_text = (
        "A path from its beginning (/api/), an address, a user, a request id or trace id, or any text in URL, "
        "body, referer and user agent; text is not searched at any time, only within a period"
    )
    path_field = ""
    # Columns in which a text is searched.
    text_fields: tuple[str, ...] = ()
    address_field = ""
    # The list reads only the columns that it shows: bodies are long.
    list_fields: tuple[str, ...] = ()

    # Counts for each filter would scan the table.
    show_facets: ClassVar[Any] = getattr(getattr(admin, "ShowFacets", None), "NEVER", None)

    class Media:
        css: ClassVar = {"all": ("django_audit_logger/lists.css",)}

    @admin.display(description=lazy(lambda: f"time ({zone_name()})", str)(), ordering="timestamp")
    def time(self, row: Any) -> str:
        return shown(row.timestamp)

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[LogList]:
        return LogList

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        try:
            return super().changelist_view(request, extra_context)
        except DatabaseError:
            alias = self.get_queryset(request).db
            table = self.model._meta.db_table
            if table in connections[alias].introspection.table_names():
                raise
            text = (
                f"The database {alias!r} has no table {table}: log-ingestd makes it at its first start."
            )
            self.message_user(request, text, messages.ERROR)
            return HttpResponseRedirect(reverse("admin:index"))

    def get_paginator(self, request: HttpRequest, *args: Any, **options: Any) -> Any:
        paginator: Any = super().get_paginator(request, *args, **options)
        paginator.current = current_page(request)
        return paginator

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        match = request.resolver_match
        is_list = bool(match and (match.url_name or "").endswith("_changelist"))
        return rows.only(*self.list_fields) if is_list else rows

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        row: Any = super().get_object(request, object_id, from_field)
        # The page's title has the row's time: in the zone of the others.
        if row is not None and settings.USE_TZ:
            row.timestamp = row.timestamp.astimezone(zone())
        return row

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Searches by prefixes and whole values, which an index can find, and else by any text."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.startswith("/"):
            # PostgreSQL's index contains the beginning of long paths, and serves a condition on it.
            queryset = queryset.alias(beginning=Left(self.path_field, _INDEXED))
            queryset = queryset.filter(beginning__startswith=term[:_INDEXED])
            if len(term) > _INDEXED:
                queryset = queryset.filter(**{f"{self.path_field}__startswith": term})
            return queryset, False
        address = _address(term)
        if address is not None:
            return queryset.filter(**{self.address_field: address}), False
        users = queryset.filter(user_id=term)
        # Any text has no index: it is searched within a period, and only if no user has this name.
        if is_any_time(request) or users.exists():
            return users, False
        found = Q(request_id=term) | Q(trace_id=term)
        for field in self.text_fields:
            found |= Q(**{f"{field}__icontains": term})
        return queryset.filter(found), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Optional[Model] = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Optional[Model] = None) -> bool:
        return False


def _address(term: str) -> Optional[str]:
    try:
        return str(ipaddress.ip_address(term))
    except ValueError:
        return None


@admin.register(RequestLog)
class RequestLogAdmin(LogAdmin):
    """Shows the requests and responses that the middleware logged."""

    path_field = "path"
    address_field = "ip_address"
    text_fields = ("path", "query_params", "body", "response_body", "user_agent")
    search_fields = ("path", "user_id", "ip_address")
    list_filter = (PeriodFilter, StatusCodeFilter, MethodFilter)
    list_fields = (
        "timestamp", "method", "path", "status_code", "response_time_ms", "user_id", "ip_address",
    )  # fmt: skip
    list_display = ("time", *list_fields[1:])
    list_display_links = ("time", "path")
    fields = (
        *list_display, "query_params", "content_type", "user_agent", "session_id",
        "route", "request_id", "trace_id", _counterpart(GunicornLogModel, "access log"),
        _block("headers"), _block("body"), _block("response_headers"), _block("response_body"),
        _block("extra_data"), "log_file", "log_offset",
    )  # fmt: skip
    readonly_fields = fields


@admin.register(GunicornLogModel)
class GunicornLogAdmin(LogAdmin):
    """Shows the lines of Gunicorn's access log."""

    path_field = "url"
    address_field = "user_ip"
    text_fields = ("url", "source", "agent")
    search_fields = ("url", "user_id", "user_ip")
    list_filter = (PeriodFilter, CodeFilter, MethodFilter)
    list_fields = ("timestamp", "method", "url", "code", "duration", "user_id", "user_ip")
    list_display = ("time", *list_fields[1:])
    list_display_links = ("time", "url")
    fields = (
        *list_display, "host", "agent", "source", "protocol", "response_bytes", "pid",
        "route", "request_id", "trace_id", _counterpart(RequestLog, "request log"),
        _block("headers"), _block("request"), _block("response"), "log_file", "log_offset",
    )  # fmt: skip
    readonly_fields = fields
