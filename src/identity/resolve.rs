//! Decides which logical file some content is.
//!
//! A name says nothing (logs are renamed), an inode says little (it is used again); content decides:
//! the first line, and the bytes before the committed offset. The decision is the same for the
//! daemon, `import`, archives and `verify`, which differ in their [`Policy`]. It asks neither the
//! store nor the file system, but for bytes of the content.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use crate::model::{Checkpoint, FileId, FileKey, Fingerprint};
use crate::source::fingerprint::{ContentMatch, compare, related_names, same_object};

use crate::identity::content::Content;

/// What the process itself does with files at the time of the decision.
#[derive(Default)]
pub(crate) struct FilesOfProcess<'a> {
    pub(crate) followed: Vec<FollowedFile<'a>>,
    pub(crate) truncated: Vec<TruncatedFile<'a>>,
}

/// A file that the process follows.
pub(crate) struct FollowedFile<'a> {
    pub(crate) file: FileId,
    /// `None` where only the claim is known: another task of the process reads it.
    pub(crate) content: Option<&'a dyn Content>,
    /// How far it was read, in bytes.
    pub(crate) position: u64,
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
    /// An archive in a watched directory. One that was read to its end is not decompressed again.
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

    /// Returns whether of several files with this content it is the one that is this object of the
    /// file system. Else it is the one of which most is stored: the others begin like it and hold
    /// less.
    fn prefers_same_object(self) -> bool {
        self.follows() || self == Policy::Verify
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
    /// It is a file that the process is already storing.
    Held,
    /// It is in none of the known files: read from its beginning.
    New,
    /// All of it is stored.
    AlreadyRead,
    /// If the store holds its last line in one of these files, all of it is stored.
    MayBeContained { files: Vec<FileId>, otherwise: Box<Decision> },
    /// It lies where this open file was, and holds something else.
    Changed(FileId),
    /// It holds less than what was stored of it.
    Damaged,
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
    /// Why files of which more is stored could not be compared.
    error: Option<io::Error>,
}

impl Comparison {
    /// Compares `content` with each known file, in the order of their committed offsets.
    pub(crate) fn of(content: &dyn Content, mut known: Vec<Checkpoint>) -> Self {
        use_current_heads(content, &mut known);
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
        Self { matches, error }
    }

    /// Returns the files that have this content.
    fn same(&self) -> impl Iterator<Item = &Checkpoint> {
        self.with(ContentMatch::Same)
    }

    fn with(&self, wanted: ContentMatch) -> impl Iterator<Item = &Checkpoint> {
        self.matches.iter().filter(move |(_, found)| *found == wanted).map(|(known, _)| known)
    }

    /// Returns the file that has this content and is this object.
    pub(crate) fn same_object_and_content(&self, content: &dyn Content) -> Option<&Checkpoint> {
        self.same().find(|known| is_object(known, content.key()))
    }

    /// Returns the open files whose object now holds other content.
    pub(crate) fn replaced(&self, content: &dyn Content) -> impl Iterator<Item = &Checkpoint> {
        let key = content.key();
        let other = self.matches.iter().filter(|(_, found)| *found != ContentMatch::Same);
        other.map(|(known, _)| known).filter(move |it| is_object(it, key) && !it.closed)
    }
}

