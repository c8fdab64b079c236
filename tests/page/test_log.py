"""Tests the log view: filters, pages, details, downloads and live lines."""

import csv
import datetime
import json
import shutil

import logs
import pytest
from daemon import wait

LIKE = "lower({}) LIKE lower('%{}%')"
FILTERS = [
    ("url", "/shop/2", "url LIKE '/shop/2%'"),
    ("url", "shop", "url LIKE '%shop%'"),
    ("url", "*hostile*", "url LIKE '%hostile%'"),
    ("code", "503", "code = 503"),
    ("code", "5xx", "code BETWEEN 500 AND 599"),
    ("code", "500-501", "code BETWEEN 500 AND 501"),
    ("code", ">=500", "code >= 500"),
    ("code", "301,503", "code IN (301, 503)"),
    ("method", "PATCH", "method = 'PATCH'"),
    ("user", "ann", "user_id = 'ann'"),
    ("address", "198.51.100.1", "user_ip = '198.51.100.1'"),
    ("address", "198.51.100.0/24", "user_ip IN ('198.51.100.0', '198.51.100.1', '198.51.100.2')"),
    ("server", "web1", "true"),
    ("server", "web2", "false"),
    ("host", "nowhere.example", "false"),
    ("agent", "shopper", LIKE.format("agent", "shopper")),
    ("agent", "<script>", LIKE.format("agent", "<script>")),
    ("text", "SHOPPER", LIKE.format("agent", "shopper")),
    ("text", "onerror=alert", f"({LIKE.format('agent', 'onerror=alert')} OR {LIKE.format('url', 'onerror=alert')})"),
]


def ids(site, more="true", table="gunicorn_log"):
    rows = site.ask(f"SELECT id FROM {table} WHERE {site.within} AND {more} ORDER BY timestamp DESC, id DESC")
    return [str(row[0]) for row in rows]


@pytest.mark.parametrize("field, value, where", FILTERS, ids=lambda value: str(value)[:20])
def test_each_filter_shows_its_rows(browser, site, field, value, where):
    browser.open(view="log", **site.range)
    browser.fill(field, value)
    assert browser.query[field] == value
    assert browser.ids() == ids(site, where)[:100]
    if not browser.ids():
        assert "No requests in this range" in browser.text(".empty")


def test_filters_add_up_and_are_cleared(browser, site):
    browser.open(view="log", **site.range)
    browser.fill("method", "PATCH")
    browser.fill("code", "404")
    assert browser.ids() == ids(site, "method = 'PATCH' AND code = 404")[:100]
    browser.anywhere(".bar .clear").click()
    browser.until(lambda: "code" not in browser.query, "an empty filter")
    assert browser.ids() == ids(site)[:100]


def test_a_cell_becomes_the_filter(browser, site):
    browser.open(view="log", agent="shopper", **site.range)
    for cell, field, where in (
        ("status", "code", "code = {}"), ("method", "method", "method = '{}'"), ("url", "url", "url LIKE '{}%'"),
        ("address", "address", "user_ip = '{}'"), ("user", "user", "user_id = '{}'"),
    ):
        browser.click(f"td.{cell} a")
        browser.until(lambda: field in browser.query, f"a filter of {field}")
        value = browser.query[field]
        assert browser.ids() == ids(site, f"agent LIKE '%shopper%' AND {where.format(value)}")
        browser.driver.back()
        browser.until(lambda: field not in browser.query, "the way back")


def test_pages_show_every_row_once_both_ways(browser, site):
    browser.open(view="log", **site.range)
    expected = ids(site)
    there = browser.ids()
    while True:
        older = browser.one(".tools .pager a:last-child")
        if older.get_attribute("aria-disabled"):
            break
        place = browser.query.get("before")
        older.click()
        browser.until(lambda: browser.query.get("before") != place, "an older page")
        there += browser.ids()
    assert there == expected

    back = [browser.ids()]
    while True:
        newer = browser.one(".tools .pager a:nth-child(2)")
        if newer.get_attribute("aria-disabled"):
            break
        place = browser.query.get("after")
        newer.click()
        browser.until(lambda: browser.query.get("after") != place, "a newer page")
        back.insert(0, browser.ids())
    assert [row for page in back for row in page] == expected
    browser.click(".tools .pager a:first-child")
    browser.until(lambda: "after" not in browser.query, "the newest page")
    assert browser.ids() == expected[:100]


