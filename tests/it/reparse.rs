//! `log-ingestd reparse`: a rejected line that can be read by now is a row, once, and no reject.

use std::process::Stdio;

use serde_json::Value;

use crate::daemon::{Bench, for_each_store, line, lines, urls};
use crate::place::until;

/// Lines of a server that logs the time taken too.
fn timed(prefix: &str, numbers: std::ops::Range<u32>) -> String {
    lines(prefix, numbers).replace("\"\n", "\" 1500\n")
}

/// The format of [`timed`].
const TIMED: [&str; 2] = ["--format", "gunicorn-microseconds"];

impl Bench {
    fn reparse(&self, flags: &[&str]) -> Value {
        let said = self.succeed(&[&["reparse", "--json"], flags].concat());
        serde_json::from_str(&said).unwrap()
    }

    /// 40 rows, 60 lines that the format does not read, and three that none does.
    async fn with_rejects(&self) {
        self.append("access.log", lines("a", 0..20));
        self.append("access.log", timed("t", 0..60));
        self.append("access.log", b"no line of ours\n\xff\xfe\n\n");
        self.append("access.log", lines("b", 0..20));
        self.succeed(&["import", "--format", "gunicorn", self.log("access.log").to_str().unwrap()]);
        assert_eq!(self.place.number("SELECT count(*) FROM rejected_line").await, 63);
    }

    fn all(&self) -> Vec<String> {
        [urls("a", 0..20), urls("t", 0..60), urls("b", 0..20)].concat()
    }
}

/// The count of a summary.
fn count(told: &Value, name: &str) -> u64 {
    told[name].as_u64().unwrap()
}

