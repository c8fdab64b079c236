//! Decides about new files, by what the store remembers.
//!
//! In three rounds. First, files that are the same object with the same content go on where they
//! stood. Then what may be a copy: that of a followed file is left alone; the copy of a file that is no
//! longer where it was (truncated after it was copied, moved across file systems, restored) takes
//! over its identity and its offset; and everything that nothing is known of is new and read from its
//! beginning. Last, objects of which other content is stored: a log whose end a power cut took goes on
//! after its last line that is stored, and one that was truncated begins anew. What was truncated and is
//! found nowhere is lost, and is counted.
//!
//! After a start with very many files, a part of them is decided about at a time, and what is decided
//! is read and stored before the next part. The files that were written last come first: lines of a log
//! that is in use do not wait for thousands of idle ones. The rounds stay what they are: each begins when
//! the one before has ended for all files.

use std::cmp::Reverse;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use crate::identity::claim::{ClaimResult, ClaimedFile, Compared, Ending, LossCounter};
use crate::identity::content::{Content, TailedFile};
use crate::identity::detect::{
    Detected, Formats, Inspected, MoreLines, Odd, Undetected, inspect, log_other_format, place_of,
};
use crate::identity::power_cut::{End, find_end};
use crate::identity::register::new_file;
use crate::identity::resolve::{Comparison, Decision, Policy, decide, in_place, is_object};
use crate::model::{Checkpoint, FileId, Fingerprint, NewFile, Sighting, path_text, text_path};
use crate::pipeline::backoff::{Backoff, Jitter};
use crate::source::devices::{Unreachable, unreachable_devices};
use crate::source::fingerprint::{ContentMatch, compare as compare_content};
use crate::source::names::same_directory;
use crate::source::origin::origin;
use crate::source::{Envelope, Tail};
use crate::store::{StoreError, Writer};

use crate::daemon::files::{
    FollowedFile, FollowedFiles, IgnoredFile, IgnoredReason, Round, TruncatedFile, Waiting,
};

/// The waits between two requests for a file that another writer holds. The first is short: the
/// server may just not have noticed yet that a killed daemon is gone.
const HELD_BY_ANOTHER: Backoff =
    Backoff::new(Duration::from_millis(250), Duration::from_secs(5), Jitter::None);

/// The waits until a file of which more lines seldom help is examined again, if it has grown. An error log
/// grows for ever.
const EXAMINED_AGAIN: Backoff =
    Backoff::new(Duration::from_millis(500), Duration::from_secs(60), Jitter::None);

/// The most files that are decided about at a time.
const AT_ONCE: usize = 500;

/// A file that holds lines.
struct Inspection {
    tail: Box<Tail>,
    head: Fingerprint,
    detected: Result<Detected, Undetected>,
    seen: Sighting,
    is_stream: bool,
    place: PathBuf,
}

/// A new log, and what was found out about it.
struct NewLog {
    tail: Box<Tail>,
    head: Fingerprint,
    detected: Detected,
    seen: Sighting,
    compared: Comparison,
    /// The path by which the user's format for it is found.
    place: PathBuf,
}

impl NewLog {
    fn content(&self, files: &FollowedFiles) -> TailedFile<'_> {
        TailedFile {
            tail: &self.tail,
            head: self.head,
            has_time: self.detected.format.has_time,
            grows: files.grows(self.tail.key()),
        }
    }
}

/// What became of a new log.
enum Registered {
    /// It is this file, and this process writes it. If a log goes on by it after a power cut, the file
    /// before is ended.
    Claimed { claim: Box<ClaimedFile>, ended: Option<FileId> },
    /// Another writer holds this file.
    HeldByAnother(FileId),
    /// It is not followed.
    Ignored(IgnoredReason),
    /// It was deleted before it was read. If it comes back, it is new again.
    Gone,
    /// It is none of those that are known, and is to be registered.
    New,
    /// Something has changed since it was compared: decide again.
    Undecided,
}

impl Registered {
    fn claimed(claim: ClaimedFile) -> Self {
        Self::Claimed { claim: Box::new(claim), ended: None }
    }
}

