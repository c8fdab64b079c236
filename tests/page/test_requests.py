"""Tests the requests view: headers and bodies are formatted, and cannot run a script."""

import json

import pytest
from test_log import ids


@pytest.mark.parametrize("field, value, where", [
    ("url", "/api/3", "path LIKE '/api/3%'"),
    ("code", "404", "status_code = 404"),
    ("code", "5xx", "status_code BETWEEN 500 AND 599"),
    ("method", "POST", "method = 'POST'"),
    ("user", "ann", "user_id = 'ann'"),
    ("address", "203.0.113.2", "ip_address = '203.0.113.2'"),
    ("agent", "<img", "user_agent LIKE '%<img%'"),
    ("server", "web2", "false"),
    ("route", "api/<int:pk>/1", "route = 'api/<int:pk>/1'"),
    ("request_id", "r-7", "request_id = 'r-7'"),
    ("trace_id", f"{8:032x}", "request_id = 'r-7'"),
])
def test_each_filter_shows_its_rows(browser, site, field, value, where):
    browser.open(view="requests", **site.range)
    browser.fill(field, value)
    assert browser.ids() == ids(site, where, "request_log")[:100]


def test_pages_show_every_row_once(browser, site):
    browser.open(view="requests", **site.range)
    there = browser.ids()
    browser.click(".tools .pager a:last-child")
    browser.until(lambda: "before" in browser.query, "an older page")
    assert there + browser.ids() == ids(site, table="request_log")


def test_bodies_are_laid_out_and_run_nothing(browser, site):
    browser.open(view="requests", **site.range)
    for nth in range(8):
        entry = browser.all("tr.entry")[nth]
        entry.find_element("css selector", "td.open button").click()
        browser.settle()
        blocks = dict(browser.run("""return [...document.querySelectorAll('.detail .block')].map(
            (it) => [it.querySelector('h3').firstChild.textContent, it.lastElementChild.textContent])"""))
        body, answer = site.ask(f"SELECT body, response_body FROM request_log WHERE id = {entry.get_attribute('data-id')}")[0]
        # Invisible characters are shown as JSON escapes, so the parsed value is the same.
        assert json.loads(blocks["Request body"]) == json.loads(body)
        assert blocks["Request body"].startswith('{\n  "note": "')
        if "\u202e" not in answer:
            assert blocks["Response body"] == answer
        assert "tenant" in blocks["Further data"]
        assert "Accept" in blocks["Request headers"]
        # Direction marks are shown and have no effect.
        assert "\u202e" not in browser.text(".detail")
        entry.find_element("css selector", "td.open button").click()
    assert browser.run("return document.querySelectorAll('main :is(script, img, iframe, style, object, base)').length") == 0


def test_the_rows_of_a_request_in_both_logs_are_linked(browser, site):
    browser.open(view="requests", request_id="r-1", code="404", **site.range)
    for view, table, label in (
        ("log", "gunicorn_log", "Access log of this request"), ("requests", "request_log", "Request log of this request"),
    ):
        browser.click("td.open button")
        browser.settle()
        assert browser.text(".counterpart") == label
        browser.click(".counterpart")
        browser.until(lambda: browser.query.get("view") == view, view)  # noqa: B023
        assert browser.query["request_id"] == "r-1" and "code" not in browser.query
        assert browser.ids() == ids(site, "request_id = 'r-1'", table)
        assert len(browser.ids()) == 1
    # A row without an id has no such link.
    browser.open(view="log", agent="shopper", **site.range)
    browser.click("td.open button")
    browser.settle()
    assert "of this request" not in browser.text(".detail")


def test_a_download_is_of_the_right_table(browser, site):
    browser.open(view="requests", **site.range)
    assert "table=requests" in browser.one(".downloads [data-key=csv]").get_attribute("href")
