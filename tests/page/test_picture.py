"""Makes the picture of the page that the README shows; `tests/page/picture` keeps it."""

import base64
import datetime
import pathlib

import logs
import pytest
from daemon import Site
from stores import Sqlite

LARGEST = 60_000  # bytes: people load it with the README


@pytest.fixture
def shop():
    site = Site(Sqlite, {"access.log": logs.shop(datetime.datetime.now(datetime.timezone.utc))})
    yield site
    site.close()


def test_the_first_view_makes_a_small_picture(chromium, shop, request, tmp_path):
    chromium.site = shop
    chromium.show(width=1200, height=700, still=True)
    chromium.cdp("Emulation.setScrollbarsHidden", hidden=True)
    chromium.open(tz="utc", **{"from": "6h"})
    shown = int(chromium.one("[data-tile=requests]").get_attribute("title").replace(",", ""))
    assert 10_000 < shown <= shop.number("SELECT count(*) FROM gunicorn_log")
    assert shop.number("SELECT sum(response_bytes) FROM gunicorn_log") > 0
    picture = base64.b64decode(chromium.cdp("Page.captureScreenshot", format="webp", quality=70)["data"])
    chromium.cdp("Emulation.setScrollbarsHidden", hidden=False)
    chromium.verdict()
    assert picture[:4] == b"RIFF" and picture[8:12] == b"WEBP"
    assert 10_000 < len(picture) <= LARGEST, len(picture)
    path = pathlib.Path(request.config.getoption("--picture") or tmp_path / "page.webp")
    path.write_bytes(picture)