/// Decides about new files: all of them, or a part if there are very many. Then `files.deciding` says so.
/// If the store fails, the others are decided about the next time.
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
    let (tails, round) = take_undecided(files);
    files.deciding = round.is_some();
    let logs = inspect_and_compare(files, formats, host, writer, tails, losses).await?;
    // The same object goes first, so that a copy cannot take its place. Then what may be the copy of a
    // file; last the objects of which other content is stored, whose copy is followed by then.
    let (same, others): (Vec<_>, Vec<_>) = logs
        .into_iter()
        .partition(|log| log.compared.same_object_and_content(&log.content(files)).is_some());
    let (mut copies, mut others): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|log| log.compared.replaced(&log.content(files)).next().is_none());
    // A round that has ended does not begin again for those of a later one.
    let (later, next) = match round {
        Some(Round::SameObject) => {
            (copies.drain(..).chain(others.drain(..)).collect(), Round::Copy)
        }
        Some(Round::Copy) => (std::mem::take(&mut others), Round::Replaced),
        Some(Round::Replaced) | None => (Vec::new(), Round::Replaced),
    };
    files.ignored.extend(later.into_iter().map(|log| IgnoredFile::of_round(next, log.tail)));
    let mut queue: VecDeque<NewLog> = same.into();
    if let Err(error) = resume(files, writer, &mut queue, losses).await {
        let tails = queue.into_iter().chain(copies).chain(others).map(|log| log.tail);
        files.ignored.extend(tails.map(IgnoredFile::undecided));
        return Err(error);
    }
    queue.extend(copies);
    queue.extend(others);
    let mut new = Vec::new();
    let done = register_others(files, formats, writer, &mut queue, &mut new, losses).await;
    if let Err(error) = done {
        let tails = new.into_iter().chain(queue).map(|log| log.tail);
        files.ignored.extend(tails.map(IgnoredFile::undecided));
        return Err(error);
    }
    while !files.deciding
        && let Some(known) = files.replaced.pop()
    {
        if !files.is_followed(known.file) {
            // It was replaced while no daemon followed it, and its bytes were found nowhere.
            let known = std::slice::from_ref(&known);
            ClaimedFile::close_unread(writer, known, host, Ending::Truncated, losses).await?;
        }
    }
    Ok(())
}

/// Takes out the files about which is to be decided now. If there are too many, they are a part of those
/// of the earliest round, which is returned too: of the first round, those that were written last.
#[expect(clippy::vec_box, reason = "each file keeps its place in memory when it is followed")]
fn take_undecided(files: &mut FollowedFiles) -> (Vec<Box<Tail>>, Option<Round>) {
    let (now, unreachable) = (Instant::now(), unreachable_devices());
    let is_due =
        |file: &IgnoredFile| file.reason.is_due(now) && !unreachable.contains(&file.key.device);
    let due = || files.ignored.iter().enumerate().filter(|(_, file)| is_due(file));
    let round = due().map(|(_, file)| file.round).min().filter(|_| due().nth(AT_ONCE).is_some());
    let chosen: Option<HashSet<usize>> = round.map(|round| {
        let of_round = due().filter(|(_, file)| file.round == round);
        let mut of_round: Vec<_> = of_round
            .map(|(at, file)| {
                let written = file.reason.tail().map(|tail| tail.written());
                (Reverse(written.filter(|_| round == Round::SameObject)), at)
            })
            .collect();
        if of_round.len() > AT_ONCE {
            of_round.select_nth_unstable(AT_ONCE);
            of_round.truncate(AT_ONCE);
        }
        of_round.into_iter().map(|(_, at)| at).collect()
    });
    let mut at = 0..;
    let taken = files.ignored.extract_if(.., |file| {
        let at = at.next();
        let is_chosen =
            chosen.as_ref().is_none_or(|chosen| at.is_some_and(|at| chosen.contains(&at)));
        is_chosen && is_due(file)
    });
    let mut taken: Vec<Box<Tail>> = taken.filter_map(|file| file.reason.into_tail()).collect();
    if round == Some(Round::SameObject) {
        taken.sort_by_key(|tail| Reverse(tail.written()));
    }
    (taken, round)
}

