//! The files at hand: which are followed, which are looked at and left alone, which are gone.
//!
//! Two steps, so that a store that is away stops nothing else. [`FollowedFiles::look`] asks the file
//! system only: it opens what is new at once, because a file that is open can be renamed and even
//! deleted and is still read (if there are descriptors for all). [`super::enroll`] then asks the store what is known of it.
//!
//! - `look`: what the file system says.
//! - `hold`: which files are held open.
//! - `settle`: what the store is told, and what its answers change.
//! - `spooled`: which of them hold what came from a stream.
//! - `waiting`: since when bytes of a file wait.

mod fd_budget;
mod look;
mod settle;
mod spooled;
mod waiting;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use crate::daemon::files::spooled::Streamed;
pub(crate) use crate::daemon::files::waiting::Waiting;

use crate::model::{Checkpoint, FileId, FileKey, Fingerprint, Position};
use crate::source::fingerprint::same_object;
use crate::source::{Lines, SkippedLine, Spool, Tail, Watchlist};

use crate::commands::import::Found;
use crate::identity::formats::Format;

/// A file that is read, line by line, as it grows.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) tail: Tail,
    pub(crate) file: FileId,
    pub(crate) epoch: i64,
    pub(crate) format: Arc<Format>,
    pub(crate) head: Option<Fingerprint>,
    /// What the store holds.
    pub(crate) committed: Position,
    /// Whether it may have lines to read.
    pub(crate) ready: bool,
    /// The size at which nothing could be read although there are unread bytes.
    pub(crate) stuck_at: Option<u64>,
    /// The line that begins at the read position, if it is too long to be read in one turn.
    pub(crate) skipped_line: Option<SkippedLine>,
    /// Since when it has no name here, and its size then.
    pub(crate) nameless: Option<(Instant, u64)>,
    /// Its name changed and the store does not know yet.
    pub(crate) renamed: bool,
    /// A line that the store refuses, and why.
    pub(crate) refused: Option<(u64, String)>,
    /// Since when its bytes wait.
    pub(crate) waiting: Waiting,
}

impl Followed {
    /// Whether it still begins as it did, and what was read of it is still there. Before anything
    /// is read there is no tail fingerprint: the first line has to be the same.
    ///
    /// # Errors
    /// A read that fails.
    pub(crate) fn is_intact(&self) -> io::Result<bool> {
        if self.tail.offset() == 0 && self.head.is_some() {
            return Ok(self.tail.head_fingerprint()? == self.head);
        }
        self.tail.is_intact()
    }

    /// Sets `lines` to the first unread byte. `false` if the file is not intact: truncated and
    /// written again.
    ///
    /// # Errors
    /// A read that fails.
    pub(crate) fn begin(&mut self, lines: &mut Lines) -> io::Result<bool> {
        if self.tail.offset() == 0 && !self.is_intact()? {
            return Ok(false);
        }
        let same = self.tail.start_reading(lines)?;
        // After a rewind it is of no use: what is before it is to be read again.
        let skipped_line =
            self.skipped_line.take().filter(|line| line.offset() == self.tail.offset());
        if let Some(skipped_line) = skipped_line.filter(|_| same) {
            self.tail.resume_skipping(lines, skipped_line)?;
        }
        Ok(same)
    }
}

/// A file that is known and not followed.
#[derive(Debug)]
pub(crate) struct IgnoredFile {
    pub(crate) path: PathBuf,
    pub(crate) key: FileKey,
    pub(crate) why: Why,
}

impl IgnoredFile {
    pub(crate) fn new(tail: &Tail, why: Why) -> Self {
        Self { path: tail.path().to_path_buf(), key: tail.key(), why }
    }

    /// It has this name now.
    fn moved(&mut self, path: &Path) {
        if self.path != path {
            self.path = path.to_path_buf();
        }
        if let Why::New(tail) | Why::Held { tail, .. } = &mut self.why
            && tail.path() != path
        {
            tail.set_path(path.to_path_buf());
        }
    }

    /// A file that another writer has, to be asked for again.
    pub(crate) fn held(tail: Tail, until: Instant) -> Self {
        Self { path: tail.path().to_path_buf(), key: tail.key(), why: Why::Held { tail, until } }
    }

    /// A file that awaits its verdict.
    pub(crate) fn waiting(tail: Tail) -> Self {
        Self { path: tail.path().to_path_buf(), key: tail.key(), why: Why::New(tail) }
    }
}

/// Why a file is not followed.
#[derive(Debug)]
pub(crate) enum Why {
    /// Nobody looked at its content yet.
    New(Tail),
    /// It holds no log of ours, as its content stood at this size.
    NotOurs {
        size: u64,
        /// Whether more content may change the verdict.
        open: bool,
    },
    /// It is a copy of a followed file, as its content stood at this size.
    CopyOf { file: FileId, size: u64 },
    /// Another writer holds it until at least then.
    Held { tail: Tail, until: Instant },
}

