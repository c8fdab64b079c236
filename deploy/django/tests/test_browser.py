"""Looks at the admin in a real Chromium: at no width is anything wider than the window, or cut."""

import json
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

from .server import PROJECT
from .stores import environment, schema
from .test_admin import ago

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
except ImportError:
    webdriver = None

FLAGS = "--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run"
WIDTHS = (1400, 390)
LOGS = "django_audit_logger"
PAGES = (
    "", f"{LOGS}/", *(f"{LOGS}/{model}/{rest}" for model in ("requestlog", "gunicornlogmodel") for rest in (
        "", "?q=%2F", "?q=" + "x" * 300, "?period=any&status=error&method=GET", "?p=2", "1/change/", "2/change/", "4/change/",
    )),
)  # fmt: skip
# What reaches over an edge of the window, what scrolls sideways or is cut at its right edge, and cells whose text
# reaches into the next one; but for what is hidden and for cut lines that end with an ellipsis.
TOO_WIDE = """
const width = document.documentElement.clientWidth, found = [];
if (document.documentElement.scrollWidth > width) found.push(`page ${document.documentElement.scrollWidth}`);
for (const it of document.querySelectorAll('body *')) {
    const box = it.getBoundingClientRect(), style = getComputedStyle(it);
    if (!box.width || !box.height || style.visibility === 'hidden' || it.closest('.visually-hidden, input')) continue;
    const name = `${it.tagName} .${it.className} #${it.id}`;
    if (box.left < -1 || box.right > width + 1) found.push(`${name} ${box.left} to ${box.right}`);
    else if (it.scrollWidth > it.clientWidth + 1 && (it.closest('tbody') || style.overflowX !== 'visible')) found.push(`${name} ${it.scrollWidth}`);
}
return [width, found];
"""
# The visible part of a word of a table's head or of a short value is one line.
LINES = """
const lines = (it) => { const range = document.createRange(); range.selectNodeContents(it);
    return new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size; };
return [...document.querySelectorAll('#result_list tbody :is(.field-time, .field-method, .field-code, .field-status_code)')]
    .filter((it) => lines(it) !== 1).map((it) => it.textContent);
"""


def fill(path):
    """Makes rows with texts that have no place to break, and with none at all."""
    database = sqlite3.connect(path)
    database.executescript(schema("sqlite"))
    word, address = "longpathwithoutbreaks" * 40, "2001:db8:1111:2222:3333:4444:5555:6666"
    long = json.dumps({"x-" + "n" * 200: "y" * 600, "host": "h"})
    kinds = (
        ("GET", "/api/v1/orders/12345", 200, 1.234, "jo", "203.0.113.9"),
        ("PROPPATCH", f"/a/{word}", 500, 12345678.901, "u" * 120, address),
        ("OPTIONS", "/admin/django_audit_logger/requestlog/", 404, 0, "someone.with.a.name@example-company.co.uk", address),
        (None, None, None, None, None, None),
    )
    tables = (
        ("request_log", "path", "status_code", "response_time_ms", "ip_address",
         ("query_params", "body", "response_body", "user_agent"), ("headers", "response_headers", "extra_data")),
        ("gunicorn_log", "url", "code", "duration", "user_ip", ("agent", "source", "host"),
         ("headers", "request", "response")),
    )  # fmt: skip
    for nth in range(130):
        method, text, code, took, user, ip = kinds[nth % len(kinds)]
        for table, place, status, duration, client, texts, objects in tables:
            values = {
                "id": nth + 1, "timestamp": ago(minutes=1), "log_file": 1, "log_offset": nth, "method": method,
                place: text, status: code, duration: took, "user_id": user, client: ip,
            }
            if method is not None:
                values.update(dict.fromkeys(texts, f"<{word}>"), **dict.fromkeys(objects, long))
            marks = ", ".join("?" * len(values))
            database.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", [*values.values()])
    database.commit()
    database.close()


@unittest.skipUnless(webdriver and shutil.which("chromium"), "selenium and chromium are not installed")
class Admin(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        cls.addClassCleanup(directory.cleanup)
        cls.directory = pathlib.Path(directory.name)
        fill(cls.directory / "logs.sqlite3")
        logs = dict.fromkeys(("USER", "PASSWORD", "HOST", "PORT"), "")
        logs.update(ENGINE="django.db.backends.sqlite3", NAME=cls.directory / "logs.sqlite3")
        variables = {
            **environment(logs), "DJANGO_SETTINGS_MODULE": "tests.browsed", "PYTHONWARNINGS": "ignore",
            "TEST_DATABASE": str(cls.directory / "default.sqlite3"), "DJANGO_SUPERUSER_PASSWORD": "hush",
        }

        def manage(*arguments):
            return subprocess.Popen(
                [sys.executable, "-m", "django", *arguments], cwd=PROJECT, env=variables,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )

        assert manage("migrate").wait() == 0
        user = ("--username=root", "--email=root@example.com")
        assert manage("createsuperuser", "--noinput", *user).wait() == 0
        reserved = socket.socket()
        cls.addClassCleanup(reserved.close)
        # Bound and not listening: the server may take this port, and others do not get it.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        cls.site = "http://127.0.0.1:{}/admin/".format(reserved.getsockname()[1])
        server = manage("runserver", "--noreload", cls.site.split("/")[2])
        cls.addClassCleanup(server.wait)
        cls.addClassCleanup(server.terminate)
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in (*FLAGS.split(), f"--user-data-dir={cls.directory}/profile"):
            options.add_argument(flag)
        cls.browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        cls.addClassCleanup(cls.browser.quit)
        cls.log_in()

    @classmethod
    def log_in(cls):
        deadline = time.monotonic() + 60
        while True:
            try:
                cls.browser.get(cls.site)
                cls.browser.find_element(By.NAME, "username").send_keys("root")
                break
            # Until the server listens.
            except Exception:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        cls.browser.find_element(By.NAME, "password").send_keys("hush\n")
        while not cls.browser.find_elements(By.ID, "user-tools"):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def look(self, page, width):
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500,
        })
        self.browser.get(self.site + page)
        if "BROWSER_SHOTS" in os.environ:
            name = "".join(it if it.isalnum() else "-" for it in page[-60:]) or "index"
            self.browser.save_screenshot(f"{os.environ['BROWSER_SHOTS']}/{width}{name}.png")

    def test_nothing_is_wider_than_the_window_or_cut(self):
        for width in WIDTHS:
            for page in PAGES:
                self.look(page, width)
                shown, found = self.browser.execute_script(TOO_WIDE)
                # A scroll bar at its right may take some of the width.
                self.assertGreater(shown, width - 20)
                self.assertEqual(found, [], (width, page))

    def test_a_list_shows_every_column_of_every_row_at_once(self):
        for width in WIDTHS:
            for model, address in (("requestlog", "ip_address"), ("gunicornlogmodel", "user_ip")):
                self.look(f"{LOGS}/{model}/", width)
                self.assertEqual(self.browser.execute_script(LINES), [])
                rows = self.browser.find_elements(By.CSS_SELECTOR, "#result_list tbody tr")
                self.assertEqual(len(rows), 100)
                columns = len(rows[0].find_elements(By.CSS_SELECTOR, "th, td"))
                for row in rows[:8]:
                    cells = row.find_elements(By.CSS_SELECTOR, "th, td")
                    self.assertEqual(len([it for it in cells if it.is_displayed()]), columns)
                self.assertIn("2001:db8:1111:2222:3333:4444:5555:6666", {
                    it.text.replace("\n", "") for it in self.browser.find_elements(By.CLASS_NAME, f"field-{address}")
                })