/// Inspects files, and compares them with what the store remembers. Those that are ignored are not
/// returned.
#[expect(clippy::vec_box, reason = "each file keeps its place in memory when it is followed")]
async fn inspect_and_compare(
    files: &mut FollowedFiles,
    formats: &mut Formats,
    host: &str,
    writer: &mut Writer,
    tails: Vec<Box<Tail>>,
    losses: &LossCounter,
) -> Result<Vec<NewLog>, StoreError> {
    let mut inspected = Vec::with_capacity(tails.len());
    let mut tails = tails.into_iter();
    while let Some(tail) = tails.next() {
        match inspect_one(files, formats, host, writer, tail, losses).await {
            Ok(inspection) => inspected.extend(inspection),
            Err(error) => {
                let tails = inspected.into_iter().map(|it| it.tail).chain(tails);
                files.ignored.extend(tails.map(IgnoredFile::undecided));
                return Err(error);
            }
        }
    }
    let seen: Vec<&Sighting> = inspected.iter().map(|it| &it.seen).collect();
    let known = match writer.candidates_of_all(&seen).await {
        Ok(known) => known,
        Err(error) => {
            let tails = inspected.into_iter().map(|it| it.tail);
            files.ignored.extend(tails.map(IgnoredFile::undecided));
            return Err(error);
        }
    };
    let logs = inspected.into_iter().zip(known);
    Ok(logs.filter_map(|(it, known)| compare(files, formats, host, it, known)).collect())
}

/// Inspects a file. Returns `None` if it is ignored.
async fn inspect_one(
    files: &mut FollowedFiles,
    formats: &mut Formats,
    host: &str,
    writer: &mut Writer,
    mut tail: Box<Tail>,
    losses: &LossCounter,
) -> Result<Option<Inspection>, StoreError> {
    let stream = files.stream_file(tail.path());
    let (head, detected) = match inspect(formats, &mut tail, stream.as_ref()) {
        Ok(Inspected::Log { head, detected }) => (head, detected),
        Ok(Inspected::Archive) => {
            files.new_archives.push(tail.key());
            let reason = IgnoredReason::Archive { size: tail.size() };
            files.ignored.push(IgnoredFile::new(&tail, reason));
            return Ok(None);
        }
        Ok(Inspected::Container(container)) => {
            let reason = IgnoredReason::Container { size: tail.size(), container };
            files.ignored.push(IgnoredFile::new(&tail, reason));
            files.log_containers();
            return Ok(None);
        }
        Ok(Inspected::NoLog(why)) => {
            if let Err(error) = close_replaced(files, host, writer, &tail, losses).await {
                files.ignored.push(IgnoredFile::undecided(tail));
                return Err(error);
            }
            let reason = no_log(files, &tail, why);
            files.ignored.push(IgnoredFile::new(&tail, reason));
            return Ok(None);
        }
        Err(error) if Unreachable::is(&error) => {
            files.ignored.push(IgnoredFile::undecided(tail));
            return Ok(None);
        }
        Err(error) => {
            files.ignored.extend(unreadable(&tail, &error).map(|it| IgnoredFile::new(&tail, it)));
            return Ok(None);
        }
    };
    let seen = Sighting {
        host: host.to_owned(),
        path: path_text(tail.path()).into_owned(),
        key: Some(tail.key()),
        head: Some(head),
        origin: origin(tail.path()),
    };
    let place = place_of(&tail, stream.as_ref());
    Ok(Some(Inspection { tail, head, detected, seen, is_stream: stream.is_some(), place }))
}

