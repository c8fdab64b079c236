//! Logs that are compressed before all of them was read.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::archives::{KINDS, compress};
use crate::daemon::{Bench, for_each_store, line, lines, rename, urls};
use crate::place::until;

/// Compresses a log in its place, as logrotate does: the archive is whole, then the log goes.
fn squeeze(bench: &Bench, name: &str, kind: &str) {
    let text = fs::read(bench.log(name)).unwrap();
    fs::write(bench.log(&format!("{name}.{kind}")), compress(kind, &text)).unwrap();
    fs::remove_file(bench.log(name)).unwrap();
}

async fn lost_bytes(bench: &Bench) -> i64 {
    bench.place.number("SELECT CAST(sum(lost_bytes) AS bigint) FROM log_file").await
}

async fn open_files(bench: &Bench) -> i64 {
    bench.place.number("SELECT count(*) FROM log_file WHERE closed_at IS NULL").await
}

for_each_store! {
    async fn a_half_read_file_that_is_compressed_while_the_daemon_is_down_is_finished(bench) {
        let mut all = Vec::new();
        for kind in KINDS {
            bench.append(&format!("{kind}.log"), lines(kind, 0..500));
            all.extend(urls(kind, 0..500));
        }
        let daemon = bench.watch();
        bench.rows(all.len() as i64).await;
        assert!(daemon.stop().await.success());
        for kind in KINDS {
            let name = format!("{kind}.log");
            bench.append(&name, lines(kind, 500..900));
            rename(&bench.log(&name), &bench.log(&format!("{name}.1")));
            squeeze(&bench, &format!("{name}.1"), kind);
            bench.append(&name, lines(kind, 900..950));
            all.extend(urls(kind, 500..950));
        }
        let mut daemon = bench.watch();
        bench.exactly(all.clone()).await;
        // What is finished is closed under the archive's name, and is not read again.
        until("the archives are done", async || open_files(&bench).await == KINDS.len() as i64).await;
        daemon.says("finished from its archive").await;
        assert!(daemon.stop().await.success());
        let daemon = bench.watch();
        bench.append("gz.log", lines("gz", 950..951));
        bench.exactly(all.into_iter().chain(urls("gz", 950..951))).await;
        assert!(!daemon.said().contains("finished from its archive"), "{}", daemon.said());
        assert_eq!(lost_bytes(&bench).await, 0);
    }

    async fn a_file_that_is_held_open_and_compressed_is_read_to_its_end_once(bench) {
        bench.append("access.log", lines("a", 0..100));
        let daemon = bench.watch();
        bench.rows(100).await;
        daemon.signal("STOP");
        bench.append("access.log", lines("a", 100..200));
        rename(&bench.log("access.log"), &bench.log("access.log.1"));
        squeeze(&bench, "access.log.1", "gz");
        bench.append("access.log", lines("b", 0..10));
        daemon.signal("CONT");
        bench.exactly(urls("a", 0..200).into_iter().chain(urls("b", 0..10))).await;
        // Renamed once more, and looked at by a daemon that has nothing open.
        rename(&bench.log("access.log.1.gz"), &bench.log("access.log.2.gz"));
        assert!(daemon.stop().await.success());
        let _daemon = bench.watch();
        bench.append("access.log", lines("b", 10..11));
        bench.exactly(urls("a", 0..200).into_iter().chain(urls("b", 0..11))).await;
        until("the archive is done", async || open_files(&bench).await == 1).await;
        bench.exactly(urls("a", 0..200).into_iter().chain(urls("b", 0..11))).await;
        assert_eq!(lost_bytes(&bench).await, 0);
    }

    async fn rotated_twice_while_the_daemon_is_down_the_older_one_compressed(bench) {
        bench.append("access.log", lines("a", 0..100));
        let daemon = bench.watch();
        bench.rows(100).await;
        assert!(daemon.stop().await.success());
        bench.append("access.log", lines("a", 100..300));
        rename(&bench.log("access.log"), &bench.log("access.log.2"));
        squeeze(&bench, "access.log.2", "gz");
        bench.append("access.log", lines("b", 0..200));
        rename(&bench.log("access.log"), &bench.log("access.log.1"));
        bench.append("access.log", lines("c", 0..50));
        let _daemon = bench.watch();
        let all = [urls("a", 0..300), urls("b", 0..200), urls("c", 0..50)];
        bench.exactly(all.concat()).await;
    }

    async fn a_log_that_came_and_was_compressed_while_the_daemon_was_down_is_read(bench) {
        bench.append("access.log", lines("a", 0..100));
        let daemon = bench.watch();
        bench.rows(100).await;
        daemon.kill();
        rename(&bench.log("access.log"), &bench.log("access.log.2"));
        bench.append("access.log", lines("b", 0..100));
        rename(&bench.log("access.log"), &bench.log("access.log.1"));
        squeeze(&bench, "access.log.1", "gz");
        bench.append("access.log", lines("c", 0..100));
        let _daemon = bench.watch();
        bench.exactly([urls("a", 0..100), urls("b", 0..100), urls("c", 0..100)].concat()).await;
    }

    async fn an_archive_that_is_being_written_is_read_when_it_is_whole(bench) {
        bench.append("access.log", lines("a", 0..100));
        let daemon = bench.watch();
        bench.rows(100).await;
        assert!(daemon.stop().await.success());
        bench.append("access.log", lines("a", 100..5000));
        let archive = compress("gz", &fs::read(bench.log("access.log")).unwrap());
        fs::remove_file(bench.log("access.log")).unwrap();
        let (one, other) = archive.split_at(archive.len() / 2);
        bench.append("access.log.1.gz", one);
        bench.append("access.log", lines("b", 0..10));
        let mut daemon = bench.watch();
        until("its beginning is stored", async || bench.stored().await > 110).await;
        assert!(bench.stored().await < 5010);
        bench.append("access.log.1.gz", other);
        bench.exactly(urls("a", 0..5000).into_iter().chain(urls("b", 0..10))).await;
        daemon.says("finished from its archive").await;
        assert_eq!(lost_bytes(&bench).await, 0);
    }

    async fn a_log_and_its_archive_side_by_side_are_one(bench) {
        bench.append("access.log", lines("a", 0..100));
        let daemon = bench.watch();
        bench.rows(100).await;
        assert!(daemon.stop().await.success());
        bench.append("access.log", lines("a", 100..200));
        rename(&bench.log("access.log"), &bench.log("access.log.1"));
        let text = fs::read(bench.log("access.log.1")).unwrap();
        bench.append("access.log.1.gz", compress("gz", &text));
        fs::copy(bench.log("access.log.1.gz"), bench.aside("old.log.gz")).unwrap();
        bench.append("access.log", lines("b", 0..10));
        let daemon = bench.watch();
        let all = || urls("a", 0..200).into_iter().chain(urls("b", 0..10));
        bench.exactly(all()).await;
        fs::remove_file(bench.log("access.log.1")).unwrap();
        bench.append("access.log", lines("b", 10..20));
        bench.rows(220).await;
        assert!(daemon.stop().await.success());
        let old = bench.aside("old.log.gz");
        bench.succeed(&["import", old.to_str().unwrap()]);
        bench.exactly(all().chain(urls("b", 10..20))).await;
    }

    async fn a_copy_that_is_compressed_holds_what_the_truncated_log_has_lost(bench) {
        bench.append("access.log", lines("a", 0..100));
        let daemon = bench.watch();
        bench.rows(100).await;
        assert!(daemon.stop().await.success());
        bench.append("access.log", lines("a", 100..150));
        let text = fs::read(bench.log("access.log")).unwrap();
        bench.append("access.log.1.gz", compress("gz", &text));
        fs::write(bench.log("access.log"), lines("b", 0..10)).unwrap();
        let _daemon = bench.watch();
        bench.exactly(urls("a", 0..150).into_iter().chain(urls("b", 0..10))).await;
        until("nothing is lost", async || lost_bytes(&bench).await == 0).await;
    }

    async fn what_is_appended_to_an_archive_that_was_read_is_stored_once(bench) {
        let mut all = Vec::new();
        for kind in KINDS {
            bench.append(&format!("{kind}.log"), lines(kind, 0..10));
            all.extend(urls(kind, 0..10));
        }
        let daemon = bench.watch();
        bench.rows(all.len() as i64).await;
        assert!(daemon.stop().await.success());
        for kind in KINDS {
            let name = format!("{kind}.log");
            bench.append(&name, lines(kind, 10..20));
            squeeze(&bench, &name, kind);
            all.extend(urls(kind, 10..20));
        }
        let daemon = bench.watch();
        bench.exactly(all.clone()).await;
        until("the archives are done", async || open_files(&bench).await == 0).await;
        for kind in KINDS {
            bench.append(&format!("{kind}.log.{kind}"), compress(kind, lines(kind, 20..40).as_bytes()));
            all.extend(urls(kind, 20..40));
        }
        bench.exactly(all.clone()).await;
        until("the archives are done", async || open_files(&bench).await == 0).await;
        assert!(daemon.stop().await.success());
        for kind in KINDS {
            bench.append(&format!("{kind}.log.{kind}"), compress(kind, lines(kind, 40..45).as_bytes()));
            all.extend(urls(kind, 40..45));
        }
        let daemon = bench.watch();
        bench.exactly(all.clone()).await;
        until("the archives are done", async || open_files(&bench).await == 0).await;
        assert!(daemon.stop().await.success());
        let daemon = bench.watch();
        bench.append("last.log", lines("last", 0..1));
        bench.exactly(all.into_iter().chain(urls("last", 0..1))).await;
        assert!(daemon.stop().await.success());
        bench.succeed(&["verify", bench.logs().to_str().unwrap()]);
    }

    async fn an_archive_that_was_read_and_holds_other_lines_is_announced_and_not_stored_again(bench) {
        bench.append("access.log", lines("a", 0..100));
        let daemon = bench.watch();
        bench.rows(100).await;
        assert!(daemon.stop().await.success());
        squeeze(&bench, "access.log", "gz");
        let daemon = bench.watch();
        let read = "SELECT count(*) FROM log_file WHERE path LIKE '%.gz' AND closed_at IS NOT NULL";
        until("the archive is read", async || bench.place.number(read).await == 1).await;
        assert!(daemon.stop().await.success());
        // The first line is the same, in the same file.
        let others = lines("a", 0..1) + &lines("b", 0..500);
        fs::write(bench.log("access.log.gz"), compress("gz", others.as_bytes())).unwrap();
        let mut daemon = bench.watch();
        daemon.says("this archive was read, and holds something else by now").await;
        until("it is listed", async || bench.succeed(&["status"]).contains("changed_archive")).await;
        bench.exactly(urls("a", 0..100)).await;
    }

    async fn archives_of_logs_that_were_not_followed_are_read_only_when_asked_for(bench) {
        bench.append("access.log.2.gz", compress("gz", lines("old", 0..50).as_bytes()));
        // The clock of file times is coarse: the archive must be the older one.
        let archive = fs::File::options().write(true).open(bench.log("access.log.2.gz")).unwrap();
        let before = SystemTime::now() - Duration::from_secs(60);
        archive.set_modified(before).unwrap();
        bench.append("access.log", lines("a", 0..10));
        let mut daemon = bench.watch();
        daemon.says("an archive of a log that was not followed here").await;
        bench.exactly(urls("a", 0..10)).await;
        assert!(daemon.stop().await.success());
        let _daemon = bench.watch_with(&["--include", "*.log", "--include", "*.gz"]);
        bench.exactly(urls("a", 0..10).into_iter().chain(urls("old", 0..50))).await;
    }

    async fn an_archive_whose_time_is_in_the_future_is_read(bench) {
        bench.append("access.log", lines("a", 0..10));
        let daemon = bench.watch();
        bench.rows(10).await;
        bench.append("access.log.1.gz", compress("gz", lines("old", 0..20).as_bytes()));
        let archive = fs::File::options().write(true).open(bench.log("access.log.1.gz")).unwrap();
        archive.set_modified(SystemTime::now() + Duration::from_secs(10 * 365 * 86_400)).unwrap();
        bench.exactly(urls("a", 0..10).into_iter().chain(urls("old", 0..20))).await;
        assert!(daemon.stop().await.success());
    }

    async fn an_archive_that_is_rotated_before_it_is_read_is_not_taken_for_the_next_one(bench) {
        bench.append("access.log", lines("a", 0..10));
        let archive = |name: &str, of: &str, count| {
            let text = lines(of, 0..count);
            fs::write(bench.log(name), compress("gz", text.as_bytes())).unwrap();
            let file = fs::File::options().write(true).open(bench.log(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap(); // at rest
        };
        // They are read one after another; the first takes seconds.
        archive("access.log.1.gz", "long", 100_000);
        archive("access.log.2.gz", "old", 1000);
        let daemon = bench.watch_with(&["--include", "*.log", "--include", "*.gz"]);
        until("the first archive is read", async || bench.stored().await > 100).await;
        rename(&bench.log("access.log.2.gz"), &bench.log("access.log.3.gz"));
        archive("access.log.2.gz", "new", 2000);
        assert!(bench.stored().await < 100_010, "renamed too late");
        bench.rows(103_010).await;
        assert!(daemon.stop().await.success());
        let objects = "SELECT count(DISTINCT inode) FROM log_file WHERE path LIKE '%.gz'";
        let distinct = "SELECT count(DISTINCT url) FROM gunicorn_log";
        for (what, expected) in [(objects, 3), (distinct, 103_010)] {
            assert_eq!(bench.place.number(what).await, expected);
        }
    }

    async fn what_is_gone_is_counted_until_it_turns_up(bench) {
        bench.append("access.log", lines("a", 0..100));
        bench.append("other.log", lines("o", 0..1));
        let daemon = bench.watch();
        bench.rows(101).await;
        assert!(daemon.stop().await.success());
        rename(&bench.log("access.log"), &bench.aside("kept"));
        let mut daemon = bench.watch();
        daemon.says("gone, and all of it is stored").await;
        rename(&bench.aside("kept"), &bench.log("access.log.1"));
        bench.append("access.log.1", lines("a", 100..110));
        bench.exactly(urls("a", 0..110).into_iter().chain(urls("o", 0..1))).await;
        assert!(daemon.stop().await.success());
        assert_eq!(lost_bytes(&bench).await, 0);
        // A line whose end was not seen, and then the file is gone.
        bench.append("access.log.1", lines("a", 110..120) + "127.0.0.1 - -");
        let daemon = bench.watch();
        bench.rows(121).await;
        assert!(daemon.stop().await.success());
        rename(&bench.log("access.log.1"), &bench.aside("kept"));
        let mut daemon = bench.watch();
        daemon.says("these bytes are lost").await;
        until("they are counted", async || lost_bytes(&bench).await == 13).await;
        assert!(bench.succeed(&["status"]).contains("13 BYTES LOST"));
        let rest = line("/a/120");
        rename(&bench.aside("kept"), &bench.log("access.log.2"));
        bench.append("access.log.2", rest.strip_prefix("127.0.0.1 - -").unwrap());
        bench.exactly(urls("a", 0..121).into_iter().chain(urls("o", 0..1))).await;
        assert_eq!(lost_bytes(&bench).await, 0);
    }
}
