//! What comes from a stream is put into files of the daemon's own, which are followed like any other.
//!
//! A stream cannot be read twice, and a file can. So the bytes of a pipe go into an append-only file
//! first, and everything that holds for files holds for them from then on. The kernel moves them from
//! one to the other (splice(2)): killed at any moment, each byte is either still in the pipe or already
//! in the file. This is the only place where this room writes, and the only files that it removes are
//! those that it made.
//!
//! - `name`: of streams and files. No name comes twice.
//! - `file`: one file while it is written, under a lock.
//! - `input`: standard input or a FIFO, and how its bytes are moved.
//! - `carry`: one step after the other, and what to wait for.

mod file;
mod input;
mod name;
mod pump;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::fs::Access;
use tokio::sync::Notify;

pub use name::StreamName;
pub use pump::{PumpControl, PumpError, PumpStep, StreamPump};

use file::SpoolFile;

/// A file that has this many bytes is ended at a line's end, and another one begun (64 MiB).
const ROTATE_AT: u64 = 64 << 20;

/// A small spool has at least so many files, or nothing in it could be removed before all of it can.
const FILES_IN_A_SPOOL: u64 = 4;

/// A directory of files that hold what came from streams.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    /// Bytes that may lie here, about.
    limit: u64,
    /// Bytes that may still come before it is worth counting what lies here.
    room: AtomicI64,
    written: Mutex<Written>,
    bell: Notify,
    /// Whether a file was begun or ended, or a stream has ended, since somebody asked.
    changed: AtomicBool,
}

/// Who writes here.
#[derive(Debug, Default)]
struct Written {
    /// Files that this process writes.
    files: HashSet<PathBuf>,
    pumps: Vec<Weak<PumpControl>>,
}

/// A file of the spool that nobody else writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spooled {
    /// Where it is.
    pub path: PathBuf,
    /// Whether nothing will be added to it any more.
    pub finished: bool,
}

/// What has changed in a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolChange {
    /// A file was begun or ended, or a stream has ended: list all files again.
    Files,
    /// Files have grown.
    Bytes,
}

impl Spool {
    /// A spool of at most `limit` bytes, and of what a pipe holds twice: lines are finished.
    /// The directory is made when there is something to put there.
    pub fn new(directory: PathBuf, limit: u64) -> Self {
        Self {
            directory,
            limit,
            room: AtomicI64::new(0),
            written: Mutex::default(),
            bell: Notify::new(),
            changed: AtomicBool::new(false),
        }
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Bytes that may lie there, about.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Whether a file of this path is one of the spool's.
    pub fn covers(&self, path: &Path) -> bool {
        path.parent() == Some(&self.directory) && StreamName::of(path).is_some()
    }

    /// Makes the directory, if it is not there.
    ///
    /// # Errors
    /// One that cannot be made, or in which no files may be made.
    pub fn prepare(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        Ok(rustix::fs::access(&self.directory, Access::WRITE_OK | Access::EXEC_OK)?)
    }

    /// The files that this process writes, and those that nobody writes any more: their last line is
    /// ended if that is certain, and those without a byte are removed. Files of other processes are
    /// left to them.
    pub fn files(&self) -> Vec<Spooled> {
        let written = self.written();
        let mut found = Vec::new();
        for path in self.list() {
            if written.files.contains(&path) {
                found.push(Spooled { path, finished: false });
                continue;
            }
            // Whatever cannot be locked now can be at the next look.
            let Ok(Some(mut file)) = SpoolFile::lock(&path) else { continue };
            if file.end == 0 {
                let _ = fs::remove_file(&path); // there is nothing in it: the next look tries again
                continue;
            }
            // What was in the pipe went with the process; who follows a FIFO looks into it first.
            if StreamName::of(&path).is_some_and(|stream| stream.is_standard_input()) {
                let _ = file.end_line(); // a full disk: at the next look
            }
            let finished = file.is_at_line_end().unwrap_or(false);
            found.push(Spooled { path, finished });
        }
        found
    }

    /// Removes a finished file, whose `size` bytes are all stored. `false`: somebody goes on with it.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(&self, path: &Path, size: u64) -> io::Result<bool> {
        let written = self.written();
        if written.files.contains(path) {
            return Ok(false);
        }
        let Some(file) = SpoolFile::lock_in_time(path)? else { return Ok(!path.exists()) };
        if file.end != size {
            return Ok(false);
        }
        fs::remove_file(path)?;
        drop(written);
        self.room.store(0, Ordering::Relaxed);
        self.wake_all();
        Ok(true)
    }

