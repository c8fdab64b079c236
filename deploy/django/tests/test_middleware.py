"""Tests the lines of requests, under Django's own handlers."""

import asyncio
import datetime
import gzip
import json
import logging
import os
import zlib
from unittest import mock

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory, TestCase, override_settings
from django.test.client import FakePayload

from django_audit_logger.conf import get_config
from django_audit_logger.masking import STARS
from django_audit_logger.middleware import AuditLogMiddleware
from django_audit_logger.utils import session_digest

from django_audit_logger.warn import warner

from .shared import MASKING
from .support import LogMixin

KEYS = (
    "log timestamp method path query_params headers body content_type status_code response_headers "
    "response_body response_time_ms ip_address user_id user_agent session_id route view request_id "
    "trace_id extra_data"
).split()


def user_email(request):
    return request.user.email if request.user.is_authenticated else None


def extra(request, response):
    return {"tenant": 7, "status": response.status_code, "when": datetime.date(2026, 11, 24)}


async def async_user(request):
    # Django 4.2 has no auser.
    user = await (request.auser() if hasattr(request, "auser") else sync_to_async(get_user)(request))
    return user.get_username() or None


async def async_extra(request, response):
    await asyncio.sleep(0)
    return {"status": response.status_code}


async def async_address(request):
    await asyncio.sleep(0)
    return "::ffff:203.0.113.9"


def broken(request, *_):
    raise RuntimeError("in the project")


class Lines(LogMixin, TestCase):
    def test_a_line_has_the_keys_of_the_contract_in_their_order(self):
        self.set(EXTRA_DATA_CALLABLE="tests.test_middleware.extra")
        self.client.get("/login", {"a": "b", "token": "x"}, headers={"user-agent": "me"})
        response = self.client.post(
            "/echo?who=b", '{"q": 1}', "application/json", REMOTE_ADDR="198.51.100.7",
            headers={"user-agent": "me", "x-api-key": "k"},
        )
        row = self.rows()[1]
        self.assertEqual(list(row), KEYS)
        self.assertEqual(response.content, b'{"q": 1}')
        moment = datetime.datetime.fromisoformat(row.pop("timestamp"))
        self.assertEqual(moment.utcoffset(), datetime.timedelta(0))
        self.assertGreater(row.pop("response_time_ms"), 0)
        headers = row.pop("headers")
        self.assertEqual((headers["x-api-key"], headers["cookie"]), (STARS, STARS))
        self.assertEqual(headers["content-length"], "8")
        key = self.client.session.session_key
        self.assertEqual(row.pop("session_id"), session_digest(key))
        self.assertNotIn(key, self.log.read_text())
        self.assertEqual(row.pop("response_headers")["content-type"], "application/json")
        self.assertEqual(row.pop("request_id"), response.headers["X-Request-ID"])
        self.assertIn(row.pop("trace_id"), response.headers["traceresponse"])
        self.assertEqual(
            row,
            {
                "log": "request", "method": "POST", "path": "/echo", "query_params": "who=b",
                "body": '{"q": 1}', "content_type": "application/json", "status_code": 200,
                "response_body": '{"q": 1}', "ip_address": "198.51.100.7", "user_agent": "me",
                "user_id": "42", "route": "echo", "view": "tests.urls.echo",
                "extra_data": {"tenant": 7, "status": 200, "when": "2026-11-24"},
            },
        )

    def test_secrets_do_not_reach_the_file(self):
        self.client.get("/login?password=hush1&a=1")
        self.client.post("/echo?how=form", {"token": "hush2", "name": "jo"})
        self.client.post(
            "/echo", "user[password]=hush3&b=c", "application/x-www-form-urlencoded",
        )
        self.client.post("/echo", '{"a":[{"secret":{"x":"hush4"}}]}', "application/json")
        text = self.log.read_text()
        self.assertNotIn("hush", text)
        self.assertNotIn("t0p", text)
        self.assertNotIn("s3cret", text)
        self.assertEqual(self.rows()[0]["response_headers"]["set-cookie"], STARS)
        self.assertEqual(self.rows()[0]["query_params"], "password=********&a=1")

    def test_a_failing_view_is_logged_with_500(self):
        self.client.raise_request_exception = False
        self.assertEqual(self.client.get("/fail").status_code, 500)
        self.assertEqual(self.row()["status_code"], 500)

    def test_an_exception_that_passes_through_is_logged_and_raised(self):
        with override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True):
            with self.assertRaisesMessage(ValueError, "on purpose"):
                Client().get("/fail")
        self.assertEqual(self.row()["status_code"], 500)

    def test_streams_keep_their_body_and_leave_status_and_headers(self):
        self.assertEqual(b"".join(self.client.get("/stream").streaming_content), b"ab")
        row = self.row()
        self.assertEqual(row["status_code"], 202)
        self.assertIn("content-type", row["response_headers"])
        self.assertNotIn("response_body", row)

    def test_binary_bodies_are_left_out_and_nul_is_replaced(self):
        self.client.get("/binary")
        self.client.get("/nul?a=\x00")
        self.client.post("/echo?as=image/png", b"\x89PNG", "image/png")
        first, second, third = self.rows()
        self.assertNotIn("response_body", first)
        self.assertEqual(second["response_body"], "a\ufffdb")
        self.assertNotIn("body", third)

    def test_only_nul_itself_is_replaced_and_not_what_looks_like_it(self):
        for agent, logged in (
            ("\0", "\ufffd"), ("\0\0", "\ufffd\ufffd"), ("\\u0000", "\\u0000"),
            ("\\\0", "\\\ufffd"), ("\\\\u0000\0", "\\\\u0000\ufffd"),
        ):  # fmt: skip
            self.client.get("/hello", headers={"user-agent": agent})
            row = self.rows()[-1]
            self.assertEqual((row["user_agent"], row["headers"]["user-agent"]), (logged, logged))

    def test_lone_surrogates_are_replaced(self):
        self.client.get("/hello", headers={"user-agent": "a\udcffb"})
        self.assertEqual(self.row()["user_agent"], "a\ufffdb")


