//! Decides which logical file some content is.
//!
//! The evidence, in this order: the object of the file system (device, inode, birth time); directory
//! and name; whether the file grows; content, which is the first line and the bytes before the committed
//! offset. Content decides only where it can: lines without a time, or one line only, may be alike in
//! two logs, and prove nothing. The decision is the same for the daemon, `import`, archives and `verify`,
//! which differ in their [`Policy`]. It asks neither the store nor the file system, but for bytes of the
//! content; [`in_place`] is for callers.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use crate::model::{Checkpoint, FileId, FileKey, Fingerprint, Micros, text_path};
use crate::source::Tail;
use crate::source::devices::Unreachable;
use crate::source::fingerprint::{ContentMatch, compare, same_object};
use crate::source::names::{
    is_derived_name, is_older_name, is_rotated_name, related_names, same_directory,
};

use crate::identity::content::Content;

/// The longest end of a line: a carriage return and a newline.
const LINE_END: u64 = 2;

/// How far the clocks of a file system and of a database may be apart: ten minutes.
const CLOCKS_DIFFER_US: Micros = 600_000_000;

/// What the process itself does with files at the time of the decision.
#[derive(Default)]
pub(crate) struct FilesOfProcess<'a> {
    pub(crate) followed: Vec<FollowedFile<'a>>,
    pub(crate) truncated: Vec<TruncatedFile<'a>>,
    /// Files whose object is still at the path where it was last seen, whatever it holds now.
    pub(crate) in_place: Vec<FileId>,
    /// Files whose object lies in a watched place, under whatever name.
    pub(crate) found: Vec<FileId>,
    /// Whether the process has found that the content has changed since it looked at it before.
    pub(crate) has_changed: bool,
}

/// A file that the process follows.
pub(crate) struct FollowedFile<'a> {
    pub(crate) file: FileId,
    /// `None` where only the claim is known: another task of the process reads it.
    pub(crate) content: Option<&'a dyn Content>,
    /// How far it was read, in bytes.
    pub(crate) position: u64,
    /// Whether it has no name in a watched place any more.
    pub(crate) nameless: bool,
}

/// A file that was truncated or replaced while the process followed it. Its other bytes may be in a
/// copy.
#[derive(Debug)]
pub(crate) struct TruncatedFile<'a> {
    pub(crate) file: FileId,
    pub(crate) path: Cow<'a, str>,
    pub(crate) head: Option<Fingerprint>,
    /// How far it was read, in bytes.
    pub(crate) position: u64,
    /// How much of it is stored, in bytes.
    pub(crate) committed: u64,
}

/// For whom the decision is made, which makes a difference where several are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// A file in a watched directory.
    Daemon,
    /// A file of the spool, which holds what came from a stream. It is known by its name, which no
    /// other ever has: two streams may begin with the same lines, and are not the same.
    Spool,
    /// A file that the user gives to `import`.
    Import,
    /// An archive in a watched directory. One that was read to its end is not decompressed again, unless it was
    /// written to since. Then it goes on from its committed offset, or holds other content, and is left alone:
    /// it never becomes a new log.
    Archive,
    /// A file that `verify` compares with the store. If an open file's object holds other content,
    /// that is no new file: it differs from what is stored.
    Verify,
}

impl Policy {
    /// Returns whether the content is to be followed while it grows. Then a copy of a file that this
    /// process follows is left alone, what was truncated goes on in its copy, and a copy that is
    /// still being made is waited for.
    fn follows(self) -> bool {
        matches!(self, Policy::Daemon | Policy::Spool)
    }
}

/// Which logical file some content is, and what to do with it.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It is this file, and goes on from its committed offset.
    Resume(FileId),
    /// It takes over the identity of this file, which is no longer where it was.
    Adopt(FileId),
    /// It is a copy of this file: left alone for as long as that file is followed.
    CopyOf(FileId),
    /// It lies where this followed file lay, which has no name any more, and holds all that is stored of it: it
    /// takes over its identity when nothing more comes to that one.
    Replaces(FileId),
    /// It is a file that the process is already storing.
    Held,
    /// It is this open file, whose last bytes are not those that were stored: a power cut took them. It goes
    /// on as another logical file, after the last line that agrees with its row.
    Cut(FileId),
    /// It begins like this stored file, and its content cannot prove that it is the same.
    Unproven(FileId),
    /// It is this file, which is stored under the name of another host.
    OfOtherHost(FileId),
    /// It is in none of the known files: read from its beginning.
    New,
    /// All of it is stored.
    AlreadyRead,
    /// If the store holds its last line in one of these files, all of it is stored.
    MayBeContained { files: Vec<FileId>, otherwise: Box<Decision> },
    /// It lies where this open file was, and holds something else; or it is the archive from which this file was
    /// read, and does not hold that any more.
    Changed(FileId),
    /// Decide again when a commit has ended, or a copy that is being made is complete.
    Wait,
    /// It cannot be read far enough to be compared with every file.
    Unreadable(io::Error),
}

