//! A host that is given another name, and hosts that are clones of one another.

use std::fs;

use crate::archives::compress;
use crate::daemon::{Bench, Daemon, for_each_store, lines, rename, urls};
use crate::place::until;

fn watch_as(bench: &Bench, host: &str) -> Daemon {
    bench.watch_with(&["--host", host])
}

for_each_store! {
    async fn a_renamed_host_goes_on_with_its_logs(bench) {
        bench.append("access.log", lines("old", 0..100));
        let daemon = watch_as(&bench, "old");
        bench.rows(100).await;
        rename(&bench.log("access.log"), &bench.log("access.log.1"));
        bench.append("access.log", lines("next", 0..50));
        bench.rows(150).await;
        assert!(daemon.stop().await.success());
        bench.append("access.log", lines("down", 0..10));
        let daemon = watch_as(&bench, "new");
        let all = [urls("old", 0..100), urls("next", 0..50), urls("down", 0..10)].concat();
        bench.exactly(all).await;
        let said = "this host was renamed";
        until("both logs go on", async || bench.said().matches(said).count() == 2).await;
        assert_eq!(bench.place.texts("SELECT DISTINCT host FROM log_file").await, ["new"]);
        assert!(daemon.stop().await.success());
        bench.succeed(&["verify", "--host", "new", bench.logs().to_str().unwrap()]);
    }

    /// What was compressed has another object, and no evidence of its own: the logs beside it have.
    async fn archives_of_a_renamed_host_are_not_stored_again(bench) {
        let gzip = |name: &str| {
            let log = bench.log(name);
            let text = fs::read(&log).unwrap();
            fs::write(bench.log(&format!("{name}.gz")), compress("gz", &text)).unwrap();
            fs::remove_file(log).unwrap();
        };
        let daemon = watch_as(&bench, "old");
        for (nth, name) in ["a", "b", "c"].into_iter().enumerate() {
            bench.append("access.log", lines(name, 0..100));
            bench.rows(100 * (nth as i64 + 1)).await;
            rename(&bench.log("access.log"), &bench.log(&format!("access.log-{name}")));
        }
        bench.append("access.log", lines("live", 0..10));
        bench.rows(310).await;
        assert!(daemon.stop().await.success());
        // One is compressed under the old name, and two afterwards, the last with lines of its own.
        gzip("access.log-a");
        let daemon = watch_as(&bench, "old");
        let closed = "SELECT count(*) FROM log_file WHERE closed_at IS NOT NULL";
        until("it is closed", async || bench.place.number(closed).await == 1).await;
        assert!(daemon.stop().await.success());
        gzip("access.log-b");
        bench.append("access.log-c", lines("c", 100..120));
        gzip("access.log-c");
        let daemon = watch_as(&bench, "new");
        let all = ["a", "b", "live"].into_iter().zip([100, 100, 10]);
        let all = all.flat_map(|(name, end)| urls(name, 0..end)).chain(urls("c", 0..120));
        bench.exactly(all).await;
        let old = "SELECT path || ' ' || coalesce(closed_reason, 'open') FROM log_file WHERE host = 'old'";
        assert_eq!(bench.place.texts(old).await, [""; 0], "{}", bench.said());
        assert!(daemon.stop().await.success());
        bench.succeed(&["verify", "--host", "new", bench.logs().to_str().unwrap()]);
    }

    /// The daemon under the old name lives: it is named, and takes no harm.
    async fn a_daemon_under_another_name_waits_for_the_first(bench) {
        bench.append("access.log", lines("a", 0..20));
        let first = watch_as(&bench, "old");
        bench.rows(20).await;
        let logs = bench.logs();
        let command = bench.command(&["--watch", logs.to_str().unwrap(), "--poll-interval", "100ms", "--host", "new"]);
        let mut second = Daemon::start(command, bench.aside("second"));
        second.says("another host name follows this log").await;
        assert!(second.said().contains("old"), "{}", second.said());
        bench.append("access.log", lines("b", 0..20));
        bench.exactly([urls("a", 0..20), urls("b", 0..20)].concat()).await;
        assert!(first.stop().await.success());
        bench.append("access.log", lines("c", 0..20));
        bench.exactly([urls("a", 0..20), urls("b", 0..20), urls("c", 0..20)].concat()).await;
    }

    /// Another machine has the same inode, birth time and content: it was copied as a whole.
    async fn a_clone_takes_nothing_over_until_it_is_told_to(bench) {
        bench.append("access.log", lines("a", 0..20));
        let daemon = watch_as(&bench, "template");
        bench.rows(20).await;
        assert!(daemon.stop().await.success());
        bench.place.execute("UPDATE log_file SET machine = 'another', file_system = 17").await;
        let mut daemon = watch_as(&bench, "clone");
        daemon.says("log-ingestd rename-host template clone").await;
        bench.append("access.log", lines("b", 0..5));
        bench.rows(45).await; // a log of its own, as a clone's is
        assert!(daemon.stop().await.success());
    }

    async fn the_command_moves_the_logs_to_the_new_name(bench) {
        bench.append("access.log", lines("a", 0..20));
        let daemon = watch_as(&bench, "old");
        bench.rows(20).await;
        let refused = bench.run(&["rename-host", "old", "new"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("stop it first"), "{said}");
        assert!(daemon.stop().await.success());
        bench.place.execute("UPDATE log_file SET machine = 'another', file_system = 17").await;
        assert!(bench.succeed(&["rename-host", "old", "new"]).contains("from host 'old' to 'new': 1"));
        let unknown = bench.run(&["rename-host", "old", "new"]);
        assert!(String::from_utf8_lossy(&unknown.stderr).contains("there are logs of: new"));
        bench.append("access.log", lines("b", 0..5));
        let _daemon = watch_as(&bench, "new");
        bench.exactly([urls("a", 0..20), urls("b", 0..5)].concat()).await;
    }

    /// An import says that the file is stored under another host's name.
    async fn an_import_under_another_name_stores_nothing_twice(bench) {
        let path = bench.aside("old.log");
        fs::write(&path, lines("a", 0..20)).unwrap();
        let path = path.to_str().unwrap();
        bench.succeed(&["import", "--host", "old", path]);
        let refused = bench.run(&["import", "--host", "new", path]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("rename-host old new"), "{said}");
        bench.succeed(&["import", "--host", "new", "--skip", path]);
        bench.exactly(urls("a", 0..20)).await;
    }
}
