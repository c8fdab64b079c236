//! The files at hand: which are followed, which are looked at and left alone, which are gone.
//!
//! Two steps, so that a store that is away stops nothing else. [`Roster::look`] asks the file
//! system only: it opens what is new at once, because a file that is open can be renamed and even
//! deleted and is still read (if there are descriptors for all). [`super::enroll`] then asks the store what is known of it.
//!
//! - `look`: what the file system says.
//! - `hold`: which files are held open.
//! - `settle`: what the store is told, and what its answers change.
//! - `spooled`: which of them hold what came from a stream.
//! - `waiting`: since when bytes of a file wait.

mod hold;
mod look;
mod settle;
mod spooled;
mod waiting;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(in crate::app) use spooled::Streamed;
pub(in crate::app) use waiting::Waiting;

use crate::follow::identity::same_object;
use crate::follow::{Lines, Passage, Spool, Tail, Watchlist};
use crate::model::{Checkpoint, FileId, FileKey, HeadPrint, Mark};

use crate::app::formats::Format;
use crate::app::import::Found;

/// A file that is read, line by line, as it grows.
#[derive(Debug)]
pub(in crate::app) struct Followed {
    pub(in crate::app) tail: Tail,
    pub(in crate::app) file: FileId,
    pub(in crate::app) epoch: i64,
    pub(in crate::app) format: Arc<Format>,
    pub(in crate::app) head: Option<HeadPrint>,
    /// What the store holds.
    pub(in crate::app) committed: Mark,
    /// Whether it may have lines to read.
    pub(in crate::app) ready: bool,
    /// The size at which nothing could be read although there are unread bytes.
    pub(in crate::app) stuck_at: Option<u64>,
    /// The line that begins at the read position, if it is too long to be read in one turn.
    pub(in crate::app) passage: Option<Passage>,
    /// Since when it has no name here, and its size then.
    pub(in crate::app) nameless: Option<(Instant, u64)>,
    /// Its name changed and the store does not know yet.
    pub(in crate::app) renamed: bool,
    /// A line that the store refuses, and why.
    pub(in crate::app) refused: Option<(u64, String)>,
    /// Since when its bytes wait.
    pub(in crate::app) waiting: Waiting,
}

impl Followed {
    /// Whether it still begins as it did, and what was read of it is still there. Before anything
    /// is read there is no guard: the first line has to be the same.
    ///
    /// # Errors
    /// A read that fails.
    pub(in crate::app) fn is_intact(&self) -> io::Result<bool> {
        if self.tail.position() == 0 && self.head.is_some() {
            return Ok(self.tail.head()? == self.head);
        }
        self.tail.is_intact()
    }

    /// Sets `lines` to the first unread byte. `false` if the file is not intact: truncated and
    /// written again.
    ///
    /// # Errors
    /// A read that fails.
    pub(in crate::app) fn begin(&mut self, lines: &mut Lines) -> io::Result<bool> {
        if self.tail.position() == 0 && !self.is_intact()? {
            return Ok(false);
        }
        let same = self.tail.begin(lines)?;
        // After a rewind it is of no use: what is before it is to be read again.
        let passage = self.passage.take().filter(|line| line.offset() == self.tail.position());
        if let Some(passage) = passage.filter(|_| same) {
            self.tail.resume(lines, passage)?;
        }
        Ok(same)
    }
}

/// A file that is known and not followed.
#[derive(Debug)]
pub(in crate::app) struct Bystander {
    pub(in crate::app) path: PathBuf,
    pub(in crate::app) key: FileKey,
    pub(in crate::app) why: Why,
}

impl Bystander {
    pub(in crate::app) fn new(tail: &Tail, why: Why) -> Self {
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
            tail.moved(path.to_path_buf());
        }
    }

    /// A file that another writer has, to be asked for again.
    pub(in crate::app) fn held(tail: Tail, until: Instant) -> Self {
        Self { path: tail.path().to_path_buf(), key: tail.key(), why: Why::Held { tail, until } }
    }

    /// A file that awaits its verdict.
    pub(in crate::app) fn waiting(tail: Tail) -> Self {
        Self { path: tail.path().to_path_buf(), key: tail.key(), why: Why::New(tail) }
    }
}

