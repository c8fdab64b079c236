"""Tests that rows of failed requests have the exception's class, and one hash for the same failure."""

import importlib
import pathlib
import sys
import tempfile
from unittest import mock

from asgiref.sync import sync_to_async
from django.http import HttpResponse
from django.test import AsyncClient, Client, TestCase, override_settings
from django.urls import path

from django_audit_logger.failures import remember_exception

from .support import LogMixin


class Broken(Exception):
    pass


def deep(level):
    if level:
        deep(level - 1)
    raise Broken(f"a secret of level {level}")


def fail(request):
    deep(int(request.GET.get("level", 0)))


async def async_fail(request):
    deep(0)


def fail_elsewhere(request):
    fail(request)


def fail_otherwise(request):
    [][0]


def handled(request):
    try:
        deep(0)
    except Broken as error:
        remember_exception(request, error)
    return HttpResponse("sorry", status=503)


class Answers:
    """A middleware that fails itself."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if "middleware" in request.GET:
            deep(0)
        return self.get_response(request)


urlpatterns = [
    path("fail", fail),
    path("async_fail", async_fail),
    path("fail_elsewhere", fail_elsewhere),
    path("fail_otherwise", fail_otherwise),
    path("handled", handled),
]
FIRST = "django_audit_logger.middleware.AuditLogMiddleware"
STACKS = ([FIRST], ["tests.test_failures.Answers", FIRST], [FIRST, "tests.test_failures.Answers"])
NAME = "tests.test_failures.Broken"


@override_settings(ROOT_URLCONF=__name__)
class Failures(LogMixin, TestCase):
    def setUp(self):
        super().setUp()
        self.client.raise_request_exception = False

    def logged(self, url, status=500, client=None):
        self.assertEqual((client or self.client).get(url).status_code, status)
        return self.rows()[-1].get("extra_data")

    def test_a_view_that_raises_is_logged_with_class_and_hash_and_without_its_message(self):
        exception = self.logged("/fail")["exception"]
        self.assertEqual(exception["class"], NAME)
        self.assertRegex(exception["traceback_hash"], "^[0-9a-f]{16}$")
        self.assertNotIn("a secret", self.log.read_text())
        self.assertEqual(self.logged("/fail_otherwise")["exception"]["class"], "IndexError")

    def test_what_does_not_fail_or_is_handled_has_none(self):
        self.assertIsNone(self.logged("/missing", 404))
        self.set(EXTRA_DATA_CALLABLE=lambda *_: {"a": 1})
        self.assertEqual(self.logged("/missing", 404), {"a": 1})

    def test_a_handler_of_the_project_may_say_what_it_handled(self):
        self.assertEqual(self.logged("/handled", 503)["exception"]["class"], NAME)

    def test_the_same_failure_has_one_hash_and_others_have_others(self):
        first = self.logged("/fail")
        self.assertEqual(self.logged("/fail?level=3"), first, "the depth of a recursion counts")
        for stack in STACKS:
            with override_settings(MIDDLEWARE=stack):
                client = Client(raise_request_exception=False)
                self.assertEqual(self.logged("/fail", client=client), first, stack)
        others = [self.logged("/fail_elsewhere"), self.logged("/fail_otherwise"), first]
        with override_settings(MIDDLEWARE=STACKS[2]):
            client = Client(raise_request_exception=False)
            others.append(self.logged("/fail?middleware", client=client))
        self.assertEqual(len({it["exception"]["traceback_hash"] for it in others}), 4)

    async def test_under_asgi_the_hash_is_the_same(self):
        client = AsyncClient(raise_request_exception=False)
        for url in ("/fail", "/async_fail"):
            hashes = []
            for _ in range(2):
                self.assertEqual((await client.get(url)).status_code, 500)
                hashes.append(self.rows()[-1]["extra_data"])
            await self.sync_get(url)
            hashes.append(self.rows()[-1]["extra_data"])
            self.assertEqual(hashes, [hashes[0]] * 3, url)
            self.assertEqual(hashes[0]["exception"]["class"], NAME)

    async def sync_get(self, url):
        client = Client(raise_request_exception=False)
        self.assertEqual((await sync_to_async(client.get)(url)).status_code, 500)

    def test_a_change_of_lines_changes_no_hash(self):
        function = "def view(request):\n    raise ValueError(request)\n"
        with tempfile.TemporaryDirectory() as directory:
            sys.path.insert(0, directory)
            self.addCleanup(sys.path.remove, directory)
            hashes = set()
            for lines in ("", "# one more line\n\n"):
                pathlib.Path(directory, "moved_lines.py").write_text(lines + function)
                # No compiled file: that of the same second would be used again.
                with mock.patch("sys.dont_write_bytecode", True):
                    view = importlib.import_module("moved_lines").view
                del sys.modules["moved_lines"]
                self.assertEqual(view.__code__.co_firstlineno, 1 + lines.count("\n"))
                urls = type("Urls", (), {"urlpatterns": [path("moved", view)]})
                with override_settings(ROOT_URLCONF=urls):
                    hashes.add(str(self.logged("/moved")))
        self.assertEqual(len(hashes), 1)

    def test_an_exception_that_leaves_the_middleware_is_logged(self):
        with override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True), self.assertRaises(Broken):
            Client().get("/fail")
        self.assertEqual(self.rows()[-1]["extra_data"]["exception"]["class"], NAME)

    def test_it_stands_beside_what_the_project_adds_and_what_failed(self):
        exception = self.logged("/fail")["exception"]
        self.set(EXTRA_DATA_CALLABLE=lambda *_: {"tenant": 7}, USER_ID_CALLABLE="tests.test_middleware.broken")
        with self.assertLogs("django_audit_logger"):
            found = self.logged("/fail")
        self.assertEqual(found, {"tenant": 7, "exception": exception, "errors": ["user_id"]})