/// Compares a file with what the store remembers. Returns `None` if it is ignored.
fn compare(
    files: &mut FollowedFiles,
    formats: &mut Formats,
    host: &str,
    inspection: Inspection,
    known: Vec<Checkpoint>,
) -> Option<NewLog> {
    let Inspection { mut tail, head, detected, seen, is_stream, place } = inspection;
    let content = TailedFile { tail: &tail, head, has_time: false, grows: false };
    let compared = Comparison::of(&content, known, host);
    // Truncated while it was compared: its first line was compared with one content and its last
    // bytes with another.
    if !content.is_intact() {
        files.ignored.push(IgnoredFile::undecided(tail));
        return None;
    }
    // By its first line, and by the bytes before the offset if there are any, up to the size that it had when
    // it was inspected. It may be truncated and written again before it is claimed.
    tail.mark_verified();
    let detected = match formats.stored_or_detected(&place, &compared.matches, detected) {
        Err(why @ Undetected::UnknownFormat) if !is_stream => {
            // That of the same object, or of the log that was rotated away from here.
            let same = compared.matches.iter().map(|(known, _)| known);
            let same = same.filter(|known| is_object(known, seen.key));
            let mut before = Vec::new();
            for known in same {
                let odd = match known.head == Some(head) {
                    true => Odd::AllButOne, // its beginning shows that it is the same log, damaged
                    false => Odd::Half,
                };
                before.extend(formats.of_known(&place, known).map(|format| (format, odd)));
            }
            let of_log = files.formats_of_log(&seen.path).into_iter();
            before.extend(of_log.map(|format| (format, Odd::OneOfFive)));
            match formats.as_before(&tail, before) {
                Ok(detected) => detected.ok_or(why),
                Err(error) if Unreachable::is(&error) => {
                    files.ignored.push(IgnoredFile::undecided(tail));
                    return None;
                }
                Err(error) => {
                    let reason = unreadable(&tail, &error);
                    files.ignored.extend(reason.map(|it| IgnoredFile::new(&tail, it)));
                    return None;
                }
            }
        }
        detected => detected,
    };
    match detected {
        Ok(detected) => Some(NewLog { tail, head, detected, seen, compared, place }),
        Err(why) => {
            if is_stream {
                log_undetected_stream(files, &tail);
            }
            let reason = no_log(files, &tail, why);
            files.ignored.push(IgnoredFile::new(&tail, reason));
            None
        }
    }
}

/// Goes on with files that are the same objects with the same content, many in one request. What is
/// decided in another way stays in the queue.
async fn resume(
    files: &mut FollowedFiles,
    writer: &mut Writer,
    queue: &mut VecDeque<NewLog>,
    losses: &LossCounter,
) -> Result<(), StoreError> {
    let mut known = HashSet::with_capacity(queue.len());
    let mut resumed = Vec::with_capacity(queue.len());
    let mut others = VecDeque::new();
    for log in queue.drain(..) {
        let same = log.compared.same_object_and_content(&log.content(files)).map(Compared::from);
        let is_spooled = files.spool.covers(log.tail.path());
        match same.filter(|it| !is_spooled && known.insert(it.file)) {
            Some(same) => resumed.push((log, same)),
            None => others.push_back(log),
        }
    }
    let requests: Vec<(Compared, &Sighting, &str)> = resumed
        .iter()
        .map(|(log, same)| (*same, &log.seen, log.detected.format.format.as_str()))
        .collect();
    let results = ClaimedFile::claim_all_known(writer, &requests, losses).await;
    let results = match results {
        Ok(results) => results,
        Err(error) => {
            queue.extend(resumed.into_iter().map(|(log, _)| log));
            queue.extend(others);
            return Err(error);
        }
    };
    let mut done = resumed.into_iter().zip(results);
    while let Some(((mut log, same), result)) = done.next() {
        debug!(path = %log.tail.path().display(), file = same.file.0, "the same object and content");
        match after_claim(files, writer, &mut log, same.file, result).await {
            Ok(registered) => after_registration(files, log, registered),
            Err(error) => {
                queue.push_back(log);
                queue.extend(done.map(|((log, _), _)| log));
                queue.extend(others);
                return Err(error);
            }
        }
    }
    queue.extend(others);
    Ok(())
}

