"""Tests the masking of secrets in JSON, forms, URLs and headers, whole and broken."""

import json
import re
import time
from unittest import TestCase, skipUnless
from urllib.parse import quote_plus

from django_audit_logger import secrets
from django_audit_logger.masking import STARS, Mask

from .shared import MASKING, REPOSITORY

FIELDS = ["password", "token", "access_key", "secret"]
MASK = Mask(FIELDS, exact=True)
BY_MEANING = Mask(FIELDS)
CASES = json.loads(MASKING.read_text())


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
            '"' + "eyJ" * 50_000,
            "Bearer " * 20_000,
            "-----BEGIN " * 10_000,
            "-----BEGIN PRIVATE KEY" * 5_000,
            "4111 " * 20_000,
            "4111-1111-1111-1111-" * 5_000,
            "4" * 100_000,
            "tokenA" * 20_000,
            '{"' + "token_type_" * 10_000 + '":1}',
            ";a=%3D" * 20_000,
            "?a={" * 20_000,
            "%3D" * 20_000,
            "&a=%253D" * 20_000,
            "://a" * 20_000,
            "://@" * 20_000,
            "a=" + "%25" * 30_000 + "3Dx",
            "eyJ." * 20_000,
            "eyJaaaaaaa.b " * 20_000,
            'a={"&' * 20_000,
            'a=+{"b":"&"}&' * 10_000,
            '{"a":' * 20_000,
            '["a=%3D\\\\",' * 10_000,
            "=[" * 20_000,
            '{ "' * 20_000,
            "{" + " " * 100_000,
            '["' + "\\\\u0025" * 20_000 + '3D"]',
            '%22{"' * 20_000,
            "//a:" * 20_000,
            '&%7B"' * 20_000,
        ):
            for mask in (MASK, BY_MEANING):
                began = time.process_time()
                mask.json(text)
                mask.query(text)
                mask.text(text)
                # Below a second on an idle machine; work in proportion to the square takes minutes.
                self.assertLess(time.process_time() - began, 20.0, text[:20])


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


