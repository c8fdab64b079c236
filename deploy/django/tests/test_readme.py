"""Tests that the README is right."""

import pathlib
import re

from django.test import SimpleTestCase

from django_audit_logger import predecessor
from django_audit_logger.conf import defaults

PROJECT = pathlib.Path(__file__).resolve().parents[1]
README = (PROJECT / "README.md").read_text()
MOVING = (PROJECT / "MOVING.md").read_text()

class Words(SimpleTestCase):
    def test_every_setting_is_documented(self):
        table = README.partition("| `AUDIT_LOGGER[…]`")[2].partition("\n\n")[0]
        self.assertEqual(re.findall(r"^\| `(\w+)`", table, re.MULTILINE), list(defaults()))

    def test_every_setting_of_the_other_package_is_in_the_table(self):
        table = MOVING.partition("## Settings\n")[2].partition("\n## ")[0]
        names = re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in re.findall(r"^\|.*", table, re.MULTILINE)))
        self.assertEqual(len(names), len(set(names)))
        items = {"django_gunicorn_audit_logs", "INSTALLED_APPS", "AUDIT_LOGS"}
        self.assertEqual(set(names) - items, {*predecessor._KEYS, *predecessor._SETTINGS})

    def test_every_message_of_the_checks_is_documented(self):
        checks = (PROJECT / "src/django_audit_logger/checks.py").read_text()
        ids = set(re.findall(r'id="django_audit_logger\.(\w+)"', checks))
        self.assertGreater(len(ids), 10)
        self.assertEqual(ids - set(re.findall(r"\b[EWI]\d{3}\b", README)), set())

    def test_every_link_to_a_heading_leads_somewhere(self):
        for name, text in (("README.md", README), ("MOVING.md", MOVING)):
            for page, anchor in re.findall(r"\]\((README\.md|MOVING\.md|)#([\w-]+)\)", text):
                target = {"README.md": README, "MOVING.md": MOVING}[page or name]
                headings = re.findall(r"^#+ (.+)$", target, re.MULTILINE)
                anchors = {re.sub(r"[^\w -]", "", it.lower()).replace(" ", "-") for it in headings}
                self.assertIn(anchor, anchors, name)

    def test_every_variable_of_the_configuration_is_documented(self):
        source = PROJECT / "src/django_audit_logger"
        text = "".join(path.read_text() for path in source.glob("*.py"))
        used = set(re.findall(r'environ\.get\(\s*"(GUNICORN_\w+)"|_number\("(\w+)"', text))
        told = re.findall(r"^\| `(GUNICORN_\w+)`", README, re.MULTILINE)
        self.assertEqual({a or b for a, b in used}, set(told))
