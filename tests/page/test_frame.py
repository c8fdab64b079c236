"""Tests all views: layout, keyboard, screen reader and narrow windows."""

import datetime
import pathlib

import axe_playwright_python
import pytest
from browser import KEYS
from stores import Sqlite

AXE = next(pathlib.Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text()
VIEWS = ["overview", "log", "requests", "files"]
SCHEMES = ["light", "dark"]
PHONE = {"width": 360, "height": 740, "phone": True}


def view(browser, site, name):
    browser.open(view=name, **site.range)
    if name in ("log", "requests"):
        browser.all("td.open button")[3].click()
        browser.settle()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("size", [{}, PHONE], ids=["desk", "phone"])
def test_there_are_no_accessibility_violations(browser, site, name, scheme, size):
    browser.show(scheme=scheme, still=True, **size)
    view(browser, site, name)
    assert violations(browser) == []
    colour = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (colour == "rgb(14, 18, 22)") == (scheme == "dark")


def violations(browser):
    """Returns what axe finds."""
    browser.run(AXE)
    found = browser.driver.execute_async_script("""
        const done = arguments[arguments.length - 1];
        axe.run(document, {resultTypes: ['violations']}).then((it) => done(it.violations.map(
            ({id, impact, nodes}) => [impact, id, nodes.slice(0, 3).map((node) => node.html.slice(0, 200) + node.failureSummary)])));
    """)
    return [it for it in found if it[0] in ("serious", "critical")]


@pytest.mark.parametrize("width", [360, 768, 1024, 1440])
@pytest.mark.parametrize("name", VIEWS)
def test_the_page_is_never_wider_than_its_window(browser, site, name, width):
    browser.show(width=width, height=740, phone=width < 500)
    view(browser, site, name)
    # A phone makes its window wider for what is too wide.
    assert browser.run("return document.scrollingElement.scrollWidth") <= width


@pytest.mark.parametrize("size", [{}, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("hours", [1, 30], ids=["hour", "days"])
def test_nothing_jumps_while_it_loads(browser, site, name, size, hours):
    browser.show(**size)
    # With two days, the button of the range has its longest text.
    begin = site.now - datetime.timedelta(hours=hours)
    browser.open(view=name, **{**site.range, "from": begin.strftime("%Y-%m-%dT%H:%M:%SZ")})
    # After two frames the layout has settled.
    browser.driver.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0)))")
    assert browser.run("return seen.shift") < 0.1


def focused(browser):
    return browser.run("""
        const it = document.activeElement, style = getComputedStyle(it), box = it.getBoundingClientRect();
        return {tag: it.tagName, name: it.getAttribute('aria-label') || it.name || it.textContent.trim().slice(0, 30),
            seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2, inside: box.width > 0 && box.bottom > 0 && box.top < innerHeight}""")


@pytest.mark.parametrize("name", VIEWS)
def test_the_keyboard_alone_reaches_everything(browser, site, name):
    browser.open(view=name, agent="shopper", **site.range)
    stops = []
    for _ in range(250):
        browser.keys(KEYS.TAB)
        at = focused(browser)
        if at["tag"] == "BODY":
            break
        assert at["seen"] and at["inside"], at
        stops.append(at["name"])
    else:
        raise AssertionError(f"no way out: {stops[-20:]}")
    assert stops[0] == "Skip to the content"
    wanted = {"Overview", "Log", "Requests", "Files", "Live", "UTC"}
    if name != "files":
        wanted |= {"15m", "Agent contains shopper", "Remove: Agent contains shopper", "Add to the filter", "Clear", "Views", "Earlier"}
    if name == "overview":
        wanted |= {"Requests", "How long requests took", "Response time", "Server errors", "Client errors", "Sent", "/shop/0", "shopper/1.0"}
    if name == "log":
        wanted |= {"CSV", "JSON lines"}
    assert wanted <= set(stops), wanted - set(stops)


def test_a_row_is_opened_and_filtered_by_the_keyboard_alone(browser, site):
    browser.open(view="log", agent="shopper", **site.range)
    browser.run("document.querySelector('section:not([hidden]) td.open button').focus()")
    browser.keys(KEYS.ARROW_DOWN)
    browser.keys(KEYS.ENTER)
    browser.settle()
    url = browser.cells("url")[1]
    for _ in range(12):
        browser.keys(KEYS.TAB)
        if focused(browser)["name"] == url:
            break
    browser.keys(KEYS.ENTER)
    browser.until_query(url=url)
    assert browser.run("return document.activeElement !== document.body")


