//! The files at hand: which are followed, which are looked at and left alone, which are gone.
//!
//! Two steps, so that a store that is away stops nothing else. [`Roster::look`] asks the file
//! system only: it opens what is new at once, because a file that is open can be renamed and even
//! deleted and is still read. [`super::enroll`] then asks the store what is known of it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use crate::follow::identity::same_object;
use crate::follow::{Lines, Look, Tail, Watchlist};
use crate::model::{FileId, FileKey, HeadPrint, Span};
use crate::store::{StoreError, Writer};

use super::formats::Format;

/// A deleted file is let go when it has been quiet for this long: its worker has reopened its log.
const DELETED_QUIET: Duration = Duration::from_secs(60);

/// The same for a file that was moved out of sight.
const MOVED_QUIET: Duration = Duration::from_secs(600);

/// A file that is read, line by line, as it grows.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) tail: Tail,
    pub(super) file: FileId,
    pub(super) epoch: i64,
    pub(super) format: Arc<Format>,
    pub(super) head: Option<HeadPrint>,
    /// What the store holds, and the guard at that offset.
    pub(super) committed: (u64, Option<HeadPrint>),
    /// Whether it may have lines to read.
    pub(super) ready: bool,
    /// The size at which nothing could be read although there are unread bytes.
    pub(super) stuck_at: Option<u64>,
    /// Since when it has no name here, and its size then.
    pub(super) nameless: Option<(Instant, u64)>,
    /// Its name changed and the store does not know yet.
    pub(super) renamed: bool,
    /// A line that the store refuses, and why.
    pub(super) refused: Option<(u64, String)>,
}

impl Followed {
    /// Whether it still begins as it did, and what was read of it is still there. Before anything
    /// is read there is no guard: the first line has to be the same.
    pub(super) fn is_intact(&self) -> bool {
        if self.tail.position() == 0 && self.head.is_some() {
            return self.tail.head().is_ok_and(|head| head == self.head);
        }
        self.tail.is_intact()
    }

    /// Sets `lines` to the first unread byte. `false` if the file is not intact: truncated and
    /// written again.
    ///
    /// # Errors
    /// A read that fails.
    pub(super) fn begin(&mut self, lines: &mut Lines) -> io::Result<bool> {
        if self.tail.position() == 0 && !self.is_intact() {
            return Ok(false);
        }
        self.tail.begin(lines)
    }
}

/// A file that is known and not followed.
#[derive(Debug)]
pub(super) struct Bystander {
    pub(super) path: PathBuf,
    pub(super) key: FileKey,
    pub(super) named: bool,
    pub(super) why: Why,
}

/// Why a file is not followed.
#[derive(Debug)]
pub(super) enum Why {
    /// Nobody looked at its content yet; it is held open meanwhile.
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
pub(super) struct Orphan {
    pub(super) file: FileId,
    pub(super) epoch: i64,
    pub(super) path: PathBuf,
    pub(super) head: Option<HeadPrint>,
    pub(super) committed: u64,
    /// How far it was read.
    pub(super) position: u64,
    /// Bytes it had when it was last seen whole.
    pub(super) size: u64,
}

/// All files at hand.
#[derive(Debug)]
pub(super) struct Roster {
    list: Watchlist,
    pub(super) followed: Vec<Followed>,
    pub(super) bystanders: Vec<Bystander>,
    pub(super) orphans: Vec<Orphan>,
    /// Files that another writer has, which was said once, and the last time between two tries.
    pub(super) held: HashMap<FileId, Duration>,
    /// Paths that could not be opened: said once, until they can.
    closed_doors: HashSet<PathBuf>,
}

impl Roster {
    /// `kept` are open files that a look may not find.
    pub(super) fn new(list: Watchlist, kept: Vec<Tail>) -> Self {
        let bystanders = kept.into_iter().map(|tail| Bystander {
            path: tail.path().to_path_buf(),
            key: tail.key(),
            named: true,
            why: Why::New(tail.again()),
        });
        Self {
            list,
            followed: Vec::new(),
            bystanders: bystanders.collect(),
            orphans: Vec::new(),
            held: HashMap::new(),
            closed_doors: HashSet::new(),
        }
    }

    pub(super) fn directories(&self) -> Vec<PathBuf> {
        self.list.directories()
    }

    /// The files that are followed and have no name here: what a roster made anew cannot find.
    pub(super) fn into_nameless(mut self) -> Vec<Tail> {
        self.look();
        let nameless = self.followed.into_iter().filter(|file| file.nameless.is_some());
        nameless.map(|file| file.tail).collect()
    }

