//! What people look at: few waits for a distant server, and statements that end with the interest in them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use log_ingestd::metrics::Metrics;
use log_ingestd::store::{Location, Store};
use log_ingestd::web::{Authenticator, PageState, serve};
use serde_json::Value;
use tokio::sync::watch;

use crate::daemon::{Bench, for_each_store, line_at};
use crate::distance::place_and_wire;
use crate::page::client::{Answer, Site, ask};
use crate::place::{DAY, until};
use crate::proxy::Proxy;

/// Most round trips of a view.
const MOST: u32 = 2;

/// How soon a statement ends for which no client waits any more.
const SOON: Duration = Duration::from_secs(3);

/// A store with rows of this hour and one of a month ago, rejects, a request and an old file.
async fn filled() -> (Bench, Proxy) {
    let (place, wire) = place_and_wire().await;
    let bench = Bench::untouched(place);
    let now = Utc::now().timestamp_micros();
    let recent = |nth: i64| line_at(&format!("/a/{nth}"), now - (300 - nth) * 1_000_000);
    let lines: String = (0..300).map(recent).collect();
    bench.append("access.log", line_at("/old", now - 30 * DAY) + &lines + "no line\n");
    let time = Utc::now().to_rfc3339();
    let request = format!(
        "{{\"log\":\"request\",\"timestamp\":\"{time}\",\"method\":\"POST\",\"path\":\"/p\"}}\n"
    );
    bench.append("requests.log", request);
    let [access, requests] = ["access.log", "requests.log"].map(|name| bench.log(name));
    bench.succeed(&["import", access.to_str().unwrap(), requests.to_str().unwrap()]);
    (bench, wire)
}

/// A page without a daemon, which would talk to the server, too.
struct Page {
    address: SocketAddr,
    closing: watch::Sender<bool>,
}

impl Page {
    async fn of(url: &str) -> Page {
        let store = Store::open_to_read(Location::parse(url).unwrap()).await.unwrap();
        let (closing, closed) = watch::channel(false);
        let keep = || "120d".to_owned();
        let state = PageState::new(&store, Arc::new(Metrics::default()), keep(), keep(), closed);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = Arc::new(tokio::net::TcpListener::from_std(listener).unwrap());
        tokio::spawn(serve(listener, None, Authenticator::new(None), state));
        Page { address, closing }
    }

