//! Rejected lines that are equal and follow each other share a row: a file of millions of empty lines costs a
//! few rows, and each line is accounted for all the same.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use log_ingestd::model::{RejectedLine, Reparsed};
use log_ingestd::store::{RejectKey, StoredLine};
use serde_json::Value;

use crate::archives::{Summary, compress};
use crate::bounds::MEMORY_KIB;
use crate::containers::runtime::RUNTIMES;
use crate::daemon::{Bench, for_each_store, line, lines, peak_kib, urls};
use crate::page::client::Site;
use crate::place::{LINE, Lines, NOW, Place, advanced, claimed, until};

/// Empty lines in a small archive: each had a row of its own before.
const MILLIONS: u64 = 20_900_000;

/// Most bytes by which a database grows for them.
const FEW_BYTES: i64 = 1 << 20;

/// A line that no format reads.
const ODD: &str = "no line of ours\n";

/// By the format of the server without its last value it is a reject.
fn timed(url: &str) -> String {
    format!("{} 1500\n", line(url).trim_end())
}

const TIMED: [&str; 2] = ["--format", "gunicorn-microseconds"];

/// A row of `rejected_line`: offset, number of lines, and length of each.
type Run = (u64, u64, u64);

impl Bench {
    async fn runs(&self) -> Vec<Run> {
        let sql = "SELECT log_offset || ' ' || repeats || ' ' || coalesce(line_length, 0) FROM rejected_line
                    ORDER BY log_file, log_offset";
        let run = |text: &String| {
            let numbers: Vec<u64> = text.split(' ').map(|word| word.parse().unwrap()).collect();
            (numbers[0], numbers[1], numbers[2])
        };
        self.place.texts(sql).await.iter().map(run).collect()
    }

    /// Bytes of the database.
    async fn size(&self) -> i64 {
        match self.place.is_postgres() {
            true => self.place.number("SELECT pg_database_size(current_database())").await,
            false => {
                self.place.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
                let path = self.place.url.strip_prefix("sqlite:").unwrap();
                fs::metadata(Path::new(path)).unwrap().len() as i64
            }
        }
    }

    fn reparse_json(&self, flags: &[&str]) -> Value {
        let said = self.succeed(&[&["reparse", "--json"], flags].concat());
        serde_json::from_str(&said).unwrap()
    }

    /// Imports by the default format.
    fn imported_by_default(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.log(name), content).unwrap();
        let path = self.log(name).to_str().unwrap().to_owned();
        self.succeed(&["import", &path, "--format", "gunicorn"]);
        path
    }
}

