//! A machine that loses its power: logs, spool and store lie on a file system that is shut down
//! while applications write and a daemon stores, and mounted again. What was synced is there, and
//! what the file system chose to keep of the rest.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tempfile::TempDir;

use crate::daemon::{Bench, Daemon};
use crate::place::Place;
use crate::postgres::Cluster;
use crate::streams::{hold_open, make_fifo};

use super::file_system::{FileSystem, Type};
use super::judge::{Demand, Findings, Log, examine};
use super::stored::Stored;
use super::streams::Stream;
use super::text::Kind;
use super::{bytes, cuts, differences, seed};

/// Cuts in a test run.
const FEW: u64 = 4;

/// Cuts of one machine, one after the other; then a new one is made.
const CUTS: u64 = 8;

/// How long a daemon lives until the power is cut, milliseconds.
const LIFE: std::ops::Range<u64> = 30..700;

/// Between two bursts of the applications.
const PAUSE: Duration = Duration::from_millis(8);

/// Lines written at once, at most.
const BURST: u32 = 20;

/// Bursts of a log between two rotations, on average.
const STRIDE: u32 = 50;

/// How long a daemon may take until the next line is stored.
const PATIENCE: Duration = Duration::from_secs(60);

/// The logs: what their lines are like, and of how many bursts one is synced; 0 is never.
const LOGS: [(Kind, u32); 6] = [
    (Kind::Timed, 1),
    (Kind::Timed, 10),
    (Kind::Timed, 0),
    (Kind::Probed, 0),
    (Kind::Timeless, 10),
    (Kind::Alike, 10),
];

