"""Tests what users of django-gunicorn-audit-logs find here: what its own tests show, and checks of its settings.

Its 15 tests have the same facts here: those of the middleware, of the command, and of helpers, which are
methods here.
"""

import io
import json
import types

from django.contrib.auth.models import AnonymousUser, User
from django.core.management import call_command
from django.http import HttpResponse
from django.test import RequestFactory, SimpleTestCase, TestCase, override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from django_audit_logger.bodies import CUT
from django_audit_logger.checks import check_predecessor
from django_audit_logger.masking import STARS, Mask
from django_audit_logger.models import RequestLog
from django_audit_logger.predecessor import used
from django_audit_logger.utils import get_client_ip, get_user_id

from .stores import StoreCase, both
from .support import LogMixin
from .test_cleanup import ago


def text(request):
    return HttpResponse("an answer", content_type="text/plain")


@csrf_exempt
def api(request):
    return HttpResponse(request.body or b"{}", content_type="application/json")


def error(request):
    raise ValueError("on purpose")


urlpatterns = [path("test/", text), path("api/test/", api), path("error/", error)]
ACCOUNT = {"username": "jo", "email": "jo@example.com", "password": "hush1", "token": "hush2"}


@override_settings(ROOT_URLCONF=__name__)
class Middleware(LogMixin, TestCase):
    def post(self, values):
        response = self.client.post("/api/test/", json.dumps(values), "application/json")
        self.assertEqual(response.status_code, 200)
        return self.row()

    def test_a_get_is_logged(self):
        self.assertEqual(self.client.get("/test/").status_code, 200)
        row = self.row()
        self.assertEqual((row["method"], row["path"], row["status_code"]), ("GET", "/test/", 200))
        self.assertIn("timestamp", row)
        self.assertGreaterEqual(row["response_time_ms"], 0)

    def test_a_post_is_logged_without_its_password(self):
        row = self.post(ACCOUNT)
        self.assertEqual((row["method"], row["path"], row["status_code"]), ("POST", "/api/test/", 200))
        self.assertEqual(json.loads(row["body"])["password"], STARS)
        self.assertNotIn("hush", self.log.read_text())

    def test_an_error_is_logged(self):
        with self.assertRaisesMessage(ValueError, "on purpose"):
            self.client.get("/error/")
        row = self.row()
        self.assertEqual((row["method"], row["path"], row["status_code"]), ("GET", "/error/", 500))

    def test_disabled_logs_nothing(self):
        self.set(ENABLED=False)
        self.assertEqual(self.client.get("/test/").status_code, 200)
        self.assertEqual(self.rows(), [])

    def test_an_excluded_path_is_not_logged_and_others_are(self):
        self.set(EXCLUDE_PATHS=["/test/"])
        self.client.get("/test/")
        self.assertEqual(self.rows(), [])
        self.client.get("/api/test/")
        self.assertEqual(self.row()["path"], "/api/test/")

    def test_bodies_may_be_left_out(self):
        self.set(LOG_REQUEST_BODY=False, LOG_RESPONSE_BODY=False)
        row = self.post(ACCOUNT)
        self.assertNotIn("body", row)
        self.assertNotIn("response_body", row)


class Command(StoreCase):
    def setUp(self):
        super().setUp()
        for nth in range(5):
            self.insert("request_log", nth, ago(nth), method="GET", path=f"/test/{nth}/", status_code=200)
            self.insert(
                "request_log", 10 + nth, ago(100 + nth), method="GET", path=f"/old/{nth}/", status_code=200
            )

    def left(self, **options):
        call_command("cleanup_audit_logs", days=30, stdout=io.StringIO(), **options)
        return list(RequestLog.objects.values_list("path", flat=True))

    def test_old_rows_are_deleted_and_others_stay(self):
        self.assertEqual(self.left(), [f"/test/{nth}/" for nth in range(5)])

    def test_a_dry_run_deletes_nothing(self):
        self.assertEqual(len(self.left(dry_run=True)), 10)

    def test_small_batches_delete_all_old_rows(self):
        for nth in range(20):
            self.insert("request_log", 20 + nth, ago(100 + nth), method="GET", path="/batch/", status_code=200)
        self.assertEqual(self.left(batch_size=5), [f"/test/{nth}/" for nth in range(5)])


CommandOnSQLite, CommandOnPostgreSQL = both(Command)
del Command


