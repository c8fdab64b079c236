//! Random requests to the whole page, without a network: paths, filters, cookies, and headers of all
//! kinds. None makes it panic, and none without a password is answered.

use std::sync::{Arc, Weak};

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::handler::Handler;
use axum::http::{HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::{MethodRouter, any_service};
use fastrand::Rng;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::listener::Peer;
use super::notices::Notices;
use super::places::Client;
use super::{Authenticator, Credentials, PageState, router};
use crate::metrics::Metrics;
use crate::model::Filter;
use crate::model::fuzz::{each_input, text};
use crate::store::{Location, Store};

/// Most bytes of an answer that are read: those of streams have no end.
const MOST: usize = 1 << 20;

const PATHS: [&str; 20] = [
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/overview",
    "/api/top",
    "/api/log",
    "/api/requests",
    "/api/log/",
    "/api/requests/",
    "/api/files",
    "/api/rejects",
    "/api/attention",
    "/api/marks",
    "/api/newest",
    "/assets/",
    "/assets/main.js",
    "/api/",
    "//",
    "/x",
];

const OTHERS: [&str; 9] = ["limit", "before", "after", "by", "format", "table", "file", "", "x"];

const HEADERS: [(&str, &[&str]); 11] = [
    ("cookie", &["log_ingestd=", "a=b; log_ingestd=", ""]),
    ("authorization", &["Basic", "Basic=", "Digest ", ""]),
    ("range", &["bytes=", "bytes=0-", ""]),
    ("if-none-match", &["W/\"", "\"", "*"]),
    ("accept", &["application/openmetrics-text", ""]),
    ("origin", &["http://", "https://localhost", "null"]),
    ("sec-fetch-site", &["same-origin", "cross-site", "none", ""]),
    ("x-forwarded-for", &["203.0.113.9, ", ""]),
    ("x-forwarded-proto", &["https", "http, ", ""]),
    ("host", &["localhost", "127.0.0.1:", "[::1]", ""]),
    ("x", &[""]),
];

/// A page without a network.
struct Page {
    runtime: Runtime,
    service: MethodRouter,
    _closing: watch::Sender<bool>,
    _directory: tempfile::TempDir,
}

impl Page {
    fn new(auth_file: Option<&str>) -> Page {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("log.sqlite3").display());
        let runtime = Runtime::new().unwrap();
        let store = runtime.block_on(Store::open(Location::parse(&url).unwrap())).unwrap();
        let (closing, closed) = watch::channel(false);
        let metrics = Arc::new(Metrics::default());
        let state = PageState::new(&store, metrics, "120d".to_owned(), "off".to_owned(), closed);
        let credentials = auth_file.map(|text| Arc::new(text.parse::<Credentials>().unwrap()));
        let notices = Arc::new(Notices::default());
        let router = router(Authenticator::without_delays(credentials), notices, state, None);
        let service = any_service(router);
        Page { runtime, service, _closing: closing, _directory: directory }
    }

    /// The answer, and its body.
    fn answer(&self, request: Request<Body>) -> (Response, Vec<u8>) {
        self.runtime.block_on(async {
            let (parts, body) = self.service.clone().call(request, ()).await.into_parts();
            let body = to_bytes(body, MOST).await.unwrap_or_default().to_vec();
            (Response::from_parts(parts, Body::empty()), body)
        })
    }
}

/// Makes a request; `None` if HTTP does not allow it.
fn request(rng: &mut Rng) -> Option<Request<Body>> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for _ in 0..rng.usize(..4) {
        let names = if rng.u8(..4) > 0 { &Filter::NAMES[..] } else { &OTHERS };
        query.append_pair(names[rng.usize(..names.len())], &text(rng));
    }
    let mut query = query.finish();
    if rng.u8(..20) == 0 {
        let at = rng.usize(..=query.len());
        query.insert_str(at, ["%", "%ff", "&&", "=", "+", "%00"][rng.usize(..6)]);
    }
    let rest: String = match rng.u8(..4) {
        0 => form_urlencoded::byte_serialize(text(rng).as_bytes()).collect(),
        _ => String::new(),
    };
    let path = PATHS[rng.usize(..PATHS.len())];
    let uri: Uri = format!("{path}{rest}?{query}").parse().ok()?;
    let method = ["GET", "GET", "GET", "HEAD", "POST", "DELETE"][rng.usize(..6)];
    let mut request = Request::builder().method(method).uri(uri).body(Body::empty()).ok()?;
    let headers = request.headers_mut();
    if rng.u8(..8) > 0 {
        headers.insert(header::HOST, HeaderValue::from_static("localhost:8686"));
    }
    for _ in 0..rng.usize(..4) {
        let (name, beginnings) = HEADERS[rng.usize(..HEADERS.len())];
        let value = beginnings[rng.usize(..beginnings.len())].to_owned() + &text(rng);
        let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) else { continue };
        headers.append(HeaderName::from_static(name), value);
    }
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let client = Arc::new(Client::new(address.ip(), Weak::new()));
    request.extensions_mut().insert(ConnectInfo(Peer { address, client, is_encrypted: false }));
    Some(request)
}

/// What is true of each answer.
fn judge(answer: &Response, body: &[u8]) {
    let (status, headers) = (answer.status(), answer.headers());
    let expected = [200, 304, 400, 401, 403, 404, 405, 414, 421, 503];
    assert!(expected.contains(&status.as_u16()), "{status} {}", String::from_utf8_lossy(body));
    for name in ["content-security-policy", "x-content-type-options", "cache-control"] {
        assert!(headers.contains_key(name), "{status} without {name}");
    }
    let is_json = headers.get(header::CONTENT_TYPE).is_some_and(|it| it == "application/json");
    if is_json && !body.is_empty() {
        let value: serde_json::Value = serde_json::from_slice(body).unwrap();
        let why = value["error"].as_str();
        assert!(status.is_success() || why.is_some_and(|why| why.len() > 10), "{value}");
    }
}

#[test]
fn no_request_makes_the_page_panic() {
    let page = Page::new(None);
    let mut answered = 0;
    each_input("requests", 10, |rng| {
        let Some(request) = request(rng) else { return };
        let is_cross =
            request.headers().get_all("sec-fetch-site").iter().any(|it| it == "cross-site");
        let is_api = request.uri().path().starts_with("/api/");
        let (answer, body) = page.answer(request);
        judge(&answer, &body);
        assert!(!(is_cross && is_api) || answer.status() == StatusCode::FORBIDDEN);
        answered += u32::from(answer.status() == StatusCode::OK);
    });
    println!("requests that were answered: {answered}");
    assert!(answered > 0);
}

#[test]
fn no_request_without_a_password_is_answered() {
    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$\
                        MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI";
    let page = Page::new(Some(&format!("jo:{HASH}\ntoken:ci:{HASH}\n")));
    each_input("requests without a password", 2, |rng| {
        let Some(request) = request(rng) else { return };
        let path = request.uri().path().to_owned();
        // The check of what may be a password takes a second by design.
        let given = request.headers().get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
        if given.is_some_and(super::auth::may_be_right) {
            return;
        }
        let (answer, body) = page.answer(request);
        judge(&answer, &body);
        assert!(answer.status() != StatusCode::OK || path == "/healthz", "{path}");
    });
}
