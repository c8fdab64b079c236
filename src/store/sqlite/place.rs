//! Whether the file at the database's path is the one that a connection has open.
//!
//! A backup may be put in the place of a database that daemons have open, and SQLite does not notice: it goes on
//! in the file that has no name any more, and what is committed there is gone when it is closed. So the path is
//! looked at before each commit of ingest, and after it. The second look decides: a commit is reported only if
//! its file was in place after it. A file that is replaced later takes the commit with it like all others since
//! the backup, and the offsets in the new file show that.
//!
//! A file that is gone is not made anew: a copy may be about to be made there, and SQLite would write into it.
//! It is not opened before it has its first bytes; that the rest is missing SQLite notices by itself.
//!
//! # What lies beside the file before
//!
//! SQLite finds the write-ahead log by its name, and nothing in it says to which file it belongs: it would be
//! applied to the backup. The index of that log (`-shm`) is shared memory, which a connection to the new file would
//! cut short under one to the old. So both are remembered, and while one of them lies beside another file, that is
//! not opened. A connection to a file that was moved away leaves what is beside the new one alone when it is closed
//! (SQLite's `databaseIsUnmoved`).

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::UNIX_EPOCH;

use super::Sqlite;
use crate::model::FileKey;
use crate::store::error::{Explanation, Kind, StoreError, from_io};

/// What to do when the file is missing.
const GONE: &str = "the file is gone: put a backup in its place, or start log-ingestd again, which makes a new one";

/// The same of a file without a byte.
const EMPTY: &str =
    "the file is empty: put a backup in its place, or start log-ingestd again, which makes tables";

/// What SQLite keeps beside a file that is open.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// A file that was opened, and what lay beside it when it was last seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    file: FileKey,
    beside: [Option<FileKey>; BESIDE.len()],
}

impl Sqlite {
    /// Returns which file is there to be opened.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if there is none, or beside it lies what belongs to the one before.
    pub(super) fn place(&self) -> Result<FileKey, StoreError> {
        let unavailable = |why: String| Kind::Unavailable.error(&self.name, Explanation(why));
        // Before the file: it belongs to that which is there before and after.
        let beside = self.keys_beside();
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() == 0 => return Err(unavailable(EMPTY.to_owned())),
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(unavailable(GONE.to_owned()));
            }
            Err(error) => return Err(from_io(&self.name, error)),
        };
        let here = key(&metadata);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *last {
            Some(last) if last.file == here => {
                for (known, now) in last.beside.iter_mut().zip(beside) {
                    *known = now.or(*known);
                }
            }
            Some(last) => {
                let mut both = last.beside.into_iter().zip(beside);
                if both.any(|(known, now)| now.is_some() && now == known) {
                    let [log, index] = BESIDE.map(|suffix| self.beside(suffix));
                    return Err(unavailable(format!(
                        "the file was replaced, and the write-ahead log of the one before lies beside it: remove \
                         {} and {}, or SQLite mixes both",
                        log.display(),
                        index.display()
                    )));
                }
            }
            None => {}
        }
        Ok(here)
    }

    /// Checks that this file, which is open, is still there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Replaced`] if another file is there, and as for [`Sqlite::place`].
    pub(super) fn check_place(&self, opened: FileKey) -> Result<(), StoreError> {
        match self.place()? == opened {
            true => Ok(()),
            false => Err(StoreError::Replaced { store: self.name.clone() }),
        }
    }

    /// Takes note of a file that a connection opens.
    pub(super) fn remember(&self, file: FileKey) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.file != file) {
            *last = Some(Opened { file, beside: [None; BESIDE.len()] });
        }
    }

    /// Returns what lies beside the file, unless it is empty. Without a birth time another one may look the same, so
    /// that there is no answer.
    fn keys_beside(&self) -> [Option<FileKey>; BESIDE.len()] {
        BESIDE.map(|suffix| {
            let metadata = fs::metadata(self.beside(suffix)).ok().filter(|it| it.len() > 0)?;
            Some(key(&metadata)).filter(|key| key.birth_us.is_some())
        })
    }

    /// Returns the path of a file that SQLite keeps beside the database.
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(suffix);
        name.into()
    }
}

fn key(metadata: &Metadata) -> FileKey {
    let birth = metadata.created().ok().and_then(|birth| birth.duration_since(UNIX_EPOCH).ok());
    let birth_us = birth.and_then(|birth| i64::try_from(birth.as_micros()).ok());
    FileKey { device: metadata.dev(), inode: metadata.ino(), birth_us }
}
