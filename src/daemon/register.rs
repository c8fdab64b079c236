//! Decides about new files, by what the store remembers.
//!
//! In two rounds. First, files that are the same object with the same content go on where they
//! stood. Then the others: a copy of a followed file is left alone; the copy of a file that is no
//! longer where it was (truncated after it was copied, moved across file systems, restored) takes
//! over its identity and its offset; everything else is new and read from its beginning. What was
//! truncated and is found nowhere is lost, and is counted.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::identity::claim::{ClaimResult, ClaimedFile, Compared, Ending, LossCounter};
use crate::identity::content::{Content, TailedFile};
use crate::identity::detect::{Detected, Formats, Inspected, Undetected, inspect};
use crate::identity::register::new_file;
use crate::identity::resolve::{Comparison, Decision, Policy, decide};
use crate::model::{Checkpoint, FileId, Fingerprint, Sighting};
use crate::pipeline::backoff::{Backoff, Jitter};
use crate::source::{Envelope, Tail};
use crate::store::{StoreError, Writer};

use crate::daemon::files::{FollowedFile, FollowedFiles, IgnoredFile, IgnoredReason, Waiting};

/// The waits between two requests for a file that another writer holds. The first is short: the
/// server may just not have noticed yet that a killed daemon is gone.
const HELD_BY_ANOTHER: Backoff =
    Backoff::new(Duration::from_millis(250), Duration::from_secs(5), Jitter::None);

/// A new log, and what was found out about it.
struct NewLog {
    tail: Tail,
    head: Fingerprint,
    detected: Detected,
    seen: Sighting,
    compared: Comparison,
}

impl NewLog {
    fn content(&self) -> TailedFile<'_> {
        TailedFile { tail: &self.tail, head: self.head }
    }
}

/// What became of a new log.
enum Registered {
    /// It is this file, and this process writes it.
    Claimed(ClaimedFile),
    /// Another writer holds this file.
    HeldByAnother(FileId),
    /// It is not followed.
    Ignored(IgnoredReason),
    /// It was deleted before it was read. If it comes back, it is new again.
    Gone,
    /// Something has changed since it was compared: decide again.
    Undecided,
}

/// Decides about every new file. If the store fails, the others are decided about the next time.
///
/// # Errors
/// The store's.
pub(crate) async fn register_new_files(
    files: &mut FollowedFiles,
    formats: &mut Formats,
    host: &str,
    writer: &mut Writer,
    losses: &LossCounter,
) -> Result<(), StoreError> {
    let mut logs = Vec::new();
    let mut undecided = take_undecided(files).into_iter();
    while let Some(tail) = undecided.next() {
        match inspect_and_compare(files, formats, host, writer, tail).await {
            Ok(log) => logs.extend(log),
            Err(error) => {
                let tails = logs.into_iter().map(|log| log.tail).chain(undecided);
                files.ignored.extend(tails.map(IgnoredFile::undecided));
                return Err(error);
            }
        }
    }
    // Round one: the same object goes first, so that a copy cannot take its place.
    let (same, others): (Vec<_>, Vec<_>) = logs
        .into_iter()
        .partition(|log| log.compared.same_object_and_content(&log.content()).is_some());
    let replaced: Vec<Checkpoint> = others
        .iter()
        .flat_map(|log| log.compared.replaced(&log.content()).cloned().collect::<Vec<_>>())
        .collect();
    let mut queue = same.into_iter().chain(others);
    while let Some(mut log) = queue.next() {
        match register(files, writer, &mut log, losses).await {
            Ok(Registered::Claimed(claim)) => follow(files, log, claim),
            Ok(Registered::HeldByAnother(file)) => hold_back(files, log.tail, file),
            Ok(Registered::Ignored(reason)) => {
                files.ignored.push(IgnoredFile::new(&log.tail, reason));
            }
            Ok(Registered::Gone) => {}
            Ok(Registered::Undecided) => files.ignored.push(IgnoredFile::undecided(log.tail)),
            Err(error) => {
                let tails = std::iter::once(log).chain(queue).map(|log| log.tail);
                files.ignored.extend(tails.map(IgnoredFile::undecided));
                return Err(error);
            }
        }
    }
    for known in replaced {
        let is_here = files.followed.iter().any(|file| file.file() == known.file)
            || files.truncated.iter().any(|file| file.file() == known.file);
        if !is_here {
            // It was replaced while no daemon followed it, and its bytes were found nowhere.
            ClaimedFile::close_unread(writer, &known, host, Ending::Truncated, losses).await?;
        }
    }
    Ok(())
}

