"""Tests the page's modules one by one, in the browser: what they export, without a server's answer."""

import pytest


def value(browser, module, expression):
    """Returns an expression's value, with all that the module exports."""
    return browser.driver.execute_async_script(f"""
        const done = arguments[arguments.length - 1];
        import('/assets/{module}.js').then((it) => done(JSON.parse(JSON.stringify((({{{exports(module)}}}) => {expression})(it))))
        ).catch((error) => done(String(error)));""")


def exports(module):
    return {
        "terms": "guesses, parse, words, typed, fields",
        "filter": "read, address, terms, withTerm, withoutTerm, turned, query, bounds, wider, moved, selection, selected",
        "doubts": "doubts",
        "changed": "words",
        "saved": "views, keep, forget",
        "heat": "level, limits, fullest, total, values, words",
        "previous": "range, growth, differences",
        "marks": "grouped",
        "columns": "chosen, toggled, nextSort, ariaSort",
    }[module]


@pytest.fixture
def page(browser, site):
    browser.open(**site.range)
    return browser


@pytest.mark.parametrize("text, field, expected, is_not", [
    ("/orders", "url", "/orders", False),
    ("*orders*", "url", "*orders*", False),
    ("5xx", "code", "5xx", False),
    ("404,500-599", "code", "404,500-599", False),
    (">=400", "code", ">=400", False),
    ("-404", "code", "404", True),
    ("not user:ann b", "user", "ann b", True),
    ("Status: 4XX", "code", "4XX", False),
    ("GET", "method", "GET", False),
    ("get", "text", "get", False),
    ("203.0.113.0/24", "address", "203.0.113.0/24", False),
    ("2001:db8::1", "address", "2001:db8::1", False),
    ("12:30", "text", "12:30", False),
    ("http://a", "text", "http://a", False),
    ("request id:r-1", "request_id", "r-1", False),
])
def test_a_typed_text_becomes_the_term_that_is_meant(page, text, field, expected, is_not):
    first = value(page, "terms", f"guesses({text!r})[0]")
    assert first == {"field": field, "value": expected, "not": is_not}
    # What a chip puts back into the field means the same again.
    again = value(page, "terms", f"guesses(typed(guesses({text!r})[0]))[0]")
    assert again == first


def test_half_a_term_means_nothing(page):
    assert value(page, "terms", "['', ' ', '-', 'user:', 'not '].map(guesses)") == [[], [], [], [], []]
    assert value(page, "terms", "parse('-user:')") == {"field": "user", "value": "", "not": True}


def test_terms_are_words(page):
    terms = [("url", "/a", False), ("url", "*a*", True), ("address", "10.0.0.0/8", True), ("code", "5xx", False), ("agent", "bot", True)]
    found = [value(page, "terms", f"Object.values(words({{field: {field!r}, value: {text!r}, not: {str(is_not).lower()}}})).join(' ')")
             for field, text, is_not in terms]
    assert found == ["URL begins with /a", "URL does not contain a", "Address is not in 10.0.0.0/8", "Status is 5xx", "Agent does not contain bot"]


def test_the_address_holds_every_term(page):
    search = "?url=%2Fa&user=jo&not=code%3A404&not=url%3A%2Fa%3Ab"
    assert value(page, "filter", f"address(read({search!r}))") == search
    assert value(page, "filter", f"terms(read({search!r})).map((it) => [it.field, it.value, it.not])") == [
        ["url", "/a", False], ["user", "jo", False], ["code", "404", True], ["url", "/a:b", True]]
    turned = "turned(read(s), {field: 'code', value: '404', not: true})"
    assert value(page, "filter", f"((s) => address(read(s), {turned}))({search!r})") == "?url=%2Fa&code=404&user=jo&not=url%3A%2Fa%3Ab"
    # A place in a list is not one of another list.
    assert value(page, "filter", "address(read('?before=1.2&user=jo'), withTerm(read('?user=jo'), {field: 'code', value: '5xx', not: true}))") == (
        "?user=jo&not=code%3A5xx")
    assert value(page, "filter", "String(query(read('?not=code%3A404')))") == "from=1h&not=code%3A404"
    # The same term is not there twice.
    assert value(page, "filter", "withTerm({not: ['code:404']}, {field: 'code', value: '404', not: true})") == {"not": ["code:404"]}


def test_doubts_are_put_in_words(page):
    assert value(page, "doubts", "doubts({share: 1, error: 0, gone_before: null})") == {"rows": False, "rest": False, "words": ""}
    both = value(page, "doubts", "doubts({share: 0.5, error: 9, gone_before: null})")
    assert both["rows"] and both["rest"] and both["words"].startswith("Numbers and charts are estimates from 50%")
    rest = value(page, "doubts", "doubts({share: 0.5, error: 0, gone_before: null})")
    assert not rest["rows"] and rest["rest"] and rest["words"].startswith("The numbers of requests are exact")
    assert "too long" in value(page, "doubts", "doubts({share: 0.5, error: 9, stopped: 'too long', gone_before: null})")["words"]
    assert "2026-01-02" in value(page, "doubts", "doubts({share: 1, error: 0, gone_before: '2026-01-02T12:00:00Z'})")["words"]


def test_views_are_kept_by_name_and_read_with_care(page):
    assert value(page, "saved", "(keep('b', '?x=1'), keep('a', '?x=2'), keep('b', '?x=3'), views())") == [
        {"name": "a", "search": "?x=2"}, {"name": "b", "search": "?x=3"}]
    assert value(page, "saved", "(forget('a'), views())") == [{"name": "b", "search": "?x=3"}]
    # Another page of the same origin may have written there: a link to elsewhere is not shown.
    for stored in ("nonsense", "{}", '[{"name": "x", "search": "javascript:alert(1)"}, {"name": 1}]'):
        page.run("localStorage.setItem('log-ingestd views', arguments[0])", stored)
        assert value(page, "saved", "views()") == []
    page.run("localStorage.clear()")
