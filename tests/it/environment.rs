//! The machine around the daemon: rights that change, directories that go, events that do not
//! come.

use std::fs;
use std::process::{Command, Stdio};

use crate::daemon::{Bench, Daemon, for_each_store, lines, urls};
use crate::place::Place;

/// Long enough that no look at an interval comes to help.
const NEVER: &str = "1h";

/// The daemon with a poll interval of its own.
fn watch_every(bench: &Bench, interval: &str) -> Daemon {
    let logs = bench.logs();
    let arguments = ["--watch", logs.to_str().unwrap(), "--poll-interval", interval];
    Daemon::start(bench.command(&arguments), bench.aside("stderr"))
}

for_each_store! {
    /// It must not take a log for another one because its directory was gone for a while.
    async fn a_directory_that_is_moved_away_and_back(bench) {
        bench.append("access.log", lines("a", 0..10));
        let daemon = bench.watch();
        bench.rows(10).await;
        let hidden = bench.aside("hidden");
        for (round, name) in [(10, "b"), (30, "c")] {
            fs::rename(bench.logs(), &hidden).unwrap();
            let mut log = fs::OpenOptions::new().append(true).open(hidden.join("access.log")).unwrap();
            std::io::Write::write_all(&mut log, lines(name, 0..10).as_bytes()).unwrap();
            bench.rows(round + 10).await;
            fs::rename(&hidden, bench.logs()).unwrap();
            bench.append("access.log", lines(&format!("{name}-back"), 0..10));
            bench.rows(round + 20).await;
        }
        bench.exactly([urls("a", 0..10), urls("b", 0..10), urls("b-back", 0..10), urls("c", 0..10),
            urls("c-back", 0..10)].concat()).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 1);
        assert!(daemon.stop().await.success());
    }

    /// The kernel drops events that are not fetched. What it dropped is found without waiting for
    /// the next look at an interval, which is an hour away here.
    async fn the_queue_of_events_overflows(bench) {
        let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let limit: usize = limit.trim().parse().unwrap();
        bench.append("access.log", lines("a", 0..10));
        let mut daemon = watch_every(&bench, NEVER);
        daemon.says("following a new file").await;
        bench.rows(10).await;
        daemon.signal("STOP");
        // Made and removed: at least two events each, of which no two are alike.
        for nth in 0..limit / 2 + 100 {
            let name = bench.log(&format!(".{nth}"));
            fs::write(&name, "").unwrap();
            fs::remove_file(name).unwrap();
        }
        bench.append("access.log", lines("b", 0..10));
        bench.append("new.log", lines("c", 0..10));
        daemon.signal("CONT");
        bench.exactly([urls("a", 0..10), urls("b", 0..10), urls("c", 0..10)].concat()).await;
    }
}

/// A daemon in a user namespace that has a limit of its own: there it gets few events or none, and no
/// other process does without. `None` where that is not allowed.
fn with_limit(bench: &Bench, limit: &str, value: u32, place: &str) -> Option<Daemon> {
    let may = Command::new("unshare").args(["--user", "--map-root-user", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        println!("not shown: who runs this may not make a user namespace");
        return None;
    }
    let place = bench.aside(place);
    let real = bench.command(&["--watch", place.to_str().unwrap(), "--poll-interval", "200ms"]);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c"]);
    command.arg(format!("echo {value} > /proc/sys/user/{limit} && exec \"$0\" \"$@\""));
    command.arg(real.get_program()).args(real.get_args()).stdout(Stdio::null()).env_clear();
    command.envs(real.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Some(Daemon::start(command, bench.aside("stderr")))
}

async fn without_events(limit: &str, says: &str) {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..10));
    let Some(mut daemon) = with_limit(&bench, limit, 0, "logs") else { return };
    daemon.says(says).await;
    bench.rows(10).await;
    bench.append("access.log", lines("b", 0..10));
    bench.rows(20).await;
    fs::rename(bench.log("access.log"), bench.log("access.log.1")).unwrap();
    bench.append("access.log", lines("c", 0..10));
    bench.append("access.log.1", lines("d", 0..10));
    bench.append("new.log", lines("e", 0..10));
    let all = ["a", "b", "c", "d", "e"].map(|name| urls(name, 0..10));
    bench.exactly(all.concat()).await;
    assert_eq!(daemon.said().matches(says).count(), 1, "{}", daemon.said());
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_at_intervals_find_everything_when_a_pattern_has_more_directories_than_events() {
    let bench = Bench::new(Place::sqlite().await).await;
    let mut all = Vec::new();
    for nth in 0..8 {
        let name = format!("site{nth}");
        fs::create_dir(bench.log(&name)).unwrap();
        bench.append(&format!("{name}/access.log"), lines(&name, 0..10));
        all.extend(urls(&name, 0..10));
    }
    let place = "logs/*/access.log";
    let Some(mut daemon) = with_limit(&bench, "max_inotify_watches", 4, place) else { return };
    let says = "no events from this directory";
    daemon.says(says).await;
    bench.rows(80).await;
    for nth in 0..8 {
        let name = format!("site{nth}");
        bench.append(&format!("{name}/access.log"), lines(&name, 10..20));
        all.extend(urls(&name, 10..20));
    }
    fs::create_dir(bench.log("new")).unwrap();
    bench.append("new/access.log", lines("new", 0..10));
    all.extend(urls("new", 0..10));
    bench.exactly(all).await;
    assert_eq!(daemon.said().matches(says).count(), 1, "{}", daemon.said());
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_at_intervals_find_everything_when_the_system_gives_no_events() {
    without_events("max_inotify_instances", "the system gives no file events").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_at_intervals_find_everything_when_a_directory_gives_no_events() {
    without_events("max_inotify_watches", "no events from this directory").await;
}
