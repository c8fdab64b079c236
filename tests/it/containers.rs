//! Logs of containers: lines in the envelopes of their runtimes, on their whole way.
//!
//! `fixtures/containers` holds what conmon, a real CRI runtime's writer, wrote of a real Gunicorn.
//! Docker's files are written here, by the rules of its json-file driver.

mod places;
pub(crate) mod runtime;

use std::fs;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use log_ingestd::model::grouped;
use serde_json::Value;

use crate::archives::compress;
use crate::daemon::{Bench, for_each_store, line, lines, urls};
use crate::place::until;
use runtime::{RUNTIMES, Runtime, moment};

/// What Gunicorn says on its standard error before a request comes.
pub(crate) const START: &str = "[2026-11-24 10:11:12 +0000] [1] [INFO] Starting gunicorn 27.0.1
[2026-11-24 10:11:12 +0000] [1] [INFO] Listening at: http://0.0.0.0:8000 (1)
[2026-11-24 10:11:12 +0000] [1] [INFO] Using worker: sync
[2026-11-24 10:11:12 +0000] [7] [INFO] Booting worker with pid: 7
";

const TRACE: &str = "Traceback (most recent call last):
  File \"app.py\", line 3, in view
ValueError: no
";

fn fixture(name: &str) -> (PathBuf, Vec<Value>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/containers").join(name);
    let truth = fs::read_to_string(path.join("truth.jsonl")).unwrap();
    let truth = truth.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (path.join("0.log"), truth)
}

/// Of one line, in pieces of so many bytes.
fn pieces(runtime: Runtime, stream: &str, payload: &str, length: usize) -> Vec<Vec<u8>> {
    let payload = payload.trim_end_matches('\n').as_bytes();
    let chunks: Vec<&[u8]> = payload.chunks(length).collect();
    let last = chunks.len() - 1;
    let piece = |(nth, chunk): (usize, &&[u8])| {
        runtime.piece(moment(nth as i64), stream, chunk, nth == last)
    };
    chunks.iter().enumerate().map(piece).collect()
}

impl Bench {
    async fn count(&self, what: &str) -> i64 {
        let sql = format!("SELECT CAST(coalesce(sum({what}), 0) AS bigint) FROM log_file");
        self.place.number(&sql).await
    }

    /// The one file's format.
    async fn format(&self) -> String {
        self.place.texts("SELECT format FROM log_file").await.remove(0)
    }

    /// Rejects with their offsets: the bytes in hexadecimal, and the reason.
    async fn rejects_of_all(&self) -> Vec<(usize, Vec<u8>, String)> {
        let mut lines = self.place.rejected().await;
        lines.sort_by_key(|line| line.offset);
        let parts = lines.iter().map(|it| (it.offset as usize, it.bytes(), it.reason.clone()));
        parts.collect()
    }

    async fn offset_of(&self, url: &str) -> i64 {
        let sql = format!("SELECT log_offset FROM gunicorn_log WHERE url = '{url}'");
        self.place.number(&sql).await
    }
}