/// Returns whether `key` is the object that this file was last seen as.
pub(crate) fn is_object(known: &Checkpoint, key: Option<FileKey>) -> bool {
    known.key.zip(key).is_some_and(|(known, key)| same_object(known, key))
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
    here: &FilesOfProcess<'_>,
    policy: Policy,
) -> Decision {
    use_current_heads(content, &mut known);
    let was_read = |known: &Checkpoint| {
        known.closed && known.head == content.head() && is_object(known, content.key())
    };
    if policy == Policy::Archive && known.iter().any(was_read) {
        return Decision::AlreadyRead;
    }
    decide(content, &mut Comparison::of(content, known), here, policy)
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
        Policy::Import | Policy::Archive => true,
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
    /// Decides by content; `None` if it is not that of a file that could be compared.
    fn by_content(&self) -> Option<Decision> {
        if self.policy.prefers_same_object()
            && let Some(known) = self.compared.same_object_and_content(self.content)
        {
            return Some(Decision::Resume(known.file));
        }
        if !self.policy.follows() {
            return self.compared.same().next().map(|known| match self.follows(known.file) {
                true => Decision::Held,
                false => Decision::Resume(known.file),
            });
        }
        if let Some(decision) = self.copy_of_followed() {
            return Some(decision);
        }
        // A file with another name that is followed is skipped: both are live, two logs that say
        // the same.
        let known = self.compared.same().find(|known| !self.follows(known.file))?;
        let truncated = self.here.truncated.iter().find(|it| it.file == known.file);
        Some(match truncated {
            // What of it is being stored at the moment is not known yet.
            Some(file) if file.committed != file.position => Decision::Wait,
            _ => Decision::Adopt(known.file),
        })
    }

    fn follows(&self, file: FileId) -> bool {
        self.here.followed.iter().any(|it| it.file == file)
    }

    /// A copy of a followed file holds what the file holds; or, if the file was truncated in this
    /// very moment and that is not known yet, what was committed of it.
    fn copy_of_followed(&self) -> Option<Decision> {
        for followed in &self.here.followed {
            let Some(other) = followed.content else { continue };
            if other.head() != self.content.head()
                || !related_names(&self.content.path(), &other.path())
            {
                continue;
            }
            if have_same_beginning(self.content, other) {
                return Some(Decision::CopyOf(followed.file));
            }
            if !other.is_intact() {
                if self.holds_all_of(followed) {
                    return Some(Decision::CopyOf(followed.file));
                }
                // The copy was still being made when it was compared, and is complete since.
                if self.content.has_grown() {
                    return Some(Decision::Wait);
                }
            }
        }
        None
    }

    /// Returns whether the content holds all that was committed of a followed file that begins
    /// alike.
    fn holds_all_of(&self, followed: &FollowedFile<'_>) -> bool {
        followed.position == 0
            || self.compared.same().any(|it| it.file == followed.file && it.committed > 0)
    }

    /// Decides by the name, which is all that a file of the spool is known by.
    fn by_file_name(&self) -> Option<Decision> {
        let path = self.content.path();
        let name = Path::new(&*path).file_name();
        let is_it = |known: &Checkpoint| Path::new(&known.path).file_name() == name;
        let (known, found) = self.compared.matches.iter().find(|(known, _)| is_it(known))?;
        Some(match found {
            ContentMatch::Same => Decision::Resume(known.file),
            _ if self.content.has_grown() => Decision::Wait,
            _ => Decision::Damaged,
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
        // Of a file that was truncated before anything of it was stored, only the first line is
        // known.
        let unread = self.here.truncated.iter().find(|file| {
            self.policy.follows()
                && file.position == 0
                && file.head == self.content.head()
                && related_names(&self.content.path(), &file.path)
        });
        match unread {
            Some(file) if !self.was(file.file) => Decision::Adopt(file.file),
            _ if self.is_half_a_copy() => Decision::Wait,
            _ => Decision::New,
        }
    }

    /// Returns whether the content lies where this file was last seen.
    fn was(&self, file: FileId) -> bool {
        let mut known = self.compared.matches.iter().map(|(known, _)| known);
        known.any(|known| known.file == file && is_object(known, self.content.key()))
    }

    /// Returns whether it may be the beginning of a copy that is still being made, as a move from
    /// another file system is: it begins like a known file and ends before what was stored of that.
    fn is_half_a_copy(&self) -> bool {
        self.policy.follows()
            && self.content.may_be_half_a_copy()
            && self.compared.with(ContentMatch::Shorter).any(|known| {
                !is_object(known, self.content.key())
                    && related_names(&self.content.path(), &known.path)
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