/// Decides about the other logs one by one, in their order. New ones are collected in `new` and registered
/// together, but before a log is decided about that begins like one of them.
async fn register_others(
    files: &mut FollowedFiles,
    formats: &mut Formats,
    writer: &mut Writer,
    queue: &mut VecDeque<NewLog>,
    new: &mut Vec<NewLog>,
    losses: &LossCounter,
) -> Result<(), StoreError> {
    while let Some(mut log) = queue.pop_front() {
        if new.iter().any(|other| other.head == log.head)
            && let Err(error) = register_collected(files, writer, new, losses).await
        {
            queue.push_front(log);
            return Err(error);
        }
        match register(files, formats, writer, &mut log, losses).await {
            Ok(Registered::New) => new.push(log),
            Ok(registered) => after_registration(files, log, registered),
            Err(error) => {
                queue.push_front(log);
                return Err(error);
            }
        }
    }
    register_collected(files, writer, new, losses).await
}

/// Registers logs that are none of those that are known, and no two of which begin alike.
async fn register_collected(
    files: &mut FollowedFiles,
    writer: &mut Writer,
    new: &mut Vec<NewLog>,
    losses: &LossCounter,
) -> Result<(), StoreError> {
    if new.is_empty() {
        return Ok(());
    }
    let rows: Vec<(NewFile, Vec<FileId>)> = new
        .iter()
        .map(|log| (new_file(&log.seen, &log.detected.format), log.compared.files()))
        .collect();
    let claims = ClaimedFile::register_all(writer, &rows, losses).await?;
    for (log, claim) in new.drain(..).zip(claims) {
        after_registration(files, log, claim.map_or(Registered::Undecided, Registered::claimed));
    }
    Ok(())
}

/// Follows a log, or takes note of why it is not followed.
fn after_registration(files: &mut FollowedFiles, log: NewLog, registered: Registered) {
    match registered {
        // In a database that was restored to an earlier state, ids are given again.
        Registered::Claimed { claim, .. } if files.followed.place(claim.file()).is_some() => {
            files.restored = true;
            files.ignored.push(IgnoredFile::undecided(log.tail));
        }
        Registered::Claimed { claim, ended } => {
            let content = log.content(files);
            let replaced = log.compared.replaced(&content);
            let replaced = replaced.filter(|known| Some(known.file) != ended);
            let replaced: Vec<Checkpoint> = replaced.cloned().collect();
            files.replaced.extend(replaced);
            follow(files, log, *claim);
        }
        Registered::HeldByAnother(file) => hold_back(files, log.tail, file),
        Registered::Ignored(reason) => files.ignored.push(IgnoredFile::new(&log.tail, reason)),
        Registered::Gone => {}
        Registered::New | Registered::Undecided => {
            files.ignored.push(IgnoredFile::undecided(log.tail));
        }
    }
}

/// Ends the file that this object was, if it holds other content, of which not even a line is left: it was
/// truncated while no daemon followed it, or a power cut took all of it.
async fn close_replaced(
    files: &FollowedFiles,
    host: &str,
    writer: &mut Writer,
    tail: &Tail,
    losses: &LossCounter,
) -> Result<(), StoreError> {
    // Of a file that cannot be read nothing is known.
    let Ok(head) = tail.head_fingerprint() else { return Ok(()) };
    let seen = Sighting {
        host: host.to_owned(),
        path: path_text(tail.path()).into_owned(),
        key: Some(tail.key()),
        head,
        origin: origin(tail.path()),
    };
    for known in writer.candidates(&seen).await? {
        let was_here = known.host == host && !known.is_closed() && is_object(&known, seen.key);
        let found = compare_content(&known, seen.head, |at| tail.tail_fingerprint_at(at));
        let is_other = known.committed > 0 && matches!(found, Ok(it) if it != ContentMatch::Same);
        if was_here && is_other && !files.is_followed(known.file) {
            let known = std::slice::from_ref(&known);
            ClaimedFile::close_unread(writer, known, host, Ending::Truncated, losses).await?;
        }
    }
    Ok(())
}

