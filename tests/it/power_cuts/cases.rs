//! Single power cuts, each with its story.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Instant;

use crate::daemon::{Bench, Daemon, PATIENCE, for_each_store};
use crate::place::Place;

use super::file_system::{FileSystem, Type};
use super::judge::{Demand, Findings, Log, examine, same_bytes};
use super::stored::Stored;
use super::text::Kind;

/// Stored before the cut, and written after it.
const BEFORE: u32 = 1000;
const AFTER: u32 = 100;

/// What the power cut takes, bytes.
const TAKEN: usize = 4096;

/// One log, `access.log`, of a directory with a daemon.
struct Story {
    bench: Bench,
    log: Vec<Log>,
    daemon: Option<Daemon>,
    next: u32,
    kind: Kind,
    host: &'static str,
}

impl Story {
    /// A thousand lines of it are stored.
    async fn begin(bench: Bench) -> Story {
        Story::of(Kind::Timed, bench).await
    }

    async fn of(kind: Kind, bench: Bench) -> Story {
        let path = bench.log("access.log");
        let inode = fs::File::create_new(&path).unwrap().metadata().unwrap().ino();
        let log = vec![Log::new(1, path, inode)];
        let mut story = Story { bench, log, daemon: None, next: 0, kind, host: "web" };
        story.write(BEFORE);
        story.start();
        story.complete().await;
        story
    }

    fn start(&mut self) {
        self.daemon = Some(self.bench.watch_with(&["--retention", "off", "--host", self.host]));
    }

