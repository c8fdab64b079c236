//! The files of the watched places: those that are followed, those that are ignored and why, and
//! those that were truncated.
//!
//! Finding and deciding are two steps, so that a store that is unavailable stops nothing else.
//! [`FollowedFiles::look`] asks the file system only. It opens a new file at once: an open file can
//! be renamed and even deleted and is still read (if there are descriptors for all). Then
//! [`super::register`] asks the store what is known of it.
//!
//! - `look`: what the file system says, and which files are held open.
//! - `followed`: the files that are followed.
//! - `ignored`: files that are not followed, each with its reason.
//! - `not_followed`: all of these, as they are reported.
//! - `store_changes`: what the store is told of renamed, truncated and finished files.
//! - `spooled`: files that hold what came from a stream.
//! - `waiting`: since when bytes of a file wait.

mod followed;
mod ignored;
mod look;
mod not_followed;
mod spooled;
mod store_changes;
mod waiting;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tracing::warn;

pub(crate) use crate::daemon::files::followed::FollowedList;
pub(crate) use crate::daemon::files::ignored::{IgnoredFile, IgnoredReason, Round};
pub(crate) use crate::daemon::files::look::Written;
pub(crate) use crate::daemon::files::not_followed::{Logged, NotFollowed};
pub(crate) use crate::daemon::files::waiting::Waiting;

use crate::daemon::announcements::Announcements;
use crate::identity::claim::ClaimedFile;
use crate::identity::content::{AT_REST, Content, LONGEST_COPY, fingerprint_before};
use crate::identity::resolve::{self, Comparison, FilesOfProcess, in_place, is_object};
use crate::model::{Checkpoint, FileId, FileKey, Fingerprint, Micros, Span, path_text};
use crate::pipeline::backoff::Backoff;
use crate::pipeline::committer::Claims;
use crate::pipeline::file_format::Format;
use crate::source::names::{related_names, same_directory};
use crate::source::{Container, Lines, SkippedLine, Spool, Tail, WatchedPaths, Watchlist};

/// A file that is read, line by line, as it grows.
#[derive(Debug)]
pub(crate) struct FollowedFile {
    pub(crate) tail: Box<Tail>,
    pub(crate) claim: ClaimedFile,
    pub(crate) format: Arc<Format>,
    pub(crate) head: Option<Fingerprint>,
    /// Whether it may have lines to read.
    pub(crate) ready: bool,
    /// The size at which nothing could be read although there are unread bytes.
    pub(crate) stuck_at: Option<u64>,
    /// The line that begins at the read position, if it is too long to be read in one turn.
    pub(crate) skipped_line: Option<Box<SkippedLine>>,
    /// Since when it has no name in a watched place, and its size then.
    pub(crate) nameless: Option<(Instant, u64)>,
    /// Whether its path changed and the store does not know yet.
    pub(crate) renamed: bool,
    /// Since when its bytes wait.
    pub(crate) waiting: Waiting,
}

impl FollowedFile {
    /// Returns its id.
    pub(crate) fn file(&self) -> FileId {
        self.claim.file()
    }

    /// Returns the offset up to which it is stored.
    pub(crate) fn committed(&self) -> u64 {
        self.claim.committed().offset
    }

    /// Returns whether everything in it is stored, as far as is known.
    fn is_stored(&self) -> bool {
        self.committed() == self.tail.offset() && !self.ready
    }

    /// Returns whether it still begins as it did, and what was read of it is still there. Before
    /// anything is read there is no tail fingerprint: the first line has to be the same.
    ///
    /// # Errors
    /// A read that fails.
    pub(crate) fn check_intact(&self) -> io::Result<bool> {
        if self.tail.offset() == 0 && self.head.is_some() {
            return Ok(self.tail.head_fingerprint()? == self.head);
        }
        self.tail.is_intact()
    }

