//! The small commands: what a person reads, and the exit code that a script reads.

use std::process::Stdio;

use chrono::{TimeDelta, Utc};

use log_ingestd::model::grouped;

use crate::daemon::{Bench, for_each_store, line, lines, urls};
use crate::place::{Place, until};

/// Lines of requests `days` ago.
fn aged(days: i64, prefix: &str, count: u32) -> String {
    let then = Utc::now() - TimeDelta::days(days);
    lines(prefix, 0..count)
        .replace("23/Nov/2026:08:41:00", &then.format("%d/%b/%Y:%H:%M:%S").to_string())
}

/// A log whose lines are 200, 100 and 10 days old, and rejects of which five are 200 days old.
async fn aged_rows(bench: &Bench) {
    let text = [aged(200, "oldest", 30), aged(100, "older", 20), aged(10, "new", 10)].concat();
    let rejects: String = (0..8).map(|nth| format!("no line of ours {nth}\n")).collect();
    bench.append("access.log", text + &rejects);
    bench.succeed(&["import", bench.log("access.log").to_str().unwrap()]);
    let then = Utc::now() - TimeDelta::days(200);
    let day = i32::try_from(then.timestamp().div_euclid(86_400)).unwrap();
    bench.place.open().await.prepare_days(day..day + 1).await.unwrap();
    let then = then.format("%Y-%m-%d %H:%M:%S");
    let zone = if bench.place.is_postgres() { "+00" } else { "" };
    let five = "SELECT log_offset FROM rejected_line ORDER BY log_offset LIMIT 5";
    let aged = format!("rejected_at = '{then}{zone}' WHERE log_offset IN ({five})");
    bench.place.execute(&format!("UPDATE rejected_line SET {aged}")).await;
}

/// Rows and rejects that are there.
async fn left(bench: &Bench) -> (i64, i64) {
    let rows = bench.place.number("SELECT count(*) FROM gunicorn_log").await;
    (rows, bench.place.number("SELECT count(*) FROM rejected_line").await)
}

/// What `cleanup` says it removed: rows of gunicorn_log, request_log and rejected_line.
fn cleanup(bench: &Bench, flags: &[&str]) -> (String, [u64; 3]) {
    let said = bench.succeed(&[&["cleanup"], flags].concat());
    let count = |table| {
        let line = said.lines().find(|line| line.ends_with(table)).unwrap();
        line.split_whitespace().next().unwrap().replace(',', "").parse().unwrap()
    };
    let counts = ["gunicorn_log", "request_log", "rejected_line"].map(count);
    (said, counts)
}

#[tokio::test]
async fn a_check_shows_fields_counts_and_each_reason_with_its_first_line() {
    let bench = Bench::new(Place::sqlite().await).await;
    let agent = "agent with \\\"quotes\\\"";
    bench.append("access.log", line("/first").replace("curl/8", agent));
    bench.append("access.log", lines("a", 0..10));
    bench.append("access.log", b"no line of ours\n\xff\xfe\nnor this\n");
    bench.append("access.log", line("/static/x"));
    bench.append("access.log", line("/\0"));
    let path = bench.log("access.log");
    let check = ["check", path.to_str().unwrap(), "--exclude-path", "/static/"];
    let output = bench.run(&check);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let told: Vec<String> = said.lines().map(words).collect();
    for right in [
        "line 1",
        "timestamp 2026-11-23T08:41:00+00:00",
        "user_ip 127.0.0.1",
        "method GET",
        "url /first",
        "protocol HTTP/1.1",
        "agent agent with \"quotes\"",
        "code 200",
        "response_bytes 2",
        "line 3",
        "16 lines: 11 would be stored, 4 rejected, 1 left out",
        "1 rejected, first in line 13: is not UTF-8",
        "1 rejected, first in line 16: holds NUL, which a text column cannot",
    ] {
        assert!(told.iter().any(|line| line == right), "'{right}' is not in: {said}");
    }
    assert!(told[0].starts_with("format gunicorn"), "{said}");
    assert!(told.iter().any(|line| line.starts_with("2 rejected, first in line 12: ")), "{said}");
    assert!(!told.contains(&"line 4".to_owned()), "only the first three are shown: {said}");
    assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 0);
}

#[tokio::test]
async fn a_check_shows_values_as_they_are_and_control_characters_escaped() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", line("/a\\\"b").replace("curl/8", "x\u{1b}[2Jy"));
    let said = bench.succeed(&["check", bench.log("access.log").to_str().unwrap()]);
    assert!(said.contains("/a\"b\n"), "{said}");
    assert!(said.contains("x\\u{1b}[2Jy"), "{said}");
}

