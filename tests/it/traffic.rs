//! A server that writes and rotates its log without a pause, while a test breaks things.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::daemon::line;

/// Lines written at once, at most.
const BURST: u32 = 25;

/// Between two bursts.
const PAUSE: Duration = Duration::from_millis(5);

/// A thread that writes until it is told to end.
pub(crate) struct Traffic {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Vec<String>>,
}

impl Traffic {
    /// Writes into `access.log` of a directory, and renames it now and then.
    pub(crate) fn in_directory(directory: PathBuf) -> Traffic {
        let ended = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ended);
        let thread = std::thread::spawn(move || write(&directory, &told));
        Traffic { ended, thread }
    }

    /// The urls of all lines.
    pub(crate) fn end(self) -> Vec<String> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn write(directory: &Path, ended: &AtomicBool) -> Vec<String> {
    let path = directory.join("access.log");
    let open = || OpenOptions::new().append(true).create(true).open(&path).unwrap();
    let mut file: File = open();
    let mut urls = Vec::new();
    let mut rotations = 0;
    while !ended.load(Ordering::Relaxed) {
        let fresh: Vec<String> =
            (0..fastrand::u32(1..BURST)).map(|n| format!("/{}", urls.len() as u32 + n)).collect();
        let text: String = fresh.iter().map(|url| line(url)).collect();
        // A reader may see any part of a write.
        let (first, rest) = text.split_at(fastrand::usize(..text.len()));
        file.write_all(first.as_bytes()).unwrap();
        if fastrand::u32(..80) == 0 {
            rotations += 1;
            fs::rename(&path, directory.join(format!("access.log.{rotations}"))).unwrap();
            file.write_all(rest.as_bytes()).unwrap(); // a worker that has not reopened yet
            file = open();
        } else {
            file.write_all(rest.as_bytes()).unwrap();
        }
        urls.extend(fresh);
        std::thread::sleep(PAUSE);
    }
    urls
}

/// The moment at which something breaks is random: the test waits for nothing.
pub(crate) async fn a_moment(longest: Duration) {
    tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
}
