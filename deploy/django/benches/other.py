"""The package that ours is measured against. Importing this makes it importable.

It is installed beside the packages of the ``.venv`` and not among them, without what it requires:
it runs with the ``.venv``'s own Django and psycopg, and the rest of it is for what is not used here.
"""

import pathlib
import subprocess
import sys

PROJECT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = "django-gunicorn-audit-logs==0.3.5"
NAME = "django_gunicorn_audit_logs"
MIDDLEWARE = f"{NAME}.middleware.RequestLogMiddleware"
PLACE = PROJECT / ".venv" / PACKAGE

if not PLACE.exists():
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--no-deps", "--target", str(PLACE), PACKAGE],
        check=True,
    )  # fmt: skip
# Its wheel has a package "tests", too: ours comes first.
sys.path[:0] = [str(PROJECT)]
sys.path.append(str(PLACE))