/// Takes out every file about which is to be decided now.
fn take_undecided(files: &mut FollowedFiles) -> Vec<Tail> {
    let now = Instant::now();
    let due = files.ignored.extract_if(.., |file| file.reason.is_due(now));
    due.filter_map(|file| match file.reason {
        IgnoredReason::Undecided(tail) | IgnoredReason::HeldByAnotherWriter { tail, .. } => {
            Some(tail)
        }
        _ => None,
    })
    .collect()
}

/// Inspects a file, and compares it with what the store remembers. Returns `None` if it is ignored.
async fn inspect_and_compare(
    files: &mut FollowedFiles,
    formats: &mut Formats,
    host: &str,
    writer: &mut Writer,
    mut tail: Tail,
) -> Result<Option<NewLog>, StoreError> {
    let stream = files.stream_file(tail.path());
    let (head, detected) = match inspect(formats, &mut tail, stream.as_ref()) {
        Ok(Inspected::Log { head, detected }) => (head, detected),
        Ok(Inspected::Archive) => {
            files.new_archives.push(tail.key());
            let reason = IgnoredReason::Archive { size: tail.size() };
            files.ignored.push(IgnoredFile::new(&tail, reason));
            return Ok(None);
        }
        Ok(Inspected::NoLog(why)) => {
            files.ignored.push(IgnoredFile::new(&tail, no_log(&tail, why)));
            return Ok(None);
        }
        Err(error) => {
            files.ignored.extend(unreadable(&tail, &error).map(|it| IgnoredFile::new(&tail, it)));
            return Ok(None);
        }
    };
    let seen = Sighting {
        host: host.to_owned(),
        path: tail.path().to_string_lossy().into_owned(),
        key: Some(tail.key()),
        head: Some(head),
    };
    let known = match writer.candidates(&seen).await {
        Ok(known) => known,
        Err(error) => {
            files.ignored.push(IgnoredFile::undecided(tail));
            return Err(error);
        }
    };
    let content = TailedFile { tail: &tail, head };
    let compared = Comparison::of(&content, known);
    // Truncated while it was compared: its first line was compared with one content and its last
    // bytes with another.
    if !content.is_intact() {
        files.ignored.push(IgnoredFile::undecided(tail));
        return Ok(None);
    }
    match formats.stored_or_detected(&compared.matches, detected) {
        Ok(detected) => Ok(Some(NewLog { tail, head, detected, seen, compared })),
        Err(why) => {
            if stream.is_some() {
                log_undetected_stream(files, &tail);
            }
            files.ignored.push(IgnoredFile::new(&tail, no_log(&tail, why)));
            Ok(None)
        }
    }
}

/// Returns the reason for a file that holds no log, at least as it stands.
fn no_log(tail: &Tail, why: Undetected) -> IgnoredReason {
    IgnoredReason::NoLog { size: tail.size(), more: why.more_lines(), why }
}

/// Returns the reason for a file that cannot be read. Returns `None` for one that was deleted before
/// it was read, and is not held open: it is forgotten.
fn unreadable(tail: &Tail, error: &io::Error) -> Option<IgnoredReason> {
    if !tail.is_open() && error.kind() == io::ErrorKind::NotFound {
        return None;
    }
    Some(IgnoredReason::Unreadable { size: tail.size(), error: error.to_string() })
}

/// Says once that no format reads the lines of a stream so far.
fn log_undetected_stream(files: &mut FollowedFiles, tail: &Tail) {
    if files.undetected_streams.insert(tail.path().to_path_buf()) {
        warn!(path = %tail.path().display(), "no known format reads the first lines of this stream; \
            it waits for more of them, or give --format");
    }
}

