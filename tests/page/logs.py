"""Creates logs of the last hour, as a Gunicorn under attack and an application write them."""

import datetime
import json
import math
import pathlib
import random
import re

CORPUS = pathlib.Path(__file__).parents[2] / "fixtures" / "corpus"
STAMP = re.compile(rb"\[\d\d/\w{3}/\d{4}:[^\]]*\]")

# The tests would detect each of these if a log's value became markup of the page.
HOSTILE = [
    "<script>window.harm = 1; alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>",
    "javascript:alert(1)",
    "{{constructor.constructor('alert(1)')()}}",
    "</title></style></script><script>alert(1)</script>",
    "\u202egnirts\u202c",
    "a" * 3000,
]


# The name of a file that is ignored: it holds no complete line.
IGNORED = "<img src=x onerror=alert(1)>.log"


def stamp(time):
    return time.strftime("[%d/%b/%Y:%H:%M:%S +0000]").encode()


def corpus(name, now, seconds=3000):
    """Returns the lines of a corpus, with their times spread evenly over the last `seconds`."""
    lines = (CORPUS / name / "access.log").read_bytes().splitlines(keepends=True)
    for nth, line in enumerate(lines):
        ago = datetime.timedelta(seconds=seconds * (len(lines) - nth) / len(lines))
        yield STAMP.sub(stamp(now - ago), line)


def line(time, url="/", code=200, agent="me", method="GET", address="203.0.113.9", user="-", took=1500, size=2):
    agent = agent.replace('"', '\\"')
    return (
        f'{address} - {user} {stamp(time).decode()} "{method} {url} HTTP/1.1" {code} {size} '
        f'"https://example.com/" "{agent}" {took}µs\n'
    ).encode()


def access(now):
    minute = datetime.timedelta(minutes=1)
    # With a unit: a number alone would be no duration.
    for text in corpus("default-with-microseconds", now):
        yield text.rstrip(b"\n") + "µs\n".encode()
    for nth, text in enumerate(HOSTILE):
        yield line(now - nth * minute, f"/hostile/{nth}?q={text.replace(' ', '+').replace(chr(34), '%22')}", 404, text)
    for nth in range(40):
        code = [200, 301, 404, 500, 503][nth % 5]
        yield line(now - nth * minute, f"/shop/{nth % 4}", code, "shopper/1.0", "PATCH", f"198.51.100.{nth % 3}", "ann", nth * 10_000)
    yield b"this is no line of an access log <script>alert(1)</script>\n"
    yield b'127.0.0.1 - - [oops] "GET / HTTP/1.1" 200 2 "-" "\xff\xfe<img src=x onerror=alert(1)>" 5\xc2\xb5s\n'


def requests(now):
    for nth in range(130):
        text = HOSTILE[nth % len(HOSTILE)]
        yield json.dumps({
            "log": "request", "timestamp": (now - datetime.timedelta(seconds=20 * nth)).isoformat(),
            "method": ["GET", "POST"][nth % 2], "path": f"/api/{nth % 7}", "query_params": f"q={text}",
            "headers": {"Accept": "application/json", "X-Text": text, "User-Agent": text},
            "body": json.dumps({"note": text, "items": [nth, {"deep": None}]}), "content_type": "application/json",
            "status_code": [200, 404, 500][nth % 3], "response_headers": {"Content-Type": "text/html"},
            "response_body": f"<h1>{text}</h1>\n\tand more", "response_time_ms": nth + 0.25,
            "ip_address": f"203.0.113.{nth % 5}", "user_id": ["jo", "ann", text[:40]][nth % 3], "user_agent": text,
            "session_id": f"s{nth}", "extra_data": {"tenant": {"name": text}}, **names(nth),
        }).encode() + b"\n"
    # The access lines of the newest.
    for nth in range(3):
        yield json.dumps({
            "log": "gunicorn", "timestamp": (now - datetime.timedelta(seconds=20 * nth)).isoformat(),
            "method": "GET", "url": f"/api/{nth}", "code": 200, **names(nth),
        }).encode() + b"\n"


def names(nth):
    return {"route": f"api/<int:pk>/{nth % 2}", "request_id": f"r-{nth}", "trace_id": f"{nth + 1:032x}"}


# Pages of a shop: path, how often it is asked for, typical microseconds. `{}` is the number of a product.
PAGES = [
    ("/", 20, 9_000), ("/products/", 16, 24_000), ("/products/{}/", 30, 18_000), ("/search/?q=lamp", 8, 70_000),
    ("/search/?q=chair", 5, 64_000), ("/cart/", 9, 15_000), ("/checkout/", 4, 120_000), ("/api/orders/", 7, 45_000),
    ("/login/", 3, 210_000), ("/health/", 6, 700), ("/favicon.ico", 3, 400), ("/wp-login.php", 1, 900),
]
MISSING = {"/favicon.ico", "/wp-login.php"}
BROWSERS = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "python-requests/2.32.3",
]


def shop(now, minutes=360):
    """Returns the access lines of a shop up to `now`, with a quarter of an hour in which its checkout fails.
    No person's data: addresses are those for documents (RFC 5737), and the rest is random."""
    dice = random.Random(7)
    paths, weights, times = zip(*PAGES)
    for minute in range(minutes):
        begin = now - datetime.timedelta(minutes=minutes - minute)
        failing = minutes - 100 <= minute < minutes - 85
        for _ in range(int(dice.gauss(60 + 25 * math.sin(minute / 60), 5))):
            (at,) = dice.choices(range(len(paths)), weights)
            url, took = paths[at].format(dice.randint(100, 130)), times[at] * dice.lognormvariate(0, 0.6)
            code, method = 404 if url in MISSING else 200, "GET"
            if url in ("/checkout/", "/login/"):
                code, method = 302, "POST"
            elif dice.random() < 0.02:
                code = dice.choice([301, 304, 403, 404])
            if failing and (url in ("/checkout/", "/api/orders/") or dice.random() < 0.3):
                code, took = dice.choice([500, 502, 503]), took + 2_000_000
            address = f"{dice.choice(['192.0.2', '198.51.100', '203.0.113'])}.{min(int(dice.expovariate(0.02)) + 1, 254)}"
            user = dice.choice(["ann", "jo", "kim", "sam"]) if dice.random() < 0.3 else "-"
            yield line(
                begin + datetime.timedelta(seconds=dice.randrange(60)), url, code, dice.choices(BROWSERS, [5, 6, 4, 1])[0],
                method, address, user, int(took), "-" if code == 304 else dice.randint(800, 30_000),
            )
