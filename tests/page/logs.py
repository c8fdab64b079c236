"""Creates logs of the last hour, as a Gunicorn under attack and an application write them."""

import datetime
import json
import pathlib
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
            "session_id": f"s{nth}", "extra_data": {"tenant": {"name": text}},
        }).encode() + b"\n"
