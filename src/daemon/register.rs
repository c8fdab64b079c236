//! New files meet what the store remembers.
//!
//! In two rounds. First, files that are the same object with the same content go on where they
//! stood. Then the others: a copy of a followed file is left alone, the copy of a file that is no
//! longer itself (truncated after it was copied, moved across file systems, restored) takes over
//! its identity and its offset, and everything else is new and read from its beginning. What was
//! cut off and is found nowhere is counted as lost, in the store.

use std::cmp::Reverse;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use crate::model::{Checkpoint, FileId, Fingerprint, NewFile, Sighting};
use crate::source::Envelope;
use crate::source::Tail;
use crate::source::fingerprint::ContentMatch;
use crate::store::{FIRST_EPOCH, StoreError, Writer};

use crate::daemon::files::{Followed, FollowedFiles, IgnoredFile, Waiting, Why};
use crate::daemon::resolve::{Applicant, Verdict, is_object, judge, liken};
use crate::identity::detect::{Examined, Unreadable, examine, settle_format};
use crate::identity::formats::{Format, Formats};

/// Time until the first try to claim again a file that another writer holds: the server may just
/// not have noticed yet that a killed daemon is gone.
const HELD_FIRST: Duration = Duration::from_millis(250);

/// The longest time between two tries; each is twice the one before.
const HELD_LONGEST: Duration = Duration::from_secs(5);

/// Brings every new file to a verdict. A store that fails leaves the rest for the next time.
///
/// # Errors
/// What the store says.
pub(crate) async fn enroll(
    files: &mut FollowedFiles,
    formats: &mut Formats,
    host: &str,
    writer: &mut Writer,
) -> Result<(), StoreError> {
    let mut applicants = Vec::new();
    let mut disowned = Vec::new();
    let mut waiting = take_new(files).into_iter();
    while let Some(mut tail) = waiting.next() {
        let streamed = files.streamed(tail.path());
        match examine(formats, host, &mut tail, streamed.as_ref()) {
            Ok(Examined::Log { head, choice, seen }) => {
                let known = match writer.candidates(&seen).await {
                    Ok(known) => known,
                    Err(error) => {
                        give_back(files, applicants, tail);
                        files.ignored.extend(waiting.map(IgnoredFile::waiting));
                        return Err(error);
                    }
                };
                let mut known: Vec<_> =
                    known.into_iter().filter_map(|c| liken(&tail, c, head)).collect();
                // Of two that are alike, it is the one of which more is stored: a file of which
                // nothing is stored is known by its first line only.
                known.sort_by_key(|(known, _)| Reverse(known.committed));
                // Truncated while it was compared: its first line was compared with one content
                // and its tail fingerprint with another.
                if tail.head_fingerprint().ok().flatten() != Some(head) {
                    files.ignored.push(IgnoredFile::waiting(tail));
                    continue;
                }
                let (format, told) = match settle_format(formats, choice, &known) {
                    Ok(chosen) => chosen,
                    Err(unreadable) => {
                        let size = tail.size();
                        let open = tell_unreadable(files, &tail, unreadable, streamed.is_some());
                        files.ignored.push(IgnoredFile::new(&tail, Why::NotOurs { size, open }));
                        continue;
                    }
                };
                applicants.push(Applicant { tail, head, format, told, seen, known });
            }
            Ok(Examined::NotOurs { open }) => {
                let size = tail.size();
                files.ignored.push(IgnoredFile::new(&tail, Why::NotOurs { size, open }));
            }
            Ok(Examined::Archive) => {
                let size = tail.size();
                files.new_archives.push(tail.key());
                files.ignored.push(IgnoredFile::new(&tail, Why::NotOurs { size, open: true }));
            }
            // Gone before it was read, and not held open: if it comes back, it is new again.
            Err(error) if !tail.is_open() && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                warn!(path = %tail.path().display(), %error, "cannot read this file");
                let size = tail.size();
                files.ignored.push(IgnoredFile::new(&tail, Why::NotOurs { size, open: true }));
            }
        }
    }
    // Round one: the same object goes first, so that a copy cannot take its place.
    let (same, others): (Vec<_>, Vec<_>) = applicants.into_iter().partition(|applicant| {
        applicant.known.iter().any(|(known, content_match)| {
            *content_match == ContentMatch::Same && is_object(known, &applicant.tail)
        })
    });
    for applicant in &others {
        for (known, _) in &applicant.known {
            if is_object(known, &applicant.tail) && !known.closed {
                disowned.push(known.clone());
            }
        }
    }
    let mut queue = same.into_iter().chain(others);
    while let Some(applicant) = queue.next() {
        let verdict = judge(files, &applicant);
        if let Err(failed) = settle(files, writer, applicant, verdict).await {
            let (error, tail) = *failed;
            give_back(files, queue.collect(), tail);
            return Err(error);
        }
    }
    for known in disowned {
        let taken = files.followed.iter().any(|file| file.file == known.file)
            || files.truncated.iter().any(|file| file.file == known.file);
        if !taken {
            close_disowned(writer, host, &known).await?;
        }
    }
    Ok(())
}

