//! Archives in the watched places: found by a look, read in a task of their own, so that a large one
//! holds up nothing else.
//!
//! Most of them hold what was stored before they were made. One may hold the rest of a log that was
//! compressed before all of it was read: while the daemon was down, or because the file was not held
//! open. It is read from the stored offset on, and its row is closed under the archive's name and
//! inode, so that no later start decompresses it again, unless it was written to since: to an archive that
//! was read, a further member may be appended. It goes on from the stored offset then.
//!
//! An archive of a log that was not followed is left to `log-ingestd import`, unless it was written
//! while its directory was already followed: then it was rotated and compressed between two looks.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use crate::config::Config;
use crate::identity::claim::{Ending, LossCounter};
use crate::identity::detect::{Formats, Undetected, sample};
use crate::identity::register::{
    NewFileIs, OtherWriter, Registered, Registration, Terms, UnknownFile, Unproven, register,
};
use crate::identity::resolve::Policy;
use crate::metrics::Metrics;
use crate::model::{Batch, FileId, FileKey, Micros, Sighting, now, path_text};
use crate::pipeline::Shutdown;
use crate::pipeline::backoff::{Backoff, Jitter};
use crate::pipeline::committer::Committer;
use crate::pipeline::connect::owner;
use crate::pipeline::far_notices::FarNotices;
use crate::pipeline::ordered_commits::{Connections, OrderedCommits};
use crate::pipeline::reject_notices::RejectNotices;
use crate::pipeline::store_file::{ClaimAtEnd, Content, End, FileStorer};
use crate::source::devices::Unreachable;
use crate::source::fingerprint::{head_fingerprint, whole_head_fingerprint};
use crate::source::names::related_names;
use crate::source::origin::origin;
use crate::source::whole_file::Source;
use crate::source::{Container, Stopped, Tail};
use crate::store::{Store, StoreError};

use crate::daemon::announcements::Announcements;
use crate::daemon::files::FollowedFiles;

/// The first wait before an archive is tried again.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// After such a wait no archive is expected to give more soon.
const LONG_WAIT: Duration = Duration::from_secs(16);

/// An archive that was written to in the last 2 s may not be complete.
const AT_REST_US: Micros = 2_000_000;

/// An archive in a watched place.
#[derive(Clone, Debug)]
struct Archive {
    path: PathBuf,
    key: FileKey,
    /// Whether a path that the user gave names it.
    requested: bool,
    /// Whether it has changed since it was found.
    has_changed: bool,
}

/// What became of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All of it is stored; so many lines were new.
    Stored(u64),
    /// The log that it holds was not followed here.
    NotFollowed,
    /// Its log is still followed, here or by another writer: to be tried again.
    Held,
    /// It ends too early, or is still being written: to be tried again.
    Incomplete,
    /// It holds an archive of a kind that is refused.
    Holds(Container),
    /// This file was read from it, and it holds something else now.
    Changed(FileId),
}

/// When to read an archive, and how long to wait after that.
#[derive(Debug)]
struct NextTry {
    due: Instant,
    waits: Backoff,
    /// Whether it has changed since it was found.
    has_changed: bool,
    /// Whether it was given to the task that reads, since it was found or has changed.
    taken: bool,
}

/// What was found out about an archive so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ArchiveVerdict {
    /// It was not read yet.
    Unread,
    /// All of it is stored.
    Stored,
    /// The log that it holds was not followed here.
    NotFollowed,
    /// Its log is still followed.
    Held,
    /// It ends too early.
    Incomplete,
    /// It holds an archive of a kind that is refused.
    Holds(Container),
    /// This file was read from it, and it holds something else now.
    Changed(FileId),
    /// It cannot be read, for this reason.
    Unreadable(String),
}

/// One archive that was read.
#[derive(Debug)]
struct ReadArchive {
    archive: Archive,
    outcome: anyhow::Result<Outcome>,
    /// Closed files of the ledger that its content may be, or that it was last seen as.
    closed: Vec<FileId>,
}

type Read = Vec<ReadArchive>;

