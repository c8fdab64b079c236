"""Tests users and secrets of Django REST framework with JSON Web Tokens."""

import json

from django.contrib.auth.models import User
from django.test import TestCase, override_settings

from django_audit_logger.masking import STARS

from .support import LogMixin


@override_settings(ROOT_URLCONF="tests.rest_urls", SECRET_KEY="a key of the tests, long enough for HMAC")
class Rest(LogMixin, TestCase):
    def setUp(self):
        super().setUp()
        self.user = User.objects.create_user("jo", password="hush")

    def test_a_view_that_raises_is_logged_with_its_exception(self):
        self.client.raise_request_exception = False
        for _ in range(2):
            self.assertEqual(self.client.get("/fails").status_code, 500)
        first, second = (row["extra_data"]["exception"] for row in self.rows())
        self.assertEqual((first["class"], second), ("KeyError", first))

    def test_tokens_are_masked_and_their_users_known(self):
        answer = self.client.post("/token", {"username": "jo", "password": "hush"}, "application/json")
        tokens = answer.json()
        row = self.row()
        self.assertEqual(json.loads(row["response_body"]), {"refresh": STARS, "access": STARS})
        self.assertEqual(json.loads(row["body"]), {"username": "jo", "password": STARS})
        self.client.post("/refresh", {"refresh": tokens["refresh"]}, "application/json")
        for path in ("/who", "/stateless", "/unlogged"):
            answer = self.client.post(
                path, {"a": 1}, "application/json",
                headers={"authorization": f"Bearer {tokens['access']}"},
            )
            self.assertEqual(answer.status_code, 200)
        rows = self.rows()
        self.assertEqual([row["path"] for row in rows[2:]], ["/who", "/stateless"])
        self.assertEqual([row["user_id"] for row in rows[2:]], [str(self.user.pk)] * 2)
        self.assertEqual(rows[2]["body"], '{"a": 1}')
        text = self.log.read_text()
        for secret in ("hush", tokens["access"], tokens["refresh"], tokens["access"].split(".")[1]):
            self.assertNotIn(secret, text)