/// Nobody can read it, and nobody knows it. Whether more lines may change that.
fn tell_unreadable(
    files: &mut FollowedFiles,
    tail: &Tail,
    unreadable: Unreadable,
    streamed: bool,
) -> bool {
    let path = tail.path().display();
    match unreadable {
        _ if streamed => {
            if files.undecided.insert(tail.path().to_path_buf()) {
                warn!(%path, "no known format reads the first lines of this stream; it waits for \
                    more of them, or give --format");
            }
            true
        }
        Unreadable::Unknown => {
            warn!(%path, "no known format reads the first lines of this file: left alone; give \
                --format, or leave it out with --exclude");
            true
        }
        Unreadable::Contained { open: true } => {
            debug!(%path, "a container's log without access lines so far");
            true
        }
        Unreadable::Contained { open: false } => {
            info!(%path, "a container's log whose first 256 KiB hold no access line: left alone");
            false
        }
    }
}

/// Every file that awaits a verdict, out of the files.
fn take_new(files: &mut FollowedFiles) -> Vec<Tail> {
    let now = Instant::now();
    let mut taken = Vec::new();
    let mut kept = Vec::new();
    for ignored_file in files.ignored.drain(..) {
        match ignored_file.why {
            Why::New(tail) => taken.push(tail),
            Why::Held { tail, until } if until <= now => taken.push(tail),
            _ => kept.push(ignored_file),
        }
    }
    files.ignored = kept;
    taken
}

/// The store failed: these wait for the next time.
fn give_back(files: &mut FollowedFiles, rest: Vec<Applicant>, first: Tail) {
    let rest = rest.into_iter().map(|applicant| applicant.tail);
    files.ignored.extend(std::iter::once(first).chain(rest).map(IgnoredFile::waiting));
}

type Failed = Box<(StoreError, Tail)>;

/// What the store made of a verdict.
enum Taken {
    /// It is ours, from this offset on.
    Claimed(Box<Checkpoint>),
    /// Another writer has it.
    Held(FileId),
    /// It is left alone.
    CopyOf(FileId),
    /// So is this one, whatever comes.
    Damaged,
    /// Things have changed since they were compared: ask again.
    Again,
}

