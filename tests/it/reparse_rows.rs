//! `log-ingestd reparse --rows`: what is stored of lines becomes what they are, under the same ids.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use serde_json::Value;

use crate::daemon::{Bench, for_each_store, line, lines, urls};
use crate::place::until;

const DEFAULT: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

/// Lines whose last value is a duration.
fn timed(prefix: &str, numbers: std::ops::Range<u32>) -> String {
    numbers.map(|nth| format!("{} {nth}\n", line(&format!("/{prefix}/{nth}")).trim_end())).collect()
}

fn seconds() -> String {
    format!("{DEFAULT} %(T)s")
}

fn microseconds() -> String {
    format!("{DEFAULT} %(D)s")
}

/// The only file that was read again.
struct Told(Value);

impl Told {
    fn count(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("no {name}: {}", self.0))
    }

    fn columns(&self) -> BTreeSet<String> {
        self.0["columns"].as_object().unwrap().keys().cloned().collect()
    }
}

impl Bench {
    fn reread(&self, flags: &[&str]) -> Told {
        let said = self.succeed(&[&["reparse", "--rows", "--json"], flags].concat());
        let told: Value = serde_json::from_str(&said).unwrap();
        let [file] = &told["files"].as_array().unwrap()[..] else { panic!("{told}") };
        Told(file.clone())
    }

    fn imported_by(&self, name: &str, content: &str, format: &str) -> String {
        let path = self.log(name);
        fs::write(&path, content).unwrap();
        let path = path.to_str().unwrap().to_owned();
        self.succeed(&["import", &path, "--format", format]);
        path
    }

    async fn sum_of_durations(&self) -> i64 {
        self.place
            .number("SELECT CAST(coalesce(sum(duration), 0) AS bigint) FROM gunicorn_log")
            .await
    }

    async fn ids(&self) -> Vec<String> {
        self.place.texts("SELECT CAST(id AS text) FROM gunicorn_log ORDER BY id").await
    }
}