    /// Sets `lines` to the first unread byte, and returns the bytes before it. `None` if the file is not
    /// intact: truncated and written again.
    ///
    /// # Errors
    /// A read that fails.
    pub(crate) fn begin(&mut self, lines: &mut Lines) -> io::Result<Option<Vec<u8>>> {
        // After a rewind it is of no use: what is before it is to be read again.
        let skipped_line =
            self.skipped_line.take().filter(|line| line.offset() == self.tail.offset());
        // The first line after many NULs is not looked for again in each turn that skips some of them.
        let is_in_nuls = skipped_line.as_ref().is_some_and(|line| line.nuls() > 0);
        if self.tail.offset() == 0 && !is_in_nuls && !self.check_intact()? {
            return Ok(None);
        }
        let history = self.tail.start_reading(lines)?;
        match skipped_line.filter(|_| history.is_some()) {
            Some(skipped_line) => self.tail.resume_skipping(lines, *skipped_line),
            None => Ok(history),
        }
    }
}

impl Content for FollowedFile {
    fn path(&self) -> Cow<'_, str> {
        path_text(self.tail.path())
    }

    fn key(&self) -> Option<FileKey> {
        Some(self.tail.key())
    }

    fn head(&self) -> Option<Fingerprint> {
        self.head
    }

    fn size(&self) -> Option<u64> {
        Some(self.tail.size())
    }

    fn fingerprint_before(&self, offset: u64) -> io::Result<Option<Fingerprint>> {
        fingerprint_before(&self.tail, offset)
    }

    fn is_intact(&self) -> bool {
        self.check_intact().unwrap_or(false)
    }

    fn has_grown(&self) -> bool {
        self.tail.has_grown()
    }

    fn may_be_half_a_copy(&self) -> bool {
        false
    }

    fn has_time(&self) -> bool {
        self.format.has_time
    }

    fn grows(&self) -> bool {
        true
    }

    fn is_unlinked(&self) -> bool {
        self.tail.is_unlinked()
    }

    fn changed_at(&self) -> Option<Micros> {
        None // it may grow
    }
}

/// A file that was truncated or replaced while it was followed. It is closed in the store when all
/// that was read of it is stored.
#[derive(Debug)]
pub(crate) struct TruncatedFile {
    pub(crate) claim: ClaimedFile,
    pub(crate) path: PathBuf,
    pub(crate) head: Option<Fingerprint>,
    /// How far it was read, in bytes.
    pub(crate) position: u64,
    /// Bytes it had when it was last seen whole.
    pub(crate) size: u64,
    /// How many looks at all watched places there were before: the next one finds its copy.
    pub(crate) looks: u64,
}

impl TruncatedFile {
    /// Returns its id.
    pub(crate) fn file(&self) -> FileId {
        self.claim.file()
    }
}

/// How a file has grown that was a copy when it was last looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    first_seen: Instant,
    /// When its size was last seen to change.
    changed: Instant,
    /// Whether it grew after it had been at rest, or for longer than a copy takes.
    is_a_log: bool,
}