/// A file that was cut short or replaced while it was followed; the store is told when all that
/// was read of it is stored.
#[derive(Debug)]
pub(crate) struct TruncatedFile {
    pub(crate) file: FileId,
    pub(crate) epoch: i64,
    pub(crate) path: PathBuf,
    pub(crate) head: Option<Fingerprint>,
    pub(crate) committed: u64,
    /// How far it was read.
    pub(crate) position: u64,
    /// Bytes it had when it was last seen whole.
    pub(crate) size: u64,
}

/// All files at hand.
#[derive(Debug)]
pub(crate) struct FollowedFiles {
    list: Watchlist,
    pub(crate) followed: Vec<Followed>,
    pub(crate) ignored: Vec<IgnoredFile>,
    pub(crate) truncated: Vec<TruncatedFile>,
    /// Files that another writer has, which was said once, and the last time between two tries.
    pub(crate) held: HashMap<FileId, Duration>,
    /// Paths that could not be opened: said once, until they can.
    closed_doors: HashSet<PathBuf>,
    /// Files that streams are put into.
    pub(crate) spool: Arc<Spool>,
    /// Those of them to which nothing will be added.
    finished: HashSet<PathBuf>,
    /// FIFOs that are to be read.
    pub(crate) fifos: Vec<PathBuf>,
    /// Those that are not, which was said once.
    unrequested_fifos: HashSet<PathBuf>,
    /// Streams whose first lines no format reads, which was said once.
    pub(crate) undecided: HashSet<PathBuf>,
    /// Whether a file was given up that nobody holds open and that has no name here.
    pub(crate) out_of_reach: bool,
    /// Archives that were found since somebody took them from here; ignored, too.
    pub(crate) new_archives: Vec<FileKey>,
    /// So many files may be held open.
    descriptors: usize,
    /// So many are, about.
    held_open: usize,
}

impl FollowedFiles {
    /// `kept` are open files that a look may not find; `descriptors` files may be held open.
    pub(crate) fn new(
        list: Watchlist,
        spool: Arc<Spool>,
        kept: Vec<Tail>,
        descriptors: usize,
    ) -> Self {
        let ignored = kept.into_iter().map(|tail| IgnoredFile::waiting(tail.from_beginning()));
        Self {
            list,
            followed: Vec::new(),
            ignored: ignored.collect(),
            truncated: Vec::new(),
            held: HashMap::new(),
            closed_doors: HashSet::new(),
            spool,
            finished: HashSet::new(),
            fifos: Vec::new(),
            unrequested_fifos: HashSet::new(),
            undecided: HashSet::new(),
            out_of_reach: false,
            new_archives: Vec::new(),
            descriptors,
            held_open: 0,
        }
    }

    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        self.list.directories()
    }

    /// Watched files and directories that are not there.
    pub(crate) fn missing(&self) -> Vec<PathBuf> {
        self.list.missing()
    }

    /// Whether it is at hand, whoever reads it.
    pub(crate) fn has(&self, known: &Checkpoint) -> bool {
        let is_it = |key| known.key.is_some_and(|known| same_object(known, key));
        self.followed.iter().any(|file| file.file == known.file)
            || self.truncated.iter().any(|file| file.file == known.file)
            || self.ignored.iter().any(|file| is_it(file.key))
    }

    /// Whether a file of this path would be found, if it was there.
    pub(crate) fn covers(&self, path: &Path) -> bool {
        self.list.covers(path) || self.spool.covers(path)
    }

    /// The ignored_file that is this archive, if it is still there.
    pub(crate) fn archive(&self, key: FileKey) -> Option<Found> {
        let path = self.ignored.iter().find(|file| file.key == key)?.path.clone();
        let wanted = self.list.is_requested(&path);
        Some(Found { path, key, wanted })
    }

    /// The files that are followed and have no name here: what a files made anew cannot find.
    pub(crate) fn into_nameless(mut self) -> Vec<Tail> {
        self.look();
        let nameless =
            self.followed.into_iter().filter(|file| file.nameless.is_some() && file.tail.is_open());
        nameless.map(|file| file.tail).collect()
    }

    /// The claims held, with their epochs.
    pub(crate) fn claims(&self) -> crate::pipeline::committer::Claims {
        let followed = self.followed.iter().map(|file| (file.file, file.epoch));
        followed.chain(self.truncated.iter().map(|file| (file.file, file.epoch))).collect()
    }

    /// ReadContext goes back to what is stored, everywhere.
    pub(crate) fn rewind(&mut self) {
        for file in &mut self.followed {
            file.tail.rewind(file.committed);
            file.ready = true;
            file.stuck_at = None;
        }
        for truncated_file in &mut self.truncated {
            truncated_file.position = truncated_file.committed; // the rest cannot be read again
        }
    }
}