for_each_store! {
    async fn rows_of_a_wrong_format_become_those_of_the_right_one(bench) {
        let content = timed("a", 0..9000) + "garbage\n";
        let path = bench.imported_by("old.log", &content, &seconds());
        let ids = bench.ids().await;
        let right = microseconds();
        let told = bench.reread(&["--format", &right, "--dry-run"]);
        // The duration of the first line is 0 either way.
        assert_eq!((told.count("changed"), told.count("same")), (8999, 2));
        assert_eq!(bench.sum_of_durations().await, 40_495_500_000_000, "a dry run changes nothing");
        let told = bench.reread(&["--format", &right]);
        assert_eq!((told.count("lines"), told.count("changed"), told.count("same")), (9001, 8999, 2));
        assert_eq!(told.columns(), BTreeSet::from(["duration".to_owned()]));
        assert_eq!(told.0["columns"]["duration"], 8999);
        assert_eq!(bench.sum_of_durations().await, 40_495_500);
        assert_eq!(bench.ids().await, ids, "the same lines have the same ids");
        bench.exactly(urls("a", 0..9000)).await;
        bench.verified(&[&path, "--format", &right]);
        bench.verified(&[]);
        // What is right is not touched again; and it is known, and no other format explains a line.
        assert_eq!(bench.reread(&[]).count("changed"), 0);
        assert_eq!(bench.place.texts("SELECT format FROM log_file").await, [right]);
        assert_eq!(bench.place.texts("SELECT CAST(other_formats AS text) FROM log_file").await, ["[]"]);
        assert_eq!(bench.import(&["old.log"]).counts(), (9001, 0, 9001));
    }

    async fn rows_become_rejects_and_rejects_rows(bench) {
        // By the first format, lines with a duration are rejects; by the second, those without one.
        let content = lines("plain", 0..30) + &timed("t", 0..30);
        let path = bench.imported_by("old.log", &content, DEFAULT);
        let right = microseconds();
        let told = bench.reread(&["--format", &right, "--file", &path]);
        assert_eq!((told.count("became_rows"), told.count("became_rejects")), (30, 30));
        bench.exactly(urls("t", 0..30)).await;
        bench.verified(&[&path, "--format", &right]);
        let told = bench.reread(&["--format", DEFAULT]);
        assert_eq!((told.count("became_rows"), told.count("became_rejects")), (30, 30));
        bench.exactly(urls("plain", 0..30)).await;
        bench.verified(&[]);
    }

    async fn what_became_of_a_file_is_told_in_words(bench) {
        let path = bench.imported_by("old.log", &timed("a", 0..10), &seconds());
        let right = microseconds();
        let flags = ["--format", &right, "--exclude-path", "/a/7"];
        let said = bench.succeed(&[&["reparse", "--rows", "--dry-run"][..], &flags].concat());
        assert_eq!(
            said,
            format!(
                "{path}: 10 lines read by {right}\n  1 as stored, 8 rows would be replaced\n    duration: 8\n  \
                 1 left out by the configuration\n1 file: 9 of 10 stored lines would be replaced\n"
            )
        );
        bench.succeed(&[&["reparse", "--rows"][..], &flags].concat());
        bench.balanced().await;
        bench.exactly((0..10).filter(|nth| *nth != 7).map(|nth| format!("/a/{nth}"))).await;
        bench.verified(&[&[path.as_str()][..], &flags].concat());
        // Without the exclusion the line stays out: nothing is added that was not stored.
        let told = bench.reread(&["--format", &right]);
        assert_eq!((told.count("not_stored"), told.count("same")), (1, 9));
    }

    /// As older versions stored it, an address of IPv4 within IPv6 is one of IPv6.
    async fn addresses_of_an_older_rule_become_those_of_today(bench) {
        let path = bench.imported_by("old.log", &lines("a", 0..20), DEFAULT);
        bench.place.execute("UPDATE gunicorn_log SET user_ip = '::ffff:127.0.0.1'").await;
        let told = bench.reread(&[]);
        assert_eq!((told.count("changed"), told.columns()), (20, BTreeSet::from(["user_ip".to_owned()])));
        let addresses = "SELECT DISTINCT CAST(user_ip AS text) FROM gunicorn_log";
        let addresses = bench.place.texts(addresses).await;
        assert!(addresses == ["127.0.0.1"] || addresses == ["127.0.0.1/32"], "{addresses:?}");
        bench.verified(&[&path]);
    }

    async fn a_file_that_was_renamed_and_compressed_is_found(bench) {
        bench.imported_by("access.log", &timed("a", 0..500), &seconds());
        let log = bench.log("access.log");
        fs::rename(&log, bench.log("access.log.1")).unwrap();
        let gzip = std::process::Command::new("gzip").arg(bench.log("access.log.1")).status().unwrap();
        assert!(gzip.success());
        let told = bench.reread(&["--format", &microseconds()]);
        assert!(told.0["path"].as_str().unwrap().ends_with("access.log.1.gz"), "{}", told.0);
        assert_eq!(told.count("changed"), 499);
        bench.exactly(urls("a", 0..500)).await;
        // Named, it is the same file.
        let path = bench.log("access.log.1.gz");
        let told = bench.reread(&["--file", path.to_str().unwrap()]);
        assert_eq!((told.count("same"), told.count("changed")), (500, 0));
    }

    async fn a_daemon_appends_to_the_file_meanwhile(bench) {
        let wrong = seconds();
        let daemon = bench.watch_with(&["--format", &wrong]);
        bench.append("access.log", timed("a", 0..2000));
        bench.exactly(urls("a", 0..2000)).await;
        let right = microseconds();
        // It still reads by the other format: that is told, and its file is not taken from it.
        let told = bench.reread(&["--format", &right]);
        assert_eq!(told.0["daemon_reads_by"], wrong);
        assert!(daemon.stop().await.success());
        let daemon = bench.watch_with(&["--format", &right]);
        for round in 0..5 {
            bench.append("access.log", timed(&format!("r{round}"), 0..100));
            let told = bench.reread(&["--format", &right]);
            assert_eq!((told.count("changed"), &told.0["daemon_reads_by"]), (0, &Value::Null));
        }
        let rounds = (0..5).flat_map(|round| urls(&format!("r{round}"), 0..100));
        bench.exactly(urls("a", 0..2000).into_iter().chain(rounds)).await;
        assert!(daemon.stop().await.success());
        assert_eq!(bench.sum_of_durations().await, 1_999_000 + 5 * 4950);
        bench.verified(&["--format", &right]);
        bench.digests_are_true().await;
    }

    async fn a_kill_in_the_middle_leaves_each_line_as_it_was_or_is(bench) {
        let path = bench.imported_by("old.log", &timed("a", 0..30_000), &seconds());
        let right = microseconds();
        let changed = "SELECT count(*) FROM gunicorn_log WHERE duration < 1000000";
        for _ in 0..3 {
            let before = bench.place.number(changed).await;
            let mut command = bench.command(&["reparse", "--rows", "--format", &right]);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            until("some rows are replaced", async || {
                bench.place.number(changed).await > before || child.try_wait().unwrap().is_some()
            }).await;
            let _ = child.kill();
            child.wait().unwrap();
            bench.balanced().await;
            bench.exactly(urls("a", 0..30_000)).await;
        }
        bench.reread(&["--format", &right]);
        assert_eq!(bench.sum_of_durations().await, 449_985_000);
        bench.exactly(urls("a", 0..30_000)).await;
        bench.verified(&[&path, "--format", &right]);
    }

    async fn several_at_the_same_time_replace_each_row_once(bench) {
        let path = bench.imported_by("old.log", &timed("a", 0..20_000), &seconds());
        let right = microseconds();
        let start = || {
            let mut command = bench.command(&["reparse", "--rows", "--format", &right]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let running: Vec<_> = (0..3).map(|_| start()).collect();
        let mut completed = 0;
        for child in running {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            // One that is overtaken again and again says so, and changes nothing wrongly.
            assert!(output.status.success() || said.contains("another process changes"), "{said}");
            completed += u32::from(output.status.success());
        }
        assert!(completed > 0);
        bench.reread(&["--format", &right]);
        assert_eq!(bench.sum_of_durations().await, 199_990_000);
        bench.exactly(urls("a", 0..20_000)).await;
        bench.verified(&[&path, "--format", &right]);
    }

    async fn lines_without_a_time_keep_the_one_that_they_got(bench) {
        let content: String = (0..40).map(|nth| format!("GET /u/{nth} 200 {nth}\n")).collect();
        bench.imported_by("old.log", &content, "%(m)s %(U)s %(s)s %(T)s");
        let times = "SELECT CAST(timestamp AS text) FROM gunicorn_log ORDER BY id";
        let before = bench.place.texts(times).await;
        let told = bench.reread(&["--format", "%(m)s %(U)s %(s)s %(B)s"]);
        assert_eq!(told.columns(), BTreeSet::from(["duration".to_owned(), "response_bytes".to_owned()]));
        assert_eq!(bench.place.texts(times).await, before);
        bench.exactly(urls("u", 0..40)).await;
        // Times that a first format did not read are those of the lines.
        let path = bench.imported_by("timed.log", &lines("a", 0..10), "%(h)s %(l)s %(u)s [%({x}i)s] \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\"");
        let flagged = "SELECT CAST(sum(CASE WHEN time_estimated THEN 1 ELSE 0 END) AS bigint) FROM log_file";
        assert_eq!(bench.place.number(flagged).await, 2);
        let told = bench.reread(&["--format", DEFAULT, "--file", &path]);
        assert!(told.columns().contains("timestamp"), "{}", told.0);
        assert_eq!(bench.place.number(flagged).await, 1);
        bench.verified(&[&path]);
        bench.balanced().await;
    }

    async fn what_a_sweep_has_removed_stays_away(bench) {
        let old = timed("old", 0..50).replace("23/Nov/2026", "23/Nov/2022");
        let path = bench.imported_by("old.log", &(old + &timed("new", 0..50)), &seconds());
        let said = bench.succeed(&["cleanup", "--days", "1000"]);
        assert_eq!(bench.place.number("SELECT count(*) FROM gunicorn_log").await, 50, "{said}");
        let told = bench.reread(&["--format", &microseconds()]);
        assert_eq!((told.count("not_stored"), told.count("changed")), (50, 49));
        let mut found = bench.place.texts("SELECT url FROM gunicorn_log").await;
        found.sort();
        let mut wanted = urls("new", 0..50);
        wanted.sort();
        assert_eq!(found, wanted);
        bench.verified(&[&path]);
    }

    async fn what_is_not_certain_stays_as_it_is(bench) {
        let path = bench.imported_by("old.log", &timed("a", 0..100), &seconds());
        let refused = |flags: &[&str]| {
            let output = bench.run(&[&["reparse", "--rows"], flags].concat());
            assert!(!output.status.success());
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        // A format that reads none of it.
        let said = refused(&["--format", "%(m)s;%(U)s;%(s)s"]);
        assert!(said.contains("does not read 100 of its 100 lines"), "{said}");
        // A file that is not known.
        fs::write(bench.log("other.log"), lines("b", 0..5)).unwrap();
        let said = refused(&["--file", bench.log("other.log").to_str().unwrap()]);
        assert!(said.contains("nothing is stored from"), "{said}");
        // A file that is not what it was.
        let changed = fs::read_to_string(&path).unwrap().replacen("/a/50 ", "/b/50 ", 1);
        fs::write(&path, changed).unwrap();
        let said = refused(&["--format", &microseconds()]);
        assert!(said.contains("it is not what was stored"), "{said}");
        assert_eq!(bench.sum_of_durations().await, 4_950_000_000);
        bench.exactly(urls("a", 0..100)).await;
        // One that is gone: its rows stay.
        fs::remove_file(&path).unwrap();
        let said = bench.succeed(&["reparse", "--rows", "--format", &microseconds()]);
        assert!(said.contains("whose rows stay as they are: 1\n"), "{said}");
        bench.exactly(urls("a", 0..100)).await;
    }

    /// The part before the cut is in the log no more, or in part: that is said, also for a file that is named.
    async fn what_a_power_cut_has_ended_is_left_and_said(bench) {
        let text = timed("a", 0..100);
        bench.append("access.log", &text);
        let wrong = seconds();
        let daemon = bench.watch_with(&["--format", &wrong]);
        bench.exactly(urls("a", 0..100)).await;
        assert!(daemon.stop().await.success());
        let left = timed("a", 0..50).len() as u64;
        let log = bench.log("access.log");
        fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(left).unwrap();
        bench.append("access.log", timed("b", 1..31));
        let mut daemon = bench.watch_with(&["--format", &wrong]);
        daemon.says("goes on after the last line that both have").await;
        bench.rows(130).await;
        assert!(daemon.stop().await.success());
        fs::write(bench.log("other.log"), "nothing of this is stored\n").unwrap();
        let right = microseconds();
        for place in [log.to_str().unwrap(), bench.logs().to_str().unwrap()] {
            let output = bench.run(&["reparse", "--rows", "--format", &right, "--file", place]);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(!output.status.success(), "a part is left: {said}");
            assert_eq!(said.matches("LEFT AS IT IS").count(), 1, "{said}");
            assert!(said.contains("a power cut or a truncation has ended it"), "{said}");
            let directory = place != log.to_str().unwrap();
            assert_eq!(said.contains("files of which nothing is stored: 1"), directory, "{said}");
        }
        let after = "SELECT CAST(sum(duration) AS bigint) FROM gunicorn_log WHERE url LIKE '/b/%'";
        assert_eq!(bench.place.number(after).await, 465);
        assert_eq!(bench.sum_of_durations().await, 4_950_000_000 + 465);
        bench.balanced().await;
    }

    async fn requests_of_django_are_read_again_too(bench) {
        let request = |nth: u32, secret: &str| {
            format!(
                "{{\"log\":\"request\",\"timestamp\": \"2026-11-23T08:41:{:02}.5+00:00\", \"method\": \"GET\", \"path\": \"/r/{nth}\", \
                 \"query_params\": \"badge={secret}\", \"status_code\": 200, \"response_time_ms\": 1.5}}\n",
                nth % 60
            )
        };
        let content: String = (0..30).map(|nth| request(nth, "1234")).collect();
        bench.imported_by("requests.json", &content, "json");
        let open = "SELECT count(*) FROM request_log WHERE query_params LIKE '%1234%'";
        assert_eq!(bench.place.number(open).await, 30);
        let told = bench.reread(&["--sensitive-fields", "badge"]);
        assert_eq!(told.count("changed"), 30);
        assert_eq!(told.columns(), BTreeSet::from(["query_params".to_owned()]));
        assert_eq!(bench.place.number(open).await, 0);
        bench.balanced().await;
        bench.verified(&["--sensitive-fields", "badge"]);
    }
}