/// Content compared with what is known.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// The known files, the one of which most is stored first; of equal ones, the newest first.
    pub(crate) matches: Vec<(Checkpoint, ContentMatch)>,
    /// Files under the names of other hosts that are this object and have this content.
    pub(crate) of_other_hosts: Vec<Checkpoint>,
    /// Why files of which more is stored could not be compared.
    error: Option<io::Error>,
    compared: Vec<FileId>,
}

impl Comparison {
    /// Compares `content`, of a file of `host`, with each known file, in the order of their committed
    /// offsets.
    pub(crate) fn of(content: &dyn Content, known: Vec<Checkpoint>, host: &str) -> Self {
        let compared = known.iter().map(|known| known.file).collect();
        let (mut known, mut others): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|known| known.host == host);
        use_current_heads(content, &mut known);
        use_current_heads(content, &mut others);
        // An inode alone says nothing on another host.
        others.retain(|known| {
            let born = known.key.is_some_and(|key| key.birth_us.is_some());
            let object = born && known.key == content.key();
            let found =
                object.then(|| compare(known, content.head(), |at| content.fingerprint_before(at)));
            matches!(found, Some(Ok(ContentMatch::Same)))
        });
        // The newest first was given: of equal ones it is the last to be compared.
        known.reverse();
        known.sort_by_key(|known| known.committed);
        let mut matches = Vec::with_capacity(known.len());
        let mut error = None;
        for known in known {
            match compare(&known, content.head(), |at| content.fingerprint_before(at)) {
                Ok(content_match) => matches.push((known, content_match)),
                Err(failed) => {
                    error = Some(failed);
                    break;
                }
            }
        }
        matches.reverse();
        Self { matches, of_other_hosts: others, error, compared }
    }

    /// Returns the ids of all files that it was compared with.
    pub(crate) fn files(&self) -> Vec<FileId> {
        self.compared.clone()
    }

    /// Returns the files that have this content.
    pub(crate) fn same(&self) -> impl Iterator<Item = &Checkpoint> {
        self.with(ContentMatch::Same)
    }

    fn with(&self, wanted: ContentMatch) -> impl Iterator<Item = &Checkpoint> {
        self.matches.iter().filter(move |(_, found)| *found == wanted).map(|(known, _)| known)
    }

    /// Returns the file that has this content and is this object. One that a power cut has ended goes on as
    /// another, even if the same lines stand there again.
    pub(crate) fn same_object_and_content(&self, content: &dyn Content) -> Option<&Checkpoint> {
        let mut same = self.same().filter(|known| known.kept_to.is_none());
        same.find(|known| is_object(known, content.key()))
    }

    /// Returns the files that earlier power cuts have ended in the log of `known`, the newest first: each
    /// begins alike, and ends where the one after it begins. Other logs may begin alike and have been cut at
    /// the same offset: the same object comes first, and else the name must be that of the same log.
    pub(crate) fn cut_before(&self, known: &Checkpoint) -> Vec<&Checkpoint> {
        let mut before = Vec::new();
        let (mut last, mut begin) = (known.file, known.first_offset);
        while begin > 0 {
            let all = self.matches.iter().map(|(other, _)| other);
            let ends_there = all.filter(|other| {
                other.kept_to == Some(begin)
                    && other.first_offset < begin
                    && other.file < last
                    && other.head == known.head
            });
            let of_same_log = ends_there.filter_map(|other| {
                let same = is_object(other, known.key);
                let named = || {
                    same_directory(&other.path, &known.path)
                        && related_names(&other.path, &known.path)
                };
                (same || named()).then_some((same, other.file, other))
            });
            let found = of_same_log.max_by_key(|(same, file, _)| (*same, *file));
            let Some((_, _, other)) = found else { break };
            before.push(other);
            (last, begin) = (other.file, other.first_offset);
        }
        before
    }

    /// Returns the open files whose object now holds other content.
    pub(crate) fn replaced(&self, content: &dyn Content) -> impl Iterator<Item = &Checkpoint> {
        let key = content.key();
        let other = self.matches.iter().filter(|(_, found)| *found != ContentMatch::Same);
        other.map(|(known, _)| known).filter(move |it| is_object(it, key) && !it.is_closed())
    }
}

