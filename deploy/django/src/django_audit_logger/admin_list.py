"""Lists over tables that are too large to be counted or sorted as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, tzinfo
from functools import cached_property
from typing import Any, Optional
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import lazy

Rows = QuerySet[Any]
UTC = timezone.get_fixed_timezone(0)

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


def is_any_time(request: HttpRequest) -> bool:
    """Returns whether the list is not limited to a period."""
    return request.GET.get(PeriodFilter.parameter_name) == _ANY


_DAYS = 14


def zone() -> tzinfo:
    """Returns the time zone of the pages: the current one; without ``USE_TZ`` the project's."""
    return timezone.get_current_timezone() if settings.USE_TZ else timezone.get_default_timezone()


def zone_name() -> str:
    """Returns the name of the pages' time zone."""
    return str(zone())


def shown(moment: datetime) -> str:
    """Returns a time with milliseconds, in the pages' time zone."""
    local = moment if timezone.is_naive(moment) else moment.astimezone(zone())
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03d}"


class AtLeast(int):
    """A number of rows of which there are more: the rest was not counted."""

    def __str__(self) -> str:
        return f"more than {int(self):d}"


class LogList(ChangeList):
    """A list that says only what it knows: how many rows there are, up to the page that is shown."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        paginator: Any = self.paginator
        if paginator.has_more:
            self.result_count = AtLeast(paginator.known)

    @property
    def without_search(self) -> str:
        """Returns the link to the same list and period without the search."""
        # get_query_string() would remove all names that begin with PAGE_VAR, "p".
        kept = [(key, value) for key, value in self.params.items() if key not in (SEARCH_VAR, PAGE_VAR)]
        return f"?{urlencode(kept)}"


class CountlessPaginator(Paginator):  # type: ignore[type-arg] # not generic at run time
    """Counts the rows up to the page that is shown, and finds out whether there is one more."""

    current = 1
    # Whether there may be rows after the page that is shown.
    has_more = False
    # The rows up to the page's end.
    known = 0

    @cached_property
    def count(self) -> int:
        page = min(max(self.current, 1), MOST_PAGES)
        before = (page - 1) * self.per_page
        more = 1 if page < MOST_PAGES else 0
        rows: Any = self.object_list
        found = len(rows.values_list("pk")[before : before + self.per_page + more])
        self.has_more = found > self.per_page or found == self.per_page and not more
        self.known = before + min(found, self.per_page)
        return before + found if found or page == 1 else 0


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

    title = lazy(lambda: f"period ({zone_name()})", str)()
    parameter_name = "period"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        today = datetime.now(zone()).date()
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
            start = timezone.make_aware(datetime.combine(day, time.min), zone())
            end = timezone.make_aware(datetime.combine(day + timedelta(days=1), time.min), zone())
            queryset = queryset.filter(timestamp__gte=start, timestamp__lt=end)
        else:
            _, length = _PERIODS.get(value, _PERIODS[_DEFAULT])
            # In UTC: where clocks change, the difference of local times is another one.
            queryset = queryset.filter(timestamp__gte=datetime.now(UTC) - length)
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
