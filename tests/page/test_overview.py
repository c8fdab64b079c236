"""Tests the overview: its numbers equal the database's, and its charts link to their rows."""

import datetime

import pytest
from browser import KEYS

CLASSES = {"5xx": (500, 599), "4xx": (400, 499), "3xx": (300, 399), "2xx": (200, 299), "1xx": (100, 199)}


def whole(text):
    return int(text.replace(",", ""))


def count(site, more="true", within=None):
    return site.column(f"SELECT count(*) FROM gunicorn_log WHERE {within or site.within} AND {more}")[0]


def legend(browser, chart):
    items = browser.all(f"[data-chart={chart}] .legend li")
    return {item.text.split("\n")[0].split()[0]: item.text.split()[-1] for item in items if item.text}


def plot(browser, chart):
    """Returns the plot, and the offsets of its first and last point from its middle."""
    place = browser.one(f"[data-chart={chart}] .plot")
    browser.run("arguments[0].scrollIntoView({block: 'center'})", place)
    return place, place.size["width"]


def test_numbers_are_those_of_the_database(browser, site):
    browser.open(**site.range)
    assert whole(browser.one("[data-tile=requests]").get_attribute("title")) == count(site)
    shown = legend(browser, "rows")
    for name, (low, high) in CLASSES.items():
        assert whole(shown[name]) == count(site, f"code BETWEEN {low} AND {high}"), name
    assert whole(browser.text("[data-tile=client-count]").split()[0]) == count(site, "code BETWEEN 400 AND 499")
    sent = int(site.column(f"SELECT sum(response_bytes) FROM gunicorn_log WHERE {site.within}")[0])
    value, unit = browser.text("[data-tile=bytes]").split()
    size = float(value) * 1000 ** ["B", "kB", "MB"].index(unit)
    assert abs(size - sent) <= sent * 0.006 + 1
    for name in ("p50", "p95", "p99"):
        assert browser.text(f"[data-tile={name}]").endswith(("µs", "ms", "s"))


def test_the_table_for_screen_readers_has_every_point(browser, site):
    browser.open(**site.range)
    rows = browser.run("""return [...document.querySelectorAll('.chart-table tbody tr')].map(
        (row) => [...row.children].map((cell) => cell.textContent))""")
    # The legend has the reverse order of the bars: other, 1xx … 5xx.
    assert sum(sum(whole(cell) for cell in row[1:7]) for row in rows) == count(site)
    assert len(browser.all(".chart-table th[scope=col]")) == 12


def test_the_cursor_is_the_same_in_all_charts(browser, site):
    browser.open(tz="utc", **site.range)
    place, _ = plot(browser, "rows")
    browser.actions().move_to_element(place).perform()
    times = {browser.run("return arguments[0].textContent", it) for it in browser.all(".chart .time")}
    assert len(times) == 1
    moment = datetime.datetime.fromisoformat(times.pop())
    end = moment + datetime.timedelta(minutes=1)
    minute = f"timestamp >= '{moment}' AND timestamp < '{end}'"
    shown = legend(browser, "rows")
    for name, (low, high) in CLASSES.items():
        assert whole(shown[name]) == count(site, f"code BETWEEN {low} AND {high}", minute), (name, moment)
    lines = browser.run("return [...document.querySelectorAll('.chart path.cursor')].map((it) => it.getAttribute('d'))")
    assert len(lines) == 6 and all(lines)
    browser.actions().move_to_element(browser.anywhere(".brand")).perform()
    assert whole(legend(browser, "rows")["2xx"]) == count(site, "code BETWEEN 200 AND 299")


