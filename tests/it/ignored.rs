//! Files that a watched path matches and that are not followed: each is named once in the log, and
//! stands with its reason in `status`, on the page and in `/metrics`.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

use log_ingestd::model::IgnoredCode;
use log_ingestd::store::IgnoredReport;
use serde_json::Value;

use crate::archives::compress;
use crate::archives_refused::tar;
use crate::daemon::{Bench, Daemon, for_each_store, line, lines, urls};
use crate::page::client::Site;
use crate::page::measures::{Samples, comes_to};
use crate::place::{NOW, Place, until};
use crate::postgres::Cluster;

for_every_store!(odd_paths_are_listed_as_they_are,);

#[tokio::test(flavor = "multi_thread")]
async fn many_files_that_are_not_followed_are_counted() {
    const FILES: i64 = 400;
    let bench = Bench::new(Place::sqlite().await).await;
    for nth in 0..FILES {
        bench.append(&format!("notes-{nth}.txt"), "dear diary\nnothing happened\n");
    }
    bench.append("access.log", lines("a", 0..10));
    let mut daemon = bench.watch();
    daemon.says("more files are not followed than this log names").await;
    bench.exactly(urls("a", 0..10)).await;
    let listed = "SELECT CAST(coalesce(sum(files), 0) AS bigint) FROM ignored_file";
    until("all of them are listed", async || bench.place.number(listed).await == FILES).await;
    // Twenty, and twenty more if a slow machine takes more than a minute.
    let named = daemon.said().matches("left alone; ").count();
    assert!((20..200).contains(&named), "{named} files are named");
}

async fn odd_paths_are_listed_as_they_are(place: Place) {
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let paths =
        ["/a \"b\" 'c'\\d.log", "/ü\u{1f980}\n\t.log", "/%s/{x}/$1/?1", &"/long".repeat(800), "/"];
    let row = |path: &str| IgnoredReport {
        host: "web".into(),
        path: path.to_owned(),
        reason: "unreadable".into(),
        detail: Some("it's \"denied\"".into()).filter(|_| path.len() > 3),
        bytes: Some(u64::from(u32::MAX) + 1).filter(|_| path.len() > 3),
        files: 1,
        since: NOW + 7,
        seen_at: 0,
        owner: "web:1".into(),
    };
    let rows: Vec<IgnoredReport> = paths.iter().map(|path| row(path)).collect();
    writer.replace_ignored("web", "web:1", &[], &rows).await.unwrap();
    let mut found = writer.ignored_files("web").await.unwrap();
    assert!(found.iter().all(|row| row.seen_at > NOW - crate::place::DAY));
    found.iter_mut().for_each(|row| row.seen_at = 0);
    found.sort_by(|one, other| one.path.cmp(&other.path));
    let mut wanted = rows.clone();
    wanted.sort_by(|one, other| one.path.cmp(&other.path));
    assert_eq!(found, wanted);
    // Those of another host, or for another reason, are others.
    let gone = |path: &str, reason| (path.to_owned(), reason);
    let others = [gone(paths[0], "copy")];
    writer.replace_ignored("web", "web:1", &others, &[]).await.unwrap();
    let all: Vec<_> = paths.iter().map(|path| gone(path, "unreadable")).collect();
    writer.replace_ignored("db", "db:1", &all, &[]).await.unwrap();
    assert_eq!(store.ignored_files(3).await.unwrap().len(), 3);
    assert_eq!(store.ignored_files(99).await.unwrap().len(), 5);
    writer.replace_ignored("web", "web:1", &all[1..], &[]).await.unwrap();
    assert_eq!(writer.ignored_files("web").await.unwrap().len(), 1);
    assert_eq!(writer.ignored_files("db").await.unwrap(), []);
}

/// What the store says is ignored: the reason and the name of each file.
async fn ignored(bench: &Bench) -> Vec<(String, String)> {
    let rows =
        bench.place.texts("SELECT reason || ' ' || path FROM ignored_file ORDER BY path").await;
    let named = |row: &String| {
        let (reason, path) = row.split_once(' ').unwrap();
        (path.rsplit('/').next().unwrap().to_owned(), reason.to_owned())
    };
    rows.iter().map(named).collect()
}

