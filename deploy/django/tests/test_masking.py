"""Tests the masking of secrets in JSON, forms, URLs and headers, whole and broken."""

import json
import time
from unittest import TestCase

from django_audit_logger.masking import STARS, Mask

MASK = Mask(["password", "token", "access_key", "secret"])


class Json(TestCase):
    def test_objects_and_lists_of_any_depth(self):
        value = {
            "password": "a",
            "x": [{"Token": 12}, {"y": {"secret": None, "z": 1}}],
            "access_key": {"nested": ["b", {"c": "}"}]},
            "tokens": "stays",
        }
        masked = json.loads(MASK.json(json.dumps(value, indent=1)))
        self.assertEqual(masked["password"], STARS)
        self.assertEqual(masked["x"], [{"Token": STARS}, {"y": {"secret": STARS, "z": 1}}])
        self.assertEqual(masked["access_key"], STARS)
        self.assertEqual(masked["tokens"], "stays")

    def test_values_of_every_kind(self):
        for value in ('"a\\"b"', "-1.5e3", "true", "null", "{}", '["a]"]', '""'):
            text = '{"secret" : %s, "b": 1}' % value
            self.assertEqual(MASK.json(text), '{"secret" : "********", "b": 1}', value)

    def test_keys_that_are_escaped_or_bracketed(self):
        self.assertNotIn("hush", MASK.json(r'{"pass\u0077ord":"hush","a":1}'))
        self.assertNotIn("hush", MASK.json('{"user[password]":"hush","token[0]":"hush"}'))

    def test_the_end_may_be_missing(self):
        for text in ('{"password":"hush', '{"a":"x","token":["hush", "hu', '{"token":{"a":"hush\\'):
            self.assertNotIn("hush", MASK.json(text), text)
            json.loads(MASK.json(text) + "}")

    def test_letters_that_grow_in_lower_case_move_nothing(self):
        self.assertEqual(MASK.json('{"İİİ":"İ","TOKEN":"hush"}'), '{"İİİ":"İ","TOKEN":"********"}')

    def test_texts_without_secrets_are_unchanged(self):
        for text in ('{"a": "the \\"password\\": none", "b":1.0}', "token", '["password"]', ""):
            self.assertEqual(MASK.json(text), text)

    def test_hostile_texts_cost_no_more_than_their_length(self):
        for text in (
            '"password' + '\\"' * 50_000,
            '"password":' * 20_000,
            '{"token":[' * 20_000,
            '\\u"' * 50_000,
            '"token[' * 20_000,
            "token[" * 20_000,
            '[token"' * 20_000,
            '"secret"' + " " * 100_000,
        ):
            began = time.process_time()
            MASK.json(text)
            self.assertLess(time.process_time() - began, 1.0, text[:20])


class Queries(TestCase):
    def test_names_are_compared_decoded_and_without_case(self):
        for query, masked in (
            ("a=b&password=x", "a=b&password=********"),
            ("PassWord=x&c=d", "PassWord=********&c=d"),
            ("pass%77ord=x", "pass%77ord=********"),
            ("user[password]=x", "user[password]=********"),
            ("user%5Btoken%5D=x", "user%5Btoken%5D=********"),
            ("password=a;b?c&d=e", "password=********&d=e"),
            ("a=b;token=c", "a=b;token=********"),
            ("next=/x?token=c", "next=/x?token=********"),
            ("password=&token", "password=&token"),
            ("passwords=x", "passwords=x"),
        ):
            self.assertEqual(MASK.query(query), masked)

    def test_urls(self):
        self.assertEqual(MASK.url("/token=1?token=1"), "/token=1?token=********")
        self.assertEqual(MASK.url("/a#access_key=1"), "/a#access_key=********")


class Headers(TestCase):
    def test_secret_ones_in_any_case(self):
        names = ("AUTHORIZATION", "Proxy-Authorization", "cookie", "Set-Cookie", "X-API-Key")
        headers = {**dict.fromkeys(names, "hush"), "Access-Key": "hush", "Host": "h"}
        masked = json.loads(MASK.headers(headers.items()))
        self.assertEqual(masked.pop("host"), "h")
        self.assertEqual(len(masked), 6)
        self.assertEqual(set(masked.values()), {STARS})

    def test_without_fields_headers_are_still_masked(self):
        self.assertEqual(Mask([]).headers([("Cookie", "a")]), '{"cookie":"********"}')
        self.assertEqual(Mask([]).query("password=%41"), "password=%41")
        self.assertEqual(Mask([]).json('{"password":1}'), '{"password":1}')

    def test_requests_have_them_by_the_names_of_wsgi(self):
        mask = Mask(["token"])
        environ = {
            "REQUEST_METHOD": "GET", "wsgi.input": None, "HTTP_X_100%S": "50%", "HTTP_TOKEN": "hush",
            "HTTP_COOKIE": "hush", "HTTP_REFERER": "/?token=hush", "CONTENT_TYPE": "",
            "HTTP_CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "3", "HTTP_CONTENT_LENGTH": "4",
        }  # fmt: skip
        expected = {
            "x-100%s": "50%", "token": STARS, "cookie": STARS, "referer": "/?token=********",
            "content-type": "text/plain", "content-length": "3",
        }  # fmt: skip
        for _ in range(2):
            text = mask.request_headers(environ)
            self.assertEqual(json.loads(text), expected)
            self.assertEqual(len(json.loads(text, object_pairs_hook=list)), len(expected))
        # Another request with the same names has its own values, and these need not be texts.
        text = mask.request_headers({**environ, "HTTP_X_100%S": 7, "CONTENT_LENGTH": ""})
        self.assertEqual(
            json.loads(text), {**expected, "x-100%s": "7", "content-length": "4"}
        )
        self.assertEqual(mask.request_headers({}), "{}")

    def test_names_that_clients_make_up_fill_no_memory(self):
        mask = Mask(["token"])
        for nth in range(3000):
            mask.request_headers({f"HTTP_A{nth}": "a", "HTTP_TOKEN": "hush"})
            mask.request_headers({f"HTTP_{nth}" + "A" * 8000: "a"})
            mask.headers([(f"a{nth}", "a")])
        self.assertLessEqual(len(mask._plans), 256)
        self.assertLess(max(sum(map(len, keys)) for keys in mask._plans), 4000)
        self.assertLessEqual(len(mask._begins), 1000)

    def test_a_cookie_is_named_once(self):
        for headers in ([], [("Set-Cookie", "a=b")]):
            self.assertEqual(MASK.headers(headers, True), '{"set-cookie":"********"}')

    def test_urls_in_headers(self):
        masked = json.loads(MASK.headers([("Referer", "http://h/?token=a&b=c")]))
        self.assertEqual(masked["referer"], "http://h/?token=********&b=c")