def test_dragging_zooms_and_the_back_button_returns(browser, site):
    browser.open(**site.range)
    place, width = plot(browser, "times")
    actions = browser.actions().move_to_element_with_offset(place, -width // 5, 0).click_and_hold()
    actions.move_to_element_with_offset(place, 0, 0).move_to_element_with_offset(place, width // 5, 0).release().perform()
    browser.until(lambda: browser.query["from"] > site.range["from"] and browser.query["to"] < site.range["to"], "the zoom")
    zoomed = browser.query
    within = f"timestamp >= '{zoomed['from'][:-1].replace('T', ' ')}' AND timestamp < '{zoomed['to'][:-1].replace('T', ' ')}'"
    shown = whole(browser.one("[data-tile=requests]").get_attribute("title"))
    assert 0 < shown == count(site, within=within) < count(site)

    browser.driver.back()
    browser.until_query(**site.range)
    assert whole(browser.one("[data-tile=requests]").get_attribute("title")) == count(site)
    browser.driver.forward()
    browser.until_query(**zoomed)

    place, _ = plot(browser, "rows")
    browser.actions().double_click(place).perform()
    browser.until(lambda: browser.query["from"] < zoomed["from"], "the wider range")
    wider = browser.query
    browser.anywhere("[data-move=out]").click()
    browser.until(lambda: browser.query["from"] < wider["from"], "a still wider one")


def test_the_keyboard_moves_selects_zooms_and_opens(browser, site):
    browser.open(tz="utc", **site.range)
    place, _ = plot(browser, "rows")
    browser.run("arguments[0].focus()", place)
    said = []
    for _ in range(3):
        browser.keys(KEYS.ARROW_LEFT)
        said.append(browser.anywhere("#announcer").get_attribute("textContent"))
    assert len(set(said)) == 3 and all(":" in text for text in said)
    for key in (KEYS.HOME, KEYS.END, KEYS.PAGE_UP, KEYS.PAGE_UP):
        browser.keys(key)
    browser.actions().key_down(KEYS.SHIFT).send_keys(KEYS.ARROW_LEFT * 9).key_up(KEYS.SHIFT).perform()
    assert "10 selected" in browser.anywhere("#announcer").get_attribute("textContent")
    browser.keys(KEYS.ENTER)
    browser.until(lambda: browser.query["from"] > site.range["from"], "the zoom")
    length = datetime.datetime.fromisoformat(browser.query["to"][:-1]) - datetime.datetime.fromisoformat(browser.query["from"][:-1])
    assert length == datetime.timedelta(minutes=10)

    browser.run("arguments[0].focus()", place)
    browser.keys(KEYS.HOME)
    browser.keys(KEYS.ARROW_RIGHT)
    browser.keys(KEYS.ENTER)
    browser.until_query(view="log")
    query = browser.query
    within = f"timestamp >= '{query['from'][:-1].replace('T', ' ')}' AND timestamp < '{query['to'][:-1].replace('T', ' ')}'"
    assert len(browser.ids()) == min(100, count(site, within=within)) > 0


@pytest.mark.parametrize("name", ["rows", "heat", "times", "failures", "errors", "bytes"])
def test_a_click_in_a_chart_opens_the_log_there(browser, site, name):
    browser.open(tz="utc", agent="shopper", **site.range)
    place, width = plot(browser, name)
    browser.actions().move_to_element_with_offset(place, width // 2 - 30, 0).perform()
    moment = datetime.datetime.fromisoformat(browser.text(f"[data-chart={name}] .time"))
    browser.actions().click().perform()
    browser.until_query(view="log", agent="shopper", **{"from": f"{moment:%Y-%m-%dT%H:%M:%SZ}"})
    end = moment + datetime.timedelta(minutes=1)
    assert browser.query["to"] == f"{end:%Y-%m-%dT%H:%M:%SZ}"
    expected = count(site, "agent LIKE '%shopper%'", f"timestamp >= '{moment}' AND timestamp < '{end}'")
    assert len(browser.ids()) == expected > 0
    browser.driver.back()
    browser.until_query(**site.range)

    # Where nothing is, a click opens nothing; a double-click zooms out and opens nothing.
    place, width = plot(browser, name)
    browser.actions().move_to_element_with_offset(place, -width // 2 + 70, 0).click().perform()
    browser.actions().move_to_element_with_offset(place, width // 2 - 30, 0).double_click().perform()
    browser.until(lambda: browser.query["from"] < site.range["from"], "the wider range")
    assert "view" not in browser.query


def test_an_entry_of_a_list_becomes_the_filter(browser, site):
    browser.open(**site.range)
    for by, field, column in (("url", "url", "url"), ("address", "address", "user_ip"), ("agent", "agent", "agent"), ("user", "user", "user_id")):
        link = browser.one(f".panel[data-by={by}] tbody a")
        value = link.get_attribute("data-key")
        top = site.ask(f"SELECT {column}, count(*) FROM gunicorn_log WHERE {site.within} AND {column} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT 1")[0]
        shown = whole(link.find_element("xpath", "ancestor::tr/td[1]").text)
        assert shown == top[1], by
        link.click()
        browser.until_query(**{field: value})
        assert [term.split(":", 1)[1] for term in browser.chips()] == [value]
        # A URL of the filter is the beginning of others.
        assert whole(browser.one("[data-tile=requests]").get_attribute("title")) >= top[1]
        browser.driver.back()
        browser.until(lambda: field not in browser.query, "the way back")


def test_routes_are_listed_with_all_their_requests(browser, site):
    def listed(by, column):
        links = browser.all(f".panel[data-by={by}] tbody a[data-key]")
        assert links, browser.text(f".panel[data-by={by}]")
        cell = f"ancestor::tr/td[{column}]"
        return {link.get_attribute("data-key"): whole(link.find_element("xpath", cell).text) for link in links}

    # A short range is counted from its rows, to the second.
    browser.open(**site.range)
    assert browser.text(".panel[data-by=route] .note") == ""
    assert sum(listed("route", 1).values()) <= count(site)
    # A longer one is moved outward to hours, and says so.
    browser.open(**{"from": "24h"})
    assert "whole hours from" in browser.text(".panel[data-by=route] .note")
    rows = "sum(informational + successful + redirection + client_error + server_error + other)"
    counted = {route: int(n) for route, n in site.ask(f"SELECT route, {rows} FROM gunicorn_route_hour GROUP BY route")}
    assert sum(counted.values()) == count(site, within="true")
    for by, column in (("route", 1), ("route-p95", 3), ("route-total", 3)):
        assert [(route, counted[route]) for route in listed(by, column)] == list(listed(by, column).items()), by
    assert max(listed("route", 1).values()) == max(n for route, n in counted.items() if route)
    # An entry becomes the filter, and then the newest requests are counted.
    link = browser.one(".panel[data-by=route] tbody a[data-key]")
    chosen = link.get_attribute("data-value")
    link.click()
    browser.until_query(url=chosen)


def test_a_class_of_the_legend_becomes_the_filter(browser, site):
    browser.open(**site.range)
    browser.click("[data-chart=rows] [data-filter='5xx']")
    browser.until_query(code="5xx")
    browser.anywhere(".views [data-view=log]").click()
    browser.until_query(view="log", code="5xx")
    expected = count(site, "code BETWEEN 500 AND 599")
    assert len(browser.ids()) == min(100, expected)
    assert all("5" == cell[-3] for cell in browser.cells("status"))


def test_charts_follow_the_server(browser, site):
    browser.open(server="web1", **site.range)
    assert whole(browser.one("[data-tile=requests]").get_attribute("title")) == count(site)
    browser.open(server="elsewhere", **site.range)
    assert browser.text("[data-tile=requests]") == "0"
    assert "No requests in this range" in browser.text("[data-chart=rows] .over")


def test_ranges_and_times_are_chosen(browser, site):
    browser.open()
    for age in ("15m", "6h", "24h", "7d", "30d", "120d"):
        browser.anywhere(f"[data-range='{age}']").click()
        browser.until_query(**{"from": age})
        assert browser.anywhere(f"[data-range='{age}']").get_attribute("aria-pressed") == "true"
        assert browser.all("[data-chart=rows] .axes text")
    browser.anywhere("[data-move=back]").click()
    browser.until(lambda: "to" in browser.query, "an earlier range")
    browser.anywhere("[data-tz=utc]").click()
    browser.until_query(tz="utc")

    browser.anywhere(".custom").click()
    for name in ("from", "to"):
        browser.run("arguments[0].value = arguments[1]", browser.anywhere(f"#custom [name={name}]"), site.range[name][:-1])
    browser.anywhere("#custom [type=submit]").click()
    browser.until_query(**site.range)
    assert whole(browser.one("[data-tile=requests]").get_attribute("title")) == count(site)

    browser.anywhere(".custom").click()
    browser.run("arguments[0].value = '2001-01-01T00:00:00'", browser.anywhere("#custom [name=to]"))
    browser.anywhere("#custom [type=submit]").click()
    assert "before the end" in browser.anywhere("#custom .wrong").text
    browser.keys(KEYS.ESCAPE)
