//! Who a new file is: pure, but for the bytes that it compares.
//!
//! The same object with the same content goes on where it stood. A copy of a followed file is left
//! alone; the copy of a file that is no longer itself takes over its identity and its offset;
//! everything else is new.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::format::Preset;
use crate::model::{Checkpoint, FileId, Fingerprint, Sighting};
use crate::source::Tail;
use crate::source::fingerprint::{ContentMatch, compare, related_names, same_object};

use crate::daemon::files::{Followed, FollowedFiles};
use crate::identity::formats::Format;

/// A copy whose size is the same for so long is not being made any more.
const AT_REST: Duration = Duration::from_secs(2);

/// What still grows after this long is no copy, but a log that begins like another one.
const COPIED: Duration = Duration::from_secs(60);

/// A new file with what there is to know about it.
pub(crate) struct Applicant {
    pub(crate) tail: Tail,
    pub(crate) head: Fingerprint,
    pub(crate) format: Arc<Format>,
    pub(crate) told: Option<&'static Preset>,
    pub(crate) seen: Sighting,
    pub(crate) known: Vec<(Checkpoint, ContentMatch)>,
}

impl Applicant {
    /// Whether it holds all that was committed of a followed file that begins alike.
    fn holds_all_of(&self, file: &Followed) -> bool {
        file.tail.offset() == 0
            || self.known.iter().any(|(known, content_match)| {
                known.file == file.file
                    && known.committed > 0
                    && *content_match == ContentMatch::Same
            })
    }

    /// Whether it may be the beginning of a copy that is still being made, as a move from another
    /// file system is: it begins like a known file and ends before what was stored of that.
    fn may_be_half_a_copy(&self) -> bool {
        let (met, at_rest) = (self.tail.known_for(), self.tail.unchanged_for());
        met < COPIED
            && at_rest < AT_REST
            && self.known.iter().any(|(known, content_match)| {
                *content_match == ContentMatch::Shorter
                    && !is_object(known, &self.tail)
                    && related_names(&self.seen.path, &known.path)
            })
    }
}

/// What to do with an applicant.
pub(crate) enum Verdict {
    /// It goes on as the file that it was.
    Resume(FileId),
    /// It takes over the identity of a file that is no longer itself.
    Adopt(FileId),
    /// It is left alone for as long as that file is followed.
    CopyOf(FileId),
    /// It is read from its beginning.
    New,
    /// It holds less than what was stored of it.
    Damaged,
    /// Ask again when a batch that is under way has landed, or a copy that is being made is whole.
    Wait,
}

/// Whether it is the very object of this checkpoint.
pub(crate) fn is_object(known: &Checkpoint, tail: &Tail) -> bool {
    known.key.is_some_and(|key| same_object(key, tail.key()))
}

/// Compares a file with what the store knows; `None` if it cannot be read.
pub(crate) fn liken(
    tail: &Tail,
    known: Checkpoint,
    head: Fingerprint,
) -> Option<(Checkpoint, ContentMatch)> {
    match compare(&known, tail.size(), Some(head), |offset| tail.tail_fingerprint_at(offset)) {
        Ok(content_match) => Some((known, content_match)),
        Err(error) => {
            warn!(path = %tail.path().display(), %error, "cannot read this file");
            None
        }
    }
}

/// Decides, by what is followed, cut short and known.
pub(crate) fn judge(files: &FollowedFiles, applicant: &Applicant) -> Verdict {
    let tail = &applicant.tail;
    if files.spool.covers(tail.path()) {
        return judge_spooled(applicant);
    }
    let alike = |known: &&(Checkpoint, ContentMatch)| known.1 == ContentMatch::Same;
    if let Some((known, _)) =
        applicant.known.iter().filter(alike).find(|(known, _)| is_object(known, tail))
    {
        return Verdict::Resume(known.file);
    }
    // A copy of a followed file holds what the file holds; or, if the file was truncated in this
    // very moment and nobody has noticed yet, what was committed of it.
    for file in &files.followed {
        if file.head != Some(applicant.head)
            || !related_names(&applicant.seen.path, &file.tail.path().to_string_lossy())
        {
            continue;
        }
        if same_content(tail, &file.tail) {
            return Verdict::CopyOf(file.file);
        }
        if !file.is_intact().unwrap_or(false) {
            if applicant.holds_all_of(file) {
                return Verdict::CopyOf(file.file);
            }
            // The copy was still being made when it was compared, and is whole since.
            if tail.has_grown() {
                return Verdict::Wait;
            }
        }
    }
    for (known, _) in applicant.known.iter().filter(alike) {
        if files.followed.iter().any(|file| file.file == known.file) {
            continue; // another name, and both live: two logs that say the same
        }
        match files.truncated.iter().find(|truncated_file| truncated_file.file == known.file) {
            Some(truncated_file) if truncated_file.committed != truncated_file.position => {
                return Verdict::Wait;
            }
            _ => return Verdict::Adopt(known.file),
        }
    }
    // Of a file that was cut short before anything of it was stored, only the first line is known.
    let unread = files.truncated.iter().find(|truncated_file| {
        truncated_file.position == 0
            && truncated_file.head == Some(applicant.head)
            && related_names(&applicant.seen.path, &truncated_file.path.to_string_lossy())
    });
    match unread {
        Some(truncated_file) if !is_object_of(applicant, truncated_file.file) => {
            Verdict::Adopt(truncated_file.file)
        }
        _ if applicant.may_be_half_a_copy() => Verdict::Wait,
        _ => Verdict::New,
    }
}

/// A file of the spool has a name that no other ever has. Two streams, or one that is there twice, may
/// begin with the same lines and are not the same.
fn judge_spooled(applicant: &Applicant) -> Verdict {
    let name = Path::new(&applicant.seen.path).file_name();
    let known =
        applicant.known.iter().find(|(known, _)| Path::new(&known.path).file_name() == name);
    match known {
        None => Verdict::New,
        Some((known, ContentMatch::Same)) => Verdict::Resume(known.file),
        Some(_) if applicant.tail.has_grown() => Verdict::Wait,
        Some(_) => Verdict::Damaged,
    }
}

/// Whether the file is the very object that was last known by this identity.
fn is_object_of(applicant: &Applicant, file: FileId) -> bool {
    applicant.known.iter().any(|(known, _)| known.file == file && is_object(known, &applicant.tail))
}

/// Whether the shorter of both is where the longer begins, by its last 4 KiB.
fn same_content(one: &Tail, other: &Tail) -> bool {
    let length = one.size().min(other.size());
    matches!((one.tail_fingerprint_at(length), other.tail_fingerprint_at(length)), (Ok(one), Ok(other)) if one == other)
}
