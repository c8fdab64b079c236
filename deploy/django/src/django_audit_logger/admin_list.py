"""Lists over tables that are too large to be counted or sorted as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Any, Optional

from django.contrib import admin
from django.contrib.admin.views.main import PAGE_VAR
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

Rows = QuerySet[Any]

# A page is found by skipping the pages before it, so their number is limited.
MOST_PAGES = 100

_PERIODS = {
    "hour": ("Past hour", timedelta(hours=1)),
    "day": ("Past 24 hours", timedelta(days=1)),
    "week": ("Past 7 days", timedelta(days=7)),
    "month": ("Past 30 days", timedelta(days=30)),
}
_DEFAULT = "hour"
_ANY = "any"
_DAYS = 14


class CountlessPaginator(Paginator):  # type: ignore[type-arg] # not generic at run time
    """Counts the rows up to the page that is shown, and finds out whether there is one more."""

    current = 1

    @cached_property
    def count(self) -> int:
        page = min(max(self.current, 1), MOST_PAGES)
        before = (page - 1) * self.per_page
        more = 1 if page < MOST_PAGES else 0
        rows: Any = self.object_list
        shown = len(rows.values_list("pk")[before : before + self.per_page + more])
        return before + shown if shown or page == 1 else 0


def current_page(request: HttpRequest) -> int:
    """Returns the requested page; 1 if that is not a number."""
    number = request.GET.get(PAGE_VAR, "1")
    return int(number) if number.isdecimal() and len(number) < 10 else 1


class PeriodFilter(admin.SimpleListFilter):
    """Filters by period: by default the past hour, or a day by name or ``?period=2026-11-23``.

    It replaces ``date_hierarchy``, which searches for the first and the last row and for all days
    between them. This filter needs no query of its own: a period is a range of timestamps, and
    PostgreSQL reads only the partitions of its days.
    """

    title = "period"
    parameter_name = "period"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        today = timezone.localdate()
        days = (today - timedelta(days=ago) for ago in range(_DAYS))
        periods = [(key, title) for key, (title, _) in _PERIODS.items()]
        return [*periods, *((str(day), f"{day:%a %d %b}") for day in days), (_ANY, "Any time")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        for value, title in self.lookup_choices:
            yield {
                "selected": value == (self.value() or _DEFAULT),
                "query_string": changelist.get_query_string({self.parameter_name: value}),
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        value = self.value() or _DEFAULT
        if value == _ANY:
            return queryset
        day = _day(value)
        if day is not None:
            start = timezone.make_aware(datetime.combine(day, time.min))
            end = timezone.make_aware(datetime.combine(day + timedelta(days=1), time.min))
            queryset = queryset.filter(timestamp__gte=start, timestamp__lt=end)
        else:
            _, length = _PERIODS.get(value, _PERIODS[_DEFAULT])
            queryset = queryset.filter(timestamp__gte=timezone.now() - length)
        return queryset


def _day(value: str) -> Optional[date]:
    try:
        day = date.fromisoformat(value)
    except ValueError:
        return None
    return day if 1 < day.year < 9999 else None


class MethodFilter(admin.SimpleListFilter):
    """Filters by method. It offers all known methods: finding those that occur needs a scan."""

    title = "method"
    parameter_name = "method"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        methods = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
        return [(method, method) for method in methods]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        return queryset.filter(method=self.value()) if self.value() else queryset


class StatusFilter(admin.SimpleListFilter):
    """Filters by status class; ``column`` is the column with the status code."""

    title = "status"
    parameter_name = "status"
    column = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("error", "400 and more"), *((str(n), f"{n}00 to {n}99") for n in range(1, 6))]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        value = self.value() or ""
        if value == "error":
            queryset = queryset.filter(**{f"{self.column}__gte": 400})
        elif value in ("1", "2", "3", "4", "5"):
            first = int(value) * 100
            last = first + 99
            queryset = queryset.filter(**{f"{self.column}__range": (first, last)})
        return queryset


class StatusCodeFilter(StatusFilter):
    """Filters ``RequestLog``."""

    column = "status_code"


class CodeFilter(StatusFilter):
    """Filters ``GunicornLogModel``."""

    column = "code"
