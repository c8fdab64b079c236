//! A server with some logs that never rests: it appends and rotates until it is told to end.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use fastrand::Rng;

use crate::daemon::line;

/// Lines written at once, at most.
const BURST: u32 = 50;

/// Between two bursts, of a server that is alone.
const PAUSE: Duration = Duration::from_millis(5);

/// Bursts between two rotations, on average.
const STRIDE: u32 = 60;

/// The server waits while so many lines are not stored.
const BACKLOG: u32 = 50_000;

/// Each log has one of these ways to be rotated.
const WAYS: [&str; 3] = ["cascade", "dated", "copied"];

/// How much a server writes.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// Logs that are written at once.
    pub(crate) logs: u32,
    /// Between two bursts.
    pub(crate) pause: Duration,
}

impl Pace {
    /// Three logs without much of a pause.
    pub(crate) const BUSY: Pace = Pace { logs: WAYS.len() as u32, pause: PAUSE };
}

/// A thread that writes until it is told to end.
pub(crate) struct Server {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    ended: AtomicBool,
    /// Lines written; the next one's number.
    written: AtomicU32,
    /// Lines known to be stored.
    stored: AtomicU32,
    rotations: AtomicU32,
    /// Held while the directory changes.
    busy: Mutex<()>,
}

impl Server {
    pub(crate) fn start(directory: PathBuf, dice: Rng, pace: Pace) -> Server {
        let shared: Arc<Shared> = Arc::default();
        let theirs = Arc::clone(&shared);
        let mut writer = Writer { directory, dice, pace, shared: theirs };
        Server { shared, thread: std::thread::spawn(move || writer.work()) }
    }

    /// How many lines were written.
    pub(crate) fn written(&self) -> u32 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// How often a log was rotated.
    pub(crate) fn rotations(&self) -> u32 {
        self.shared.rotations.load(Ordering::Relaxed)
    }

    /// So many lines are stored.
    pub(crate) fn stored(&self, lines: i64) {
        self.shared.stored.store(lines as u32, Ordering::Relaxed);
    }

    /// Nothing is written or rotated while this is held.
    pub(crate) fn hold_on(&self) -> MutexGuard<'_, ()> {
        self.shared.busy.lock().unwrap()
    }

    /// Writes no more.
    pub(crate) fn end(&self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        while !self.thread.is_finished() {
            std::thread::sleep(PAUSE);
        }
    }
}

/// A rotated file that is renamed no more.
pub(super) fn is_final(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.to_string_lossy().starts_with("log-"))
}

struct Writer {
    directory: PathBuf,
    dice: Rng,
    pace: Pace,
    shared: Arc<Shared>,
}

impl Writer {
    fn work(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut written = 0;
        while !shared.ended.load(Ordering::Relaxed) {
            if written < shared.stored.load(Ordering::Relaxed) + BACKLOG {
                let busy = shared.busy.lock().unwrap();
                written += self.burst(written);
                shared.written.store(written, Ordering::Relaxed);
                drop(busy);
            }
            std::thread::sleep(self.pace.pause);
        }
    }

    /// Some lines for one of the logs, and perhaps its rotation in the middle of them.
    fn burst(&mut self, first: u32) -> u32 {
        let count = self.dice.u32(1..BURST);
        let text: String = (first..first + count).map(|n| line(&format!("/{n}"))).collect();
        // A reader may see any part of a write.
        let (begin, rest) = text.split_at(self.dice.usize(..text.len()));
        let nth = self.dice.u32(..self.pace.logs);
        let way = WAYS[nth as usize % WAYS.len()];
        let log = &match nth as usize / WAYS.len() {
            0 => way.to_owned(),
            more => format!("{way}{more}"),
        };
        let path = self.path(log);
        let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        file.write_all(begin.as_bytes()).unwrap();
        let rotates = self.dice.u32(..STRIDE) == 0;
        if rotates && way != "copied" {
            self.rename(way, log);
        }
        // After a rename: by a worker that has not opened its log anew.
        file.write_all(rest.as_bytes()).unwrap();
        if rotates && way == "copied" {
            self.copy_truncate(log, &path, &file);
        }
        count
    }

    fn path(&self, log: &str) -> PathBuf {
        self.directory.join(format!("{log}.log"))
    }

    /// A name that no file has or ever had.
    fn dated(&self, log: &str) -> PathBuf {
        let number = self.shared.rotations.fetch_add(1, Ordering::Relaxed);
        self.directory.join(format!("{log}.log-{number:06}"))
    }

    fn rename(&self, way: &str, log: &str) {
        let mut to = self.dated(log);
        if way == "cascade" {
            for slot in (1..=3).rev() {
                let from = self.directory.join(format!("{log}.log.{slot}"));
                if from.exists() {
                    fs::rename(&from, &to).unwrap();
                }
                to = from;
            }
        }
        fs::rename(self.path(log), to).unwrap();
    }

    /// The copy lies beside the log, so its rest can be read there.
    fn copy_truncate(&self, log: &str, path: &Path, file: &File) {
        fs::copy(path, self.dated(log)).unwrap();
        file.set_len(0).unwrap();
    }
}