/// Returns whether `key` is the object that this file was last seen as.
pub(crate) fn is_object(known: &Checkpoint, key: Option<FileKey>) -> bool {
    known.key.zip(key).is_some_and(|(known, key)| same_object(known, key))
}

/// Returns those of the `known` files whose object is still where it was last seen, and those where that cannot
/// be known because their file system does not answer.
pub(crate) fn in_place<'a>(known: impl IntoIterator<Item = &'a Checkpoint>) -> Vec<FileId> {
    let is_there = |known: &&Checkpoint| match Tail::key_and_size(&text_path(&known.path)) {
        Ok(found) => is_object(known, found.map(|(key, _)| key)),
        Err(error) => Unreachable::is(&error),
    };
    known.into_iter().filter(is_there).map(|known| known.file).collect()
}

/// Returns the files of one object that it still holds in part, the newest first: that it is now, and
/// those before it which power cuts have ended. One that began at its first byte has none before it.
pub(crate) fn still_held<'a>(
    known: &'a [Checkpoint],
    host: &str,
    key: Option<FileKey>,
) -> Vec<&'a Checkpoint> {
    let mut all: Vec<&Checkpoint> =
        known.iter().filter(|known| known.host == host && is_object(known, key)).collect();
    all.sort_by_key(|known| std::cmp::Reverse(known.file));
    let mut held: Vec<&Checkpoint> = Vec::new();
    for known in all {
        let begin = held.last().map(|last| last.first_offset);
        match begin {
            // It was truncated since: nothing of it is left, or of those before it.
            None if known.kept_to == Some(0) => break,
            None => held.push(known),
            Some(0) => break,
            Some(begin) if known.kept_to == Some(begin) => held.push(known),
            Some(_) => {}
        }
    }
    held
}

/// Replaces a first line's fingerprint that an older version made, in what is known of the content's own
/// object, by the one that is made now. A claim stores it.
fn use_current_heads(content: &dyn Content, known: &mut [Checkpoint]) {
    let head = content.head();
    let differs = |known: &&mut Checkpoint| {
        known.head.is_some() && known.head != head && is_object(known, content.key())
    };
    let mut differing = known.iter_mut().filter(differs).peekable();
    if differing.peek().is_none() {
        return;
    }
    if let Some(older) = content.older_head() {
        differing.filter(|known| known.head == Some(older)).for_each(|known| known.head = head);
    }
}

/// Compares `content` with the `known` files, and decides which of them it is.
pub(crate) fn resolve(
    content: &dyn Content,
    mut known: Vec<Checkpoint>,
    host: &str,
    here: &FilesOfProcess<'_>,
    policy: Policy,
) -> Decision {
    use_current_heads(content, &mut known);
    let was_read = |known: &Checkpoint| {
        known.is_closed() && known.head == content.head() && is_object(known, content.key())
    };
    let read: Vec<&Checkpoint> = known.iter().filter(|known| was_read(known)).collect();
    let Some(newest) =
        read.iter().map(|known| known.file).max().filter(|_| policy == Policy::Archive)
    else {
        return decide(content, &mut Comparison::of(content, known, host), here, policy);
    };
    let may_have_changed =
        here.has_changed || !read.iter().any(|known| was_left_alone(content, known));
    if !may_have_changed {
        return Decision::AlreadyRead;
    }
    decide(content, &mut Comparison::of(content, known, host), here, policy).not_new(newest)
}

/// Returns whether content was not written to since this file, which was read from it, was closed. What shares
/// a file system with other hosts may be late, and the database's clock may be ahead.
fn was_left_alone(content: &dyn Content, known: &Checkpoint) -> bool {
    let times = content.changed_at().zip(known.closed_at);
    times.is_some_and(|(changed, closed)| changed.saturating_add(CLOCKS_DIFFER_US) < closed)
}

