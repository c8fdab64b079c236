"""Tests the file of `log-ingestd report` from the disk: its numbers are the page's, and it asks for nothing."""

import base64
import datetime
import json
import pathlib
import subprocess

import logs
import pytest
from daemon import PROGRAM, Site, wait
from stores import Sqlite
from test_frame import AXE, PHONE, SCHEMES


@pytest.fixture(scope="module")
def report(site, tmp_path_factory):
    file = tmp_path_factory.mktemp("report") / "report.html"
    wait(lambda: site.number("SELECT count(*) FROM ignored_file"), "the list of ignored files")
    write(site, file, site.range["from"], site.range["to"])
    return file


def write(site, file, since, until):
    subprocess.run(
        [PROGRAM, "report", "--since", since, "--until", until, "--output", str(file), "--config", "/dev/null"], check=True,
        env={"DATABASE_URL": site.store.url, "HOME": str(file.parent)}, stdout=subprocess.DEVNULL)


@pytest.fixture
def opened(chromium, site, report, request):
    """Provides the browser on the file; it must have asked for nothing else, and run nothing."""
    chromium.site = site
    chromium.show(**getattr(request, "param", {}))
    chromium.driver.get_log("performance")
    chromium.driver.get(report.as_uri())
    yield chromium
    seen = chromium.run("return window.seen")
    assert seen["violations"] == [] and seen["alerts"] == [] and seen["errors"] == [], seen
    assert chromium.run("return [window.harm, document.scripts.length]") == [None, 0]
    asked = [json.loads(entry["message"])["message"] for entry in chromium.driver.get_log("performance")]
    urls = {it["params"]["request"]["url"] for it in asked if it["method"] == "Network.requestWillBeSent"}
    assert urls <= {report.as_uri(), "about:blank"}, urls
    assert [entry for entry in chromium.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    chromium.show()


TILES = "return [...document.querySelectorAll('.tiles > div')].slice(0, 7).map((it) => [...it.querySelectorAll(':scope > :not([data-diff])')].map((cell) => [...cell.childNodes].filter((it) => it.nodeName !== 'BUTTON').map((it) => it.textContent).join('').trim()))"
LEGENDS = "return [...document.querySelectorAll('.legend li')].map((it) => it.textContent)"
LISTS = """return Object.fromEntries([...document.querySelectorAll('.tops .panel')].map((panel) => [
    panel.querySelector('h2').textContent,
    [...panel.querySelectorAll('tbody tr')].slice(0, 8).map((row) => [...row.children].map((cell) => cell.textContent))]))"""


def test_its_numbers_are_those_of_the_page(opened, report):
    tiles, lists = opened.run(TILES), opened.run(LISTS)
    assert int(tiles[0][1].replace(",", "")) > 1500
    legends = opened.run(LEGENDS)
    opened.open(**opened.site.range)
    shown = opened.run(TILES)
    assert tiles == shown
    of_page = opened.run(LEGENDS)  # it has more: what was before, and the heat map
    assert len(legends) > 2 and [it for it in of_page if it in legends] == legends
    page = opened.run(LISTS)
    for title in ("URLs", "Slowest URLs", "Addresses", "Users", "Hosts"):
        numbers = [row[1:] for row in lists[title]]
        assert numbers == [row[1:] for row in page[title]], title
        assert len(numbers) > 0, title
    opened.driver.get_log("performance")  # what the page has asked for
    opened.driver.get(report.as_uri())


@pytest.fixture
def hostile(report):
    """Replaces the report by one of a log in which nearly every value is hostile."""
    now = datetime.datetime.now(datetime.timezone.utc)
    lines = [logs.line(now, f"/{nth}?{text.replace(' ', '+')}", 500, text) for nth, text in enumerate(logs.HOSTILE)]
    site = Site(Sqlite, {"access.log": [*lines, b"rejected <script>alert(1)</script>\n"], logs.IGNORED: [b"half a line"]})
    wait(lambda: site.number("SELECT count(*) FROM ignored_file"), "the list of ignored files")
    before = report.read_bytes()
    write(site, report, "1h", "1s")
    yield
    report.write_bytes(before)
    site.close()


def test_values_of_the_log_are_text(hostile, opened):
    shown = opened.run("return document.body.textContent")
    for text in (*logs.HOSTILE[:5], "rejected <script>alert(1)</script>", logs.IGNORED):
        assert text in shown
    assert opened.run("return document.querySelectorAll('script, img, iframe, object, [style], [onerror], a').length") == 0


@pytest.mark.parametrize("opened", [
    {"scheme": scheme, "still": True, **size} for scheme in SCHEMES for size in ({}, PHONE)
], indirect=True, ids=["light-desk", "light-phone", "dark-desk", "dark-phone"])
def test_it_is_accessible_and_fits_its_window(opened):
    opened.run(AXE)
    found = opened.driver.execute_async_script("""
        const done = arguments[arguments.length - 1];
        axe.run(document, {resultTypes: ['violations']}).then((it) => done(it.violations.map(
            ({id, impact, nodes}) => [impact, id, nodes.slice(0, 3).map((node) => node.html.slice(0, 200) + node.failureSummary)])));
    """)
    assert [it for it in found if it[0] in ("serious", "critical")] == []
    wide, window = opened.run("return [document.scrollingElement.scrollWidth, innerWidth]")
    assert wide <= window
    charts = opened.run("return [...document.querySelectorAll('svg.axes path')].filter((it) => it.getBBox().height > 1).length")
    assert charts >= 6, "nothing is drawn"


def test_it_is_printed_light_and_on_a_few_pages(opened, tmp_path_factory):
    opened.show(width=700, scheme="dark")
    pdf = base64.b64decode(opened.cdp("Page.printToPDF", printBackground=False)["data"])
    path = tmp_path_factory.mktemp("print") / "report.pdf"
    path.write_bytes(pdf)
    pages = pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") + pdf.count(b"/Type /Page/")
    assert 1 <= pages <= 8, pages
    opened.cdp("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert opened.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    wide, window = opened.run("return [document.scrollingElement.scrollWidth, innerWidth]")
    assert wide <= window
    opened.cdp("Emulation.setEmulatedMedia", media="")


def test_it_is_small(report):
    assert len(pathlib.Path(report).read_bytes()) < 200_000
