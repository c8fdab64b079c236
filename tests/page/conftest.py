"""Provides one browser for all tests, and one daemon for each database."""

import pytest
from browser import Browser
from daemon import full
from stores import Postgres, Sqlite


def pytest_addoption(parser):
    parser.addoption("--picture", metavar="FILE", help="where the picture of the page goes, for the documents")


@pytest.fixture(scope="session")
def chromium():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(scope="session", params=[Sqlite, Postgres], ids=lambda store: store.name)
def site(request):
    site = full(request.param)
    yield site
    site.close()


@pytest.fixture(scope="session", autouse=True)
def _server():
    yield
    if Postgres.server:
        Postgres.server.stop()


@pytest.fixture
def browser(chromium, site, request):
    """Provides the browser on the site; after each test it must have logged no error."""
    chromium.site = site
    chromium.show()
    yield chromium
    chromium.verdict(refused=bool(request.node.get_closest_marker("refused")))
