"""A project with the package in it, for tests."""

import json
import os
import tempfile

SECRET_KEY = "tests"
ALLOWED_HOSTS = ["*"]
USE_TZ = os.environ.get("TEST_USE_TZ", "yes") == "yes"
TIME_ZONE = "America/Chicago"
ROOT_URLCONF = "tests.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django_audit_logger",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_audit_logger.middleware.AuditLogMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("TEST_DATABASE", ":memory:"),
    }
}
if "TEST_LOGS" in os.environ:
    DATABASES["logs"] = json.loads(os.environ["TEST_LOGS"])
    DATABASE_ROUTERS = ["django_audit_logger.router.AuditRouter"]
SESSION_ENGINE = os.environ.get("TEST_SESSIONS", "django.contrib.sessions.backends.db")
AUDIT_LOGGER = {
    "LOG_IN_TESTS": True,
    "DATABASE": "logs" if "TEST_LOGS" in os.environ else None,
    "LOG_FILE": os.environ.get(
        "TEST_LOG_FILE", os.path.join(tempfile.gettempdir(), f"audit-tests-{os.getuid()}/requests.log")
    ),
    **json.loads(os.environ.get("TEST_AUDIT_LOGGER", "{}")),
}
