//! The page, as a browser and as a stranger see it.

pub(crate) mod access;
mod api;
mod attacks;
pub(crate) mod client;
mod encrypted;
mod losses;
pub(crate) mod measures;
mod monitoring;
mod random_requests;
mod under_attack;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use client::Site;

use crate::daemon::{Bench, Daemon, lines};
use crate::place::Place;

/// How long an orderly stop may take.
const ORDERLY: Duration = Duration::from_secs(10);

/// Connections that the daemon has at once.
const MOST: usize = log_ingestd::web::MAX_CONNECTIONS;

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_the_browser_to_trust_no_other_site() {
    let bench = Bench::new(Place::sqlite().await).await;
    let site = Site::open(&bench, &[]).await;
    let page = site.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.body.contains("<title>log-ingestd"), "{}", page.body);
    for (answer, status) in [
        (page, 200),
        (site.get("/assets/none.js"), 404),
        (site.get("/elsewhere"), 404),
        (site.get("/healthz"), 200),
        (site.ask("POST", "/", &[("Content-Length", "0")]), 405),
    ] {
        assert_eq!(answer.status, status);
        assert_eq!(
            answer.header("content-security-policy"),
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
             connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert!(["no-store", "no-cache"].contains(&answer.header("cache-control")));
    }
    let tag = site.get("/").header("etag").to_owned();
    let known = site.get_with("/", &[("If-None-Match", &format!("\"other\", {tag}"))]);
    assert_eq!((known.status, known.body.as_str()), (304, ""));
    assert_eq!(site.get_with("/", &[("If-None-Match", "\"other\"")]).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_whose_name_points_here_learns_nothing() {
    let bench = Bench::new(Place::sqlite().await).await;
    let site = Site::open(&bench, &[]).await;
    for (host, status) in [
        ("localhost", 200),
        ("127.0.0.1:1", 200),
        ("[::1]", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("", 421),
    ] {
        let answer = site.get_with("/", &[("Host", host)]);
        assert_eq!(answer.status, status, "{host}");
        assert!(!answer.header("content-security-policy").is_empty());
        assert_eq!(answer.body.contains("<title>"), status == 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_say_nothing_hold_up_neither_lines_nor_a_stop() {
    let bench = Bench::new(Place::sqlite().await).await;
    let site = Site::open(&bench, &[]).await;
    let mut silent: Vec<TcpStream> = (0..MOST + 6).map(|_| site.connect()).collect();
    for client in &mut silent[..MOST] {
        client.write_all(b"GET / HTTP/1.1\r\nHost: loc").unwrap();
    }
    bench.append("access.log", lines("a", 0..1000));
    bench.rows(1000).await;
    // The place of one that does nothing is the next one's.
    assert_eq!(site.get("/healthz").body, "ok\n");
    // One that asks for too much is not listened to.
    let mut greedy = site.connect();
    let endless =
        [b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec(), vec![b'x'; 1 << 20]].concat();
    let _ = greedy.write_all(&endless);
    let mut answer = Vec::new();
    let _ = greedy.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "it was answered");
    let began = Instant::now();
    assert!(site.daemon.stop().await.success());
    assert!(began.elapsed() < ORDERLY, "it took {:?}", began.elapsed());
}

/// A browser that is left open on the live tail, for days.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_an_end_ends_with_a_stop_and_with_a_reload() {
    let bench = Bench::new(Place::sqlite().await).await;
    let mut site = Site::open(&bench, &[]).await;
    let tail = |site: &Site| {
        let mut stream = site.connect();
        write!(stream, "GET /api/tail HTTP/1.1\r\nHost: {}\r\n\r\n", site.address).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        stream
    };
    let mut before = tail(&site);
    site.daemon.signal("HUP");
    site.daemon.says("configuration read again").await;
    before.read_to_end(&mut Vec::new()).unwrap();
    let mut during = tail(&site);
    let began = Instant::now();
    site.daemon.signal("TERM");
    assert!(site.daemon.ends().await.success(), "{}", site.daemon.said());
    assert!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
    during.read_to_end(&mut Vec::new()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_address_that_another_has_costs_the_page_only() {
    let bench = Bench::new(Place::sqlite().await).await;
    // Another program may have it already; a test in another process has it for a moment only.
    let mut taken = TcpListener::bind("127.0.0.1:8686");
    let end = Instant::now() + Duration::from_secs(5);
    while taken.is_err() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
        taken = TcpListener::bind("127.0.0.1:8686");
    }
    bench.append("access.log", lines("a", 0..10));
    let logs = bench.logs();
    let mut command = bench.command(&["--watch", logs.to_str().unwrap()]);
    command.env_remove("LOG_INGESTD_LISTEN");
    let mut daemon = Daemon::start(command, bench.aside("stderr"));
    daemon.says("no page: cannot listen on its address").await;
    bench.rows(10).await;
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_was_asked_for_must_be_had() {
    let bench = Bench::new(Place::sqlite().await).await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let logs = bench.logs();
    let output = bench.run(&["--watch", logs.to_str().unwrap(), "--listen", &address]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");

    let mut daemon = bench.watch_with(&["--listen", "off"]);
    daemon.says("watching").await;
    bench.append("access.log", lines("a", 0..1));
    bench.rows(1).await;
    assert!(!daemon.said().contains("page"), "{}", daemon.said());
}
