"""Creates a project as the older package's guide describes it: settings, and a shell in it."""

import os
import pathlib
import subprocess
import sys
import tempfile

from .stores import Postgres, StoreCase

SETTINGS = """
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS += [
    'django_audit_logger',
]
MIDDLEWARE += [
    'django_audit_logger.middleware.AuditLogMiddleware',
]
AUDIT_LOGGER = {
    'ENABLED': True,
    'LOG_REQUEST_BODY': True,
    'LOG_RESPONSE_BODY': True,
    'EXCLUDE_PATHS': ['/health/', '/metrics/'],
    'EXCLUDE_EXTENSIONS': ['.jpg', '.png', '.gif', '.css', '.js'],
    'MAX_BODY_LENGTH': 10000,  # Truncate bodies longer than this value
    'SENSITIVE_FIELDS': ['password', 'token', 'access_key', 'secret'],
    'USER_ID_CALLABLE': 'django_audit_logger.utils.get_user_id',
    'EXTRA_DATA_CALLABLE': None,  # Optional function to add custom data
}
DATABASES = {
    'default': {
        'ENGINE': 'django.db.backends.postgresql',
        'NAME': 'logs',
        'USER': 'audit',
        'PASSWORD': 'your_password',
        'HOST': '%(host)s',
        'PORT': '5432',
    }
}
"""


class Project(StoreCase):
    """Creates a new Django project with the guide's settings; its database has the log tables."""

    vendor = "postgresql"

    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.site = pathlib.Path(directory.name)
        self.run_shell("django-admin startproject your_project .")
        self.write("settings.py", SETTINGS % {"host": Postgres.get().directory})

    def write(self, name, text):
        with open(self.site / "your_project" / name, "a") as file:
            file.write(text)

    def shell(self, command, **options):
        """Runs a command as in a terminal, with the environment's programs, in the project's directory."""
        unset = ("DJANGO_SETTINGS_MODULE", "PYTHONPATH")
        environment = {key: value for key, value in os.environ.items() if key not in unset}
        environment["PATH"] = f"{pathlib.Path(sys.executable).parent}:{environment['PATH']}"
        return subprocess.Popen(
            ["bash", "-ec", command], cwd=self.site, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
        )

    def run_shell(self, command):
        with self.shell(command) as process:
            said = process.communicate()[0]
        self.assertEqual(process.returncode, 0, said)
        return said
