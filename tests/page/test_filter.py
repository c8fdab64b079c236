"""Tests the filter: numbers and charts count what matches, terms are chips, suggestions have counts, views are saved."""

import datetime
import json
import urllib.parse

import logs
import pytest
from browser import KEYS
from daemon import Site, wait
from test_frame import AXE, PHONE, SCHEMES
from test_log import FILTERS, ids
from test_overview import CLASSES, count, legend, whole

HISTOGRAM = 1 / 16  # a time of the page is off by so much at most


def opened(browser, site, view="overview", **query):
    """Opens a view; `not_` is a list of terms."""
    nots = query.pop("not_", [])
    pairs = [("view", view), *site.range.items(), *query.items(), *(("not", term) for term in nots)]
    browser.driver.get(f"{site.address}?{urllib.parse.urlencode(pairs)}")
    browser.settle()


def numbers_are_those_of(browser, site, where):
    """Checks tiles and charts against the rows."""
    assert whole(browser.one("[data-tile=requests]").get_attribute("title")) == count(site, where)
    shown = legend(browser, "rows")
    for name, (low, high) in CLASSES.items():
        assert whole(shown[name]) == count(site, f"({where}) AND code BETWEEN {low} AND {high}"), name
    sent = int(site.column(f"SELECT coalesce(sum(response_bytes), 0) FROM gunicorn_log WHERE {site.within} AND ({where})")[0])
    value, unit = browser.text("[data-tile=bytes]").split()
    assert abs(float(value) * 1000 ** ["B", "kB", "MB"].index(unit) - sent) <= sent * 0.006 + 1
    times = sorted(site.column(f"SELECT duration FROM gunicorn_log WHERE {site.within} AND duration >= 64 AND ({where})"))
    text = browser.text("[data-tile=p50]")
    if times and not site.number(f"SELECT count(*) FROM gunicorn_log WHERE {site.within} AND duration < 64 AND ({where})"):
        value, unit = text.split()
        exact = times[-(-len(times) // 2) - 1]
        assert abs(float(value) * 1000 ** ["µs", "ms", "s"].index(unit) - exact) <= exact * (HISTOGRAM + 0.006), text
    rows = browser.run("""return [...document.querySelectorAll('.chart-table tbody tr')].map(
        (row) => [...row.children].map((cell) => cell.textContent))""")
    assert sum(sum(whole(cell) for cell in row[1:7]) for row in rows) == count(site, where)


@pytest.mark.parametrize("field, value, where", FILTERS, ids=lambda value: str(value)[:20])
def test_numbers_and_charts_count_what_matches(browser, site, field, value, where):
    opened(browser, site, **{field: value})
    numbers_are_those_of(browser, site, where)
    assert not browser.all(".about-charts:not([hidden])"), "nothing is estimated"


@pytest.mark.parametrize("field, value, where", FILTERS, ids=lambda value: str(value)[:20])
def test_numbers_charts_and_rows_leave_out_what_must_not_match(browser, site, field, value, where):
    where = f"({where}) IS NOT TRUE"
    opened(browser, site, not_=[f"{field}:{value}"])
    numbers_are_those_of(browser, site, where)
    opened(browser, site, view="log", not_=[f"{field}:{value}"])
    assert browser.ids() == ids(site, where)[:100]


def test_terms_add_up_in_numbers_charts_and_lists(browser, site):
    opened(browser, site, agent="shopper", not_=["code:404", "url:/shop/3"])
    where = "agent LIKE '%shopper%' AND code <> 404 AND url NOT LIKE '/shop/3%'"
    numbers_are_those_of(browser, site, where)
    assert count(site, where) > 0
    urls = browser.run("return [...document.querySelectorAll('[data-by=url] tbody a')].map((it) => it.dataset.key)")
    assert sorted(urls) == sorted(site.column(f"SELECT DISTINCT url FROM gunicorn_log WHERE {site.within} AND {where}"))


def test_a_term_is_typed_turned_changed_and_removed(browser, site):
    browser.open(view="log", **site.range)
    field = browser.anywhere(".bar [name=filter]")
    for typed, chip in (("/shop/", "url:/shop/"), ("-404", "-status:404"), ("not user:jo", "-user:jo"), ("PATCH", "method:PATCH")):
        field.send_keys(typed, KEYS.ENTER)
        browser.until(lambda: chip in browser.chips(), chip)  # noqa: B023
    assert browser.chips() == ["url:/shop/", "method:PATCH", "-status:404", "-user:jo"]
    assert browser.nots == ["code:404", "user:jo"]
    where = "url LIKE '/shop/%' AND method = 'PATCH' AND {} AND (user_id = 'jo') IS NOT TRUE"
    assert browser.ids() == ids(site, where.format("code <> 404"))

    browser.anywhere("[data-term='-status:404'] .turn").click()
    browser.until_query(code="404")
    assert browser.ids() == ids(site, where.format("code = 404"))
    assert browser.run("return document.activeElement.textContent") == "Status is 404", "the focus stays at the term"
    browser.anywhere("[data-term='status:404'] .remove").click()
    browser.until(lambda: "code" not in browser.query, "one term less")
    assert browser.ids() == ids(site, where.format("true"))

    # The last one goes back into the field.
    field.send_keys(KEYS.BACKSPACE)
    browser.until(lambda: browser.nots == [], "the last term")
    assert field.get_attribute("value") == "-user:jo"
    field.send_keys(KEYS.BACKSPACE * 2, "ann", KEYS.ENTER)
    browser.until(lambda: browser.nots == ["user:ann"], "the changed term")
    browser.driver.back()
    browser.driver.back()
    browser.until(lambda: browser.nots == ["user:jo"], "the way back")
    browser.anywhere(".bar .clear").click()
    browser.until(lambda: browser.chips() == [], "an empty filter")
    assert browser.ids() == ids(site)[:100]


def options(browser):
    return browser.run("""return [...document.querySelectorAll('#options [role=option]')].map((it) =>
        [it.querySelector('.what').textContent.trim(), it.querySelector('bdi').textContent, it.querySelector('.count')?.textContent])""")


def test_suggestions_have_the_counts_of_the_rows(browser, site):
    opened(browser, site, agent="shopper")
    field = browser.anywhere(".bar [name=filter]")
    field.send_keys("shop")
    wait(lambda: ["URL", "/shop/1", "10"] in options(browser), "URLs of the shop")
    assert ["Agent", "shopper/1.0", "40"] in options(browser)
    assert options(browser)[0][:2] == ["Text", "shop"], "what Enter does comes first"
    assert field.get_attribute("aria-expanded") == "true"
    field.send_keys(KEYS.CONTROL, "a")
    field.send_keys("status:5")
    codes = [["Status", "5xx", "16"], ["Status", "500", "8"], ["Status", "503", "8"]]
    wait(lambda: all(code in options(browser) for code in codes), "codes")
    assert all(name == "Status" for name, *_ in options(browser))
    expected = site.column(f"SELECT count(*) FROM gunicorn_log WHERE {site.within} AND agent LIKE '%shopper%' AND code >= 500")[0]
    assert expected == 16

    # By the keyboard alone: the first option is what was typed.
    for _ in range(3):
        field.send_keys(KEYS.ARROW_DOWN)
        active = field.get_attribute("aria-activedescendant")
        if "5xx" in browser.run("return document.getElementById(arguments[0]).textContent", active):
            break
    field.send_keys(KEYS.ENTER)
    browser.until_query(code="5xx")
    assert field.get_attribute("aria-expanded") == "false"
    numbers_are_those_of(browser, site, "agent LIKE '%shopper%' AND code BETWEEN 500 AND 599")


def test_an_empty_field_offers_the_names_of_the_fields(browser, site):
    browser.open(**site.range)
    field = browser.anywhere(".bar [name=filter]")
    field.click()
    names = wait(lambda: [name for name, *_ in options(browser)], "the fields")
    assert {"URL", "Route", "Status", "Address", "User", "Agent", "Host", "Method", "Text"} <= set(names)
    browser.run("[...document.querySelectorAll('#options [role=option]')].find((it) => it.textContent.startsWith('User')).click()")
    assert field.get_attribute("value") == "user:"
    wait(lambda: any(value == "ann" for _, value, _ in options(browser)), "users")
    field.send_keys(KEYS.ESCAPE)
    assert field.get_attribute("aria-expanded") == "false"


def test_hostile_values_are_offered_as_text(browser, site):
    browser.open(**site.range)
    field = browser.anywhere(".bar [name=filter]")
    field.send_keys("agent:<script>")
    wait(lambda: any("<script>window.harm" in value for _, value, _ in options(browser)[1:]), "the agent")
    field.send_keys(KEYS.ARROW_DOWN, KEYS.ARROW_DOWN, KEYS.ENTER)
    browser.until(lambda: "<script>" in browser.query.get("agent", ""), "the filter")
    assert "<script>" in browser.anywhere(".chip bdi").text
    assert browser.run("return document.querySelectorAll('.bar :is(script, img, svg)').length") == 0


def test_a_view_is_saved_by_name_and_found_again(browser, site):
    browser.open(view="log", agent="shopper", code="5xx", **{"from": "6h"})
    saved = browser.driver.current_url.split("?")[1]

    def names():
        browser.anywhere(".fields .saved").click()
        return browser.run("return [...document.querySelectorAll('#saved li a')].map((it) => it.textContent)")

    assert names() == []
    browser.anywhere("#saved [name=name]").send_keys("<b>failures</b> of the shop", KEYS.ENTER)
    wait(lambda: browser.run("return document.querySelectorAll('#saved li a').length") == 1, "the saved view")
    browser.open(**site.range)
    assert names() == ["<b>failures</b> of the shop"]
    browser.anywhere("#saved li a").click()
    browser.until_query(view="log", agent="shopper", code="5xx", **{"from": "6h"})
    assert urllib.parse.parse_qs(browser.driver.current_url.split("?")[1]) == urllib.parse.parse_qs(saved)
    assert not browser.anywhere("#saved").is_displayed()
    names()
    browser.anywhere("#saved .remove").click()
    assert browser.run("return localStorage.getItem('log-ingestd views')") == "[]"
    assert "None yet" in browser.anywhere("#saved").text
    browser.keys(KEYS.ESCAPE)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", [{}, PHONE], ids=["desk", "phone"])
def test_the_open_filter_has_no_accessibility_violations(browser, site, scheme, size):
    browser.show(scheme=scheme, still=True, **size)
    opened(browser, site, method="PATCH", url="/shop/", not_=["code:404", "agent:" + "bot" * 40])
    if size:
        browser.anywhere(".filters").click()
    field = browser.anywhere("#sheet [name=filter]" if size else ".bar [name=filter]")
    field.send_keys("status:")
    wait(lambda: any(number for *_, number in options(browser)), "values")
    field.send_keys(KEYS.ARROW_DOWN)
    browser.run(AXE)
    found = browser.driver.execute_async_script("""
        const done = arguments[arguments.length - 1];
        axe.run(document, {resultTypes: ['violations']}).then((it) => done(it.violations.map(
            ({id, impact, nodes}) => [impact, id, nodes.slice(0, 3).map((node) => node.html.slice(0, 200) + node.failureSummary)])));
    """)
    assert [it for it in found if it[0] in ("serious", "critical")] == []
    wide, window = browser.run("return [document.scrollingElement.scrollWidth, innerWidth]")
    assert wide <= window


@pytest.fixture(params=["sqlite", "postgres"])
def busy(chromium, request):
    """Returns a site with more rows than can be searched in the time of the first answer."""
    from stores import Postgres, Sqlite

    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    lines = (
        logs.line(now - datetime.timedelta(seconds=nth % 3000), f"/busy/{nth}?{'abc' * 40}", [200, 200, 404, 500][nth % 4], "agent" * 20)
        for nth in range(60_000)
    )
    site = Site({"sqlite": Sqlite, "postgres": Postgres}[request.param], {"access.log": lines})
    chromium.site = site
    chromium.show()
    yield site
    # Ends its requests while it still answers; what was logged of them is not the next test's.
    chromium.driver.get("about:blank")
    for kind in ("browser", "performance"):
        chromium.driver.get_log(kind)
    site.close()


def test_a_slow_count_is_an_estimate_first_and_exact_in_the_end(chromium, busy):
    # A filter that costs much for each row, and leaves out nothing.
    nots = [f"text:nothing holds this {nth}" for nth in range(8)]
    chromium.open(view="files")
    chromium.run("""
        window.steps = [];
        new MutationObserver(() => steps.push([
            document.querySelector('[data-tile=requests]').textContent, document.querySelector('[data-tile=rate]').textContent,
            document.querySelector('.about-charts').textContent, document.querySelector('[data-chart=rows] .unit').textContent,
        ])).observe(document.querySelector('[data-tile=requests]'), {childList: true, characterData: true, subtree: true});
        history.pushState(null, '', '?' + new URLSearchParams([...arguments[0].map((term) => ['not', term]), ['url', '/busy/']]));
        dispatchEvent(new Event('state'));
    """, nots)
    done = f"{60_000:,}"
    wait(lambda: chromium.text("[data-tile=requests]") == done and not chromium.all(".about-charts:not([hidden])"), "the exact number", 60)
    steps = chromium.run("return steps")
    estimates = [step for step in steps if step[0].startswith("≈")]
    assert estimates, steps
    for number, error, words, unit in estimates:
        assert error.startswith("± ") and "estimates from" in words and unit.endswith("estimated"), (number, error, words, unit)
        off = abs(whole(number.split()[1]) - 60_000)
        assert off <= whole(error.split()[1]) + 1, (number, error)
    assert legend(chromium, "rows")["5xx"] == "15,000"
    chromium.verdict()


def test_the_numbers_of_a_class_are_exact_at_once(chromium, busy):
    chromium.open(code="5xx")
    assert chromium.text("[data-tile=requests]") == "15,000"
    answer = json.loads(chromium.driver.execute_async_script("""
        const done = arguments[arguments.length - 1];
        fetch('api/overview?from=1h&code=5xx').then((it) => it.text()).then(done)"""))
    assert answer["error"] == 0 and sum(answer["total"]["rows"]) == 15_000
    chromium.verdict()