/// All files of the watched places.
#[derive(Debug)]
pub(crate) struct FollowedFiles {
    pub(crate) list: Watchlist,
    /// What the last look found, and where something may be found later.
    found: WatchedPaths,
    pub(crate) followed: FollowedList,
    pub(crate) ignored: Vec<IgnoredFile>,
    pub(crate) truncated: Vec<TruncatedFile>,
    /// Files whose objects hold other content now. They are closed when all files were decided about.
    pub(crate) replaced: Vec<Checkpoint>,
    /// Whether there are so many new files that not all of them were decided about yet.
    pub(crate) deciding: bool,
    /// Whether the store has given the id of a followed file to another one: it was restored.
    pub(crate) restored: bool,
    /// How many looks at all watched places there were.
    looks: u64,
    /// The files that the last one found.
    objects: HashSet<FileKey>,
    /// Files that another writer holds, which was logged once, with the waits between two tries.
    pub(crate) held_by_others: HashMap<FileId, Backoff>,
    /// Paths that could not be opened at the last look, and why.
    unopened: Vec<(PathBuf, io::Error)>,
    /// Paths that led to neither a regular file nor a FIFO at the last look.
    not_regular: Vec<PathBuf>,
    /// Links to files that were not followed at the last look.
    foreign_links: Vec<PathBuf>,
    /// Links to FIFOs that are not followed.
    pub(crate) foreign_fifos: Vec<PathBuf>,
    /// Links that are not followed, which was logged once.
    unread_links: HashSet<PathBuf>,
    /// Directories below a pattern that cannot be read, which was logged once.
    unread_directories: HashSet<PathBuf>,
    /// Files that streams are put into.
    pub(crate) spool: Arc<Spool>,
    /// Files of the spool to which nothing will be added.
    finished: HashSet<PathBuf>,
    /// FIFOs that are to be read.
    pub(crate) fifos: Vec<PathBuf>,
    /// FIFOs that are not, which was logged once.
    unrequested_fifos: HashSet<PathBuf>,
    /// Streams whose first lines no format reads, which was logged once.
    pub(crate) undetected_streams: HashSet<PathBuf>,
    /// Copies of followed files, which was logged once.
    pub(crate) copies: HashSet<PathBuf>,
    /// The waits until files of which more lines seldom help are examined again.
    pub(crate) examinations: HashMap<FileKey, Backoff>,
    /// How files that are copies so far have grown.
    growth: HashMap<FileKey, Growth>,
    /// Files that begin like another log and are a log of their own, which was logged once.
    pub(crate) look_alikes: HashSet<FileKey>,
    /// Paths of files that wait for the end of the one that they have replaced, which was logged once.
    pub(crate) replacements: HashSet<PathBuf>,
    /// Whether it was logged what the lines of a file lack that Gunicorn could write.
    pub(crate) lack_is_logged: bool,
    /// Hosts that were renamed, each with a directory of which all logs were looked at.
    pub(crate) renamed_hosts: HashSet<(String, PathBuf)>,
    /// Archives of a kind that is refused, which was logged once.
    containers: HashSet<FileKey>,
    pub(crate) announcements: Announcements,
    /// Whether a file was given up that is not held open and has no name in a watched place.
    pub(crate) out_of_reach: bool,
    /// Archives that were found since they were last taken from here; ignored, too.
    pub(crate) new_archives: Vec<FileKey>,
    /// How many files may be held open.
    descriptors: usize,
    /// How many are, about.
    held_open: usize,
}

impl FollowedFiles {
    /// Takes over `open` files that a look may not find; `descriptors` files may be held open.
    pub(crate) fn new(
        list: Watchlist,
        spool: Arc<Spool>,
        open: Vec<Tail>,
        descriptors: usize,
    ) -> Self {
        let open = open.into_iter().map(Tail::from_beginning);
        Self {
            list,
            found: WatchedPaths::default(),
            followed: FollowedList::default(),
            ignored: open.map(IgnoredFile::undecided).collect(),
            truncated: Vec::new(),
            replaced: Vec::new(),
            deciding: false,
            restored: false,
            looks: 0,
            objects: HashSet::new(),
            held_by_others: HashMap::new(),
            unopened: Vec::new(),
            not_regular: Vec::new(),
            foreign_links: Vec::new(),
            foreign_fifos: Vec::new(),
            unread_links: HashSet::new(),
            unread_directories: HashSet::new(),
            spool,
            finished: HashSet::new(),
            fifos: Vec::new(),
            unrequested_fifos: HashSet::new(),
            undetected_streams: HashSet::new(),
            copies: HashSet::new(),
            examinations: HashMap::new(),
            growth: HashMap::new(),
            look_alikes: HashSet::new(),
            replacements: HashSet::new(),
            lack_is_logged: false,
            renamed_hosts: HashSet::new(),
            containers: HashSet::new(),
            announcements: Announcements::default(),
            out_of_reach: false,
            new_archives: Vec::new(),
            descriptors,
            held_open: 0,
        }
    }

    /// Returns whether the last look found nothing, not even a file that cannot be opened.
    pub(crate) fn is_empty(&self) -> bool {
        self.followed.is_empty() && self.ignored.is_empty() && self.unopened.is_empty()
    }

