//! Tables that Citus has distributed: a coordinator and two workers, and everything that is done to the
//! tables of one server. Where Citus is not installed, that it is missing must be said.

use std::io::Write;

use sqlx::{Connection, PgConnection};

use crate::daemon::{Bench, line, line_at, lines, urls};
use crate::place::{DAY, Place, until};
use crate::postgres::Cluster;
use crate::upgrade::{KNOWN, TOLD, upgrade};

const DATABASE: &str = "logs";

const NODE: &str = "-c shared_preload_libraries=citus -c ssl=off \
                    -c citus.node_conninfo=sslmode=disable -c citus.shard_count=4 \
                    -c max_prepared_transactions=50";

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_distributed_and_work_or_it_is_said_that_citus_is_not_there() {
    let place = Place::postgres().await.without_tables().await;
    let available = "SELECT count(*) FROM pg_available_extensions WHERE name = 'citus'";
    let installed = place.number(available).await == 1;
    let which = if installed { "a coordinator and two workers" } else { "not installed: refused" };
    // Past the harness, which keeps what a test prints to itself.
    writeln!(std::io::stderr(), "citus: {which}").unwrap();
    match installed {
        true => Citus::start().await.tells_its_story().await,
        false => it_is_refused(place, "this server has no Citus").await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_is_not_distributed() {
    it_is_refused(Place::sqlite().await, "Citus distributes tables of PostgreSQL").await;
}

/// And nothing is changed: there are not even tables.
async fn it_is_refused(place: Place, why: &str) {
    let bench = Bench::untouched(place);
    for command in [&["migrate", "--citus"][..], &["migrate", "--citus", "--dry-run"]] {
        let output = bench.run(command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(why), "{said}");
        assert_eq!(output.stdout, b"");
    }
    assert!(
        bench
            .succeed(&["migrate", "--dry-run"])
            .starts_with(&format!("no tables → schema {KNOWN}\n"))
    );
}

struct Citus {
    coordinator: Cluster,
    workers: [Cluster; 2],
}

impl Citus {
    async fn start() -> Citus {
        let nodes = [(); 3].map(|()| Cluster::start_with(NODE));
        for node in &nodes {
            node.administer(&format!("CREATE DATABASE {DATABASE}")).await;
        }
        let [coordinator, one, two] = nodes;
        Citus { coordinator, workers: [one, two] }
    }

    async fn tells_its_story(self) {
        let url = self.coordinator.url("postgres", DATABASE);
        let missing = "Citus is installed, but not in this database: CREATE EXTENSION citus";
        it_is_refused(Place::at(url.clone()), missing).await;
        for node in self.workers.iter().chain([&self.coordinator]) {
            let mut session = PgConnection::connect(&node.url("postgres", DATABASE)).await.unwrap();
            sqlx::raw_sql("CREATE EXTENSION citus").execute(&mut session).await.unwrap();
        }
        let place = Place::at(url);
        let host = format!("'127.0.0.1', {}", self.coordinator.port());
        place.execute(&format!("SELECT citus_set_coordinator_host({host})")).await;
        for worker in &self.workers {
            let host = format!("'127.0.0.1', {}", worker.port());
            place.execute(&format!("SELECT citus_add_node({host})")).await;
        }
        let bench = Bench::untouched(place);
        let mut wanted = self.is_distributed_under_a_daemon(&bench).await;
        self.stores_each_line_once_whatever_is_killed(&bench, &mut wanted).await;
        many_files_are_stored_together(&bench, &mut wanted).await;
        questions_are_answered(&bench).await;
        rejects_become_rows(&bench, &mut wanted).await;
        days_that_are_over_are_indexed(&bench).await;
        old_rows_leave_and_no_others(&bench).await;
        a_day_of_the_future_is_taken_out(&bench).await;
        an_older_daemon_stops(&bench).await;
    }

    /// With rows that are there already, while more come.
    async fn is_distributed_under_a_daemon(&self, bench: &Bench) -> Vec<String> {
        assert_eq!(bench.succeed(&["migrate"]), format!("no tables → schema {KNOWN}\n"));
        bench.append("access.log", lines("a", 0..300));
        let daemon = bench.watch_with(&["--retention", "off"]);
        bench.rows(300).await;
        let told = bench.succeed(&["migrate", "--citus"]);
        let tables = "log_file, gunicorn_log, request_log, rejected_line, gunicorn_minute, \
                      gunicorn_hour, gunicorn_route_hour, gunicorn_route_day";
        assert_eq!(told, format!("schema {KNOWN}, nothing to do\ndistributed: {tables}\n"));
        bench.append("access.log", lines("b", 0..300));
        bench.rows(600).await;
        let told = bench.succeed(&["migrate", "--citus"]);
        let already = "all tables are distributed already";
        assert_eq!(told, format!("schema {KNOWN}, nothing to do\n{already}\n"));
        assert!(daemon.stop().await.success());
        let shards = "SELECT count(DISTINCT nodeport) FROM citus_shards
             WHERE table_name = 'gunicorn_log'::regclass";
        assert_eq!(bench.place.number(shards).await, 2);
        let beside = "SELECT count(DISTINCT colocation_id) FROM citus_tables
             WHERE citus_table_type = 'distributed'";
        assert_eq!(bench.place.number(beside).await, 1);
        let mut wanted = urls("a", 0..300);
        wanted.extend(urls("b", 0..300));
        wanted
    }

    async fn stores_each_line_once_whatever_is_killed(
        &self,
        bench: &Bench,
        wanted: &mut Vec<String>,
    ) {
        for round in 0..4 {
            let prefix = format!("kill{round}");
            let daemon = bench.watch_with(&["--retention", "off"]);
            for part in 0..10 {
                let numbers = part * 50..part * 50 + 50;
                bench.append("access.log", lines(&prefix, numbers.clone()));
                wanted.extend(urls(&prefix, numbers));
                if part == 5 {
                    let some = wanted.len() as i64 - 250;
                    until("some of it is stored", async || {
                        bench.place.number("SELECT count(*) FROM gunicorn_log").await > some
                    })
                    .await;
                }
            }
            daemon.kill();
        }
        let mut daemon = bench.watch_with(&["--retention", "off"]);
        bench.exactly(wanted.clone()).await;
        self.workers[0].stop_at_once();
        self.workers[1].stop_at_once();
        bench.append("access.log", lines("down", 0..100));
        daemon.says("the store is unavailable").await;
        self.workers.iter().for_each(Cluster::start_again);
        wanted.extend(urls("down", 0..100));
        bench.exactly(wanted.clone()).await;
        assert!(daemon.stop().await.success());
    }
}

async fn many_files_are_stored_together(bench: &Bench, wanted: &mut Vec<String>) {
    for file in 0..20 {
        let prefix = format!("many{file}");
        bench.append(&format!("many{file}.log"), lines(&prefix, 0..10));
        wanted.extend(urls(&prefix, 0..10));
    }
    let daemon = bench.watch_with(&["--retention", "off"]);
    bench.exactly(wanted.clone()).await;
    assert!(daemon.stop().await.success());
    let told = bench.succeed(&["import", bench.log("many3.log").to_str().unwrap()]);
    assert!(told.contains("0 stored"), "{told}");
    bench.succeed(&["verify"]);
}

async fn questions_are_answered(bench: &Bench) {
    let since = ["--since", "2026-11-23T00:00:00Z", "--until", "2026-11-24T00:00:00Z"];
    let ask = |first: &[&str]| bench.succeed(&[first, &since[..]].concat());
    assert_eq!(ask(&["query", "--limit", "7", "--output", "jsonl"]).lines().count(), 7);
    assert!(ask(&["top", "urls"]).contains("/a/0"));
    assert!(ask(&["top", "slow"]).lines().count() >= 1);
    assert!(bench.succeed(&["status"]).contains("many7.log"));
}

/// Of each file some, in its own transaction.
async fn rejects_become_rows(bench: &Bench, wanted: &mut Vec<String>) {
    let other = "127.0.0.1 - - [23/Nov/2026:08:41:00 +0000] \"GET /other HTTP/1.1\" 200 2\n";
    for file in ["many1.log", "many2.log"] {
        bench.append(file, other.repeat(2));
    }
    let daemon = bench.watch_with(&["--retention", "off"]);
    until("they are rejected", async || {
        let lines = "SELECT coalesce(sum(repeats), 0)::bigint FROM rejected_line";
        bench.place.number(lines).await == 4
    })
    .await;
    assert!(daemon.stop().await.success());
    let told = bench.succeed(&["reparse", "--format", "common"]);
    assert!(told.starts_with("4 rejected lines: 4 became rows"), "{told}");
    wanted.extend(vec!["/other".to_owned(); 4]);
    bench.exactly(wanted.clone()).await;
    bench.succeed(&["verify"]);
}

/// On the shards, where the rows are.
async fn days_that_are_over_are_indexed(bench: &Bench) {
    let today = chrono::Utc::now().timestamp_micros();
    let past: String =
        (0..60_000).map(|nth| line_at(&format!("/past/{nth}"), today - 5 * DAY)).collect();
    let log = bench.aside("past.log");
    std::fs::write(&log, past).unwrap();
    bench.succeed(&["import", log.to_str().unwrap()]);
    let day = chrono::DateTime::from_timestamp_micros(today - 5 * DAY).unwrap().format("%Y%m%d");
    let built = format!(
        "SELECT coalesce(sum(result::bigint), 0)::bigint
           FROM run_command_on_shards('gunicorn_log_{day}', $$SELECT count(*) FROM pg_index
                    WHERE indrelid = '%s'::regclass AND indisvalid AND indisunique$$)"
    );
    assert_eq!(bench.place.number(&built).await, 4, "each shard has its unique index");
    bench.succeed(&["verify", log.to_str().unwrap()]);
}

/// Whole days by their partitions; of the day that the cutoff cuts, the rows before it on every shard.
async fn old_rows_leave_and_no_others(bench: &Bench) {
    let now = chrono::Utc::now().timestamp_micros();
    let cutoff = now - 20 * DAY;
    let midnight = cutoff.div_euclid(DAY) * DAY;
    let count = "SELECT count(*) FROM gunicorn_log WHERE url LIKE";
    for file in 0..8 {
        let rows: String = (0..20)
            .map(|nth| {
                let old = line_at(&format!("/old/{nth}"), midnight + i64::from(nth));
                let kept = line_at(&format!("/kept/{nth}"), now - 19 * DAY);
                let same_day = line_at(&format!("/kept/day/{nth}"), midnight + DAY - 1_000_000);
                let older = line_at(&format!("/old/day/{nth}"), midnight - 2 * DAY);
                let no_line = line("").replace("GET", "\"");
                format!("{kept}{old}{same_day}{older}{no_line}")
            })
            .collect();
        let log = bench.aside(&format!("sweep{file}.log"));
        std::fs::write(&log, rows + &line_at(&format!("/only/{file}"), now)).unwrap();
        bench.succeed(&["import", "--retention", "off", log.to_str().unwrap()]);
    }
    assert_eq!(bench.place.number(&format!("{count} '/old/%'")).await, 320);
    // So that the last second of the day is past the cutoff, and its beginning before it.
    let age = format!("{}s", (now - midnight - DAY / 2) / 1_000_000);
    let before = bench.place.number("SELECT count(*) FROM gunicorn_log").await;
    bench.succeed(&["cleanup", "--older-than", &age, "--batch-size", "7"]);
    assert_eq!(bench.place.number(&format!("{count} '/old/%'")).await, 0);
    assert_eq!(bench.place.number(&format!("{count} '/kept/%'")).await, 320);
    assert_eq!(bench.place.number("SELECT count(*) FROM gunicorn_log").await, before - 320);
    let day = chrono::DateTime::from_timestamp_micros(midnight - 2 * DAY).unwrap().format("%Y%m%d");
    let left = format!("SELECT count(*) FROM pg_class WHERE relname = 'gunicorn_log_{day}'");
    assert_eq!(bench.place.number(&left).await, 0);
    assert!(bench.succeed(&["status"]).contains("last sweep"));
}

/// Of a partition that days of the future share, on every shard.
async fn a_day_of_the_future_is_taken_out(bench: &Bench) {
    let now = chrono::Utc::now().timestamp_micros();
    for file in 0..8 {
        let rows = [10, 11, 4000].map(|days| line_at(&format!("/ahead/{file}"), now + days * DAY));
        let log = bench.aside(&format!("ahead{file}.log"));
        std::fs::write(&log, rows.concat()).unwrap();
        bench.succeed(&["import", log.to_str().unwrap()]);
    }
    let name = |days| {
        let day = chrono::DateTime::from_timestamp_micros(now + days * DAY).unwrap();
        format!("gunicorn_log_{}", day.format("%Y%m%d"))
    };
    let rows_of = async |partition: String| {
        bench.place.number(&format!("SELECT count(*) FROM {partition}")).await
    };
    let before = bench.place.number("SELECT count(*) FROM gunicorn_log").await;
    assert_eq!(rows_of(format!("{}_20991231", name(3))).await, 24);
    bench.succeed(&["migrate", "--days", "12"]);
    assert_eq!(rows_of(name(10)).await, 8);
    assert_eq!(rows_of(name(11)).await, 8);
    assert_eq!(rows_of(format!("{}_20991231", name(13))).await, 8);
    assert_eq!(bench.place.number("SELECT count(*) FROM gunicorn_log").await, before);
}

async fn an_older_daemon_stops(bench: &Bench) {
    let mut daemon = bench.watch_with(&["--retention", "off"]);
    let lines_before = bench.stored().await;
    bench.append("access.log", line("/before"));
    until("it stores", async || bench.stored().await == lines_before + 1).await;
    upgrade(&bench.place, KNOWN, KNOWN + 1).await;
    bench.append("access.log", line("/after"));
    assert_eq!(daemon.ends().await.code(), Some(1), "{}", daemon.said());
    assert!(daemon.said().contains(TOLD), "{}", daemon.said());
    assert_eq!(bench.stored().await, lines_before + 1);
    upgrade(&bench.place, KNOWN + 1, KNOWN).await;
    let daemon = bench.watch_with(&["--retention", "off"]);
    until("it goes on", async || bench.stored().await == lines_before + 2).await;
    assert!(daemon.stop().await.success());
}