    /// Looks at everything. The file system is asked, the store is not.
    pub(super) fn look(&mut self) {
        let mut seen: Vec<FileKey> = Vec::new();
        for found in self.list.look() {
            match self.meet(&found.path, found.named, &mut seen) {
                Ok(()) => {
                    self.closed_doors.remove(&found.path);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    if self.closed_doors.insert(found.path.clone()) {
                        warn!(path = %found.path.display(), %error, "cannot read this file");
                    }
                }
            }
        }
        self.bystanders.retain(|file| seen.contains(&file.key) || matches!(file.why, Why::New(_)));
        for file in &mut self.followed {
            match (seen.contains(&file.tail.key()), file.nameless) {
                (true, _) => file.nameless = None,
                (false, None) => file.nameless = Some((Instant::now(), file.tail.size())),
                (false, Some((since, size))) if size != file.tail.size() => {
                    file.nameless = Some((since.max(Instant::now()), file.tail.size()));
                }
                (false, Some(_)) => {}
            }
        }
        self.glance(None);
    }

    /// A path that the watchlist gave: is there something new behind it?
    fn meet(&mut self, path: &Path, named: bool, seen: &mut Vec<FileKey>) -> io::Result<()> {
        let Some(tail) = Tail::peek_key(path)? else { return Ok(()) };
        let (key, size) = tail;
        let again = seen.contains(&key); // a hard link, or a link to it: one reader is enough
        seen.push(key);
        if let Some(file) = self.followed.iter_mut().find(|f| same_object(f.tail.key(), key)) {
            if !again && file.tail.path() != path {
                info!(file = file.file.0, from = %file.tail.path().display(), to = %path.display(),
                    "a followed file was renamed");
                file.tail.moved(path.to_path_buf());
                file.renamed = true;
            }
            return Ok(());
        }
        if let Some(at) = self.bystanders.iter().position(|file| same_object(file.key, key)) {
            let known = &mut self.bystanders[at];
            if !again {
                known.path = path.to_path_buf();
            }
            let look_again = match known.why {
                Why::New(_) | Why::Held { .. } => false,
                Why::NotOurs { size: then, open } => size < then || (open && size != then),
                Why::CopyOf { size: then, .. } => size != then,
            };
            if !look_again {
                return Ok(());
            }
            self.bystanders.remove(at);
        }
        if let Some(tail) = Tail::open(path)? {
            debug!(path = %path.display(), bytes = tail.size(), "a new file");
            let key = tail.key();
            self.bystanders.push(Bystander {
                path: path.to_path_buf(),
                key,
                named,
                why: Why::New(tail),
            });
        }
        Ok(())
    }

    /// Looks at the open files only, or at those of them that changed.
    pub(super) fn glance(&mut self, changed: Option<&HashSet<PathBuf>>) {
        let mut cut = Vec::new();
        for (at, file) in self.followed.iter_mut().enumerate() {
            if changed.is_some_and(|changed| !changed.contains(file.tail.path())) {
                continue;
            }
            match file.tail.look() {
                Ok(Look::Ready) => file.ready = file.stuck_at != Some(file.tail.size()),
                Ok(Look::Quiet) => {}
                Ok(Look::Truncated) => cut.push((at, file.tail.largest())),
                Err(error) => warn!(path = %file.tail.path().display(), %error, "cannot look"),
            }
        }
        for (at, size) in cut.into_iter().rev() {
            self.orphan(at, size);
        }
    }

    /// The followed file at `at` does not hold any more what was read of it, and had `size` bytes
    /// when it did.
    pub(super) fn orphan(&mut self, at: usize, size: u64) {
        let old = self.followed.swap_remove(at);
        let path = old.tail.path().to_path_buf();
        info!(file = old.file.0, path = %path.display(), "a followed file was cut short or replaced");
        self.orphans.push(Orphan {
            file: old.file,
            epoch: old.epoch,
            head: old.head,
            committed: old.committed.0,
            position: old.tail.position(),
            size,
            path,
        });
        self.forget_copies(old.file);
        let key = old.tail.key();
        let (path, named) = (old.tail.path().to_path_buf(), true);
        self.bystanders.push(Bystander { path, key, named, why: Why::New(old.tail.again()) });
    }

    /// Copies of a file that is not followed any more are looked at anew.
    fn forget_copies(&mut self, of: FileId) {
        self.bystanders.retain(|b| !matches!(b.why, Why::CopyOf { file, .. } if file == of));
    }

