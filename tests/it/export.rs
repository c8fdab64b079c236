//! `log-ingestd export`: a log that was stored is written back byte for byte, and where it is not, the answer
//! says so.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{TimeDelta, Utc};
use serde_json::Value;

use crate::daemon::{Bench, for_each_store, line, lines};
use crate::place::{Place, until};

const DEFAULT: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

/// What an export has written, and what it says of it.
struct Export {
    bytes: Vec<u8>,
    summary: Value,
    code: Option<i32>,
}

impl Export {
    /// Each difference as its cause, first byte, end and lines.
    fn differences(&self) -> Vec<(String, u64, u64, u64)> {
        let number = |it: &Value, key: &str| it[key].as_u64().unwrap();
        let all = self.summary["differences"].as_array().unwrap().iter();
        all.map(|it| {
            let cause = it["cause"].as_str().unwrap().to_owned();
            (cause, number(it, "from"), number(it, "to"), number(it, "lines"))
        })
        .collect()
    }

    #[track_caller]
    fn is_exactly(&self, log: &[u8], name: &str) {
        assert_eq!(self.differences(), [], "{name}");
        assert_eq!(self.code, Some(0), "{name}: {}", self.summary);
        assert!(self.bytes == log, "{name}: {}", self.summary);
        assert_eq!(self.summary["sha256"], self.summary["digest"], "{name}");
        assert_eq!(self.summary["exact"], true, "{name}");
        assert_eq!(self.summary["bytes"], log.len(), "{name}");
    }
}

impl Bench {
    fn export(&self, flags: &[&str]) -> Export {
        let output = self.run(&[&["export", "--json"], flags].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let summary = said.lines().last().and_then(|last| serde_json::from_str(last).ok());
        let summary = summary.unwrap_or_else(|| panic!("{flags:?}: {said}"));
        Export { bytes: output.stdout, summary, code: output.status.code() }
    }

    fn export_of(&self, name: &str) -> Export {
        self.export(&[self.log(name).to_str().unwrap()])
    }

    /// Imports a file of the log directory without masking.
    fn import_unmasked(&self, name: &str, format: Option<&str>) {
        let path = self.log(name);
        let mut arguments = vec!["import", path.to_str().unwrap(), "--sensitive-fields", ""];
        arguments.extend(format.iter().flat_map(|format| ["--format", format]));
        self.succeed(&arguments);
    }

    /// Waits until so many bytes or more of a file are stored.
    async fn committed(&self, bytes: usize) {
        let stored = format!("SELECT count(*) FROM log_file WHERE committed >= {bytes}");
        until("the bytes are stored", async || self.place.number(&stored).await == 1).await;
    }

    /// Rows with a patch.
    async fn patched(&self) -> i64 {
        self.place.number("SELECT count(*) FROM gunicorn_log WHERE patch IS NOT NULL").await
    }

    async fn forms(&self) -> Vec<String> {
        let sql = "SELECT CAST(line_forms AS text) FROM log_file ORDER BY id";
        self.place.texts(sql).await
    }
}

/// The logs of real servers that the repository has, each with the format that it has to be given.
fn real_logs() -> Vec<(PathBuf, Option<String>)> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let formats = fs::read(fixtures.join("formats/formats.json")).unwrap();
    let formats: Value = serde_json::from_slice(&formats).unwrap();
    let nginx = fs::read_to_string(fixtures.join("servers/nginx-log_format.txt")).unwrap();
    let mut found = Vec::new();
    let mut directories = vec![fixtures.join("formats/logs"), fixtures.join("servers")];
    for entry in fs::read_dir(fixtures.join("corpus")).unwrap() {
        directories.push(entry.unwrap().path());
    }
    for directory in directories {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if path.extension().is_none_or(|it| it != "log") {
                continue;
            }
            let beside = fs::read_to_string(directory.join("format.txt")).ok();
            let of_nginx = stem.strip_prefix("nginx-").and_then(|name| {
                let name = format!("log_format {name} ");
                nginx.lines().find(|line| line.starts_with(&name)).map(str::to_owned)
            });
            let given = formats[&stem].as_str().map(str::to_owned);
            let beside = beside.map(|format| format.trim_end_matches('\n').to_owned());
            found.push((path, given.or(of_nginx).or(beside)));
        }
    }
    found.sort();
    assert!(found.len() > 50, "{}", found.len());
    found
}