impl Decision {
    /// Returns the decision about an archive from which the file `read` was read: what it holds besides was
    /// put in the place of stored lines, and with these it would be stored a second time.
    fn not_new(self, read: FileId) -> Self {
        match self {
            Decision::New => Decision::Changed(read),
            Decision::MayBeContained { files, otherwise } => {
                let otherwise = Box::new(otherwise.not_new(read));
                Decision::MayBeContained { files, otherwise }
            }
            other => other,
        }
    }
}

/// Decides which of the compared files `content` is.
pub(crate) fn decide(
    content: &dyn Content,
    compared: &mut Comparison,
    here: &FilesOfProcess<'_>,
    policy: Policy,
) -> Decision {
    let error = compared.error.take();
    let resolver = Resolver { content, compared, here, policy };
    let proves = resolver.proves_itself();
    let found = match policy {
        Policy::Spool => resolver.by_file_name(),
        _ => resolver.by_content(),
    };
    let decision = match (found, error) {
        (Some(decision), _) => decision,
        // After the place that cannot be read it may be a file that is known.
        (None, Some(error)) => Decision::Unreadable(error),
        (None, None) => resolver.unknown(),
    };
    // Content that begins like a known file and ends before its committed offset.
    let may_be_contained = match policy {
        Policy::Daemon | Policy::Spool => false,
        Policy::Import | Policy::Archive => proves,
        Policy::Verify => matches!(decision, Decision::New),
    };
    let shorter = compared.with(ContentMatch::Shorter).map(|known| known.file);
    let contained: Vec<FileId> = shorter.filter(|_| may_be_contained).collect();
    match contained.is_empty() {
        true => decision,
        false => Decision::MayBeContained { files: contained, otherwise: Box::new(decision) },
    }
}

struct Resolver<'a> {
    content: &'a dyn Content,
    compared: &'a Comparison,
    here: &'a FilesOfProcess<'a>,
    policy: Policy,
}

