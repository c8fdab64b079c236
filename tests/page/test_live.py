"""Tests what follows by itself: a range that ends now, until it is paused; and what an empty view explains."""

import datetime

import logs
import pytest
from browser import KEYS
from daemon import wait

VIEWS = ["overview", "log", "requests", "files"]


def pressed(browser):
    return browser.anywhere("#live").get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("name", VIEWS)
def test_a_range_that_ends_now_is_live_and_says_when_it_was_updated(browser, site, name):
    browser.open(view=name, tz="utc")
    assert pressed(browser)
    began = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    place = browser.anywhere("#updated")
    wait(lambda: place.text, "the time of the update")
    first = datetime.datetime.fromisoformat(place.get_attribute("datetime"))
    assert place.text == f"updated {first:%H:%M:%S}"
    # It goes on by itself, until a pause.
    later = wait(lambda: (time := datetime.datetime.fromisoformat(place.get_attribute("datetime"))) > max(first, began) and time, "an update")
    browser.anywhere("#live").click()
    browser.until_query(live="0")
    assert not pressed(browser) and later
    browser.anywhere("#live").click()
    browser.until(lambda: "live" not in browser.query, "live again")
    assert pressed(browser)


@pytest.mark.parametrize("name", ["overview", "log", "requests"])
def test_a_range_with_an_end_stands_still(browser, site, name):
    browser.open(view=name, **site.range)
    assert not pressed(browser)
    assert not browser.anywhere("#updated").is_displayed()
    browser.anywhere("#live").click()
    browser.until_query(**{"from": "15m"})
    assert "to" not in browser.query and pressed(browser)


def test_older_pages_stand_still_and_lead_back(browser, site):
    browser.open(view="log", **{"from": "2h"})
    newest = browser.ids()
    assert pressed(browser) and len(newest) == 100
    browser.click(".tools .pager a:last-child")
    browser.until(lambda: "before" in browser.query, "an older page")
    assert not pressed(browser) and not set(newest) & set(browser.ids())
    browser.anywhere("#live").click()
    browser.until(lambda: "before" not in browser.query, "the newest page")
    assert pressed(browser)


def test_the_cursor_stays_at_its_time_while_numbers_are_updated(browser, site):
    browser.open(tz="utc")
    place = browser.one("[data-chart=rows] .plot")
    browser.run("arguments[0].focus()", place)
    browser.keys(KEYS.END, KEYS.ARROW_LEFT * 9)
    at = browser.text("[data-chart=rows] .time")
    before = browser.anywhere("#updated").get_attribute("datetime")
    wait(lambda: browser.anywhere("#updated").get_attribute("datetime") > before, "an update")
    assert browser.text("[data-chart=rows] .time") == at


def test_the_overview_counts_what_comes(browser, site):
    browser.open(agent="counted")
    shown = lambda: browser.one("[data-tile=requests]").get_attribute("title")  # noqa: E731
    before = int(shown())
    site.append("access.log", logs.line(datetime.datetime.now(datetime.timezone.utc), "/counted", agent="counted"))
    wait(lambda: int(shown()) == before + 1, "one more")


@pytest.mark.parametrize("name", ["overview", "log", "requests"])
def test_an_empty_view_says_what_is_watched_and_where_the_newest_row_is(browser, site, name):
    wait(lambda: site.number("SELECT count(*) FROM ignored_file"), "the list of ignored files")
    browser.open(view=name, tz="utc", **{"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"})
    said = browser.text(".why")
    assert f"Watched: {site.logs}." in said
    assert str(site.logs / "access.log") in said and "Followed: " in said
    assert logs.IGNORED in said and "no complete line yet" in said
    table = "request_log" if name == "requests" else "gunicorn_log"
    newest = site.column(f"SELECT max(timestamp) FROM {table}")[0]
    assert f"The newest row of all is of {str(newest)[:19]}" in said
    browser.click(".why a")
    browser.until(lambda: browser.query["from"] > "2020-02", "the range of the newest row")
    assert not browser.all(".why")


@pytest.mark.parametrize("user, said", [("ann", "The newest row that meets the filter is of "), ("unknown", "No stored row meets the filter.")])
def test_an_empty_view_tells_what_the_filter_leaves_out(browser, site, user, said):
    browser.open(view="log", user=user, **{"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"})
    assert said in browser.text(".why")
    browser.click(".why a")
    browser.until(lambda: browser.query["from"] > "2020-02" if user == "ann" else "user" not in browser.query, "what the link shows")
    assert bool(browser.ids()) == (user == "ann")


def test_what_is_selected_is_not_replaced(browser, site):
    browser.open(view="log", **site.range)
    # The test decides when the time for an update has come.
    browser.run("window.setInterval = (run) => { window.tick = run; return 0; }")
    browser.anywhere(".views [data-view=files]").click()
    browser.until_query(view="files")
    asks = "tick(); return Boolean(document.querySelector('section:not([hidden]) [aria-busy]'))"
    browser.run("getSelection().selectAllChildren(arguments[0])", browser.one("table.files td.state"))
    assert not browser.run(asks)
    browser.run("getSelection().removeAllRanges()")
    assert browser.run(asks)
    browser.settle()
