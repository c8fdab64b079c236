#!/usr/bin/env python3
"""Measures how long the pages of the admin take, with many rows in a real PostgreSQL.

    LOG_INGESTD_PROGRAM=… python benches/admin.py [MILLIONS]     default 10, in each of the two tables

The rows are spread over the last 20 days, and stored by the daemon's import. Django's test client
requests each page once, after a warm-up request; the time includes its queries and its HTML.
"""

import datetime
import os
import pathlib
import random
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django
from django.conf import settings

from tests.stores import Postgres

DAYS = 20
MILLIONS = float(sys.argv[1]) if len(sys.argv) > 1 else 10
# Taken out of the environment: the program would warn of a variable that is not a setting.
PROGRAM = os.environ.pop("LOG_INGESTD_PROGRAM")
PAGES = "/admin/django_audit_logger"
CODES = [200] * 900 + [204] * 20 + [302] * 30 + [404] * 40 + [500] * 9 + [503]
METHODS = ["GET"] * 8 + ["POST", "PUT"]


def generate(kind, file):
    """Writes lines of a shop with 20,000 users, a few of them frequent; every third request has no user."""
    dice = random.Random(kind)
    count = int(MILLIONS * 1e6)
    step = DAYS * 86400 / count
    begin = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=DAYS)
    words = "orders items users carts search login basket stock".split()
    paths = [f"/api/v1/{dice.choice(words)}/{dice.randrange(100_000)}" for _ in range(50_000)]
    users = [f',"user_id":"{int(20_000 * dice.random() ** 3)}"' for _ in range(20_000)]
    users += [""] * 10_000
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    headers = f'{{"host":"shop.example","user-agent":"{agent}","accept":"*/*","cookie":"********"}}'
    path, code, address, took = ("url", "code", "user_ip", '"duration":4321,"agent"')
    if kind == "request":
        path, code, address = "path", "status_code", "ip_address"
        took = '"body":"{\\"a\\": 1}","response_body":"{\\"b\\": [2, 3]}","response_time_ms":4.3,"user_agent"'
    rand = dice.random
    lines = []
    for nth in range(count):
        moment = begin + datetime.timedelta(seconds=nth * step)
        lines.append(
            f'{{"log":"{kind}","timestamp":"{moment.isoformat()}"'
            f',"method":"{METHODS[int(rand() * 10)]}","{path}":"{paths[int(rand() * 50_000)]}"'
            f',"{code}":{CODES[int(rand() * 1000)]}{users[int(rand() * 30_000)]}'
            f',"{address}":"198.51.{int(rand() * 100)}.{int(rand() * 250)}",{took}:"{agent}"'
            f',"headers":{headers}}}\n'
        )
        if len(lines) == 10_000:
            file.write("".join(lines).encode())
            lines.clear()
    file.write("".join(lines).encode())


def fill(url):
    for kind in ("gunicorn", "request"):
        began = time.monotonic()
        command = [PROGRAM, "import", "--database-url", url, "--host", kind, "-"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            generate(kind, process.stdin)
        if process.returncode:
            sys.exit(f"the import of {kind} lines failed")
        print(f"{kind}: {MILLIONS:g} million rows in {time.monotonic() - began:.0f} s", flush=True)


def questions(address, rows):
    """Returns titles and parameters for each table."""
    yesterday = datetime.date.today() - datetime.timedelta(days=1)
    periods = ("hour", "day", "week", "month", "any", str(yesterday))
    for period in periods:
        for title, more in (
            ("list", {}), ("page 2", {"p": 2}), ("page 100", {"p": 100}),
            ("status 400 and more", {"status": "error"}), ("status 500 to 599", {"status": "5"}),
            ("status 200 to 299", {"status": "2"}), ("method POST", {"method": "POST"}),
            ("method PATCH, of none", {"method": "PATCH"}),
            ("path /api/v1/orders/", {"q": "/api/v1/orders/"}),
            ("path of one order", {"q": rows["path"]}), ("path of none", {"q": "/nothing"}),
            ("path and status", {"q": "/api/v1/orders/", "status": "5"}),
            ("user, often", {"q": "0"}), ("user, seldom", {"q": rows["user"]}),
            ("user, of none", {"q": "nobody"}), ("address", {"q": rows["address"]}),
            ("address of none", {"q": "203.0.113.9"}),
            ("user and errors", {"q": rows["user"], "status": "error"}),
        ):  # fmt: skip
            yield f"{period}: {title}", address, {"period": period, **more}


def main():
    server = Postgres(fsync="on")
    server.psql("postgres", "CREATE DATABASE logs")
    fill(f"postgres://audit@/logs?host={server.directory}")
    server.psql("logs", "VACUUM ANALYZE")
    print("tables and indexes:", server.psql("logs", "SELECT pg_size_pretty(pg_database_size('logs'))"))
    settings.DATABASES["logs"] = {
        "ENGINE": "django.db.backends.postgresql", "NAME": "logs", "USER": "audit",
        "HOST": server.directory,
    }
    settings.DATABASE_ROUTERS = ["django_audit_logger.router.AuditRouter"]
    settings.AUDIT_LOGGER = {"DATABASE": "logs", "ENABLED": False}
    django.setup()
    measure()


def measure():
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.test import Client

    from django_audit_logger.models import GunicornLogModel, RequestLog

    call_command("migrate", verbosity=0)
    client = Client()
    client.force_login(User.objects.create(username="root", is_staff=True, is_superuser=True))
    times = []
    for model, path, ip in ((RequestLog, "path", "ip_address"), (GunicornLogModel, "url", "user_ip")):
        since = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=3)
        some = model.objects.filter(timestamp__gte=since, timestamp__lt=since + datetime.timedelta(minutes=1))
        row = some.filter(user_id__isnull=False).order_by("timestamp")[0]
        rows = {"path": getattr(row, path), "user": row.user_id, "address": getattr(row, ip)}
        address = f"{PAGES}/{model._meta.model_name}/"
        asked = [*questions(address, rows), ("a row", f"{address}{row.pk}/change/", {})]
        for title, page, parameters in asked:
            took = []
            for _ in range(2):
                began = time.perf_counter()
                response = client.get(page, parameters)
                took.append((time.perf_counter() - began) * 1000)
                assert response.status_code == 200, (title, response.status_code)
            times.append((took[1], took[0], f"{model.__name__}, {title}"))
    for took, first, title in times:
        print(f"{took:8.0f} ms (first {first:7.0f})  {title}{'   <--' if took > 1000 else ''}")
    print(f"{sum(took > 1000 for took, _, _ in times)} of {len(times)} take more than a second;")
    print(f"slowest {max(times)[0]:.0f} ms, median {sorted(times)[len(times) // 2][0]:.0f} ms")


if __name__ == "__main__":
    main()
