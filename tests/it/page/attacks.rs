//! Clients that want to take the page away from others, or to fill the disk with its log.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log_ingestd::model::now;
use log_ingestd::web::{MAX_CONNECTIONS, MAX_STREAMS};

use super::access::{auth_file, basic, line};
use super::client::{Site, ask, rest, status};
use crate::daemon::{Bench, line_at};
use crate::place::Place;

/// The peer that attacks; the person is at 127.0.0.1.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// More connections than there are places.
const MANY: usize = MAX_CONNECTIONS + 20;

/// A page that requires a password or a token, and the session of a person.
async fn with_a_password(bench: &Bench) -> (Site, String) {
    let lines = line(bench, &["jo"], "pa:ss") + &line(bench, &["ci", "--token"], "t0ken");
    let file = auth_file(bench, &lines);
    let site = Site::open(bench, &["--auth-file", file.to_str().unwrap()]).await;
    let first = site.get_with("/", &[("Authorization", &basic("jo", "pa:ss"))]);
    let cookie = first.header("set-cookie").split(';').next().unwrap().to_owned();
    (site, cookie)
}

/// The person and the probes get their answers.
fn all_is_there(site: &Site, headers: &[(&str, &str)]) {
    for path in ["/", "/healthz", "/readyz", "/metrics", "/api/files"] {
        assert_eq!(site.get_with(path, headers).status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_password_take_the_page_from_no_one() {
    let bench = Bench::new(Place::sqlite().await).await;
    let (site, cookie) = with_a_password(&bench).await;
    let person = [("Cookie", cookie.as_str())];
    let mut asking: Vec<TcpStream> = (0..MANY).map(|_| site.connect_from(ATTACKER)).collect();
    // Some were closed for the newer ones.
    asking.iter_mut().for_each(|it| site.try_send(it, "/", ""));
    all_is_there(&site, &person);
    assert_eq!(site.get_with("/metrics", &[("Authorization", "Bearer t0ken")]).status, 200);
    // The answer is the last one of its connection.
    let answers: Vec<String> = asking.iter_mut().map(rest).collect();
    assert!(answers.iter().any(|it| it.starts_with("HTTP/1.1 401")), "{answers:?}");

    let mut silent: Vec<TcpStream> = (0..MANY).map(|_| site.connect_from(ATTACKER)).collect();
    all_is_there(&site, &person);
    assert_eq!(site.get("/healthz").status, 200);
    // Later than this `rest` would say that one does not end.
    silent.iter_mut().for_each(|it| assert_eq!(rest(it), ""));
}

/// The name and the nice value of each thread of a process.
fn threads(pid: u32) -> Vec<(String, i64)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    // A thread may have ended since it was listed.
    let stats = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("stat")).ok());
    let read = |stat: String| {
        let (start, rest) = stat.rsplit_once(") ").unwrap();
        let nice = rest.split(' ').nth(16).unwrap().parse().unwrap();
        (start.split_once('(').unwrap().1.to_owned(), nice)
    };
    stats.map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_of_sqlite_and_the_page_let_the_lines_go_first() {
    let bench = Bench::new(Place::sqlite().await).await;
    let site = Site::open(&bench, &[]).await;
    bench.append("access.log", line_at("/", now()).repeat(1000));
    bench.rows(1000).await;
    assert_eq!(site.get("/api/log?text=elsewhere").status, 200);
    let usual = threads(std::process::id())[0].1;
    let threads = threads(site.daemon.pid());
    let of = |name: &str| {
        let named = threads.iter().filter(|(it, _)| it.starts_with(name));
        named.map(|(_, nice)| *nice).collect::<Vec<i64>>()
    };
    // The connections that store, and the one that has searched.
    let sqlite = of("sqlx-sqlite");
    assert!(sqlite.contains(&usual) && sqlite.iter().any(|it| *it > usual), "{threads:?}");
    let page = of("page");
    assert!(!page.is_empty() && page.iter().all(|it| *it > usual), "{threads:?}");
    assert_eq!(of("main"), [usual], "{threads:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_wait_for_their_next_request_make_room() {
    let bench = Bench::new(Place::sqlite().await).await;
    let site = Site::open(&bench, &[]).await;
    let mut idle: Vec<TcpStream> = Vec::new();
    for _ in 0..MANY {
        let mut stream = site.connect();
        site.send(&mut stream, "/healthz");
        assert_eq!(status(&mut stream), 200);
        idle.push(stream);
    }
    all_is_there(&site, &[]);
    // The newest of them is still open.
    let newest = idle.last_mut().unwrap();
    let mut answer = [0; 4096];
    let _ = std::io::Read::read(newest, &mut answer).unwrap();
    site.send(newest, "/healthz");
    assert_eq!(status(newest), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn live_tails_leave_places_for_all_else() {
    let bench = Bench::new(Place::sqlite().await).await;
    let site = Site::open(&bench, &[]).await;
    let mut tails: Vec<TcpStream> = Vec::new();
    let mut refused = 0;
    for _ in 0..MANY {
        let mut stream = site.connect();
        site.send(&mut stream, "/api/tail");
        match status(&mut stream) {
            200 => tails.push(stream),
            503 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((tails.len(), refused), (MAX_STREAMS, MANY - MAX_STREAMS));
    let one_more = site.get("/api/tail");
    let expected = "32 live tails, downloads and counts are open, which is the most: close one";
    assert_eq!(one_more.body, format!("{{\"error\":\"{expected}\"}}"));
    all_is_there(&site, &[]);
    for long in ["/api/export", "/api/overview/progress", "/api/changes/progress"] {
        assert_eq!(site.get(long).status, 503);
    }
    assert_eq!(site.get("/api/overview").status, 200);
    tails.truncate(10);
    let freed = || site.get("/api/export").status == 200;
    crate::place::until("the place of one that left is free", async || freed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_refused_often_does_not_fill_the_log() {
    let bench = Bench::new(Place::sqlite().await).await;
    let (site, _) = with_a_password(&bench).await;
    // Two lines, should the test take more than a minute.
    let is_short = |said: String, what| (1..=2).contains(&said.matches(what).count());
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                // Each waits for a second.
                for _ in 0..3 {
                    assert_eq!(site.get_with("/", &[("Authorization", "x")]).status, 401);
                }
            });
        }
    });
    assert!(is_short(site.daemon.said(), "refused a wrong password"));
    for _ in 0..300 {
        let elsewhere = [("Sec-Fetch-Site", "cross-site")];
        assert_eq!(site.get_with("/api/files", &elsewhere).status, 403);
    }
    assert!(is_short(site.daemon.said(), "refused a request of another site"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_do_not_lock_others_out() {
    let bench = Bench::new(Place::sqlite().await).await;
    let people = ["jo", "al", "mo"];
    let lines: String = people.iter().map(|name| line(&bench, &[name], "right")).collect();
    let file = auth_file(&bench, &lines);
    let site = Site::open(&bench, &["--auth-file", file.to_str().unwrap()]).await;
    let ends = AtomicBool::new(false);
    let (wrong, address) = (basic("jo", "wrong"), site.address);
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                while !ends.load(Ordering::Relaxed) {
                    let mut stream = site.connect_from(ATTACKER);
                    site.try_send(
                        &mut stream,
                        "/",
                        &format!("Connection: close\r\nAuthorization: {wrong}\r\n"),
                    );
                    assert!(!rest(&mut stream).starts_with("HTTP/1.1 200"));
                }
            });
        }
        let log_in = |name: &str| {
            ask(address, "GET", "/", &[("Authorization", &basic(name, "right"))]).status
        };
        let began = Instant::now();
        let statuses = people.map(log_in);
        println!("three people logged in within {:?}", began.elapsed());
        ends.store(true, Ordering::Relaxed);
        assert_eq!(statuses, [200; 3]);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_cannot_make_a_browser_search() {
    let bench = Bench::new(Place::sqlite().await).await;
    let site = Site::open(&bench, &[]).await;
    for header in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
    ] {
        for path in ["/api/log?address=1.2.3.4/1", "/api/tail", "/api/export", "/api/log/1"] {
            let answer = site.get_with(path, &[header]);
            assert_eq!(answer.status, 403, "{path}");
            let error = "{\"error\":\"another site sent this request, by a link or a script: open \
                         the page itself\"}";
            assert_eq!(answer.body, error);
        }
        // A link to the page is all right.
        assert_eq!(site.get_with("/", &[header]).status, 200);
    }
    for header in [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "none"), ("X", "y")] {
        assert_eq!(site.get_with("/api/log", &[header]).status, 200);
    }
}

/// So many rows of one moment, with this agent. A search has to read them all.
async fn filled(bench: &Bench, rows: u32, agent: &str) {
    let now = chrono::Utc::now().format("%Y-%m-%d %H:%M:%S.000000+00");
    let like_this = bench.place.texts("SELECT timestamp FROM gunicorn_log").await;
    let timestamp = like_this.into_iter().next().unwrap_or_else(|| now.to_string());
    let sql = format!(
        "INSERT INTO gunicorn_log (id, timestamp, log_offset, log_file, code, url, user_ip, agent)
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         SELECT (1 << 50) + i, '{timestamp}', i, 1, 200, '/a', '203.0.113.9', {agent} FROM n"
    );
    bench.place.execute(&sql).await;
}

/// One row whose time is in the form of the table.
async fn with_a_row(bench: &Bench) -> Site {
    let now = chrono::Utc::now().format("%d/%b/%Y:%H:%M:%S +0000");
    bench.append(
        "access.log",
        format!("10.0.0.1 - - [{now}] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"\n"),
    );
    let site = Site::open(bench, &[]).await;
    bench.rows(1).await;
    site
}

/// A hundred conditions for each row took a hundred times as long as one.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_is_searched_for_as_fast_as_any_other_on_sqlite() {
    let bench = Bench::new(Place::sqlite().await).await;
    let site = with_a_row(&bench).await;
    filled(&bench, 50_000, "'x'").await;
    let time = |address: &str| {
        let once = || {
            let began = Instant::now();
            let answer = site.get(&format!("/api/log?address={address}"));
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert!(answer.body.contains("\"searched_to\":null"), "it took more than 2 s");
            began.elapsed()
        };
        (0..5).map(|_| once()).min().unwrap()
    };
    let (one_octet, split) = (time("1.0.0.0/8"), time("1.2.3.4/1"));
    println!("/8 takes {one_octet:?}, /1 {split:?}");
    assert!(split < one_octet * 10 + Duration::from_millis(20), "{split:?} of {one_octet:?}");
}

/// Four searches occupy all connections to the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_ends_with_its_client_on_sqlite() {
    let bench = Bench::new(Place::sqlite().await).await;
    let site = with_a_row(&bench).await;
    filled(&bench, 10_000, "replace(hex(zeroblob(4000)), '0', 'a')").await;
    let search = format!("/api/log?text={}b", "a".repeat(100));
    let mut shown = 0;
    // As a client that waits for its answers, and as one that has sent a second request.
    for further in ["", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let searching: Vec<TcpStream> = (0..4)
            .map(|_| {
                let mut stream = site.connect();
                let end = format!("Host: {}\r\n\r\n{further}", site.address);
                let request = format!("GET {search} HTTP/1.1\r\n{end}");
                std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
                stream
            })
            .collect();
        // Until the searches hold all connections to the store, or long after they should.
        let mut next = None;
        for _ in 0..10 {
            let mut one = site.connect();
            site.send(&mut one, "/api/files");
            one.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            if one.peek(&mut [0]).is_err() {
                one.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                next = Some(one);
                break;
            }
            assert_eq!(status(&mut one), 200);
        }
        drop(searching);
        // Searches that went on would leave it without a connection for longer than it waits for one.
        if let Some(mut next) = next {
            assert_eq!(status(&mut next), 200, "{further:?}");
            shown += 1;
        }
    }
    assert!(shown > 0, "the searches never took all connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_leave_places_for_the_probes() {
    let bench = Bench::new(Place::sqlite().await).await;
    let site = with_a_row(&bench).await;
    filled(&bench, 10_000, "replace(hex(zeroblob(4000)), '0', 'a')").await;
    let search = format!("/api/log?text={}b", "a".repeat(100));
    let _searching: Vec<TcpStream> = (0..MANY)
        .map(|_| {
            let mut stream = site.connect();
            site.send(&mut stream, &search);
            stream
        })
        .collect();
    for path in ["/healthz", "/metrics", "/healthz", "/metrics"] {
        assert_eq!(site.get(path).status, 200, "{path}");
    }
    // All searches but four have ended when this machine is slow.
    let page = site.get("/");
    let why = "64 requests are under way, which is the most: try again\n";
    assert!(page.status == 200 || (page.status, &*page.body) == (503, why), "{}", page.body);
}
