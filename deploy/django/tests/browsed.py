"""The tests' project as a browser sees it: with styles and scripts."""

import os

from .settings import *  # noqa: F403
from .settings import INSTALLED_APPS

DEBUG = True
INSTALLED_APPS = [*INSTALLED_APPS, "django.contrib.staticfiles"]
AUDIT_LOGGER = {"ENABLED": False, "DATABASE": "logs"}
LANGUAGE_CODE = os.environ.get("TEST_LANGUAGE", "en-us")
