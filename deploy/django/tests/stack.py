"""The tests' project with the usual middleware, ours before all of them."""

import os
import pathlib

from .settings import *  # noqa: F403

ALLOWED_HOSTS = ["127.0.0.1"]
DEBUG = False
ROOT_URLCONF = "tests.stack_urls"
SECURE_SSL_REDIRECT = "TEST_SSL" in os.environ
MIDDLEWARE = [
    "django_audit_logger.middleware.AuditLogMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
STATIC_ROOT = pathlib.Path(__file__).resolve().parent
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = False