/// Waits until exactly these files are ignored, for these reasons.
async fn comes_to_ignore(bench: &Bench, wanted: &[(&str, &str)]) {
    let mut wanted: Vec<(String, String)> =
        wanted.iter().map(|(name, reason)| ((*name).to_owned(), (*reason).to_owned())).collect();
    wanted.sort();
    until(&format!("{wanted:?} are ignored"), async || {
        let mut found = ignored(bench).await;
        found.sort();
        found == wanted
    })
    .await;
}

/// How often the daemon's log names this file.
fn named(said: &str, bench: &Bench, name: &str) -> usize {
    let path = format!("path={}", bench.log(name).display());
    let names_it = |line: &&str| line.split_whitespace().any(|word| word == path);
    said.lines().filter(names_it).count()
}

async fn since(bench: &Bench, name: &str) -> String {
    let sql = format!(
        "SELECT CAST(id AS text) || ' ' || CAST(since AS text) FROM ignored_file
          WHERE path LIKE '%/{name}'"
    );
    bench.place.texts(&sql).await.join(", ")
}

for_each_store! {
    async fn each_reason_is_in_the_log_in_status_on_the_page_and_in_the_metrics(bench) {
        let old = compress("gz", lines("old", 0..50).as_bytes());
        bench.append("old.log.gz", &old);
        bench.append("cut.log.gz", &old[..12]);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await; // the clock of file times is coarse
        bench.append("access.log", lines("a", 0..10));
        bench.append("access.log.bak", lines("a", 0..10));
        let packed = tar(&bench, "ustar");
        bench.append("logs.tar", &packed);
        bench.append("packed.gz", compress("gz", &packed));
        bench.append("notes.txt", "one\ntwo\nthree\n");
        bench.append("error.log", "[2026-11-23 14:23:17 +0530] [24744] [INFO] Starting gunicorn 23.0.0\n");
        bench.append("pod.log", "2016-10-06T00:17:09.669794202Z stdout F Applying migrations\n");
        bench.append("empty.log", "");
        bench.append("half.log", "127.0.0.1 - - [23/Nov");
        symlink(bench.log("nowhere"), bench.log("link.log")).unwrap();
        assert!(Command::new("mkfifo").arg(bench.log("strange.fifo")).status().unwrap().success());
        let _socket = UnixListener::bind(bench.log("server.sock")).unwrap();
        // Neither matched by the watched path nor a file.
        bench.append(".hidden", "one\ntwo\nthree\n");
        fs::create_dir(bench.log("directory")).unwrap();
        let mut site = Site::open(&bench, &[]).await;
        bench.rows(10).await;
        let wanted = [
            ("old.log.gz", "archive"),
            ("cut.log.gz", "incomplete_archive"),
            ("access.log.bak", "copy"),
            ("logs.tar", "container"),
            ("packed.gz", "container"),
            ("notes.txt", "unknown_format"),
            ("error.log", "error_log"),
            ("pod.log", "no_access_line"),
            ("empty.log", "no_line"),
            ("half.log", "no_line"),
            ("link.log", "unreadable"),
            ("strange.fifo", "fifo"),
            ("server.sock", "not_regular"),
        ];
        comes_to_ignore(&bench, &wanted).await;
        for code in IgnoredCode::ALL.map(IgnoredCode::name) {
            let count = wanted.iter().filter(|(_, reason)| *reason == code).count();
            comes_to(&site, &format!("ignored_files{{reason=\"{code}\"}}"), count as f64).await;
        }
        let page: Value = serde_json::from_str(&site.get("/api/files").body).unwrap();
        let printed = bench.succeed(&["status"]);
        let json: Value = serde_json::from_str(&bench.succeed(&["status", "--json"])).unwrap();
        assert_eq!((&page["ignored_count"], &page["open"]), (&13.into(), &1.into()));
        for (name, reason) in wanted {
            let path = bench.log(name).display().to_string();
            let explanation = IgnoredCode::explanation(reason);
            let shown = format!("ignored web:{path}\n  {reason}: {explanation}");
            assert!(printed.contains(&shown), "{name}: {printed}");
            for answer in [&page, &json] {
                let rows = answer["ignored"].as_array().unwrap();
                let row = rows.iter().find(|row| row["path"] == path.as_str()).expect(name);
                assert_eq!((&row["reason"], &row["explanation"]), (&reason.into(), &explanation.into()));
            }
            site.daemon.says(&path).await;
            assert_eq!(named(&site.daemon.said(), &bench, name), 1, "{name}: {}", site.daemon.said());
        }
        assert!(printed.contains("a link to a file that is not there"), "{printed}");
        assert_eq!(printed.matches(" (tar); ").count(), 2, "{printed}");
        bench.exactly(urls("a", 0..10)).await;
    }

    async fn a_stranger_that_grows_is_named_once_and_keeps_its_row(bench) {
        bench.append("notes.txt", "one\ntwo\nthree\n");
        bench.append("access.log", lines("a", 0..1));
        let site = Site::open(&bench, &[]).await;
        comes_to_ignore(&bench, &[("notes.txt", "unknown_format")]).await;
        let before = since(&bench, "notes.txt").await;
        for round in 1..20_u32 {
            bench.append("notes.txt", "four\n");
            bench.append("access.log", lines("a", round..round + 1));
            bench.rows(i64::from(round) + 1).await;
            let counted = Samples::scrape(&site).get("ignored_files{reason=\"unknown_format\"}");
            assert_eq!(counted, 1.0);
        }
        assert_eq!(named(&site.daemon.said(), &bench, "notes.txt"), 1, "{}", site.daemon.said());
        assert_eq!(since(&bench, "notes.txt").await, before);
    }

    async fn what_is_followed_since_or_gone_leaves_the_list(bench) {
        bench.append("notes.txt", "one\ntwo\nthree\n");
        bench.append("more.txt", "one\ntwo\nthree\n");
        bench.append("new.log", "127.0.0.1 - -");
        let site = Site::open(&bench, &[]).await;
        let three =
            [("notes.txt", "unknown_format"), ("more.txt", "unknown_format"), ("new.log", "no_line")];
        comes_to_ignore(&bench, &three).await;
        bench.append("new.log", line("/new").strip_prefix("127.0.0.1 - -").unwrap());
        fs::remove_file(bench.log("more.txt")).unwrap();
        comes_to_ignore(&bench, &[("notes.txt", "unknown_format")]).await;
        bench.exactly(["/new".to_owned()]).await;
        comes_to(&site, "ignored_files{reason=\"no_line\"}", 0.0).await;
        assert!(bench.succeed(&["status"]).contains("notes.txt\n  unknown_format"));
    }

    async fn the_list_of_a_daemon_that_has_ended_stays_and_the_next_one_takes_it_over(bench) {
        bench.append("notes.txt", "one\ntwo\nthree\n");
        bench.append("more.txt", "one\ntwo\nthree\n");
        bench.append("access.log", lines("a", 0..1));
        let daemon = bench.watch();
        let two = [("notes.txt", "unknown_format"), ("more.txt", "unknown_format")];
        comes_to_ignore(&bench, &two).await;
        // Another host's list, and that of another directory, are not this daemon's.
        bench.place.execute(
            "INSERT INTO ignored_file (files, since, seen_at, host, path, reason, owner)
             SELECT files, since, seen_at, 'db', path, reason, owner FROM ignored_file;
             INSERT INTO ignored_file (files, since, seen_at, host, path, reason, owner)
             SELECT files, since, seen_at, host, '/elsewhere/notes.txt', reason, 'web:1'
               FROM ignored_file WHERE host = 'web' AND path LIKE '%/notes.txt'").await;
        let of_web = "SELECT CAST(since AS text) FROM ignored_file
            WHERE host = 'web' AND path LIKE '%/logs/notes.txt'";
        let before = bench.place.texts(of_web).await;
        assert!(daemon.stop().await.success());
        assert!(bench.succeed(&["status"]).contains("more.txt\n  unknown_format"));
        fs::remove_file(bench.log("more.txt")).unwrap();
        let _daemon = bench.watch();
        let of_us = "SELECT count(*) FROM ignored_file WHERE host = 'web' AND path LIKE '%/logs/%'";
        until("the next daemon has its list", async || bench.place.number(of_us).await == 1).await;
        assert_eq!(bench.place.texts(of_web).await, before);
        let others = "SELECT count(*) FROM ignored_file WHERE host = 'db' OR path LIKE '/elsewhere/%'";
        assert_eq!(bench.place.number(others).await, 3);
    }

    async fn of_many_strangers_a_thousand_are_listed_and_the_others_counted(bench) {
        for nth in 0..2500 {
            fs::write(bench.log(&format!("{nth:05}.txt")), "one\ntwo\nthree\n").unwrap();
        }
        bench.append("access.log", lines("a", 0..1));
        let mut site = Site::open(&bench, &[]).await;
        comes_to(&site, "ignored_files{reason=\"unknown_format\"}", 2500.0).await;
        until("the store has a list", async || {
            bench.place.number("SELECT count(*) FROM ignored_file").await == 1001
        })
        .await;
        let sum = "SELECT CAST(sum(files) AS bigint) FROM ignored_file";
        assert_eq!(bench.place.number(sum).await, 2500);
        let logs = bench.logs();
        let rest = format!("ignored web: 1,500 more files of {}\n  unknown_format: ", logs.display());
        let printed = bench.succeed(&["status"]);
        assert!(printed.contains(&rest), "{printed}");
        assert!(printed.contains("00999.txt\n") && !printed.contains("01000.txt\n"), "{printed}");
        fs::remove_file(bench.log("00000.txt")).unwrap();
        until("the list moves on", async || bench.place.number(sum).await == 2499).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM ignored_file").await, 1001);
        site.daemon.says("more files are not followed than this log names").await;
    }

    async fn a_file_that_another_daemon_writes_is_listed_by_the_one_that_waits(bench) {
        bench.append("access.log", lines("a", 0..10));
        let first = bench.watch();
        bench.rows(10).await;
        let logs = bench.logs();
        let arguments =
            ["--watch", logs.to_str().unwrap(), "--poll-interval", "100ms", "--listen", "127.0.0.1:0"];
        let second = Daemon::start(bench.command(&arguments), bench.aside("second"));
        let mut second = Site::of(second).await;
        second.daemon.says("another log-ingestd writes this file").await;
        comes_to(&second, "ignored_files{reason=\"held_by_another_writer\"}", 1.0).await;
        comes_to_ignore(&bench, &[("access.log", "held_by_another_writer")]).await;
        assert!(first.stop().await.success());
        comes_to_ignore(&bench, &[]).await;
        comes_to(&second, "ignored_files{reason=\"held_by_another_writer\"}", 0.0).await;
        bench.append("access.log", lines("a", 10..20));
        bench.exactly(urls("a", 0..20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_about_which_nothing_can_be_decided_is_counted() {
    let cluster = Cluster::start();
    let bench = Bench::new(Place::at(cluster.database().await)).await;
    bench.append("access.log", lines("a", 0..10));
    let mut site = Site::open(&bench, &[]).await;
    bench.rows(10).await;
    cluster.stop();
    bench.append("other.log", lines("b", 0..10));
    site.daemon.says("the store is unavailable").await;
    comes_to(&site, "ignored_files{reason=\"undecided\"}", 1.0).await;
    cluster.start_again();
    comes_to(&site, "ignored_files{reason=\"undecided\"}", 0.0).await;
    bench.exactly(urls("a", 0..10).into_iter().chain(urls("b", 0..10))).await;
    comes_to_ignore(&bench, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_rights_on_the_list_stores_lines_all_the_same() {
    let bench = Bench::new(Place::postgres().await).await;
    bench.place.execute("ALTER TABLE ignored_file RENAME TO another_name").await;
    bench.append("access.log", lines("a", 0..10));
    bench.append("notes.txt", "one\ntwo\nthree\n");
    let mut daemon = bench.watch();
    daemon.says("the store does not take the list of ignored files").await;
    bench.append("access.log", lines("a", 10..20));
    bench.append("more.txt", "one\ntwo\nthree\n");
    bench.exactly(urls("a", 0..20)).await;
    let said = daemon.said();
    assert_eq!(said.matches("does not take the list").count(), 1, "{said}");
    assert!(!said.contains("the store is unavailable"), "{said}");
}

#[test]
fn each_reason_is_explained_in_the_documents() {
    let page = fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/docs/troubleshooting.md"),
    );
    let page = page.unwrap();
    let (_, reasons) = page.split_once("### Reasons for ignored files").unwrap();
    for code in IgnoredCode::ALL {
        assert!(reasons.contains(&format!("\n| `{}` |", code.name())), "{code:?}");
    }
}
