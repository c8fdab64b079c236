"""Tests how lines are read: the histogram above them, their columns and order, what a click on a value does, and the whole
story of a request."""

import datetime

import pytest
from browser import KEYS
from daemon import wait
from test_log import ids
from test_modules import value
from test_overview import count, legend, plot, whole


def shown(browser):
    return browser.run("return [...document.querySelectorAll('section:not([hidden]) thead th')].slice(1).map((it) => it.firstChild.textContent)")


def test_a_histogram_counts_what_the_list_has(browser, site):
    browser.open(view="log", **site.range)
    for name, (low, high) in {"5xx": (500, 599), "2xx": (200, 299)}.items():
        assert whole(legend(browser, "histogram")[name]) == count(site, f"code BETWEEN {low} AND {high}")
    browser.fill("agent", "shopper")
    expected = count(site, "agent LIKE '%shopper%'")
    assert browser.text("[data-chart=histogram] .unit") == f"{expected}, per minute"
    assert len(browser.ids()) == expected
    browser.click("[data-chart=histogram] [data-filter='5xx']")
    browser.until_query(code="5xx", agent="shopper")
    assert browser.ids() == ids(site, "agent LIKE '%shopper%' AND code >= 500")


def test_a_click_in_the_histogram_shows_the_lines_there(browser, site):
    browser.open(view="log", tz="utc", agent="shopper", **site.range)
    place, width = plot(browser, "histogram")
    browser.actions().move_to_element_with_offset(place, width // 2 - 30, 0).perform()
    moment = datetime.datetime.fromisoformat(browser.text("[data-chart=histogram] .time"))
    browser.actions().click().perform()
    end = moment + datetime.timedelta(minutes=1)
    browser.until_query(**{"from": f"{moment:%Y-%m-%dT%H:%M:%SZ}", "to": f"{end:%Y-%m-%dT%H:%M:%SZ}"})
    assert len(browser.ids()) == count(site, "agent LIKE '%shopper%'", f"timestamp >= '{moment}' AND timestamp < '{end}'") > 0
    browser.driver.back()
    browser.until_query(**site.range)
    place, width = plot(browser, "histogram")
    actions = browser.actions().move_to_element_with_offset(place, 0, 0).click_and_hold()
    actions.move_to_element_with_offset(place, width // 4, 0).move_to_element_with_offset(place, width // 2 - 20, 0).release().perform()
    browser.until(lambda: browser.query["from"] > site.range["from"], "the zoom")
    assert browser.query["view"] == "log"


def test_columns_are_chosen_and_stay_in_the_address(browser, site):
    browser.open(view="log", **site.range)
    usual = shown(browser)
    browser.click("[data-key=columns]")
    for name in ("user", "request_id", "protocol"):
        browser.anywhere(f"#columns [name={name}]").click()
        browser.settle()
    expected = [name for name in usual if name != "User"] + ["Request id", "Protocol"]
    assert shown(browser) == expected
    browser.driver.refresh()
    browser.settle()
    assert shown(browser) == expected
    row = browser.ids()[0]
    protocol, request = site.ask(f"SELECT protocol, request_id FROM gunicorn_log WHERE id = {row}")[0]
    assert (browser.cells("protocol")[0], browser.cells("request_id")[0]) == (protocol or "–", request or "–")
    browser.click("[data-key=columns]")
    browser.anywhere("#columns > button").click()
    browser.until(lambda: "columns" not in browser.query, "the usual columns")
    assert shown(browser) == usual


@pytest.mark.parametrize("view, table, column", [("log", "gunicorn_log", "duration"), ("requests", "request_log", "response_time_ms")])
def test_a_head_sorts_the_whole_range(browser, site, view, table, column):
    browser.open(view=view, **site.range)
    newest = browser.ids()
    for sort, order, way in (("-duration", "DESC", "descending"), ("duration", "ASC", "ascending")):
        browser.click("th.duration a")
        browser.until_query(sort=sort)
        rows = site.ask(f"SELECT id FROM {table} WHERE {site.within} ORDER BY {column} {order} NULLS LAST, timestamp DESC, id DESC LIMIT 100")
        assert browser.ids() == [str(row[0]) for row in rows]
        assert browser.one("th.duration").get_attribute("aria-sort") == way
        assert browser.text(".status").startswith("The first 100 by duration")
    browser.click("th.duration a")
    browser.until(lambda: "sort" not in browser.query, "the newest first")
    assert browser.ids() == newest
    browser.click("th.time a")
    browser.until_query(sort="time")
    assert browser.ids() == ids(site, table=table)[::-1][:100]


def test_a_filter_holds_for_a_sorted_list(browser, site):
    browser.open(view="log", sort="-duration", **site.range)
    browser.fill("agent", "shopper")
    expected = site.ask(f"SELECT id FROM gunicorn_log WHERE {site.within} AND agent LIKE '%shopper%' ORDER BY duration DESC, timestamp DESC, id DESC")
    assert browser.ids() == [str(row[0]) for row in expected]
    browser.click("[data-key=columns]")
    browser.run("arguments[0].value = 'url'; arguments[0].dispatchEvent(new Event('change'))", browser.anywhere("#columns [name=sort]"))
    browser.until_query(sort="url")
    assert browser.cells("url") == sorted(browser.cells("url"))


def test_a_column_has_the_width_that_it_was_dragged_to(browser, site):
    browser.open(view="log", **site.range)
    width = lambda: browser.one("th.user").size["width"]  # noqa: E731
    before = width()
    edge = browser.one("th.user .edge")
    browser.actions().move_to_element(edge).click_and_hold().move_by_offset(60, 0).release().perform()
    assert abs(width() - before - 60) <= 2
    browser.driver.refresh()
    browser.settle()
    assert abs(width() - before - 60) <= 2
    browser.run("arguments[0].focus()", browser.one("th.user a"))
    browser.actions().key_down(KEYS.SHIFT).send_keys(KEYS.ARROW_LEFT * 3).key_up(KEYS.SHIFT).perform()
    assert abs(width() - before) <= 2
    # Another page of the same origin may have written there.
    browser.run("localStorage.setItem('log-ingestd widths', '{\"user\": \"1px; color: red\"}')")
    browser.driver.refresh()
    browser.settle()
    assert abs(width() - before) <= 2
    browser.run("localStorage.clear()")


def test_a_click_filters_and_with_alt_it_excludes(browser, site):
    browser.open(view="log", agent="shopper", **site.range)
    for cell, field, where in (("status", "code", "code <> {}"), ("url", "url", "url NOT LIKE '{}%'"), ("address", "address", "user_ip <> '{}'")):
        link = browser.one(f"td.{cell} a")
        of = link.get_attribute("data-value")
        browser.actions().key_down(KEYS.ALT).click(link).key_up(KEYS.ALT).perform()
        browser.until(lambda: browser.nots == [f"{field}:{of}"], f"all but {of}")
        assert browser.ids() == ids(site, f"agent LIKE '%shopper%' AND {where.format(of)}")
        browser.driver.back()
        browser.until(lambda: not browser.nots, "the way back")
    browser.open(**site.range)
    link = browser.one(".panel[data-by=agent] tbody a")
    of = link.get_attribute("data-value")
    browser.actions().key_down(KEYS.ALT).click(link).key_up(KEYS.ALT).perform()
    browser.until(lambda: browser.nots == [f"agent:{of}"], "all but this agent")


def test_details_exclude_a_value_without_a_mouse(browser, site):
    browser.open(view="log", agent="shopper", **site.range)
    browser.click("td.open button")
    browser.settle()
    code = browser.one("td.status a").get_attribute("data-value")
    link = browser.one(f".without[aria-label='Exclude Status {code}']")
    link.send_keys(KEYS.ENTER)
    browser.until(lambda: browser.nots == [f"code:{code}"], "all but this status")
    assert browser.ids() == ids(site, f"agent LIKE '%shopper%' AND code <> {code}")


def test_headers_and_bodies_are_folded_until_they_are_opened(browser, site):
    browser.open(view="requests", **site.range)
    buttons = browser.all("td.open button")[:2]
    buttons[0].click()
    browser.settle()
    folds = browser.all(".detail details.block")
    assert len(folds) >= 4 and all(fold.get_attribute("open") is None for fold in folds)
    body = browser.one(".detail [data-key='block Request body']")
    assert "characters" in body.text and "JSON" in body.text
    assert not browser.one(".detail pre").is_displayed()
    body.send_keys(KEYS.ENTER)
    browser.settle()
    assert any(pre.is_displayed() for pre in browser.all(".detail pre"))
    # What was opened is open in the next row, too.
    buttons[0].click()
    buttons[1].click()
    browser.settle()
    assert [fold.get_attribute("open") is not None for fold in browser.all(".detail details.block")].count(True) == 1


@pytest.mark.parametrize("view", ["log", "requests"])
def test_the_whole_story_joins_both_logs_and_leads_there(browser, site, view):
    browser.open(view=view, request_id="r-1", tz="utc", **site.range)
    browser.click("td.open button")
    browser.settle()
    browser.click(".story summary")
    # The fold says that it is open a moment later, and then asks.
    wait(lambda: browser.all(".story section"), "the story")
    groups = dict(browser.run("""return [...document.querySelectorAll('.story section')].map((it) =>
        [it.querySelector('h4').firstChild.textContent, [...it.querySelectorAll('li')].map((row) => row.children[3].textContent + ' ' + row.children[5].textContent)])"""))
    assert sorted(groups["This request"]) == ["access /api/1", "request /api/1"]
    assert groups["The same session"] == ["request /api/1"]
    other = "requests" if view == "log" else "log"
    browser.click(f".story section:first-of-type a[href*='view={other}']") if other == "requests" else browser.click(".story section:first-of-type [data-key^='story log']")
    browser.until_query(view=other)
    table = {"log": "gunicorn_log", "requests": "request_log"}[other]
    assert browser.query["row"] == str(site.column(f"SELECT id FROM {table} WHERE request_id = 'r-1'")[0])
    assert "r-1" in browser.text(".detail .facts")


def test_the_story_has_the_neighbours_of_the_address_in_time(browser, site):
    browser.open(view="log", agent="shopper", **site.range)
    browser.all("td.open button")[12].click()
    browser.settle()
    if not browser.one(".story").get_attribute("open"):
        browser.click(".story summary")
        wait(lambda: browser.all(".story section"), "the story")
    row = browser.ids()[12]
    address, time = site.ask(f"SELECT user_ip, timestamp FROM gunicorn_log WHERE id = {row}")[0]
    near = browser.run("""return [...document.querySelectorAll('.story section:last-of-type li')].map((it) =>
        [it.querySelector('a.url').dataset.key.split(' ')[2], it.querySelector('time').dateTime])""")
    every = [str(it[0]) for it in site.ask(f"SELECT id FROM gunicorn_log WHERE user_ip = '{address}' ORDER BY timestamp, id")]
    at = every.index(row)
    found = [number for number, _ in near]
    assert set(found) <= set(every[max(0, at - 8):at + 9]) and row in found and len(found) > 3
    assert [stamp for _, stamp in near] == sorted(stamp for _, stamp in near)
    assert str(time)[:19].replace("T", " ") in [stamp[:19].replace("T", " ") for _, stamp in near]
    assert len(browser.all(".story section:last-of-type [aria-current]")) == 1


def test_on_a_phone_a_chosen_column_is_in_the_card(browser, site):
    browser.show(width=390, height=844, phone=True)
    browser.open(view="log", columns="time,status,url,agent,request_id", **site.range)
    assert browser.one("td.agent").is_displayed() and browser.one("td.request_id").is_displayed()
    assert not browser.all("td.user")
    assert browser.run("return document.scrollingElement.scrollWidth") <= 390
    assert browser.run("return [...document.querySelectorAll('.entry td')].every((it) => it.getBoundingClientRect().right <= 390)")


ALL = "[{key: 'a'}, {key: 'b'}, {key: 'c', extra: true}]"


@pytest.mark.parametrize("expression, expected", [
    (f"chosen({ALL}, {{}}).map((it) => it.key)", ["a", "b"]),
    (f"chosen({ALL}, {{columns: 'c,a,zzz'}}).map((it) => it.key)", ["a", "c"]),
    (f"chosen({ALL}, {{columns: 'zzz'}}).map((it) => it.key)", ["a", "b"]),
    (f"toggled({ALL}, {{}}, 'c')", {"columns": "a,b,c"}),
    (f"toggled({ALL}, {{columns: 'a,b,c'}}, 'c')", {}),
    (f"toggled({ALL}, {{columns: 'a'}}, 'a')", {}),
    ("[nextSort(undefined, 'url'), nextSort('-url', 'url'), nextSort('url', 'url') ?? null]", ["-url", "url", None]),
    ("[nextSort(undefined, 'time'), nextSort('time', 'time') ?? null]", ["time", None]),
    ("[ariaSort(undefined, 'time'), ariaSort('-url', 'url'), ariaSort('url', 'user')]", ["descending", "descending", None]),
])
def test_the_choice_of_columns_is_in_the_address(browser, site, expression, expected):
    browser.open(**site.range)
    assert value(browser, "columns", expression) == expected