class Helpers(LogMixin, TestCase):
    def request(self, **meta):
        request = RequestFactory().get("/")
        for key in ("REMOTE_ADDR", "HTTP_X_FORWARDED_FOR"):
            request.META.pop(key, None)
        request.META.update(meta)
        return request

    def test_the_clients_address(self):
        # The last address that is not a proxy's: what stands before it, the client may have sent.
        proxied = self.request(REMOTE_ADDR="127.0.0.1", HTTP_X_FORWARDED_FOR="203.0.113.9, 10.0.0.1")
        self.assertEqual(get_client_ip(proxied), "203.0.113.9")
        self.assertEqual(get_client_ip(self.request(REMOTE_ADDR="127.0.0.1")), "127.0.0.1")
        self.assertIsNone(get_client_ip(self.request()))

    def test_the_user(self):
        request = self.request()
        self.assertIsNone(get_user_id(request))
        request.user = User(pk=123, username="jo", email="jo@example.com")
        self.assertEqual(get_user_id(request), "123")
        request.user = AnonymousUser()
        self.assertIsNone(get_user_id(request))
        # A token's user, as Django REST framework sets it.
        request.user = User(pk=456)
        self.assertEqual(get_user_id(request), "456")

    def test_values_are_masked_by_their_names(self):
        mask = Mask(["password", "token"])
        masked = {name: mask.masked(name, [value]) for name, value in ACCOUNT.items()}
        self.assertEqual(masked, {
            "username": ["jo"], "email": ["jo@example.com"], "password": STARS, "token": STARS,
        })

    def test_json_is_masked(self):
        masked = json.loads(Mask(["password", "token"]).json(json.dumps(ACCOUNT)))
        self.assertEqual(masked, {**ACCOUNT, "password": STARS, "token": STARS})

    def test_a_form_is_masked(self):
        masked = Mask(["password", "token"]).query("username=jo&password=hush&token=hush&email=jo@example.com")
        self.assertEqual(masked, f"username=jo&password={STARS}&token={STARS}&email=jo@example.com")

    def test_a_long_body_is_cut(self):
        with override_settings(ROOT_URLCONF=__name__):
            for length, body in ((20, "a long text of 27 characters"[:20] + CUT), (28, "a long text of 27 characters")):
                self.set(MAX_BODY_LENGTH=length)
                self.client.post("/api/test/", "a long text of 27 characters", "text/plain")
                self.assertEqual(self.rows()[-1]["body"], body)
            self.client.get("/api/test/")
            self.assertNotIn("body", self.rows()[-1])


class Settings(SimpleTestCase):
    def told(self, **settings):
        with override_settings(**settings):
            return {it.msg.partition(" is a setting of")[0]: it.hint for it in check_predecessor()}

    def test_each_key_is_named_with_what_replaces_it(self):
        told = self.told(AUDIT_LOGS={
            "ENABLED": True, "SENSITIVE_FIELDS": [], "USER_ID_CALLABLE": "x.y", "SAVE_FULL_BODY": False,
            "MASK_FUNCTION": "x.y", "NO_SUCH_KEY": 1,
        })
        self.assertEqual(told.pop("AUDIT_LOGS['NO_SUCH_KEY']"), "Instead: nothing.")
        for key in ("ENABLED", "SENSITIVE_FIELDS", "USER_ID_CALLABLE"):
            self.assertEqual(told.pop(f"AUDIT_LOGS['{key}']"), f"Instead: AUDIT_LOGGER['{key}'].")
        self.assertIn("MAX_BODY_LENGTH", told.pop("AUDIT_LOGS['SAVE_FULL_BODY']"))
        self.assertIn("MASKING", told.pop("AUDIT_LOGS['MASK_FUNCTION']"))
        self.assertEqual(told, {})

    def test_settings_middleware_application_and_router_are_named(self):
        module = "django_gunicorn_audit_logs"
        told = self.told(
            AUDIT_LOGS_USE_MONGO=True, AUDIT_CELERY_QUEUE="logs", AUDIT_LOGGER_RAISE_EXCEPTIONS=True,
            MIDDLEWARE=[f"{module}.middleware.RequestLogMiddleware", "x.SecurityMiddleware"],
        )
        self.assertEqual(sorted(told), [
            "AUDIT_CELERY_QUEUE", "AUDIT_LOGGER_RAISE_EXCEPTIONS", "AUDIT_LOGS_USE_MONGO",
            f"MIDDLEWARE: '{module}.middleware.RequestLogMiddleware'",
        ])
        self.assertIn("django_audit_logger.middleware.AuditLogMiddleware", told[sorted(told)[-1]])
        # The package itself is not here: Django would not take these.
        for setting, item, replacement in (
            ("INSTALLED_APPS", module, "copy_audit_logs"),
            ("INSTALLED_APPS", f"{module}.apps.DjangoGunicornAuditLogsConfig", "copy_audit_logs"),
            ("DATABASE_ROUTERS", f"{module}.routers.AuditLogRouter", "django_audit_logger.router.AuditRouter"),
        ):
            ((name, told),) = used(types.SimpleNamespace(**{setting: [item, "django_audit_logger"]}))
            self.assertEqual(name, f"{setting}: {item!r}")
            self.assertIn(replacement, told)

    def test_other_settings_are_not_named(self):
        self.assertEqual(self.told(AUDIT_LOGGER={"ENABLED": False}, AUDIT_LOGS_OF_ANOTHER=1), {})