class Bodies(LogMixin, TestCase):
    def test_every_way_of_reading_finds_the_whole_body(self):
        for how in ("body", "stream"):
            response = self.client.post(f"/echo?how={how}", b'{"a": 12345678}', "application/json")
            self.assertEqual(response.content, b'{"a": 12345678}')
        form = self.client.post(
            "/echo?how=form", "a=1&b=2", "application/x-www-form-urlencoded"
        )
        self.assertEqual(form.json(), {"a": ["1"], "b": ["2"]})
        bodies = [row["body"] for row in self.rows()]
        self.assertEqual(bodies, ['{"a": 12345678}', '{"a": 12345678}', "a=1&b=2"])

    def test_a_large_stream_is_left_to_the_view(self):
        body = b"x" * 200_000
        response = self.client.post("/echo?how=stream&as=text/plain", body, "text/plain")
        self.assertEqual(response.content, body)
        self.client.post("/echo?how=nothing", body, "text/plain")
        self.assertTrue(all("body" not in row for row in self.rows()))

    def test_a_large_body_that_the_view_read_is_cut(self):
        self.client.post("/echo", b"x" * 200_000, "text/plain")
        self.assertEqual(self.row()["body"], "x" * 10000 + "... [truncated]")

    def test_a_secret_is_masked_before_the_cut(self):
        self.set(MAX_BODY_LENGTH=30)
        self.client.post("/echo", '{"password": "%s"}' % ("hush" * 20), "application/json")
        self.client.post("/echo", '{"password": "%s"}' % ("hush" * 2000), "application/json")
        self.assertNotIn("hush", self.log.read_text())

    def test_a_multipart_form_is_logged_without_its_files(self):
        upload = SimpleUploadedFile("a.txt", b"content of a file")
        self.client.post(
            "/echo?how=form", {"name": "jo", "tags": ["a", "b"], "password": "hush", "f": upload}
        )
        body = self.row()["body"]
        self.assertEqual(
            body,
            '{"name": "jo", "tags": ["a", "b"], "password": "********", "f": ["[file, 17 bytes]"]}',
        )

    def test_a_body_that_cannot_be_read_fails_in_the_view_as_ever(self):
        class Gone(FakePayload):
            def read(self, *_):
                raise OSError("gone")

        payload = {"wsgi.input": Gone(b"12345"), "CONTENT_LENGTH": "5", "CONTENT_TYPE": "text/plain"}
        for settings in ({}, {"LOG_REQUEST_BODY": False}):
            self.set(**settings)
            with self.assertRaises(OSError) as caught:
                self.client.post("/echo", **payload)
            self.assertEqual(type(caught.exception).__name__, "UnreadablePostError")

    def test_a_compressed_body_is_logged_as_text(self):
        form = "application/x-www-form-urlencoded"
        for encoding, data in (
            ("gzip", gzip.compress(b"a=b&password1=hush")),
            ("deflate", zlib.compress(b"a=b&password1=hush")),
            ("Deflate", zlib.compress(b"a=b&password1=hush", wbits=-15)),
            ("identity", b"a=b&password1=hush"),
        ):
            self.client.post("/echo?how=body", data, form, headers={"content-encoding": encoding})
            self.assertEqual(self.rows()[-1]["body"], "a=b&password1=********", encoding)
        for encoding, data in (("gzip", b"a=hush"), ("br", b"a=hush"), ("gzip, br", b"a=hush")):
            self.client.post("/echo?how=nothing", data, form, headers={"content-encoding": encoding})
            self.assertNotIn("body", self.rows()[-1])
        bomb = gzip.compress(b"x" * 50_000_000)
        self.client.post("/echo?how=nothing", bomb, form, headers={"content-encoding": "gzip"})
        self.assertEqual(self.rows()[-1]["body"], "x" * 10000 + "... [truncated]")

    def test_head_logs_no_body_that_was_not_sent(self):
        self.client.head("/hello")
        row = self.row()
        self.assertEqual((row["method"], row["status_code"]), ("HEAD", 200))
        self.assertNotIn("response_body", row)

    def test_settings_turn_bodies_off(self):
        self.set(LOG_REQUEST_BODY=False, LOG_RESPONSE_BODY=False)
        self.client.post("/echo", b"{}", "application/json")
        self.assertNotIn("body", self.row())
        self.assertNotIn("response_body", self.row())