/// Returns the reason for a file that holds no log, at least as it stands.
fn no_log(files: &mut FollowedFiles, tail: &Tail, why: Undetected) -> IgnoredReason {
    let (more, mut due) = (why.more_lines(), Instant::now());
    if more == MoreLines::SeldomHelp {
        due += files.examinations.entry(tail.key()).or_insert(EXAMINED_AGAIN).wait();
    }
    IgnoredReason::NoLog { size: tail.size(), more, why, due }
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
    formats: &mut Formats,
    writer: &mut Writer,
    log: &mut NewLog,
    losses: &LossCounter,
) -> Result<Registered, StoreError> {
    let spooled = files.spool.covers(log.tail.path());
    let policy = if spooled { Policy::Spool } else { Policy::Daemon };
    let (grows, has_time) = (files.grows(log.tail.key()), log.detected.format.has_time);
    let NewLog { tail, head, detected, seen, compared, place } = log;
    let content = TailedFile { tail, head: *head, has_time, grows };
    let here = files.that_may_be(&content, compared);
    let decision = decide(&content, compared, &here, policy);
    drop(here);
    debug!(path = %tail.path().display(), ?decision, "decided which log this is");
    let size = tail.size();
    let file = match decision {
        Decision::Resume(file) | Decision::Adopt(file) => file,
        Decision::CopyOf(file) => {
            files.copy_seen(tail.key());
            // A copy that is still being made is decided again at each look.
            let is_new = files.copies.insert(tail.path().to_path_buf());
            if is_new && files.announcements.may_name(Instant::now()) {
                info!(path = %tail.path().display(), of = file.0,
                    "a copy of a followed file: left alone while it is only that");
            }
            return Ok(Registered::Ignored(IgnoredReason::CopyOf { file, size }));
        }
        Decision::Unreadable(error) if Unreachable::is(&error) => return Ok(Registered::Undecided),
        Decision::Unreadable(error) => {
            return Ok(unreadable(tail, &error).map_or(Registered::Gone, Registered::Ignored));
        }
        Decision::Cut(file) => {
            let known = compared.matches.iter().find(|(known, _)| known.file == file);
            let Some((known, _)) = known else { return Ok(Registered::Undecided) };
            let format = formats.of_known(place, known).unwrap_or(Arc::clone(&detected.format));
            // Earlier power cuts may have ended files in this log; the newest comes first.
            let before = compared.cut_before(known);
            let begins = match find_end(writer, tail, known, &before, &format).await? {
                End::At(begins) => begins,
                End::Nowhere => {
                    warn!(path = %tail.path().display(), before = file.0,
                        "this log begins like what was stored of it, and none of its lines agrees with its \
                         row: stored as a new log");
                    log_look_alike(files, log);
                    return Ok(Registered::New);
                }
                End::Unreadable(error) if Unreachable::is(&error) => {
                    return Ok(Registered::Undecided);
                }
                End::Unreadable(error) => {
                    let ignored = unreadable(tail, &error);
                    return Ok(ignored.map_or(Registered::Gone, Registered::Ignored));
                }
                End::Changed => return Ok(Registered::Undecided),
            };
            let new = NewFile { begins, ..new_file(seen, &format) };
            let ids = compared.files();
            detected.format = format;
            let result =
                ClaimedFile::continue_after_cut(writer, known, &before, &new, &ids, losses).await?;
            return Ok(match result {
                ClaimResult::Claimed(claim) => Registered::Claimed { claim, ended: Some(file) },
                ClaimResult::HeldByAnother => Registered::HeldByAnother(file),
                ClaimResult::Outdated => Registered::Undecided,
            });
        }
        Decision::OfOtherHost(file) => {
            let known = compared.of_other_hosts.iter().find(|known| known.file == file).cloned();
            let Some(known) = known else { return Ok(Registered::Undecided) };
            return of_other_host(files, writer, log, &known, losses).await;
        }
        Decision::New => {
            log_look_alike(files, log);
            return Ok(Registered::New);
        }
        Decision::Replaces(file) => {
            if files.replacements.insert(tail.path().to_path_buf()) {
                info!(path = %tail.path().display(), of = file.0,
                    "a copy of a followed file that was replaced by it: goes on as that file when nothing more comes \
                     to the old one");
            }
            return Ok(Registered::Undecided);
        }
        // The others are decisions for other policies.
        Decision::Wait
        | Decision::Held
        | Decision::Unproven(_)
        | Decision::AlreadyRead
        | Decision::MayBeContained { .. }
        | Decision::Changed(_) => return Ok(Registered::Undecided),
    };
    let known = compared.matches.iter().find(|(known, _)| known.file == file);
    let compared = known.map_or(Compared::unread(file), |(known, _)| Compared::from(known));
    let format = &detected.format.format;
    let result = ClaimedFile::claim_known(writer, compared, seen, format, losses).await?;
    after_claim(files, writer, log, file, result).await
}

