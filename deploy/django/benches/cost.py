#!/usr/bin/env python3
"""Measures the middleware's cost for a request, in microseconds of wall time.

    python benches/cost.py [REQUESTS]     default 20000

The same request goes through Django's handler with and without the middleware, in rounds of 500; the
medians of the rounds are compared. ``django-gunicorn-audit-logs`` (see ``other.py``) writes to an
unconfigured PostgreSQL server, over a connection that stays open, and to an SQLite file.
"""

import statistics
import sys
import tempfile
import time

import django
from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.urls import path

import other
from tests.stores import Postgres
from wsgi import environ

TURN = 500
ANSWER = {"items": [{"id": nth, "name": f"item {nth}", "price": nth * 1.5} for nth in range(20)]}


def small(request):
    return HttpResponse("ok", content_type="text/plain")


def order(request):
    return JsonResponse(ANSWER)


urlpatterns = [path("small", small), path("order", order)]


def configure(directory, server, urls=__name__):
    """Sets up the project, with two databases for the other package's rows."""
    settings.configure(
        SECRET_KEY="bench",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=urls,
        USE_TZ=True,
        INSTALLED_APPS=["django_audit_logger", other.NAME],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "audit",
                "HOST": server, "CONN_MAX_AGE": None,
            },
            "file": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{directory}/other.sqlite3"},
        },
        DATABASE_ROUTERS=[Router()],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        AUDIT_LOGGER={"LOG_FILE": f"{directory}/requests.log"},
        # With Celery another process would write; without it, the package first checks for Celery.
        AUDIT_LOGS_ASYNC_LOGGING=False,
        LOGGING_CONFIG=None,
        MIDDLEWARE=[],
    )
    django.setup()


class Router:
    """Selects the database for the other package's rows."""

    alias = "default"

    def db_for_write(self, model, **hints):
        return Router.alias


def handler(middleware, alias="default"):
    from django.core.handlers.wsgi import WSGIHandler

    settings.MIDDLEWARE = middleware
    application = WSGIHandler()

    def answer(environ, start_response):
        Router.alias = alias
        return application(environ, start_response)

    return answer


def turn(application, request, count):
    """Returns microseconds for each request."""
    environs = [environ(*request) for _ in range(count)]
    began = time.perf_counter()
    for one in environs:
        response = application(one, lambda status, headers: None)
        response.close()
    return (time.perf_counter() - began) / count * 1e6


def main():
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
    server = Postgres(fsync="on")
    with tempfile.TemporaryDirectory() as directory:
        configure(directory, server.directory)
        from django.core.management import call_command

        for alias in ("default", "file"):
            call_command("migrate", database=alias, verbosity=0)
        contestants = {
            "without": handler([]),
            "django_audit_logger": handler(["django_audit_logger.middleware.AuditLogMiddleware"]),
            "the other, PostgreSQL": handler([other.MIDDLEWARE]),
            "the other, SQLite": handler([other.MIDDLEWARE], "file"),
        }
        body = b'{"customer": 7, "password": "secret", "lines": [' + b'{"sku": "a-1", "n": 2}, ' * 40
        body += b"{}]}"
        for title, request in (
            ("GET, 2 bytes back", ("GET", "/small")),
            (f"POST of {len(body)} bytes of JSON with a secret, JSON back", ("POST", "/order", body)),
        ):
            times = {name: [] for name in contestants}
            for _ in range(max(requests // TURN, 1)):
                for name, application in contestants.items():
                    count = TURN // 10 if name.startswith("the other") else TURN
                    times[name].append(turn(application, request, count))
            print(title)
            base = statistics.median(times["without"])
            for name, values in times.items():
                median = statistics.median(values)
                print(f"  {name:<28}{median:8.1f} µs per request, {median - base:+8.1f} µs")


if __name__ == "__main__":
    main()