/// The thread that reads archives: to read from a file system that does not answer must not hold up other
/// tasks.
#[derive(Debug)]
struct Reading {
    read: JoinHandle<Read>,
    /// When this is dropped, the thread ends at its next wait.
    _stop: oneshot::Sender<()>,
}

impl Reading {
    fn start(reader: ArchiveReader, archives: Vec<Archive>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let runtime = Handle::current();
        let read = tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                tokio::select! {
                    read = reader.read_all(archives) => read,
                    _ = stopped => Read::new(),
                }
            })
        });
        Self { read, _stop: stop }
    }
}

/// The archives that are to be read, and the task that reads them.
#[derive(Debug, Default)]
pub(crate) struct Archives {
    waiting: HashMap<FileKey, NextTry>,
    reading: Option<Reading>,
    verdicts: HashMap<FileKey, ArchiveVerdict>,
    /// The closed files of the ledger that each archive keeps there.
    closed: HashMap<FileKey, Vec<FileId>>,
    /// Archives that hold another one of a kind that is refused, since they were last taken.
    containers: Vec<(FileKey, Container)>,
    announcements: Announcements,
}

impl Archives {
    /// Adds an archive that is new, or has changed.
    pub(crate) fn add(&mut self, key: FileKey) {
        let waits = Backoff::new(FIRST_WAIT, LONGEST_WAIT, Jitter::None);
        let has_changed = self.verdicts.contains_key(&key);
        let next = NextTry { due: Instant::now(), waits, has_changed, taken: false };
        self.waiting.insert(key, next);
        self.verdicts.entry(key).or_insert(ArchiveVerdict::Unread);
    }

    /// Returns what is known of an archive; `None` if it was never added.
    pub(crate) fn verdict(&self, key: FileKey) -> Option<&ArchiveVerdict> {
        self.verdicts.get(&key)
    }

    /// Forgets archives that are not there any more. Returns the closed files of the ledger of which
    /// the others hold the content.
    pub(crate) fn closed_files(&mut self, files: &FollowedFiles) -> Vec<FileId> {
        let here: HashSet<FileKey> = files.ignored.iter().map(|file| file.key).collect();
        self.verdicts.retain(|key, _| here.contains(key));
        self.closed.retain(|key, _| here.contains(key));
        self.closed.values().flatten().copied().collect()
    }

    /// Returns whether no archive is expected to give more soon.
    pub(crate) fn are_quiet(&self) -> bool {
        self.reading.is_none() && self.waiting.values().all(|next| next.waits.next() > LONG_WAIT)
    }

    /// Returns when the next one is due, if none is being read.
    pub(crate) fn due(&self) -> Option<Instant> {
        let next = self.waiting.values().map(|next| next.due).min();
        next.filter(|_| self.reading.is_none())
    }

    /// Begins to read those that are due.
    pub(crate) fn launch(&mut self, files: &FollowedFiles, reader: impl FnOnce() -> ArchiveReader) {
        let now = Instant::now();
        self.announcements.sum_up(now);
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        let mut archives = Vec::new();
        self.waiting.retain(|key, next| match files.archive(*key) {
            None => false,
            Some((path, requested)) => {
                if next.due <= now {
                    next.due = now + next.waits.wait();
                    next.taken = true;
                    let has_changed = next.has_changed;
                    let path = path.to_path_buf();
                    archives.push(Archive { path, key: *key, requested, has_changed });
                }
                true
            }
        });
        if !archives.is_empty() {
            archives.sort_by(|one, other| one.path.cmp(&other.path));
            self.reading = Some(Reading::start(reader(), archives));
        }
    }

