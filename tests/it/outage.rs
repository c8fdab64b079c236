//! A store that goes away, comes back, or takes nothing for a while: every line once, and one
//! message for each way.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::archives::{Summary, compress};
use crate::bounds::MEMORY_KIB;
use crate::daemon::{Bench, Daemon, for_each_store, lines, rename, urls};
use crate::place::{Place, until};
use crate::postgres::{Cluster, shared};
use crate::traffic::{Traffic, a_moment};

/// A server of its own, with a log directory.
async fn own_server() -> (Cluster, Bench) {
    let cluster = Cluster::start();
    let bench = Bench::new(Place::at(cluster.database().await)).await;
    (cluster, bench)
}

/// It told once that the store went, and once that it returned.
fn told_once(daemon: &Daemon) {
    let said = daemon.said();
    for words in ["the store is unavailable", "the store is back"] {
        assert_eq!(said.matches(words).count(), 1, "'{words}' in: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_during_three_rotations_gets_everything_when_it_is_back() {
    let (cluster, bench) = own_server().await;
    bench.append("access.log", lines("before", 0..20));
    let mut daemon = bench.watch();
    bench.rows(20).await;
    let base = daemon.peak_kib();
    cluster.stop();
    let mut all = urls("before", 0..20);
    // Each round is 20 MB.
    let long = "x".repeat(4000);
    for round in ["one", "two", "three"] {
        let round = format!("{round}-{long}");
        bench.append("access.log", lines(&round, 0..5000));
        all.extend(urls(&round, 0..5000));
        daemon.says("the store is unavailable").await;
        for n in (1..3).rev() {
            let from = bench.log(&format!("access.log.{n}"));
            if from.exists() {
                rename(&from, &bench.log(&format!("access.log.{}", n + 1)));
            }
        }
        rename(&bench.log("access.log"), &bench.log("access.log.1"));
    }
    bench.append("access.log", lines("after", 0..20));
    all.extend(urls("after", 0..20));
    cluster.start_again();
    bench.exactly(all).await;
    daemon.says("the store is back").await;
    told_once(&daemon);
    let grown = daemon.peak_kib() - base;
    println!("{grown} KiB more than with nothing to do");
    assert!(grown < MEMORY_KIB, "{grown} KiB for a backlog of 60 MB");
    assert!(daemon.stop().await.success());
}

/// Without times, an archive proves nothing: it is known because its log is missed when it is read. So its log
/// must not be given up while the store fails.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_was_being_read_when_the_store_failed_is_read_again() {
    let bench = Bench::new(Place::postgres().await).await;
    let line = |nth: u32| format!("127.0.0.1:5000 - \"GET /a/{nth} HTTP/1.1\" 200\n");
    bench.append("access.log", (0..50).map(line).collect::<String>());
    let daemon = bench.watch();
    bench.rows(50).await;
    assert!(daemon.stop().await.success());
    let text = fs::read(bench.log("access.log")).unwrap();
    fs::write(bench.log("access.log.1.gz"), compress("gz", &text)).unwrap();
    fs::remove_file(bench.log("access.log")).unwrap();
    let mut lock = PgConnection::connect(&bench.place.url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE log_file").execute(&mut lock).await.unwrap();
    let daemon = bench.watch_with(&["--log-level", "debug"]);
    // Sessions that wait for the table end, as with a server that goes down.
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE wait_event_type = 'Lock' AND datname = current_database()";
    until("the archive's session has ended", async || {
        bench.place.number(end).await;
        daemon.said().contains("the store failed while this archive was read")
    })
    .await;
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    let closed = "SELECT closed_reason FROM log_file WHERE closed_at IS NOT NULL";
    let closed = async || bench.place.texts(closed).await;
    until("the log is closed", async || !closed().await.is_empty()).await;
    assert_eq!(closed().await, ["compressed"], "{}", daemon.said());
    bench.append("access.log", line(50));
    bench.exactly(urls("a", 0..51)).await;
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_load_loses_and_doubles_nothing() {
    let (cluster, bench) = own_server().await;
    let traffic = Traffic::in_directory(bench.logs());
    let daemon = bench.watch();
    for _ in 0..3 {
        let before = bench.stored().await;
        until("more is stored", async || bench.stored().await > before + 1000).await;
        a_moment(Duration::from_millis(100)).await;
        cluster.kill();
        cluster.start_again();
    }
    bench.exactly(traffic.end()).await;
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_at_random_moments_lose_and_double_nothing() {
    let bench = Bench::new(Place::postgres().await).await;
    let traffic = Traffic::in_directory(bench.logs());
    let daemon = bench.watch();
    for _ in 0..25 {
        let before = bench.stored().await;
        until("more is stored", async || bench.stored().await > before).await;
        a_moment(Duration::from_millis(60)).await;
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid()";
        bench.place.execute(cut).await;
    }
    bench.exactly(traffic.end()).await;
    assert!(daemon.stop().await.success());
}

/// Of an import's connections some have sent rows and wait for their turn to commit.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_over_several_connections_that_are_cut_stores_each_line_once() {
    let bench = Bench::new(Place::postgres().await).await;
    bench.append("access.log", lines("a", 0..150_000));
    let log = bench.log("access.log");
    let arguments = ["import", "--json", "--jobs", "4", log.to_str().unwrap()];
    let mut import = bench.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let (mut cuts, mut stored) = (0, -1);
    while import.try_wait().unwrap().is_none() {
        a_moment(Duration::from_millis(400)).await;
        // Where a connection takes longer than that to be made, nothing would ever be stored.
        let before = std::mem::replace(&mut stored, bench.stored().await);
        if stored == before {
            continue;
        }
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.7";
        cuts += bench.place.number(cut).await;
    }
    let output = import.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(cuts > 0, "no connection was cut");
    assert_eq!(Summary::of(&output.stdout).counts(), (150_000, 150_000, 0));
    bench.exactly(urls("a", 0..150_000)).await;
}

/// A session of PostgreSQL may miss that another one has attached a day. For it, this looks the same.
#[tokio::test(flavor = "multi_thread")]
async fn lines_for_which_an_attached_day_has_no_room_wait_and_are_no_rejects() {
    let bench = Bench::new(Place::postgres().await).await;
    let attach = |until: &str| {
        format!(
            "ALTER TABLE gunicorn_log ATTACH PARTITION gunicorn_log_20261123
             FOR VALUES FROM ('2026-11-23 00:00+00') TO ('2026-11-{until}:00+00')"
        )
    };
    let detach = "ALTER TABLE gunicorn_log DETACH PARTITION gunicorn_log_20261123";
    bench
        .place
        .execute("CREATE TABLE gunicorn_log_20261123 (LIKE gunicorn_log INCLUDING ALL)")
        .await;
    bench.place.execute(&attach("23 01")).await;
    bench.append("access.log", lines("a", 0..100));
    let mut daemon = bench.watch();
    daemon.says("if this stays, see the bounds of its day").await;
    bench.append("access.log", lines("a", 100..200));
    assert_eq!(bench.stored().await, 0);
    bench.place.execute(detach).await;
    bench.place.execute(&attach("24 00")).await;
    bench.exactly(urls("a", 0..200)).await;
    assert_eq!(bench.rejects().await, 0);
    assert!(daemon.stop().await.success());
    // The same for the sessions of an import.
    bench.place.execute(detach).await;
    bench.place.execute("TRUNCATE gunicorn_log_20261123").await;
    bench.place.execute(&attach("23 01")).await;
    let old = bench.aside("old.log");
    fs::write(&old, lines("old", 0..60_000)).unwrap();
    let output = bench.run(&["import", old.to_str().unwrap(), "--connect-timeout", "2s"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("if this stays, see the bounds of its day"),
        "{said}"
    );
    assert_eq!(bench.rejects().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_at_the_start_is_named_in_time_or_waited_for() {
    let (cluster, bench) = own_server().await;
    bench.append("access.log", lines("a", 0..10));
    cluster.stop();
    let began = Instant::now();
    let logs = bench.logs();
    let output = bench.run(&["--watch", logs.to_str().unwrap(), "--connect-timeout", "2s"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(began.elapsed() < Duration::from_secs(8), "it took {:?}", began.elapsed());
    assert!(said.contains(&format!("127.0.0.1:{}", cluster.port())), "{said}");
    let mut daemon = bench.watch_with(&["--connect-timeout", "60s"]);
    cluster.start_again();
    daemon.says("watching").await;
    bench.exactly(urls("a", 0..10)).await;
}

for_each_store! {
    async fn a_store_that_takes_nothing_for_a_while_gets_everything_later(bench) {
        bench.append("access.log", lines("before", 0..20));
        let mut daemon = bench.watch();
        bench.rows(20).await;
        if bench.place.is_postgres() {
            let names = bench.place.texts("SELECT current_database()").await;
            let name = &names[0];
            let read_only = async |mode| {
                let alter = format!("ALTER DATABASE {name} SET default_transaction_read_only = {mode}");
                shared().administer(&alter).await;
                let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ";
                shared().administer(&format!("{cut} '{name}'")).await;
            };
            read_only("on").await;
            bench.append("access.log", lines("meanwhile", 0..500));
            daemon.says("the store is unavailable").await;
            read_only("off").await;
        } else {
            let mut other = SqliteConnection::connect(&bench.place.url).await.unwrap();
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
            bench.append("access.log", lines("meanwhile", 0..500));
            daemon.says("the store is unavailable").await;
            sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
        }
        bench.exactly([urls("before", 0..20), urls("meanwhile", 0..500)].concat()).await;
        daemon.says("the store is back").await;
        told_once(&daemon);
    }
}

/// A small file system in memory; gone with the test.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// `None` for who may not mount one.
    fn mount(at: std::path::PathBuf) -> Option<SmallDisk> {
        fs::create_dir(&at).unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&at);
        let mounted = mount.stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then_some(SmallDisk(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_sqlite_stops_nothing_but_the_rows() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path().join("disk")) else {
        println!("not shown: who runs this may not mount a small file system");
        return;
    };
    let url = format!("sqlite:{}", disk.0.join("log.sqlite3").display());
    let bench = Bench::new(Place::at(url)).await;
    bench.append("access.log", lines("before", 0..20));
    let mut daemon = bench.watch();
    bench.rows(20).await;
    let ballast = disk.0.join("ballast");
    // As much as fits, and no more.
    let _full = fs::write(&ballast, vec![0; 8 << 20]).unwrap_err();
    bench.append("access.log", lines("meanwhile", 0..3000));
    daemon.says("the store is unavailable").await;
    fs::remove_file(&ballast).unwrap();
    bench.exactly([urls("before", 0..20), urls("meanwhile", 0..3000)].concat()).await;
    daemon.says("the store is back").await;
    told_once(&daemon);
    assert!(daemon.stop().await.success());
}
