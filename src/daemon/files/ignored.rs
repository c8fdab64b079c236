//! Files that are not followed. Each has its reason.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::identity::detect::{MoreLines, Undetected};
use crate::model::{FileId, FileKey, IgnoredCode};
use crate::source::{Container, Tail};

/// A file that a watched path matches and that is not followed.
#[derive(Debug)]
pub(crate) struct IgnoredFile {
    pub(crate) path: PathBuf,
    pub(crate) key: FileKey,
    pub(crate) reason: IgnoredReason,
    /// In which round it is decided about.
    pub(crate) round: Round,
}

/// The rounds in which new files are decided about, so that no file takes the place of another one. If
/// there are many, a part of them is decided about at a time, and a later round begins when the earlier
/// one has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Round {
    /// Files that are the same object with the same content go on where they stood.
    #[default]
    SameObject,
    /// Files that may be copies, and new ones.
    Copy,
    /// Objects of which other content is stored, whose copy is followed by then.
    Replaced,
}

/// Why a file is not followed. A size is that of its content when this was found, in bytes.
#[derive(Debug)]
pub(crate) enum IgnoredReason {
    /// Its content was not inspected yet, or a decision about it has to wait.
    Undecided(Box<Tail>),
    /// Its content is not a log that can be stored. It is examined again when it has grown; if more lines
    /// seldom help, not before `due`.
    NoLog { size: u64, more: MoreLines, why: Undetected, due: Instant },
    /// It is compressed: another task reads it.
    Archive { size: u64 },
    /// It is an archive of a kind that is refused, or holds one.
    Container { size: u64, container: Container },
    /// It could not be read; the error of the system.
    Unreadable { size: u64, error: String },
    /// It is a copy of a followed file.
    CopyOf { file: FileId, size: u64 },
    /// Another writer holds it. It is asked for again at this time.
    HeldByAnotherWriter { tail: Box<Tail>, until: Instant },
}

impl IgnoredReason {
    /// Returns whether the file is not examined again for now, whatever is appended to it.
    pub(crate) fn rests(&self) -> bool {
        matches!(self, Self::NoLog { more: MoreLines::SeldomHelp, due, .. } if *due > Instant::now())
    }

    /// Returns whether a file that now has `size` bytes is to be inspected again.
    pub(crate) fn is_outdated(&self, size: u64) -> bool {
        match self {
            Self::Undecided(_) | Self::HeldByAnotherWriter { .. } => false,
            Self::NoLog { size: then, .. }
            | Self::Archive { size: then }
            | Self::Container { size: then, .. }
            | Self::Unreadable { size: then, .. }
            | Self::CopyOf { size: then, .. } => size < *then || (size > *then && !self.rests()),
        }
    }

    /// Returns the open file of one that may still be followed.
    pub(crate) fn tail_mut(&mut self) -> Option<&mut Tail> {
        match self {
            Self::Undecided(tail) | Self::HeldByAnotherWriter { tail, .. } => Some(tail),
            _ => None,
        }
    }

    /// Returns the file of one that may still be followed.
    pub(crate) fn tail(&self) -> Option<&Tail> {
        match self {
            Self::Undecided(tail) | Self::HeldByAnotherWriter { tail, .. } => Some(tail),
            _ => None,
        }
    }

    /// Returns the file of one that may still be followed, to be decided about.
    pub(crate) fn into_tail(self) -> Option<Box<Tail>> {
        match self {
            Self::Undecided(tail) | Self::HeldByAnotherWriter { tail, .. } => Some(tail),
            _ => None,
        }
    }

    /// Returns the stable word of the reason. What an archive is, the task that reads it finds out.
    pub(crate) fn code(&self) -> IgnoredCode {
        match self {
            Self::Undecided(_) | Self::Archive { .. } => IgnoredCode::Undecided,
            Self::NoLog { why, .. } => why.ignored_code(),
            Self::Unreadable { .. } => IgnoredCode::Unreadable,
            Self::CopyOf { .. } => IgnoredCode::Copy,
            Self::Container { .. } => IgnoredCode::Container,
            Self::HeldByAnotherWriter { .. } => IgnoredCode::HeldByAnotherWriter,
        }
    }

    /// Returns the size that is known, in bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Undecided(tail) | Self::HeldByAnotherWriter { tail, .. } => tail.size(),
            Self::NoLog { size, .. }
            | Self::Archive { size }
            | Self::Unreadable { size, .. }
            | Self::Container { size, .. }
            | Self::CopyOf { size, .. } => *size,
        }
    }

    /// Returns whether the store is to be asked about the file now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        match self {
            Self::Undecided(_) => true,
            Self::HeldByAnotherWriter { until, .. } => *until <= now,
            _ => false,
        }
    }
}

impl IgnoredFile {
    pub(crate) fn new(tail: &Tail, reason: IgnoredReason) -> Self {
        let (path, key) = (tail.path().to_path_buf(), tail.key());
        Self { path, key, reason, round: Round::default() }
    }

    /// Makes a file about which is to be decided.
    pub(crate) fn undecided(tail: impl Into<Box<Tail>>) -> Self {
        Self::that_may_be_followed(tail.into(), IgnoredReason::Undecided)
    }

    /// Makes a file about which is to be decided in a later round.
    pub(crate) fn of_round(round: Round, tail: Box<Tail>) -> Self {
        Self { round, ..Self::undecided(tail) }
    }

    /// Makes a file that stays open, because it may still be followed.
    pub(crate) fn that_may_be_followed(
        tail: Box<Tail>,
        reason: impl FnOnce(Box<Tail>) -> IgnoredReason,
    ) -> Self {
        let (path, key) = (tail.path().to_path_buf(), tail.key());
        Self { path, key, reason: reason(tail), round: Round::default() }
    }

    /// Records its new path.
    pub(crate) fn renamed(&mut self, path: &Path) {
        if self.path == path {
            return;
        }
        self.path = path.to_path_buf();
        if let Some(tail) = self.reason.tail_mut() {
            tail.set_path(path.to_path_buf());
        }
    }
}
