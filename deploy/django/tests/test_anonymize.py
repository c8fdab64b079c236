"""Tests that of addresses no more is logged than ANONYMIZE_IP keeps."""

import logging

from django.test import TestCase

from .support import LogMixin


def of_header(request):
    return request.headers.get("X-Client")


class Anonymize(LogMixin, TestCase):
    def logged(self, peer, **headers):
        self.client.get("/hello", REMOTE_ADDR=peer, headers=headers)
        return self.rows()[-1]

    def test_the_last_bits_of_an_address_are_not_kept(self):
        for bits, addresses in (
            (False, ("203.0.113.77", "2001:db8:1:2:3::4", "203.0.113.77")),
            (True, ("203.0.113.0", "2001:db8:1::", "203.0.113.0")),
            ((20, 32), ("203.0.112.0", "2001:db8::", "203.0.112.0")),
            ((32, 128), ("203.0.113.77", "2001:db8:1:2:3::4", "203.0.113.77")),
            ((0, 0), ("0.0.0.0", "::", "0.0.0.0")),
        ):
            self.set(ANONYMIZE_IP=bits)
            peers = ("203.0.113.77", "2001:db8:1:2:3::4", "::ffff:203.0.113.77")
            found = tuple(self.logged(peer)["ip_address"] for peer in peers)
            self.assertEqual(found, addresses, bits)

    def test_the_client_is_found_before_its_address_is_shortened(self):
        # 10.20.30.0, which is left of the proxy, would not be one of these.
        self.set(ANONYMIZE_IP=True, TRUSTED_PROXIES=["10.20.30.40/32"])
        row = self.logged("10.20.30.40", **{"x-forwarded-for": "6.6.6.6, 1.2.3.4, 10.20.30.40"})
        self.assertEqual(row["ip_address"], "1.2.3.0")

    def test_the_address_of_the_callable_is_shortened(self):
        self.set(ANONYMIZE_IP=True, IP_CALLABLE="tests.test_anonymize.of_header")
        self.assertEqual(self.logged("127.0.0.1", **{"x-client": "203.0.113.77"})["ip_address"], "203.0.113.0")

    def test_headers_of_proxies_are_shortened_too(self):
        self.set(ANONYMIZE_IP=True, IP_HEADERS=["X-Our-Proxy"])
        headers = self.logged("127.0.0.1", **{
            "x-our-proxy": "203.0.113.77",
            "x-forwarded-for": "unknown, 203.0.113.77:8080,2001:db8:1:2:3::4",
            "forwarded": 'for=203.0.113.77;proto=http;host=a.example, For="[2001:db8:1:2:3::4]:80"',
            "x-real-ip": "::ffff:203.0.113.77",
            "x-other": "203.0.113.77",
        })["headers"]
        self.assertEqual(headers["x-our-proxy"], "203.0.113.0")
        self.assertEqual(headers["x-forwarded-for"], "unknown, 203.0.113.0,2001:db8:1::")
        self.assertEqual(
            headers["forwarded"], 'for=203.0.113.0;proto=http;host=a.example, For="[2001:db8:1::]"'
        )
        self.assertEqual(headers["x-real-ip"], "203.0.113.0")
        # No proxy sets this one.
        self.assertEqual(headers["x-other"], "203.0.113.77")

    def test_a_wrong_value_logs_no_address(self):
        self.set(ANONYMIZE_IP=(24, 200))
        with self.assertLogs("django_audit_logger", logging.WARNING):
            self.assertEqual(self.client.get("/hello").status_code, 200)
        self.assertEqual(self.rows(), [])
