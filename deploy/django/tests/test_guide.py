"""Tests the queries and commands of the older package's guide, in a project of its own."""

import datetime
import importlib.metadata
import json

from .guide import Project

QUERIES = """
from django_audit_logger.models import RequestLog, GunicornLogModel

logs = RequestLog.objects.all()
api_logs = RequestLog.objects.filter(path__startswith='/api/')
error_logs = RequestLog.objects.filter(status_code__gte=400)
user_logs = RequestLog.objects.filter(user_id='user123')
gunicorn_logs = GunicornLogModel.objects.all()
api_gunicorn_logs = GunicornLogModel.objects.filter(url__startswith='/api/')
error_gunicorn_logs = GunicornLogModel.objects.filter(code__gte=400)
user_gunicorn_logs = GunicornLogModel.objects.filter(user_id='user123')
"""
# Which rows of 1, 40 and 100 days stay, of requests and of Gunicorn.
CLEANUPS = (
    ("python manage.py cleanup_audit_logs", 2, 2),
    ("python manage.py cleanup_audit_logs --days=30", 1, 1),
    ("python manage.py cleanup_audit_logs --dry-run", 3, 3),
    ("python manage.py cleanup_audit_logs --batch-size=5000", 2, 2),
    ("python manage.py cleanup_audit_logs --log-type=request", 2, 3),
    ("python manage.py cleanup_audit_logs --log-type=gunicorn", 3, 2),
)


def ago(days):
    moment = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


class Guide(Project):
    def fill(self):
        for table in ("request_log", "gunicorn_log"):
            self.execute(f"DELETE FROM {table}")
            columns = ("path", "status_code") if table == "request_log" else ("url", "code")
            for nth, (days, path, code, user) in enumerate(
                ((1, "/api/a", 200, "user123"), (40, "/api/b", 404, None), (100, "/c", 500, "user123"))
            ):
                values = dict(zip(columns, (path, code)))
                self.insert(table, nth, ago(days), user_id=user, method="GET", **values)

    def test_every_cleanup_command_works(self):
        for command, *left in CLEANUPS:
            with self.subTest(command):
                self.fill()
                said = self.run_shell(command)
                tables = ("request_log", "gunicorn_log")
                counts = [self.execute(f"SELECT count(*) FROM {it}")[0][0] for it in tables]
                self.assertEqual(counts, left, said)

    def test_every_query_finds_its_rows(self):
        self.fill()
        (self.site / "queries.py").write_text(
            QUERIES + "print([[row.id for row in rows] for rows in (logs, api_logs, error_logs, "
            "user_logs, gunicorn_logs, api_gunicorn_logs, error_gunicorn_logs, user_gunicorn_logs)])"
        )
        said = self.run_shell("python manage.py shell < queries.py")
        self.assertIn(str([[0, 1, 2], [0, 1], [1, 2], [0, 2]] * 2), said)

    def test_the_package_is_installed_for_development(self):
        text = importlib.metadata.distribution("log-ingestd-django").read_text("direct_url.json")
        self.assertIs(json.loads(text)["dir_info"]["editable"], True)
