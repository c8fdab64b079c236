//! Keeps what comes from streams in files of the daemon's own, which are followed like any other.
//!
//! A stream cannot be read twice, but a file can. So the bytes of a pipe go into an append-only
//! file first, and from then on everything that holds for files holds for them. The kernel moves
//! the bytes from one to the other (splice(2)). If the process is killed at any moment, each byte
//! is either still in the pipe or already in the file. This is the only place where `source`
//! writes, and it removes only files that it made.
//!
//! What is in a file is not on the disk yet. A pipe or FIFO cannot wait for that: its bytes are gone
//! with the power wherever they are. They are synced about once a second ([`Spool::sync`]), and when
//! the stream ends or the daemon stops. A socket waits: its next bytes are taken when those before them
//! are on the disk.
//!
//! - This file: the directory, its files and their names. No file name is used twice.
//! - `input`: standard input or a FIFO, and how its bytes are moved.
//! - `pump`: moves the bytes of one stream, step by step.

mod input;
mod pump;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::model::hex;
use rustix::fs::Access;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

pub use pump::{PumpControl, PumpError, PumpStep, StreamPump, WaitFor};

/// The size at which a file ends at the next line end, and another one begins (64 MiB).
const ROTATE_AT: u64 = 64 << 20;

/// The least number of files in a full spool. With fewer, nothing could be removed before
/// everything is stored.
const MIN_FILES: u64 = 4;

/// A directory of files that hold what came from streams.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    /// The approximate limit of its size, in bytes.
    limit: u64,
    /// The bytes that may still come before the files have to be counted again.
    room: AtomicI64,
    written: Mutex<Written>,
    notify: Notify,
    /// Whether a file was begun or ended, or a stream has ended, since the last call of
    /// [`Spool::changed`].
    changed: AtomicBool,
    /// Notified when a file has bytes that are not on the disk, and had none before.
    unsynced: Notify,
    /// Held while files are synced: a second call waits for what the first one has taken.
    syncing: Mutex<()>,
}

/// What this process writes here.
#[derive(Debug, Default)]
struct Written {
    /// The files that this process writes.
    files: HashSet<PathBuf>,
    /// Files with bytes that may not be on the disk.
    unsynced: HashSet<PathBuf>,
    pumps: Vec<Weak<PumpControl>>,
}