/// Takes note of what the claimed file is known to have had and this log does not hold.
async fn after_claim(
    files: &FollowedFiles,
    writer: &mut Writer,
    log: &mut NewLog,
    file: FileId,
    result: ClaimResult,
) -> Result<Registered, StoreError> {
    let mut claim = match result {
        ClaimResult::Claimed(claim) => *claim,
        ClaimResult::HeldByAnother => return Ok(Registered::HeldByAnother(file)),
        ClaimResult::Outdated => return Ok(Registered::Undecided),
    };
    // A copy may have been complete only after it was opened.
    let tail = &mut log.tail;
    let size = tail.refresh().map_or(tail.size(), |_| tail.size());
    let truncated = files.truncated.iter().find(|truncated| truncated.file() == file);
    let known_size = truncated.map_or(0, |truncated| truncated.size).max(claim.known_size());
    claim.lose_what_a_copy_lacks(writer, tail.path(), size, known_size).await?;
    Ok(Registered::claimed(claim))
}

/// Moves what else lay in the directory of a log whose host was renamed, and is closed or has no object there
/// any more, to the new name. It was compressed or deleted: an archive there may be what is left of it.
async fn take_over_gone(
    files: &mut FollowedFiles,
    writer: &mut Writer,
    known: &Checkpoint,
    seen: &Sighting,
) -> Result<(), StoreError> {
    let known_path = text_path(&known.path);
    let Some(directory) = known_path.parent() else { return Ok(()) };
    let renamed = (known.host.clone(), directory.to_path_buf());
    if files.renamed_hosts.contains(&renamed) {
        return Ok(());
    }
    let beginning = path_text(&directory.join("")).into_owned();
    let below = writer.files_below(&known.host, &beginning).await?;
    let in_place = in_place(&below);
    let mut moved = 0;
    for other in below {
        if !same_directory(&other.path, &known.path) || !other.origin.may_be(&seen.origin) {
            continue;
        }
        if other.is_closed() {
            writer.rename_closed(other.file, &seen.host).await?;
            moved += 1;
            continue;
        }
        if in_place.contains(&other.file) || files.has(&other) {
            continue; // it has evidence of its own
        }
        let as_seen = Sighting { host: seen.host.clone(), ..other.sighting() };
        if writer.claim(other.file, &as_seen, &other.format).await?.is_some() {
            writer.release(other.file).await?;
            moved += 1;
        }
    }
    if moved > 0 {
        info!(directory = %directory.display(), from = known.host, to = seen.host, files = moved,
            "moved what else is stored from here and is closed or gone to the new name of the host");
    }
    files.renamed_hosts.insert(renamed);
    Ok(())
}