/// Waits for the end of a program, and returns what it printed and the most memory that it had, in KiB.
fn ends(mut command: Command) -> (String, u64) {
    let mut child: Child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(peak_kib(child.id()).unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    (said, peak)
}

for_each_store! {
    async fn millions_of_empty_lines_of_an_archive_are_a_few_rows(bench) {
        let empty = vec![b'\n'; MILLIONS as usize];
        let text = [lines("a", 0..5).as_bytes(), &empty, lines("b", 0..5).as_bytes()].concat();
        let archive = compress("gz", &text);
        fs::write(bench.log("bomb.gz"), &archive).unwrap();
        let before = bench.size().await;
        let idle = ends(bench.command(&["status"])).1;
        let began = Instant::now();
        let path = bench.log("bomb.gz");
        let import = bench.command(&["import", "--json", path.to_str().unwrap()]);
        let (said, peak) = ends(import);
        let took = began.elapsed();
        let told = Summary::of(said.as_bytes());
        assert_eq!((told.count("lines"), told.count("rejected")), (MILLIONS + 10, MILLIONS));
        let runs = bench.runs().await;
        let grown = bench.size().await - before;
        println!(
            "{} KiB of gzip: {:.1} million lines/s, {} rows, {grown} bytes, {peak} KiB of memory",
            archive.len() >> 10,
            told.count("lines") as f64 / took.as_secs_f64() / 1e6,
            runs.len(),
        );
        assert!(runs.len() < 100, "{} rows", runs.len());
        assert!(grown < FEW_BYTES, "{grown} bytes");
        assert!(peak < idle + MEMORY_KIB, "{peak} KiB, {idle} KiB for a status");
        assert_eq!(runs.iter().map(|run| run.1).sum::<u64>(), MILLIONS);
        assert!(runs.windows(2).all(|two| two[0].0 + two[0].1 == two[1].0), "{runs:?}");
        bench.balanced().await;
        bench.exactly([urls("a", 0..5), urls("b", 0..5)].concat()).await;
        let began = Instant::now();
        let told = bench.verified(&[]);
        println!("verified in {:.1} s", began.elapsed().as_secs_f64());
        assert_eq!((told.sum("rows"), told.sum("rejected")), (10, MILLIONS));
        // It is known, and known whole.
        assert_eq!(bench.import(&["bomb.gz"]).counts(), (MILLIONS + 10, 0, MILLIONS + 10));
    }

    async fn millions_of_empty_lines_that_are_followed_are_a_few_rows_whatever_is_killed(bench) {
        const COUNT: usize = 6_000_000;
        bench.append("access.log", lines("a", 0..5));
        let mut daemon = bench.watch();
        bench.rows(5).await;
        let before = bench.size().await;
        for _ in 0..3 {
            bench.append("access.log", vec![b'\n'; COUNT / 3]);
            // Somewhere in the middle of it, or just after it.
            let stored = bench.stored().await;
            until("some more is stored", async || bench.stored().await > stored).await;
            daemon.kill();
            bench.balanced().await;
            bench.digests_are_true().await;
            daemon = bench.watch();
        }
        bench.append("access.log", lines("b", 0..5));
        bench.exactly([urls("a", 0..5), urls("b", 0..5)].concat()).await;
        let all = COUNT as i64 + 10;
        until("all is stored", async || bench.stored().await == all).await;
        let rows = bench.runs().await.len();
        assert!(rows < 200, "{rows} rows");
        assert!(bench.size().await - before < FEW_BYTES);
        bench.balanced().await;
        let told = bench.verified(&[]);
        assert_eq!((told.sum("rows"), told.sum("rejected")), (10, COUNT as u64));
        assert!(bench.succeed(&["status"]).contains("6,000,010 lines = 10 rows + 6,000,000 rejected"));
        assert!(daemon.stop().await.success());
        bench.digests_are_true().await;
    }

    async fn only_lines_whose_offsets_follow_from_the_first_share_a_row(bench) {
        // Ends of both kinds, the rest of a line, a byte order mark, and lines that are not equal.
        let mut text = b"\xef\xbb\xbf\n\xef\xbb\xbf\n\xef\xbb\xbf\n".to_vec();
        text.extend(b"\n\n\n\r\n\r\n\n\n");
        text.extend(b"x\nx\ny\nx\r\nx\r\nx\n");
        text.extend(lines("a", 0..1).as_bytes());
        text.extend(b"x\n\xff\n\xff\n\0\0\n\n");
        bench.imported_by_default("access.log", &text);
        let row = lines("a", 0..1).len() as u64;
        assert_eq!(
            bench.runs().await,
            [
                (0, 1, 0), (4, 2, 4),
                (12, 3, 1), (15, 2, 2), (19, 2, 1),
                (21, 2, 2), (25, 1, 2), (27, 2, 3), (33, 1, 2),
                (35 + row, 1, 2), (37 + row, 2, 2), (43 + row, 2, 1),
            ]
        );
        bench.balanced().await;
        let told = bench.verified(&[]);
        assert_eq!((told.sum("rows"), told.sum("rejected")), (1, 21));
        bench.digests_are_true().await;
    }

    /// Masked lines of one length are equal; those of other lengths begin elsewhere.
    async fn masked_lines_share_a_row_if_they_have_one_length(bench) {
        bench.imported_by_default("access.log", lines("a", 0..2) + "x token=ab\nx token=cd\nx token=e\nx token=f\n");
        let first = lines("a", 0..2).len() as u64;
        assert_eq!(bench.runs().await, [(first, 2, 11), (first + 22, 2, 10)]);
        bench.verified(&[]);
        let told = bench.reparse_json(&[]);
        assert_eq!((&told["lines"], &told["rows"]), (&4.into(), &0.into()), "{told}");
        bench.succeed(&["reparse", "--rows", "--keep-raw-rejects"]);
        assert_eq!(bench.runs().await.len(), 4, "their bytes differ");
        bench.verified(&[]);
        bench.succeed(&["reparse", "--rows"]);
        assert_eq!(bench.place.rejected().await.len(), 4);
        bench.verified(&[]);
        bench.balanced().await;
    }

    async fn lines_of_containers_share_a_row_too(bench) {
        for runtime in RUNTIMES {
            let name = format!("{}.log", runtime.name());
            let mut text = runtime.lines("stdout", &lines(runtime.name(), 0..3));
            text.extend(vec![b'\n'; 100_000]);
            text.extend(runtime.line("stdout", "printed").repeat(1000));
            text.extend(runtime.lines("stdout", &lines(runtime.name(), 3..5)));
            bench.append(&name, &text);
            bench.succeed(&["import", bench.log(&name).to_str().unwrap()]);
        }
        bench.exactly(RUNTIMES.iter().flat_map(|runtime| urls(runtime.name(), 0..5))).await;
        assert_eq!(bench.place.rejected().await.len(), RUNTIMES.len() * 101_000);
        let rows = bench.runs().await;
        assert_eq!(rows.len(), 2 * RUNTIMES.len(), "{rows:?}");
        bench.balanced().await;
        bench.verified(&[]);
    }

    async fn a_better_format_makes_rows_of_all_lines_that_share_one(bench) {
        const COUNT: u64 = 25_000;
        let equal = timed("/equal");
        let text = format!("{}{}{}", lines("a", 0..5), equal.repeat(COUNT as usize), ODD.repeat(3));
        bench.imported_by_default("access.log", text + &timed("/other") + &equal.repeat(2) + &lines("b", 0..5));
        assert_eq!(bench.runs().await.iter().map(|run| run.1).collect::<Vec<_>>(), [COUNT, 3, 1, 2]);
        let told = bench.reparse_json(&[&TIMED[..], &["--dry-run"]].concat());
        assert_eq!((&told["lines"], &told["rows"]), (&(COUNT + 6).into(), &(COUNT + 3).into()));
        let told = bench.reparse_json(&TIMED);
        assert_eq!((&told["lines"], &told["rows"], &told["gone"]), (&(COUNT + 6).into(), &(COUNT + 3).into(), &0.into()));
        let still: u64 = told["still_rejected"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
        assert_eq!(still, 3, "{told}");
        let equal = vec!["/equal".to_owned(); COUNT as usize + 2];
        bench.exactly([urls("a", 0..5), equal, vec!["/other".to_owned()], urls("b", 0..5)].concat()).await;
        bench.balanced().await;
        let told = bench.verified(&[]);
        assert_eq!((told.sum("rows"), told.sum("rejected"), told.sum("readable")), (COUNT + 13, 3, 0));
        let reparsed = "SELECT reparsed FROM log_file";
        assert_eq!(bench.place.number(reparsed).await, COUNT as i64 + 3);
        bench.digests_are_true().await;
    }

    async fn a_reparse_that_is_killed_leaves_each_line_one_or_the_other(bench) {
        const COUNT: i64 = 30_000;
        bench.imported_by_default("access.log", lines("a", 0..5) + &timed("/equal").repeat(COUNT as usize));
        for _ in 0..2 {
            let before = bench.place.number("SELECT count(*) FROM gunicorn_log").await;
            let mut command = bench.command(&[&["reparse"], &TIMED[..]].concat());
            let mut child = command.stdout(Stdio::null()).spawn().unwrap();
            until("more are rows", async || {
                let rows = bench.place.number("SELECT count(*) FROM gunicorn_log").await;
                rows > before || rows == COUNT + 5
            }).await;
            child.kill().unwrap();
            child.wait().unwrap();
            bench.place.until_alone().await;
            bench.balanced().await;
            bench.verified(&[]);
        }
        bench.reparse_json(&TIMED);
        assert_eq!(bench.runs().await, []);
        bench.rows(COUNT + 5).await;
        bench.balanced().await;
        bench.verified(&[]);
    }

    async fn several_reparses_at_once_make_each_row_once(bench) {
        const COUNT: u64 = 30_000;
        bench.imported_by_default("access.log", lines("a", 0..5) + &timed("/equal").repeat(COUNT as usize));
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
            rows += told["rows"].as_u64().unwrap();
        }
        // One of them may have lost a race for the last lines, and left them to the next command.
        rows += bench.reparse_json(&TIMED)["rows"].as_u64().unwrap();
        assert_eq!(rows, COUNT);
        bench.rows(COUNT as i64 + 5).await;
        bench.balanced().await;
        bench.verified(&[]);
    }

    async fn lines_that_are_read_again_from_their_file_leave_and_join_their_row(bench) {
        // More lines than a page has. Either format reads half of them.
        const COUNT: u64 = 20_000;
        let plain = line("/plain").repeat(COUNT as usize);
        let equal = timed("/equal").repeat(COUNT as usize);
        let path = bench.imported_by_default("access.log", plain + &equal + &ODD.repeat(50));
        let reread = |flags: &[&str]| -> Value {
            let said = bench.succeed(&[&["reparse", "--rows", "--json"], flags].concat());
            let told: Value = serde_json::from_str(&said).unwrap();
            told["files"][0].clone()
        };
        let counts = |told: &Value| ["same", "became_rows", "became_rejects"].map(|name| told[name].as_u64().unwrap());
        assert_eq!(counts(&reread(&[])), [2 * COUNT + 50, 0, 0]);
        let [format, timed] = TIMED;
        let told = reread(&[format, timed]);
        assert_eq!(counts(&told), [50, COUNT, COUNT], "{told}");
        bench.exactly(vec!["/equal".to_owned(); COUNT as usize]).await;
        bench.balanced().await;
        let found = bench.runs().await.len();
        assert!(found < 20, "{found} rows");
        bench.verified(&[&path, format, timed]);
        // And back.
        let told = reread(&["--format", "gunicorn"]);
        assert_eq!(counts(&told), [50, COUNT, COUNT], "{told}");
        bench.exactly(vec!["/plain".to_owned(); COUNT as usize]).await;
        bench.balanced().await;
        let found = bench.runs().await.len();
        assert!(found < 20, "{found} rows");
        bench.verified(&[]);
        // Left out, of which nothing is stored.
        let told = reread(&[format, timed, "--exclude-path", "/equal"]);
        assert_eq!(told["excluded"].as_u64(), Some(COUNT), "{told}");
        assert_eq!(bench.place.rejected().await.len() as u64, COUNT + 50);
        bench.balanced().await;
    }

    async fn what_was_changed_in_a_row_of_many_lines_is_found(bench) {
        bench.imported_by_default("access.log", lines("a", 0..5) + &ODD.repeat(20_000) + &lines("b", 0..5) + &ODD.repeat(9));
        bench.verified(&[]);
        let first = format!("log_offset = {}", lines("a", 0..5).len());
        let last = "repeats = 9".to_owned();
        bench.place.execute("CREATE TABLE kept AS SELECT * FROM rejected_line").await;
        for (change, of) in [
            ("repeats = repeats + 1", &first),
            ("repeats = repeats - 1", &first),
            ("repeats = 1", &first),
            ("line_length = line_length - 1", &first),
            ("line_length = NULL", &first),
            ("line_length = 0", &first),
            ("raw = raw || raw", &first),
            // One line more than the file has: after the offset up to which it is stored.
            ("repeats = 10", &last),
            ("repeats = 4000000000000000000", &last),
        ] {
            bench.place.execute(&format!("UPDATE rejected_line SET {change} WHERE {of}")).await;
            bench.differs(&[]);
            bench.place.execute("DELETE FROM rejected_line").await;
            bench.place.execute("INSERT INTO rejected_line SELECT * FROM kept").await;
            bench.verified(&[]);
        }
    }

    async fn a_copy_and_what_forgets_a_file_count_lines(bench) {
        let path = bench.imported_by_default("access.log", lines("a", 0..5) + &ODD.repeat(20_000));
        let there = match bench.place.is_postgres() {
            true => Place::sqlite().await,
            false => Place::postgres().await.without_tables().await,
        };
        bench.succeed(&["copy", "--from", &bench.place.url, "--to", &there.url]);
        let (here, copied) = (bench.place.rejected().await, there.rejected().await);
        assert_eq!((here.len(), copied.len()), (20_000, 20_000));
        assert!(here.iter().zip(&copied).all(|(one, other)| (one.offset, &one.hex) == (other.offset, &other.hex)));
        let runs = "SELECT count(*) FROM rejected_line";
        assert_eq!((bench.place.number(runs).await, there.number(runs).await), (1, 1));
        let said = bench.succeed(&["forget", &path, "--yes"]);
        assert!(said.contains("5 rows, 20,000 rejected lines;"), "{said}");
        assert_eq!(bench.place.number(runs).await, 0);
    }

    async fn the_page_and_the_metrics_count_lines(bench) {
        bench.append("access.log", lines("a", 0..5) + &ODD.repeat(20_000) + "\n\n");
        let site = Site::open(&bench, &[]).await;
        until("all is stored", async || bench.stored().await == 20_007).await;
        let json = |path: &str| -> Value { serde_json::from_str(&site.get(path).body).unwrap() };
        let rejects = json("/api/rejects");
        let rows = rejects["rows"].as_array().unwrap();
        let repeats: Vec<u64> = rows.iter().map(|row| row["repeats"].as_u64().unwrap()).collect();
        assert_eq!(repeats.iter().sum::<u64>(), 20_002, "{rejects}");
        assert_eq!(repeats[0], 2, "{rejects}");
        let codes = rejects["codes"].as_array().unwrap();
        let sum = |name: &str| codes.iter().map(|code| code[name].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum("lines"), sum("rows")), (20_002, rows.len() as u64));
        assert_eq!(json("/api/files")["files"][0]["rejected"], 20_002);
        let metrics = site.get("/metrics").body;
        let total = "log_ingestd_rejected_lines_total{reason=\"unlike_format\"} 20002\n";
        assert!(metrics.contains(total), "{metrics}");
    }
}

