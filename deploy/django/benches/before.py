#!/usr/bin/env python3
"""Compares the middleware's cost for a request with that of an older version, and prints each feature's share.

    python benches/before.py DIRECTORY [ROUNDS [NAME…]]     default 600 rounds, of all contestants

DIRECTORY is deploy/django of the other version, such as that of a git worktree. Each contestant is a process of
its own, with the same requests as in ``cost.py``. They take turns of 50 requests; the order changes from round to
round. The time is that of the processor. The cost of a contestant in a round is its time without that of the same
requests without any middleware; medians of all rounds are compared, and the calmest tenth of them.
"""

import json
import operator
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from wsgi import environ

HERE = pathlib.Path(__file__).resolve().parent
TURN = 50
REQUESTS = ("GET", "POST")
OFF = {"MASKING": "exact", "MASK_PATHS": [], "LOG_ROUTE": False, "REQUEST_IDS": False}
# The older version has no more settings than these.
CONTESTANTS = {
    "without": None,
    "before": {},
    "features off": OFF,
    "default": {},
    "+ MASKING by meaning": {**OFF, "MASKING": "meaning"},
    "+ MASK_PATHS": {**OFF, "MASK_PATHS": [r"/reset/[^/]+/([0-9A-Za-z]+-[0-9A-Za-z]{20,})"]},
    "+ LOG_ROUTE": {**OFF, "LOG_ROUTE": True},
    "+ REQUEST_IDS": {**OFF, "REQUEST_IDS": True},
    "+ EXCLUDE_PATTERNS": {**OFF, "EXCLUDE_PATTERNS": [r"^/static/.*\.map$"]},
    "+ SHOULD_LOG_CALLABLE": {**OFF, "SHOULD_LOG_CALLABLE": "before.always"},
    "+ ANONYMIZE_IP": {**OFF, "ANONYMIZE_IP": True},
    "+ TRUSTED_PROXIES": {**OFF, "TRUSTED_PROXIES": ["10.0.0.0/8", "127.0.0.0/8"]},
    "+ IP_CALLABLE": {**OFF, "IP_CALLABLE": "before.address"},
}


def always(request, response):
    return True


def address(request):
    return "203.0.113.9"


def serve(source, directory, values):
    """Runs a turn for each line of standard input, in a process with one version and its settings."""
    import django
    import django_audit_logger
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse, JsonResponse
    from django.urls import path

    answer = {"items": [{"id": nth, "name": f"item {nth}", "price": nth * 1.5} for nth in range(20)]}
    urls = type("Urls", (), {"urlpatterns": [
        path("small", lambda request: HttpResponse("ok", content_type="text/plain")),
        path("order", lambda request: JsonResponse(answer)),
    ]})  # fmt: skip
    settings.configure(
        SECRET_KEY="bench", ALLOWED_HOSTS=["*"], ROOT_URLCONF=urls, USE_TZ=True, LOGGING_CONFIG=None,
        INSTALLED_APPS=["django_audit_logger"],
        MIDDLEWARE=[] if values is None else ["django_audit_logger.middleware.AuditLogMiddleware"],
        AUDIT_LOGGER={"LOG_FILE": f"{directory}/requests.log", **(values or {})},
    )
    django.setup()
    # Not the one that is installed.
    assert pathlib.Path(django_audit_logger.__file__).parents[1].samefile(source), source
    application = WSGIHandler()
    body = b'{"customer": 7, "password": "secret", "lines": [' + b'{"sku": "a-1", "n": 2}, ' * 40 + b"{}]}"
    for line in sys.stdin:
        request = ("GET", "/small") if line.strip() == "GET" else ("POST", "/order", body)
        environs = [environ(*request) for _ in range(TURN)]
        began = time.process_time()
        for one in environs:
            application(one, lambda status, headers: None).close()
        print((time.process_time() - began) / TURN * 1e6, flush=True)


def start(name, values, before, directory):
    source = pathlib.Path(before if name == "before" else HERE.parent, "src")
    pathlib.Path(directory, name).mkdir()
    return subprocess.Popen(
        [sys.executable, __file__, "serve", str(source), f"{directory}/{name}", json.dumps(values)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(source), str(HERE)]), "PYTHONHASHSEED": "0"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )


def turn(process, request):
    process.stdin.write(f"{request}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main():
    before, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 600
    named = sys.argv[3:] or CONTESTANTS
    wanted = tuple(dict.fromkeys(("without", "before", "features off", *named)))  # each of them once
    with tempfile.TemporaryDirectory() as directory:
        processes = {name: start(name, CONTESTANTS[name], before, directory) for name in wanted}
        times = {request: {name: [] for name in wanted} for request in REQUESTS}
        for nth in range(rounds + 2):
            names = wanted[nth % len(wanted) :] + wanted[: nth % len(wanted)]
            for request in REQUESTS:
                for name in names if nth % 2 else reversed(names):
                    took = turn(processes[name], request)
                    if nth >= 2:  # the first ones fill caches
                        times[request][name].append(took)
        for process in processes.values():
            process.stdin.close()
            process.wait()
    for request, by_name in times.items():
        report(request, by_name)


def report(request, times):
    bare = times["without"]
    cost = {name: statistics.median(map(operator.sub, values, bare)) for name, values in times.items()}
    calm = {name: calmest(values) - calmest(bare) for name, values in times.items()}
    print(f"{request}: {statistics.median(bare):.1f} µs without the middleware, and with it (median; calmest tenth)")
    for name in cost:
        if name == "without":
            continue
        share = f"{calm[name] - calm['features off']:+6.1f} µs" if name.startswith("+") else " " * 9
        print(
            f"  {name:<24}{cost[name]:7.1f} µs {share}  {cost[name] / cost['before']:5.2f} of before;"
            f"{calm[name]:7.1f} µs {calm[name] / calm['before']:5.2f}"
        )


def calmest(values):
    """Returns the time that a tenth of all rounds do not exceed: what else a machine does only adds time."""
    return statistics.quantiles(values, n=10)[0]


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:4], json.loads(sys.argv[4]))
    else:
        main()
