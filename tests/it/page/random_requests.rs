//! Random requests, cookies, filters and ranges: each gets an answer, and no one gets in.
//!
//! `LOG_INGESTD_FUZZ_REQUESTS` says how many the ignored test sends.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use log_ingestd::model::Filter;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use super::access::{auth_file, line};
use super::client::{Site, rest};
use crate::daemon::{Bench, lines};
use crate::place::Place;

/// Requests of each kind in each run of the tests.
const SHORT: u32 = 700;

/// Parts that requests and their values are made of.
const PARTS: [&str; 45] = [
    "a",
    "0",
    "1",
    "-1",
    "9",
    ".",
    "/",
    "*",
    "%",
    "_",
    "\\",
    "'",
    "\"",
    "`",
    "é",
    "\u{202e}",
    "\0",
    ",",
    "-",
    ">=",
    "xx",
    "4xx",
    "1h",
    "now",
    "yesterday",
    "2026-11-27T10:00:00Z",
    "9223372036854775807",
    "-9223372036854775808",
    "1e9",
    "203.0.113.9",
    "/1",
    "/33",
    "::",
    "::ffff:1.2.3.4",
    "2001:db8::/32",
    ".1",
    ".9223372036854775807",
    "[",
    ")",
    " OR 1=1",
    "code:",
    "url:/",
    "text:",
    "{",
    "\u{1f600}",
];

/// Names of other parameters, and of none.
const OTHERS: [&str; 13] = [
    "limit",
    "before",
    "after",
    "by",
    "format",
    "table",
    "file",
    "part",
    "field",
    "bound",
    "selected_from",
    "",
    "x",
];

const PATHS: [&str; 26] = [
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/overview",
    "/api/overview/progress",
    "/api/changes",
    "/api/changes/progress",
    "/api/suggest",
    "/api/top",
    "/api/routes",
    "/api/log",
    "/api/requests",
    "/api/log/",
    "/api/requests/",
    "/api/tail",
    "/api/export",
    "/api/files",
    "/api/rejects",
    "/api/attention",
    "/api/marks",
    "/api/newest",
    "/assets/",
    "/api/",
    "//",
    "*",
];

const HEADERS: [&str; 14] = [
    "Cookie",
    "Authorization",
    "Range",
    "If-None-Match",
    "Accept",
    "Origin",
    "Sec-Fetch-Site",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "Content-Length",
    "Transfer-Encoding",
    "Expect",
    "Upgrade",
    "X",
];

/// Beginnings of values, so that more than the first look at them is tried.
const BEGINNINGS: [&str; 12] = [
    "",
    "log_ingestd=",
    "a=b; log_ingestd=",
    "Basic",
    "Basic=",
    "Digest ",
    "bytes=",
    "bytes=0-",
    "W/\"",
    "application/openmetrics-text",
    "http://",
    "https",
];

fn text() -> impl Strategy<Value = String> {
    let short = vec(select(&PARTS[..]), 0..6).prop_map(|parts| parts.concat());
    let long = (select(&PARTS[..]), 1..12_000_usize).prop_map(|(part, times)| part.repeat(times));
    prop_oneof![20 => short, 1 => long, 2 => any::<String>()]
}

fn query() -> impl Strategy<Value = String> {
    let names = [&Filter::NAMES[..], &OTHERS].concat();
    vec((select(names), text()), 0..5).prop_map(|pairs| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        pairs.iter().for_each(|(name, value)| {
            query.append_pair(name, value);
        });
        query.finish()
    })
}

fn header() -> impl Strategy<Value = String> {
    let value =
        (select(&BEGINNINGS[..]), text()).prop_map(|(begin, text)| begin.to_owned() + &text);
    (select(&HEADERS[..]), value).prop_map(|(name, value)| format!("{name}: {value}\r\n"))
}

/// How long a torn request waits for an answer.
const WAIT: Duration = Duration::from_millis(50);

/// Whether a request has its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Whole,
    Torn,
}

/// What is sent.
type Sent = (Vec<u8>, Shape);

/// A request that is well formed but for its values.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let method =
        prop_oneof![20 => Just("GET"), 1 => Just("HEAD"), 1 => Just("POST"), 1 => Just("\u{0}")];
    let rest = prop_oneof![3 => Just(String::new()), 1 => text()];
    (method, select(&PATHS[..]), rest, query(), vec(header(), 0..4)).prop_map(
        |(method, path, rest, query, headers)| {
            let rest: String = form_urlencoded::byte_serialize(rest.as_bytes()).collect();
            let headers = headers.concat();
            format!("{method} {path}{rest}?{query} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n")
                .into_bytes()
        },
    )
}