    /// Waits for the task that reads; for ever if there is none. Cancel-safe.
    pub(crate) async fn finished(&mut self) {
        let read = match self.reading.as_mut() {
            Some(reading) => (&mut reading.read).await.unwrap_or_default(),
            None => std::future::pending().await,
        };
        self.reading = None;
        for ReadArchive { archive, outcome, closed } in read {
            let path = archive.path.display();
            if !closed.is_empty() {
                self.closed.insert(archive.key, closed);
            }
            let verdict = match &outcome {
                Ok(Outcome::Stored(_)) => ArchiveVerdict::Stored,
                Ok(Outcome::NotFollowed) => ArchiveVerdict::NotFollowed,
                Ok(Outcome::Held) => ArchiveVerdict::Held,
                Ok(Outcome::Incomplete) => ArchiveVerdict::Incomplete,
                Ok(Outcome::Holds(container)) => ArchiveVerdict::Holds(*container),
                Ok(Outcome::Changed(file)) => ArchiveVerdict::Changed(*file),
                Err(error) => ArchiveVerdict::Unreadable(format!("{error:#}")),
            };
            match outcome {
                // It is tried again.
                Ok(Outcome::Held | Outcome::Incomplete) => {
                    self.verdicts.insert(archive.key, verdict);
                    continue;
                }
                Ok(Outcome::Stored(0)) => {}
                Ok(Outcome::Stored(lines)) => info!(%path, lines, "finished from its archive"),
                Ok(Outcome::NotFollowed) => {
                    if self.announcements.may_name(Instant::now()) {
                        info!(
                            %path,
                            "an archive of a log that was not followed here: left alone; \
                             `log-ingestd import` reads it"
                        );
                    }
                }
                Ok(Outcome::Holds(container)) => self.containers.push((archive.key, container)),
                Ok(Outcome::Changed(file)) => {
                    if self.announcements.may_name(Instant::now()) {
                        warn!(
                            %path,
                            file = file.0,
                            "this archive was read, and holds something else by now: left alone, because its \
                             lines may be stored already; `log-ingestd verify` compares it, `log-ingestd \
                             import` stores it as a log of its own"
                        );
                    }
                }
                // Deleted, or renamed and found again by the next look.
                Err(error) if is_io(&error, io::ErrorKind::NotFound) => continue,
                // Nothing is wrong with the archive: it is tried again, and until then the log that it may be
                // is not given up as gone.
                Err(error) if is_of_store(&error) => {
                    debug!(%path, "the store failed while this archive was read: {error:#}");
                    continue;
                }
                Err(error) if is_unreachable(&error) => {
                    debug!(%path, "not read: {error:#}");
                    continue; // the same
                }
                Err(error) => {
                    if self.announcements.may_name(Instant::now()) {
                        warn!(%path, "cannot read this archive: {error:#}");
                    }
                }
            }
            self.verdicts.insert(archive.key, verdict);
            // One that has changed meanwhile is read once more.
            if self.waiting.get(&archive.key).is_some_and(|next| next.taken) {
                self.waiting.remove(&archive.key);
            }
        }
    }

    /// Takes the archives that turned out to hold another one of a kind that is refused.
    pub(crate) fn take_containers(&mut self) -> Vec<(FileKey, Container)> {
        std::mem::take(&mut self.containers)
    }

    /// Lets the task end, or ends it after `patience`.
    pub(crate) async fn stop(&mut self, patience: Duration) {
        let Some(mut reading) = self.reading.take() else { return };
        // Then it ends like a kill: what is not committed is read again.
        let _ = tokio::time::timeout(patience, &mut reading.read).await;
    }
}

/// Reads archives, one after another, over connections of its own.
pub(crate) struct ArchiveReader {
    pub(crate) store: Store,
    pub(crate) config: Config,
    pub(crate) shutdown: Shutdown,
    /// Files that this process follows.
    pub(crate) followed: HashSet<FileId>,
    pub(crate) metrics: Arc<Metrics>,
}

/// What one reading of archives needs.
struct Session {
    /// Holds the claims.
    committer: Committer,
    commits: OrderedCommits,
    formats: Formats,
    /// Paths of the host's logs, and when each was first seen; once they are asked for.
    known_logs: Option<HashMap<String, Micros>>,
}

impl Session {
    /// Has the closed files stay in the ledger with which the next start would compare what was seen.
    /// Returns them.
    async fn keep_in_ledger(&mut self, seen: &Sighting) -> anyhow::Result<Vec<FileId>> {
        let writer = self.committer.available_writer().await?;
        let known = writer.candidates(seen).await?;
        let closed = known.iter().filter(|known| known.is_closed()).map(|known| known.file);
        let closed: Vec<FileId> = closed.collect();
        writer.seen_again(&closed).await?;
        Ok(closed)
    }
}

