"""Tests Gunicorn and the callables of the older package's guide."""

import http.cookiejar
import re
import time
import urllib.error
import urllib.parse
import urllib.request

from .guide import Project
from .server import PROJECT
from .support import lines

CUSTOM = """
AUDIT_LOGGER.update({
    'USER_ID_CALLABLE': 'your_project.utils.get_custom_user_id',
    'EXTRA_DATA_CALLABLE': 'your_project.utils.get_extra_data',
})
"""
UTILS = """
def get_custom_user_id(request):
    if hasattr(request, 'user') and request.user.is_authenticated:
        return request.user.email  # Or any other identifier
    return None

def get_extra_data(request, response):
    return {
        'tenant_id': getattr(request, 'tenant_id', None),
        'correlation_id': request.headers.get('X-Correlation-ID'),
    }
"""
ENVIRONMENT = """
GUNICORN_BIND='127.0.0.1:0'   # Address and port to bind to
GUNICORN_WORKERS=4            # Number of worker processes
GUNICORN_LOG_LEVEL='info'     # Logging level (debug, info, warning, error, critical)
GUNICORN_ACCESS_LOG='-'       # Path for access logs ('-' for stdout)
GUNICORN_ERROR_LOG='-'        # Path for error logs ('-' for stderr)
GUNICORN_MAX_REQUESTS=1000    # Maximum requests before worker restart
GUNICORN_MAX_REQUESTS_JITTER=50  # Random jitter to avoid all workers restarting at once
GUNICORN_LOG_DIR='logs'               # Directory for log files
GUNICORN_LOG_MAX_BYTES=10485760       # Maximum log file size (10MB default)
GUNICORN_LOG_BACKUP_COUNT=10          # Number of backup files to keep
"""
COPY = "cp %s/src/django_audit_logger/gunicorn_config.py ./" % PROJECT
SERVE = "gunicorn your_project.wsgi:application -c gunicorn_config.py"


class Guide(Project):
    def serve(self):
        """Runs Gunicorn with the copied configuration and the variables, and a client with cookies."""
        # The guide puts the middleware last: the check says so as an Info, not as a warning.
        said = self.run_shell("python manage.py check --fail-level WARNING")
        self.assertIn("(django_audit_logger.I001)", said)
        self.assertIn("identified 1 issue ", said)
        self.run_shell("python manage.py migrate")
        self.run_shell(
            "DJANGO_SUPERUSER_PASSWORD=hush python manage.py createsuperuser --noinput "
            f"--username {self._testMethodName} --email jo@example.com"
        )
        self.run_shell(COPY)
        said = self.site / "said.txt"
        command = f"set -a\n{ENVIRONMENT}\nset +a\nexec {SERVE} > {said} 2>&1"
        server = self.shell(command)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait, 20)
        self.addCleanup(server.terminate)
        listening = re.compile(r"Listening at: (http://\S+)")
        self.wait(lambda: said.exists() and listening.search(said.read_text()))
        self.address = listening.search(said.read_text()).group(1)
        self.cookies = http.cookiejar.CookieJar()
        self.client = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self.cookies), NoRedirect()
        )

    def wait(self, condition):
        for _ in range(1000):
            if condition():
                return
            time.sleep(0.02)
        self.fail((self.site / "said.txt").read_text())

    def get(self, path, data=None, **headers):
        request = urllib.request.Request(self.address + path, data, headers)
        try:
            with self.client.open(request, timeout=20) as response:
                return response.status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def visit(self):
        """Logs in, sends requests as that user, and then requests excluded paths."""
        self.assertEqual(self.get("/admin/login/"), 200)
        (token,) = (cookie.value for cookie in self.cookies if cookie.name == "csrftoken")
        form = {"username": self._testMethodName, "password": "hush", "csrfmiddlewaretoken": token}
        body = urllib.parse.urlencode(form).encode()
        self.assertEqual(self.get("/admin/login/?next=/admin/", body), 302)
        self.assertEqual(self.get("/admin/?secret=hush", **{"X-Correlation-ID": "c-7"}), 200)
        for path in ("/health/", "/metrics/x", "/a/STYLE.CSS"):
            self.assertEqual(self.get(path), 404)
        self.assertEqual(self.get("/last"), 404)
        requests = lines(self.site / "logs/requests.log")
        # Gunicorn writes the line of an access after the client has its answer.
        self.wait(lambda: len(lines(self.site / "logs/access.log")) >= 4)
        accesses = lines(self.site / "logs/access.log")
        self.assertEqual(
            [(row["method"], row["path"], row["status_code"]) for row in requests],
            [("GET", "/admin/login/", 200), ("POST", "/admin/login/", 302), ("GET", "/admin/", 200), ("GET", "/last", 404)],
        )
        self.assertEqual([row["code"] for row in accesses], [200, 302, 200, 404])
        self.assertEqual(accesses[3]["url"], "/last")
        self.assertIn("password=********", requests[1]["body"])
        self.assertEqual(accesses[2]["url"], "/admin/?secret=********")
        for name in ("requests", "access"):
            self.assertNotIn("hush", (self.site / f"logs/{name}.log").read_text())
        return requests, accesses

    def test_the_guides_settings_and_variables(self):
        self.serve()
        requests, accesses = self.visit()
        self.assertTrue(requests[2]["user_id"].isdigit())
        self.assertEqual(accesses[2]["user_id"], requests[2]["user_id"])
        self.assertNotIn("extra_data", requests[2])

    def test_callables_of_the_project(self):
        self.write("settings.py", CUSTOM)
        self.write("utils.py", UTILS)
        self.serve()
        requests, accesses = self.visit()
        users = [row.get("user_id") for row in requests]
        self.assertEqual(users, [None] + ["jo@example.com"] * 3)
        self.assertEqual(accesses[2]["user_id"], "jo@example.com")
        self.assertEqual(requests[2]["extra_data"], {"tenant_id": None, "correlation_id": "c-7"})


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None