/// Why a file is not followed.
#[derive(Debug)]
pub(in crate::app) enum Why {
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
pub(in crate::app) struct Orphan {
    pub(in crate::app) file: FileId,
    pub(in crate::app) epoch: i64,
    pub(in crate::app) path: PathBuf,
    pub(in crate::app) head: Option<HeadPrint>,
    pub(in crate::app) committed: u64,
    /// How far it was read.
    pub(in crate::app) position: u64,
    /// Bytes it had when it was last seen whole.
    pub(in crate::app) size: u64,
}

/// All files at hand.
#[derive(Debug)]
pub(in crate::app) struct Roster {
    list: Watchlist,
    pub(in crate::app) followed: Vec<Followed>,
    pub(in crate::app) bystanders: Vec<Bystander>,
    pub(in crate::app) orphans: Vec<Orphan>,
    /// Files that another writer has, which was said once, and the last time between two tries.
    pub(in crate::app) held: HashMap<FileId, Duration>,
    /// Paths that could not be opened: said once, until they can.
    closed_doors: HashSet<PathBuf>,
    /// Files that streams are put into.
    pub(in crate::app) spool: Arc<Spool>,
    /// Those of them to which nothing will be added.
    finished: HashSet<PathBuf>,
    /// FIFOs that are to be read.
    pub(in crate::app) fifos: Vec<PathBuf>,
    /// Those that are not, which was said once.
    strange_fifos: HashSet<PathBuf>,
    /// Streams whose first lines no format reads, which was said once.
    pub(in crate::app) undecided: HashSet<PathBuf>,
    /// Whether a file was given up that nobody holds open and that has no name here.
    pub(in crate::app) out_of_reach: bool,
    /// Archives that were found since somebody took them from here; bystanders, too.
    pub(in crate::app) new_archives: Vec<FileKey>,
    /// So many files may be held open.
    descriptors: usize,
    /// So many are, about.
    held_open: usize,
}

impl Roster {
    /// `kept` are open files that a look may not find; `descriptors` files may be held open.
    pub(in crate::app) fn new(
        list: Watchlist,
        spool: Arc<Spool>,
        kept: Vec<Tail>,
        descriptors: usize,
    ) -> Self {
        let bystanders = kept.into_iter().map(|tail| Bystander::waiting(tail.again()));
        Self {
            list,
            followed: Vec::new(),
            bystanders: bystanders.collect(),
            orphans: Vec::new(),
            held: HashMap::new(),
            closed_doors: HashSet::new(),
            spool,
            finished: HashSet::new(),
            fifos: Vec::new(),
            strange_fifos: HashSet::new(),
            undecided: HashSet::new(),
            out_of_reach: false,
            new_archives: Vec::new(),
            descriptors,
            held_open: 0,
        }
    }

    pub(in crate::app) fn directories(&self) -> Vec<PathBuf> {
        self.list.directories()
    }

    /// Watched files and directories that are not there.
    pub(in crate::app) fn missing(&self) -> Vec<PathBuf> {
        self.list.missing()
    }

    /// Whether it is at hand, whoever reads it.
    pub(in crate::app) fn has(&self, known: &Checkpoint) -> bool {
        let is_it = |key| known.key.is_some_and(|known| same_object(known, key));
        self.followed.iter().any(|file| file.file == known.file)
            || self.orphans.iter().any(|file| file.file == known.file)
            || self.bystanders.iter().any(|file| is_it(file.key))
    }

    /// Whether a file of this path would be found, if it was there.
    pub(in crate::app) fn covers(&self, path: &Path) -> bool {
        self.list.covers(path) || self.spool.covers(path)
    }

    /// The bystander that is this archive, if it is still there.
    pub(in crate::app) fn archive(&self, key: FileKey) -> Option<Found> {
        let path = self.bystanders.iter().find(|file| file.key == key)?.path.clone();
        let wanted = self.list.asks_for(&path);
        Some(Found { path, key, wanted })
    }

    /// The files that are followed and have no name here: what a roster made anew cannot find.
    pub(in crate::app) fn into_nameless(mut self) -> Vec<Tail> {
        self.look();
        let nameless =
            self.followed.into_iter().filter(|file| file.nameless.is_some() && file.tail.is_held());
        nameless.map(|file| file.tail).collect()
    }

    /// The claims held, with their epochs.
    pub(in crate::app) fn claims(&self) -> crate::app::commit::Claims {
        let followed = self.followed.iter().map(|file| (file.file, file.epoch));
        followed.chain(self.orphans.iter().map(|file| (file.file, file.epoch))).collect()
    }

    /// Reading goes back to what is stored, everywhere.
    pub(in crate::app) fn rewind(&mut self) {
        for file in &mut self.followed {
            file.tail.rewind(file.committed);
            file.ready = true;
            file.stuck_at = None;
        }
        for orphan in &mut self.orphans {
            orphan.position = orphan.committed; // the rest cannot be read again
        }
    }
}
