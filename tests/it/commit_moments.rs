//! The moments around COMMIT, each hit exactly: the rows are copied and nothing is committed; it
//! is committed and the daemon was not told. A wire of the test's own holds PostgreSQL at that point;
//! SQLite is held by a trigger that never ends.

use std::fs;
use std::time::{Duration, Instant};

use crate::daemon::{Bench, Daemon, lines, urls};
use crate::place::{Place, until};
use crate::postgres::Cluster;
use crate::proxy::{Plan, Proxy};

/// How long an orderly stop may take.
const ORDERLY: Duration = Duration::from_secs(10);

async fn bench_and_wire() -> (Bench, Proxy) {
    let bench = Bench::new(Place::postgres().await).await;
    let wire = Proxy::to(&bench.place.url);
    (bench, wire)
}

/// A daemon that reaches its database by the wire.
fn watch_by(bench: &Bench, wire: &Proxy) -> Daemon {
    bench.watch_with(&["--database-url", &wire.url(&bench.place.url)])
}

async fn rows_now(bench: &Bench) -> i64 {
    bench.place.number("SELECT count(*) FROM gunicorn_log").await
}

/// Ends the session that holds the lock of a file, as the server does by itself with a client
/// that has been silent for two minutes.
async fn end_the_owners_session(bench: &Bench) {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    bench.place.execute(end).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_when_the_rows_were_copied_and_nothing_was_committed() {
    let (bench, wire) = bench_and_wire().await;
    bench.append("access.log", lines("a", 0..5000));
    wire.plan(Plan::HoldCommit);
    let daemon = watch_by(&bench, &wire);
    wire.reached(1).await;
    daemon.kill();
    wire.forget();
    assert_eq!(rows_now(&bench).await, 0);
    assert_eq!(bench.stored().await, 0, "the offset moves with the rows");
    let _daemon = bench.watch();
    bench.exactly(urls("a", 0..5000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_when_it_was_committed_and_the_daemon_was_not_told() {
    let (bench, wire) = bench_and_wire().await;
    bench.append("access.log", lines("a", 0..5000));
    wire.plan(Plan::HoldAnswer);
    let daemon = watch_by(&bench, &wire);
    wire.reached(1).await;
    let stored = rows_now(&bench).await;
    assert!(stored > 0);
    daemon.kill();
    wire.forget();
    assert_eq!(rows_now(&bench).await, stored);
    assert_eq!(bench.stored().await, stored, "the offset moves with the rows");
    bench.append("access.log", lines("b", 0..100));
    let _daemon = bench.watch();
    bench.exactly([urls("a", 0..5000), urls("b", 0..100)].concat()).await;
}

/// Whether the COMMIT happened or not: the offset tells, and the daemon goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_connection_cut_exactly_at_commit_on_its_way_there_and_on_its_way_back() {
    let (bench, wire) = bench_and_wire().await;
    let daemon = watch_by(&bench, &wire);
    let plans = [Plan::CutCommit, Plan::CutAnswer, Plan::CutAnswer, Plan::CutCommit];
    let mut all = Vec::new();
    for (nth, plan) in (0..).zip(plans) {
        wire.plan(plan);
        let name = format!("cut{nth}");
        bench.append("access.log", lines(&name, 0..500));
        all.extend(urls(&name, 0..500));
        wire.reached(nth + 1).await;
        bench.exactly(all.clone()).await;
    }
    assert_eq!(daemon.said().matches("the store is unavailable").count(), 4, "{}", daemon.said());
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_connection_is_cut_exactly_at_commit_ends_well() {
    let (bench, wire) = bench_and_wire().await;
    let url = wire.url(&bench.place.url);
    for (nth, plan) in (0..).zip([Plan::CutCommit, Plan::CutAnswer]) {
        wire.plan(plan);
        let name = format!("cut{nth}");
        bench.append(&name, lines(&name, 0..500));
        bench.succeed(&["import", "--database-url", &url, bench.log(&name).to_str().unwrap()]);
        wire.reached(nth + 1).await;
    }
    bench.exactly([urls("cut0", 0..500), urls("cut1", 0..500)].concat()).await;
}

/// Its rows are with the server, its COMMIT is on the way, and then it is not the owner any more:
/// the session was ended and another daemon has stored the same lines.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_frozen_at_its_commit_cannot_commit_after_a_takeover() {
    let (bench, wire) = bench_and_wire().await;
    bench.append("access.log", lines("a", 0..500));
    wire.plan(Plan::HoldCommit);
    let mut frozen = watch_by(&bench, &wire);
    wire.reached(1).await;
    frozen.signal("STOP");
    let logs = bench.logs();
    let arguments = ["--watch", logs.to_str().unwrap(), "--poll-interval", "100ms"];
    let mut other = Daemon::start(bench.command(&arguments), bench.aside("stderr of another"));
    other.says("another log-ingestd writes this file").await;
    assert_eq!(rows_now(&bench).await, 0);
    end_the_owners_session(&bench).await;
    bench.rows(500).await;
    frozen.signal("CONT");
    wire.release();
    frozen.says("another log-ingestd took this file over").await;
    bench.append("access.log", lines("b", 0..500));
    bench.exactly([urls("a", 0..500), urls("b", 0..500)].concat()).await;
    assert!(frozen.stop().await.success());
    assert!(other.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_while_a_commit_is_not_answered_ends_in_time_and_nothing_is_doubled() {
    for plan in [Plan::HoldCommit, Plan::HoldAnswer] {
        let (bench, wire) = bench_and_wire().await;
        bench.append("access.log", lines("a", 0..30_000));
        wire.plan(plan);
        let mut daemon = watch_by(&bench, &wire);
        wire.reached(1).await;
        let began = Instant::now();
        daemon.signal("TERM");
        assert_eq!(daemon.ends().await.code(), Some(0), "{}", daemon.said());
        assert!(began.elapsed() < ORDERLY, "it took {:?}", began.elapsed());
        wire.forget();
        let _daemon = bench.watch();
        bench.exactly(urls("a", 0..30_000)).await;
    }
}

/// Each insert waits for a lock that the test has: the server goes down in the middle of a COPY.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_restarted_or_killed_in_the_middle_of_a_copy() {
    let cluster = Cluster::start();
    let bench = Bench::new(Place::at(cluster.database().await)).await;
    let wait = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END $$;
        CREATE TRIGGER wait BEFORE INSERT ON gunicorn_log FOR EACH ROW
            WHEN (NEW.url LIKE '%/100') EXECUTE FUNCTION wait();";
    bench.place.execute(wait).await;
    let daemon = bench.watch();
    let mut all = Vec::new();
    for (name, end) in [("stopped", Cluster::stop as fn(&Cluster)), ("killed", Cluster::kill)] {
        let mut holder = bench.place.postgres_connection().await;
        sqlx::raw_sql("SELECT pg_advisory_lock(7)").execute(&mut holder).await.unwrap();
        bench.append("access.log", lines(name, 0..3000));
        all.extend(urls(name, 0..3000));
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
            AND objid = 7";
        until("the COPY waits", async || bench.place.number(waiting).await == 1).await;
        end(&cluster);
        drop(holder);
        cluster.start_again();
        bench.exactly(all.clone()).await;
    }
    assert!(daemon.stop().await.success());
}

/// The rows have been written into the write-ahead log, since SQLite may keep 20 pages of them in
/// memory here; the insert of one of them never ends.
#[tokio::test(flavor = "multi_thread")]
async fn killed_when_sqlite_had_the_rows_in_its_log_and_nothing_was_committed() {
    let bench = Bench::new(Place::sqlite().await).await;
    // A writer keeps all pages that a batch changes, unless an operator's own trigger adds to them.
    let endless = "CREATE TABLE ballast (bytes BLOB);
        CREATE TRIGGER ballast AFTER INSERT ON gunicorn_log
            BEGIN INSERT INTO ballast VALUES (zeroblob(4000)); END;
        CREATE VIEW endless AS WITH RECURSIVE n (n) AS
            (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT n FROM n;
        CREATE TRIGGER endless AFTER INSERT ON gunicorn_log WHEN new.url = '/a/9000'
            BEGIN SELECT count(*) FROM endless; END;";
    bench.place.execute(endless).await;
    bench.append("access.log", lines("a", 0..10_000));
    let wal = format!("{}-wal", bench.place.url.strip_prefix("sqlite:").unwrap());
    let daemon = bench.watch();
    until("rows are in the write-ahead log", async || {
        fs::metadata(&wal).is_ok_and(|wal| wal.len() > 512 << 10)
    })
    .await;
    daemon.kill();
    assert_eq!(rows_now(&bench).await, 0);
    assert_eq!(bench.stored().await, 0, "the offset moves with the rows");
    bench.place.execute("DROP TRIGGER endless; DROP TRIGGER ballast").await;
    let _daemon = bench.watch();
    bench.exactly(urls("a", 0..10_000)).await;
}