    fn get(&self, path: &str) -> Answer {
        tokio::task::block_in_place(|| ask(self.address, "GET", path, &[]))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_view_of_the_page_takes_two_round_trips_at_most() {
    let (bench, wire) = filled().await;
    wire.count();
    let page = Page::of(&wire.url(&bench.place.url)).await;
    let first = page.get("/api/files");
    println!("{} round trips to connect, and for the first view", wire.round_trips());
    assert_eq!(first.status, 200, "{}", first.body);
    let view = |path: &str| {
        wire.count();
        let answer = page.get(path);
        let trips = wire.round_trips();
        println!("{trips} {path}");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!((1..=MOST).contains(&trips), "{path}: {trips} round trips");
        answer.body
    };
    let json = |path: &str| serde_json::from_str::<Value>(&view(path)).unwrap();
    let rows = |path: &str| json(path)["rows"].as_array().unwrap().clone();
    let log = rows("/api/log?from=1h&limit=500");
    assert_eq!(log.len(), 300);
    assert_eq!(rows("/api/log?from=60d&url=/old").len(), 1);
    assert_eq!(rows("/api/log?from=60d&text=nowhere").len(), 0);
    assert_eq!(rows("/api/log?from=60d&limit=299").len(), 299);
    let older = json("/api/log?from=60d&limit=299")["older"].as_str().unwrap().to_owned();
    assert_eq!(rows(&format!("/api/log?from=60d&before={older}")).len(), 2);
    let oldest = rows("/api/log?from=60d&url=/old")[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(json(&format!("/api/log/{oldest}"))["url"], "/old");
    let requests = rows("/api/requests");
    let request = json(&format!("/api/requests/{}", requests[0]["id"].as_str().unwrap()));
    assert_eq!(request["path"], "/p");
    assert_eq!(json("/api/overview?from=7d")["total"]["rows"][1], 300);
    assert_eq!(json("/api/overview?from=1h&server=elsewhere")["total"]["rows"][1], 0);
    assert_eq!(json("/api/top?by=url&from=60d")["sampled"], 301);
    let files = json("/api/files");
    assert_eq!(files["files"].as_array().unwrap().len(), 2);
    let rejects = json("/api/rejects?limit=1");
    assert_eq!(
        (&rejects["rows"][0]["raw"], &rejects["codes"][0]["lines"]),
        (&"no line".into(), &1.into())
    );
    assert_eq!(view("/api/export?from=60d&format=jsonl").lines().count(), 301);
    assert_eq!(view("/api/export?from=1h&table=requests&format=jsonl").lines().count(), 1);

    // The tail asks at once, and then once in a second.
    wire.count();
    let mut tail = TcpStream::connect(page.address).unwrap();
    write!(tail, "GET /api/tail HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    tokio::task::block_in_place(|| tail.read_exact(&mut [0; 12])).unwrap();
    assert!(wire.round_trips() <= MOST);
    drop(tail);

    // A session that the server has ended costs an attempt, and no answer.
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'log-ingestd'";
    assert!(bench.place.number(end).await > 0);
    assert_eq!(page.get("/api/files").status, 200);
    page.closing.send_replace(true);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_that_looks_takes_two_round_trips_after_it_is_connected() {
    let (bench, wire) = filled().await;
    let url = wire.url(&bench.place.url);
    wire.count();
    let store = Store::open_to_read(Location::parse(&url).unwrap()).await.unwrap();
    store.last_sweep().await.unwrap();
    let connected = wire.round_trips() - 1;
    drop(store);
    println!("{connected} round trips to connect");
    let run = |arguments: &[&str]| {
        wire.count();
        let output = bench.succeed(&[arguments, &["--database-url", &url]].concat());
        println!("{} round trips: {arguments:?}", wire.round_trips());
        (output, wire.round_trips())
    };
    for (arguments, lines) in [
        (&["query", "--since", "60d", "--url", "/old"][..], 2),
        (&["query", "--since", "1h", "--limit", "300"], 301),
        (&["query", "--since", "60d", "--oldest-first"], 101),
        (&["top", "urls", "--since", "60d"], 11),
        (&["status"], 1),
        (&["status", "--all"], 1),
    ] {
        let (output, trips) = run(arguments);
        assert!(output.lines().count() >= lines, "{arguments:?}: {output}");
        assert!(trips <= connected + MOST, "{arguments:?}: {trips} round trips");
    }
    // Where nothing is found, the newest row is asked for once more.
    let (_, trips) = run(&["query", "--since", "60d", "--text", "nowhere"]);
    assert!(trips <= connected + MOST + 1, "{trips} round trips");
    // The list of files, two for each small file, and the search for rows that belong to none.
    let (_, trips) = run(&["verify"]);
    assert!(trips <= connected + 1 + 2 * MOST + 1, "{trips} round trips");
}

/// A search that takes minutes by nature: each of these agents agrees with it in many places, almost.
fn slow_log() -> String {
    let agent = "a".repeat(6000);
    let now = Utc::now().timestamp_micros();
    (0..12_000).map(|nth| line_at(&format!("/{nth}"), now).replace("curl/8", &agent)).collect()
}

fn slow_path() -> String {
    format!("/api/top?by=url&from=1d&agent={}b", "a".repeat(900))
}

/// The time that the daemon's connections to SQLite have worked, in ticks of the system.
fn work_of_sqlite(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    let of_sqlite = stats.filter(|stat| stat.contains("(sqlx-sqlite"));
    of_sqlite
        .map(|stat| {
            let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
            fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
        })
        .sum()
}

/// Whether a statement of the page runs now.
async fn runs(bench: &Bench, site: &Site) -> bool {
    if bench.place.is_postgres() {
        let active = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
             AND application_name = 'log-ingestd' AND state = 'active' AND query LIKE '%aaaa%'";
        return bench.place.number(active).await > 0;
    }
    let before = work_of_sqlite(site.daemon.pid());
    tokio::time::sleep(Duration::from_millis(300)).await;
    work_of_sqlite(site.daemon.pid()) > before
}

for_each_store! {
    async fn a_statement_ends_with_the_browser_and_at_its_deadline(bench) {
        std::fs::write(bench.aside("slow.log"), slow_log()).unwrap();
        bench.succeed(&["import", bench.aside("slow.log").to_str().unwrap()]);
        let site = Site::open(&bench, &[]).await;
        for _ in 0..6 {
            // More often than there are connections.
            let mut browser = site.connect();
            let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", slow_path(), site.address);
            browser.write_all(request.as_bytes()).unwrap();
            until("the statement runs", async || runs(&bench, &site).await).await;
            let left = Instant::now();
            drop(browser);
            until("the statement ends", async || !runs(&bench, &site).await).await;
            assert!(left.elapsed() < SOON, "it took {:?}", left.elapsed());
        }
        let began = Instant::now();
        let answer = tokio::task::block_in_place(|| site.get(&slow_path()));
        let took = began.elapsed();
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(answer.body.contains("the answer takes more than 10 s"), "{}", answer.body);
        assert!((9..15).contains(&took.as_secs()), "{took:?}");
        // The server says that it has cancelled a statement before it has ended the workers of it.
        until("the statement ends", async || !runs(&bench, &site).await).await;
        assert_eq!(site.get("/api/files").status, 200);
        assert!(site.daemon.stop().await.success());
    }
}