def test_details_have_every_column(browser, site):
    browser.open(view="log", text="<script>", **site.range)
    row = browser.one("tr.entry")
    row.find_element("css selector", "td.open button").click()
    browser.settle()
    facts = dict(browser.run("return [...document.querySelectorAll('.detail .facts div')].map((it) => [it.children[0].textContent, it.children[1].textContent])"))
    number = row.get_attribute("data-id")
    url, agent, duration, offset = site.ask(f"SELECT url, agent, duration, log_offset FROM gunicorn_log WHERE id = {number}")[0]
    assert (facts["URL"], facts["User agent"], facts["Id"]) == (url, agent, number)
    assert facts["Offset"].replace(",", "") == str(offset)
    assert browser.query["row"] == number

    # The same address shows the same row, also if the row is not on this page of the list.
    browser.driver.refresh()
    browser.settle()
    assert facts["URL"] in browser.text(".detail .facts")
    browser.open(view="log", code="301", row=number, **site.range)
    assert facts["URL"] in browser.text(".alone .detail .facts")


def test_the_same_address_shows_the_same_page(browser, site):
    browser.open(view="log", method="PATCH", code=">=400", **site.range)
    browser.click("td.open button")
    browser.settle()
    shown, address = browser.ids(), browser.driver.current_url
    first = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    try:
        browser.driver.get(address)
        browser.settle()
        assert browser.ids() == shown
        assert browser.all(".detail .facts")
        assert browser.chips() == ["status:>=400", "method:PATCH"]
    finally:
        browser.driver.close()
        browser.driver.switch_to.window(first)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_download_has_the_rows(browser, site, kind):
    # Empty, since a download with the same name would replace a file.
    shutil.rmtree(browser.downloads, ignore_errors=True)
    browser.downloads.mkdir()
    browser.open(view="log", agent="shopper", **site.range)
    browser.click(f".downloads [data-key={kind}]")

    def finished():
        files = list(browser.downloads.iterdir())
        return len(files) == 1 and files[0].suffix == f".{kind}" and files[0].stat().st_size and files[0]

    path = wait(finished, "the download")
    text = path.read_text()
    rows = list(csv.DictReader(text.splitlines())) if kind == "csv" else [json.loads(line) for line in text.splitlines()]
    assert sorted(str(row["id"]) for row in rows) == sorted(ids(site, "agent LIKE '%shopper%'"))
    assert {row["agent"] for row in rows} == {"shopper/1.0"}
    assert {"timestamp", "method", "url", "code", "duration", "user_ip"} <= rows[0].keys()


def test_new_lines_are_shown_live_until_a_pause(browser, site):
    browser.open(view="log", agent="tail")
    assert browser.anywhere("#live").get_attribute("aria-pressed") == "true" and "live" not in browser.query
    wait(lambda: browser.text(".status").startswith("Live") or browser.all(".empty"), "the connection")

    def come(url):
        now = datetime.datetime.now(datetime.timezone.utc)
        site.append("access.log", logs.line(now, url, agent="tail <b>hostile</b>"))
        site.append("access.log", logs.line(now, "/other", agent="another"))

    for nth in range(3):
        come(f"/tail/{nth}")
        wait(lambda: f"/tail/{nth}" in browser.cells("url"), f"line {nth}")
    assert browser.cells("url")[:3] == ["/tail/2", "/tail/1", "/tail/0"]
    browser.click("td.open button")
    browser.settle()
    come("/tail/3")
    wait(lambda: "/tail/3" in browser.cells("url"), "a line above open details")
    assert browser.all(".detail .facts")

    browser.anywhere("#live").click()
    browser.until_query(live="0")
    shown = browser.cells("url")
    come("/tail/4")
    wait(lambda: site.number("SELECT count(*) FROM gunicorn_log WHERE url = '/tail/4'"), "the row")
    assert browser.cells("url") == shown
    browser.anywhere("#live").click()
    wait(lambda: "/tail/4" in browser.cells("url"), "what came meanwhile")
    urls = [url for url in browser.cells("url") if url.startswith("/tail/")]
    assert len(urls) == len(set(urls)) == 5


@pytest.mark.refused
@pytest.mark.parametrize("live", ["", "1"])
def test_an_invalid_filter_shows_its_error(browser, site, live):
    browser.open(view="log", code="many", live=live)
    wait(lambda: browser.all(".error"), "the reason")
    assert "This filter cannot be read" in browser.text(".error")
    assert "many" in browser.text(".error")
    browser.anywhere(".bar .clear").click()
    browser.until(lambda: "code" not in browser.query, "an empty filter")
    wait(lambda: not browser.all(".error"), "rows")
