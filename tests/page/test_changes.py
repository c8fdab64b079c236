"""Tests what the overview says about changes: heat map, the period before, errors on their own scale, and marks."""

import datetime
import json

import logs
import pytest
from daemon import Site, wait
from stores import Sqlite
from test_modules import value
from test_overview import count, plot, whole


def iso(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def half(site):
    """Returns the last half hour of the logged rows, and the SQL of that and of the half hour before."""
    to = site.now + datetime.timedelta(seconds=1)
    from_ = to - datetime.timedelta(minutes=30)
    before = from_ - datetime.timedelta(minutes=30)
    within = lambda one, other: f"timestamp >= '{one:%Y-%m-%d %H:%M:%S}' AND timestamp < '{other:%Y-%m-%d %H:%M:%S}'"  # noqa: E731
    return {"from": iso(from_), "to": iso(to)}, within(from_, to), within(before, from_)


def difference(browser, tile):
    return wait(lambda: browser.text(f"[data-diff={tile}]"), f"the difference of {tile}").replace("\xa0", " ")


@pytest.mark.parametrize("filtered", [{}, {"agent": "shopper"}, {"code": "5xx"}], ids=["all", "agent", "class"])
def test_each_tile_says_what_was_before(browser, site, filtered):
    range_, now, before = half(site)
    browser.open(**range_, **filtered)
    more = {"agent": "agent LIKE '%shopper%'", "code": "code BETWEEN 500 AND 599"}[next(iter(filtered))] if filtered else "true"
    here, there = count(site, more, now), count(site, more, before)
    change = here / there - 1
    said = difference(browser, "requests")
    assert said.endswith(f", before {there:,}")
    share = said.split(",")[0]
    if change == 0:
        assert share == "±0%"
    else:
        assert (share[0] == "+") == (change > 0) and abs(float(share[1:-1]) / 100 - abs(change)) < 0.01
    errors = [count(site, f"{more} AND code BETWEEN 500 AND 599", within) for within in (now, before)]
    said = difference(browser, "server")
    if errors[0] * there == errors[1] * here:
        assert said.startswith("±0, before")
    else:
        points = (errors[0] / here - errors[1] / there) * 100
        assert said.startswith("+" if points > 0 else "−") and abs(float(said[1:].split()[0]) - abs(points)) < 0.06
    # The same in the legend, and under each chart.
    assert whole(browser.text("[data-chart=rows] .of-before .value")) == there
    drawn = browser.run("return [...document.querySelectorAll('.plot path.before')].map((it) => it.getAttribute('d').length)")
    assert len(drawn) == 6 and all(drawn)


def test_without_rows_before_the_tiles_say_so(browser, site):
    browser.open(**site.range)
    assert difference(browser, "requests") == "nothing before"


def test_the_heat_map_has_every_duration_once(browser, site):
    range_, now, _ = half(site)
    browser.open(agent="shopper", **range_)
    sums = browser.driver.execute_async_script("""
        const done = arguments[arguments.length - 1];
        fetch(`api/overview${location.search}`).then((it) => it.json()).then((it) => done([it.heat, it.points.map((point) => point.heat)]))""")
    bounds, points = sums
    found = [sum(column) for column in zip(*[heat + [0] * (len(bounds) - len(heat)) for heat in points])]
    expected = [0] * len(bounds)
    for took in site.column(f"SELECT duration FROM gunicorn_log WHERE {now} AND agent LIKE '%shopper%' AND duration IS NOT NULL"):
        expected[max(nth for nth, low in enumerate(bounds) if low <= took)] += 1
    assert found == expected and sum(found) > 10
    levels = browser.run("return [...document.querySelectorAll('[data-chart=heat] .plot path')].filter((it) => /^h[1-6]$/.test(it.getAttribute('class')) && it.getAttribute('d')).length")
    assert levels >= 1
    place, width = plot(browser, "heat")
    browser.actions().move_to_element_with_offset(place, width // 2 - 30, 0).perform()
    assert browser.text("[data-chart=heat] .legend .value").endswith(("s", "min"))


def test_server_errors_have_a_scale_of_their_own(browser, site):
    browser.open(**site.range)
    scales = browser.run("""return ['failures', 'errors'].map((name) =>
        [...document.querySelectorAll(`[data-chart=${name}] .axes text[text-anchor=end]`)].at(-1).textContent)""")
    assert all(text.endswith("%") for text in scales)
    assert browser.text("[data-chart=failures] .legend .name") == "5xx"
    browser.open(code="404", **site.range)
    scales = browser.run("return [...document.querySelectorAll('[data-chart=errors] .axes text[text-anchor=end]')].at(-1).textContent")
    assert scales == "100%"


def test_rejected_lines_are_marked_when_they_were_rejected(browser, site):
    browser.open(tz="utc", **{"from": "6h"})
    wait(lambda: browser.all(".marks li a"), "the marks")
    said = browser.run("return [...document.querySelectorAll('.marks a')].map((it) => it.textContent)")
    for code, lines in site.ask("SELECT code, sum(repeats) FROM rejected_line WHERE code NOT IN ('server_log', 'continues') GROUP BY code"):
        assert any(text.startswith(f"{int(lines):,} line") and "rejected: " in text for text in said), (code, said)
    assert browser.run("return document.querySelectorAll('[data-chart=rows] .plot .mark.rejected').length") > 0
    assert not browser.all(".marks .note")
    # A filter of rows says nothing about lines that became none.
    browser.fill("agent", "shopper")
    wait(lambda: browser.all(".marks .note"), "what the marks are of")
    browser.open(server="elsewhere", **{"from": "6h"})
    browser.settle()
    assert not browser.all(".marks li")
    browser.open(**{"from": "6h"})
    wait(lambda: browser.all(".marks li a"), "the marks")
    browser.click(".marks a[href*=reason]")
    browser.until_query(view="files")
    assert "reason" in browser.query and browser.all(".rejects li")


@pytest.fixture
def restarted(chromium):
    """A daemon that goes on with a log after a stop, in whose place another format was begun."""
    now = datetime.datetime.now(datetime.timezone.utc)
    site = Site(Sqlite, {"access.log": [logs.line(now, "/one"), logs.line(now, "/two")], "other.log": [logs.line(now, "/three")]})
    chromium.site = site
    chromium.show()
    first = datetime.datetime.fromisoformat(site.column("SELECT min(first_seen_at) FROM log_file")[0]).replace(tzinfo=datetime.timezone.utc)
    site.stop()
    (site.logs / "access.log").rename(site.logs / "access.log.1")
    site.append("access.log.1", logs.line(now, "/late"))
    site.append("access.log", *(json.dumps({"log": "gunicorn", "timestamp": now.isoformat(), "method": "GET", "url": f"/{nth}", "code": 200}).encode() + b"\n" for nth in range(3)))
    # A file that is taken over within seconds counts as new.
    wait(lambda: datetime.datetime.now(datetime.timezone.utc) - first > datetime.timedelta(seconds=6), "an old file")
    site.start()
    wait(lambda: site.number("SELECT count(*) FROM gunicorn_log") == 7, "all rows")
    yield chromium
    site.close()


@pytest.mark.refused
def test_what_belongs_to_the_charts_and_does_not_come_is_named(browser, site):
    browser.cdp("Network.enable")
    browser.cdp("Network.setBlockedURLs", urls=["*/api/marks*"])
    try:
        browser.open(**site.range)
        wait(lambda: "Marks could not be loaded" in browser.one(".about-charts").text, "the sentence")
        assert browser.all("[data-diff=requests]")  # all else is there
    finally:
        browser.cdp("Network.setBlockedURLs", urls=[])


def test_a_restart_and_another_format_are_marked(restarted):
    restarted.open()
    wait(lambda: len(restarted.all(".marks li")) == 2, "both marks")
    said = restarted.run("return [...document.querySelectorAll('.marks a')].map((it) => it.textContent)")
    assert any(text == "web1 went on with 2 files" for text in said), said
    assert any("/access.log has another format: json, before " in text for text in said), said
    for kind in ("resumed", "format"):
        assert restarted.run(f"return document.querySelectorAll('[data-chart=rows] .plot .mark.{kind} title').length") >= 1
    restarted.verdict()


@pytest.mark.parametrize("module, expression, expected", [
    ("heat", "[level(1, 1000), level(1000, 1000), level(1, 1)]", [1, 6, 6]),
    ("heat", "limits([0, 64, 90], 0)", [32, 64]),
    ("heat", "limits([0, 64, 90], 2)", [90, 180]),
    ("heat", "[fullest([0, 3, 9, 1]), fullest([]), fullest(undefined)]", [2, None, None]),
    ("heat", "total([{heat: [1, 2]}, undefined, {heat: [0, 0, 5]}])", [1, 2, 5]),
    ("heat", "values({list: [{heat: [0, 2]}], bounds: [0, 64, 90]})", [64, 90]),
    ("previous", "range({from: 3600e3, to: 7200e3, step: 60e3}, 9e9)", {"from": 0, "to": 3600e3}),
    ("previous", "range({from: 3600e3, to: 7200e3, step: 60e3}, 5400e3)", {"from": 0, "to": 1800e3}),
    ("previous", "[growth(110, 100), growth(90, 100), growth(5, 5), growth(3, 0), growth(4000, 4)]", ["+10%", "−10%", "±0%", "new", "×1,000"]),
    ("marks", "grouped([{kind: 'rejected', code: 'a', lines: 2, at: 1}, {kind: 'rejected', code: 'a', lines: 3, at: 9}]).map((it) => [it.lines, it.at, it.until])", [[5, 1, 9]]),
    ("marks", "grouped([{kind: 'resumed', server: 'a', at: 1}, {kind: 'resumed', server: 'a', at: 2}, {kind: 'lost', at: 0}]).map((it) => [it.kind, it.files])", [["lost", 1], ["resumed", 2]]),
])
def test_parts_of_it(browser, site, module, expression, expected):
    browser.open(**site.range)
    assert value(browser, module, expression) == expected


def test_an_estimate_is_marked_in_the_differences(browser, site):
    browser.open(**site.range)
    answer = lambda share, error: f"{{from: '2026-01-01T00:00:00Z', to: '2026-01-01T01:00:00Z', share: {share}, error: {error}, total: {{rows: [0, 90, 0, 0, 10, 0], bytes: 5, p50: 9, p95: 9, p99: 9}}}}"  # noqa: E731
    exact = value(browser, "previous", f"differences({answer(1, 0)}, {answer(1, 0)})")
    assert exact["requests"] == {"text": "±0%, before 100", "worse": False}
    about = value(browser, "previous", f"differences({answer(1, 0)}, {answer(0.5, 7)})")
    assert all(it["text"].startswith("≈") for it in about.values())
    known = value(browser, "previous", f"differences({answer(1, 0)}, {answer(0.5, 0)})")
    assert not known["requests"]["text"].startswith("≈") and known["p50"]["text"].startswith("≈")