async fn settle(
    files: &mut FollowedFiles,
    writer: &mut Writer,
    applicant: Applicant,
    verdict: Verdict,
) -> Result<(), Failed> {
    let taken = match take(writer, &applicant, verdict).await {
        Ok(taken) => taken,
        Err(error) => return Err(Box::new((error, applicant.tail))),
    };
    let Applicant { tail, head, format, told, .. } = applicant;
    let path = tail.path();
    match taken {
        Taken::CopyOf(file) => {
            let size = tail.size();
            files.ignored.push(IgnoredFile::new(&tail, Why::CopyOf { file, size }));
        }
        Taken::Damaged => {
            warn!(path = %path.display(), "this file of the spool does not hold what was stored of it, \
                as after a power cut: left alone; what came last may be lost");
            let size = tail.size();
            files.ignored.push(IgnoredFile::new(&tail, Why::NotOurs { size, open: false }));
        }
        Taken::Again => files.ignored.push(IgnoredFile::waiting(tail)),
        Taken::Held(file) => {
            let wait = match files.held.get(&file) {
                Some(last) => (*last * 2).min(HELD_LONGEST),
                None => {
                    warn!(path = %path.display(),
                        "another log-ingestd writes this file: waiting for it");
                    HELD_FIRST
                }
            };
            files.held.insert(file, wait);
            files.ignored.push(IgnoredFile::held(tail, Instant::now() + wait));
        }
        Taken::Claimed(claimed) => {
            files.held.remove(&claimed.file);
            let truncated_file =
                files.truncated.iter().find(|truncated_file| truncated_file.file == claimed.file);
            let expected =
                truncated_file.map_or(0, |truncated_file| truncated_file.size).max(claimed.size);
            if expected > tail.size() {
                let bytes = expected - tail.size();
                warn!(file = claimed.file.0, path = %path.display(), bytes,
                    "this copy does not hold all of the file: these bytes are lost");
                if let Err(error) = writer.lose(claimed.file, claimed.epoch, bytes).await {
                    return Err(Box::new((error, tail)));
                }
            }
            files.truncated.retain(|truncated_file| truncated_file.file != claimed.file);
            if claimed.epoch == FIRST_EPOCH {
                let envelope = format.envelope.map(Envelope::name);
                let (format, about) = told
                    .map_or((format.parser.layout().format(), "as given"), |preset| {
                        (preset.name, preset.about)
                    });
                info!(file = claimed.file.0, path = %path.display(), format, about, envelope,
                    "following a new file");
            } else {
                info!(file = claimed.file.0, path = %path.display(), offset = claimed.committed,
                    "following on");
            }
            files.followed.push(followed(tail, &claimed, head, format));
        }
    }
    Ok(())
}

/// Asks the store for the file.
async fn take(
    writer: &mut Writer,
    applicant: &Applicant,
    verdict: Verdict,
) -> Result<Taken, StoreError> {
    let Applicant { format, seen, known, .. } = applicant;
    let file = match verdict {
        Verdict::CopyOf(file) => return Ok(Taken::CopyOf(file)),
        Verdict::Wait => return Ok(Taken::Again),
        Verdict::Damaged => return Ok(Taken::Damaged),
        Verdict::Resume(file) | Verdict::Adopt(file) => file,
        Verdict::New => {
            let new = NewFile {
                sighting: seen.clone(),
                format: format.format.clone(),
                time_estimated: !format.has_time,
            };
            let known: Vec<FileId> = known.iter().map(|(known, _)| known.file).collect();
            let registered = writer.register(&new, &known).await?;
            return Ok(registered.map_or(Taken::Again, |new| Taken::Claimed(Box::new(new))));
        }
    };
    let compared_at = known.iter().find(|(known, _)| known.file == file);
    let compared_at = compared_at.map_or(0, |(known, _)| known.committed);
    match writer.claim(file, seen, &format.format).await? {
        // Somebody else has stored more since the content was compared: compare that too.
        Some(claimed) if claimed.committed != compared_at => {
            writer.release(claimed.file).await?;
            Ok(Taken::Again)
        }
        Some(claimed) => Ok(Taken::Claimed(Box::new(claimed))),
        None => Ok(Taken::Held(file)),
    }
}

fn followed(
    mut tail: Tail,
    claimed: &Checkpoint,
    head: Fingerprint,
    format: Arc<Format>,
) -> Followed {
    tail.advance(claimed.position());
    tail.mark_verified(); // by its first line, and by the tail fingerprint if there is one
    Followed {
        tail,
        file: claimed.file,
        epoch: claimed.epoch,
        format,
        head: Some(head),
        committed: claimed.position(),
        ready: true,
        stuck_at: None,
        skipped_line: None,
        nameless: None,
        renamed: false,
        refused: None,
        waiting: Waiting::default(),
    }
}

/// A file was truncated or replaced while nobody looked, and its bytes were found nowhere.
async fn close_disowned(
    writer: &mut Writer,
    host: &str,
    known: &Checkpoint,
) -> Result<(), StoreError> {
    let seen = Sighting {
        host: host.to_owned(),
        path: known.path.clone(),
        key: known.key,
        head: known.head,
    };
    let Some(known) = writer.claim(known.file, &seen, &known.format).await? else {
        return Ok(()); // whoever follows it will see the same, and knows more
    };
    let lost = known.size.saturating_sub(known.committed);
    if lost > 0 {
        warn!(
            file = known.file.0,
            path = known.path,
            bytes = lost,
            "truncated before all of it was read: these bytes are lost"
        );
    }
    writer.close(known.file, known.epoch, lost, "truncated or replaced").await?;
    writer.release(known.file).await
}
