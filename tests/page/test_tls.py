"""Tests the page over TLS, with a certificate that openssl has made."""

import base64
import datetime
import hashlib
import subprocess

import logs
import pytest
from browser import Browser
from daemon import PROGRAM, Site, wait
from stores import Sqlite


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """Provides a site with TLS and one person, and the digest of its key."""
    place = tmp_path_factory.mktemp("tls")
    certificate, key, auth = place / "crt", place / "key", place / "auth"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
            "-subj", "/CN=page", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
            "-keyout", str(key), "-out", str(certificate))
    secret = subprocess.run([PROGRAM, "hash-password", "jo"], input="one\n", check=True, text=True, capture_output=True)
    auth.touch(0o600)
    auth.write_text(secret.stdout)
    flags = ["--tls-cert", str(certificate), "--tls-key", str(key), "--auth-file", str(auth)]
    site = Site(Sqlite, {"access.log": logs.access(datetime.datetime.now(datetime.timezone.utc))}, flags=flags)
    public = openssl("pkey", "-in", str(key), "-pubout", "-outform", "DER")
    site.digest = base64.b64encode(hashlib.sha256(public).digest()).decode()
    yield site
    site.close()


@pytest.fixture(scope="module")
def browser(encrypted):
    """Provides a browser that trusts this one key."""
    browser = Browser(f"--ignore-certificate-errors-spki-list={encrypted.digest}")
    browser.site = encrypted
    yield browser
    browser.close()


def test_a_person_logs_in_and_follows_the_log_over_tls(browser, encrypted):
    assert encrypted.address.startswith("https://")
    # Scripts of a page whose address has a password may not ask for anything: the page itself is opened without.
    browser.driver.get(encrypted.address.replace("://", "://jo:one@") + "metrics")
    browser.driver.get_log("performance")
    browser.open(view="log", live="1")
    assert browser.run("return [isSecureContext, performance.getEntriesByType('navigation')[0].nextHopProtocol]") == [True, "http/1.1"]
    (cookie,) = browser.driver.get_cookies()
    assert (cookie["name"], cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == ("log_ingestd", True, True, "Strict")
    encrypted.append("access.log", logs.line(datetime.datetime.now(datetime.timezone.utc), "/over-tls"))
    wait(lambda: "/over-tls" in browser.cells("url"), "the new row")
    # The first answer is 401, as it has to be.
    browser.verdict(refused=True)


def test_a_browser_that_does_not_trust_the_certificate_and_one_without_tls_are_told(chromium, encrypted):
    chromium.driver.get(encrypted.address)
    assert "ERR_CERT_AUTHORITY_INVALID" in chromium.driver.page_source
    wait(lambda: "TLS handshakes with the page have failed" in encrypted.said.read_text(), "the line of the log")
    chromium.driver.get(encrypted.address.replace("https", "http"))
    assert "this page is encrypted: its address begins with https" in chromium.driver.page_source
    for log in ("browser", "performance"):
        chromium.driver.get_log(log)