/// Carries on a log that is stored under the name of another host, if that host is this one by all that
/// is known, and no daemon follows it there. Otherwise it is a log of its own, as on a clone.
async fn of_other_host(
    files: &mut FollowedFiles,
    writer: &mut Writer,
    log: &NewLog,
    known: &Checkpoint,
    losses: &LossCounter,
) -> Result<Registered, StoreError> {
    let NewLog { tail, detected, seen, .. } = log;
    let path = path_text(tail.path()).into_owned();
    let (from, to) = (&known.host, &seen.host);
    let stored = known.digest.map(|digest| digest.sum);
    let found = tokio::task::block_in_place(|| {
        tail.digest(known.first_offset, known.committed, &known.nul_runs)
    });
    if found.as_ref().is_err_and(Unreachable::is) {
        return Ok(Registered::Undecided);
    }
    let found = found.ok().flatten();
    let same = known.origin.may_be(&seen.origin) && stored.is_some() && stored == found;
    if !same {
        if files.look_alikes.insert(tail.key()) {
            warn!(
                path,
                from,
                "this log is stored under the name of another host, and this may be a clone \
                of that host: stored as a log of its own; if the host was renamed, stop this daemon and \
                run `log-ingestd rename-host {from} {to}`"
            );
        }
        log_look_alike(files, log);
        return Ok(Registered::New);
    }
    let format = &detected.format.format;
    let compared = Compared::from(known);
    match ClaimedFile::claim_known(writer, compared, seen, format, losses).await? {
        ClaimResult::Claimed(claim) => {
            writer.rename_ended(known, to).await?;
            take_over_gone(files, writer, known, seen).await?;
            warn!(
                path,
                file = known.file.0,
                from,
                to,
                "this host was renamed: its log goes on under the new name"
            );
            Ok(Registered::claimed(*claim))
        }
        ClaimResult::HeldByAnother => {
            if !files.held_by_others.contains_key(&known.file) {
                let report = writer.report(known.file).await?;
                let owner = report.and_then(|report| report.owner);
                warn!(
                    path,
                    file = known.file.0,
                    host = from,
                    owner,
                    "a daemon under another host name follows this log: waiting for its end; give both \
                     the same --host, or different logs"
                );
            }
            Ok(Registered::HeldByAnother(known.file))
        }
        ClaimResult::Outdated => Ok(Registered::Undecided),
    }
}

/// Says of each new log that it begins like one that is stored.
fn log_look_alike(files: &mut FollowedFiles, log: &NewLog) {
    let path = log.tail.path();
    let alike = log.compared.same().next();
    if let Some(known) = alike.filter(|known| known.committed > 0)
        && files.look_alikes.insert(log.tail.key())
    {
        warn!(path = %path.display(), like = known.file.0, of = known.path,
            "this log begins like one that is stored, and is none that was seen to become it: stored as a \
             log of its own; if it is a copy, its lines are stored twice");
        return;
    }
    // copytruncate leaves nothing, and lines with times do not come again.
    let was_cut = |file: &TruncatedFile| {
        file.head == Some(log.head) && file.path == path && log.detected.format.has_time
    };
    if let Some(file) = files.truncated.iter().find(|file| was_cut(file))
        && files.look_alikes.insert(log.tail.key())
    {
        warn!(path = %path.display(), like = file.file().0,
            "this log was cut short while it was followed, and begins as before: stored as a log of its own; what \
             was stored of it before is stored twice");
    }
}

/// Waits for a file that another writer holds.
fn hold_back(files: &mut FollowedFiles, tail: Box<Tail>, file: FileId) {
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
    let NewLog { mut tail, head, detected, compared, .. } = log;
    let format = Arc::clone(&detected.format);
    let file = claim.file();
    files.held_by_others.remove(&file);
    files.truncated.retain(|truncated| truncated.file() != file);
    let path = tail.path().display();
    let (name, source) = (detected.name(), detected.source.name());
    if claim.is_new() {
        let envelope = format.envelope.map(Envelope::name);
        info!(file = file.0, %path, format = name, source, envelope, "following a new file");
        detected.warn(&path.to_string());
        if let Some((lacks, better)) = format.parser.layout().lacking()
            && !std::mem::replace(&mut files.lack_is_logged, true)
        {
            info!(%path, "these lines have no {lacks}: if Gunicorn writes them, give it \
                --access-logformat '{better}' and a new log file");
        }
    } else {
        let offset = claim.committed().offset;
        info!(file = file.0, %path, offset, format = name, "following on");
        detected.warn_if_unread(&path.to_string());
        let mut known = compared.matches.iter().map(|(known, _)| known);
        if let Some(known) = known.find(|known| known.file == file) {
            log_other_format(tail.path(), known, &format);
        }
    }
    tail.advance(claim.committed());
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
