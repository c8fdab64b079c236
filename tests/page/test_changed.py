"""Tests the answer to "What changed?": asked by mouse, keyboard and tile, and what can be done with it."""

import datetime
import random

import logs
import pytest
from browser import KEYS
from daemon import Site, wait
from stores import Postgres, Sqlite
from test_changes import iso
from test_frame import PHONE, violations
from test_modules import value
from test_overview import plot

HOSTILE = "<img/src=x/onerror=alert(1)>"
BAD = "198.51.100.7"


def trouble(now):
    """Returns lines of an hour, of which those of one address failed for ten minutes; some agents are markup."""
    dice = random.Random(3)
    for nth in range(1800):
        at = now - datetime.timedelta(seconds=nth * 2)
        bad = 1200 <= nth * 2 < 1800 and nth % 4 == 0
        address = BAD if nth % 4 == 0 else f"198.51.100.{dice.randrange(10, 30)}"
        agent = HOSTILE if nth % 4 == 0 and dice.random() < 0.9 else "shopper/1.0"
        yield logs.line(at, f"/things/{dice.randrange(9)}/", 503 if bad else 200, agent, address=address, took=dice.randrange(1000, 2000))


@pytest.fixture(scope="module", params=[Sqlite, Postgres], ids=lambda store: store.name)
def troubled_site(request):
    now = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0) - datetime.timedelta(seconds=1)
    site = Site(request.param, {"access.log": list(trouble(now))})
    end = now + datetime.timedelta(seconds=1)
    site.range = {"from": iso(end - datetime.timedelta(hours=1)), "to": iso(end)}
    site.stretch = f"{iso(end - datetime.timedelta(minutes=30))}/{iso(end - datetime.timedelta(minutes=20))}"
    yield site
    site.close()


@pytest.fixture
def troubled(chromium, troubled_site):
    """A browser on a site with an hour of which ten minutes went wrong."""
    chromium.site = troubled_site
    chromium.show()
    yield chromium
    chromium.verdict()


def first(browser):
    wait(lambda: browser.all(".differences li"), "the list")
    return browser.text(".differences li .named .what"), browser.text(".differences li .named > :nth-child(2)")


def test_the_cause_is_first_with_both_shares_and_an_example(troubled, troubled_site):
    troubled.open(stretch=troubled_site.stretch, compare="5xx", **troubled_site.range)
    assert first(troubled) == ("Address", BAD)
    shares = troubled.run("return [...document.querySelector('.differences li').querySelectorAll('.share')].map((it) => it.textContent)")
    assert shares == ["100%", "0%"]
    said = troubled.text(".changed > .note")
    assert "25% failed here, 0% in the rest of the range." in said and "From all 300 requests of the selection and 1,500 others." in said
    # The stretch is marked in each chart.
    bands = troubled.run("return [...document.querySelectorAll('.plot .band.kept')].map((it) => Number(it.getAttribute('width')))")
    assert len(bands) == 6 and min(bands) > 10
    troubled.click(".differences li [data-key^=example]")
    troubled.until_query(view="log")
    row = troubled.query["row"]
    assert troubled_site.column(f"SELECT count(*) FROM gunicorn_log WHERE id = {row} AND code = 503")[0] == 1
    wait(lambda: troubled.all(".detail .facts"), "the row")
    troubled.driver.back()
    troubled.until_query(stretch=troubled_site.stretch)
    assert first(troubled) == ("Address", BAD)


def test_a_click_filters_and_with_alt_it_excludes(troubled, troubled_site):
    troubled.open(stretch=troubled_site.stretch, compare="5xx", **troubled_site.range)
    first(troubled)
    troubled.click(".differences li .named a")
    troubled.until_query(address=BAD, stretch=troubled_site.stretch)
    wait(lambda: "75 requests of the selection" in troubled.text(".changed > .note"), "the list of the filter")
    assert "Nothing stands out" in troubled.text(".differences")
    troubled.driver.back()
    troubled.until(lambda: "address" not in troubled.query, "the way back")
    first(troubled)
    link = troubled.one(".differences li .named a")
    troubled.actions().key_down(KEYS.ALT).click(link).key_up(KEYS.ALT).perform()
    troubled.until(lambda: troubled.nots == [f"address:{BAD}"], "the excluded address")
    wait(lambda: "225 requests of the selection" in troubled.text(".changed > .note"), "the list without it")
    assert "0% failed here" in troubled.text(".changed > .note")


