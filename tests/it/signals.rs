//! Signals: one stops in order, a second one at once, SIGHUP reads the configuration again.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use sqlx::{Connection, SqliteConnection};

use crate::archives::compress;
use crate::daemon::{Bench, Daemon, lines, urls};
use crate::place::{Place, until};
use crate::postgres::Cluster;

/// How long an orderly stop may take.
const ORDERLY: Duration = Duration::from_secs(10);

/// How long a stop at once may take, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_and_sigint_store_what_was_read_and_exit_0() {
    for signal in ["TERM", "INT"] {
        let bench = Bench::new(Place::sqlite().await).await;
        bench.append("access.log", lines("a", 0..30_000));
        let mut daemon = bench.watch();
        daemon.says("following a new file").await;
        let began = Instant::now();
        daemon.signal(signal);
        assert_eq!(daemon.ends().await.code(), Some(0), "{}", daemon.said());
        assert!(began.elapsed() < ORDERLY);
        bench.balanced().await;
        let _daemon = bench.watch();
        bench.exactly(urls("a", 0..30_000)).await;
    }
}

/// A daemon whose lines wait for a database that is gone.
async fn orphaned(bench: &Bench, cluster: &Cluster) -> Daemon {
    bench.append("access.log", lines("before", 0..10));
    let mut daemon = bench.watch();
    bench.rows(10).await;
    // It has read the lines, and waits to store them, when the server ends.
    let mut other = bench.place.postgres_connection().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE gunicorn_log").execute(&mut other).await.unwrap();
    bench.append("access.log", lines("after", 0..10));
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    until("the daemon waits", async || bench.place.number(waits).await > 0).await;
    cluster.stop();
    daemon.says("the store is unavailable").await;
    daemon
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_while_the_database_is_unavailable_exits_0_and_the_lines_are_read_at_the_next_start()
 {
    let cluster = Cluster::start();
    let bench = Bench::new(Place::at(cluster.database().await)).await;
    let mut daemon = orphaned(&bench, &cluster).await;
    let began = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.ends().await.code(), Some(0), "{}", daemon.said());
    assert!(began.elapsed() < ORDERLY, "it took {:?}", began.elapsed());
    assert!(!daemon.said().contains("everything that was read is stored"), "{}", daemon.said());
    cluster.start_again();
    let _daemon = bench.watch();
    bench.exactly([urls("before", 0..10), urls("after", 0..10)].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let cluster = Cluster::start();
    let bench = Bench::new(Place::at(cluster.database().await)).await;
    let mut daemon = orphaned(&bench, &cluster).await;
    daemon.signal("TERM");
    daemon.says("a second signal ends it at once").await;
    let began = Instant::now();
    daemon.signal("TERM");
    let status = daemon.ends().await;
    assert!(began.elapsed() < AT_ONCE, "it took {:?}", began.elapsed());
    assert!(status.code() == Some(1) || status.signal().is_some(), "{status}");
}

/// A statement that waits for a lock is the other way in which a database keeps one waiting.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_while_the_database_is_locked_exits_0() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("before", 0..10));
    let mut daemon = bench.watch();
    bench.rows(10).await;
    let mut holder = SqliteConnection::connect(&bench.place.url).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut holder).await.unwrap();
    bench.append("access.log", lines("after", 0..10));
    let began = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.ends().await.code(), Some(0), "{}", daemon.said());
    assert!(began.elapsed() < ORDERLY, "it took {:?}", began.elapsed());
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    let _daemon = bench.watch();
    bench.exactly([urls("before", 0..10), urls("after", 0..10)].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_the_file_again_and_keeps_the_old_one_if_it_is_wrong() {
    let bench = Bench::new(Place::sqlite().await).await;
    let (one, other) = (bench.aside("one"), bench.aside("other"));
    fs::create_dir(&one).unwrap();
    fs::create_dir(&other).unwrap();
    fs::write(one.join("access.log"), lines("one", 0..10)).unwrap();
    fs::write(other.join("access.log"), lines("other", 0..10)).unwrap();
    let file = bench.aside("log-ingestd.toml");
    fs::write(&file, format!("watch = [{one:?}]\n")).unwrap();
    let command = bench.command(&["--config", file.to_str().unwrap()]);
    let mut daemon = Daemon::start(command, bench.aside("stderr"));
    bench.rows(10).await;

    fs::write(&file, "watch = 7\n").unwrap();
    daemon.signal("HUP");
    daemon.says("keeping the old configuration").await;
    assert!(!daemon.said().contains("configuration read again"), "{}", daemon.said());

    fs::write(&file, format!("watch = [{one:?}, {other:?}]\n")).unwrap();
    daemon.signal("HUP");
    daemon.says("configuration read again").await;
    let mut log = OpenOptions::new().append(true).open(one.join("access.log")).unwrap();
    log.write_all(lines("one", 10..20).as_bytes()).unwrap();
    bench.exactly([urls("one", 0..20), urls("other", 0..10)].concat()).await;
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_keeps_what_a_worker_still_writes_to_a_file_that_is_gone() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..10));
    let mut daemon = bench.watch();
    bench.rows(10).await;
    let mut worker = OpenOptions::new().append(true).open(bench.log("access.log")).unwrap();
    fs::rename(bench.log("access.log"), bench.aside("elsewhere.log")).unwrap();
    daemon.signal("HUP");
    daemon.says("configuration read again").await;
    worker.write_all(lines("a", 10..20).as_bytes()).unwrap();
    bench.exactly(urls("a", 0..20)).await;
    assert!(daemon.stop().await.success());
}

/// One line without an end, or NULs before the first line: 18 GB in some kilobytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_the_end_of_an_archive() {
    let bench = Bench::new(Place::sqlite().await).await;
    for (name, begin, byte) in
        [("line.bz2", lines("a", 0..3), b'x'), ("nuls.bz2", String::new(), 0)]
    {
        let stream = compress("bz2", &vec![byte; 45_000_000]);
        bench.append(name, [compress("bz2", begin.as_bytes()), stream.repeat(400)].concat());
        let command = bench.command(&["import", bench.log(name).to_str().unwrap()]);
        let mut import = Daemon::start(command, bench.aside("stderr"));
        let pid = import.pid();
        let ticks = || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            let times = stat.split(' ').skip(13).take(2);
            times.map(|it| it.parse::<u64>().unwrap()).sum::<u64>()
        };
        // Two seconds of a processor.
        until("the archive is being read", async || ticks() > 200).await;
        import.signal("TERM");
        import.ends().await;
        let said = import.said();
        assert!(said.contains("interrupted; the same command goes on"), "{said}");
        assert!(!said.contains("the stop takes too long"), "{said}");
    }
}