for_each_store! {
    async fn the_logs_of_real_servers_are_written_back(bench) {
        for (nth, (path, format)) in real_logs().into_iter().enumerate() {
            let log = fs::read(&path).unwrap();
            let name = format!("{nth}.log");
            bench.append(&name, &log);
            bench.import_unmasked(&name, format.as_deref());
            bench.export_of(&name).is_exactly(&log, path.to_str().unwrap());
        }
        // What lines need beside their rows, of all these hostile logs.
        let rows = bench.place.number("SELECT count(*) FROM gunicorn_log").await;
        let bytes = bench.place.number("SELECT CAST(sum(length(patch)) AS bigint) FROM gunicorn_log").await;
        println!("{rows} rows, {} patches, {bytes} bytes", bench.patched().await);
        assert!(rows > 6000 && bytes < rows / 10, "{rows} rows, {bytes} bytes of patches");
    }

    async fn plain_traffic_of_any_zone_needs_no_patch(bench) {
        let winter = lines("a", 0..3000).replace("+0000", "+0100");
        bench.append("access.log", &winter);
        let daemon = bench.watch();
        bench.rows(3000).await;
        assert!(daemon.stop().await.success());
        let summer = lines("b", 0..2000).replace("+0000", "+0200");
        bench.append("access.log", &summer);
        let daemon = bench.watch();
        bench.rows(5000).await;
        bench.append("access.log", lines("c", 0..10).replace("+0000", "+0200"));
        bench.rows(5010).await;
        bench.export_of("access.log").is_exactly(&fs::read(bench.log("access.log")).unwrap(), "while it is followed");
        assert!(daemon.stop().await.success());
        assert_eq!(bench.patched().await, 0);
        let forms = format!(r#"[[0,": +0100"],[{},": +0200"]]"#, winter.len());
        let stored: Vec<String> = bench.forms().await.iter().map(|it| it.replace(", ", ",")).collect();
        assert_eq!(stored, [forms]);
    }

    async fn lines_that_differ_from_what_their_rows_say_are_followed_and_written_back(bench) {
        let usual = line("/a");
        let odd = [
            usual.replace(" 200 2 ", " 200 None "),
            usual.replace("\"-\"", "\"\""),
            usual.replace("GET /a HTTP/1.1", " what  is this "),
            usual.replace("127.0.0.1", "::FFFF:127.0.0.1"),
            usual.replace(" - - ", " - a\nb "),
            usual.replace('\n', "\r\n"),
            "not a line\r\n".to_owned(),
            "\n".to_owned(),
            "\u{feff}\n".to_owned(),
            "\0\0\0".to_owned() + &usual,
            usual.replace("+0000", "-0330"),
            usual.replace("curl/8", "q\\\"é日本"),
        ];
        let mut log = format!("\u{feff}{usual}").into_bytes();
        for odd in &odd {
            log.extend_from_slice(odd.as_bytes());
            log.extend_from_slice(usual.as_bytes());
        }
        log.extend_from_slice(b"\xff\xfe\n");
        let (first, second) = log.split_at(log.len() / 2);
        bench.append("access.log", first);
        let daemon = bench.watch();
        let whole = first.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        bench.committed(whole - usual.len()).await;
        daemon.kill();
        bench.append("access.log", second);
        let daemon = bench.watch();
        bench.committed(log.len()).await;
        assert!(daemon.stop().await.success());
        bench.export_of("access.log").is_exactly(&log, "access.log");
        assert!(bench.patched().await > 0);
        bench.verified(&[]);
    }

    async fn what_cannot_be_written_back_is_listed(bench) {
        let secret = line("/s?password=hunter2hunter2");
        let (usual, left_out) = (line("/a"), line("/static/x.css"));
        let log = [&usual, &secret, &left_out, &left_out, &usual, "none\n"].concat();
        bench.append("access.log", &log);
        let path = bench.log("access.log");
        let path = path.to_str().unwrap();
        bench.succeed(&["import", path, "--exclude-path", "/static/", "--sensitive-fields", "password"]);
        let export = bench.export_of("access.log");
        let at = usual.len() as u64;
        let (from, to) = (at + secret.len() as u64, at + (secret.len() + 2 * left_out.len()) as u64);
        let masked = ("masked".to_owned(), at, from, 1);
        let excluded = ("excluded".to_owned(), from, to, 0);
        assert_eq!(export.differences(), [masked, excluded]);
        assert_eq!((export.code, &export.summary["exact"]), (Some(1), &Value::Bool(false)));
        let left = [&usual, &secret.replace("hunter2hunter2", "********"), &usual, "none\n"].concat();
        assert_eq!(String::from_utf8(export.bytes).unwrap(), left);
        // For people, the same.
        let output = bench.run(&["export", path]);
        let said = String::from_utf8(output.stderr).unwrap();
        for words in [
            format!("bytes {at} to {from} (1 line): secrets were masked"),
            format!("bytes {from} to {to}: left out by the configuration"),
            "NOT EXACT".to_owned(),
        ] {
            assert!(said.contains(&words), "{words}: {said}");
        }
    }

    async fn what_a_sweep_has_removed_is_listed(bench) {
        let then = Utc::now() - TimeDelta::days(200);
        let day = then.format("%d/%b/%Y:%H:%M:%S").to_string();
        let old = lines("old", 0..20).replace("23/Nov/2026:08:41:00", &day);
        let now = Utc::now().format("%d/%b/%Y:%H:%M:%S").to_string();
        let new = lines("new", 0..20).replace("23/Nov/2026:08:41:00", &now);
        bench.append("access.log", old.clone() + &new);
        bench.import_unmasked("access.log", None);
        bench.export_of("access.log").is_exactly((old.clone() + &new).as_bytes(), "before");
        bench.succeed(&["cleanup", "--days", "100"]);
        let export = bench.export_of("access.log");
        assert_eq!(export.differences(), [("expired".to_owned(), 0, old.len() as u64, 0)]);
        assert_eq!((export.code, export.bytes.as_slice()), (Some(1), new.as_bytes()));
    }

    async fn a_part_of_a_log_is_written(bench) {
        let at = |hour: u32| lines(&format!("h{hour}-"), 0..5).replace("08:41:00", &format!("{hour:02}:00:00"));
        bench.append("access.log", (1..9).map(at).collect::<String>());
        bench.import_unmasked("access.log", None);
        let id = bench.place.number("SELECT CAST(id AS bigint) FROM log_file").await.to_string();
        let export = bench.export(&["--file", &id, "--since", "2026-11-23 03:00", "--until", "2026-11-23 06:00"]);
        assert_eq!(export.code, Some(0), "{}", export.summary);
        assert_eq!(String::from_utf8(export.bytes).unwrap(), (3..6).map(at).collect::<String>());
        assert_eq!(export.summary["digest"], Value::Null);
        let export = bench.export(&["--file", &id, "--since", "2026-11-24"]);
        assert_eq!((export.code, export.bytes.len()), (Some(0), 0));
        // A path that is not known, an id that is not known, and one path of two files.
        for (flags, words) in [
            (vec!["export", "/nowhere/access.log"], "nothing is stored from '/nowhere/access.log'"),
            (vec!["export", "--file", "999"], "no file has the id 999"),
        ] {
            let output = bench.run(&flags);
            assert_eq!(output.status.code(), Some(1));
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.contains(words), "{said}");
        }
        fs::remove_file(bench.log("access.log")).unwrap();
        bench.append("access.log", lines("other", 0..5));
        bench.import_unmasked("access.log", None);
        bench.export_of("access.log").is_exactly(lines("other", 0..5).as_bytes(), "the file that is there");
        fs::remove_file(bench.log("access.log")).unwrap();
        let output = bench.run(&["export", bench.log("access.log").to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("2 files were stored") && said.contains("choose by --file"), "{said}");
    }

    async fn lines_of_two_formats_are_written_back(bench) {
        let with_duration = |text: String| text.replace("\"curl/8\"\n", "\"curl/8\" 0123\n");
        let log = lines("a", 0..20) + &with_duration(lines("b", 0..20));
        let path = bench.log("access.log");
        let path = path.to_str().unwrap();
        bench.append("access.log", &log);
        bench.succeed(&["import", path, "--format", DEFAULT]);
        let rows = "SELECT count(*) FROM gunicorn_log";
        assert_eq!(bench.place.number(rows).await, 20);
        bench.export_of("access.log").is_exactly(log.as_bytes(), "with rejects");
        bench.succeed(&["reparse", "--format", &format!("{DEFAULT} %(D)s")]);
        assert_eq!(bench.place.number(rows).await, 40);
        // Which format has read a row is not known: the digest proves that the right one was tried.
        bench.export_of("access.log").is_exactly(log.as_bytes(), "reparsed");
        bench.append("access.log", lines("c", 0..5));
        bench.succeed(&["import", path, "--format", DEFAULT]);
        let log = log + &lines("c", 0..5);
        bench.export_of("access.log").is_exactly(log.as_bytes(), "appended");
        // A row that was changed since is found by the digest alone.
        bench.place.execute("UPDATE gunicorn_log SET code = 201 WHERE url = '/a/3'").await;
        let export = bench.export_of("access.log");
        assert_eq!(export.code, Some(1), "{}", export.summary);
        assert!(!export.differences().is_empty());
    }

    async fn lines_that_were_read_again_are_written_back(bench) {
        let odd = |nth: u32| line(&format!("/a{nth}")).replace('\n', &format!(" {nth:02}\n"));
        let log = (0..30).map(odd).collect::<String>().replace("+0000", "+0530");
        bench.append("access.log", &log);
        let path = bench.log("access.log");
        let path = path.to_str().unwrap();
        let seconds = format!("{DEFAULT} %(T)s");
        bench.succeed(&["import", path, "--format", &seconds]);
        bench.export_of("access.log").is_exactly(log.as_bytes(), "by seconds");
        let right = format!("{DEFAULT} %({{count}}n)s");
        bench.succeed(&["reparse", "--rows", "--file", path, "--format", &right]);
        // By this format a number stands as it was written: no patch is left.
        assert_eq!(bench.patched().await, 0);
        let certain = "SELECT count(*) FROM log_file WHERE patched_from = 0";
        assert_eq!(bench.place.number(certain).await, 1);
        bench.export_of("access.log").is_exactly(log.as_bytes(), "by the right format");
        bench.verified(&[]);
    }

    async fn rows_of_an_older_version_are_not_certain_but_may_be_proved(bench) {
        let utc = lines("a", 0..10);
        let log = lines("b", 0..20).replace("+0000", "+0530");
        for (name, log, certain) in [("utc.log", &utc, true), ("zone.log", &log, false)] {
            bench.append(name, log);
            bench.import_unmasked(name, None);
            bench.place.execute("UPDATE log_file SET patched_from = committed, line_forms = '[]'").await;
            let export = bench.export_of(name);
            let all = ("uncertain".to_owned(), 0, log.len() as u64, 20);
            match certain {
                true => export.is_exactly(log.as_bytes(), name),
                false => assert_eq!((export.code, export.differences()), (Some(1), vec![all])),
            }
        }
    }

    async fn a_log_of_json_is_not_written_and_rejects_of_it_are(bench) {
        let json = |nth: u32| format!("{{\"log\":\"request\",\"timestamp\":\"2026-11-23T08:41:0{nth}Z\",\"path\":\"/a\"}}\n");
        let log = [json(1), json(2), line("/a"), json(3)].concat();
        bench.append("requests.log", &log);
        bench.import_unmasked("requests.log", None);
        let export = bench.export_of("requests.log");
        let (length, other) = (json(1).len() as u64, line("/a").len() as u64);
        let places = [(0, 2 * length, 2), (2 * length + other, 3 * length + other, 1)];
        let listed = places.map(|(from, to, lines)| ("json".to_owned(), from, to, lines));
        assert_eq!(export.differences(), listed);
        assert_eq!((export.code, export.bytes.as_slice()), (Some(1), line("/a").as_bytes()));
    }

    async fn equal_rejects_that_are_one_row_are_written_back(bench) {
        // More than a question answers, and others of another kind after them.
        let log = line("/a") + &"\n".repeat(30_000) + &"odd\r\n".repeat(9000) + "\n" + &line("/b");
        bench.append("access.log", &log);
        bench.import_unmasked("access.log", None);
        assert!(bench.place.number("SELECT count(*) FROM rejected_line").await < 10);
        assert_eq!(bench.rejects().await, 39_001);
        bench.export_of("access.log").is_exactly(log.as_bytes(), "access.log");
    }

    async fn a_log_of_a_container_is_written_without_its_envelopes(bench) {
        let wrapped = |text: &str| format!("2026-11-23T08:41:00.123456789Z stdout F {text}");
        let log = wrapped(&line("/a")) + &wrapped(&line("/b"));
        bench.append("0.log", &log);
        bench.import_unmasked("0.log", None);
        let export = bench.export_of("0.log");
        assert_eq!(export.differences(), [("envelope".to_owned(), 0, log.len() as u64, 2)]);
        assert_eq!(String::from_utf8(export.bytes).unwrap(), line("/a") + &line("/b"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_copied_to_another_database_is_written_back() {
    let bench = Bench::new(Place::sqlite().await).await;
    let odd = line("/a").replace(" 200 2 ", " 200 None ").replace("+0000", "+0530");
    let log = lines("a", 0..50).replace("+0000", "+0530") + &odd + "none\r\n";
    bench.append("access.log", &log);
    bench.import_unmasked("access.log", None);
    let target = Bench::untouched(Place::postgres().await);
    bench.succeed(&["copy", "--from", &bench.place.url, "--to", &target.place.url]);
    let id = target.place.number("SELECT CAST(id AS bigint) FROM log_file").await.to_string();
    target.export(&["--file", &id]).is_exactly(log.as_bytes(), "copied");
}