    /// Returns whether this process follows the file, or followed it until it was truncated.
    pub(crate) fn is_followed(&self, file: FileId) -> bool {
        self.followed.place(file).is_some() || self.truncated.iter().any(|it| it.file() == file)
    }

    /// Returns whether the file is here: followed, truncated or ignored.
    pub(crate) fn has(&self, known: &Checkpoint) -> bool {
        self.is_followed(known.file)
            || self.ignored.iter().any(|file| is_object(known, Some(file.key)))
    }

    /// Takes note that a file is a copy, as far as it has grown.
    pub(crate) fn copy_seen(&mut self, key: FileKey) -> &mut Growth {
        let now = Instant::now();
        let new = Growth { first_seen: now, changed: now, is_a_log: false };
        self.growth.entry(key).or_insert(new)
    }

    /// Takes note that a copy has grown.
    fn copy_grew(&mut self, key: FileKey) {
        let growth = self.copy_seen(key);
        growth.is_a_log |=
            growth.changed.elapsed() > AT_REST || growth.first_seen.elapsed() > LONGEST_COPY;
        growth.changed = Instant::now();
    }

    /// Returns whether this file was a copy and has grown as only a log does.
    pub(crate) fn grows(&self, key: FileKey) -> bool {
        self.growth.get(&key).is_some_and(|growth| growth.is_a_log)
    }

    /// Returns whether a file of this path would be found, if it was there.
    pub(crate) fn covers(&self, path: &Path) -> bool {
        self.list.covers(&self.found, path) || self.spool.covers(path)
    }

    /// Returns the path of an archive, if it is still there, and whether the user named it.
    pub(crate) fn archive(&self, key: FileKey) -> Option<(&Path, bool)> {
        let path = &self.ignored.iter().find(|file| file.key == key)?.path;
        Some((path, self.list.is_requested(path)))
    }

    /// Takes note that an archive holds another one of a kind that is refused.
    pub(crate) fn refuse_container(&mut self, key: FileKey, container: Container) {
        let Some(file) = self.ignored.iter_mut().find(|file| file.key == key) else { return };
        let IgnoredReason::Archive { size } = file.reason else { return };
        file.reason = IgnoredReason::Container { size, container };
        self.log_containers();
    }

    /// Says once of each archive of a kind that is refused that it is left alone, and why.
    pub(crate) fn log_containers(&mut self) {
        for file in &self.ignored {
            let IgnoredReason::Container { container, .. } = file.reason else { continue };
            if self.containers.insert(file.key) && self.announcements.may_name(Instant::now()) {
                warn!(path = %file.path.display(), kind = container.word(),
                    "this is {}: left alone; unpack it first, or leave it out with --exclude PATTERN",
                    container.name());
            }
        }
    }