for_every_store!(
    a_line_in_the_middle_of_a_row_is_found,
    lines_leave_a_row_at_any_place,
    rows_of_older_versions_stand_for_one_line
);

/// The line that a store has at an offset, as the offset of its row and the number of its lines.
fn row_of(line: Option<StoredLine>) -> Option<(u64, u64)> {
    match line? {
        StoredLine::Reject(reject) => Some((reject.log_offset, reject.repeats)),
        other => panic!("{other:?}"),
    }
}

async fn a_line_in_the_middle_of_a_row_is_found(place: Place) {
    let mut writer = place.open().await.writer("web:1").await.unwrap();
    let mut at = claimed(&mut writer, 1).await;
    // Rows 0, 11 to 12 and 23; rejects 1 to 10 and 13 to 22.
    for _ in 0..2 {
        let batch = Lines::after(&at).row(NOW).repeated_reject(10, NOW, b"?").row(NOW).batch();
        assert_eq!((batch.rejected, batch.rejected_line.count()), (10, 1));
        writer.commit(&batch).await.unwrap();
        at = advanced(&at, &batch);
    }
    let file = at.file;
    for (nth, row) in [(1, 1), (5, 1), (10, 1), (13, 13), (22, 13)] {
        let line = writer.line_at(file, nth * LINE).await.unwrap();
        assert_eq!(row_of(line), Some((row * LINE, 10)), "line {nth}");
        assert_eq!(writer.line_at(file, nth * LINE + 1).await.unwrap(), None, "within line {nth}");
    }
    for (from, to) in [(0, 24), (3, 8), (5, 15), (10, 11), (11, 13), (22, 24), (24, 30)] {
        let lines = writer.lines_between(file, from * LINE, to * LINE, 100).await.unwrap();
        let offsets: Vec<u64> = lines.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, (from..to.min(24)).map(|nth| nth * LINE).collect::<Vec<_>>());
        assert_eq!(
            writer.count_from(file, from * LINE).await.unwrap(),
            24_u64.saturating_sub(from)
        );
    }
    assert_eq!(writer.count_from(file, 5 * LINE - 3).await.unwrap(), 19, "within a line");
    assert_eq!(writer.line_after_committed(file).await.unwrap(), None);
    for (committed, first) in [(15, Some(15)), (22, Some(22)), (11, Some(11)), (24, None)] {
        let offset = committed * LINE;
        place.execute(&format!("UPDATE log_file SET committed = {offset}")).await;
        let found = writer.line_after_committed(file).await.unwrap();
        assert_eq!(found, first.map(|nth| nth * LINE), "{committed}");
    }
    place.execute(&format!("UPDATE log_file SET committed = {}", 15 * LINE - 1)).await;
    assert_eq!(writer.line_after_committed(file).await.unwrap(), Some(15 * LINE));
}