class Meaning(TestCase):
    """The shared cases: the daemon's tests read the same."""

    def masked(self, mask, names):
        """Returns those of the names that are masked, in JSON, forms and multipart fields alike."""
        found = []
        for name in names:
            texts = (
                mask.json(json.dumps({"a": [{name: "hush"}]})),
                mask.json(json.dumps({name: {"x": ["hush", 1]}})),
                mask.query(f"a=b&{quote_plus(name)}=hush"),
                mask.query(f"a=b&{name}=hush"),
                mask.url(f"/?a=b&{name}=hush"),
                json.dumps(mask.masked(name, ["hush"])),
            )
            hidden = ["hush" not in text for text in texts]
            self.assertIn(hidden, ([True] * 6, [False] * 6), (name, texts))
            found += [name] if hidden[0] else []
        return found

    def test_names_that_mean_a_secret_are_masked_and_no_others(self):
        cases = CASES["names"]
        self.assertGreaterEqual(len(cases["secret"]), 60)
        self.assertGreaterEqual(len(cases["innocent"]), 40)
        self.assertEqual(self.masked(BY_MEANING, cases["secret"]), cases["secret"])
        self.assertEqual(self.masked(BY_MEANING, cases["innocent"]), [])
        self.assertEqual(self.masked(Mask([]), cases["secret"]), [])

    def test_added_names_are_masked_wherever_their_parts_stand(self):
        cases = CASES["added"]
        mask = Mask(cases["fields"])
        self.assertEqual(self.masked(mask, cases["secret"]), cases["secret"])
        self.assertEqual(self.masked(mask, cases["innocent"]), [])

    def test_the_exact_rule_masks_whole_names_only(self):
        cases = CASES["exact"]
        mask = Mask(cases["fields"], exact=True)
        self.assertEqual(self.masked(mask, cases["secret"]), cases["secret"])
        self.assertEqual(self.masked(mask, cases["innocent"]), [])

    def test_headers_are_masked_by_their_names(self):
        for kind, value in (("secret", STARS), ("innocent", "hush")):
            for name in CASES["headers"][kind]:
                headers = json.loads(BY_MEANING.headers([(name, "hush")]))
                self.assertEqual(headers, {name.lower(): value})
                key = name.upper().replace("-", "_")
                key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
                headers = json.loads(BY_MEANING.request_headers({key: "hush"}))
                self.assertEqual(headers, {name.lower(): value})

    def test_values_that_look_like_a_secret_are_masked_wherever_they_stand(self):
        for kind, expected in (("secret", [True] * 6), ("innocent", [False] * 6)):
            for value in CASES["values"][kind]:
                texts = (
                    BY_MEANING.query(f"a={quote_plus(value)}"),
                    BY_MEANING.json(json.dumps({"a": value})),
                    BY_MEANING.json(f"it is {value}"),
                    str(BY_MEANING.masked("a", [value])),
                    BY_MEANING.headers([("x-note", value)]),
                    BY_MEANING.request_headers({"HTTP_X_NOTE": value}),
                )
                self.assertEqual([STARS in text for text in texts], expected, (value, texts))
                self.assertEqual(Mask(FIELDS, exact=True).json(value), value)
                self.assertEqual(Mask([]).json(value), value)

    def test_the_rest_of_a_text_stays_as_it_was_sent(self):
        for case in CASES["texts"]:
            self.assertEqual(BY_MEANING.json(case["text"]), case["masked"])
            self.assertEqual(BY_MEANING.json(case["masked"]), case["masked"])
        for case in CASES["queries"]:
            self.assertEqual(BY_MEANING.query(case["query"]), case["masked"])
        for case in CASES["urls"]:
            self.assertEqual(BY_MEANING.url(case["url"]), case["masked"])

    def test_what_is_within_the_values_of_headers_is_masked(self):
        for case in CASES["header_values"]:
            for headers in (
                BY_MEANING.headers([("X-Note", case["value"])]),
                BY_MEANING.request_headers({"HTTP_X_NOTE": case["value"]}),
            ):
                self.assertEqual(json.loads(headers), {"x-note": case["masked"]})
            self.assertEqual(BY_MEANING.text(case["masked"]), case["masked"])
            self.assertEqual(BY_MEANING.masked("a", [case["value"]]), [case["masked"]])
            exact = Mask(FIELDS, exact=True).headers([("X-Note", case["value"])])
            self.assertEqual(json.loads(exact), {"x-note": case["value"]})

    def test_tokens_are_masked_in_any_text(self):
        token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2ln"
        self.assertEqual(BY_MEANING.tokens(f"curl {token} a"), "curl ******** a")
        self.assertEqual(BY_MEANING.tokens("a 4111111111111111 b@c"), "a 4111111111111111 b@c")
        self.assertEqual(Mask(FIELDS, exact=True).tokens(token), token)

    def test_each_word_has_three_letters_by_which_it_is_found(self):
        for word in (*secrets.WORDS, *secrets.WHOLE, *secrets.WITHIN, *secrets.ENDINGS):
            self.assertTrue(any(sign in part for sign in secrets.SIGNS for part in word.split()), word)
        for word in (*secrets.WORDS, *secrets.WHOLE, *secrets.WITHIN, *secrets.ENDINGS):
            signs = [sign for sign in secrets.NAME_TRIPLES for part in word.split() if sign in part]
            self.assertTrue(signs, word)

    def test_names_that_clients_make_up_fill_no_memory(self):
        mask = Mask(FIELDS)
        for nth in range(5000):
            mask.query(f"key{nth}=a")
            mask.query(f"key{'a' * 300}{nth}=a")
        self.assertLessEqual(len(mask._fields), 4096)
        self.assertLessEqual(max(map(len, mask._fields)), 200)
        for nth in range(3000):
            mask.request_headers({"HTTP_A": f"value {nth}", "HTTP_B": "a" * 400})
        self.assertLessEqual(len(mask._encoded), 1000)
        self.assertLessEqual(max(map(len, mask._encoded)), 300)

    @skipUnless((REPOSITORY / "src/format/secrets.rs").exists(), "the daemon's source is elsewhere")
    def test_the_daemon_has_the_same_tables(self):
        source = (REPOSITORY / "src/format/secrets.rs").read_text()
        for name in (
            "WORDS", "WHOLE", "WITHIN", "ENDINGS", "DESCRIPTIONS", "QUESTIONS", "EXCEPTIONS",
            "NAME_TRIPLES",
        ):
            table = re.search(rf"const {name}: &\[&str\] = &\[(.*?)\];", source, re.DOTALL)[1]
            self.assertEqual(tuple(re.findall('"(.*?)"', table)), getattr(secrets, name), name)
