"""Tests that each error of the settings has its id."""

from django.core.checks import run_checks
from django.test import SimpleTestCase, override_settings

from django_audit_logger.checks import check_place, check_settings

SEED = {
    "ENABLED": True,
    "LOG_REQUEST_BODY": True,
    "LOG_RESPONSE_BODY": True,
    "EXCLUDE_PATHS": ["/health/", "/metrics/"],
    "EXCLUDE_EXTENSIONS": [".jpg", ".png", ".gif", ".css", ".js"],
    "MAX_BODY_LENGTH": 10000,
    "SENSITIVE_FIELDS": ["password", "token", "access_key", "secret"],
    "USER_ID_CALLABLE": "django_audit_logger.utils.get_user_id",
    "EXTRA_DATA_CALLABLE": None,
}


class Checks(SimpleTestCase):
    databases = {"default"}  # other checks look at it

    def ids(self, values):
        with override_settings(AUDIT_LOGGER=values):
            return [message.id.rpartition(".")[2] for message in check_settings()]

    def test_the_settings_that_users_know_are_right(self):
        self.assertEqual(self.ids({**SEED, "LOG_FILE": "/tmp/new/requests.log"}), [])

    def test_each_mistake_has_its_id(self):
        for values, ids in (
            ([], ["E001"]),
            ({"LOG_FILE": "/tmp/x.log", "SENSITIVE_FIELD": []}, ["W001"]),
            ({"ENABLED": "yes"}, ["E002"]),
            ({"EXCLUDE_PATHS": "/health/"}, ["E002"]),
            ({"EXCLUDE_PATHS": [1]}, ["E002"]),
            ({"MAX_BODY_LENGTH": True}, ["E002"]),
            ({"MAX_BYTES": -1}, ["E003"]),
            ({"MASKING": "some"}, ["E006"]),
            ({"TRUSTED_PROXIES": ["10.0.0.0/8", "proxy"]}, ["E007"]),
            ({"TRUSTED_PROXIES": -1}, ["E003"]),
            ({"ANONYMIZE_IP": 24}, ["E009"]),
            ({"ANONYMIZE_IP": (33, 48)}, ["E009"]),
            ({"ANONYMIZE_IP": "24, 48"}, ["E009"]),
            ({"LOG_FILE": "/tmp/x.log", "ANONYMIZE_IP": (24, 48)}, []),
            ({"LOG_FILE": "/tmp/x.log", "ANONYMIZE_IP": None}, []),
            ({"EXCLUDE_PATTERNS": ["("]}, ["E008"]),
            ({"MASK_PATHS": "/a/"}, ["E002"]),
            ({"SHOULD_LOG_CALLABLE": "no.such.thing"}, ["E004"]),
            ({"TRUSTED_PROXIES": True}, ["E002"]),
            ({"IP_HEADERS": "Forwarded"}, ["E002"]),
            ({"LOG_FILE": "/tmp/x.log", "TRUSTED_PROXIES": 1}, []),
            ({"LOG_FILE": "/tmp/x.log", "MASKING": "exact"}, []),
            ({"USER_ID_CALLABLE": "no.such.thing"}, ["E004"]),
            ({"EXTRA_DATA_CALLABLE": "django_audit_logger.__version__"}, ["E004"]),
            ({"LOG_FILE": "/tmp/x.log", "DATABASE": "nowhere"}, ["E005"]),
            ({"LOG_FILE": __file__ + "/x.log"}, ["W002"]),
            ({"LOG_FILE": __file__ + "/x.log", "ENABLED": False}, []),
            ({"LOG_FILE": "/tmp/x.log", "MAX_BODY_LENGTH": 10**6}, ["W003"]),
        ):
            self.assertEqual(self.ids(values), ids, values)

    def test_the_middleware_says_what_it_cannot_see(self):
        ours, other = "django_audit_logger.middleware.AuditLogMiddleware", "x.SecurityMiddleware"
        for middleware, ids in (([ours, other], []), ([other], []), ([other, ours], ["I001"])):
            with override_settings(MIDDLEWARE=middleware):
                messages = check_place()
            self.assertEqual([message.id.rpartition(".")[2] for message in messages], ids)
        self.assertIn("stands after SecurityMiddleware: ", messages[0].msg)

    def test_they_are_registered(self):
        with override_settings(AUDIT_LOGGER={"ENABLED": 1}):
            self.assertIn("django_audit_logger.E002", [message.id for message in run_checks()])
