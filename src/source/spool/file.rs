//! One file of the spool, while it is written.
//!
//! Who writes it holds an exclusive lock (flock) on it, which ends with the process however that ends.
//! A file that can be locked is a leftover: nobody will write to it any more, except that the one who
//! follows its FIFO may go on with a line that was cut.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Others hold a lock for a moment, to see whether it can be had: so often it is tried again.
const TRIES: u32 = 20;

/// Between two tries.
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

/// A locked file, and its end.
#[derive(Debug)]
pub(super) struct SpoolFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Its size, in bytes: where the next byte goes.
    pub(super) end: u64,
}

impl SpoolFile {
    /// Begins a file that must not exist, and locks it. `None` if somebody has taken it for an empty
    /// leftover in the moment before, and has removed it.
    pub(super) fn create(path: PathBuf) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        file.lock()?;
        let there = file.metadata()?.nlink() > 0;
        Ok(there.then_some(Self { file, path, end: 0 }))
    }

    /// Locks a file that is there; `None` if somebody holds it, or it is gone.
    pub(super) fn lock(path: &Path) -> io::Result<Option<Self>> {
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

    /// The same, for one who wants it and not only to know.
    pub(super) fn lock_in_time(path: &Path) -> io::Result<Option<Self>> {
        for _ in 1..TRIES {
            match Self::lock(path)? {
                None if path.exists() => std::thread::sleep(BETWEEN_TRIES),
                locked => return Ok(locked),
            }
        }
        Self::lock(path)
    }

    /// Whether no line is begun and not ended.
    pub(super) fn is_at_line_end(&self) -> io::Result<bool> {
        let Some(last) = self.end.checked_sub(1) else { return Ok(true) };
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, last)?;
        Ok(byte == *b"\n")
    }

    /// Ends the last line, if it has no end.
    pub(super) fn end_line(&mut self) -> io::Result<()> {
        if !self.is_at_line_end()? {
            self.file.write_all_at(b"\n", self.end)?;
            self.end += 1;
        }
        Ok(())
    }
}