class Settings(LogMixin, TestCase):
    def test_paths_and_extensions_are_left_out(self):
        self.set(EXCLUDE_PATHS=["/health/"], EXCLUDE_EXTENSIONS=[".CSS"])
        for path in ("/health/", "/style.css", "/hello"):
            self.client.get(path)
        self.assertEqual(self.row()["path"], "/hello")

    def test_a_path_that_servers_read_in_different_ways_is_left_out_only_if_each_reading_is(self):
        cases = json.loads(MASKING.read_text())["exclusions"]
        self.set(EXCLUDE_PATHS=cases["paths"], EXCLUDE_EXTENSIONS=cases["extensions"])
        for name, excluded in (("excluded", True), ("stored", False)):
            for path in cases[name]:
                self.assertIs(get_config().excludes(path), excluded, path)
        self.set(EXCLUDE_PATTERNS=[r"^/health/"])
        for path, excluded in (("/health/a", True), ("/health/a/../b", True), ("/health/../x", False)):
            self.assertIs(get_config().excludes(path), excluded, path)
        # A path is decoded when Django sees it.
        self.client.get("/health/../hello")
        self.client.get("/health/%2e%2e/hello")
        self.assertEqual([row["path"] for row in self.rows()], ["/health/../hello"] * 2)

    def test_a_text_instead_of_a_list_is_a_list_of_one(self):
        self.set(EXCLUDE_PATHS="/health/", EXCLUDE_EXTENSIONS=".css", SENSITIVE_FIELDS="pet, badge")
        for path in ("/health/", "/style.css", "/hello?pet=hush&my_badge=hush&a=b"):
            self.client.get(path)
        self.assertEqual(self.row()["query_params"], "pet=********&my_badge=********&a=b")

    def test_views_without_a_row_or_without_bodies(self):
        for path in ("/unlogged", "/by_class"):
            self.assertEqual(self.client.get(path).status_code, 200)
        self.assertEqual(self.rows(), [])
        for path in ("/bodiless", "/async_bodiless", "/by_method"):
            self.assertEqual(self.client.get(path).content, b"a secret text")
            self.assertNotIn("response_body", self.rows()[-1])
        # Also where another decorator answers instead of the view.
        client = Client(enforce_csrf_checks=True)
        self.assertEqual(client.post("/bodiless", {"a": "hush"}).status_code, 403)
        row = self.rows()[-1]
        self.assertEqual((row["status_code"], "body" in row, "response_body" in row), (403, False, False))

    def test_a_callable_says_which_requests_are_logged(self):
        self.set(SHOULD_LOG_CALLABLE=lambda request, response: response.status_code >= 400)
        for path in ("/hello", "/missing", "/login"):
            self.client.get(path)
        self.assertEqual(self.row()["path"], "/missing")
        self.set(SHOULD_LOG_CALLABLE="tests.test_middleware.broken")
        with self.assertLogs("django_audit_logger", logging.WARNING):
            self.client.get("/hello")
        self.assertEqual(self.rows()[-1]["extra_data"], {"errors": ["should_log"]})

    def test_regular_expressions_leave_requests_out(self):
        self.set(EXCLUDE_PATTERNS=[r"^/st.*\.css$", r"/heal{1,2}th"])
        for path in ("/style.css", "/health/", "/hello"):
            self.client.get(path)
        self.assertEqual(self.row()["path"], "/hello")

    def test_secrets_in_paths_are_masked(self):
        token = "cb8f2k-" + "0123456789abcdef" * 2
        self.client.get(f"/reset/MQ/{token}/?a=b", headers={"referer": f"http://h/reset/MQ/{token}/"})
        row = self.row()
        self.assertEqual((row["path"], row["headers"]["referer"]), (
            "/reset/MQ/********/", "http://h/reset/MQ/********/",
        ))
        self.client.get("/reset/MQ/set-password/")
        self.assertEqual(self.rows()[-1]["path"], "/reset/MQ/set-password/")
        self.set(MASK_PATHS=[r"^/(reset)/([^/]+)/"])
        self.client.get("/reset/MQ/set-password/")
        self.assertEqual(self.rows()[-1]["path"], "/********/********/set-password/")

    def test_a_test_run_writes_nothing_unless_asked(self):
        self.set(LOG_IN_TESTS=False)
        self.client.get("/hello")
        self.assertEqual(self.rows(), [])

    def test_disabled_writes_nothing_until_it_is_enabled(self):
        self.set(ENABLED=False)
        self.client.get("/hello")
        self.assertEqual(self.rows(), [])
        self.set()
        self.client.get("/hello")
        self.assertEqual(len(self.rows()), 1)

    def test_the_default_file_is_in_gunicorns_directory(self):
        for given, path in (({"GUNICORN_LOG_DIR": "/x"}, "/x/requests.log"),
                            ({}, "/var/log/gunicorn/requests.log")):
            with mock.patch.dict(os.environ, given, clear=True):
                with override_settings(AUDIT_LOGGER={}):
                    self.assertEqual(get_config().log.path, path)
                    self.assertEqual(get_config().log.max_bytes, 10485760)
                    self.assertEqual(get_config().log.backup_count, 10)

    def test_the_file_rotates_as_the_settings_say(self):
        self.set(MAX_BYTES=2000, BACKUP_COUNT=2)
        for _ in range(30):
            self.client.get("/hello")
        names = sorted(path.name for path in self.directory.iterdir())
        self.assertEqual(names, ["requests.log", "requests.log.1", "requests.log.2"])

    def test_settings_of_django_are_read_again_when_they_change(self):
        middleware = AuditLogMiddleware(lambda _: HttpResponse("\u00e9", content_type="text/plain"))
        for charset in ("utf-8", "latin-1"):
            with override_settings(DEFAULT_CHARSET=charset):
                middleware(RequestFactory().get("/"))
            self.assertEqual(self.rows()[-1]["response_body"], "\u00e9")
        with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=3):
            self.client.post("/echo?how=stream&as=text/plain", b"abcd", "text/plain")
        self.assertNotIn("body", self.rows()[-1])

    def test_a_broken_callable_costs_its_value_and_one_warning(self):
        name = "tests.test_middleware.broken"
        self.set(USER_ID_CALLABLE=name, EXTRA_DATA_CALLABLE=name)
        with self.assertLogs("django_audit_logger", logging.WARNING) as logs:
            for _ in range(3):
                self.assertEqual(self.client.get("/hello").status_code, 200)
        self.assertEqual(len(logs.output), 1)
        self.assertEqual(len(self.rows()), 3)

    def test_a_view_may_put_any_value_into_its_form(self):
        self.client.post("/total", {"name": "jo", "password1": "hush"})
        body = '{"name": "jo", "password1": "********", "total": "3"}'
        self.assertEqual((self.row()["body"], self.row()["status_code"]), (body, 200))

    def test_a_part_that_fails_costs_itself_and_one_warning_with_path_and_traceback(self):
        with self.assertLogs("django_audit_logger", logging.WARNING) as logs:
            for _ in range(2):
                self.client.post("/broken_form", {"name": "jo"}, headers={"user-agent": "me"})
        row = self.rows()[0]
        self.assertEqual(row["extra_data"], {"errors": ["body"]})
        self.assertEqual((row["status_code"], row["user_agent"]), (200, "me"))
        self.assertNotIn("body", row)
        self.assertEqual(len(logs.output), 1)
        self.assertIn("logging body of /broken_form failed", logs.output[0])
        self.assertIn("Traceback", logs.output[0])

    def test_each_part_is_guarded_by_itself(self):
        def fail(*_):
            raise RuntimeError("on purpose")

        class Unprintable:
            __str__ = fail

        places = {
            "query_params": mock.patch("django_audit_logger.masking.Mask.query", fail),
            "headers": mock.patch("django_audit_logger.masking.Mask.request_headers", fail),
            "body": mock.patch("django_audit_logger.bodies.request_body", fail),
            "response_headers": mock.patch("django_audit_logger.masking.Mask.headers", fail),
            "response_body": mock.patch("django_audit_logger.bodies.response_body", fail),
            "session_id": mock.patch("django_audit_logger.middleware.get_session_id", fail),
            "ip_address": mock.patch("django_audit_logger.addresses.Addresses.client_ip", fail),
        }
        for name, place in places.items():
            warner.reset()
            with place, self.assertLogs("django_audit_logger", logging.WARNING):
                self.client.post("/echo?a=b", "{}", "application/json", headers={"user-agent": "me"})
            row = self.rows()[-1]
            self.assertEqual(row["extra_data"], {"errors": [name]})
            self.assertNotIn(name, row)
            self.assertEqual((row["path"], row["status_code"]), ("/echo", 200))
        self.set(EXTRA_DATA_CALLABLE=lambda *_: {"a": Unprintable()}, USER_ID_CALLABLE=fail)
        warner.reset()
        with self.assertLogs("django_audit_logger", logging.WARNING):
            self.client.get("/hello")
        self.assertEqual(self.rows()[-1]["extra_data"], {"errors": ["user_id", "extra_data"]})
        for value, logged in (
            ({"tenant": 7}, {"tenant": 7, "errors": ["user_id"]}),
            ({}, {"errors": ["user_id"]}),
            ([1], {"value": [1], "errors": ["user_id"]}),
        ):
            self.set(EXTRA_DATA_CALLABLE=lambda *_: value, USER_ID_CALLABLE=fail)  # noqa: B023
            self.client.get("/hello")
            self.assertEqual(self.rows()[-1]["extra_data"], logged)

    def test_secrets_in_extra_data_are_masked(self):
        self.set(EXTRA_DATA_CALLABLE=lambda *_: {"tenant": 7, "api_key": "hush", "note": "Bearer hush123456"})
        self.client.get("/hello")
        expected = {"tenant": 7, "api_key": STARS, "note": f"Bearer {STARS}"}
        self.assertEqual(self.row()["extra_data"], expected)

    def test_a_file_that_cannot_be_written_fails_no_request(self):
        self.set(LOG_FILE="/proc/nowhere/requests.log")
        with self.assertLogs("django_audit_logger", logging.WARNING) as logs:
            for _ in range(3):
                self.assertEqual(self.client.get("/hello").status_code, 200)
        self.assertEqual(len(logs.output), 1)

    def test_settings_that_are_wrong_fail_no_request(self):
        self.set(USER_ID_CALLABLE="no.such.thing")
        with self.assertLogs("django_audit_logger", logging.WARNING):
            self.assertEqual(self.client.get("/hello").status_code, 200)