    /// Returns what is followed and truncated here, as far as `content` may be a copy of it: files
    /// that begin alike, and those that it was compared with.
    pub(crate) fn that_may_be(
        &self,
        content: &dyn Content,
        compared: &Comparison,
    ) -> FilesOfProcess<'_> {
        let head = content.head();
        let may_be = |file: FileId, its_head: Option<Fingerprint>| {
            its_head == head || compared.matches.iter().any(|(known, _)| known.file == file)
        };
        let alike = head.into_iter().flat_map(|head| self.followed.places_of_head(head));
        let compared_with = compared.matches.iter();
        let compared_with = compared_with.filter_map(|(known, _)| self.followed.place(known.file));
        let places: BTreeSet<usize> = alike.chain(compared_with).collect();
        let followed = places.into_iter().map(|at| &*self.followed[at]);
        let truncated = self.truncated.iter().filter(|file| may_be(file.file(), file.head));
        FilesOfProcess {
            has_changed: false,
            followed: followed
                .map(|file| resolve::FollowedFile {
                    file: file.file(),
                    content: Some(file),
                    position: file.tail.offset(),
                    nameless: file.nameless.is_some(),
                })
                .collect(),
            in_place: in_place(compared.matches.iter().map(|(known, _)| known)),
            found: compared
                .matches
                .iter()
                .filter(|(known, _)| known.key.is_some_and(|key| self.objects.contains(&key)))
                .map(|(known, _)| known.file)
                .collect(),
            truncated: truncated
                .map(|file| resolve::TruncatedFile {
                    file: file.file(),
                    path: path_text(&file.path),
                    head: file.head,
                    position: file.position,
                    committed: file.claim.committed().offset,
                })
                .collect(),
        }
    }

    /// Returns the path of a followed file; empty if it is none.
    pub(crate) fn path_of(&self, file: FileId) -> &Path {
        self.followed.place(file).map_or(Path::new(""), |at| self.followed[at].tail.path())
    }

    /// Returns the formats of the followed files that a log at `path` may have been rotated to, each once,
    /// that of the newest first.
    pub(crate) fn formats_of_log(&self, path: &str) -> Vec<Arc<Format>> {
        let mut of_log: Vec<&FollowedFile> = self
            .followed
            .iter()
            .map(|file| &**file)
            .filter(|file| {
                let other = path_text(file.tail.path());
                same_directory(path, &other) && related_names(path, &other)
            })
            .collect();
        of_log.sort_by_key(|file| Reverse(file.file()));
        let mut formats: Vec<Arc<Format>> = Vec::new();
        for file in of_log {
            if !formats.iter().any(|known| Arc::ptr_eq(known, &file.format)) {
                formats.push(Arc::clone(&file.format));
            }
        }
        formats
    }

    /// Returns the open files that have no name in a watched place, or whose file system does not answer: what a
    /// look cannot find again.
    pub(crate) fn into_nameless(mut self) -> Vec<Tail> {
        self.look();
        let files = self.followed.into_files();
        let nameless = files.filter(|file| {
            let is_lost = file.nameless.is_some() || file.tail.is_unreachable();
            is_lost && file.tail.is_open()
        });
        nameless.map(|file| *file.tail).collect()
    }

    /// Forgets all that is known of the store, as a start does. Files that are open stay open, to be decided about
    /// again.
    pub(crate) fn start_over(&mut self) {
        let followed = std::mem::take(&mut self.followed).into_files().map(|file| *file.tail);
        let waiting = std::mem::take(&mut self.ignored).into_iter();
        let waiting = waiting.filter_map(|file| file.reason.into_tail()).map(|tail| *tail);
        let open = followed.chain(waiting).filter(Tail::is_open).collect();
        *self = Self::new(self.list.clone(), Arc::clone(&self.spool), open, self.descriptors);
    }

    /// Returns the claims of this process, and up to where each file is stored.
    pub(crate) fn claims(&self) -> Claims {
        let followed = self.followed.iter().map(|file| file.claim.held());
        followed.chain(self.truncated.iter().map(|file| file.claim.held())).collect()
    }

    /// Takes note of a span that is stored.
    pub(crate) fn stored(&mut self, span: &Span) {
        if let Some(file) = self.followed.of(span.file) {
            file.claim.stored(span);
            if let Some(head) = span.head {
                self.followed.set_head(span.file, head);
            }
        }
        if let Some(file) = self.truncated.iter_mut().find(|file| file.file() == span.file) {
            file.claim.stored(span);
        }
    }

    /// Has the line at `offset` become a reject when it is read again.
    pub(crate) fn refuse(&mut self, file: FileId, offset: u64, reason: &str) {
        if let Some(file) = self.followed.of(file) {
            file.claim.refuse(offset, reason);
        }
    }

    /// Goes back to what is stored, in every file.
    pub(crate) fn rewind(&mut self) {
        for file in self.followed.iter_mut() {
            file.tail.rewind(file.claim.committed());
            file.ready = true;
            file.stuck_at = None;
        }
        for file in &mut self.truncated {
            file.position = file.claim.committed().offset; // the rest cannot be read again
        }
    }
}
