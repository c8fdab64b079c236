"""Tests the admin over the daemon's tables: its pages, and its queries."""

import datetime

from django.contrib.auth.models import User
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from .stores import ALIAS, StoreCase, both

REQUESTS = "/admin/django_audit_logger/requestlog/"
ACCESSES = "/admin/django_audit_logger/gunicornlogmodel/"


def ago(**age):
    moment = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(**age)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


class Pages(StoreCase):
    def setUp(self):
        super().setUp()
        user, _ = User.objects.get_or_create(username="root", is_staff=True, is_superuser=True)
        self.addCleanup(user.delete)
        self.client.force_login(user)
        self.insert(
            "request_log", 1, ago(minutes=2), method="POST", path="/api/a", status_code=200,
            body='{"note": "<script>alert(1)</script>"}', headers='{"host": "<b>h</b>"}',
            response_body="<h1>not JSON</h1>", user_id="jo", ip_address="203.0.113.9",
        )
        self.insert("request_log", 2, ago(minutes=1), method="GET", path="/b", status_code=503)
        self.insert("request_log", 3, ago(days=3), method="GET", path="/old", status_code=404)
        self.insert(
            "gunicorn_log", 4, ago(minutes=1), method="GET", url="/api/a?b=c", code=404,
            user_ip="2001:db8::1", response='{"headers": {"x": "<i>"}}',
        )

    def ids(self, url, **parameters):
        response = self.client.get(url, parameters)
        self.assertEqual(response.status_code, 200)
        return [row.pk for row in response.context["cl"].result_list]

    def test_lists_show_the_past_hour_and_what_the_filters_say(self):
        today = timezone.localdate()
        for parameters, ids in (
            ({}, [2, 1]),
            ({"period": "week"}, [2, 1, 3]),
            ({"period": "any"}, [2, 1, 3]),
            ({"period": str(today - datetime.timedelta(days=3))}, [3]),
            ({"period": "2001-01-01"}, []),
            ({"period": "nonsense"}, [2, 1]),
            ({"status": "error"}, [2]),
            ({"status": "2"}, [1]),
            ({"method": "POST"}, [1]),
            ({"q": "/api/"}, [1]),
            ({"q": "203.0.113.9"}, [1]),
            ({"q": "jo"}, [1]),
            ({"q": "pi"}, []),
        ):
            self.assertEqual(self.ids(REQUESTS, **parameters), ids, parameters)
        self.assertEqual(self.ids(ACCESSES), [4])
        self.assertEqual(self.ids(ACCESSES, q="2001:DB8::1", status="4"), [4])

    def test_a_long_path_is_found_by_all_of_its_beginning(self):
        long = "/long/" + 30 * "0123456789"
        self.insert("request_log", 5, ago(minutes=1), path=long + "a/b")
        self.insert("request_log", 6, ago(minutes=1), path=long + "b")
        self.assertEqual(self.ids(REQUESTS, q=long), [6, 5])
        self.assertEqual(self.ids(REQUESTS, q=long + "a"), [5])
        self.assertEqual(self.ids(REQUESTS, q="/long/%"), [])
        with CaptureQueriesContext(connections[ALIAS]) as queries:
            self.ids(REQUESTS, q="/api/")
        if self.vendor == "postgresql":
            self.assertIn('LEFT("request_log"."path", 200)::text LIKE \'/api/%\'', queries[0]["sql"])

    def test_a_row_is_shown_formatted_and_escaped(self):
        page = self.client.get(f"{REQUESTS}1/change/").content.decode()
        self.assertIn("&lt;script&gt;alert(1)&lt;/script&gt;", page)
        self.assertIn("&lt;h1&gt;not JSON&lt;/h1&gt;", page)
        self.assertIn("{\n  &quot;host&quot;: &quot;&lt;b&gt;h&lt;/b&gt;&quot;\n}", page)
        self.assertNotIn("<script>alert", page)
        page = self.client.get(f"{ACCESSES}4/change/").content.decode()
        self.assertIn("&lt;i&gt;", page)

    def test_nothing_can_be_changed(self):
        self.assertEqual(self.client.get(f"{REQUESTS}add/").status_code, 403)
        self.assertEqual(self.client.post(f"{REQUESTS}1/change/", {"path": "/"}).status_code, 403)
        self.assertEqual(self.client.post(f"{REQUESTS}1/delete/", {"post": "yes"}).status_code, 403)
        self.assertNotIn('name="_save"', self.client.get(f"{REQUESTS}1/change/").content.decode())

    def test_a_list_counts_nothing_and_reads_no_bodies(self):
        with CaptureQueriesContext(connections[ALIAS]) as queries:
            self.ids(REQUESTS, status="error", q="/b")
        self.assertEqual(len(queries), 2)
        for query in (query["sql"] for query in queries):
            self.assertNotIn("COUNT", query.upper())
            self.assertIn('"timestamp" >= ', query)
            self.assertNotIn("body", query)

    def test_pages_go_on_without_a_count(self):
        for nth in range(250):
            self.insert("request_log", 100 + nth, ago(minutes=1), path="/many")
        everything = []
        for page, count in ((1, 100), (2, 100), (3, 50)):
            ids = self.ids(REQUESTS, q="/many", p=page)
            self.assertEqual(len(ids), count)
            everything += ids
        self.assertEqual(everything, sorted(everything, reverse=True))
        self.assertEqual(len(set(everything)), 250)
        for page in ("4", "101", "999999999999", "x"):
            self.assertIn(self.client.get(REQUESTS, {"p": page}).status_code, (200, 302))


PagesOnSQLite, PagesOnPostgreSQL = both(Pages)
del Pages