/// Decides about a log, and asks the store for the file that it is.
async fn register(
    files: &mut FollowedFiles,
    writer: &mut Writer,
    log: &mut NewLog,
    losses: &LossCounter,
) -> Result<Registered, StoreError> {
    let NewLog { tail, head, detected, seen, compared } = log;
    let policy = if files.spool.covers(tail.path()) { Policy::Spool } else { Policy::Daemon };
    let content = TailedFile { tail, head: *head };
    let here = files.that_may_be(&content, compared);
    let decision = decide(&content, compared, &here, policy);
    drop(here);
    let size = tail.size();
    let file = match decision {
        Decision::Resume(file) | Decision::Adopt(file) => file,
        Decision::CopyOf(file) => {
            // A copy that is still being made is decided again at each look.
            if files.copies.insert(tail.path().to_path_buf()) {
                info!(path = %tail.path().display(), of = file.0,
                    "a copy of a followed file: left alone while it is only that");
            }
            return Ok(Registered::Ignored(IgnoredReason::CopyOf { file, size }));
        }
        Decision::Unreadable(error) => {
            return Ok(unreadable(tail, &error).map_or(Registered::Gone, Registered::Ignored));
        }
        Decision::Damaged => {
            warn!(path = %tail.path().display(), "this file of the spool does not hold what was \
                stored of it, as after a power cut: left alone; what came last may be lost");
            return Ok(Registered::Ignored(IgnoredReason::Damaged { size }));
        }
        Decision::New => {
            let new = new_file(seen, &detected.format);
            let known: Vec<FileId> = compared.matches.iter().map(|(known, _)| known.file).collect();
            let claim = ClaimedFile::register(writer, &new, &known, losses).await?;
            return Ok(claim.map_or(Registered::Undecided, Registered::Claimed));
        }
        // The others are decisions for other policies.
        Decision::Wait
        | Decision::Held
        | Decision::AlreadyRead
        | Decision::MayBeContained { .. }
        | Decision::Changed(_) => return Ok(Registered::Undecided),
    };
    let known = compared.matches.iter().find(|(known, _)| known.file == file);
    let compared = known.map_or(Compared::unread(file), |(known, _)| Compared::from(known));
    let format = &detected.format.format;
    let mut claim = match ClaimedFile::claim_known(writer, compared, seen, format, losses).await? {
        ClaimResult::Claimed(claim) => claim,
        ClaimResult::HeldByAnother => return Ok(Registered::HeldByAnother(file)),
        ClaimResult::Outdated => return Ok(Registered::Undecided),
    };
    let truncated = files.truncated.iter().find(|truncated| truncated.file() == file);
    let known_size = truncated.map_or(0, |truncated| truncated.size).max(claim.known_size());
    claim.lose_what_a_copy_lacks(writer, tail.path(), size, known_size).await?;
    Ok(Registered::Claimed(claim))
}

/// Waits for a file that another writer holds.
fn hold_back(files: &mut FollowedFiles, tail: Tail, file: FileId) {
    let waits = files.held_by_others.entry(file).or_insert_with(|| {
        warn!(path = %tail.path().display(), "another log-ingestd writes this file: waiting for it");
        HELD_BY_ANOTHER
    });
    let until = Instant::now() + waits.wait();
    let held = |tail| IgnoredReason::HeldByAnotherWriter { tail, until };
    files.ignored.push(IgnoredFile::that_may_be_followed(tail, held));
}

/// Follows a log that is claimed.
fn follow(files: &mut FollowedFiles, log: NewLog, claim: ClaimedFile) {
    let NewLog { mut tail, head, detected: Detected { format, preset }, .. } = log;
    let file = claim.file();
    files.held_by_others.remove(&file);
    files.truncated.retain(|truncated| truncated.file() != file);
    let path = tail.path().display();
    if claim.is_new() {
        let envelope = format.envelope.map(Envelope::name);
        let (name, about) = preset
            .map_or((format.parser.layout().format(), "as given"), |preset| {
                (preset.name, preset.about)
            });
        info!(file = file.0, %path, format = name, about, envelope, "following a new file");
    } else {
        info!(file = file.0, %path, offset = claim.committed().offset, "following on");
    }
    tail.advance(claim.committed());
    tail.mark_verified(); // by its first line, and by the bytes before the offset if there are any
    files.followed.push(FollowedFile {
        tail,
        claim,
        format: Arc::clone(&format),
        head: Some(head),
        ready: true,
        stuck_at: None,
        skipped_line: None,
        nameless: None,
        renamed: false,
        waiting: Waiting::default(),
    });
}
