//! Very many files: the ones that are in use do not wait for the idle ones, and no file takes the place of
//! another because not all of them are decided about at once. `benches/files` measures 50,000.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::daemon::{Bench, Daemon, for_each_store, line, lines, rename, urls};
use crate::place::until;

/// More than are decided about at a time.
const FILES: u32 = 2000;

/// Idle logs of two lines, which were written long ago, at times that do not follow their names.
fn add_idle(bench: &Bench) -> Vec<String> {
    let mut all = Vec::new();
    for number in 0..FILES {
        let name = format!("idle{number:04}.log");
        bench.append(&name, lines(&name, 0..2));
        written(&bench.log(&name), Duration::from_secs(86_400 + u64::from(number * 977 % FILES)));
        all.extend(urls(&name, 0..2));
    }
    all
}

/// Sets when a file was written: so long ago.
fn written(path: &Path, ago: Duration) {
    let file = fs::File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - ago).unwrap();
}

/// The logs that a daemon says it goes on with, in order.
fn followed_on(daemon: &Daemon) -> Vec<String> {
    let said = daemon.said();
    let on = said.lines().filter(|line| line.contains("following on"));
    on.map(|line| line.rsplit('/').next().unwrap().split('"').next().unwrap().to_owned()).collect()
}

/// How many locks of claims the server has.
const LOCKS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database =
     (SELECT oid FROM pg_database WHERE datname = current_database())";

for_each_store! {
    async fn what_was_written_last_is_read_first_after_each_start(bench) {
        let mut all = add_idle(&bench);
        let mut daemon = bench.watch_with(&["--retention", "off"]);
        bench.rows(all.len() as i64).await;
        for (nth, active) in ["idle1234.log", "idle0007.log", "idle1999.log"].into_iter().enumerate() {
            match nth {
                0 => assert!(daemon.stop().await.success()),
                _ => daemon.kill(),
            }
            let url = format!("/active/{nth}");
            bench.append(active, line(&url));
            all.push(url);
            daemon = bench.watch_with(&["--retention", "off"]);
            bench.rows(all.len() as i64).await;
            until("all are followed", async || followed_on(&daemon).len() == FILES as usize).await;
            let on = followed_on(&daemon);
            assert!(on[0].starts_with(active), "{:?}", &on[..3]);
            if bench.place.is_postgres() {
                assert_eq!(bench.place.number(LOCKS).await, 1, "one lock for all files");
            }
        }
        assert!(!daemon.said().contains("WARN"), "{}", daemon.said());
        let owned = "SELECT count(*) FROM log_file WHERE owner IS NOT NULL";
        assert_eq!(bench.place.number(owned).await, i64::from(FILES));
        assert!(daemon.stop().await.success());
        bench.exactly(all).await;
        bench.succeed(&["verify"]);
    }

    async fn copies_and_rotations_among_many_files_are_what_they_are_among_few(bench) {
        let mut all = add_idle(&bench);
        for name in ["copied", "moved", "kept", "cut"] {
            bench.append(&format!("{name}.log"), lines(name, 0..30));
            all.extend(urls(name, 0..30));
        }
        let daemon = bench.watch_with(&["--retention", "off"]);
        bench.rows(all.len() as i64).await;
        assert!(daemon.stop().await.success());
        // While no daemon runs: copied and truncated, as logrotate's copytruncate does; renamed and made
        // anew; copied, and the copy is newer than the log; truncated, and copied nowhere.
        bench.append("copied.log", lines("copied", 30..40));
        fs::copy(bench.log("copied.log"), bench.log("copied.log.1")).unwrap();
        fs::write(bench.log("copied.log"), lines("copied-new", 0..50)).unwrap();
        bench.append("moved.log", lines("moved", 30..40));
        rename(&bench.log("moved.log"), &bench.log("moved.log.1"));
        bench.append("moved.log", lines("moved-new", 0..5));
        fs::copy(bench.log("kept.log"), bench.log("kept.log.bak")).unwrap();
        written(&bench.log("kept.log"), Duration::from_secs(2 * 86_400));
        fs::write(bench.log("cut.log"), lines("cut-new", 0..50)).unwrap();
        all.extend(urls("copied", 30..40));
        all.extend(urls("copied-new", 0..50));
        all.extend(urls("moved", 30..40));
        all.extend(urls("moved-new", 0..5));
        all.extend(urls("cut-new", 0..50));
        let daemon = bench.watch_with(&["--retention", "off"]);
        bench.exactly(all.clone()).await;
        let where_is = async |name: &str| {
            let path = format!("SELECT count(*) FROM log_file WHERE path LIKE '%/{name}' AND closed_at IS NULL");
            bench.place.number(&path).await
        };
        for name in ["copied.log", "copied.log.1", "moved.log", "moved.log.1", "kept.log", "cut.log"] {
            assert_eq!(where_is(name).await, 1, "{name}: {}", daemon.said());
        }
        assert_eq!(where_is("kept.log.bak").await, 0, "a copy of a log that is followed");
        let closed = "SELECT count(*) FROM log_file WHERE closed_reason = 'truncated or replaced'";
        until("the log that was truncated is closed", async || bench.place.number(closed).await == 1).await;
        // And it goes on with each of them.
        for name in ["copied.log", "moved.log", "kept.log", "cut.log"] {
            bench.append(name, line(&format!("/late/{name}")));
            all.push(format!("/late/{name}"));
        }
        bench.exactly(all).await;
        assert!(daemon.stop().await.success());
    }
}
