"""Tests what names a request: its ids, its route and its view, in the row, the response and other logs."""

import asyncio
import io
import logging
import os
import re

from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory, TestCase

from django_audit_logger import glogger, ids, records
from django_audit_logger.masking import Mask
from django_audit_logger.middleware import AuditLogMiddleware

from .support import LogMixin

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
HEX = re.compile("[0-9a-f]{32}")

logger = logging.getLogger("tests.ids")


def names(row):
    return [row.get(key) for key in ("route", "view", "request_id", "trace_id")]


class Forms(TestCase):
    def test_a_request_id_is_bounded_in_length_and_characters(self):
        mask = Mask(("password",))
        for right in ("7b0c2e0e-6f8e-4d5a-9a3e-0f6a2b1c9d8e", "C0D2:1234", "a", "dGVzdA==", "a" * 200):
            self.assertEqual(ids.valid_request_id(right, mask), right)
        for wrong in (
            None, 7, "", "-", "a b", 'a"b', "a\\b", "<b>", "\xe4", "a\n", "a\0", "a" * 201,
            # Secrets.
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2ln", "4111111111111111",
        ):
            self.assertIsNone(ids.valid_request_id(wrong, mask), repr(wrong))

    def test_a_trace_is_taken_from_a_valid_traceparent_only(self):
        for right, flags in (
            (PARENT, "01"), (f"00-{TRACE}-00f067aa0ba902b7-00", "00"), (f"cc-{TRACE}-00f067aa0ba902b7-01-more", "01"),
        ):
            self.assertEqual(ids.trace(right), (TRACE, flags), right)
        for wrong in (
            None, "", TRACE, PARENT[:-3], PARENT + "-more", PARENT + "0", f"ff-{PARENT[3:]}", PARENT.upper(),
            f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE}-{'0' * 16}-01", f"cc-{PARENT[3:]}more", PARENT + "\n",
        ):
            self.assertIsNone(ids.trace(wrong), repr(wrong))


class Workers(TestCase):
    def test_a_worker_makes_ids_that_its_server_and_siblings_do_not_make(self):
        """Gunicorn forks its workers, perhaps after it has loaded the application."""
        def some():
            requests = [RequestFactory().get("/") for _ in range(3)]
            for request in requests:
                ids.begin(request, Mask(()))
            return [request.__dict__[ids._KEY][0] for request in requests]

        def of_worker():
            readable, writable = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.write(writable, " ".join(some()).encode())
                os._exit(0)
            os.close(writable)
            with open(readable) as answer:
                made = answer.read().split()
            self.assertEqual(os.waitpid(pid, 0)[1], 0)
            return made

        made = some() + of_worker() + of_worker() + some()
        self.assertEqual(len(made), 12)
        self.assertEqual(len(set(made)), 12, made)


class Names(LogMixin, TestCase):
    def test_ids_of_the_client_are_logged_and_returned(self):
        response = self.client.get("/hello", headers={"x-request-id": "r-1", "traceparent": PARENT})
        row = self.row()
        self.assertEqual(names(row), ["hello", "tests.urls.hello", "r-1", TRACE])
        self.assertEqual(response.headers["X-Request-ID"], "r-1")
        self.assertRegex(response.headers["traceresponse"], f"^00-{TRACE}-[0-9a-f]{{16}}-01$")
        # The row has the headers that the client got.
        logged = {name.lower(): value for name, value in response.headers.items()}
        self.assertEqual(row["response_headers"], logged)

    def test_missing_and_malformed_ids_are_made(self):
        made = set()
        for headers in ({}, {}, {"x-request-id": "a b", "traceparent": "00-0-0-0"}, {"x-request-id": "x" * 9999}):
            response = self.client.get("/hello", headers=headers)
            _, _, request_id, trace_id = names(self.rows()[-1])
            self.assertEqual(response.headers["X-Request-ID"], request_id)
            self.assertEqual(response.headers["traceresponse"].split("-")[1], trace_id)
            for it in (request_id, trace_id):
                self.assertTrue(HEX.fullmatch(it), it)
            made.add(request_id)
        self.assertEqual(len(made), 4)

    def test_the_id_counts_that_the_view_has_answered(self):
        def view(request):
            return HttpResponse(headers={"X-Request-ID": answer})

        for answer, logged in (("of-the-view", "of-the-view"), ("not valid", "r-1")):
            request = RequestFactory().get("/", headers={"x-request-id": "r-1"})
            response = AuditLogMiddleware(view)(request)
            row = self.rows()[-1]
            self.assertEqual((response.headers["X-Request-ID"], row["request_id"]), (answer, logged))
            self.assertEqual(row["response_headers"]["x-request-id"], answer)
            self.assertEqual(request.META[records.REQUEST_ID_KEY], logged)

    def test_routes_and_views(self):
        for path, route, view in (
            ("/reset/MQ/x/", "reset/<uid>/<token>/", "tests.urls.<lambda>"),
            ("/admin/login/", "admin/login/", "admin:login"),
            ("/nowhere", None, None),
        ):
            self.client.get(path)
            self.assertEqual(names(self.rows()[-1])[:2], [route, view], path)

    def test_a_view_may_fail(self):
        response = Client(raise_request_exception=False).get("/fail")
        self.assertEqual(response.headers["X-Request-ID"], self.row()["request_id"])
        self.assertEqual(self.row()["route"], "fail")

    def test_the_root_has_a_route(self):
        from django.urls import ResolverMatch

        def view(request):
            request.resolver_match = ResolverMatch(view, (), {}, url_name="home", route="")
            return HttpResponse()

        AuditLogMiddleware(view)(RequestFactory().get("/"))
        self.assertEqual(names(self.row())[:2], ["/", "home"])

    def test_each_can_be_switched_off(self):
        self.set(REQUEST_IDS=False, LOG_ROUTE=False)
        response = self.client.get("/hello", headers={"x-request-id": "r-1"})
        self.assertEqual(names(self.row()), [None] * 4)
        self.assertNotIn("X-Request-ID", response.headers)
        self.assertNotIn("traceresponse", response.headers)

    def test_a_request_that_is_not_logged_has_its_ids(self):
        self.set(SHOULD_LOG_CALLABLE=lambda request, response: False)
        response = self.client.get("/hello", headers={"x-request-id": "r-1"})
        self.assertEqual((response.headers["X-Request-ID"], self.rows()), ("r-1", []))
        self.set(EXCLUDE_PATHS=["/hello"])
        self.assertNotIn("X-Request-ID", self.client.get("/hello").headers)

    def test_a_hidden_header_is_hidden_in_the_row(self):
        self.set(SENSITIVE_FIELDS=["x_request_id"])
        self.client.get("/hello")
        self.assertEqual(self.row()["response_headers"]["x-request-id"], "********")