/// A file of the spool that no other process writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spooled {
    /// Its path.
    pub path: PathBuf,
    /// Whether nothing will be appended to the file any more.
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
    /// Makes a spool of about `limit` bytes. It may exceed the limit by twice the capacity of a
    /// pipe, because lines are finished. The directory is made when there is something to put
    /// there.
    pub fn new(directory: PathBuf, limit: u64) -> Self {
        Self {
            directory,
            limit,
            room: AtomicI64::new(0),
            written: Mutex::default(),
            notify: Notify::new(),
            changed: AtomicBool::new(false),
            unsynced: Notify::new(),
            syncing: Mutex::default(),
        }
    }

    /// Returns the directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the approximate limit, in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns whether `path` is a path of a spool file.
    pub fn covers(&self, path: &Path) -> bool {
        path.parent() == Some(&self.directory) && StreamName::of(path).is_some()
    }

    /// Makes the directory, if it does not exist.
    ///
    /// # Errors
    /// A directory that cannot be made, or in which no file can be made.
    pub fn prepare(&self) -> io::Result<()> {
        let made = self.directory.ancestors().take_while(|it| !it.exists());
        let made: Vec<&Path> = made.collect();
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        for parent in made.iter().filter_map(|made| made.parent()) {
            let _ = sync_names(parent);
        }
        Ok(rustix::fs::access(&self.directory, Access::WRITE_OK | Access::EXEC_OK)?)
    }

    /// Returns the files that this process writes, and those that no process writes any more. Of
    /// the latter, the last line is ended if its rest is certainly lost, and empty files are
    /// removed. Files that other processes write are left out.
    pub fn files(&self) -> Vec<Spooled> {
        let written = self.written();
        let mut found = Vec::new();
        for path in self.list() {
            if written.files.contains(&path) {
                found.push(Spooled { path, finished: false });
                continue;
            }
            // A file that cannot be locked now may be locked by the next call.
            let Ok(Some(mut file)) = SpoolFile::lock(&path) else { continue };
            if file.end == 0 {
                let _ = fs::remove_file(&path); // an empty file; the next call tries again
                continue;
            }
            // The pipe of standard input ended with its process. A FIFO may still hold the rest of
            // the line, which its next pump takes.
            if StreamName::of(&path).is_some_and(|stream| stream.is_standard_input()) {
                let _ = file.end_line(); // the next call tries again if the disk is full
            }
            let finished = file.is_at_line_end().unwrap_or(false);
            found.push(Spooled { path, finished });
        }
        found
    }

    /// Removes a finished file whose `size` bytes are all stored. Returns `false` if another writer
    /// continues with the file.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn remove(&self, path: &Path, size: u64) -> io::Result<bool> {
        let written = self.written();
        if written.files.contains(path) {
            return Ok(false);
        }
        let Some(file) = SpoolFile::lock_with_retries(path)? else { return Ok(!path.exists()) };
        if file.end != size {
            return Ok(false);
        }
        fs::remove_file(path)?;
        // After a power cut it must not come back with what of it had reached the disk. Where that cannot
        // be promised, it is known by its name.
        let _ = sync_names(&self.directory);
        drop(written);
        self.room.store(0, Ordering::Relaxed);
        self.wake_all();
        Ok(true)
    }

    /// Waits until something has changed and returns what. Cancel-safe.
    pub async fn changed(&self) -> SpoolChange {
        self.notify.notified().await;
        match self.changed.swap(false, Ordering::Relaxed) {
            true => SpoolChange::Files,
            false => SpoolChange::Bytes,
        }
    }

    /// Waits until there are bytes that may not be on the disk. Cancel-safe.
    pub async fn has_unsynced(&self) {
        self.unsynced.notified().await;
    }

    /// Writes all bytes to the disk that were moved here before the call. This takes as long as the disk
    /// does, which is seconds on a busy one.
    ///
    /// # Errors
    /// The first error of the system. The files that had one are synced again by the next call.
    pub fn sync(&self) -> io::Result<()> {
        let _one = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let unsynced = std::mem::take(&mut self.written().unsynced);
        let mut first = Ok(());
        for path in unsynced {
            match sync_bytes(&path) {
                Ok(()) => {}
                // All of it is stored.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.written().unsynced.insert(path);
                    first = first.and(Err(error));
                }
            }
        }
        if first.is_err() {
            self.unsynced.notify_one();
        }
        first
    }

    fn written(&self) -> std::sync::MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns all files of the spool, including those of other processes.
    fn list(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return Vec::new() };
        let files = entries.flatten().filter(|it| it.file_type().is_ok_and(|kind| kind.is_file()));
        let mut paths: Vec<PathBuf> =
            files.map(|it| it.path()).filter(|path| StreamName::of(path).is_some()).collect();
        paths.sort_unstable();
        paths
    }

    /// Registers a pump to be woken when there is room, or none any more.
    fn register(&self, control: &Arc<PumpControl>) {
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
                    // Bytes that the kernel writes to the disk are found again after a power cut.
                    let _ = sync_names(&self.directory);
                    written.files.insert(file.path.clone());
                    return Ok(file);
                }
                Ok(None) => {}
                // A file of the same microsecond.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the newest leftover file of a stream whose last line has no end, to be continued.
    /// Older such files get a line end.
    fn resume(&self, stream: &StreamName) -> io::Result<Option<SpoolFile>> {
        let mut written = self.written();
        let mut newest: Option<SpoolFile> = None;
        for path in self.list() {
            if StreamName::of(&path).as_ref() != Some(stream) || written.files.contains(&path) {
                continue;
            }
            let Some(file) = SpoolFile::lock_with_retries(&path)? else { continue };
            if !file.is_at_line_end()?
                && let Some(mut older) = newest.replace(file)
            {
                older.end_line()?;
            }
        }
        written.files.extend(newest.iter().map(|file| file.path.clone()));
        Ok(newest)
    }

    /// Ends a file: this process does not write to it any more.
    fn end(&self, file: SpoolFile) {
        if file.end == 0 {
            let _ = fs::remove_file(&file.path); // if this fails, the next listing removes it
        }
        self.written().files.remove(&file.path);
        drop(file); // this releases the lock
        self.notify_files_changed();
    }

    /// Notifies of a change besides new bytes: the follower has to list all files.
    fn notify_files_changed(&self) {
        self.changed.store(true, Ordering::Relaxed);
        self.notify.notify_one();
    }

    /// Notifies of new bytes of a file.
    fn add_bytes(&self, path: &Path, bytes: u64) {
        self.room.fetch_sub(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
        let mut written = self.written();
        if !written.unsynced.contains(path) {
            written.unsynced.insert(path.to_path_buf());
            self.unsynced.notify_one();
        }
        drop(written);
        self.notify.notify_one();
    }

    /// Returns whether more bytes may come. Files that other processes write are not counted: those
    /// processes limit them.
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

    /// Returns the size at which a file ends.
    fn rotate_at(&self) -> u64 {
        ROTATE_AT.min(self.limit / MIN_FILES)
    }
}

/// Writes the names in a directory to the disk. Not every file system can.
fn sync_names(directory: &Path) -> io::Result<()> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    File::open(directory)?.sync_all()
}

/// Writes the bytes of a file to the disk.
fn sync_bytes(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_data()
}

