//! Rotations that go wrong, or in unplanned ways, on both stores.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use log_ingestd::model::grouped;

use crate::daemon::{Bench, for_each_store, line, lines, rename, urls};
use crate::place::until;

/// A worker that has its log open, whatever becomes of the name.
fn worker(bench: &Bench, name: &str) -> File {
    OpenOptions::new().append(true).create(true).open(bench.log(name)).unwrap()
}

/// As copytruncate does, after it has copied.
fn truncate(bench: &Bench, name: &str) {
    OpenOptions::new().write(true).open(bench.log(name)).unwrap().set_len(0).unwrap();
}

async fn lost(bench: &Bench) -> i64 {
    bench.place.number("SELECT CAST(coalesce(sum(lost_bytes), 0) AS bigint) FROM log_file").await
}

for_each_store! {
    async fn a_worker_writes_to_the_old_file_long_after_the_others_have_the_new_one(bench) {
        let mut late = worker(&bench, "access.log");
        late.write_all(lines("before", 0..10).as_bytes()).unwrap();
        let daemon = bench.watch();
        bench.rows(10).await;
        rename(&bench.log("access.log"), &bench.log("access.log.1"));
        let mut all = urls("before", 0..10);
        for round in 0..15 {
            bench.append("access.log", line(&format!("/new/{round}")));
            late.write_all(line(&format!("/late/{round}")).as_bytes()).unwrap();
            all.extend([format!("/new/{round}"), format!("/late/{round}")]);
            // Each round is seen before the next: many looks lie between the first and the last.
            bench.rows(all.len() as i64).await;
        }
        assert!(daemon.stop().await.success());
        late.write_all(line("/down").as_bytes()).unwrap();
        let _daemon = bench.watch();
        late.write_all(line("/last").as_bytes()).unwrap();
        all.extend(["/down".to_owned(), "/last".to_owned()]);
        bench.exactly(all).await;
    }

    async fn rotated_out_of_the_watched_directory_with_unread_bytes(bench) {
        let mut late = worker(&bench, "access.log");
        late.write_all(lines("read", 0..20).as_bytes()).unwrap();
        let daemon = bench.watch();
        bench.rows(20).await;
        daemon.signal("STOP");
        late.write_all(lines("unread", 0..20).as_bytes()).unwrap();
        rename(&bench.log("access.log"), &bench.aside("elsewhere.log"));
        bench.append("access.log", lines("new", 0..20));
        daemon.signal("CONT");
        bench.rows(60).await;
        // It is still read while a worker writes to it.
        late.write_all(lines("late", 0..20).as_bytes()).unwrap();
        let mut all = [urls("read", 0..20), urls("unread", 0..20), urls("new", 0..20), urls("late", 0..20)].concat();
        bench.exactly(all.clone()).await;
        assert_eq!(lost(&bench).await, 0);
        // What is written there while no daemon runs is not found; an import goes on from there.
        assert!(daemon.stop().await.success());
        late.write_all(lines("down", 0..20).as_bytes()).unwrap();
        bench.succeed(&["import", bench.aside("elsewhere.log").to_str().unwrap()]);
        all.extend(urls("down", 0..20));
        bench.exactly(all).await;
    }

    async fn rotated_again_while_the_first_old_file_still_has_a_backlog(bench) {
        bench.append("access.log", lines("one", 0..40_000));
        let daemon = bench.watch();
        until("some of it is stored", async || bench.stored().await > 0).await;
        daemon.signal("STOP");
        assert!(bench.stored().await < 40_000, "there is no backlog");
        rename(&bench.log("access.log"), &bench.log("access.log.1"));
        bench.append("access.log", lines("two", 0..500));
        rename(&bench.log("access.log.1"), &bench.log("access.log.2"));
        rename(&bench.log("access.log"), &bench.log("access.log.1"));
        bench.append("access.log", lines("three", 0..500));
        daemon.signal("CONT");
        bench.exactly([urls("one", 0..40_000), urls("two", 0..500), urls("three", 0..500)].concat()).await;
    }

    async fn copytruncate_when_caught_up_and_as_many_bytes_as_before_between_two_looks(bench) {
        bench.append("access.log", lines("first", 0..40));
        let daemon = bench.watch();
        bench.rows(40).await;
        daemon.signal("STOP");
        fs::copy(bench.log("access.log"), bench.log("access.log.1")).unwrap();
        let before = fs::metadata(bench.log("access.log")).unwrap().len();
        // Within one tick of the file system's clock it would be taken for the old one: a stated limit.
        let changed = |path| fs::metadata(path).unwrap().modified().unwrap();
        until("the next tick of the file system's clock", async || {
            fs::write(bench.aside("tick"), "").unwrap();
            changed(bench.aside("tick")) > changed(bench.log("access.log"))
        })
        .await;
        truncate(&bench, "access.log");
        bench.append("access.log", lines("equal", 0..40));
        assert_eq!(fs::metadata(bench.log("access.log")).unwrap().len(), before);
        daemon.signal("CONT");
        bench.exactly([urls("first", 0..40), urls("equal", 0..40)].concat()).await;
        assert_eq!(lost(&bench).await, 0);
    }

    /// The copy lies elsewhere: what was not read before is counted, to the byte, and shown.
    async fn copytruncate_with_a_backlog_and_a_copy_elsewhere_counts_the_lost_bytes(bench) {
        let text = lines("a", 0..120_000);
        bench.append("access.log", &text);
        let daemon = bench.watch();
        until("some of it is stored", async || bench.stored().await > 0).await;
        daemon.signal("STOP");
        fs::copy(bench.log("access.log"), bench.aside("copy.log")).unwrap();
        truncate(&bench, "access.log");
        bench.append("access.log", lines("new", 0..10));
        daemon.signal("CONT");
        until("the rest is given up", async || lost(&bench).await > 0).await;
        until("the new lines are there", async || {
            bench.place.number("SELECT count(*) FROM gunicorn_log WHERE url LIKE '/new/%'").await == 10
        })
        .await;
        let kept = "SELECT committed FROM log_file WHERE lost_bytes > 0";
        let kept = bench.place.number(kept).await;
        let missing = text.len() as i64 - kept;
        assert_eq!(lost(&bench).await, missing);
        let read = text.as_bytes()[..kept as usize].iter().filter(|byte| **byte == b'\n').count();
        bench.exactly([urls("a", 0..read as u32), urls("new", 0..10)].concat()).await;
        assert!(bench.succeed(&["status"]).contains(&format!("{} BYTES LOST", grouped(missing))));
        assert!(daemon.said().contains(&format!("bytes={missing}")), "{}", daemon.said());
        // Who has the copy gets them all the same.
        assert!(daemon.stop().await.success());
        bench.succeed(&["import", bench.aside("copy.log").to_str().unwrap()]);
        bench.exactly([urls("a", 0..120_000), urls("new", 0..10)].concat()).await;
    }

    /// As with `gunicorn … > access.log`: after copytruncate it writes on at its old offset, and
    /// everything before that is NUL. Its first line begins there.
    async fn copytruncate_under_a_server_that_does_not_append(bench) {
        let mut server = File::create(bench.log("access.log")).unwrap();
        server.write_all(lines("a", 0..12_000).as_bytes()).unwrap();
        let _daemon = bench.watch();
        bench.rows(12_000).await;
        let hole = lines("a", 0..12_000).len();
        fs::copy(bench.log("access.log"), bench.log("access.log.1")).unwrap();
        truncate(&bench, "access.log");
        server.write_all(lines("b", 0..50).as_bytes()).unwrap();
        bench.rows(12_050).await;
        server.write_all(lines("c", 0..50).as_bytes()).unwrap();
        bench.exactly([urls("a", 0..12_000), urls("b", 0..50), urls("c", 0..50)].concat()).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM rejected_line").await, 0);
        let first = "SELECT CAST(min(log_offset) AS text) FROM gunicorn_log WHERE url LIKE '/b/%'";
        assert_eq!(bench.place.texts(first).await, [hole.to_string()]);
        assert_eq!(lost(&bench).await, 0);
    }

    async fn deleted_and_made_again_with_the_same_inode_and_the_same_first_line(bench) {
        let same = line("/same");
        bench.append("access.log", format!("{same}{}", lines("old", 0..20)));
        let daemon = bench.watch();
        bench.rows(21).await;
        assert!(daemon.stop().await.success());
        let inode = |bench: &Bench| fs::metadata(bench.log("access.log")).unwrap().ino();
        let old = inode(&bench);
        fs::remove_file(bench.log("access.log")).unwrap();
        bench.append("access.log", format!("{same}{}", lines("new", 0..30)));
        if inode(&bench) != old {
            println!("not shown: this file system does not use an inode again at once");
        }
        let _daemon = bench.watch();
        let same = vec!["/same".to_owned(); 2];
        bench.exactly([same, urls("old", 0..20), urls("new", 0..30)].concat()).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 2);
    }

    async fn deleted_with_unread_bytes_while_the_daemon_has_it_open(bench) {
        let mut late = worker(&bench, "access.log");
        late.write_all(lines("read", 0..20).as_bytes()).unwrap();
        let daemon = bench.watch();
        bench.rows(20).await;
        daemon.signal("STOP");
        late.write_all(lines("unread", 0..20).as_bytes()).unwrap();
        fs::remove_file(bench.log("access.log")).unwrap();
        bench.append("access.log", lines("new", 0..20));
        daemon.signal("CONT");
        bench.rows(60).await;
        late.write_all(lines("late", 0..20).as_bytes()).unwrap();
        let all = [urls("read", 0..20), urls("unread", 0..20), urls("new", 0..20), urls("late", 0..20)];
        bench.exactly(all.concat()).await;
        assert_eq!(lost(&bench).await, 0);
    }

    async fn a_symbolic_link_that_is_turned_to_another_file(bench) {
        let link = bench.aside("current");
        bench.append("monday", lines("monday", 0..20));
        std::os::unix::fs::symlink(bench.log("monday"), &link).unwrap();
        let arguments = ["--watch", link.to_str().unwrap(), "--poll-interval", "100ms"];
        let daemon = crate::daemon::Daemon::start(bench.command(&arguments), bench.aside("stderr"));
        bench.rows(20).await;
        daemon.signal("STOP");
        bench.append("monday", lines("late", 0..20));
        bench.append("tuesday", lines("tuesday", 0..20));
        std::os::unix::fs::symlink(bench.log("tuesday"), bench.aside("next")).unwrap();
        rename(&bench.aside("next"), &link);
        daemon.signal("CONT");
        bench.rows(60).await;
        bench.append("monday", lines("later", 0..20));
        bench.append("tuesday", lines("more", 0..20));
        bench.exactly([urls("monday", 0..20), urls("late", 0..20), urls("tuesday", 0..20),
            urls("later", 0..20), urls("more", 0..20)].concat()).await;
    }

    async fn paths_that_overlap_are_one_reader_for_each_file(bench) {
        fs::create_dir(bench.log("deep")).unwrap();
        bench.append("access.log", lines("a", 0..20));
        bench.append("deep/access.log", lines("b", 0..20));
        let (logs, file) = (bench.logs(), bench.log("access.log"));
        let patterns = [logs.join("*.log"), logs.join("**/*.log"), logs.join("deep/../access.log")];
        let mut arguments = vec!["--poll-interval", "100ms"];
        for path in patterns.iter().chain([&logs, &file]) {
            arguments.extend(["--watch", path.to_str().unwrap()]);
        }
        let _daemon = crate::daemon::Daemon::start(bench.command(&arguments), bench.aside("stderr"));
        bench.rows(40).await;
        bench.append("access.log", lines("c", 0..20));
        bench.exactly([urls("a", 0..20), urls("b", 0..20), urls("c", 0..20)].concat()).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 2);
    }

    async fn rotated_to_names_that_say_nothing(bench) {
        let daemon = bench.watch();
        let mut all = Vec::new();
        for name in ["access.log-20261123", "Kopie von gestern", "old", "access.log~", "1"] {
            bench.append("access.log", lines(name, 0..10));
            all.extend(urls(name, 0..10));
            bench.rows(all.len() as i64).await;
            daemon.signal("STOP");
            bench.append("access.log", line(&format!("/unread/{name}")));
            all.push(format!("/unread/{name}"));
            rename(&bench.log("access.log"), &bench.log(name));
            daemon.signal("CONT");
        }
        bench.exactly(all.clone()).await;
        assert!(daemon.stop().await.success());
        let _daemon = bench.watch();
        bench.append("access.log", lines("afterwards", 0..10));
        bench.exactly([all, urls("afterwards", 0..10)].concat()).await;
    }

    /// By itself the new log says nothing for certain: its agents might be another header's addresses.
    async fn a_log_that_begins_with_odd_requests_keeps_the_format_of_the_one_before(bench) {
        let odd = |prefix: &str| lines(prefix, 0..10).replace("curl/8", "10.0.0.1");
        bench.append("new.log", odd("refused"));
        bench.append("access.log", lines("a", 0..10));
        let daemon = bench.watch();
        bench.rows(10).await;
        rename(&bench.log("access.log"), &bench.log("access.log.1"));
        bench.append("access.log", odd("b"));
        bench.exactly([urls("a", 0..10), urls("b", 0..10)].concat()).await;
        let agents = "SELECT count(*) FROM gunicorn_log WHERE agent = '10.0.0.1'";
        assert_eq!(bench.place.number(agents).await, 10);
        let said = bench.said();
        assert!(said.contains(r#"source="as before""#), "{said}");
        assert!(said.contains("no known format reads the first lines"), "{said}");
        assert!(daemon.stop().await.success());
    }
}

/// The database keeps the daemon waiting between its look at the copy and its verdict; meanwhile the
/// copy gets whole and the log is truncated.
#[tokio::test(flavor = "multi_thread")]
async fn copytruncate_while_the_daemon_asks_what_the_copy_is() {
    let bench = Bench::new(crate::place::Place::postgres().await).await;
    let text = lines("a", 0..2000);
    bench.append("access.log", &text);
    let daemon = bench.watch();
    bench.rows(2000).await;
    let mut holder = bench.place.postgres_connection().await;
    let lock = "BEGIN; LOCK TABLE log_file IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
    bench.append("access.log.1", &text[..text.len() / 2]);
    let waits =
        "SELECT count(*) FROM pg_locks WHERE relation = 'log_file'::regclass AND NOT granted";
    until("the daemon asks", async || bench.place.number(waits).await > 0).await;
    bench.append("access.log.1", &text[text.len() / 2..]);
    truncate(&bench, "access.log");
    bench.append("access.log", lines("b", 0..20));
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    bench.rows(2020).await;
    bench.append("access.log", lines("c", 0..20));
    bench.exactly([urls("a", 0..2000), urls("b", 0..20), urls("c", 0..20)].concat()).await;
    assert!(daemon.stop().await.success());
}

/// A deleted file keeps its room on the disk for as long as a process has it open.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a deleted file is let go after a quiet minute"]
async fn a_deleted_file_is_let_go_when_its_worker_has_left_it() {
    let bench = Bench::new(crate::place::Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..20));
    let mut daemon = bench.watch();
    bench.rows(20).await;
    fs::remove_file(bench.log("access.log")).unwrap();
    let open = || {
        let files = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
        let files = files.filter_map(|file| fs::read_link(file.unwrap().path()).ok());
        files.filter(|file| file.to_string_lossy().contains("access.log (deleted)")).count()
    };
    assert_eq!(open(), 1);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while open() > 0 {
        assert!(std::time::Instant::now() < end, "it is still open");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    daemon.says("let go").await;
    bench.exactly(urls("a", 0..20)).await;
}