/// Returns the error for an archive of which another one has the name since a rotation: its content is not that of
/// the file which is known by this key.
fn renamed() -> anyhow::Error {
    io::Error::new(io::ErrorKind::NotFound, "another file has this name by now").into()
}

/// Whether more may be written to an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ArchiveState {
    Complete,
    BeingWritten,
}

impl ArchiveReader {
    async fn read_all(self, archives: Vec<Archive>) -> Read {
        let owner = owner(&self.config.host);
        let mut session = Session {
            committer: Committer::new(self.store.clone(), owner.clone(), None),
            commits: OrderedCommits::new(self.store.clone(), owner, Connections::Exactly(1)),
            formats: Formats::new(self.config.parsing.clone())
                .by_path(&self.config.formats_by_path),
            known_logs: None,
        };
        let mut read = Vec::new();
        for archive in archives {
            let mut seen = Sighting {
                host: self.config.host.clone(),
                path: path_text(&archive.path).into_owned(),
                key: Some(archive.key),
                head: None,
                origin: origin(&archive.path),
            };
            let outcome = match self.read(&mut session, &archive, &mut seen).await {
                Err(error) if is_stopped(&error) => Ok(Outcome::Held),
                outcome => outcome,
            };
            // A store that fails here has failed the reading, too, or will fail the next one.
            let closed = session.keep_in_ledger(&seen).await.unwrap_or_default();
            read.push(ReadArchive { archive, outcome, closed });
        }
        session.commits.end().await;
        session.committer.end().await;
        read
    }

    /// Reads one archive. Adds what identity needs to `seen` as soon as it is known.
    async fn read(
        &self,
        session: &mut Session,
        archive: &Archive,
        seen: &mut Sighting,
    ) -> anyhow::Result<Outcome> {
        let source = match Source::open_until(&archive.path, self.shutdown.stop_request()) {
            Ok(source) => source,
            Err(error) => {
                let there = Tail::key_and_size(&archive.path).ok().flatten();
                return match Container::of_error(&error) {
                    None => Err(error.into()),
                    Some(_) if there.is_none_or(|(key, _)| key != archive.key) => Err(renamed()),
                    Some(container) => Ok(Outcome::Holds(container)),
                };
            }
        };
        if source.object != Some(archive.key) {
            return Err(renamed());
        }
        let sample = match sample(|limit| source.sample(limit)) {
            Ok(sample) => sample,
            Err(error) => return incomplete(error.into()),
        };
        let state = match now() - source.changed_us > AT_REST_US {
            true => ArchiveState::Complete,
            false => ArchiveState::BeingWritten,
        };
        let head = match state {
            ArchiveState::Complete => whole_head_fingerprint(&sample),
            ArchiveState::BeingWritten => head_fingerprint(&sample),
        };
        let Some(head) = head else {
            return Ok(match state {
                ArchiveState::Complete => Outcome::Stored(0),
                ArchiveState::BeingWritten => Outcome::Incomplete,
            });
        };
        *seen =
            Sighting { key: Some(archive.key), ..source.sighting(&self.config.host, Some(head)) };
        let mut file =
            UnknownFile { source, seen: seen.clone(), format: Err(Undetected::UnknownFormat) };
        let mut terms = self.terms(archive);
        let mut registered =
            register(&mut session.committer, &mut session.formats, &file, None, &terms).await;
        if let Ok(Registered::Unknown(_)) = registered
            && (archive.requested || self.was_followed_here(&file.source, session).await?)
        {
            if state == ArchiveState::BeingWritten {
                return Ok(Outcome::Incomplete);
            }
            terms.new_file = NewFileIs::Registered;
            let detected = session.formats.format_of_complete(&file.source, sample);
            file.format = detected.map(|detected| detected.format);
            registered =
                register(&mut session.committer, &mut session.formats, &file, None, &terms).await;
        }
        match registered {
            Ok(Registered::Claimed(registration)) => {
                self.store(session, &file.source, *registration, state).await
            }
            Ok(Registered::Stored) => Ok(Outcome::Stored(0)),
            Ok(Registered::Skipped) => Ok(Outcome::NotFollowed),
            Ok(Registered::Unknown(_)) => Ok(Outcome::NotFollowed),
            Ok(Registered::Changed(file)) => Ok(Outcome::Changed(file)),
            Ok(Registered::Held) => Ok(Outcome::Held),
            Err(error) => incomplete(error),
        }
    }