def test_the_skip_link_leads_to_the_content(browser, site):
    browser.open(view="log", **site.range)
    browser.keys(KEYS.TAB)
    browser.keys(KEYS.ENTER)
    assert browser.run("return document.activeElement.id") == "main"


def test_a_view_has_its_title_and_heading(browser, site):
    browser.open(**site.range)
    for name, title in (("log", "Log"), ("requests", "Request logs"), ("files", "Files"), ("overview", "Overview")):
        browser.anywhere(f".views [data-view={name}]").click()
        browser.until(lambda: browser.driver.title == f"{title} · log-ingestd", title)
        assert browser.run("return document.activeElement.textContent") == title
        assert browser.anywhere(".views [aria-current]").text == browser.anywhere(f".views [data-view={name}]").text


def test_reduced_motion_is_respected(browser, site):
    browser.show(still=True)
    browser.open(view="log", live="1")
    assert browser.run("return getComputedStyle(document.querySelector('#live .dot')).animationName") == "none"


def test_on_a_phone_a_button_opens_the_filter(browser, site):
    browser.show(**PHONE)
    browser.open(view="log", method="PATCH", **site.range)
    button = browser.anywhere(".filters")
    assert button.text == "Filter (1)" and not browser.anywhere("#fields").is_displayed()
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    assert browser.anywhere("#sheet #fields").is_displayed()
    assert browser.chips() == ["method:PATCH"]
    browser.anywhere("#sheet [name=filter]").send_keys("status:503", KEYS.ENTER)
    browser.until_query(code="503")
    assert set(browser.cells("status")) == {"◆503"}
    browser.anywhere("#sheet .saved").click()
    assert browser.anywhere("#sheet #saved").is_displayed()
    browser.anywhere("#saved [name=name]").send_keys("failed", KEYS.ENTER)
    assert browser.anywhere("#saved li a").text == "failed"
    browser.keys(KEYS.ESCAPE)
    assert browser.run("return document.scrollingElement.scrollWidth") <= PHONE["width"]
    browser.anywhere("#sheet > form > .primary").click()
    assert button.get_attribute("aria-expanded") == "false" and browser.query["code"] == "503"
    assert browser.run("return document.activeElement === arguments[0]", button)
    button.click()
    browser.keys(KEYS.ESCAPE)
    assert not browser.anywhere("#fields").is_displayed()
    browser.run("localStorage.clear()")


@pytest.mark.parametrize("name", VIEWS)
def test_on_a_phone_nothing_is_wider_than_the_screen(browser, site, name):
    browser.show(width=390, height=844, phone=True)
    view(browser, site, name)
    # What only screen readers have is clipped, and may be of any width.
    wide = browser.run("""
        return [...document.querySelectorAll('body *')].filter((it) => !it.closest('.hidden, [hidden], thead, svg') && it.checkVisibility())
            .filter((it) => { // what an ancestor cuts off is not seen
              for (let up = it.parentElement; up; up = up.parentElement) if (getComputedStyle(up).overflowX === 'hidden' && up.getBoundingClientRect().right <= 390.5) return false;
              return true;
            })
            .filter((it) => it.getBoundingClientRect().right > 390.5 || (/auto|scroll/.test(getComputedStyle(it).overflowX) && it.scrollWidth > it.clientWidth + 1))
            .map((it) => it.outerHTML.slice(0, 120))""")
    assert wide == []
    assert browser.run("return document.scrollingElement.scrollWidth") <= 390


def test_all_of_the_filter_in_its_sheet_is_accessible(browser, site):
    for scheme in SCHEMES:
        browser.show(scheme=scheme, still=True, **PHONE)
        browser.open(view="log", method="PATCH", **site.range)
        browser.anywhere(".filters").click()
        assert violations(browser) == []


def test_all_of_it_is_small(browser, site):
    if site.store.name != Sqlite.name:
        pytest.skip("the same files")
    browser.open(**site.range)
    sizes = browser.run("""return performance.getEntries().filter((it) => it.entryType === 'navigation' || it.name.includes('/assets/'))
        .map((it) => [it.name, it.encodedBodySize, it.decodedBodySize])""")
    assert len(sizes) > 15
    # As they are sent, with gzip; and what the browser has to read.
    assert sum(sent for _, sent, _ in sizes) < 75_000, sizes
    assert sum(read for _, _, read in sizes) < 190_000, sizes