    fn write(&mut self, lines: u32) {
        let numbers = self.next..self.next + lines;
        self.next += lines;
        let text: String = numbers.map(|number| self.kind.line(1, number, 0)).collect();
        let mut file = OpenOptions::new().append(true).open(&self.log[0].path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        self.log[0].wrote(&text);
        self.log[0].content.extend_from_slice(text.as_bytes());
    }

    /// Kills the daemon and has the log hold this.
    async fn cut(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        self.daemon.take().unwrap().kill();
        self.bench.place.until_alone().await;
        let mut content = self.log[0].content.clone();
        change(&mut content);
        let alike = same_bytes(&self.log[0].content, &content);
        let file = OpenOptions::new().write(true).open(&self.log[0].path).unwrap();
        file.write_all_at(&content[alike..], alike as u64).unwrap();
        file.set_len(content.len() as u64).unwrap();
        self.log[0].cut(content);
    }

    /// Waits until each line is stored. Returns what was found then.
    async fn complete(&mut self) -> Findings {
        let end = Instant::now() + PATIENCE;
        loop {
            let stored = Stored::read(&self.bench.place).await;
            let findings = examine(&mut self.log, &stored, Demand::Complete);
            if findings.is_right() {
                return findings;
            }
            assert!(
                findings.may_become_right() && Instant::now() < end,
                "{findings}\n{}",
                self.bench.said()
            );
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Checks that all of it was stored once: one warning says how many rows the log no longer has.
    async fn end(mut self) {
        let findings = self.complete().await;
        let said = self.bench.said();
        // A line that the cut has damaged is reported, too.
        let warned = |line: &&str| {
            line.contains("WARN") && line.contains("access.log") && !line.contains("are rejected")
        };
        let warnings: Vec<&str> = said.lines().filter(warned).collect();
        let count = findings.lost.to_string();
        let words =
            |line: &str| line.split(|c: char| !c.is_ascii_digit()).any(|word| word == count);
        assert!(warnings.len() == 1 && words(warnings[0]), "{count} rows, {warnings:?}");
        let entries = "SELECT CAST((SELECT count(*) FROM gunicorn_log)
                    + (SELECT coalesce(sum(repeats), 0) FROM rejected_line) AS bigint)";
        let entries = self.bench.place.number(entries).await;
        assert_eq!(entries as u64, findings.lines + findings.lost);
        let lost = "SELECT CAST(sum(lost_bytes) AS bigint) FROM log_file";
        assert_eq!(self.bench.place.number(lost).await, 0, "no line was gone before it was stored");
        let files = "SELECT count(*) FROM log_file";
        assert_eq!(self.bench.place.number(files).await, 2, "one until the cut, one after it");
        self.bench.balanced().await;
        self.bench.verified(&[]);
        assert!(self.daemon.take().unwrap().stop().await.success());
        // The next daemon finds all of it known.
        self.start();
        self.write(AFTER);
        let again = self.complete().await;
        assert_eq!(again.lost, findings.lost);
        assert!(self.daemon.take().unwrap().stop().await.success());
        self.bench.verified(&[]);
    }
}

for_each_store! {
    async fn the_last_4_kib_cut_off_and_more_written(bench) {
        let mut story = Story::begin(bench).await;
        story.cut(|content| content.truncate(content.len() - TAKEN)).await;
        story.write(AFTER);
        story.start();
        story.end().await;
    }

    async fn the_last_4_kib_turned_into_nuls_and_more_written(bench) {
        let mut story = Story::begin(bench).await;
        story.cut(|content| {
            let from = content.len() - TAKEN;
            content[from..].fill(0);
        }).await;
        story.write(AFTER);
        story.start();
        story.end().await;
    }

    /// The second cut leaves a line that might go on in the next one, and only NULs after it.
    async fn what_a_cut_left_is_the_last_line_that_the_next_one_leaves(bench) {
        let mut story = Story::begin(bench).await;
        story.cut(|content| {
            let from = content.len() - 60;
            content[from..].fill(0);
        }).await;
        story.write(2);
        story.start();
        story.complete().await;
        story.cut(|content| {
            let from = content.len() - 60;
            content[from..].fill(0);
        }).await;
        story.write(AFTER);
        story.start();
        story.complete().await;
        story.bench.balanced().await;
        story.bench.verified(&[]);
    }

    /// The first line has lost its end and nothing else, so that it still begins as before.
    async fn the_second_cut_leaves_the_first_line_without_its_end(bench) {
        let mut story = Story::of(Kind::Alike, bench).await;
        let line = story.log[0].content.len() / BEFORE as usize;
        story.cut(|content| content[100 * line + 6..].fill(0)).await;
        story.start();
        story.daemon.as_mut().unwrap().says("goes on after the last line").await;
        story.cut(|content| content.truncate(line - 1)).await;
        story.start();
        story.daemon.as_mut().unwrap().says("no complete line").await;
        story.bench.balanced().await;
        story.bench.verified(&[]);
    }

    /// The first line is two torn ones, and what the second cut leaves are few lines.
    async fn the_second_cut_leaves_few_lines_and_the_first_is_torn(bench) {
        let mut story = Story::begin(bench).await;
        story.cut(|content| {
            let no_referer = content.windows(4).position(|bytes| bytes == b"\"-\" ").unwrap();
            content.truncate(no_referer + 4);
        }).await;
        story.write(12);
        story.start();
        story.complete().await;
        story.cut(|content| {
            let ends: Vec<usize> = (0..content.len()).filter(|&at| content[at] == b'\n').collect();
            content[ends[2] + 20..].fill(0);
        }).await;
        story.start();
        story.daemon.as_mut().unwrap().says("goes on after the last line").await;
        story.complete().await;
        story.bench.balanced().await;
        story.bench.verified(&[]);
    }

    /// What the first cut has ended goes on under the new name, too: the second cut goes back into it.
    async fn a_host_that_is_renamed_between_two_cuts_knows_both_parts(bench) {
        let mut story = Story::begin(bench).await;
        story.cut(|content| content.truncate(content.len() - TAKEN)).await;
        story.write(AFTER);
        story.start();
        story.complete().await;
        assert!(story.daemon.take().unwrap().stop().await.success());
        story.host = "new";
        story.start();
        story.daemon.as_mut().unwrap().says("this host was renamed").await;
        story.write(1);
        story.complete().await;
        story.cut(|content| content.truncate(content.len() / 2)).await;
        story.write(AFTER);
        story.start();
        story.complete().await;
        let hosts = story.bench.place.texts("SELECT DISTINCT host FROM log_file").await;
        assert_eq!(hosts, ["new"]);
        let log = story.bench.logs();
        story.bench.verified(&["--host", "new", log.to_str().unwrap()]);
    }

    /// Rows of lines in a hole stay and are counted. A row that no hole explains is a difference as ever.
    async fn verify_tells_a_hole_from_a_row_that_was_added(bench) {
        let mut story = Story::begin(bench).await;
        story.cut(|content| {
            let third = content.len() / 3;
            content[third..2 * third].fill(0);
            content.truncate(content.len() - 60);
        }).await;
        story.write(AFTER);
        story.start();
        story.complete().await;
        assert!(story.daemon.take().unwrap().stop().await.success());
        let told = story.bench.verified(&[]);
        assert!(told.sum("after_holes") > 100, "{}", told.sum("after_holes"));
        let columns = "timestamp, log_file, code, method, url, user_ip, protocol, response";
        story.bench.place.execute(&format!(
            "INSERT INTO gunicorn_log (id, log_offset, {columns})
             SELECT id + 1, log_offset + 1, {columns} FROM gunicorn_log WHERE url = '/g1/5'"
        )).await;
        let first = story.bench.differs(&[]).first();
        assert_eq!((first.0.as_str(), first.2.as_str()), ("line", "no line begins here"));
    }

    /// The first cut leaves a hole before the last lines, which shows nothing at the end; the second one takes
    /// the end. Without times, lines that are like no other one show how far the log is the same.
    async fn a_hole_before_the_end_of_what_a_later_cut_leaves_in_lines_without_a_time(bench) {
        let mut story = Story::of(Kind::Timeless, bench).await;
        let third = story.log[0].content.len() / 3;
        story.cut(|content| content[third..third + TAKEN].fill(0)).await;
        story.write(AFTER);
        story.start();
        story.complete().await;
        story.cut(|content| content.truncate(content.len() - 300)).await;
        story.write(AFTER);
        story.start();
        let found = story.complete().await;
        assert!(found.lost > 10, "{found}");
        story.bench.balanced().await;
    }

    /// Of lines that are all alike, what follows a hole proves nothing. Each cut goes back further than
    /// all before it.
    async fn each_cut_of_many_goes_back_further_in_lines_that_are_alike(bench) {
        let mut story = Story::of(Kind::Alike, bench).await;
        let line = story.log[0].content.len() / BEFORE as usize;
        for left in [900, 700, 400, 100, 50] {
            story.cut(|content| content[left * line + 5..].fill(0)).await;
            story.write(5);
            story.start();
            story.complete().await;
        }
        let begins = "SELECT CAST(first_offset AS text) FROM log_file ORDER BY id";
        let begins = story.bench.place.texts(begins).await;
        let expected = [0, 900, 700, 400, 100, 50].map(|lines| (lines * line).to_string());
        assert_eq!(begins, expected);
        story.bench.balanced().await;
        story.bench.verified(&[]);
    }

    /// The application writes when the daemon has already seen the shorter log.
    async fn the_last_4_kib_cut_off_and_more_written_to_a_running_daemon(bench) {
        let mut story = Story::begin(bench).await;
        story.cut(|content| content.truncate(content.len() - TAKEN)).await;
        story.start();
        story.daemon.as_mut().unwrap().says("WARN").await;
        story.write(AFTER);
        story.end().await;
    }
}

/// A log of which the disk has less than the store: the machine has lost its power.
async fn the_log_lost_its_unsynced_tail(place: Option<Place>) {
    let system = match FileSystem::with(Type::Ext4, "commit=300") {
        Ok(system) => system,
        Err(why) => return println!("NOT RUN: {why}"),
    };
    let on_disk = system.mount.join("log.sqlite3");
    let place = place.unwrap_or_else(|| Place::at(format!("sqlite:{}", on_disk.display())));
    let bench = Bench::in_directory(place, &system.mount).await;
    let mut story = Story::begin(bench).await;
    system.sync();
    story.write(BEFORE);
    story.complete().await;
    system.cut();
    story.daemon.take().unwrap().kill();
    system.mount_again();
    let left = fs::read(&story.log[0].path).unwrap();
    assert!(left.len() < story.log[0].content.len(), "the disk has all of it");
    story.log[0].cut(left);
    story.write(AFTER);
    story.start();
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_lost_its_unsynced_tail_and_postgres_did_not() {
    the_log_lost_its_unsynced_tail(Some(Place::postgres().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_lost_its_unsynced_tail_and_sqlite_did_not() {
    the_log_lost_its_unsynced_tail(None).await;
}