/// A format of nginx in each form in which it is copied from a configuration.
#[tokio::test]
async fn a_format_of_nginx_is_taken_as_it_is() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append(
        "access.log",
        "203.0.113.9 [23/Nov/2026:08:41:00 +0000] \"GET /a HTTP/1.1\" 200 0.012 x\n",
    );
    let log = bench.log("access.log");
    let variables = "$remote_addr [$time_local] \"$request\" $status $request_time $geoip_country";
    for format in [
        variables.to_owned(),
        format!("log_format main '{variables}';"),
        format!("log_format main escape=default '{}' '{}';", &variables[..30], &variables[30..]),
    ] {
        let said = bench.succeed(&["check", log.to_str().unwrap(), "--format", &format]);
        assert!(said.contains("1 line: 1 would be stored"), "{said}");
        assert!(said.contains("duration        12000") && said.contains("geoip_country"), "{said}");
    }
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..2000));
    let log = bench.log("access.log");
    let mut check = bench.command(&["check", log.to_str().unwrap()]);
    let mut child = check.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[tokio::test]
async fn a_check_of_a_good_file_succeeds_and_one_by_the_wrong_format_does_not() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..10));
    let path = bench.log("access.log").to_str().unwrap().to_owned();
    assert!(bench.succeed(&["check", &path]).contains("10 lines: 10 would be stored, 0 rejected"));
    let by_format = ["check", &path, "--format", "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(D)s"];
    let output = bench.run(&by_format);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("format as given") && said.contains("10 rejected, first in line 1"),
        "{said}"
    );
    for (name, content, words) in [
        ("empty.log", "", "holds no complete line"),
        ("other.log", "a\nb\nc\n", "no known format reads the first lines"),
        (
            "error.log",
            "[2026-11-23 14:23:17 +0530] [24744] [INFO] Starting gunicorn 23.0.0\n",
            "error log",
        ),
        ("missing.log", "", "No such file"),
    ] {
        if name != "missing.log" {
            bench.append(name, content);
        }
        let output = bench.run(&["check", bench.log(name).to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(said.contains(words) && said.contains(name), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

for_each_store! {
    async fn status_tells_offsets_lag_and_losses(bench) {
        assert!(bench.succeed(&["status"]).contains("no file has been read yet"));
        let text = lines("a", 0..40);
        bench.append("access.log", &text);
        bench.append("access.log", "no line of ours\n");
        bench.append("cut.log", lines("cut", 0..10));
        let daemon = bench.watch_with(&["--exclude-path", "/a/39"]);
        bench.rows(49).await;
        until("all is stored", async || bench.stored().await == 51).await;
        daemon.signal("STOP");
        bench.append("cut.log", lines("unread", 0..10));
        let unread = lines("unread", 0..10).len();
        daemon.signal("CONT");
        bench.rows(59).await;
        assert!(daemon.stop().await.success());
        let offset = grouped(text.len() + 16);
        let said = bench.succeed(&["status"]);
        assert!(said.contains(&format!("web:{}\n  offset {offset}, caught up", bench.log("access.log").display())), "{said}");
        assert!(said.contains("41 lines = 39 rows + 1 rejected + 1 excluded; last commit 20"), "{said}");
        bench.append("access.log", lines("b", 0..7));
        bench.append("access.log", "half a line");
        let lag = grouped(lines("b", 0..7).len() + 11);
        let said = bench.succeed(&["status"]);
        assert!(said.contains(&format!("offset {offset}, behind by {lag} bytes, 7 lines")), "{said}");
        // Truncated while no daemon runs: what was not read is lost, and reported.
        bench.append("cut.log", lines("never", 0..3));
        bench.place.execute(&format!(
            "UPDATE log_file SET size = committed + {unread} WHERE path LIKE '%/cut.log'"
        )).await;
        std::fs::write(bench.log("cut.log"), line("/fresh")).unwrap();
        let daemon = bench.watch();
        bench.swept(1).await;
        bench.rows(59 + 7 + 1).await;
        until("the old file is closed", async || {
            bench.place.number("SELECT count(*) FROM log_file WHERE closed_at IS NOT NULL").await == 1
        })
        .await;
        assert!(daemon.stop().await.success());
        let said = bench.succeed(&["status"]);
        assert!(said.contains(&format!("closed: truncated or replaced, {unread} BYTES LOST")), "{said}");
        assert!(said.contains("last sweep") && said.contains("next sweep"), "{said}");
        std::fs::remove_file(bench.log("access.log")).unwrap();
        assert!(bench.succeed(&["status"]).contains("not here now"));
    }

    async fn cleanup_removes_what_is_older_and_counts_it(bench) {
        aged_rows(&bench).await;
        assert_eq!(left(&bench).await, (60, 8));
        let (said, counts) = cleanup(&bench, &["--dry-run"]);
        assert!(said.contains("would remove rows older than"), "{said}");
        assert_eq!(counts, [30, 0, 5]);
        assert_eq!(left(&bench).await, (60, 8));
        assert_eq!(cleanup(&bench, &["--log-type", "request"]).1, [0, 0, 0]);
        let (said, counts) = cleanup(&bench, &["--log-type", "gunicorn", "--batch-size", "3"]);
        assert!(said.contains("removed rows older than"), "{said}");
        assert_eq!(counts, [30, 0, 5]);
        assert_eq!(left(&bench).await, (30, 3));
        assert_eq!(cleanup(&bench, &["--older-than", "101d"]).1, [0, 0, 0]);
        assert_eq!(cleanup(&bench, &["--days", "50"]).1, [20, 0, 0]);
        assert_eq!(cleanup(&bench, &["--older-than", "36h"]).1, [10, 0, 0]);
        assert_eq!(left(&bench).await, (0, 3));
        // What was swept stays stored once: the file's offset has not moved.
        assert_eq!(bench.import(&["access.log"]).counts(), (68, 0, 68));
    }

    async fn cleanup_of_every_row_needs_a_yes(bench) {
        aged_rows(&bench).await;
        for flags in [["--days", "0"], ["--older-than", "now"]] {
            let output = bench.run(&[&["cleanup"], &flags[..]].concat());
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains("removes every row: --yes does it"), "{said}");
        }
        assert_eq!(cleanup(&bench, &["--days", "0", "--dry-run"]).1, [60, 0, 8]);
        assert_eq!(left(&bench).await, (60, 8));
        assert_eq!(cleanup(&bench, &["--days", "0", "--yes"]).1, [60, 0, 8]);
        assert_eq!(left(&bench).await, (0, 0));
    }

    async fn the_next_sweep_of_a_daemon_stays_known_after_a_cleanup(bench) {
        bench.append("access.log", line("/a"));
        let daemon = bench.watch();
        bench.rows(1).await;
        bench.swept(1).await;
        let next = |said: String| {
            said.lines().find(|line| line.starts_with("next sweep ")).map(str::to_owned)
        };
        let before = next(bench.succeed(&["status"]));
        assert!(before.is_some());
        bench.succeed(&["cleanup"]);
        assert_eq!(bench.place.number("SELECT count(*) FROM sweep").await, 2);
        assert_eq!(next(bench.succeed(&["status"])), before);
        assert!(daemon.stop().await.success());
    }

    async fn status_says_which_files_are_of_another_host(bench) {
        bench.append("access.log", lines("a", 0..3));
        bench.succeed(&["import", "--host", "db7", bench.log("access.log").to_str().unwrap()]);
        bench.place.execute("UPDATE log_file SET closed_at = NULL, closed_reason = NULL").await;
        let said = bench.succeed(&["status"]);
        assert!(said.starts_with(&bench.place.location().to_string()), "{said}");
        assert!(said.contains("db7:") && said.contains(", on another host\n"), "{said}");
        let said = bench.succeed(&["status", "--host", "db7"]);
        assert!(said.contains(", caught up\n"), "{said}");
    }

    async fn cleanup_needs_to_know_what_is_old(bench) {
        aged_rows(&bench).await;
        for flags in [&["--retention", "off"][..], &["--days", "3", "--older-than", "3d"],
            &["--batch-size", "0"], &["--older-than", "soon"], &["--log-type", "access"]] {
            let output = bench.run(&[&["cleanup"], flags].concat());
            assert_eq!(output.status.code(), Some(2), "{flags:?}");
        }
        assert_eq!(left(&bench).await, (60, 8));
        assert_eq!(cleanup(&bench, &["--retention", "off", "--days", "150"]).1, [30, 0, 5]);
    }

    async fn a_daemon_sweeps_at_its_start_unless_the_retention_is_off(bench) {
        aged_rows(&bench).await;
        let mut daemon = bench.watch_with(&["--retention", "off"]);
        bench.append("access.log", line("/afterwards"));
        bench.rows(61).await;
        daemon.says("following on").await;
        assert!(daemon.stop().await.success());
        assert_eq!(left(&bench).await, (61, 8));
        assert_eq!(bench.place.number("SELECT count(*) FROM sweep").await, 0);
        let mut daemon = bench.watch();
        daemon.says("swept").await;
        assert_eq!(left(&bench).await, (31, 3));
        assert!(daemon.said().contains("gunicorn_log=30"), "{}", daemon.said());
        assert!(daemon.stop().await.success());
        let mut daemon = bench.watch_with(&["--retention", "50d"]);
        daemon.says("swept").await;
        assert_eq!(left(&bench).await, (11, 3));
        let kept = bench.place.texts("SELECT url FROM gunicorn_log ORDER BY log_offset").await;
        assert_eq!(kept, [urls("new", 0..10), vec!["/afterwards".to_owned()]].concat());
    }
}