impl Resolver<'_> {
    /// Decides by everything but the spool's names; `None` if it is not a file that could be compared.
    fn by_content(&self) -> Option<Decision> {
        if let Some(known) = self.compared.same_object_and_content(self.content) {
            return Some(match self.follows(known.file) && !self.policy.follows() {
                true => Decision::Held,
                false => Decision::Resume(known.file),
            });
        }
        match self.policy {
            Policy::Daemon | Policy::Spool => self
                .was_cut()
                .map(|known| match self.was_appended_to(known) {
                    true => Decision::Wait,
                    false => Decision::Cut(known.file),
                })
                .or_else(|| self.copy_of_followed())
                .or_else(|| self.replaces_followed())
                .or_else(|| self.copy_of_stored()),
            Policy::Verify => self.compared.same().next().map(|it| Decision::Resume(it.file)),
            Policy::Import | Policy::Archive => self.same_as_stored(),
        }
    }

    fn follows(&self, file: FileId) -> bool {
        self.here.followed.iter().any(|it| it.file == file)
    }

    fn is_renamed(&self, known: &Checkpoint) -> bool {
        self.here.found.contains(&known.file) && !self.is_in_place(known)
    }

    fn is_in_place(&self, known: &Checkpoint) -> bool {
        self.here.in_place.contains(&known.file)
    }

    /// Returns whether the age of the content says that it is not a copy of the object that is known: it is older.
    ///
    /// Of two files that were made within one tick of the file system's clock, nothing says which one was first. It
    /// does not matter where lines have times. Elsewhere such a file is not left alone as a copy, since it may be a
    /// log that was rotated at once.
    fn cannot_be_copy_of(&self, key: Option<FileKey>) -> bool {
        let birth = |key: Option<FileKey>| key.and_then(|key| key.birth_us);
        let this = self.content.key();
        let is_other = || this.zip(key).is_some_and(|(this, key)| !same_object(this, key));
        birth(this).zip(birth(key)).is_some_and(|(this, other)| {
            this < other || this == other && is_other() && !self.proves_itself()
        })
    }

    fn has_birth(&self) -> bool {
        self.content.key().is_some_and(|key| key.birth_us.is_some())
    }

    /// Returns whether equal content of `length` bytes proves that it is the same log: its lines have
    /// times, and are more than one.
    fn proves(&self, length: u64) -> bool {
        let first_line = self.content.head().map_or(0, |head| u64::from(head.length));
        self.content.has_time() && length > first_line + LINE_END
    }

    /// Returns whether all of the content, whatever its length, may prove that it is the same log.
    fn proves_itself(&self) -> bool {
        self.proves(self.content.size().unwrap_or(u64::MAX))
    }

    /// Decides about a complete file by the stored files that have its content. In one directory is
    /// where copies lie: such files come first.
    fn same_as_stored(&self) -> Option<Decision> {
        let path = self.content.path();
        let is_near = |known: &&Checkpoint| {
            same_directory(&path, &known.path) && related_names(&path, &known.path)
        };
        let proven = || self.compared.same().filter(|known| self.proves(known.committed));
        let same = proven().find(is_near).or_else(|| proven().next());
        let same = same.or_else(|| {
            // A file that was compressed is gone, and its archive lies where it was.
            let is_compressed = |known: &&Checkpoint| {
                is_near(known) && !known.is_closed() && !self.is_in_place(known)
            };
            let mut same = self.compared.same().filter(|_| self.policy == Policy::Archive);
            same.find(is_compressed)
        });
        if let Some(known) = same {
            return Some(match self.follows(known.file) {
                true => Decision::Held,
                false => Decision::Resume(known.file),
            });
        }
        if self.policy != Policy::Import {
            return None;
        }
        // Nothing of it is stored: an import was interrupted, or another one has just begun, which holds
        // it and will soon have stored enough to compare with.
        let is_begun = |known: &&Checkpoint| {
            known.committed == 0 && (known.path == path || self.content.has_time())
        };
        if let Some(known) = self.compared.same().find(is_begun) {
            return Some(Decision::Resume(known.file));
        }
        let begins_alike = |(_, found): &&(Checkpoint, ContentMatch)| {
            *found == ContentMatch::Same
                || (*found == ContentMatch::Shorter && !self.proves_itself())
        };
        let unproven = self.compared.matches.iter().find(begins_alike);
        unproven.map(|(known, _)| Decision::Unproven(known.file))
    }

    /// A copy of a followed file holds what the file holds; or, if the file was truncated in this
    /// very moment and that is not known yet, what was committed of it.
    fn copy_of_followed(&self) -> Option<Decision> {
        for followed in &self.here.followed {
            let Some(other) = followed.content else { continue };
            if other.head() != self.content.head() || !self.may_be_copy_of(followed, other) {
                continue;
            }
            if self.is_longer_than(other) && other.is_intact() {
                continue;
            }
            if have_same_beginning(self.content, other) {
                return Some(Decision::CopyOf(followed.file));
            }
            if !other.is_intact() {
                if self.holds_all_of(followed) {
                    return Some(Decision::CopyOf(followed.file));
                }
                // The copy was still being made when it was compared, and is complete since; or something
                // was stored since.
                if self.content.has_grown() || self.was_unread(followed) {
                    return Some(Decision::Wait);
                }
            }
        }
        None
    }

    /// A log that was replaced under its name by a copy of itself, as rsync and `sed -i` do. A writer may still have the
    /// old one open. A copy that is still being made may get that name in a moment.
    fn replaces_followed(&self) -> Option<Decision> {
        let path = self.content.path();
        let mut proven = self.compared.same().filter(|known| self.proves(known.committed));
        proven.find_map(|known| {
            let followed = self.here.followed.iter().find(|it| it.file == known.file)?;
            let Some(other) = followed.content else {
                // It was claimed in this round, or an archive of it is read.
                return (known.path == path).then_some(Decision::Wait);
            };
            if self.cannot_be_copy_of(other.key()) || !same_directory(&path, &other.path()) {
                return None;
            }
            if other.path() == path && (followed.nameless || other.is_unlinked()) {
                return Some(Decision::Replaces(known.file));
            }
            let may_be_made = self.content.may_be_half_a_copy() && !self.content.is_unlinked();
            may_be_made.then_some(Decision::Wait)
        })
    }

    /// Returns whether directory, name, age and growth allow that the content is a copy of a followed
    /// file. A file at the live path is never the copy of one that was renamed away from it, and two
    /// directories hold two logs, unless the copy's name says that it is one.
    fn may_be_copy_of(&self, followed: &FollowedFile<'_>, other: &dyn Content) -> bool {
        let (path, other_path) = (self.content.path(), other.path());
        if self.cannot_be_copy_of(other.key()) {
            return false;
        }
        let proves = self.proves_itself();
        let related = related_names(&path, &other_path);
        let grows = self.content.grows();
        match same_directory(&path, &other_path) {
            // A copy that is made again and again grows too, and has such a name.
            true if is_derived_name(&path, &other_path) => !grows || self.has_birth(),
            true => {
                let is_all = proves && self.content.size() == other.size();
                // One that was truncated in this moment has its copy beside it.
                let allowed = !grows && related && !is_older_name(&other_path, &path);
                allowed && (is_all || !other.is_intact())
            }
            false => !grows && proves && related && (followed.nameless || is_rotated_name(&path)),
        }
    }

    fn is_longer_than(&self, other: &dyn Content) -> bool {
        self.content.size().zip(other.size()).is_some_and(|(size, other)| size > other)
    }

    /// Returns whether the content holds all that was committed of a followed file that begins
    /// alike.
    fn holds_all_of(&self, followed: &FollowedFile<'_>) -> bool {
        followed.position == 0
            || self.compared.same().any(|it| it.file == followed.file && it.committed > 0)
    }

    /// Returns whether nothing of a followed file was stored when it was compared.
    fn was_unread(&self, followed: &FollowedFile<'_>) -> bool {
        let mut matches = self.compared.matches.iter();
        matches.any(|(known, _)| known.file == followed.file && known.committed == 0)
    }

    /// Decides about content that a stored file has which is not followed. One with another name that is
    /// followed is skipped: both are live, two logs that say the same.
    fn copy_of_stored(&self) -> Option<Decision> {
        let stored = self.compared.same().filter(|known| !self.follows(known.file));
        let known = stored.into_iter().find(|known| self.may_take_over(known))?;
        let truncated = self.here.truncated.iter().find(|it| it.file == known.file);
        Some(match truncated {
            // What of it is being stored at the moment is not known yet.
            Some(file) if file.committed != file.position => Decision::Wait,
            _ => Decision::Adopt(known.file),
        })
    }

    /// Returns whether the content, which is that of a stored file, takes over its identity.
    fn may_take_over(&self, known: &Checkpoint) -> bool {
        let path = self.content.path();
        let is_truncated = self.here.truncated.iter().any(|it| it.file == known.file);
        let near = same_directory(&path, &known.path);
        let related = related_names(&path, &known.path);
        let is_all = self.content.size() == Some(known.committed) && !self.content.grows();
        let is_renamed_away = near && is_derived_name(&known.path, &path);
        // Compressed and deleted before it was decided about, and stored from its archive, which is younger.
        if is_renamed_away && self.content.is_unlinked() {
            return self.proves(known.committed) || is_all && known.is_closed();
        }
        if self.cannot_be_copy_of(known.key) {
            return false;
        }
        // Of one of which nothing is stored, only the first line is known. Another daemon may be about to
        // store it; if none has it, nothing of it can be stored twice.
        if known.committed == 0 && !is_truncated {
            return near
                && is_derived_name(&path, &known.path)
                && self.is_in_place(known)
                && !known.is_closed();
        }
        // At the live path is never the copy of a log that was renamed away from it.
        if is_renamed_away {
            return false;
        }
        // What a truncation or a power cut has ended may still be found in a copy, and nowhere else: not in
        // a log that grows, nor in an object that was a log before.
        if known.kept_to.is_some()
            && (!near
                || !is_derived_name(&path, &known.path)
                || self.content.grows()
                || self.compared.replaced(self.content).next().is_some())
        {
            return false;
        }
        if is_truncated {
            return near && related || self.proves(known.committed);
        }
        match (self.proves(known.committed), near) {
            // Renamed away, the object is the log; unless its name is that of a copy, this is another one.
            (true, true) if self.is_renamed(known) => is_derived_name(&path, &known.path),
            (true, true) => related || is_all,
            // It was moved here from another file system, or restored.
            (true, false) => {
                !self.is_in_place(known) && (is_all || (related && is_rotated_name(&path)))
            }
            // It was copied before the log was truncated, while no daemon followed it; the log may have
            // been renamed since.
            (false, true) => {
                is_derived_name(&path, &known.path)
                    && (self.is_in_place(known) || self.is_renamed(known))
            }
            (false, false) => false,
        }
    }

    /// Decides by the name, which is all that a file of the spool is known by.
    fn by_file_name(&self) -> Option<Decision> {
        let path = self.content.path();
        let name = Path::new(&*path).file_name();
        let is_it = |known: &Checkpoint| {
            known.kept_to.is_none() && Path::new(&known.path).file_name() == name
        };
        let (known, found) = self.compared.matches.iter().find(|(known, _)| is_it(known))?;
        Some(match found {
            ContentMatch::Same => Decision::Resume(known.file),
            // A spool that is being moved here is complete when it has stopped to grow.
            _ if self.content.has_grown() && !is_object(known, self.content.key()) => {
                Decision::Wait
            }
            _ => Decision::Cut(known.file),
        })
    }

    /// Decides about content that none of the known files has.
    fn unknown(&self) -> Decision {
        if self.policy == Policy::Spool {
            return Decision::New;
        }
        if self.policy == Policy::Verify
            && let Some(known) = self.compared.replaced(self.content).next()
        {
            return Decision::Changed(known.file);
        }
        if let Some(known) = self.compared.of_other_hosts.first()
            && self.policy != Policy::Verify
            && self.policy != Policy::Archive
        {
            return Decision::OfOtherHost(known.file);
        }
        // Of a file that was truncated before anything of it was stored, only the first line is
        // known.
        let unread = self.here.truncated.iter().find(|file| {
            self.policy.follows()
                && file.position == 0
                && file.head == self.content.head()
                && same_directory(&self.content.path(), &file.path)
                && is_derived_name(&self.content.path(), &file.path)
        });
        match unread {
            Some(file) if !self.was(file.file) => Decision::Adopt(file.file),
            _ if self.is_half_a_copy() => Decision::Wait,
            _ => Decision::New,
        }
    }

    /// Returns the open file that this object was, if it begins alike and ends differently: a power cut
    /// took its last bytes. A log that was truncated while it was followed is another case, and so is
    /// one whose content was found in another object, which is followed by now.
    fn was_cut(&self) -> Option<&Checkpoint> {
        if self.policy != Policy::Daemon {
            return None;
        }
        let replaced = self.compared.replaced(self.content).filter(|known| {
            known.head.is_some()
                && known.head == self.content.head()
                && known.committed > 0
                && !self.here.truncated.iter().any(|it| it.file == known.file)
                && !self.follows(known.file)
        });
        // An older one was truncated there, and its copy is still to be found.
        replaced.max_by_key(|known| known.file)
    }

    /// Returns whether the content was appended to since its size was read, and is only for that shorter than
    /// what is stored: another daemon that follows it has stored the new lines already.
    fn was_appended_to(&self, known: &Checkpoint) -> bool {
        self.content.size().is_some_and(|size| size < known.committed) && self.content.has_grown()
    }

    /// Returns whether the content lies where this file was last seen.
    fn was(&self, file: FileId) -> bool {
        let mut known = self.compared.matches.iter().map(|(known, _)| known);
        known.any(|known| known.file == file && is_object(known, self.content.key()))
    }

    /// Returns whether it may be the beginning of a copy that is still being made, as a move from
    /// another file system is: it begins like a known file and ends before what was stored of that.
    fn is_half_a_copy(&self) -> bool {
        let path = self.content.path();
        self.policy.follows()
            && self.content.may_be_half_a_copy()
            && self.compared.with(ContentMatch::Shorter).any(|known| {
                !is_object(known, self.content.key())
                    && known.kept_to.is_none()
                    && !self.cannot_be_copy_of(known.key)
                    && related_names(&path, &known.path)
                    && (is_derived_name(&path, &known.path)
                        || (is_rotated_name(&path) && !self.is_in_place(known)))
            })
    }
}

/// Returns whether the shorter of both is where the longer begins, by its last 4 KiB.
fn have_same_beginning(one: &dyn Content, other: &dyn Content) -> bool {
    let Some((one_size, other_size)) = one.size().zip(other.size()) else { return false };
    let length = one_size.min(other_size);
    matches!(
        (one.fingerprint_before(length), other.fingerprint_before(length)),
        (Ok(one), Ok(other)) if one == other
    )
}

#[cfg(test)]
mod tests;