/// Standard input and a FIFO.
const STREAMS: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn real_ones_lose_and_double_nothing_on_postgres() {
    let cluster = Cluster::start();
    play(cuts("POWER_CUTS", FEW), Some(&cluster)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_ones_lose_and_double_nothing_on_sqlite() {
    play(cuts("POWER_CUTS", FEW), None).await;
}

/// Plays so many cuts, on each type of file system in turn. Where there are none, the same number of
/// cuts is played by bytes.
async fn play(cuts: u64, cluster: Option<&Cluster>) {
    let store = if cluster.is_some() { "postgres" } else { "sqlite" };
    let (first, began) = (seed(), Instant::now());
    println!("{store}, seed {first}: {cuts} power cuts");
    let (mut done, mut machines, mut sums) = (0, 0, Sums::default());
    while done < cuts {
        let seed = first + machines;
        let kind = if seed % 2 == 0 { Type::Ext4 } else { Type::Xfs };
        let mut dice = Rng::with_seed(seed);
        let system = match FileSystem::new(kind, &mut dice) {
            Ok(system) => system,
            Err(why) => {
                println!("NOT RUN on {}: {why}; the same cuts by bytes instead", kind.name());
                return bytes::play(cuts, cluster).await;
            }
        };
        let mut machine = Machine::new(system, dice, cluster).await;
        println!("{store}, seed {seed}: {}", machine.about);
        machine.start();
        for nth in 0..CUTS.min(cuts - done) {
            if let Err(what) = machine.lose_power().await {
                machine.end().await;
                panic!(
                    "{store}, seed {seed}, cut {} of this machine ({}): {what}\n\n{}\nagain: \
                     tests/torture --power-cuts {} --store {store} --seed {seed}\n",
                    nth + 1,
                    machine.about,
                    machine.said(),
                    nth + 1,
                );
            }
        }
        done += CUTS.min(cuts - done);
        machines += 1;
        sums.add(&machine);
        machine.end().await;
    }
    println!(
        "{store}, seeds {first} to {}: {done} power cuts in {:.0} s; {} lines in the logs and {} of \
         streams, each stored once; {} more rows of lines that the logs lost; {} cuts left the store \
         with more of a log than the log",
        first + machines - 1,
        began.elapsed().as_secs_f64(),
        sums.lines,
        sums.of_streams,
        sums.lost,
        sums.ahead
    );
}

/// What was seen, over all machines.
#[derive(Debug, Default)]
struct Sums {
    lines: u64,
    of_streams: u64,
    lost: u64,
    ahead: u64,
}

impl Sums {
    fn add(&mut self, machine: &Machine<'_>) {
        self.lines += machine.judged.lines;
        self.lost += machine.judged.lost;
        self.ahead += machine.ahead;
        self.of_streams +=
            machine.lock().streams.iter().map(|it| u64::from(it.written())).sum::<u64>();
    }
}

/// The machine: applications, a daemon, a store, and the disk under them.
struct Machine<'a> {
    about: String,
    dice: Rng,
    applications: Arc<Mutex<Applications>>,
    thread: Option<JoinHandle<()>>,
    daemon: Option<Daemon>,
    daemons: u32,
    bench: Bench,
    /// The server whose data is on this disk.
    own_server: Option<Cluster>,
    /// The server on another disk.
    server: Option<&'a Cluster>,
    /// On another disk: FIFO, and what daemons say.
    aside: TempDir,
    spool: PathBuf,
    judged: Findings,
    /// Cuts that left more in the store than in the log.
    ahead: u64,
    /// Dropped last, when nothing on it is open.
    system: FileSystem,
}

impl<'a> Machine<'a> {
    async fn new(system: FileSystem, mut dice: Rng, server: Option<&'a Cluster>) -> Machine<'a> {
        let aside = tempfile::tempdir().unwrap();
        let is_here = dice.u32(..4) > if server.is_some() { 1 } else { 0 };
        let (mut own_server, mut about) = (None, String::new());
        let place = match server {
            Some(cluster) if !is_here => Place::at(cluster.database().await),
            Some(_) => {
                // Whatever the database's default, what is stored must not be lost.
                let commit = if dice.bool() { "on" } else { "off" };
                about = format!(" with synchronous_commit={commit}");
                let settings = format!("-c fsync=on -c synchronous_commit={commit}");
                let cluster = own_server.insert(Cluster::start_in(&system.mount, &settings));
                Place::at(cluster.database().await)
            }
            None => {
                let directory = if is_here { &system.mount } else { aside.path() };
                Place::at(format!("sqlite:{}", directory.join("store/log.sqlite3").display()))
            }
        };
        let about = format!(
            "{} with {}, the store on {}{about}",
            system.kind.name(),
            system.options,
            if is_here { "it" } else { "another disk" }
        );
        let bench = Bench::in_directory(place, &system.mount).await;
        let applications = Applications {
            directory: bench.logs(),
            dice: dice.fork(),
            logs: Vec::new(),
            next: Vec::new(),
            sites: LOGS.map(|(kind, _)| Site { kind, file: None, log: None }).into(),
            streams: (0..STREAMS).map(Stream::new).collect(),
            generations: 0,
            has_power: true,
            ended: false,
        };
        let applications = Arc::new(Mutex::new(applications));
        let theirs = Arc::clone(&applications);
        let thread = std::thread::spawn(move || work(&theirs));
        make_fifo(&aside.path().join("fifo"));
        let spool = bench.aside("spool");
        system.sync();
        Machine {
            about,
            dice,
            applications,
            thread: Some(thread),
            daemon: None,
            daemons: 0,
            bench,
            own_server,
            server,
            aside,
            spool,
            judged: Findings::default(),
            ahead: 0,
            system,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Applications> {
        self.applications.lock().unwrap()
    }

    /// Starts the daemon, and the streams into it.
    fn start(&mut self) {
        self.daemons += 1;
        let (reader, writer) = io::pipe().unwrap();
        let (fifo, logs) = (self.aside.path().join("fifo"), self.bench.logs());
        let limit = if self.dice.bool() { "256KiB" } else { "1GiB" };
        let mut command = self.bench.command(&[
            "--connect-timeout",
            "60s",
            "--retention",
            "off",
            "--poll-interval",
            "100ms",
            "--spool-limit",
            limit,
            "--spool-dir",
        ]);
        command.arg(&self.spool).arg("--watch").args([&logs, Path::new("-"), &fifo]);
        let said = self.aside.path().join(format!("said{}", self.daemons));
        self.daemon = Some(Daemon::reading(command, said, reader));
        let mut applications = self.lock();
        applications.streams[0].open(File::from(OwnedFd::from(writer)));
        applications.streams[1].open(hold_open(&fifo));
    }

    /// The power is cut at some moment and comes back. Then everything is stored once.
    async fn lose_power(&mut self) -> Result<(), String> {
        if self.dice.bool() {
            let before = self.bench.stored().await;
            let end = Instant::now() + PATIENCE;
            while self.bench.stored().await <= before && Instant::now() < end {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        // The moment is random: the test waits for nothing.
        tokio::time::sleep(Duration::from_millis(self.dice.u64(LIFE))).await;
        let removed: Vec<BTreeSet<u32>> =
            self.lock().streams.iter().map(|stream| stream.removed(&self.spool)).collect();
        let seen = Stored::read(&self.bench.place).await;
        self.system.cut();
        self.daemon.take().unwrap().kill();
        if let Some(server) = &self.own_server {
            server.kill_all();
        }
        self.lock().lose_power();
        self.system.mount_again();
        if let Some(server) = &self.own_server {
            server.start_again();
        }
        self.bench.place.until_alone().await;
        self.come_back(&seen, &removed).await?;
        let applications_first = self.dice.bool();
        self.lock().has_power = applications_first;
        self.start();
        tokio::time::sleep(Duration::from_millis(self.dice.u64(..400))).await;
        self.lock().has_power = true;
        tokio::time::sleep(Duration::from_millis(self.dice.u64(..200))).await;
        self.complete().await
    }

    /// What is stored now is what was stored before, and what the logs have is what they go on with.
    async fn come_back(&mut self, seen: &Stored, removed: &[BTreeSet<u32>]) -> Result<(), String> {
        let mut stored = self.stored_while_down().await;
        for (file, offset, entry) in seen.entries() {
            let now = stored.files.get(&file.id).and_then(|file| file.entries.get(&offset));
            if now != Some(entry) {
                return Err(format!(
                    "file {} of the store ({}) had {entry} at {offset} before the cut, and has \
                     {now:?} after it: the store said that it was stored",
                    file.id, file.path
                ));
            }
        }
        let of_spool = stored.take_those_in(&self.spool);
        let mut applications = self.applications.lock().unwrap();
        let applications = &mut *applications;
        let findings = examine(&mut applications.logs, &stored, Demand::Partial);
        if !findings.is_right() {
            return Err(format!("before the cut: {findings}"));
        }
        for (stream, removed) in applications.streams.iter_mut().zip(removed) {
            let wrong = stream.cut(&self.spool, &of_spool, removed);
            if let Some(first) = wrong.first() {
                return Err(format!("{} lines, the first: {first}", wrong.len()));
            }
        }
        let before: Vec<usize> = applications.logs.iter().map(Log::stored).collect();
        applications.find_logs();
        let after = applications.logs.iter().map(Log::stored);
        self.ahead +=
            u64::from(before.into_iter().zip(after).any(|(before, after)| after < before));
        Ok(())
    }

    /// What the store has while no daemon runs. SQLite's files are copied first: a program that opens
    /// them would finish what the daemon is to finish.
    async fn stored_while_down(&self) -> Stored {
        let Some(path) = self.bench.place.url.strip_prefix("sqlite:") else {
            return Stored::read(&self.bench.place).await;
        };
        let copies = tempfile::tempdir().unwrap();
        let copy = copies.path().join("copy.sqlite3");
        for end in ["", "-wal"] {
            let from = format!("{path}{end}");
            if Path::new(&from).exists() {
                fs::copy(from, format!("{}{end}", copy.display())).unwrap();
            }
        }
        Stored::read(&Place::at(format!("sqlite:{}", copy.display()))).await
    }

    /// Waits, while the applications do, until everything is stored; then holds all against all.
    async fn complete(&mut self) -> Result<(), String> {
        let applications = Arc::clone(&self.applications);
        applications.lock().unwrap().has_power = false;
        let (mut last, mut since) = (u64::MAX, Instant::now());
        loop {
            let asked = Instant::now();
            let mut stored = Stored::read(&self.bench.place).await;
            let of_spool = stored.take_those_in(&self.spool);
            let (findings, missing) = {
                let mut all = applications.lock().unwrap();
                let findings = examine(&mut all.logs, &stored, Demand::Complete);
                let mut missing = findings.missing;
                for stream in &mut all.streams {
                    let waits = stream.write_rest();
                    let (of_stream, wrong) = stream.examine(&of_spool);
                    if let Some(first) = wrong.first() {
                        return Err(format!("{} lines of streams: {first}", wrong.len()));
                    }
                    missing += of_stream + u64::from(waits);
                }
                (findings, missing)
            };
            if findings.is_right() && missing == 0 {
                self.judged = findings;
                break;
            }
            if missing < last {
                (last, since) = (missing, Instant::now());
            }
            if !findings.may_become_right() || since.elapsed() > PATIENCE {
                let of_streams = missing - findings.missing;
                return Err(format!("{findings}\n{of_streams} lines of streams are missing"));
            }
            // To read many rows takes the time of the daemon that stores them.
            tokio::time::sleep(asked.elapsed().max(Duration::from_millis(20))).await;
        }
        if self.daemon.as_mut().is_some_and(Daemon::has_ended) {
            return Err("the daemon has ended by itself".to_owned());
        }
        self.bench.balanced().await;
        let holes: Vec<PathBuf> = {
            let all = applications.lock().unwrap();
            let logs = all.logs.iter().filter(|log| log.has_hole()).map(|log| log.path.clone());
            logs.chain(self.holed_spool_files()).collect()
        };
        if let Some(what) = differences(&self.bench, PATIENCE, &holes).await {
            return Err(what);
        }
        applications.lock().unwrap().has_power = true;
        Ok(())
    }

    /// Files of the spool in which the disk has left NULs: one in the middle of what is stored is a hole that
    /// only `verify` finds.
    fn holed_spool_files(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.spool) else { return Vec::new() };
        let has_nul = |path: &PathBuf| fs::read(path).is_ok_and(|content| content.contains(&0));
        entries.flatten().map(|entry| entry.path()).filter(has_nul).collect()
    }

    /// What the last two daemons warned of.
    fn said(&self) -> String {
        let mut said = String::new();
        for nth in self.daemons.saturating_sub(1).max(1)..=self.daemons {
            let text = fs::read_to_string(self.aside.path().join(format!("said{nth}")));
            let text = text.unwrap_or_default();
            let loud = text.lines().filter(|line| line.contains("WARN") || line.contains("ERROR"));
            said += &loud.take(12).map(|line| format!("{line}\n")).collect::<String>();
            said += "---\n";
        }
        said
    }

    /// Ends everything that has a file open on the disk.
    async fn end(&mut self) {
        {
            let mut applications = self.lock();
            applications.ended = true;
            applications.lose_power();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        if let Some(daemon) = self.daemon.take() {
            daemon.kill();
        }
        if let Some(own) = self.own_server.take() {
            own.kill_all();
        } else if let Some(server) = self.server {
            let name = self.bench.place.url.rsplit('/').next().unwrap();
            server.administer(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        if let Some(server) = &self.own_server {
            server.kill_all();
        }
    }
}

/// The applications, whose logs and streams end with the power.
struct Applications {
    directory: PathBuf,
    dice: Rng,
    logs: Vec<Log>,
    /// The number of the next line of each log.
    next: Vec<u32>,
    sites: Vec<Site>,
    streams: Vec<Stream>,
    generations: u32,
    has_power: bool,
    ended: bool,
}

/// One log that is written.
struct Site {
    kind: Kind,
    file: Option<File>,
    /// Which of all logs it writes to.
    log: Option<usize>,
}

/// Writes until it is told to end.
fn work(applications: &Mutex<Applications>) {
    loop {
        let mut all = applications.lock().unwrap();
        if all.ended {
            return;
        }
        if all.has_power {
            all.burst();
        }
        drop(all);
        std::thread::sleep(PAUSE);
    }
}

impl Applications {
    /// Some lines for a log and a stream. A disk without power refuses them.
    fn burst(&mut self) {
        let stream = self.dice.usize(..self.streams.len());
        self.streams[stream].burst(&mut self.dice);
        let site = self.dice.usize(..self.sites.len());
        if self.write(site).is_err() {
            self.sites[site].file = None;
            self.has_power = false;
        }
    }

    fn write(&mut self, site: usize) -> io::Result<()> {
        let path = self.directory.join(format!("site{site}.log"));
        if self.sites[site].file.is_none() {
            self.open(site, &path)?;
        }
        let (kind, nth) = (self.sites[site].kind, self.sites[site].log.unwrap());
        let next = self.next[nth];
        let lines = self.dice.u32(1..BURST);
        self.next[nth] += lines;
        let generation = self.logs[nth].generation;
        let text: String =
            (next..next + lines).map(|it| kind.line(generation, it, generation)).collect();
        self.logs[nth].wrote(&text);
        let (first, rest) = text.split_at(self.dice.usize(..text.len()));
        self.put(site, first)?;
        let rotates = self.dice.u32(..STRIDE) == 0;
        if rotates {
            let to = self.directory.join(format!("site{site}.log-{:06}", self.generations));
            fs::rename(&path, &to)?;
            self.logs[nth].path = to;
            self.logs[nth].note("renamed");
        }
        // After a rename: by a worker that has not opened its log anew.
        self.put(site, rest)?;
        let syncs = LOGS[site].1;
        if syncs > 0 && self.dice.u32(..syncs) == 0 {
            self.sites[site].file.as_ref().unwrap().sync_data()?;
            let size = self.logs[nth].content.len();
            self.logs[nth].note(&format!("synced {size}"));
        }
        if rotates {
            self.sites[site].file = None;
        }
        Ok(())
    }

    /// Opens a log to append to it, and makes it if it is not there.
    fn open(&mut self, site: usize, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let inode = file.metadata()?.ino();
        let is_it = |log: &Log| log.path == path && log.inode == inode;
        let known = self.logs.iter().rposition(is_it);
        let nth = known.unwrap_or_else(|| {
            self.generations += 1;
            self.next.push(0);
            self.logs.push(Log::new(self.generations, path.to_owned(), inode));
            self.logs.len() - 1
        });
        self.sites[site].log = Some(nth);
        self.sites[site].file = Some(file);
        Ok(())
    }

    /// Writes a text, and notes as much of it as the disk took.
    fn put(&mut self, site: usize, text: &str) -> io::Result<()> {
        let Site { file, log, .. } = &mut self.sites[site];
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (written, left) = rest.split_at(file.as_mut().unwrap().write(rest)?);
            self.logs[log.unwrap()].content.extend_from_slice(written);
            rest = left;
        }
        Ok(())
    }

    /// Nothing is written any more, and nothing is open.
    fn lose_power(&mut self) {
        self.has_power = false;
        self.sites.iter_mut().for_each(|site| site.file = None);
        self.streams.iter_mut().for_each(Stream::close);
    }

    /// Finds each log where the disk has it now, with what is left of it.
    fn find_logs(&mut self) {
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(&self.directory).unwrap() {
            let path = entry.unwrap().path();
            let (content, inode) = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().ino());
            let nth = self.logs.iter().rposition(|log| log.inode == inode);
            let nth = nth.unwrap_or_else(|| panic!("no application made {}", path.display()));
            let log = &mut self.logs[nth];
            log.note(&format!("cut from {} to {} bytes", log.content.len(), content.len()));
            log.path = path;
            log.cut(content);
            found.insert(nth);
        }
        for (_, log) in self.logs.iter_mut().enumerate().filter(|(nth, _)| !found.contains(nth)) {
            log.note("gone");
            log.inode = 0;
            log.cut(Vec::new());
        }
    }
}