/// A request of which a part is replaced, missing or there twice.
fn torn() -> impl Strategy<Value = Vec<u8>> {
    (request(), any::<(u16, u16)>(), vec(any::<u8>(), 0..8)).prop_map(
        |(request, (from, length), bytes)| {
            let from = usize::from(from) % request.len();
            let to = (from + usize::from(length) % 20).min(request.len());
            [&request[..from], &bytes, &request[to..]].concat()
        },
    )
}

/// Sends it and returns what was answered: of a stream the beginning.
fn answer(site: &Site, (request, shape): &Sent) -> String {
    let mut stream = site.connect();
    let _ = stream.write_all(request);
    if *shape == Shape::Torn {
        // The daemon may wait for the rest of it, or for the next one.
        let patience = stream.read_timeout().unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        let _ = stream.peek(&mut [0]);
        stream.set_read_timeout(patience).unwrap();
        let _ = stream.shutdown(Shutdown::Write);
    } else if request.starts_with(b"GET /api/tail?") {
        let (mut seen, mut buffer) = (Vec::new(), [0; 1024]);
        while !seen.windows(4).any(|it| it == b"\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(read @ 1..) => seen.extend_from_slice(&buffer[..read]),
                // One that is too long is not answered.
                Ok(0) => break,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{error}"),
            }
        }
        let begin = String::from_utf8_lossy(&seen).into_owned();
        let has_end = !begin.starts_with("HTTP/1.1 200");
        return if has_end { begin + &rest(&mut stream) } else { begin };
    }
    rest(&mut stream)
}

/// Checks the answer and returns its status; `None` if the connection ended without one.
fn judged(answer: &str) -> Result<Option<u16>, TestCaseError> {
    if answer.is_empty() {
        return Ok(None);
    }
    let status: u16 = answer.get(9..12).and_then(|it| it.parse().ok()).unwrap_or_default();
    let expected = [200, 304, 400, 401, 403, 404, 405, 414, 421, 431];
    prop_assert!(expected.contains(&status), "{answer}");
    if let (400 | 403 | 404, Some((head, body))) = (status, answer.split_once("\r\n\r\n"))
        && head.contains("application/json")
        && !body.is_empty()
    // of HEAD
    {
        let error: Value = serde_json::from_str(body).unwrap_or_default();
        let why = error["error"].as_str().unwrap_or_default();
        prop_assert!(why.len() > 10, "{answer}");
    }
    Ok(Some(status))
}

/// Sends as many requests of each kind, to a page with and to one without a password.
async fn all_get_answers(requests: u32) {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..200) + "nonsense\n");
    let open = Site::open(&bench, &[]).await;
    bench.rows(200).await;
    let locked = Bench::new(Place::sqlite().await).await;
    let file = auth_file(&locked, &line(&locked, &["jo"], "right"));
    let locked = Site::open(&locked, &["--auth-file", file.to_str().unwrap()]).await;

    let run = |test: &dyn Fn(&Sent) -> Result<(), TestCaseError>| {
        let config = Config { cases: requests, failure_persistence: None, ..Config::default() };
        let whole = request().prop_map(|it| (it, Shape::Whole));
        let kinds = prop_oneof![3 => whole, 1 => torn().prop_map(|it| (it, Shape::Torn))];
        TestRunner::new(config).run(&kinds, |request| test(&request)).unwrap();
    };
    let answered = AtomicU32::new(0);
    run(&|request| {
        let status = judged(&answer(&open, request))?;
        answered.fetch_add(u32::from(status == Some(200)), Ordering::Relaxed);
        Ok(())
    });
    assert!(answered.load(Ordering::Relaxed) > requests / 20, "most requests were refused");
    run(&|request| {
        let is_open = request.0.windows(8).any(|it| it == b"/healthz");
        let status = judged(&answer(&locked, request))?;
        prop_assert!(is_open || status != Some(200), "a client without a password was answered");
        Ok(())
    });
    for site in [open, locked] {
        assert_eq!(site.get("/healthz").status, 200);
        let said = site.daemon.said();
        assert!(!said.contains("panicked"), "{said}");
        assert!(said.lines().filter(|line| line.contains("refused")).count() < 10, "{said}");
        assert!(site.daemon.stop().await.success());
    }
    println!("{} requests", 2 * requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn random_requests_are_answered_and_let_no_one_in() {
    all_get_answers(SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: a hundred thousand requests of each kind, or LOG_INGESTD_FUZZ_REQUESTS"]
async fn very_many_random_requests_are_answered_and_let_no_one_in() {
    let given = std::env::var("LOG_INGESTD_FUZZ_REQUESTS").ok();
    all_get_answers(given.map_or(100_000, |text| text.parse().unwrap())).await;
}