class Users(LogMixin, TestCase):
    def setUp(self):
        super().setUp()
        self.user = User.objects.create_user("jo", "jo@example.com")

    def test_the_user_costs_no_query(self):
        self.client.force_login(self.user)
        with self.assertNumQueries(0):
            response = self.client.get("/hello")
        self.assertNotIn("Vary", response.headers)
        self.assertNotIn("user_id", self.row())

    def test_a_user_that_the_view_asked_for_is_known(self):
        self.user.is_staff = self.user.is_superuser = True
        self.user.save()
        self.client.force_login(self.user)
        self.client.get("/admin/")
        self.assertEqual(self.row()["user_id"], str(self.user.pk))

    def test_the_user_is_known_at_login_and_at_logout(self):
        self.user.is_staff = True
        self.user.set_password("hush")
        self.user.save()
        self.client.post("/admin/login/", {"username": "jo", "password": "hush"})
        self.client.post("/admin/logout/")
        self.client.get("/admin/login/")
        first, second, third = self.rows()
        self.assertEqual((first["status_code"], first["user_id"]), (302, str(self.user.pk)))
        self.assertEqual((second["status_code"], second["user_id"]), (200, str(self.user.pk)))
        self.assertNotIn("user_id", third)
        self.assertNotIn("hush", self.log.read_text())

    def test_the_user_is_taken_from_a_session_that_was_read(self):
        self.client.get("/login")
        self.assertEqual(self.row()["user_id"], "42")

    def test_a_callable_of_the_project(self):
        self.set(USER_ID_CALLABLE="tests.test_middleware.user_email")
        self.client.force_login(self.user)
        self.client.get("/hello")
        self.assertEqual(self.row()["user_id"], "jo@example.com")

    def test_users_always_loads_the_user_and_adds_no_vary(self):
        for name, value in (("always", str(self.user.pk)), ("username", "jo")):
            self.set(USER_ID_CALLABLE=f"django_audit_logger.users.{name}")
            self.assertNotIn("user_id", self.logged("/hello", Client()))
            client = Client()
            client.force_login(self.user)
            row = self.logged("/hello", client)
            self.assertEqual(row["user_id"], value)
            self.assertNotIn("vary", row["response_headers"])

    def logged(self, path, client):
        response = client.get(path)
        self.assertNotIn("Vary", response.headers)
        return self.rows()[-1]

    def test_a_callable_of_the_project_adds_no_vary(self):
        self.set(
            USER_ID_CALLABLE="tests.test_middleware.user_email",
            EXTRA_DATA_CALLABLE=lambda request, _: {"staff": request.user.is_staff},
        )
        self.client.force_login(self.user)
        row = self.logged("/hello", self.client)
        self.assertEqual((row["user_id"], row["extra_data"]), ("jo@example.com", {"staff": False}))

    def test_async_callables_are_awaited_under_wsgi(self):
        self.set(
            USER_ID_CALLABLE=async_user, EXTRA_DATA_CALLABLE=async_extra, IP_CALLABLE=async_address
        )
        self.client.force_login(self.user)
        row = self.logged("/hello", self.client)
        self.assertEqual((row["user_id"], row["extra_data"]), ("jo", {"status": 200}))
        self.assertEqual(row["ip_address"], "203.0.113.9")

    async def test_async_callables_are_awaited_under_asgi(self):
        self.set(
            USER_ID_CALLABLE=async_user, EXTRA_DATA_CALLABLE=async_extra, IP_CALLABLE=async_address
        )
        await sync_to_async(self.async_client.force_login)(self.user)
        await self.async_client.get("/slow")
        row = self.row()
        self.assertEqual((row["user_id"], row["extra_data"]), ("jo", {"status": 200}))
        self.assertEqual(row["ip_address"], "203.0.113.9")

    async def test_a_callable_that_queries_works_under_asgi(self):
        self.set(USER_ID_CALLABLE="tests.test_middleware.user_email")
        await sync_to_async(self.async_client.force_login)(self.user)
        await self.async_client.get("/slow")
        row = self.row()
        self.assertEqual((row["status_code"], row["user_id"]), (200, "jo@example.com"))


