"""Tests what the page shows without data, and when the daemon does not answer."""

import datetime

import logs
import pytest
from browser import KEYS
from daemon import Site, wait
from stores import Sqlite


@pytest.fixture
def untimed(chromium):
    """Returns lines of Gunicorn's default format, which has no durations."""
    now = datetime.datetime.now(datetime.timezone.utc)
    site = Site(Sqlite, {"access.log": logs.corpus("default", now)}, retention="120d")
    chromium.site = site
    chromium.show()
    yield chromium
    if site.daemon.poll() is None:
        site.close()


def test_a_format_without_durations_is_explained(untimed):
    untimed.open()
    assert "%(D)s" in untimed.text("[data-chart=times] .over")
    assert "%(D)s" in untimed.text(".panel[data-by=slow]")
    untimed.open(view="log")
    assert set(untimed.cells("duration")) == {"–"}
    untimed.open(view="requests")
    assert "No requests in this range" in untimed.text(".empty")
    assert "lines of JSON" in untimed.text(".empty").replace("Lines", "lines")
    untimed.verdict()


def test_the_last_and_the_next_sweep_are_shown(untimed):
    wait(lambda: untimed.site.number("SELECT count(*) FROM sweep"), "the first sweep")
    untimed.open(view="files")
    tiles = dict(untimed.run("return [...document.querySelectorAll('section:not([hidden]) .tiles > div')].map((it) => [it.children[0].textContent, it.children[1].textContent])"))
    assert tiles["Last sweep"] == "now" or tiles["Last sweep"].endswith("ago")
    assert tiles["Next sweep"].startswith("in ")
    untimed.verdict()


def test_a_daemon_that_does_not_answer_is_reported_and_retried(untimed):
    untimed.open()
    untimed.site.close()
    untimed.anywhere("[data-range='6h']").click()
    untimed.until_query(**{"from": "6h"})
    assert "cannot be reached" in untimed.text(".trouble")
    retry = untimed.one(".trouble button")
    retry.send_keys(KEYS.ENTER)
    untimed.settle()
    assert "cannot be reached" in untimed.text(".trouble")