    /// Waits until something has changed and returns what. Cancel-safe.
    pub async fn changed(&self) -> SpoolChange {
        self.bell.notified().await;
        match self.changed.swap(false, Ordering::Relaxed) {
            true => SpoolChange::Files,
            false => SpoolChange::Bytes,
        }
    }

    fn written(&self) -> std::sync::MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All files of the spool, whoever writes them.
    fn list(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return Vec::new() };
        let files = entries.flatten().filter(|it| it.file_type().is_ok_and(|kind| kind.is_file()));
        let mut paths: Vec<PathBuf> =
            files.map(|it| it.path()).filter(|path| StreamName::of(path).is_some()).collect();
        paths.sort_unstable();
        paths
    }

    /// A pump that is to be woken when there is room, or none any more.
    fn enrol(&self, control: &Arc<PumpControl>) {
        let mut written = self.written();
        written.pumps.retain(|pump| pump.strong_count() > 0);
        written.pumps.push(Arc::downgrade(control));
    }

    fn wake_all(&self) {
        for pump in self.written().pumps.iter().filter_map(Weak::upgrade) {
            pump.wake();
        }
    }

    /// Begins a file for a stream.
    fn begin(&self, stream: &StreamName) -> io::Result<SpoolFile> {
        self.prepare()?;
        let mut written = self.written();
        loop {
            let path = self.directory.join(stream.file_name(chrono::Utc::now()));
            match SpoolFile::create(path) {
                Ok(Some(file)) => {
                    written.files.insert(file.path.clone());
                    return Ok(file);
                }
                Ok(None) => {}
                // Of the same microsecond.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The newest leftover of a stream whose last line has no end, to be gone on with; older ones get
    /// their end.
    fn resume(&self, stream: &StreamName) -> io::Result<Option<SpoolFile>> {
        let mut written = self.written();
        let mut newest: Option<SpoolFile> = None;
        for path in self.list() {
            if StreamName::of(&path).as_ref() != Some(stream) || written.files.contains(&path) {
                continue;
            }
            let Some(file) = SpoolFile::lock_in_time(&path)? else { continue };
            if !file.is_at_line_end()?
                && let Some(mut older) = newest.replace(file)
            {
                older.end_line()?;
            }
        }
        written.files.extend(newest.iter().map(|file| file.path.clone()));
        Ok(newest)
    }

    /// Nothing is written to the file any more, by this process.
    fn end(&self, file: SpoolFile) {
        if file.end == 0 {
            let _ = fs::remove_file(&file.path); // if not now, the next look does it
        }
        self.written().files.remove(&file.path);
        drop(file); // and the lock with it
        self.has_changed();
    }

    /// Something besides bytes: whoever follows has to look at all files.
    fn has_changed(&self) {
        self.changed.store(true, Ordering::Relaxed);
        self.bell.notify_one();
    }

    /// So many bytes came.
    fn took(&self, bytes: u64) {
        self.room.fetch_sub(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
        self.bell.notify_one();
    }

    /// Whether more may come. What other processes write is theirs to bound.
    fn has_room(&self) -> bool {
        if self.room.load(Ordering::Relaxed) > 0 {
            return true;
        }
        let written = self.written();
        let ours = |path: &PathBuf| {
            written.files.contains(path) || matches!(SpoolFile::lock(path), Ok(Some(_)))
        };
        let sizes = self.list().into_iter().filter(ours).filter_map(|it| fs::metadata(it).ok());
        let used: u64 = sizes.map(|metadata| metadata.len()).sum();
        let room = i64::try_from(self.limit).unwrap_or(i64::MAX).saturating_sub_unsigned(used);
        self.room.store(room, Ordering::Relaxed);
        room > 0
    }

    /// The size at which a file is ended.
    fn rotate_at(&self) -> u64 {
        ROTATE_AT.min(self.limit / FILES_IN_A_SPOOL)
    }
}
