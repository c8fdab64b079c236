//! Power cuts by bytes: while the daemon is down, what a file system may leave of a log is written
//! into it by hand. Many logs lie in one directory, so that one kill and one start are thousands of
//! cuts a minute.

use std::cmp::Reverse;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::archives::{KINDS as ARCHIVES, compress};
use crate::daemon::{Bench, Daemon};
use crate::place::Place;
use crate::postgres::Cluster;

use super::judge::{Demand, Findings, Log, examine, same_bytes};
use super::stored::Stored;
use super::text::{KINDS, Kind};
use super::{cuts, differences, seed};

/// Cuts in a test run.
const FEW: u64 = 60;

/// Logs in a directory.
const LOGS: usize = 200;

/// Cuts of the same directory, one after the other; then a new one is made.
const ROUNDS: u32 = 5;

/// A block of most file systems, bytes.
const BLOCK: usize = 4096;

/// How long a daemon may take until the next line is stored.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn by_bytes_lose_and_double_nothing_on_postgres() {
    let cluster = Cluster::start();
    play(cuts("BYTE_CUTS", FEW), Some(&cluster)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_bytes_lose_and_double_nothing_on_sqlite() {
    play(cuts("BYTE_CUTS", FEW), None).await;
}

/// Plays so many cuts; each directory has a seed of its own, which plays it again.
pub(super) async fn play(cuts: u64, cluster: Option<&Cluster>) {
    let store = if cluster.is_some() { "postgres" } else { "sqlite" };
    let (first, began) = (seed(), Instant::now());
    println!("{store}, seed {first}: {cuts} cuts by bytes");
    let (mut done, mut lost, mut lines, mut directories) = (0, 0, 0, 0);
    while done < cuts {
        let place = match cluster {
            Some(cluster) => Place::at(cluster.database().await),
            None => Place::sqlite().await,
        };
        let mut directory = Directory::new(Bench::new(place).await, first + directories);
        for round in 0..ROUNDS {
            if let Err(what) = directory.round().await {
                panic!(
                    "{store}, seed {}, cut {} of this directory, {what}\n\n{}\nagain: \
                     tests/torture --byte-cuts {} --store {store} --seed {}\n",
                    directory.seed,
                    round + 1,
                    directory.said(&what),
                    directory.done + 1,
                    directory.seed,
                );
            }
            if done + directory.done >= cuts {
                break;
            }
        }
        (done, lost, lines) =
            (done + directory.done, lost + directory.judged.lost, lines + directory.judged.lines);
        directories += 1;
        if let Some(cluster) = cluster {
            let name = directory.bench.place.url.rsplit('/').next().unwrap();
            cluster.administer(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
    println!(
        "{store}, seeds {first} to {}: {done} cuts by bytes in {:.0} s; {lines} lines in the logs, \
         each stored once; {lost} more rows of lines that the logs lost",
        first + directories - 1,
        began.elapsed().as_secs_f64()
    );
}

/// A directory with many logs, their daemon and its store.
struct Directory {
    bench: Bench,
    seed: u64,
    dice: Rng,
    logs: Vec<Log>,
    /// Of each of the logs, in the same order.
    written: Vec<Written>,
    generations: u32,
    /// How many times logs were rotated.
    rotations: u32,
    /// Cuts so far.
    done: u64,
    /// The last findings, all of them right.
    judged: Findings,
}

/// How a log is written.
struct Written {
    kind: Kind,
    /// That of all logs which are made at the same time.
    probe: u32,
    /// The number of its next line.
    next: u32,
    /// Which application writes to it; `None` once it is rotated.
    site: Option<usize>,
    /// Whether a daemon had the time to find it.
    seen: bool,
    /// Whether it was truncated, and its copy is still to be found.
    has_copy: bool,
}

impl Directory {
    fn new(bench: Bench, seed: u64) -> Directory {
        let mut directory = Directory {
            bench,
            seed,
            dice: Rng::with_seed(seed),
            logs: Vec::new(),
            written: Vec::new(),
            generations: 0,
            rotations: 0,
            done: 0,
            judged: Findings::default(),
        };
        for site in 0..LOGS {
            let kind = KINDS[directory.dice.usize(..KINDS.len())];
            directory.create(site, kind);
        }
        directory
    }

    /// Lines are stored, the power is cut in the middle of more, and what the logs have then is
    /// stored, once.
    async fn round(&mut self) -> Result<(), String> {
        let early = self.dice.bool();
        let mut daemon = if early { Some(self.start()) } else { None };
        for nth in 0..self.logs.len() {
            let most = if self.logs[nth].content.is_empty() { 80 } else { 20 };
            let lines = self.dice.u32(1..most);
            self.append(nth, lines);
        }
        let daemon = daemon.take().unwrap_or_else(|| self.start());
        self.complete("before the cut").await?;
        self.rotate_some();
        for nth in 0..self.logs.len() {
            let lines = self.dice.u32(..12);
            self.append(nth, lines);
            if self.dice.u32(..8) == 0 {
                self.begin(nth);
            }
        }
        // The moment is random: the test waits for nothing.
        tokio::time::sleep(Duration::from_millis(self.dice.u64(..150))).await;
        daemon.kill();
        self.bench.place.until_alone().await;
        self.judge(Demand::Partial).await?;
        for nth in 0..self.logs.len() {
            self.cut(nth);
        }
        self.rename_some();
        let restarted_first = self.dice.bool();
        let daemon = if restarted_first {
            self.write_again();
            self.start()
        } else {
            let daemon = self.start();
            tokio::time::sleep(Duration::from_millis(self.dice.u64(..400))).await;
            self.write_again();
            daemon
        };
        self.complete("after the cut").await?;
        differences(&self.bench, PATIENCE, &[]).await.map_or(Ok(()), Err)?;
        self.bench.balanced().await;
        if self.dice.bool() {
            daemon.kill();
        } else {
            assert!(daemon.stop().await.success(), "the stop failed: {}", self.bench.said());
        }
        Ok(())
    }

    /// The application starts again and writes, directly after what the cut has left.
    fn write_again(&mut self) {
        for nth in 0..self.logs.len() {
            // A log needs lines of its format to be known by.
            let few = if self.logs[nth].stored() < 4 { 4 } else { 0 };
            let lines = self.dice.u32(few..few + 12);
            self.append(nth, lines);
        }
    }

    fn start(&self) -> Daemon {
        self.bench.watch_with(&[
            "--log-level",
            "debug",
            "--connect-timeout",
            "60s",
            "--retention",
            "off",
        ])
    }

    /// What the daemon has said of the first log that is named in a failure, and what was done to it.
    fn said(&self, what: &str) -> String {
        let name = |log: &Log| log.path.file_name().unwrap().to_string_lossy().into_owned();
        let named = self.logs.iter().filter_map(|log| Some((what.find(&*name(log))?, log)));
        let Some((_, log)) = named.min_by_key(|(at, log)| (*at, Reverse(name(log).len()))) else {
            return String::new();
        };
        let (name, said) = (name(log), self.bench.said());
        let site = name.split('-').next().unwrap();
        let file = what.split_once("file ").and_then(|(_, rest)| rest.split(' ').next());
        let file = file.map(|number| format!(" file={number} "));
        let is_told = |line: &&str| {
            line.contains(site) || file.as_ref().is_some_and(|file| line.contains(file))
        };
        let told: Vec<&str> = said.lines().filter(is_told).collect();
        format!("{name}: {}\n{}", log.history(), told.join("\n"))
    }

    /// Waits until every line is stored, or nothing more comes.
    async fn complete(&mut self, when: &str) -> Result<(), String> {
        let (mut last, mut since) = (u64::MAX, Instant::now());
        loop {
            let asked = Instant::now();
            let findings = self.look(Demand::Complete).await;
            if findings.is_right() {
                self.judged = findings;
                for written in &mut self.written {
                    (written.seen, written.has_copy) = (true, false);
                }
                return Ok(());
            }
            if findings.missing < last {
                (last, since) = (findings.missing, Instant::now());
            }
            if !findings.may_become_right() || since.elapsed() > PATIENCE {
                return Err(format!("{when}: {findings}"));
            }
            // To read many rows takes the time of the daemon that stores them.
            tokio::time::sleep(asked.elapsed().max(Duration::from_millis(20))).await;
        }
    }

    async fn judge(&mut self, demand: Demand) -> Result<(), String> {
        let findings = self.look(demand).await;
        if findings.is_right() { Ok(()) } else { Err(findings.to_string()) }
    }

    async fn look(&mut self, demand: Demand) -> Findings {
        examine(&mut self.logs, &Stored::read(&self.bench.place).await, demand)
    }

    /// Makes the log of a site, which is empty.
    fn create(&mut self, site: usize, kind: Kind) -> usize {
        self.generations += 1;
        let path = self.bench.log(&format!("site{site:03}.log"));
        let inode = fs::File::create_new(&path).unwrap().metadata().unwrap().ino();
        let mut log = Log::new(self.generations, path, inode);
        log.note(&format!("{kind:?}"));
        self.logs.push(log);
        let written = Written {
            kind,
            probe: self.rotations,
            next: 0,
            site: Some(site),
            seen: true,
            has_copy: false,
        };
        self.written.push(written);
        self.logs.len() - 1
    }

    fn append(&mut self, nth: usize, lines: u32) {
        let (log, written) = (&mut self.logs[nth], &mut self.written[nth]);
        if written.site.is_none() || lines == 0 {
            return;
        }
        let numbers = written.next..written.next + lines;
        written.next += lines;
        let text: String =
            numbers.map(|nth| written.kind.line(log.generation, nth, written.probe)).collect();
        log.note(&format!("{lines} lines"));
        log.wrote(&text);
        // A reader may see any part of a write.
        let (first, rest) = text.split_at(self.dice.usize(..text.len()));
        put(log, first.as_bytes());
        put(log, rest.as_bytes());
    }

    /// A line without its end, which is never written.
    fn begin(&mut self, nth: usize) {
        let (log, written) = (&mut self.logs[nth], &mut self.written[nth]);
        if written.site.is_some() {
            let text = written.kind.line(log.generation, written.next, written.probe);
            written.next += 1;
            log.note("part of a line");
            put(log, &text.as_bytes()[..self.dice.usize(1..text.len() - 1)]);
        }
    }

    /// Damages a log as a power cut does; some are spared.
    fn cut(&mut self, nth: usize) {
        let (log, dice) = (&mut self.logs[nth], &mut self.dice);
        let is_rotated = self.written[nth].site.is_none();
        let spared = dice.u32(..8) < if is_rotated { 6 } else { 1 };
        if spared || log.is_archive || log.content.is_empty() || !self.written[nth].seen {
            return;
        }
        let (content, what) = damaged(&log.content, dice);
        if content == log.content {
            return;
        }
        let alike = same_bytes(&log.content, &content);
        let file = OpenOptions::new().write(true).open(&log.path).unwrap();
        file.write_all_at(&content[alike..], alike as u64).unwrap();
        file.set_len(content.len() as u64).unwrap();
        log.note(&what);
        log.cut(content);
        self.done += 1;
    }

    /// Rotates some logs by a rename, between the cut and the next start.
    fn rename_some(&mut self) {
        self.rotations += 1;
        for nth in 0..self.logs.len() {
            let written = &self.written[nth];
            // Without times, only a truncated log in its place says that another file is its copy.
            let is_proof = written.has_copy && written.kind == Kind::Timeless;
            // A log that the store does not know says by its own lines how it is read. Where a cut has torn
            // most of them the daemon says that it leaves it alone, until the application writes more.
            let is_known = self.logs[nth].stored() > 0;
            if written.site.is_some() && is_known && !is_proof && self.dice.u32(..12) == 0 {
                self.rename(nth);
            }
        }
    }

    /// Rotates or compresses some logs of which everything is stored.
    fn rotate_some(&mut self) {
        self.rotations += 1;
        for nth in 0..self.logs.len() {
            let known = self.written[nth].kind.is_known_by_content();
            match (self.dice.u32(..24), self.written[nth].site) {
                (0 | 1, Some(_)) => self.rename(nth),
                (2, Some(site)) if known => self.copy_truncate(nth, site),
                (0..4, None) if known && !self.logs[nth].is_archive => self.compress(nth),
                _ => {}
            }
        }
    }

    fn rename(&mut self, nth: usize) {
        let to = self.rotated(nth);
        fs::rename(&self.logs[nth].path, &to).unwrap();
        self.logs[nth].path = to;
        self.logs[nth].note("renamed");
        let site = self.written[nth].site.take().unwrap();
        self.create(site, self.written[nth].kind);
    }

    /// The copy has what was written so far; the log begins again in the same object.
    fn copy_truncate(&mut self, nth: usize, site: usize) {
        let to = self.rotated(nth);
        let log = &mut self.logs[nth];
        fs::copy(&log.path, &to).unwrap();
        OpenOptions::new().write(true).open(&log.path).unwrap().set_len(0).unwrap();
        let (path, inode) = (log.path.clone(), log.inode);
        log.inode = fs::metadata(&to).unwrap().ino();
        log.path = to;
        log.note("copied");
        self.generations += 1;
        let mut next = Log::new(self.generations, path, inode);
        next.note("truncated");
        self.logs.push(next);
        let written = &mut self.written[nth];
        written.site = None;
        // A copy that was cut before a daemon saw it is a log that only begins like another.
        written.seen = false;
        let kind = written.kind;
        let probe = self.rotations;
        let site = Some(site);
        self.written.push(Written { kind, probe, next: 0, site, seen: true, has_copy: true });
    }

    fn compress(&mut self, nth: usize) {
        let log = &mut self.logs[nth];
        if log.content.is_empty() {
            return;
        }
        let kind = ARCHIVES[self.dice.usize(..ARCHIVES.len())];
        // Seen whole or not at all: `mv` of what was compressed elsewhere.
        let made = self.bench.aside("made");
        fs::write(&made, compress(kind, &log.content)).unwrap();
        let mut name = log.path.clone().into_os_string();
        name.push(format!(".{kind}"));
        fs::rename(made, &name).unwrap();
        fs::remove_file(&log.path).unwrap();
        log.path = name.into();
        log.is_archive = true;
        log.note(&format!("compressed, {kind}"));
    }

    /// A name that no file has or ever had.
    fn rotated(&self, nth: usize) -> PathBuf {
        let name = self.logs[nth].path.file_name().unwrap().to_str().unwrap();
        self.bench.log(&format!("{name}-{:06}", self.generations))
    }
}

fn put(log: &mut Log, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).open(&log.path).unwrap();
    file.write_all(bytes).unwrap();
    log.content.extend_from_slice(bytes);
}

/// What a file system may leave of some content, and what was done.
fn damaged(content: &[u8], dice: &mut Rng) -> (Vec<u8>, String) {
    let size = content.len();
    let mut left = content.to_vec();
    let first_line = content.iter().position(|&byte| byte == b'\n').map_or(size, |at| at + 1);
    let last_line =
        content[..size - 1].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let block = |at: usize| at / BLOCK * BLOCK;
    let what = match dice.u32(..20) {
        0 => {
            left.clear();
            "emptied".to_owned()
        }
        1 => {
            left.truncate(dice.usize(..first_line));
            format!("cut to {} bytes, in its first line", left.len())
        }
        2..=5 => {
            left.truncate(dice.usize(last_line..size));
            format!("cut to {} bytes, in its last line", left.len())
        }
        6..=8 => {
            left.truncate(dice.usize(..size));
            format!("cut to {} bytes", left.len())
        }
        9 | 10 => {
            left.truncate(block(size - 1));
            format!("cut to {} bytes, whole blocks", left.len())
        }
        11..=13 => {
            let from = dice.usize(..size);
            left[from..].fill(0);
            format!("NULs from {from} to {size}")
        }
        14 | 15 => {
            let from = block(size - 1);
            left[from..].fill(0);
            format!("NULs from {from} to {size}, whole blocks")
        }
        16 => {
            // The size reached the disk and the bytes did not; or a hole was left before a write.
            let more = dice.usize(1..2 * BLOCK);
            left.resize(size + more, 0);
            format!("{more} NULs at the end")
        }
        17 => {
            let from = dice.usize(..size);
            left.truncate(from + dice.usize(..=size - from));
            left[from..].fill(0);
            format!("cut to {} bytes, NULs from {from}", left.len())
        }
        _ => {
            let to = if dice.bool() { dice.usize(size / 2..size) } else { block(size - 1) };
            let length = size - to;
            let from = dice.usize(..=to.saturating_sub(length).min(to));
            let end = (from + length).min(to.max(from));
            let older = content[from..end].to_vec();
            left[to..to + older.len()].copy_from_slice(&older);
            format!("bytes {from} to {end} again at {to}, of {size}")
        }
    };
    (left, what)
}