async fn lines_leave_a_row_at_any_place(place: Place) {
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let batch = Lines::after(&at).repeated_reject(100, NOW, b"?").batch();
    writer.commit(&batch).await.unwrap();
    let all = async |writer: &mut log_ingestd::store::Writer| {
        writer.rejects_after(RejectKey::FIRST, 99, 9999).await.unwrap()
    };
    let runs = |rows: &[RejectedLine]| -> Vec<(u64, u64)> {
        rows.iter().map(|row| (row.log_offset / LINE, row.repeats)).collect()
    };
    let whole = all(&mut writer).await;
    assert_eq!(runs(&whole), [(0, 100)]);
    // The first, the last, and some between them.
    let mut change = Reparsed::of(at.file, "%(r)s".into());
    for (nth, count) in [(0, 2), (10, 5), (15, 1), (50, 1), (99, 1)] {
        change.remove_rejects(&whole[0], nth * LINE, count);
    }
    assert_eq!((change.removed(), change.more_rejects()), (10, -10));
    change.excluded = 10;
    assert!(writer.reparse(&change).await.unwrap());
    let left = all(&mut writer).await;
    assert_eq!(runs(&left), [(2, 8), (16, 34), (51, 48)]);
    assert!(left.iter().all(|row| {
        (row.rejected_at, row.raw.as_slice(), row.line_length) == (NOW, b"?", Some(LINE as i32))
    }));
    let report = store.files(None).await.unwrap();
    let counts = (report[0].lines, report[0].rejected, report[0].excluded, report[0].reparsed);
    assert_eq!(counts, (100, 90, 10, 10));
    // What is not there any more as it was changes nothing.
    assert!(!writer.reparse(&change).await.unwrap());
    let mut stale = Reparsed::of(at.file, "%(r)s".into());
    let mut shorter = left[2].clone();
    shorter.repeats -= 1;
    stale.remove_rejects(&shorter, 51 * LINE, 47);
    stale.excluded = 47;
    assert!(!writer.reparse(&stale).await.unwrap());
    assert_eq!(runs(&all(&mut writer).await), runs(&left));
    // A whole row beside a part of another.
    let mut change = Reparsed::of(at.file, "%(r)s".into());
    change.remove_rejects(&left[0], 2 * LINE, 8);
    change.remove_rejects(&left[1], 16 * LINE, 1);
    change.excluded = 9;
    assert!(writer.reparse(&change).await.unwrap());
    assert_eq!(runs(&all(&mut writer).await), [(17, 33), (51, 48)]);
}

/// They have no length.
async fn rows_of_older_versions_stand_for_one_line(place: Place) {
    let mut writer = place.open().await.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let batch = Lines::after(&at).reject(NOW, b"?").reject(NOW, b"?").batch();
    assert_eq!(batch.rejected_line.count(), 2);
    writer.commit(&batch).await.unwrap();
    let nothing = "SELECT count(*) FROM rejected_line WHERE repeats = 1 AND line_length IS NULL";
    assert_eq!(place.number(nothing).await, 2);
    assert_eq!(row_of(writer.line_at(at.file, 0).await.unwrap()), Some((0, 1)));
    assert_eq!(row_of(writer.line_at(at.file, LINE).await.unwrap()), Some((LINE, 1)));
    assert_eq!(writer.count_from(at.file, 1).await.unwrap(), 1);
    assert_eq!(writer.count_from(at.file, LINE + 1).await.unwrap(), 0);
}