def test_a_stretch_is_dragged_and_the_panel_is_closed(troubled, troubled_site):
    troubled.open(**troubled_site.range)
    button = troubled.one(".asks button")
    button.click()
    assert button.get_attribute("aria-pressed") == "true" and "Drag over a stretch" in troubled.text(".asks .hint")
    place, width = plot(troubled, "failures")
    # The failing ten minutes begin in the middle of the hour.
    actions = troubled.actions().move_to_element_with_offset(place, width // 16, 0).click_and_hold()
    actions.move_to_element_with_offset(place, width // 10, 0).move_to_element_with_offset(place, width // 7, 0).release().perform()
    troubled.until(lambda: "stretch" in troubled.query, "the stretch")
    assert troubled.query["compare"] == "5xx" and troubled.query["from"] == troubled_site.range["from"]
    assert first(troubled) == ("Address", BAD)
    assert troubled.run("return document.activeElement.id") == "changed-title"
    assert button.get_attribute("aria-pressed") == "false"
    troubled.keys(KEYS.ESCAPE)
    troubled.until(lambda: "stretch" not in troubled.query, "the end of it")
    assert not troubled.all(".changed:not([hidden])") and troubled.run("return document.activeElement === arguments[0]", button)
    assert not troubled.run("return document.querySelectorAll('.band.kept').length")
    # With Alt no button is needed, and without it a selection zooms as before.
    place, width = plot(troubled, "times")
    actions = troubled.actions().key_down(KEYS.ALT).move_to_element_with_offset(place, 0, 0).click_and_hold()
    actions.move_to_element_with_offset(place, 30, 0).move_to_element_with_offset(place, 60, 0).release().key_up(KEYS.ALT).perform()
    troubled.until_query(compare="slow")
    troubled.click(".changed .close")
    troubled.until(lambda: "stretch" not in troubled.query, "the end of it")


def test_the_keyboard_asks_and_chooses(troubled, troubled_site):
    troubled.open(**troubled_site.range)
    place, _ = plot(troubled, "rows")
    troubled.run("arguments[0].focus()", place)
    troubled.keys(KEYS.HOME)
    troubled.keys(KEYS.ARROW_RIGHT * 30)
    troubled.actions().key_down(KEYS.SHIFT).send_keys(KEYS.ARROW_RIGHT * 9).key_up(KEYS.SHIFT).perform()
    troubled.keys("w")
    troubled.until_query(stretch=troubled_site.stretch)
    assert "compare" not in troubled.query
    for key, expected in (("What is compared 5xx", "5xx"), ("What is compared slow", "slow"), ("What is compared 5xx", "5xx")):
        chosen = troubled.one(f".changed [data-key='{key}']")
        troubled.run("arguments[0].focus()", chosen)
        troubled.keys(KEYS.ENTER)
        troubled.until_query(compare=expected)
        assert troubled.run("return document.activeElement.dataset.key") == key
    assert first(troubled) == ("Address", BAD)
    assert BAD in troubled.anywhere("#announcer").get_attribute("textContent")
    troubled.click(".changed [data-key='Compared with before']")
    troubled.until_query(baseline="before")
    wait(lambda: "There is nothing to compare" in troubled.text(".differences"), "what is missing")


def test_a_tile_asks_about_the_whole_range(troubled, troubled_site):
    begin, end = troubled_site.stretch.split("/")
    troubled.open(**{"from": begin, "to": end})
    troubled.click(".tiles [data-compare='5xx']")
    troubled.until_query(baseline="before", compare="5xx", stretch=troubled_site.stretch)
    assert first(troubled) == ("Address", BAD)
    # Another range is another question.
    troubled.anywhere("[data-move=back]").click()
    troubled.until(lambda: "stretch" not in troubled.query, "the end of it")


def test_the_log_asks_too(troubled, troubled_site):
    troubled.open(view="log", **troubled_site.range)
    place, _ = plot(troubled, "histogram")
    troubled.run("arguments[0].focus()", place)
    troubled.keys(KEYS.END)
    troubled.keys("w")
    troubled.until(lambda: "stretch" in troubled.query, "the question")
    assert "view" not in troubled.query and troubled.all(".changed:not([hidden])")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [{}, PHONE, {"width": 390, "height": 844, "phone": True}], ids=["desk", "phone", "wider"])
def test_the_panel_is_accessible_and_fits(troubled, troubled_site, size, scheme):
    troubled.show(scheme=scheme, still=True, **size)
    troubled.open(stretch=troubled_site.stretch, compare="5xx", **troubled_site.range)
    first(troubled)
    assert violations(troubled) == []
    width = size.get("width", 1440)
    assert troubled.run("return document.scrollingElement.scrollWidth") <= width
    box = troubled.run("const {left, right, bottom, top} = document.querySelector('.changed').getBoundingClientRect(); return [left, right, top, bottom, innerHeight]")
    assert box[0] >= 0 and box[1] <= width
    if size:  # a sheet at the bottom
        assert abs(box[3] - box[4]) <= 1 and box[2] > box[4] * 0.2
    # What a log holds is text.
    assert HOSTILE.split("/")[0] in troubled.text(".differences")
    troubled.click(".changed .close")
    troubled.until(lambda: "stretch" not in troubled.query, "the end of it")


@pytest.mark.parametrize("expression, expected", [
    ("selected({stretch: '2026-01-02T00:00:00Z/2026-01-02T01:00:00Z'})", {"from": 1767312000000, "to": 1767315600000}),
    ("[{}, {stretch: 'x'}, {stretch: 'x/y'}, {stretch: '2026-01-02T00:00:00Z/2026-01-01T00:00:00Z'}].map(selected)", [None] * 4),
    ("selection(0, 60e3)", {"stretch": "1970-01-01T00:00:00Z/1970-01-01T00:01:00Z"}),
    ("address(read('?stretch=a&compare=slow&user=jo'), {user: 'ann'})", "?user=ann&stretch=a&compare=slow"),
    ("address(read('?stretch=a&compare=slow&user=jo'), {from: '6h'})", "?from=6h&user=jo"),
])
def test_a_stretch_is_a_part_of_the_address(troubled, troubled_site, expression, expected):
    troubled.open(**troubled_site.range)
    assert value(troubled, "filter", expression) == expected


def test_an_estimate_says_so(troubled, troubled_site):
    troubled.open(**troubled_site.range)
    answer = "{selection: {rows: 10, read: 0.5, share: 0.2}, baseline: {rows: 90, read: 0.25, share: 0.01}, share: %s, stopped: %s, bound: 250000, gone_before: null}"
    about = value(troubled, "changed", f"words({answer % ('0.25', 'undefined')}, 'slow', 'rest')")
    assert about.replace("\xa0", " ") == (
        "≈ 20% were slow (250 ms or longer) here, ≈ 1.0% in the rest of the range. "
        "Estimates, from 50% of the selection’s requests and 25% of the others, until all are read.")
    stopped = value(troubled, "changed", f"words({answer % ('0.25', repr('too long'))}, 'requests', 'rest')")
    assert stopped.endswith("25% of the others: too long.")


def test_values_that_are_too_many_to_be_counted_are_named(troubled, troubled_site):
    troubled.open(**troubled_site.range)
    answer = "{selection: {rows: 10, read: 1, share: 1}, baseline: {rows: 90, read: 1, share: 1}, share: 1, gone_before: null, forgetful: %s}"
    about = [value(troubled, "changed", f"words({answer % names}, 'requests', 'rest')") for names in ("[]", "['url', 'user']")]
    assert about[0] == "From all 10 requests of the selection and 90 others."
    assert about[1] == (
        f"{about[0]} There are too many values of URL, User to count them all: rare ones are left out, or their numbers are too low.")