for_each_store! {
    async fn lines_that_a_better_format_reads_become_rows_once(bench) {
        bench.with_rejects().await;
        // By the format of their file they stay what they are.
        let told = bench.reparse(&[]);
        assert_eq!((count(&told, "lines"), count(&told, "rows")), (63, 0));
        let told = bench.reparse(&[&TIMED[..], &["--dry-run"]].concat());
        assert_eq!((count(&told, "lines"), count(&told, "rows")), (63, 60));
        assert_eq!(bench.place.number("SELECT count(*) FROM rejected_line").await, 63);
        let told = bench.reparse(&TIMED);
        assert_eq!((count(&told, "rows"), count(&told, "gone")), (60, 0));
        let still: u64 = told["still_rejected"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
        assert_eq!(still, 3, "{told}");
        assert_eq!(told["still_rejected"]["is not UTF-8"], 1);
        bench.exactly(bench.all()).await;
        let ids = "SELECT count(*) FROM gunicorn_log WHERE duration = 1500
            AND id = (log_file * 274877906944) + log_offset";
        let ids = if bench.place.is_postgres() { ids.replace("(log_file *", "(log_file::bigint *") } else { ids.to_owned() };
        assert_eq!(bench.place.number(&ids).await, 60);
        assert_eq!(bench.place.number("SELECT reparsed FROM log_file").await, 60);
        assert_eq!(count(&bench.reparse(&TIMED), "rows"), 0);
        let told = bench.verified(&[]);
        assert_eq!((told.sum("rows"), told.sum("rejected")), (100, 3));
        bench.digests_are_true().await;
        // And the file is still known, whole and in part.
        assert_eq!(bench.import(&["access.log"]).counts(), (103, 0, 103));
        let part = [lines("a", 0..20), timed("t", 0..30)].concat();
        assert_eq!(bench.import_stream(part.as_bytes()).counts(), (50, 0, 50));
        bench.exactly(bench.all()).await;
    }

    async fn what_became_of_them_is_told_in_words(bench) {
        bench.with_rejects().await;
        let said = bench.succeed(&[&["reparse", "--exclude-path", "/t/7", "--dry-run"], &TIMED[..]].concat());
        assert!(said.starts_with("63 rejected lines: 59 would become rows\n  1 left out by the configuration\n"), "{said}");
        let said = bench.succeed(&[&["reparse", "--exclude-path", "/t/7"], &TIMED[..]].concat());
        assert!(said.starts_with("63 rejected lines: 59 became rows\n"), "{said}");
        assert!(said.contains("  1 still rejected: is not UTF-8\n"), "{said}");
        bench.balanced().await;
        assert_eq!(bench.place.number("SELECT excluded FROM log_file").await, 1);
        bench.verified(&[&["--exclude-path", "/t/7"], &TIMED[..]].concat());
        assert_eq!(bench.succeed(&["reparse"]).lines().next(), Some("3 rejected lines: 0 became rows"));
    }

    async fn several_at_the_same_time_make_each_row_once(bench) {
        bench.append("access.log", lines("a", 0..5));
        bench.append("access.log", timed("t", 0..1500));
        bench.succeed(&["import", "--format", "gunicorn", bench.log("access.log").to_str().unwrap()]);
        assert_eq!(bench.place.number("SELECT count(*) FROM rejected_line").await, 1500);
        let start = || {
            let mut command = bench.command(&[&["reparse", "--json"], &TIMED[..]].concat());
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let running: Vec<_> = (0..3).map(|_| start()).collect();
        let mut rows = 0;
        for child in running {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let told: Value = serde_json::from_slice(&output.stdout).unwrap();
            rows += count(&told, "rows");
        }
        assert_eq!(rows, 1500);
        bench.exactly([urls("a", 0..5), urls("t", 0..1500)].concat()).await;
        bench.verified(&[]);
    }

    async fn a_daemon_that_appends_to_the_same_file_goes_on(bench) {
        bench.append("access.log", lines("a", 0..5));
        let daemon = bench.watch_with(&["--format", "gunicorn"]);
        let mut all = urls("a", 0..5);
        for round in 0..10 {
            let prefix = format!("t{round}");
            bench.append("access.log", timed(&prefix, 0..50));
            bench.append("access.log", lines("b", round..round + 1));
            all.extend([urls(&prefix, 0..50), urls("b", round..round + 1)].concat());
            bench.reparse(&TIMED);
            bench.verified(&[]);
        }
        until("all is stored", async || bench.stored().await == all.len() as i64).await;
        bench.reparse(&TIMED);
        bench.exactly(all).await;
        assert!(daemon.stop().await.success());
        bench.verified(&[]);
        bench.digests_are_true().await;
    }

    async fn a_line_that_was_killed_on_its_way_is_one_or_the_other(bench) {
        bench.append("access.log", lines("a", 0..5));
        bench.append("access.log", timed("t", 0..1500));
        bench.succeed(&["import", "--format", "gunicorn", bench.log("access.log").to_str().unwrap()]);
        for _ in 0..3 {
            let before = bench.place.number("SELECT count(*) FROM gunicorn_log").await;
            let mut command = bench.command(&[&["reparse"], &TIMED[..]].concat());
            let mut child = command.stdout(Stdio::null()).spawn().unwrap();
            until("more are rows", async || {
                let rows = bench.place.number("SELECT count(*) FROM gunicorn_log").await;
                rows > before || rows == 1505
            }).await;
            child.kill().unwrap();
            child.wait().unwrap();
            bench.balanced().await;
        }
        bench.reparse(&TIMED);
        bench.exactly([urls("a", 0..5), urls("t", 0..1500)].concat()).await;
        bench.verified(&[]);
    }

    async fn rows_that_the_database_refused_are_taken_when_it_does_no_more(bench) {
        let (forbid, allow) = if bench.place.is_postgres() {
            ("ALTER TABLE gunicorn_log ADD CONSTRAINT odd CHECK (url NOT LIKE '%/77')",
             "ALTER TABLE gunicorn_log DROP CONSTRAINT odd")
        } else {
            ("CREATE TRIGGER odd BEFORE INSERT ON gunicorn_log WHEN NEW.url LIKE '%/77'
                BEGIN SELECT raise(ABORT, 'odd'); END", "DROP TRIGGER odd")
        };
        bench.place.execute(forbid).await;
        bench.append("access.log", [lines("a", 0..100), timed("t", 0..100), lines("b", 0..100)].concat());
        bench.succeed(&["import", "--format", "gunicorn", bench.log("access.log").to_str().unwrap()]);
        assert_eq!(bench.place.number("SELECT count(*) FROM rejected_line").await, 102);
        // One that the database refuses does not keep the others.
        let told = bench.reparse(&TIMED);
        assert_eq!(count(&told, "rows"), 99, "{told}");
        bench.balanced().await;
        let told = bench.reparse(&[]);
        assert_eq!((count(&told, "lines"), count(&told, "rows")), (3, 0), "{told}");
        bench.place.execute(allow).await;
        assert_eq!(count(&bench.reparse(&[]), "rows"), 2);
        assert_eq!(count(&bench.reparse(&TIMED), "rows"), 1);
        bench.exactly([urls("a", 0..100), urls("t", 0..100), urls("b", 0..100)].concat()).await;
        bench.verified(&[]);
    }

    async fn pieces_of_lines_and_of_records_are_not_taken(bench) {
        // A record of two lines, the second of which reads like one of another format, and a line
        // that is too long and begins like a whole one.
        bench.append("access.log", line("/joined").replace("- - [", "- Ann\nLee ["));
        let whole = timed("long", 0..1);
        bench.append("access.log", format!("{}{}\n", whole.trim_end(), " ".repeat(5 << 20)));
        bench.append("access.log", lines("a", 0..3));
        bench.succeed(&["import", "--format", "gunicorn", bench.log("access.log").to_str().unwrap()]);
        let rows = bench.place.number("SELECT count(*) FROM gunicorn_log").await;
        let told = bench.reparse(&["--format", "%(h)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\""]);
        assert_eq!(count(&told, "rows"), 0, "{told}");
        assert_eq!(bench.place.number("SELECT count(*) FROM gunicorn_log").await, rows);
        let still = &told["still_rejected"];
        assert_eq!(still["is longer than 4 MiB"], 1, "{told}");
        assert_eq!(still["continues the record of the line before it"], 1, "{told}");
        bench.verified(&[]);
    }
}
