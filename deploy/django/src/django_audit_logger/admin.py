"""Shows the log rows in the admin, read-only."""

from __future__ import annotations

import ipaddress
import json
from typing import Any, Optional

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest
from django.utils.html import format_html

from .admin_list import (
    CodeFilter,
    CountlessPaginator,
    MethodFilter,
    PeriodFilter,
    StatusCodeFilter,
    current_page,
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


class LogAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # not generic at run time
    """The base of both lists: no count, no scan, no sort except by time."""

    paginator = CountlessPaginator
    show_full_result_count = False
    list_per_page = 100
    # No "show all".
    list_max_show_all = 0
    ordering = ("-timestamp", "-id")
    sortable_by = ("timestamp",)
    actions = None
    search_help_text = "A path from its beginning, an address, or a user"
    path_field = ""
    address_field = ""
    # The list reads only the columns that it shows: bodies are long.
    list_fields: tuple[str, ...] = ()

    def get_paginator(self, request: HttpRequest, *args: Any, **options: Any) -> Any:
        paginator: Any = super().get_paginator(request, *args, **options)
        paginator.current = current_page(request)
        return paginator

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        match = request.resolver_match
        is_list = bool(match and (match.url_name or "").endswith("_changelist"))
        return rows.only(*self.list_fields) if is_list else rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Searches by prefixes and whole values, which an index can find."""
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
        return queryset.filter(user_id=term), False

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
    search_fields = ("path", "user_id", "ip_address")
    list_filter = (PeriodFilter, StatusCodeFilter, MethodFilter)
    list_fields = (
        "timestamp", "method", "path", "status_code", "response_time_ms", "user_id", "ip_address",
    )  # fmt: skip
    list_display = list_fields
    list_display_links = ("timestamp", "path")
    fields = (
        *list_fields, "query_params", "content_type", "user_agent", "session_id",
        _block("headers"), _block("body"), _block("response_headers"), _block("response_body"),
        _block("extra_data"), "log_file", "log_offset",
    )  # fmt: skip
    readonly_fields = fields


@admin.register(GunicornLogModel)
class GunicornLogAdmin(LogAdmin):
    """Shows the lines of Gunicorn's access log."""

    path_field = "url"
    address_field = "user_ip"
    search_fields = ("url", "user_id", "user_ip")
    list_filter = (PeriodFilter, CodeFilter, MethodFilter)
    list_fields = ("timestamp", "method", "url", "code", "duration", "user_id", "user_ip")
    list_display = list_fields
    list_display_links = ("timestamp", "url")
    fields = (
        *list_fields, "host", "agent", "source", "protocol", "response_bytes", "pid",
        _block("headers"), _block("request"), _block("response"), "log_file", "log_offset",
    )  # fmt: skip
    readonly_fields = fields