class OtherLogs(LogMixin, TestCase):
    def setUp(self):
        super().setUp()
        self.stream = io.StringIO()
        handler = logging.StreamHandler(self.stream)
        handler.addFilter(ids.RequestIdFilter())
        handler.setFormatter(logging.Formatter("%(message)s %(request_id)s %(trace_id)s"))
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)

    def ask(self, view, client):
        request = RequestFactory().get("/", headers={"x-request-id": "r-1", "traceparent": PARENT})
        return client(AuditLogMiddleware(view), request)

    def test_the_filter_gives_records_the_ids_of_their_request(self):
        def view(request):
            logger.warning("within")
            self.assertEqual(ids.current(), ("r-1", TRACE))
            return HttpResponse()

        async def async_view(request):
            await asyncio.sleep(0)
            return view(request)

        logger.warning("before")
        self.ask(view, lambda middleware, request: middleware(request))
        logger.warning("after")
        self.ask(async_view, lambda middleware, request: asyncio.run(middleware(request)))
        logger.warning("after")
        self.assertEqual(
            self.stream.getvalue().splitlines(),
            ["before - -", f"within r-1 {TRACE}", "after - -", f"within r-1 {TRACE}", "after - -"],
        )
        self.assertEqual([row["request_id"] for row in self.rows()], ["r-1", "r-1"])

    def test_requests_at_the_same_time_have_their_own(self):
        async def view(request):
            await asyncio.sleep(0.01)
            logger.warning(request.GET["n"])
            return HttpResponse()

        async def all_of_them():
            middleware = AuditLogMiddleware(view)
            requests = [
                RequestFactory().get(f"/?n={nth}", headers={"x-request-id": f"r-{nth}"}) for nth in range(20)
            ]
            await asyncio.gather(*map(middleware, requests))

        asyncio.run(all_of_them())
        found = sorted(line.split()[:2] for line in self.stream.getvalue().splitlines())
        self.assertEqual(found, sorted([str(nth), f"r-{nth}"] for nth in range(20)))

    def test_asgi_returns_them(self):
        response = asyncio.run(AsyncClient().get("/slow", headers={"x-request-id": "r-1"}))
        self.assertEqual((response.headers["X-Request-ID"], self.row()["request_id"]), ("r-1", "r-1"))
        self.assertEqual(self.row()["route"], "slow")


class Accesses(TestCase):
    """The names in the lines of the Gunicorn logger."""

    def access(self, environ, *headers):
        mask = glogger._without_django[0]
        return ids.of_access(environ, dict(headers), mask)

    def test_the_middleware_comes_before_the_response_and_the_response_before_the_request(self):
        sent = {"HTTP_X_REQUEST_ID": "sent", "HTTP_TRACEPARENT": PARENT}
        answered = (("x-request-id", "answered"), ("traceresponse", f"00-{'a' * 32}-00f067aa0ba902b7-01"))
        decided = {records.REQUEST_ID_KEY: "decided", records.TRACE_ID_KEY: "b" * 32}
        self.assertEqual(self.access({**sent, **decided}, *answered), ("decided", "b" * 32))
        self.assertEqual(self.access(sent, *answered), ("answered", "a" * 32))
        self.assertEqual(self.access(sent), ("sent", TRACE))
        self.assertEqual(self.access(sent, ("x-request-id", "a b")), ("sent", TRACE))
        self.assertEqual(self.access({"HTTP_X_REQUEST_ID": "a b"}), (None, None))