class Async(LogMixin, TestCase):
    async def test_a_request_and_its_body(self):
        client = AsyncClient()
        response = await client.post("/echo", b'{"token":"x"}', "application/json")
        self.assertEqual(response.content, b'{"token":"x"}')
        self.assertEqual(self.row()["body"], '{"token":"********"}')

    async def test_many_at_once(self):
        responses = await asyncio.gather(*(AsyncClient().get(f"/slow?n={n}") for n in range(20)))
        self.assertTrue(all(response.content == b"slept" for response in responses))
        queries = {row["query_params"] for row in self.rows()}
        self.assertEqual(queries, {f"n={n}" for n in range(20)})
        self.assertTrue(all(row["response_time_ms"] >= 10 for row in self.rows()))

    async def test_a_failing_view(self):
        client = AsyncClient(raise_request_exception=False)
        self.assertEqual((await client.get("/fail")).status_code, 500)
        self.assertEqual(self.row()["status_code"], 500)


class Addresses(LogMixin, TestCase):
    def address(self, peer, **headers):
        self.client.get("/hello", REMOTE_ADDR=peer, **headers)
        return self.rows()[-1].get("ip_address")

    def test_the_client_behind_a_proxy(self):
        for peer, forwarded, address in (
            ("198.51.100.7", "203.0.113.9", "198.51.100.7"),
            ("127.0.0.1", "203.0.113.9, 10.0.0.1", "203.0.113.9"),
            ("127.0.0.1", "unknown, 203.0.113.9:8080", "203.0.113.9"),
            ("", "[2001:db8::1]:80", "2001:db8::1"),
            ("fe80::1%eth0", "", "fe80::1"),
            ("", "", None),
            # What a client sends stands first: a proxy that appends does not make it true.
            ("127.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
            ("127.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.1", "1.2.3.4"),
            ("127.0.0.1", "6.6.6.6, unknown", "127.0.0.1"),
            # Within the own network.
            ("127.0.0.1", "10.0.0.9, 10.0.0.1", "10.0.0.9"),
            # A server that listens on [::].
            ("::ffff:203.0.113.9", "", "203.0.113.9"),
            ("::ffff:127.0.0.1", "1.2.3.4", "1.2.3.4"),
            ("127.0.0.1", "::ffff:1.2.3.4", "1.2.3.4"),
        ):
            self.assertEqual(self.address(peer, HTTP_X_FORWARDED_FOR=forwarded), address, forwarded)
        self.assertEqual(self.address("127.0.0.1", HTTP_X_REAL_IP="1.2.3.4"), "1.2.3.4")

    def test_trusted_proxies_are_networks_or_a_count(self):
        for proxies, peer, forwarded, address in (
            (["198.51.100.0/24"], "198.51.100.7", "6.6.6.6, 1.2.3.4, 198.51.100.8", "1.2.3.4"),
            (["198.51.100.0/24"], "10.0.0.1", "6.6.6.6", "10.0.0.1"),
            (["2001:db8::/32", "10.0.0.0/8"], "2001:db8::1", "6.6.6.6, 1.2.3.4, 10.1.1.1", "1.2.3.4"),
            ("198.51.100.7", "198.51.100.7", "1.2.3.4", "1.2.3.4"),
            ([], "127.0.0.1", "6.6.6.6", "127.0.0.1"),
            (0, "127.0.0.1", "6.6.6.6", "127.0.0.1"),
            (1, "198.51.100.7", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
            (2, "198.51.100.7", "6.6.6.6, 1.2.3.4, 198.51.100.8", "1.2.3.4"),
            (2, "198.51.100.7", "1.2.3.4", "1.2.3.4"),
            (2, "", "6.6.6.6, 1.2.3.4, 198.51.100.8", "1.2.3.4"),
        ):
            self.set(TRUSTED_PROXIES=proxies)
            found = self.address(peer, HTTP_X_FORWARDED_FOR=forwarded)
            self.assertEqual(found, address, (proxies, peer, forwarded))

    def test_other_headers_are_read_on_request(self):
        headers = {
            "HTTP_FORWARDED": 'for=6.6.6.6;proto=http, For="[2001:db8::9]:80";by=10.0.0.1',
            "HTTP_CF_CONNECTING_IP": "1.2.3.4", "HTTP_X_FORWARDED_FOR": "5.6.7.8",
        }
        self.assertEqual(self.address("127.0.0.1", **headers), "5.6.7.8")
        for names, address in (
            (["Forwarded"], "2001:db8::9"),
            (["CF-Connecting-IP", "X-Forwarded-For"], "1.2.3.4"),
            (["X-None", "CF-Connecting-IP"], "1.2.3.4"),
            ([], "127.0.0.1"),
        ):
            self.set(IP_HEADERS=names)
            self.assertEqual(self.address("127.0.0.1", **headers), address, names)

    def test_a_callable_of_the_project(self):
        for value, address in (("1.2.3.4", "1.2.3.4"), ("::ffff:1.2.3.4", "1.2.3.4"), (None, None)):
            self.set(IP_CALLABLE=lambda request: value)  # noqa: B023
            self.assertEqual(self.address("127.0.0.1"), address)
        self.set(IP_CALLABLE=lambda request: "nowhere")
        with self.assertLogs("django_audit_logger", logging.WARNING):
            self.assertIsNone(self.address("127.0.0.1"))
        self.assertEqual(self.rows()[-1]["extra_data"], {"errors": ["ip_address"]})
