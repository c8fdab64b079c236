//! Daemons that are killed, stopped, frozen and replaced: every line is stored once.

use std::time::Duration;

use crate::daemon::{Bench, Daemon, for_each_store, lines, urls};
use crate::place::until;
use crate::traffic::{Traffic, a_moment};

/// How many times the daemon is killed; LOG_INGESTD_KILLS asks for more.
fn kills() -> u32 {
    std::env::var("LOG_INGESTD_KILLS").map_or(20, |count| count.parse().unwrap())
}

/// A second daemon on the same directory.
fn another(bench: &Bench) -> Daemon {
    let logs = bench.logs();
    let arguments = ["--watch", logs.to_str().unwrap(), "--poll-interval", "100ms"];
    Daemon::start(bench.command(&arguments), bench.aside("stderr of another"))
}

/// Stops a daemon, on SQLite between two transactions: in one it would keep all others from the file.
async fn freeze(bench: &Bench, daemon: &Daemon) {
    until("it stops between two transactions", async || {
        daemon.signal("STOP");
        let is_free = bench.place.is_postgres() || bench.place.can_be_written().await;
        if !is_free {
            daemon.signal("CONT");
        }
        is_free
    })
    .await;
}

for_each_store! {
    async fn a_daemon_that_is_killed_again_and_again_loses_and_doubles_nothing(bench) {
        let traffic = Traffic::in_directory(bench.logs());
        for _ in 0..kills() {
            let before = bench.stored().await;
            let daemon = bench.watch();
            // Half of them die before they have stored anything.
            if fastrand::bool() {
                until("more is stored", async || bench.stored().await > before).await;
            }
            a_moment(Duration::from_millis(300)).await;
            daemon.kill();
        }
        let all = traffic.end();
        let daemon = bench.watch();
        bench.exactly(all).await;
        assert!(daemon.stop().await.success());
    }

    async fn a_daemon_that_is_stopped_in_the_middle_goes_on_where_it_was(bench) {
        bench.append("access.log", lines("a", 0..60_000));
        for _ in 0..3 {
            let before = bench.stored().await;
            let mut daemon = bench.watch();
            daemon.says("watching").await;
            until("more is stored", async || {
                let now = bench.stored().await;
                now > before || now == 60_000
            })
            .await;
            let stopping = std::time::Instant::now();
            assert!(daemon.stop().await.success());
            assert!(stopping.elapsed() < Duration::from_secs(10));
            bench.balanced().await;
        }
        let _daemon = bench.watch();
        bench.exactly(urls("a", 0..60_000)).await;
    }

    async fn of_two_daemons_one_writes_and_the_other_takes_over_when_it_dies(bench) {
        bench.append("access.log", lines("a", 0..50));
        let owner = bench.watch();
        bench.rows(50).await;
        let mut other = another(&bench);
        other.says("another log-ingestd writes this file").await;
        bench.append("access.log", lines("b", 0..50));
        bench.rows(100).await;
        owner.kill();
        bench.append("access.log", lines("c", 0..50));
        bench.exactly([urls("a", 0..50), urls("b", 0..50), urls("c", 0..50)].concat()).await;
        other.says("following on").await;
        assert_eq!(other.said().matches("another log-ingestd").count(), 1, "{}", other.said());
        assert!(other.stop().await.success());
    }

    async fn what_the_other_daemon_left_unread_is_read_although_the_log_was_moved_away(bench) {
        bench.append("access.log", lines("a", 0..50));
        let owner = bench.watch();
        bench.rows(50).await;
        let mut other = another(&bench);
        other.says("another log-ingestd writes this file").await;
        owner.kill();
        bench.append("access.log", lines("b", 0..50));
        std::fs::rename(bench.logs().join("access.log"), bench.aside("access.log")).unwrap();
        bench.exactly([urls("a", 0..50), urls("b", 0..50)].concat()).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 1);
        assert!(other.stop().await.success());
    }

    async fn two_daemons_that_start_at_once_store_each_line_once(bench) {
        let mut all = Vec::new();
        for nth in 0..30 {
            let name = format!("worker{nth}");
            bench.append(&format!("{name}.log"), format!("{}{}", lines("same", 0..40), lines(&name, 0..40)));
            all.extend([urls("same", 0..40), urls(&name, 0..40)].concat());
        }
        let one = bench.watch();
        let other = another(&bench);
        bench.exactly(all.clone()).await;
        for nth in 0..30 {
            bench.append(&format!("worker{nth}.log"), lines("late", 0..5));
            all.extend(urls("late", 0..5));
        }
        bench.exactly(all.clone()).await;
        // Either of them has everything that it needs.
        one.kill();
        bench.append("worker7.log", lines("later", 0..5));
        all.extend(urls("later", 0..5));
        bench.exactly(all).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file WHERE committed > 0").await, 30);
        assert!(other.stop().await.success());
    }

    async fn a_frozen_daemon_that_wakes_up_doubles_nothing(bench) {
        bench.append("access.log", lines("a", 0..50));
        let mut owner = bench.watch();
        bench.rows(50).await;
        bench.swept(1).await;
        freeze(&bench, &owner).await;
        let mut other = another(&bench);
        bench.append("access.log", lines("b", 0..50));
        other.says("another log-ingestd writes this file").await;
        if bench.place.is_postgres() {
            // As the server does by itself with a client that has been silent for long.
            bench.place.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            ).await;
            bench.rows(100).await;
            other.says("following on").await;
            owner.signal("CONT");
            bench.append("access.log", lines("c", 0..50));
            owner.says("another log-ingestd took this file over").await;
        } else {
            // The system's lock stays with a process for as long as it lives.
            assert_eq!(bench.stored().await, 50);
            owner.signal("CONT");
            bench.append("access.log", lines("c", 0..50));
        }
        bench.rows(150).await;
        bench.append("access.log", lines("d", 0..50));
        bench.exactly([urls("a", 0..50), urls("b", 0..50), urls("c", 0..50), urls("d", 0..50)].concat()).await;
        assert!(owner.stop().await.success());
        assert!(other.stop().await.success());
    }
}
