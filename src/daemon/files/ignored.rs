//! Files that are not followed. Each has its reason.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::identity::detect::MoreLines;
use crate::model::{FileId, FileKey};
use crate::source::Tail;

/// A file that a watched path matches and that is not followed.
#[derive(Debug)]
pub(crate) struct IgnoredFile {
    pub(crate) path: PathBuf,
    pub(crate) key: FileKey,
    pub(crate) reason: IgnoredReason,
}

/// Why a file is not followed. A size is that of its content when this was found, in bytes.
#[derive(Debug)]
pub(crate) enum IgnoredReason {
    /// Its content was not inspected yet, or a decision about it has to wait.
    Undecided(Tail),
    /// Its content is no log that could be stored.
    NoLog { size: u64, more: MoreLines },
    /// It is compressed: another task reads it.
    Archive { size: u64 },
    /// It could not be read.
    Unreadable { size: u64 },
    /// It is a copy of a followed file.
    CopyOf { file: FileId, size: u64 },
    /// It is a file of the spool that does not hold all that was stored of it.
    Damaged { size: u64 },
    /// Another writer holds it. It is asked for again at this time.
    HeldByAnotherWriter { tail: Tail, until: Instant },
}

impl IgnoredReason {
    /// Returns whether it is settled that the file is not followed, whatever is appended to it.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            IgnoredReason::NoLog { more, .. } => *more == MoreLines::DoNotHelp,
            IgnoredReason::Damaged { .. } => true,
            IgnoredReason::Undecided(_)
            | IgnoredReason::Archive { .. }
            | IgnoredReason::Unreadable { .. }
            | IgnoredReason::CopyOf { .. }
            | IgnoredReason::HeldByAnotherWriter { .. } => false,
        }
    }

    /// Returns whether a file that now has `size` bytes is to be inspected again.
    pub(crate) fn is_outdated(&self, size: u64) -> bool {
        match self {
            IgnoredReason::Undecided(_) | IgnoredReason::HeldByAnotherWriter { .. } => false,
            IgnoredReason::NoLog { size: then, .. } | IgnoredReason::Damaged { size: then } => {
                size < *then || (size != *then && !self.is_final())
            }
            IgnoredReason::Archive { size: then }
            | IgnoredReason::Unreadable { size: then }
            | IgnoredReason::CopyOf { size: then, .. } => size != *then,
        }
    }

    /// Returns the open file of one that may still be followed.
    pub(crate) fn tail_mut(&mut self) -> Option<&mut Tail> {
        match self {
            IgnoredReason::Undecided(tail) | IgnoredReason::HeldByAnotherWriter { tail, .. } => {
                Some(tail)
            }
            IgnoredReason::NoLog { .. }
            | IgnoredReason::Archive { .. }
            | IgnoredReason::Unreadable { .. }
            | IgnoredReason::CopyOf { .. }
            | IgnoredReason::Damaged { .. } => None,
        }
    }

    /// Returns whether the store is to be asked about the file now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        match self {
            IgnoredReason::Undecided(_) => true,
            IgnoredReason::HeldByAnotherWriter { until, .. } => *until <= now,
            _ => false,
        }
    }
}

impl IgnoredFile {
    pub(crate) fn new(tail: &Tail, reason: IgnoredReason) -> Self {
        Self { path: tail.path().to_path_buf(), key: tail.key(), reason }
    }

    /// A file about which is to be decided.
    pub(crate) fn undecided(tail: Tail) -> Self {
        Self {
            path: tail.path().to_path_buf(),
            key: tail.key(),
            reason: IgnoredReason::Undecided(tail),
        }
    }

    /// A file that another writer holds, to be asked for again at `until`.
    pub(crate) fn held_by_another_writer(tail: Tail, until: Instant) -> Self {
        Self {
            path: tail.path().to_path_buf(),
            key: tail.key(),
            reason: IgnoredReason::HeldByAnotherWriter { tail, until },
        }
    }

    /// Takes note of its new path.
    pub(crate) fn renamed(&mut self, path: &Path) {
        if self.path != path {
            self.path = path.to_path_buf();
        }
        if let Some(tail) = self.reason.tail_mut()
            && tail.path() != path
        {
            tail.set_path(path.to_path_buf());
        }
    }
}