    /// Files without a name that have been quiet for long enough, taken out of the roster.
    pub(super) fn retire(&mut self) -> Vec<Followed> {
        let mut retired = Vec::new();
        let mut at = 0;
        while at < self.followed.len() {
            let file = &self.followed[at];
            let done = file.committed.0 == file.tail.position() && !file.ready;
            let patience = if file.tail.is_unlinked() { DELETED_QUIET } else { MOVED_QUIET };
            if done && file.nameless.is_some_and(|(since, _)| since.elapsed() > patience) {
                let file = self.followed.swap_remove(at);
                self.forget_copies(file.file);
                retired.push(file);
            } else {
                at += 1;
            }
        }
        retired
    }

    /// The claims held, with their epochs.
    pub(super) fn claims(&self) -> super::commit::Claims {
        let followed = self.followed.iter().map(|file| (file.file, file.epoch));
        followed.chain(self.orphans.iter().map(|file| (file.file, file.epoch))).collect()
    }

    /// Reading goes back to what is stored, everywhere.
    pub(super) fn rewind(&mut self) {
        for file in &mut self.followed {
            file.tail.rewind(file.committed.0, file.committed.1);
            file.ready = true;
            file.stuck_at = None;
        }
        for orphan in &mut self.orphans {
            orphan.position = orphan.committed; // the rest cannot be read again
        }
    }
}

/// What the store's answers change.
impl Roster {
    /// Whether anything waits for the store besides lines.
    pub(super) fn needs_store(&self) -> bool {
        let now = Instant::now();
        !self.orphans.is_empty()
            || self.followed.iter().any(|file| file.renamed || file.nameless.is_some())
            || self.bystanders.iter().any(|bystander| match &bystander.why {
                Why::New(_) => true,
                Why::Held { until, .. } => *until <= now,
                Why::NotOurs { .. } | Why::CopyOf { .. } => false,
            })
    }

    /// Whether a change of the file of this name is nothing new: it is followed, or no log.
    pub(super) fn knows(&self, path: &Path) -> bool {
        self.followed.iter().any(|file| file.tail.path() == path)
            || self.bystanders.iter().any(|bystander| {
                bystander.path == path && matches!(bystander.why, Why::NotOurs { open: false, .. })
            })
    }

    /// A span is stored.
    pub(super) fn stored(&mut self, span: &Span) {
        if let Some(file) = self.followed.iter_mut().find(|file| file.file == span.file) {
            file.committed = (span.to, span.guard);
            file.head = span.head.or(file.head);
            file.refused.take_if(|(at, _)| *at < span.to);
        }
        if let Some(orphan) = self.orphans.iter_mut().find(|orphan| orphan.file == span.file) {
            orphan.committed = span.to;
        }
    }

    /// The line at `offset` is to become a reject.
    pub(super) fn refuse(&mut self, file: FileId, offset: u64, reason: &str) {
        if let Some(file) = self.followed.iter_mut().find(|followed| followed.file == file) {
            file.refused = Some((offset, reason.replace('\0', "")));
        }
    }

    /// Tells the store of renamed, lost and finished files.
    pub(super) async fn settle(&mut self, writer: &mut Writer) -> Result<(), StoreError> {
        for file in self.followed.iter_mut().filter(|file| file.renamed) {
            writer.moved(file.file, file.epoch, &file.tail.path().to_string_lossy()).await?;
            file.renamed = false;
        }
        // A copy that still waits may hold what an orphan has lost.
        if !self.bystanders.iter().any(|bystander| matches!(bystander.why, Why::New(_))) {
            while let Some(at) = self.orphans.iter().position(|o| o.committed == o.position) {
                let orphan = &self.orphans[at];
                let lost = orphan.size.saturating_sub(orphan.committed);
                if lost > 0 {
                    warn!(file = orphan.file.0, path = %orphan.path.display(), bytes = lost,
                        "truncated before all of it was read: these bytes are lost");
                }
                writer.close(orphan.file, orphan.epoch, lost, "truncated or replaced").await?;
                writer.release(orphan.file).await?;
                self.orphans.swap_remove(at);
            }
        }
        for file in self.retire() {
            info!(file = file.file.0, path = %file.tail.path().display(), "let go: it has no name here");
            if file.tail.is_unlinked() {
                let lost = file.tail.size().saturating_sub(file.committed.0);
                writer.close(file.file, file.epoch, lost, "deleted").await?;
            }
            writer.release(file.file).await?;
        }
        Ok(())
    }
}
