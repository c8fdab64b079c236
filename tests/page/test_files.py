"""Tests the files view: files, counts of their lines, ignored files, and rejected lines."""

import logs
from browser import KEYS
from daemon import wait


def test_files_are_counted_as_in_the_database(browser, site):
    browser.open(view="files")
    shown = browser.run("""return [...document.querySelectorAll('table.files:not(.ignored) tbody tr')].map((row) =>
        [...row.children].map((cell) => cell.textContent))""")
    stored = site.ask("SELECT path, lines, stored_rows, rejected, excluded FROM log_file ORDER BY path")
    found = sorted((row[0], row[3], row[4], row[5], row[6]) for row in shown)
    assert len(found) == len(stored)
    for (text, *counts), (path, *expected) in zip(found, stored):
        assert path in text
        assert [int(count.replace(",", "")) for count in counts] == expected
    assert "PostgreSQL" in browser.anywhere(".version").text or "SQLite" in browser.anywhere(".version").text


def test_ignored_files_show_why(browser, site):
    wait(lambda: site.number("SELECT count(*) FROM ignored_file"), "the list of ignored files")
    browser.open(view="files")
    rows = browser.run("""return [...document.querySelectorAll('table.ignored tbody tr')].map((row) =>
        [...row.children].map((cell) => cell.textContent))""")
    assert len(rows) == 1
    file, size, since, reason = rows[0]
    assert logs.IGNORED in file and "web1" in file
    assert size == "11\N{NO-BREAK SPACE}B"
    assert since == "now" or since.endswith("ago")
    assert reason.startswith("no_line: no complete line yet")
    tiles = browser.run("return [...document.querySelectorAll('section:not([hidden]) .tiles > div')].map((it) => [it.children[0].textContent, it.children[1].textContent])")
    assert ["Ignored", "1"] in tiles
    assert ["Followed", "2"] in tiles


def test_rejected_lines_show_reason_and_bytes(browser, site):
    browser.open(view="files")
    # The first reason is open; the others are opened by the keyboard, too.
    groups = browser.all(".rejects summary")
    assert [group.get_attribute("open") is not None for group in browser.all(".rejects details")] == [True] + [False] * (len(groups) - 1)
    filled = "return [...document.querySelectorAll('.rejects details')].filter((it) => it.querySelector('li')).length"
    for nth, group in enumerate(groups[1:], 2):
        group.send_keys(KEYS.ENTER)
        browser.until(lambda nth=nth: browser.run(filled) == nth, "the lines of the reason")
    lines = browser.run("""return [...document.querySelectorAll('.rejects li')].map((it) =>
        [it.closest('details').dataset.reason, it.querySelector('.reason').textContent, it.querySelector('pre').textContent])""")
    stored = site.ask("SELECT code, reason FROM rejected_line")
    assert len(lines) == len(stored)
    assert sorted((code, reason) for code, reason, _ in lines) == sorted(stored)
    lines = [(reason, raw) for _, reason, raw in lines]
    assert any("<script>alert(1)</script>" in raw for _, raw in lines)
    assert any("\\xff\\xfe<img" in raw.lower() for _, raw in lines)


def test_rejected_lines_are_counted_by_cause(browser, site):
    browser.open(view="files")
    groups = browser.run("return [...document.querySelectorAll('.rejects details')].map((it) => [it.dataset.reason, it.firstChild.textContent])")
    stored = site.ask("SELECT code, sum(repeats) FROM rejected_line GROUP BY code ORDER BY 2 DESC, 1")
    assert [(code, int(text.split()[0].replace(",", ""))) for code, text in groups] == [(code, int(lines)) for code, lines in stored]


def test_badges_count_what_was_rejected_and_what_is_ignored(browser, site):
    wait(lambda: site.number("SELECT count(*) FROM ignored_file"), "the list of ignored files")
    browser.open(view="log", **site.range)
    rejected = site.number("SELECT sum(repeats) FROM rejected_line WHERE code NOT IN ('server_log', 'continues')")
    ignored = site.number("SELECT sum(files) FROM ignored_file")
    wait(lambda: browser.anywhere(".badge.ignored").text, "the badges")
    for kind, number, name in (("rejected", rejected, "rejected lines"), ("ignored", ignored, "ignored file")):
        badge = browser.anywhere(f".views .badge.{kind}")
        assert (badge.text, badge.get_attribute("aria-label")) == (f"{number:,}", f"{number:,} {name}")


def test_all_lines_of_a_reason_are_listed_page_by_page(browser, site):
    reason, lines = site.ask("SELECT code, count(*) FROM rejected_line GROUP BY code ORDER BY 1")[0]
    browser.open(view="files", reason=reason)
    assert len(browser.all(".rejects li")) == lines
    assert not browser.all(".rejects details")
    browser.click("[data-key=all]")
    browser.until(lambda: "reason" not in browser.query, "all reasons")
    assert browser.all(".rejects details")


def test_the_rejected_lines_of_one_file(browser, site):
    browser.open(view="files")
    browser.click("table.files:not(.ignored) td a.bad")
    browser.until(lambda: "file" in browser.query, "one file")
    number = browser.query["file"]
    expected = site.ask(f"SELECT code, sum(repeats) FROM rejected_line WHERE log_file = {number} GROUP BY code")
    assert {group.get_attribute("data-reason") for group in browser.all(".rejects details")} == {code for code, _ in expected}
    browser.open(view="files", file="33000000")
    assert "No rejected lines of this file" in browser.text(".rejects")
    browser.click("[data-key=all]")
    browser.until(lambda: "file" not in browser.query, "all files")
    assert browser.all(".rejects li")
