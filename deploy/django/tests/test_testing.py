"""Tests the helper for the tests of projects: log tables in their own test databases."""

import datetime

from django.test import TestCase, override_settings

from django_audit_logger.models import GunicornLogModel, RequestLog
from django_audit_logger.testing import create_tables


@override_settings(AUDIT_LOGGER={})
class Tables(TestCase):
    @classmethod
    def setUpTestData(cls):
        create_tables()
        create_tables()  # once more changes nothing

    def test_rows_can_be_made_and_asked_for(self):
        now = datetime.datetime.now(datetime.timezone.utc)
        RequestLog.objects.create(
            id=1, timestamp=now, log_file=1, log_offset=0, path="/a", ip_address="203.0.113.9",
            extra_data={"tenant": 7},
        )
        GunicornLogModel.objects.create(id=1, timestamp=now, log_file=1, log_offset=0, url="/a")
        self.assertEqual(RequestLog.objects.get(extra_data__tenant=7).timestamp, now)
        self.assertEqual(GunicornLogModel.objects.filter(url__startswith="/").count(), 1)
