//! What the daemon counts is what is stored; and what it says of its health is so.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use super::client::Site;
use crate::daemon::{Bench, PATIENCE, for_each_store, line, line_at, lines, rename};
use crate::place::{DAY, Place};
use crate::ports::Port;
use crate::postgres::Cluster;

/// Samples by name and labels.
pub(crate) struct Samples(HashMap<String, f64>);

impl Samples {
    pub(crate) fn of(text: &str) -> Samples {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').expect(line);
            (name.to_owned(), value.parse().expect(line))
        });
        Samples(samples.collect())
    }

    pub(crate) fn scrape(site: &Site) -> Samples {
        let answer = site.get("/metrics");
        assert_eq!(answer.status, 200);
        Samples::of(&answer.body)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|key| key.split('{').next().unwrap())
    }

    /// The value of `log_ingestd_…`.
    pub(crate) fn get(&self, name: &str) -> f64 {
        let found = self.0.get(&format!("log_ingestd_{name}"));
        *found.unwrap_or_else(|| panic!("no {name} in {:?}", self.0.keys()))
    }

    fn rejected(&self, reason: &str) -> f64 {
        self.get(&format!("rejected_lines_total{{reason=\"{reason}\"}}"))
    }
}

/// Waits until a metric has this value.
pub(crate) async fn comes_to(site: &Site, name: &str, wanted: f64) {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = Samples::scrape(site).get(name);
        if found == wanted {
            return;
        }
        assert!(Instant::now() < end, "{name} is {found}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the counters of `log_file` say.
async fn stored(bench: &Bench, sum: &str) -> f64 {
    let sql = format!("SELECT CAST(coalesce(sum({sum}), 0) AS bigint) FROM log_file");
    bench.place.number(&sql).await as f64
}

for_each_store! {
    async fn every_line_is_counted_as_what_it_became(bench) {
        fs::write(bench.aside("old.log"), line_at("/old", 0).repeat(4)).unwrap();
        bench.succeed(&["import", bench.aside("old.log").to_str().unwrap()]);
        let nul = line("/n").replace("curl", "cu\0rl").into_bytes();
        bench.append("access.log", lines("a", 0..500));
        bench.append("access.log", [&b"nonsense\n"[..]; 3].concat());
        bench.append("access.log", [nul, b"\xff\xfe\n".to_vec()].concat());
        bench.append("access.log", lines("left-out", 0..7));
        let site = Site::open(&bench, &["--exclude-path", "/left-out/"]).await;
        comes_to(&site, "lines_total", 512.0).await;
        let ahead = chrono::Utc::now().timestamp_micros() + 40 * DAY;
        bench.append("other.log", lines("b", 0..19) + &line_at("/ahead", ahead));
        comes_to(&site, "lines_total", 532.0).await;
        comes_to(&site, "sweeps_total", 1.0).await;
        comes_to(&site, "files", 2.0).await;
        comes_to(&site, "backlog_bytes", 0.0).await;

        let samples = Samples::scrape(&site);
        let followed = async |sum| {
            // The imported file is not this process's work.
            stored(&bench, &format!("CASE WHEN path LIKE '%old.log' THEN 0 ELSE {sum} END")).await
        };
        assert_eq!(samples.get("rows_total"), followed("stored_rows").await);
        assert_eq!(samples.get("rows_total"), 520.0);
        assert_eq!(samples.get("excluded_lines_total"), followed("excluded").await);
        assert_eq!(samples.get("bytes_total"), followed("committed").await);
        assert_eq!(followed("rejected").await, 5.0);
        let rejected = ["unlike_format", "holds_nul", "not_utf8", "too_long", "continues"];
        assert_eq!(rejected.map(|reason| samples.rejected(reason)), [3.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(samples.get("queue_lines"), 0.0);
        assert!(samples.get("commits_total") >= 2.0);
        assert_eq!(samples.get("commit_seconds_count"), samples.get("commits_total"));
        assert!(samples.get("last_commit_timestamp_seconds") > 1.7e9);
        assert!(samples.get("next_sweep_timestamp_seconds") > 1.7e9);
        assert_eq!(samples.get("swept_rows_total{table=\"gunicorn_log\"}"), 4.0);
        assert_eq!(samples.get("lost_bytes_total"), 0.0);
        assert_eq!(samples.get("far_times_total"), followed("far_times").await);
        assert_eq!(samples.get("far_times_total"), 1.0);
        for (name, expected) in [("bytes", 0.0), ("seconds", 0.0)] {
            for log in ["access.log", "other.log"] {
                let file = bench.log(log);
                let label = format!("lag_{name}{{file=\"{}\"}}", file.display());
                assert_eq!(samples.get(&label), expected, "{label}");
            }
        }
        let kind = if bench.place.is_postgres() { "postgres" } else { "sqlite" };
        let version = env!("CARGO_PKG_VERSION");
        let build = format!("build_info{{version=\"{version}\",store=\"{kind}\"}}");
        assert_eq!(samples.get(&build), 1.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_beginning_of_a_line_is_bytes_that_wait_and_lost_when_it_is_cut_off() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..10));
    let site = Site::open(&bench, &[]).await;
    bench.rows(10).await;
    bench.append("access.log", "127.0.0.1 - - [23/Nov");
    comes_to(&site, "backlog_bytes", 21.0).await;
    let file = bench.log("access.log");
    let lag = format!("lag_bytes{{file=\"{}\"}}", file.display());
    comes_to(&site, &lag, 21.0).await;
    // The daemon cannot help it, so no alert is raised.
    comes_to(&site, "backlog_seconds", 0.0).await;
    fs::File::options().write(true).open(file).unwrap().set_len(0).unwrap();
    comes_to(&site, "lost_bytes_total", 21.0).await;
    assert_eq!(stored(&bench, "lost_bytes").await, 21.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_unavailable_makes_it_unready_and_leaves_it_alive() {
    let cluster = Cluster::start();
    let bench = Bench::new(Place::at(cluster.database().await)).await;
    bench.append("access.log", lines("a", 0..10));
    let mut site = Site::open(&bench, &[]).await;
    bench.rows(10).await;
    assert_eq!(site.get("/readyz").status, 200);
    let listen = site.address.to_string();
    let checked =
        |what: &[&str]| bench.run(&[&["--listen", &listen, "healthcheck"], what].concat());
    assert!(checked(&[]).status.success() && checked(&["--ready"]).status.success());
    cluster.stop();
    // Nothing was written, so ingest has not noticed yet; it is asked all the same.
    assert_eq!(site.get("/readyz").status, 503);
    bench.append("access.log", lines("a", 10..30));
    site.daemon.says("the store is unavailable").await;
    let unready = site.get("/readyz");
    assert_eq!(unready.status, 503);
    assert!(unready.body.contains("the store is unavailable: PostgreSQL"), "{}", unready.body);
    assert_eq!(site.get("/healthz").status, 200);
    assert!(checked(&[]).status.success());
    let refused = checked(&["--ready"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && why.contains("the store is unavailable"), "{why}");
    comes_to(&site, "store_up", 0.0).await;
    let waiting = lines("a", 10..30).len() as f64;
    comes_to(&site, "backlog_bytes", waiting).await;
    let samples = Samples::scrape(&site);
    assert_eq!(samples.get("lines_total"), 10.0);
    assert_eq!(samples.get("queue_lines"), 20.0);
    assert!(samples.get("store_failures_total") >= 1.0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let waited = Samples::scrape(&site).get("backlog_seconds");
    assert!((0.3..60.0).contains(&waited), "{waited}");
    cluster.start_again();
    bench.rows(30).await;
    comes_to(&site, "lines_total", 30.0).await;
    comes_to(&site, "store_up", 1.0).await;
    comes_to(&site, "backlog_seconds", 0.0).await;
    assert_eq!(Samples::scrape(&site).get("reconnects_total"), 1.0);
    assert_eq!(site.get("/readyz").status, 200);
    assert!(site.daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_without_a_daemon_says_where_it_asked() {
    let bench = Bench::new(Place::sqlite().await).await;
    let port = Port::reserve(); // no daemon listens there
    let at = format!("127.0.0.1:{}", port.number());
    let refused = bench.run(&["--listen", &at, "healthcheck"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && why.contains(&at), "{why}");
    let off = bench.run(&["--listen", "off", "healthcheck"]);
    assert_eq!(off.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_place_that_is_gone_makes_it_unready() {
    let bench = Bench::new(Place::sqlite().await).await;
    let site = Site::open(&bench, &[]).await;
    assert_eq!(site.get("/readyz").status, 200);
    rename(&bench.logs(), &bench.aside("elsewhere"));
    comes_to(&site, "missing_paths", 1.0).await;
    let unready = site.get("/readyz");
    assert_eq!(unready.status, 503);
    assert_eq!(unready.body, format!("{} does not exist\n", bench.logs().display()));
    rename(&bench.aside("elsewhere"), &bench.logs());
    comes_to(&site, "missing_paths", 0.0).await;
    assert_eq!(site.get("/readyz").status, 200);
}
