"""Sends requests of every kind, with secrets and with attempts to forge a log line."""

import base64
import json
import os
import pathlib
import shutil
import signal
import subprocess
import urllib.parse

# Part of every secret of the load. Only letters and digits, so that no escape changes it.
SECRET = "Zk7qSecret9x"
_LINE = '127.0.0.1 - "GET /forged HTTP/1.1" 200'  # as Uvicorn writes them
_JSON = '{"log":"gunicorn","timestamp":"2026-11-24T00:00:00+00:00","url":"/forged","code":200}'
NAMES = (
    'jo"\n' + _LINE + "\n",
    "jo\r\n" + _JSON + "\r\n",
    "jo\\n" + _JSON,
    'jo"}\n' + _JSON + "\n{\"log\":\"gunicorn\",\"user_id\":\"",
    'jo] [x] "y" \\ \\" \\\\',
    "jo\x01\x02\x1b[31m\x7f\x85\u2028\t\x0b\x0c",
    "jo\x00\ufffd",
    "jo ünï 🎉 \u202e",
    "- ' '' $$ $1 %s %(h)s \\. \\N",
)
AGENTS = ('me "quoted" \\ \\" \\x22 \\n', "me [x] {y}", "Mozilla/5.0 (X11; Linux) \\", "-")
THREADS = 2
# More than connections: requests that are under way when a thread stops are not counted as answered.
SPARE = 100
MORE = THREADS * SPARE + 1


class Request:
    """One request, with the values that its rows must have; ``raw`` has the bytes to send."""

    def __init__(self, number):
        self.number = number
        self.user = self.agent = None
        self.method, self.path, self.status = "GET", "/hello", 200
        query, headers, body = f"id={number}", {"Host": "localhost"}, ""
        secret = f"{SECRET}{number}"
        kind = number % 10
        if kind in (0, 1, 2):
            query += f"&token={secret}&Access_Key={secret}&user%5Bsecret%5D={secret}&page=1"
            headers["Referer"] = f"http://localhost/x?password={secret}"
        elif kind in (3, 4):
            self.method, self.path = "POST", "/echo"
            headers["Content-Type"] = "application/json"
            body = json.dumps({
                "a": [{"password": secret, "b": {"secret": {"c": [secret]}}}], "ToKeN": [secret],
                "access_key": {"id": 7, "key": secret}, "note": f"\n{_JSON}\n",
            }) + f"\n{_JSON}\n"
        elif kind in (5, 6):
            self.method, self.path = "POST", "/echo"
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            query += f"&how={'form' if kind == 5 else 'body'}"
            body = urllib.parse.urlencode({"n": 1, "access_key": secret, "user[password]": secret})
        elif kind == 7:
            self.path, self.status = f"/nowhere/{number}\n{_JSON}\n", 404
            query += f"&secret={secret}"
        elif kind == 8:
            self.path, self.status = "/fail", 500
            query += f"&secret={secret}"
        else:
            self.path = "/login"
        if number % 3 == 0:
            credentials = f"{number}{NAMES[number // 3 % len(NAMES)]}:{secret}"
            # A name ends at its first colon. Neither database can store NUL in a text.
            self.user = credentials.partition(":")[0].replace("\0", "\ufffd")
            credentials = credentials.encode()
            headers["Authorization"] = "Basic " + base64.b64encode(credentials).decode()
        elif number % 3 == 1:
            headers["Authorization"] = f"Bearer {secret}"
        if number % 2:
            headers["Cookie"] = f"sessionid={secret}; theme=dark; other={secret}"
            headers["X-Api-Key"] = secret
            self.agent = headers["User-Agent"] = AGENTS[number // 2 % len(AGENTS)]
        if body:
            headers["Content-Length"] = len(body)
        self.url = f"{urllib.parse.quote(self.path)}?{query}"
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.raw = f"{self.method} {self.url} HTTP/1.1\r\n{head}\r\n{body}".encode()


def send(url, first, count, directory):
    """Sends ``count`` requests with wrk, and returns all that may have been sent, and the answers.

    They are numbered from ``first``, and fewer than ``count + MORE`` numbers are used.
    """
    program = shutil.which("wrk")
    if program is None:
        raise RuntimeError("wrk is not installed: apt-get install wrk")
    requests, each = {}, count // THREADS
    for nth in range(THREADS):
        start = first + nth * (each + SPARE)
        batch = [Request(number) for number in range(start, start + each + SPARE)]
        requests.update((request.number, request) for request in batch)
        with open(directory / f"load-{nth}", "wb") as file:
            file.write(b"%d\n" % each)
            file.writelines(b"%d\n%b" % (len(request.raw), request.raw) for request in batch)
    command = [program, f"-t{THREADS}", "-c12", "-d600", "--timeout=60"]
    with subprocess.Popen(
        [*command, "-s", str(pathlib.Path(__file__).with_suffix(".lua")), url],
        env={**os.environ, "LOAD_FILES": str(directory / "load-")},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as wrk:
        said, answered = "", 0
        # wrk waits for the end of its time, also if its threads have stopped.
        while answered < each * THREADS:
            line = wrk.stdout.readline()
            if not line:
                raise AssertionError(f"wrk gave up: {said}")
            said += line
            if line.startswith("answered "):
                answered += int(line.split()[1])
        wrk.send_signal(signal.SIGINT)
        said += wrk.communicate(timeout=60)[0]
    return requests, answered
