"""Makes the package importable that ours is compared with.

It is installed next to the packages of the ``.venv`` and not among them, without its requirements:
it runs with the ``.venv``'s Django and psycopg, and its other requirements are not used here.
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
# Its wheel has a package "tests", too: ours has precedence.
sys.path[:0] = [str(PROJECT)]
sys.path.append(str(PLACE))