    fn terms(&self, archive: &Archive) -> Terms<'_> {
        Terms {
            policy: Policy::Archive,
            held_here: &self.followed,
            new_file: NewFileIs::Reported,
            other_writer: OtherWriter::WaitedFor,
            unproven: Unproven::Skip,
            losses: LossCounter::Metrics(Arc::clone(&self.metrics)),
            has_changed: archive.has_changed,
        }
    }

    /// Stores what is not stored of a claimed archive. Closes it, or releases it.
    async fn store(
        &self,
        session: &mut Session,
        source: &Source,
        registration: Registration,
        state: ArchiveState,
    ) -> anyhow::Result<Outcome> {
        let Registration { mut claim, format } = registration;
        let known_size = claim.known_size();
        let content = match state {
            ArchiveState::Complete => Content::whole(source, &format),
            ArchiveState::BeingWritten => Content::growing(source, &format),
        };
        let mut lines = 0;
        let (mut notices, mut far) = (RejectNotices::new(), FarNotices::default());
        let mut on_stored = |batch: &Batch, _| {
            lines += batch.lines();
            self.metrics.ingest.stored(batch);
            notices.stored(batch, |_| source.name.clone(), Instant::now());
            far.stored(batch, |_| source.name.clone());
        };
        let mut storer = FileStorer {
            claim_at_end: ClaimAtEnd::Kept,
            committer: &mut session.committer,
            commits: &mut session.commits,
            shutdown: &self.shutdown,
            cutoff: None,
            on_stored: &mut on_stored,
        };
        let end = storer.store(content, claim.claim_mut()).await;
        let outcome = match (end, state) {
            (Ok(End::Whole), _) | (Ok(End::Rest(_)), ArchiveState::Complete) => {
                Ok(Outcome::Stored(lines))
            }
            (Ok(End::Rest(_)), ArchiveState::BeingWritten) => Ok(Outcome::Incomplete),
            (Ok(End::Interrupted), _) => Ok(Outcome::Held),
            (Err(error), _) => incomplete(error),
        };
        let writer = session.committer.available_writer().await?;
        match outcome {
            Ok(Outcome::Stored(_)) => {
                claim.close(writer, source.path(), known_size, Ending::Compressed).await?;
            }
            _ => claim.release(writer).await?,
        }
        outcome
    }

    /// Returns whether a log of such a name was already followed in that directory when this
    /// archive's content was last written: compressing keeps that time.
    async fn was_followed_here(
        &self,
        source: &Source,
        session: &mut Session,
    ) -> anyhow::Result<bool> {
        let known_logs = match &mut session.known_logs {
            Some(known) => known,
            none => none.insert(self.store.known_paths(&self.config.host).await?),
        };
        let directory = |path: &str| Path::new(path).parent().map(Path::to_path_buf);
        let here = directory(&source.name);
        Ok(known_logs.iter().any(|(path, first_seen)| {
            *first_seen < source.changed_us
                && directory(path) == here
                && related_names(path, &source.name)
        }))
    }
}

/// Returns [`Outcome::Incomplete`] for an archive that ends too early: it may still be written.
fn incomplete(error: anyhow::Error) -> anyhow::Result<Outcome> {
    match is_io(&error, io::ErrorKind::UnexpectedEof) {
        true => Ok(Outcome::Incomplete),
        false => Err(error),
    }
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(Unreachable::is)
}

fn is_stopped(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(Stopped::is)
}

fn is_of_store(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<StoreError>())
}

fn is_io(error: &anyhow::Error, kind: io::ErrorKind) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == kind)
}