for_each_store! {
    async fn a_log_that_conmon_wrote_of_a_real_gunicorn_is_what_the_server_knew(bench) {
        let (log, truth) = fixture("gunicorn");
        let summary = bench.succeed(&["import", "--json", log.to_str().unwrap()]);
        let summary: Value = serde_json::from_str(&summary).unwrap();
        assert_eq!(summary["rows"], truth.len());
        // The user name of one request holds a newline: its second line is accounted for.
        assert_eq!(summary["rejected"], 1);
        assert!(summary["excluded"].as_u64().unwrap() > 10, "{summary}");
        assert!(bench.format().await.starts_with("cri %(h)s "));
        let time = if bench.place.is_postgres() {
            "to_char(timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"
        } else {
            "timestamp"
        };
        let address = if bench.place.is_postgres() { "host(user_ip)" } else { "user_ip" };
        let sql = format!(
            "SELECT {time} || '|' || {address} || '|' || coalesce(user_id, '-') || '|' || method || ' ' || url
                 || ' ' || protocol || '|' || code || '|' || response_bytes || '|'
                 || coalesce(source, '-') || '|' || coalesce(agent, '-')
               FROM gunicorn_log ORDER BY log_offset");
        let right = truth.iter().map(|atoms| {
            let text = |atom: &str| atoms[atom].as_str().unwrap();
            let time = DateTime::parse_from_str(text("t"), "[%d/%b/%Y:%H:%M:%S %z]").unwrap().to_utc();
            let atoms = ["h", "u", "r", "s", "b", "f", "a"].map(text);
            format!("{}|{}", time.format("%Y-%m-%d %H:%M:%S"), atoms.join("|"))
        });
        assert_eq!(bench.place.texts(&sql).await, right.collect::<Vec<_>>());
        bench.balanced().await;
        bench.verified(&[log.to_str().unwrap()]);
        // Again, and compressed: nothing new, and as many lines.
        fs::write(bench.log("0.log.gz"), compress("gz", &fs::read(&log).unwrap())).unwrap();
        let all = summary["lines"].as_u64().unwrap();
        assert_eq!(bench.import(&[log.to_str().unwrap()]).counts(), (all, 0, all));
        assert_eq!(bench.import(&["0.log.gz"]).counts(), (all, 0, all));
        let checked = bench.run(&["check", log.to_str().unwrap()]);
        let checked = String::from_utf8(checked.stdout).unwrap();
        let (all, rows) = (grouped(all), grouped(truth.len()));
        let said = format!("{all} lines: {rows} would be stored, 1 rejected");
        assert!(checked.contains(&said), "{checked}");
    }

    async fn a_format_without_a_time_takes_that_of_the_envelope(bench) {
        let (log, truth) = fixture("uvicorn");
        bench.succeed(&["import", log.to_str().unwrap()]);
        let text = fs::read_to_string(&log).unwrap();
        let mut right = Vec::new();
        let mut open = false;
        for line in text.lines() {
            let [time, stream, tag] = [0, 1, 2].map(|nth| line.split(' ').nth(nth).unwrap());
            if stream == "stdout" && !std::mem::replace(&mut open, tag == "P") {
                let time = DateTime::parse_from_rfc3339(time).unwrap().to_utc();
                right.push(time.format("%Y-%m-%d %H:%M:%S%.6f").to_string());
            }
        }
        assert_eq!(right.len(), truth.len());
        let time = if bench.place.is_postgres() {
            "to_char(timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
        } else {
            "timestamp"
        };
        let sql = format!("SELECT {time} FROM gunicorn_log ORDER BY log_offset");
        assert_eq!(bench.place.texts(&sql).await, right);
        let urls = bench.place.texts("SELECT url FROM gunicorn_log ORDER BY log_offset").await;
        assert_eq!(urls, truth.iter().map(|row| row["url"].as_str().unwrap()).collect::<Vec<_>>());
        assert_eq!(bench.count("CASE WHEN time_estimated THEN 1 ELSE 0 END").await, 0);
        bench.verified(&[log.to_str().unwrap()]);
    }

    async fn a_log_is_waited_for_until_access_lines_come(bench) {
        for runtime in RUNTIMES {
            bench.append(&format!("{}.log", runtime.name()), runtime.lines("stderr", START));
        }
        let all_noise = Runtime::Cri.lines("stderr", &TRACE.repeat(3000));
        bench.append("noise.log", &all_noise);
        let mut daemon = bench.watch();
        daemon.says("256 KiB hold no access line: left alone").await;
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 0);
        let mut all = Vec::new();
        for runtime in RUNTIMES {
            let name = format!("{}.log", runtime.name());
            // What the program prints before, and what goes wrong between.
            bench.append(&name, runtime.lines("stdout", &"Applying migrations... OK\n".repeat(80)));
            bench.append(&name, runtime.lines("stdout", &lines(runtime.name(), 0..3)));
            bench.append(&name, runtime.lines("stderr", TRACE));
            bench.append(&name, runtime.lines("stdout", &lines(runtime.name(), 3..6)));
            bench.append(&name, runtime.lines("stderr", &line(&format!("/{}/6", runtime.name()))));
            all.extend(urls(runtime.name(), 0..7));
        }
        bench.exactly(all).await;
        let noise = (START.lines().count() + TRACE.lines().count()) as i64 * 2;
        until("all is read", async || bench.count("excluded").await == noise).await;
        assert_eq!(bench.count("rejected").await, 160, "what was printed on standard output");
        bench.balanced().await;
        assert!(daemon.stop().await.success());
        bench.verified(&[]);
    }

    async fn a_kill_between_the_pieces_of_a_line_neither_doubles_nor_loses_it(bench) {
        for runtime in RUNTIMES {
            let name = format!("{}.log", runtime.name());
            let long = line(&format!("/long/{}?{}", runtime.name(), "x".repeat(30_000)));
            bench.append(&name, runtime.lines("stdout", &lines(runtime.name(), 0..5)));
            let before = fs::metadata(bench.log(&name)).unwrap().len() as i64;
            let mut all = urls(runtime.name(), 0..5);
            for (nth, piece) in pieces(runtime, "stdout", &long, 8192).iter().enumerate() {
                let daemon = bench.watch();
                let known = format!("SELECT count(*) FROM log_file WHERE path LIKE '%/{name}'
                    AND committed = {before}");
                until("what is whole is stored", async || bench.place.number(&known).await == 1).await;
                bench.append(&name, piece);
                if nth == 1 {
                    bench.append(&name, runtime.lines("stderr", TRACE));
                    bench.append(&name, runtime.lines("stderr", &line(&format!("/err/{}", runtime.name()))));
                }
                daemon.kill();
            }
            all.push(long.split(' ').nth(6).unwrap().to_owned());
            all.push(format!("/err/{}", runtime.name()));
            bench.append(&name, runtime.lines("stdout", &lines(runtime.name(), 5..8)));
            all.extend(urls(runtime.name(), 5..8));
            let daemon = bench.watch();
            let done = format!("SELECT count(*) FROM log_file WHERE path LIKE '%/{name}' AND stored_rows = {}", all.len());
            until("all is stored", async || bench.place.number(&done).await == 1).await;
            assert_eq!(bench.offset_of(&all[5]).await, before, "the offset of its first piece");
            assert!(daemon.stop().await.success());
        }
        bench.balanced().await;
        assert_eq!(bench.count("excluded").await, 2 * TRACE.lines().count() as i64);
        bench.verified(&[]);
    }

    async fn streams_between_each_other_keep_their_lines_and_rejects_their_bytes(bench) {
        for runtime in RUNTIMES {
            let bad = format!("no access line {}", "y".repeat(20_000));
            let [out, err] = [
                pieces(runtime, "stdout", &bad, 16_384),
                pieces(runtime, "stderr", &line(&format!("/e/{}", runtime.name())), 40),
            ];
            let mut text = runtime.lines("stdout", &lines(runtime.name(), 0..1));
            let begin = text.len();
            text.extend([&out[0], &err[0], &err[1]].into_iter().flatten());
            let row = begin + out[0].len();
            text.extend(&out[1]);
            err[2..].iter().for_each(|piece| text.extend(piece));
            text.extend(runtime.lines("stdout", &lines(runtime.name(), 1..2)));
            bench.append(runtime.name(), &text);
            assert_eq!(bench.import(&[runtime.name()]).counts(), (4, 3, 0));
            assert_eq!(bench.offset_of(&format!("/e/{}", runtime.name())).await, row as i64);
            let rejects = bench.rejects_of_all().await;
            let raw = [&out[0][..], out[1].strip_suffix(b"\n").unwrap()].concat();
            let found = rejects.iter().find(|(_, bytes, _)| *bytes == raw);
            assert_eq!(found.map(|(offset, ..)| *offset), Some(begin));
        }
        bench.balanced().await;
        bench.verified(&[bench.log("cri").to_str().unwrap(), bench.log("docker").to_str().unwrap()]);
    }

    async fn rejects_are_unwrapped_again_by_a_better_format(bench) {
        let mut all = Vec::new();
        for runtime in RUNTIMES {
            let timed = lines(runtime.name(), 0..20).replace("\"\n", "\" 1500\n");
            let long = line(&format!("/long/{}?{}", runtime.name(), "x".repeat(20_000)));
            let long = long.replace("\"\n", "\" 1500\n");
            let mut text = runtime.lines("stdout", &timed);
            let mut cut = pieces(runtime, "stdout", &long, 8192);
            cut.insert(1, runtime.lines("stderr", TRACE));
            text.extend(cut.concat());
            text.extend(b"broken\n");
            text.extend(runtime.lines("stdout", "printed"));
            bench.append(runtime.name(), &text);
            let path = bench.log(runtime.name());
            bench.succeed(&["import", "--format", "gunicorn", path.to_str().unwrap()]);
            all.extend(urls(runtime.name(), 0..20));
            all.push(long.split(' ').nth(6).unwrap().to_owned());
        }
        assert_eq!((bench.count("rejected").await, bench.count("excluded").await), (46, 6));
        let told = bench.succeed(&["reparse", "--json", "--format", "gunicorn-microseconds"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!((told["lines"].as_u64(), told["rows"].as_u64()), (Some(46), Some(42)));
        bench.exactly(all).await;
        let both = [bench.log("cri"), bench.log("docker")];
        bench.verified(&[both[0].to_str().unwrap(), both[1].to_str().unwrap()]);
    }

    async fn json_lines_of_ours_are_told_from_dockers(bench) {
        let ours = |path: &str| format!(
            r#"{{"log":"request","timestamp":"2026-11-24T15:02:03.123456+00:00","method":"GET","path":"{path}","status_code":200}}"#);
        bench.append("plain.log", format!("{}\n", ours("/plain")));
        for runtime in RUNTIMES {
            let name = format!("{}.log", runtime.name());
            bench.append(&name, runtime.lines("stderr", START));
            bench.append(&name, runtime.line("stdout", &ours(&format!("/{}", runtime.name()))));
            let long = ours(&format!("/long/{}?{}", runtime.name(), "x".repeat(20_000)));
            bench.append(&name, pieces(runtime, "stdout", &long, 9000).concat());
            // A piece whose text is a word that ours begin with.
            bench.append(&name, runtime.piece(moment(0), "stdout", b"request", false));
            bench.append(&name, runtime.line("stdout", ""));
        }
        let daemon = bench.watch();
        until("all is read", async || bench.count("lines").await == 1 + 2 * 7).await;
        let paths = bench.place.texts("SELECT substr(path, 1, 12) FROM request_log ORDER BY path").await;
        let right = ["/cri", "/docker", "/long/cri?xx", "/long/docker", "/plain"];
        let mut paths = paths;
        paths.sort();
        assert_eq!(paths, right);
        let mut formats = bench.place.texts("SELECT format FROM log_file").await;
        formats.sort();
        assert_eq!(formats, ["cri json", "docker json", "json"]);
        assert_eq!(bench.count("rejected").await, 2);
        bench.balanced().await;
        assert!(daemon.stop().await.success());
        bench.verified(&[]);
    }

    async fn lines_without_their_envelope_are_rejects_that_say_what_is_right(bench) {
        for runtime in RUNTIMES {
            let name = format!("{}.log", runtime.name());
            bench.append(&name, runtime.lines("stdout", &lines(runtime.name(), 0..5)));
            bench.append(&name, "torn out of an envelope\n\n\u{fffd}\n");
            bench.append(&name, b"{\"log\":\"\xff\n\xff\xfe\n");
            // From here on as if another runtime wrote it.
            bench.append(&name, lines("bare", 0..5));
            bench.append(&name, runtime.lines("stdout", &lines(runtime.name(), 5..6)));
        }
        let mut daemon = bench.watch();
        bench.exactly([urls("cri", 0..6), urls("docker", 0..6)].concat()).await;
        let rejects = bench.rejects_of_all().await;
        assert_eq!(rejects.len(), 20);
        for (_, _, reason) in &rejects {
            assert!(reason.starts_with("has no envelope of a container's log: expected "), "{reason}");
        }
        assert!(rejects.iter().any(|(_, raw, _)| raw == b"torn out of an envelope"));
        assert!(!daemon.has_ended());
        assert!(daemon.stop().await.success());
        bench.verified(&[]);
        let checked = bench.run(&["check", bench.log("docker.log").to_str().unwrap()]);
        assert_eq!(checked.status.code(), Some(1));
        let checked = String::from_utf8(checked.stdout).unwrap();
        assert!(checked.contains("6 would be stored, 10 rejected"), "{checked}");
    }

    /// A piece of standard output stays open while standard error goes on, and one line has no end.
    async fn a_line_without_an_end_holds_up_256_kib_and_one_of_9_mib_is_rejected_in_parts(bench) {
        let prompt = Runtime::Cri.piece(moment(0), "stdout", b"Password: ", false);
        let noise = Runtime::Cri.lines("stderr", &format!("{}\n", "n".repeat(4000)));
        let err = |nth: u32| Runtime::Cri.line("stderr", &line(&format!("/err/{nth}")));
        let mut text = Runtime::Cri.lines("stdout", &lines("before", 0..3));
        let begin = text.len();
        text.extend(&prompt);
        let mut rows = 0;
        while text.len() - begin - prompt.len() + noise.len() < 256 << 10 {
            text.extend(&noise);
            text.extend(err(rows));
            rows += 1;
        }
        bench.append("access.log", &text);
        let daemon = bench.watch();
        bench.rows(3).await;
        assert_eq!(bench.count("committed").await, begin as i64, "the piece may still go on");
        let held = text.len();
        text.extend(&noise);
        text.extend(err(rows));
        rows += 1;
        let nine_mib = "x".repeat(16_384);
        for _ in 0..600 {
            text.extend(Runtime::Cri.piece(moment(0), "stdout", nine_mib.as_bytes(), false));
        }
        text.extend(Runtime::Cri.line("stdout", "end"));
        text.extend(Runtime::Cri.lines("stdout", &lines("after", 0..3)));
        bench.append("access.log", &text[held..]);
        let all = [urls("before", 0..3), urls("err", 0..rows), urls("after", 0..3)].concat();
        bench.exactly(all).await;
        let rejects = bench.rejects_of_all().await;
        let (offset, raw, reason) = &rejects[0];
        assert_eq!((*offset, raw.as_slice()), (begin, prompt.strip_suffix(b"\n").unwrap()));
        assert!(reason.starts_with("has no final piece"), "{reason}");
        // Two parts of 4 MiB, and the rest, which is a line.
        assert_eq!(rejects.len(), 4);
        for (_, raw, reason) in &rejects[1..3] {
            assert!(reason.starts_with("is longer than 4 MiB"), "{reason}");
            assert_eq!(raw.len(), 64 << 10);
        }
        assert_eq!(bench.count("committed").await, text.len() as i64);
        assert!(daemon.peak_kib() < 100 << 10, "{} KiB", daemon.peak_kib());
        assert!(daemon.stop().await.success());
        bench.verified(&[]);
        let told = bench.succeed(&["reparse", "--json"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!((told["lines"].as_u64(), told["rows"].as_u64()), (Some(4), Some(0)));
    }

    /// As conmon leaves it when a program writes no newline and its log is rotated.
    async fn what_follows_an_open_piece_at_the_end_of_a_file_is_stored_from_its_archive(bench) {
        let mut text = Runtime::Cri.lines("stdout", &lines("a", 0..4));
        let begin = text.len();
        text.extend(Runtime::Cri.piece(moment(0), "stderr", b"Loading... ", false));
        text.extend(Runtime::Cri.lines("stdout", &lines("a", 4..9)));
        text.extend(Runtime::Cri.piece(moment(0), "stdout", b"out", false));
        bench.append("0.log", &text);
        let daemon = bench.watch();
        bench.rows(4).await;
        assert_eq!(bench.count("committed").await, begin as i64);
        assert!(daemon.stop().await.success());
        // As it stands it may go on.
        bench.succeed(&["import", bench.log("0.log").to_str().unwrap()]);
        bench.exactly(urls("a", 0..4)).await;
        fs::write(bench.log("0.log.20261124-101112.gz"), compress("gz", &text)).unwrap();
        fs::remove_file(bench.log("0.log")).unwrap();
        let daemon = bench.watch();
        bench.exactly(urls("a", 0..9)).await;
        until("it is finished", async || bench.count("committed").await == text.len() as i64).await;
        assert_eq!((bench.count("excluded").await, bench.count("rejected").await), (1, 1));
        assert!(bench.rejects_of_all().await[0].2.starts_with("has no final piece"));
        assert!(daemon.stop().await.success());
        bench.verified(&[]);
        let archive = bench.log("0.log.20261124-101112.gz");
        assert_eq!(bench.import(&["0.log.20261124-101112.gz"]).counts(), (11, 0, 11));
        bench.verified(&[archive.to_str().unwrap()]);
    }

    async fn a_file_that_ends_between_pieces_is_stored_up_to_them_and_finished_later(bench) {
        let long = line(&format!("/long?{}", "x".repeat(20_000)));
        let cut = pieces(Runtime::Docker, "stdout", &long, 16_384);
        let mut text = Runtime::Docker.lines("stdout", &lines("a", 0..4));
        text.extend(&cut[0]);
        bench.append("x-json.log", &text);
        let said = bench.run(&["import", bench.log("x-json.log").to_str().unwrap()]);
        assert!(said.status.success());
        let said = String::from_utf8(said.stderr).unwrap();
        assert!(said.contains("the last line has no end and cannot be read: not stored"), "{said}");
        bench.exactly(urls("a", 0..4)).await;
        text.extend(&cut[1]);
        text.extend(Runtime::Docker.lines("stdout", &lines("b", 0..2)));
        // The last line of a whole file needs no end.
        text.pop();
        bench.append("x-json.log.1.gz", compress("gz", &text));
        assert_eq!(bench.import(&["x-json.log.1.gz"]).counts(), (7, 3, 4));
        let url = long.split(' ').nth(6).unwrap().to_owned();
        bench.exactly([urls("a", 0..4), vec![url], urls("b", 0..2)].concat()).await;
        bench.verified(&[bench.log("x-json.log.1.gz").to_str().unwrap()]);
    }

    /// The database does not say which line of a block it refuses: all its rows are rejects.
    async fn a_row_in_pieces_that_the_database_refuses_is_a_reject_with_its_bytes(bench) {
        let refuse = if bench.place.is_postgres() {
            "ALTER TABLE gunicorn_log ADD CONSTRAINT not_this CHECK (url <> '/no')"
        } else {
            "CREATE TRIGGER not_this BEFORE INSERT ON gunicorn_log WHEN new.url = '/no'
                 BEGIN SELECT RAISE(ABORT, 'not_this'); END"
        };
        bench.place.execute(refuse).await;
        let cut = pieces(Runtime::Cri, "stdout", &line("/no"), 50);
        let mut text = Runtime::Cri.lines("stdout", &lines("a", 0..500));
        let begin = text.len();
        text.extend(&cut[0]);
        text.extend(Runtime::Cri.line("stderr", &line("/err")));
        text.extend(Runtime::Cri.line("stderr", "noise"));
        text.extend(cut[1..].concat());
        let raw = cut.concat();
        text.extend(Runtime::Cri.lines("stdout", &lines("a", 500..1000)));
        bench.append("followed.log", &text);
        let daemon = bench.watch();
        bench.exactly(urls("a", 0..1000)).await;
        assert!(daemon.stop().await.success());
        for name in ["followed.log", "access.log"] {
            if name == "access.log" {
                let more = [&text[..], &Runtime::Cri.lines("stdout", &lines("b", 0..1))].concat();
                bench.append(name, &more[4 * Runtime::Cri.line("stdout", line("/a/0").trim_end()).len()..]);
                bench.import(&[name]);
            }
            let rejects = bench.rejects_of_all().await;
            let rejects: Vec<_> = rejects.iter().filter(|(offset, ..)| (*offset < begin) == (name == "access.log")).collect();
            assert_eq!(rejects.len(), 2, "{name}");
            assert!(rejects.iter().all(|(_, _, reason)| reason.contains("not_this")));
            assert_eq!(rejects[0].1, raw.strip_suffix(b"\n").unwrap());
        }
        assert_eq!(bench.count("excluded").await, 2);
        bench.balanced().await;
    }

    async fn what_differs_from_a_containers_log_is_found(bench) {
        let long = line(&format!("/long?{}", "x".repeat(20_000)));
        let mut text = Runtime::Cri.lines("stdout", &lines("a", 0..10));
        let mut cut = pieces(Runtime::Cri, "stdout", &long, 8192);
        cut.insert(1, Runtime::Cri.lines("stderr", TRACE));
        text.extend(cut.concat());
        text.extend(Runtime::Cri.line("stdout", "printed"));
        bench.append("0.log", &text);
        let path = bench.log("0.log");
        let path = path.to_str().unwrap();
        bench.succeed(&["import", path]);
        bench.verified(&[path]);
        for (change, undo) in [
            ("UPDATE gunicorn_log SET code = 500 WHERE url LIKE '/long%'",
             "UPDATE gunicorn_log SET code = 200 WHERE url LIKE '/long%'"),
            ("UPDATE log_file SET excluded = excluded + 1, lines = lines + 1",
             "UPDATE log_file SET excluded = excluded - 1, lines = lines - 1"),
            ("UPDATE rejected_line SET log_offset = log_offset + 1",
             "UPDATE rejected_line SET log_offset = log_offset - 1"),
        ] {
            bench.place.execute(change).await;
            assert_eq!(bench.run(&["verify", path]).status.code(), Some(1), "{change}");
            bench.place.execute(undo).await;
            bench.verified(&[path]);
        }
    }

    async fn the_given_format_is_that_of_what_is_in_the_envelope(bench) {
        let format = "%(h)s [%(t)s] %(m)s %(U)s %(s)s";
        for runtime in RUNTIMES {
            let name = format!("{}.log", runtime.name());
            bench.append(&name, runtime.lines("stderr", START));
            let bare = format!("1.2.3.4 [[24/Nov/2026:10:11:12 +0000]] GET /{} 200", runtime.name());
            bench.append(&name, runtime.line("stdout", &bare));
        }
        let daemon = bench.watch_with(&["--format", format]);
        bench.exactly(["/cri".to_owned(), "/docker".to_owned()]).await;
        let mut formats = bench.place.texts("SELECT format FROM log_file").await;
        formats.sort();
        assert_eq!(formats, [format!("cri {format}"), format!("docker {format}")]);
        assert!(daemon.stop().await.success());
        // A restart without it goes on by what is written down.
        let daemon = bench.watch();
        bench.append("cri.log", Runtime::Cri.line("stdout", "1.2.3.4 [[24/Nov/2026:10:11:13 +0000]] GET /more 200"));
        bench.exactly(["/cri", "/docker", "/more"].map(str::to_owned)).await;
        assert!(daemon.stop().await.success());
        bench.verified(&[]);
    }
}