/// The number of attempts to lock a file. Other processes lock files for a moment, to find out
/// whether they are free.
const ATTEMPTS: u32 = 20;

/// The time between two attempts.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(5);

/// A locked file and its length.
///
/// The writer holds an exclusive lock (flock) on the file, which ends with the process in every
/// case. A file that can be locked is a leftover: no process writes to it any more, except that
/// the next pump of its FIFO may finish a line that was cut.
#[derive(Debug)]
struct SpoolFile {
    file: File,
    path: PathBuf,
    /// The size in bytes, where the next byte goes.
    end: u64,
}

impl SpoolFile {
    /// Begins a new file and locks it. Returns `None` if another process took it for an empty
    /// leftover before it was locked, and removed it.
    fn create(path: PathBuf) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        file.lock()?;
        let exists = file.metadata()?.nlink() > 0;
        Ok(exists.then_some(Self { file, path, end: 0 }))
    }

    /// Locks an existing file. Returns `None` if another process has locked it, or if it is gone.
    fn lock(path: &Path) -> io::Result<Option<Self>> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let metadata = file.metadata()?;
        let path = path.to_path_buf();
        Ok((metadata.nlink() > 0).then_some(Self { file, path, end: metadata.len() }))
    }

    /// Locks an existing file like [`SpoolFile::lock`], with several attempts.
    fn lock_with_retries(path: &Path) -> io::Result<Option<Self>> {
        for _ in 1..ATTEMPTS {
            match Self::lock(path)? {
                None if path.exists() => std::thread::sleep(BETWEEN_ATTEMPTS),
                locked => return Ok(locked),
            }
        }
        Self::lock(path)
    }

    /// Returns whether the file ends at a line end.
    fn is_at_line_end(&self) -> io::Result<bool> {
        let Some(last) = self.end.checked_sub(1) else { return Ok(true) };
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, last)?;
        Ok(byte == *b"\n")
    }

    /// Ends the last line, if it has no end.
    fn end_line(&mut self) -> io::Result<()> {
        if !self.is_at_line_end()? {
            self.file.write_all_at(b"\n", self.end)?;
            self.end += 1;
        }
        Ok(())
    }
}

/// The suffix of all spool files.
const SUFFIX: &str = ".log";

/// The name of standard input.
const STANDARD_INPUT: &str = "stdin";

/// The maximum length of a stream's name in bytes. File systems take 255, with the time and the
/// suffix.
const MAX_NAME: usize = 160;

/// The name of a stream in the spool.
///
/// A file is named like `stdin.20261124T203015123456.log`: the stream, and the time at which the
/// file was begun, to the microsecond. No name is used twice, so the name identifies the file,
/// although two streams may begin with the same line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamName(String);

impl StreamName {
    /// Returns the name of standard input.
    pub fn standard_input() -> Self {
        Self(STANDARD_INPUT.to_owned())
    }

    /// Returns the name of the FIFO at this path: `/run/app/access.fifo` is `run-app-access.fifo`.
    /// Characters other than letters, digits, `_` and `.` are percent-encoded. A long path is cut
    /// and told apart by a hash.
    pub fn fifo(path: &Path) -> Self {
        let path = path.as_os_str().as_bytes();
        let mut name = String::new();
        for (at, &byte) in path.strip_prefix(b"/").unwrap_or(path).iter().enumerate() {
            match byte {
                b'/' => name.push('-'),
                b'.' if at == 0 => name.push_str("%2E"),
                b'.' | b'_' => name.push(char::from(byte)),
                _ if byte.is_ascii_alphanumeric() => name.push(char::from(byte)),
                _ => {
                    let _ = write!(name, "%{byte:02X}"); // writing to a String cannot fail
                }
            }
        }
        if name == STANDARD_INPUT {
            name.insert(0, '-'); // no path has this name
        }
        if name.len() > MAX_NAME {
            let sum = Sha256::digest(path);
            let end = name.split_off(name.len() - MAX_NAME + 20);
            name = format!("{}-{end}", hex(&sum[..8]));
        }
        Self(name)
    }

    /// Returns the stream whose bytes the file at this path holds; `None` if the path is not that
    /// of a spool file.
    pub fn of(path: &Path) -> Option<Self> {
        let stem = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
        let (stream, _time) = stem.rsplit_once('.')?;
        (!stream.is_empty()).then(|| Self(stream.to_owned()))
    }

    /// Returns the name of a file that was begun at this time.
    fn file_name(&self, begun: chrono::DateTime<chrono::Utc>) -> String {
        format!("{}.{}{SUFFIX}", self.0, begun.format("%Y%m%dT%H%M%S%6f"))
    }

    /// Returns whether this is standard input. A leftover of standard input is never continued.
    pub fn is_standard_input(&self) -> bool {
        self.0 == STANDARD_INPUT
    }
}
