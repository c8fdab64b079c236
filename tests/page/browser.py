"""Controls a real Chromium. Tests wait for conditions, never for a fixed time."""

import json
import pathlib
import shutil
import tempfile
import urllib.parse

from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from daemon import wait

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run
--disable-background-networking --disable-component-update --disable-sync --window-size=1440,1000""".split()
KEYS = Keys

# Runs in each page before the page's own scripts.
WITNESS = """
window.seen = {violations: [], alerts: [], errors: [], shift: 0};
document.addEventListener('securitypolicyviolation', (e) => seen.violations.push(`${e.violatedDirective} ${e.blockedURI}`));
window.alert = (text) => seen.alerts.push(String(text));
addEventListener('error', (e) => seen.errors.push(e.message));
addEventListener('unhandledrejection', (e) => seen.errors.push(String(e.reason)));
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) seen.shift += entry.value;
}).observe({type: 'layout-shift', buffered: true});
"""
BUSY = "return document.querySelector('main > section:not([hidden]) [aria-busy], main > section[aria-busy]:not([hidden])') || !document.body.dataset.view"


class Browser:
    def __init__(self, *flags):
        self.directory = tempfile.TemporaryDirectory(prefix="page-chromium-", ignore_cleanup_errors=True)
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        self.downloads = pathlib.Path(self.directory.name) / "downloads"
        for flag in [*FLAGS, *flags, f"--user-data-dir={self.directory.name}/profile"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source=WITNESS)
        self.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))
        self.site = None

    def cdp(self, method, **arguments):
        return self.driver.execute_cdp_cmd(method, arguments)

    def close(self):
        self.driver.quit()
        self.directory.cleanup()

    # Where it is

    def open(self, **query):
        """Opens a view by its address and waits for its data."""
        self.driver.get(f"{self.site.address}?{urllib.parse.urlencode(query)}")
        self.settle()

    def settle(self):
        wait(lambda: not self.run(BUSY), "the data of the page")

    @property
    def query(self):
        return dict(urllib.parse.parse_qsl(urllib.parse.urlparse(self.driver.current_url).query))

    def until(self, condition, what):
        """Waits for the condition, and for the data that is loaded because of it."""
        value = wait(condition, what)
        self.settle()
        return value

    @property
    def nots(self):
        """Returns the terms of the address that must not hold."""
        return urllib.parse.parse_qs(urllib.parse.urlparse(self.driver.current_url).query).get("not", [])

    def until_query(self, **wanted):
        self.until(lambda: all(self.query.get(key) == value for key, value in wanted.items()), f"{wanted} in the address")

    # What is there

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, f"section:not([hidden]) {selector}")

    def one(self, selector):
        found = self.all(selector)
        assert found, f"nothing is {selector}"
        return found[0]

    def anywhere(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).textContent", f"section:not([hidden]) {selector}")

    def ids(self):
        return self.run("return [...document.querySelectorAll('section:not([hidden]) tr.entry')].map((row) => row.dataset.id)")

    def cells(self, name):
        return self.run(
            "return [...document.querySelectorAll(`section:not([hidden]) tr.entry td.${arguments[0]}`)].map((it) => it.textContent)", name)

    # What is done

    def actions(self):
        return ActionChains(self.driver, duration=50)

    def keys(self, *keys):
        self.actions().send_keys(*keys).perform()

    def click(self, selector):
        self.one(selector).click()

    def fill(self, field, value, sense=""):
        """Adds a term to the filter, as a person types it; `sense` is a minus if it must not hold."""
        self.anywhere(".bar [name=filter]").send_keys(f"{sense}{field}:{value}", Keys.ENTER)
        self.settle()

    def chips(self):
        """Returns the terms of the filter as they can be typed."""
        return self.run("return [...document.querySelectorAll('.chip')].map((it) => it.dataset.term)")

    def show(self, width=1440, height=1000, scheme="light", still=False, phone=False):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        motion = "reduce" if still else "no-preference"
        self.cdp("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": motion}])

    # What must never be

    def verdict(self, refused=False):
        """Asserts that the page has done nothing forbidden since it was opened."""
        seen = self.run("return window.seen")
        assert seen["violations"] == [] and seen["alerts"] == [] and seen["errors"] == [], seen
        assert self.run("return window.harm") is None
        assert self.run("return [...document.scripts].map((it) => it.getAttribute('src'))") == ["assets/main.js"]
        said = [entry for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
        if refused:
            said = [entry for entry in said if "Failed to load resource" not in entry["message"]]
        assert said == [], said
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                assert url.startswith((self.site.address, "data:", "about:", "chrome:")), url
