//! The daemon's pipeline: reads what is ready while the last batch is being stored.
//!
//! No batch waits until it is worth its commit. What has arrived while one commit was under way is
//! the next batch, so that a quiet server's line is stored at once and a busy server's batches grow
//! by themselves, up to `Limits::BATCH`. Then reading waits: the log file is the buffer.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

use crate::metrics::{FileLag, MAX_FILES, Metrics};
use crate::model::{Batch, FileId, counted, grouped, now, path_text};
use crate::source::devices::Unreachable;
use crate::source::{Changes, FsEvents, Lines, SpoolChange, Tail};

use crate::config::{Config, StandardInput, Watch};
use crate::daemon::archives::{ArchiveReader, Archives};
use crate::daemon::files::{FollowedFiles, IgnoredFile, IgnoredReason, Written};
use crate::daemon::ignored::IgnoredFiles;
use crate::daemon::missing::close_missing;
use crate::daemon::register::register_new_files;
use crate::daemon::streams::Streams;
use crate::daemon::supervisor::Supervisor;
use crate::identity::claim::LossCounter;
use crate::identity::detect::{Formats, NamedFiles};
use crate::pipeline::bisect::{Bisect, Refusal};
use crate::pipeline::committer::{Committer, EarlierTry, Outcome};
use crate::pipeline::connect::owner;
use crate::pipeline::far_notices::FarNotices;
use crate::pipeline::read_lines::{BatchTarget, Completeness, ReadContext, Stop, fill_batch};
use crate::pipeline::reject_notices::RejectNotices;
use crate::pipeline::{Request, Shutdown};
use crate::store::{Store, StoreError};

/// Bytes read of one file before the next has its turn (1 MiB).
const TURN: u64 = 1 << 20;

/// How long a stop waits for what was read to be stored.
const DRAIN: Duration = Duration::from_secs(6);

/// How long a stop may take to let files go.
const RELEASE: Duration = Duration::from_secs(1);

/// Time until a file that another writer has taken over is asked for again.
const TAKEN_OVER: Duration = Duration::from_secs(5);

/// Between two looks for files that are gone.
const MISSING: Duration = Duration::from_secs(600);

/// How soon a file that is not where it was is found under another name, or in an archive.
const FOUND_AGAIN: Duration = Duration::from_secs(5);

/// Between two reports of the lag of all files because something has changed: there may be many
/// files, and many changes.
const LAG_INTERVAL: Duration = Duration::from_secs(1);

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// There may be something to do.
    ToDo,
    /// Something happened to files that are no logs.
    OfNoLog,
}

/// What the task of a commit returns.
type Landed = (Committer, Batch, Outcome);

/// The pipeline of one daemon.
pub(crate) struct Pipeline {
    files: FollowedFiles,
    formats: Formats,
    store: Store,
    config: Config,
    poll_interval: Duration,
    archives: Archives,
    /// Says which files are not followed.
    ignored: IgnoredFiles,
    streams: Streams,
    input: StandardInput,
    /// Whether standard input had ended at the last look.
    input_ended: bool,
    /// When to look for files that do not exist any more.
    missing_due: Instant,
    fs_events: FsEvents,
    lines: Lines,
    building: Batch,
    /// The other batch, while it is not under way.
    spare: Option<Batch>,
    /// Says how much a batch may hold.
    bisect: Bisect,
    /// `None` while a commit is under way.
    committer: Option<Committer>,
    in_flight: Option<JoinHandle<Landed>>,
    /// The index of the file whose turn is next.
    turn: usize,
    /// When some file may be new, renamed or gone.
    look_due: Instant,
    /// When the last look ended, and how long it took.
    looked: (Instant, Duration),
    metrics: Arc<Metrics>,
    reject_notices: RejectNotices,
    far_notices: FarNotices,
    /// Lines of the batch that is under way.
    sent: u64,
    /// When the lag was reported last.
    lag_reported_at: Option<Instant>,
    /// Whether the lag may have changed since.
    lag_may_have_changed: bool,
    /// Lines that were stored since the start; `None` after it was said that all are stored.
    since_start: Option<Totals>,
    /// Whether the database is not the one that the files were compared with.
    restored: bool,
}

/// Lines that were stored.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    lines: u64,
    rejected: u64,
    excluded: u64,
}

/// What one pipeline hands over to the next when the configuration is read again.
#[derive(Debug)]
pub(crate) struct Handover {
    /// Files that are open and that no look finds any more.
    pub(crate) nameless: Vec<Tail>,
    pub(crate) streams: Streams,
}

impl Pipeline {
    /// `handover` is from the pipeline before; `descriptors` files may be held open.
    pub(crate) fn new(
        watch: Watch,
        store: Store,
        handover: Handover,
        descriptors: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
        let Handover { nameless, streams } = handover;
        let spool = Arc::clone(streams.spool());
        let (fs_events, silent) = FsEvents::new();
        if let Some(error) = silent {
            warn!(%error, "the system gives no file events; looking at intervals instead");
        }
        let host = &watch.config.host;
        let ignored = IgnoredFiles::new(host, owner(host), &watch.paths);
        Self {
            formats: Formats::new(watch.config.parsing.clone())
                .by_path(&watch.config.formats_by_path)
                .of_named(NamedFiles::Of(Box::new(watch.list.clone()))),
            files: FollowedFiles::new(watch.list, spool, nameless, descriptors),
            committer: Some(
                Committer::new(store.clone(), owner(&watch.config.host), None)
                    .counted(Arc::clone(&metrics)),
            ),
            store,
            config: watch.config,
            poll_interval: watch.poll_interval,
            archives: Archives::default(),
            ignored,
            streams,
            input: watch.standard_input,
            input_ended: false,
            missing_due: Instant::now(),
            fs_events,
            lines: Lines::default(),
            building: Batch::default(),
            spare: Some(Batch::default()),
            bisect: Bisect::default(),
            in_flight: None,
            turn: 0,
            look_due: Instant::now(),
            looked: (Instant::now(), Duration::ZERO),
            metrics,
            reject_notices: RejectNotices::new(),
            far_notices: FarNotices::default(),
            sent: 0,
            lag_reported_at: None,
            lag_may_have_changed: false,
            since_start: Some(Totals::default()),
            restored: false,
        }
    }

    /// Follows until `shutdown`, or until all of standard input is stored and there is nothing else;
    /// then stores what was read, releases its files and stops; tells `supervisor` of it. Returns what
    /// the next pipeline goes on with.
    ///
    /// # Errors
    /// The tables are not of this program's schema any more. Nothing of what was under way is stored.
    pub(crate) async fn run(
        mut self,
        shutdown: &mut Shutdown,
        paths: &[PathBuf],
        supervisor: &Supervisor,
    ) -> anyhow::Result<Handover> {
        self.look();
        self.warn_if_empty(paths);
        let mut readiness = Some(supervisor);
        let mut deciding = false;
        while !shutdown.is_requested() {
            if let Some(why) = self.committer.as_ref().and_then(Committer::end_of_it) {
                let why = anyhow::anyhow!("{why}");
                self.archives.stop(RELEASE).await;
                self.streams.end().await;
                return Err(why);
            }
            if Instant::now() >= self.look_due {
                self.look();
            } else if self.lag_report_due().is_some_and(|due| due <= Instant::now()) {
                self.report_lag();
            }
            tokio::select! {
                is_deciding = self.housekeep() => deciding = is_deciding,
                // A database that does not answer must not delay a stop.
                () = shutdown.requested() => if let Some(committer) = self.committer.as_mut() {
                    // The request to the store was cut off: its connection cannot be used again.
                    committer.hang_up();
                }
            }
            if let Some(supervisor) = readiness.take() {
                self.report_lag();
                supervisor.ready(&self.metrics);
            }
            if std::mem::take(&mut self.restored) {
                self.start_over().await;
                continue;
            }
            self.tend_archives(shutdown);
            self.metrics.health.reading_started();
            let more = tokio::task::block_in_place(|| self.fill_round());
            self.metrics.health.reading_ended();
            self.launch();
            self.report_queue();
            if self.is_done() {
                break;
            }
            let deciding = std::mem::take(&mut deciding) && self.in_flight.is_none();
            if !more && !deciding {
                self.say_caught_up();
            }
            if !(more || deciding) || self.is_full() {
                self.wait(shutdown).await;
            } else if let Some(flight) = self.in_flight.take_if(|flight| flight.is_finished()) {
                self.landed(flight.await.ok());
            } else if deciding {
                // Lines of files that are followed do not wait until all others were decided about.
                self.take_changes();
            }
        }
        if shutdown.request() == Request::Stop {
            self.streams.stop();
        }
        supervisor.ends(shutdown.request());
        self.drain().await;
        self.archives.stop(RELEASE).await;
        if let Some(mut committer) = self.committer {
            // Another writer may claim the files at once; the end of the connection does the same.
            let claims = self.files.claims();
            let _ = tokio::time::timeout(RELEASE, committer.release(&claims)).await;
        }
        if shutdown.request() == Request::Stop {
            self.streams.end().await;
        }
        Ok(Handover { nameless: self.files.into_nameless(), streams: self.streams })
    }

    /// Decides about all files anew, as a start does: what was known of the database does not hold any more.
    async fn start_over(&mut self) {
        warn!(
            store = %self.config.location,
            "the database was restored to an earlier state, or replaced by another: what it lacks is read again, \
             from all logs and archives that are still there"
        );
        self.archives.stop(RELEASE).await;
        self.archives = Archives::default();
        self.building.clear();
        self.files.start_over();
        self.ignored.start_over();
        self.missing_due = Instant::now();
        self.since_start = Some(Totals::default());
        self.look();
    }

    /// Looks at all watched places. A file system may be slow to answer.
    fn look(&mut self) {
        tokio::task::block_in_place(|| self.look_blocking());
    }

    fn look_blocking(&mut self) {
        self.metrics.health.reading_started();
        let began = Instant::now();
        self.input_ended = self.streams.input_has_ended(); // before the look, which sees the rest
        self.files.look();
        self.streams.update(self.input, &self.files.list, &self.files.fifos);
        self.files.foreign_fifos = self.streams.foreign().to_vec();
        self.files.log_foreign_links();
        // What is not decided about yet, and soon is, is not ignored.
        if !self.files.deciding || !self.metrics.health.is_store_up() {
            self.ignored.update(&self.files, &self.archives, &self.metrics);
        }
        self.metrics.health.reading_ended();
        let missing = self.files.list.missing();
        let missing = missing.iter().map(|path| path.display().to_string()).collect();
        self.metrics.health.paths_missing(missing);
        self.report_lag();
        self.looked = (Instant::now(), began.elapsed());
        self.look_due = Instant::now() + self.poll_interval;
        let watching = self.fs_events.watch(&self.files.directories());
        if let Some((directory, error)) = watching.refused {
            warn!(directory = %directory.display(), %error,
                "no events from this directory; looking at intervals instead");
        }
        if watching.has_new {
            self.look_soon(); // for what came between the look and the first event
        }
    }

    /// Looks again because of events. There may be any number of them, and a look takes time in
    /// proportion to the files: looks take a fifth of the time at most.
    fn look_soon(&mut self) {
        let (ended, took) = self.looked;
        self.look_due = self.look_due.min(Instant::now().max(ended + 4 * took));
    }

    /// Takes note of what the file system says has changed.
    fn take_changes(&mut self) -> Event {
        let Some(Changes { written, renamed, .. }) = self.fs_events.take_changes() else {
            self.look_soon();
            return Event::ToDo;
        };
        if written.is_empty() && renamed.is_empty() {
            return Event::OfNoLog;
        }
        let written = self.files.look_at_written(&written);
        let is_new = written == Written::PerhapsNew
            || renamed.iter().any(|path| self.files.may_find_new(path));
        if is_new {
            self.look_soon();
        }
        if !is_new && written == Written::Unrelated {
            return Event::OfNoLog;
        }
        self.lag_may_have_changed = true;
        Event::ToDo
    }

    /// Returns whether the batch that is built holds as much as it may.
    fn is_full(&self) -> bool {
        self.bisect.limits().reached(&self.building)
    }

    /// Gives each ready file a turn; returns whether any has more. The next round begins after the
    /// file that was served last, so that a few with a backlog do not starve the others.
    fn fill_round(&mut self) -> bool {
        let mut more = false;
        let mut replaced = Vec::new();
        let count = self.files.followed.len();
        for _ in 0..count {
            if self.is_full() {
                more = true;
                break;
            }
            let at = self.turn % count;
            self.turn = at + 1;
            if !self.files.followed[at].ready {
                continue;
            }
            match self.read(at) {
                Ok(Some(Stop::Full)) => more = true,
                Ok(Some(Stop::End)) => {}
                Ok(None) => replaced.push(at),
                Err(error) => {
                    let file = &mut self.files.followed[at];
                    file.ready = false;
                    // A file that is not held open may be gone: a look finds it under its new name.
                    let is_gone = !file.tail.is_open() && error.kind() == io::ErrorKind::NotFound;
                    if !is_gone && !Unreachable::is(&error) {
                        warn!(path = %file.tail.path().display(), %error, "cannot read this file");
                    }
                }
            }
        }
        replaced.sort_unstable();
        for at in replaced.into_iter().rev() {
            let size = self.files.followed[at].tail.verified_size();
            self.files.truncated_file(at, size);
        }
        more
    }

    /// Reads lines of one file into the batch, at most [`TURN`] bytes. Returns `None` if the file does
    /// not hold any more what was read of it: it was truncated or replaced.
    ///
    /// # Errors
    /// A read that fails.
    fn read(&mut self, at: usize) -> io::Result<Option<Stop>> {
        let now = now();
        let file = &mut self.files.followed[at];
        let Some(history) = file.begin(&mut self.lines)? else { return Ok(None) };
        let target = BatchTarget {
            file: file.file(),
            epoch: file.claim.epoch(),
            size: file.tail.size(),
            now,
            limits: self.bisect.limits(),
        };
        let context = ReadContext {
            refused: file.claim.refused(),
            max_bytes: TURN,
            ..file.format.context(now, Completeness::Growing)
        };
        let mut source = file.tail.unread(self.lines.read_to(), history, file.head)?;
        let stop = fill_batch(&mut self.lines, &mut source, &context, &mut self.building, &target);
        let replaced = source.was_replaced();
        drop(source);
        file.tail.advance(self.lines.position());
        let read_to = self.lines.read_to();
        file.skipped_line = self.lines.pause_skipping().map(Box::new);
        if replaced {
            return Ok(None);
        }
        let stop = stop?;
        if stop == Stop::End {
            file.ready = false;
            file.stuck_at = (read_to > file.tail.offset()).then_some(read_to);
        }
        Ok(Some(stop))
    }

    /// Starts the commit of the batch, if it is not empty and no commit is under way.
    fn launch(&mut self) {
        if self.building.is_empty() {
            return;
        }
        let Some(mut committer) = self.committer.take() else { return };
        let next = self.spare.take().unwrap_or_default();
        let batch = std::mem::replace(&mut self.building, next);
        self.sent = batch.lines();
        let claims = self.files.claims();
        self.in_flight = Some(tokio::spawn(async move {
            let outcome = committer.commit(&batch, &[], &claims, EarlierTry::NotStored).await;
            (committer, batch, outcome)
        }));
    }

    /// Waits until there is something to do. Events of files that are no logs are not: there may be any
    /// number of them.
    async fn wait(&mut self, shutdown: &mut Shutdown) {
        while self.next_event(shutdown).await == Event::OfNoLog {}
    }

    async fn next_event(&mut self, shutdown: &mut Shutdown) -> Event {
        let in_flight = self.in_flight.is_some();
        if self.files.awaits_look() {
            self.look_soon();
        }
        let others = [self.archives.due(), self.lag_report_due()].into_iter().flatten();
        let due = others.fold(self.look_due, Instant::min);
        let flight = async {
            match self.in_flight.as_mut() {
                Some(flight) => flight.await.ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            landed = flight, if in_flight => {
                self.in_flight = None;
                self.landed(landed);
            }
            () = self.fs_events.changed() => return self.take_changes(),
            () = self.archives.finished() => {}
            change = self.streams.spool().changed() => {
                if change == SpoolChange::Files {
                    self.look_due = Instant::now();
                }
                self.files.look_at_followed(Some(&self.files.spooled()));
                self.lag_may_have_changed = true;
            }
            () = tokio::time::sleep_until(due.into()) => {}
            () = shutdown.requested() => {}
        }
        Event::ToDo
    }

    /// Takes the result of a commit; `None` if its task was cut off.
    fn landed(&mut self, landed: Option<Landed>) {
        let Some((committer, mut batch, outcome)) = landed else {
            // The task can only end early if the runtime goes down with it.
            error!("a commit was cut off");
            return;
        };
        self.committer = Some(committer);
        match outcome {
            Outcome::Stored(taken_over) => {
                self.stored(&batch);
                self.taken_over(&taken_over);
            }
            Outcome::Conflict(files) => {
                self.discard();
                self.taken_over(&files);
            }
            Outcome::BadRow(reason) => {
                self.discard();
                self.refused(&batch, &reason);
            }
            Outcome::Restored(_) => {
                self.discard();
                self.restored = true;
            }
            // Waiting does not help: the committer knows why, and the pipeline ends.
            Outcome::GaveUp(_) => self.discard(),
        }
        batch.clear();
        self.spare = Some(batch);
        self.report_queue();
        self.lag_may_have_changed = true;
    }

    fn stored(&mut self, batch: &Batch) {
        self.metrics.ingest.stored(batch);
        for span in &batch.spans {
            debug!(
                file = span.file.0,
                from = span.from,
                to = span.to.offset,
                rows = span.rows,
                rejected = span.rejected,
                excluded = span.excluded,
                "stored"
            );
            if let Some(totals) = &mut self.since_start {
                totals.lines += span.lines;
                totals.rejected += span.rejected;
                totals.excluded += span.excluded;
            }
            if let Some(first) = span.nul_runs.first() {
                warn!(
                    file = span.file.0,
                    offset = first.offset,
                    bytes = span.nul_bytes(),
                    runs = span.nul_runs.len(),
                    "skipped NULs before a line, as a power cut or a \
                    truncation leaves them"
                );
            }
            self.files.stored(span);
        }
        let name = |file| path_text(self.files.path_of(file)).into_owned();
        self.reject_notices.stored(batch, name, Instant::now());
        self.far_notices.stored(batch, name);
        self.bisect.stored(batch);
    }

    /// Forgets what was read and not stored. It is read again.
    fn discard(&mut self) {
        self.building.clear();
        self.files.rewind();
    }

    /// Stops following files that another writer has taken over.
    fn taken_over(&mut self, files: &[FileId]) {
        for file in files {
            self.files.truncated.retain(|truncated| truncated.file() != *file);
            let Some(at) = self.files.followed.place(*file) else { continue };
            let tail = self.files.followed.swap_remove(at).tail;
            warn!(file = file.0, path = %tail.path().display(),
                "another log-ingestd took this file over; not storing it any more");
            let until = Instant::now() + TAKEN_OVER;
            let held = |tail| IgnoredReason::HeldByAnotherWriter { tail, until };
            self.files
                .ignored
                .push(IgnoredFile::that_may_be_followed(Box::new(tail.from_beginning()), held));
        }
        if !files.is_empty() {
            self.discard();
        }
    }

    /// The store refuses a row of this batch: it is found in smaller ones, and becomes a reject.
    fn refused(&mut self, batch: &Batch, reason: &str) {
        let Refusal::Reject(lines) = self.bisect.refused(batch) else { return };
        for (file, offset) in lines {
            warn!(file = file.0, offset, reason, "the store refuses this line");
            self.files.refuse(file, offset, reason);
        }
    }

    /// Stores what was read, for at most [`DRAIN`].
    async fn drain(&mut self) {
        let end = tokio::time::Instant::now() + DRAIN;
        loop {
            if let Some(flight) = self.in_flight.as_mut() {
                let Ok(landed) = tokio::time::timeout_at(end, flight).await else {
                    return warn!(
                        "stopping while the store is unavailable; what is not stored is read at \
                        the next start"
                    );
                };
                self.in_flight = None;
                self.landed(landed.ok());
            }
            if self.restored {
                return warn!(
                    "stopping while the database is restored; what it lacks is read at the next start"
                );
            }
            if self.building.is_empty() {
                return info!("stopped; everything that was read is stored");
            }
            self.launch();
        }
    }

    /// Does what needs the store and is not a commit: new files, and those that are gone. Returns whether it
    /// could go on at once, with more new files.
    async fn housekeep(&mut self) -> bool {
        let Some(committer) = self.committer.as_mut().filter(|_| !self.restored) else {
            return false;
        };
        committer.keep_alive(|file| self.files.is_followed(file)).await;
        if committer.take_restored() {
            self.restored = true;
            return false;
        }
        let missing = Instant::now() >= self.missing_due
            && self.archives.are_quiet()
            && !self.files.has_undecided();
        let told = self.ignored.needs_store();
        if !self.files.needs_store() && !committer.is_unavailable() && !missing && !told {
            return false;
        }
        let fresh = !committer.is_connected();
        let claims = self.files.claims();
        let losses = LossCounter::Metrics(Arc::clone(&self.metrics));
        let result = async {
            let Some(_) = committer.writer().await? else { return Ok(Vec::new()) };
            let taken_over = match fresh {
                true => committer.hold_again(&claims).await?,
                false => Vec::new(),
            };
            self.restored = committer.take_restored();
            if self.restored {
                return Ok(Vec::new());
            }
            if let Some(writer) = committer.writer().await? {
                let host = &self.config.host;
                let (files, formats) = (&mut self.files, &mut self.formats);
                let undecided = files.has_undecided();
                register_new_files(files, formats, host, writer, &losses).await?;
                if files.restored {
                    self.restored = true;
                    return Ok(Vec::new());
                }
                if undecided && !files.deciding {
                    self.ignored.update(files, &self.archives, &self.metrics);
                }
                self.files.tell_store(writer).await?;
                self.ignored.tell_store(&self.files, &mut self.archives, writer).await?;
                self.lag_may_have_changed = true;
                if std::mem::take(&mut self.files.out_of_reach) {
                    self.missing_due = Instant::now() + FOUND_AGAIN;
                }
                if missing && !self.files.has_undecided() {
                    close_missing(&self.files, host, writer, &losses).await?;
                    self.missing_due = Instant::now() + MISSING;
                }
            }
            Ok(taken_over)
        }
        .await;
        let result = match result {
            // Renamed or closed files are another writer's, or the database was restored: that is asked for.
            Err(StoreError::Conflict { .. }) => {
                let taken_over = committer.hold_again(&claims).await;
                self.restored |= committer.take_restored();
                taken_over
            }
            result => result,
        };
        match result {
            Ok(taken_over) => {
                if committer.is_connected() {
                    committer.worked();
                }
                let is_connected = committer.is_connected();
                self.taken_over(&taken_over);
                is_connected && self.files.deciding
            }
            Err(error) => {
                committer.failed(&error);
                false
            }
        }
    }

    /// Queues the archives that a look found, and starts to read those that are due.
    fn tend_archives(&mut self, shutdown: &Shutdown) {
        for (key, container) in self.archives.take_containers() {
            self.files.refuse_container(key, container);
        }
        for key in self.files.new_archives.drain(..) {
            self.archives.add(key);
        }
        self.archives.launch(&self.files, || ArchiveReader {
            store: self.store.clone(),
            config: self.config.clone(),
            shutdown: shutdown.clone(),
            followed: self.files.followed.iter().map(|file| file.file()).collect(),
            metrics: Arc::clone(&self.metrics),
        });
    }

    /// Returns whether nothing will come any more, and all that came is stored.
    fn is_done(&self) -> bool {
        self.input == StandardInput::Alone
            && self.input_ended
            && self.in_flight.is_none()
            && !self.files.awaits_input()
    }

    /// Says once after the start that all lines of the followed files are stored.
    fn say_caught_up(&mut self) {
        let Some(Totals { lines, rejected, excluded }) = self.since_start else { return };
        let is_waiting = self.in_flight.is_some()
            || self.files.followed.is_empty()
            || self.files.needs_store()
            || self.files.has_undecided();
        if is_waiting {
            return;
        }
        self.since_start = None;
        let left_out = match excluded {
            0 => String::new(),
            excluded => format!(", {} left out", grouped(excluded)),
        };
        let (lines, rejected) = (counted(lines, "line"), grouped(rejected));
        info!("caught up: {lines} stored, {rejected} rejected{left_out}");
    }

    /// Warns if there is nothing to follow: the path may be wrong.
    fn warn_if_empty(&self, paths: &[PathBuf]) {
        let streams = self.input.is_read() || !self.files.fifos.is_empty();
        if !streams && self.files.is_empty() {
            let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            warn!(
                paths = paths.join(" "),
                "no file here yet; what appears will be followed (directories below are not \
                 searched: name them too, or use a pattern such as 'DIR/**/*.log')"
            );
        }
    }

    /// Reports how many lines are read and not stored.
    fn report_queue(&mut self) {
        if self.in_flight.is_none() {
            self.sent = 0;
        }
        self.metrics.ingest.set_queued_lines(self.building.lines() + self.sent);
    }

    /// Returns when the lag is to be reported; `None` if it has not changed since the last report.
    fn lag_report_due(&self) -> Option<Instant> {
        let due = || self.lag_reported_at.map_or_else(Instant::now, |at| at + LAG_INTERVAL);
        self.lag_may_have_changed.then(due)
    }

    /// Reports how many bytes of each file are not stored.
    fn report_lag(&mut self) {
        let now = Instant::now();
        (self.lag_reported_at, self.lag_may_have_changed) = (Some(now), false);
        let mut bytes = 0;
        let mut oldest: Option<Instant> = None;
        let mut lags = Vec::with_capacity(self.files.followed.len());
        for (at, file) in self.files.followed.iter_mut().enumerate() {
            let size = file.tail.size();
            let committed = file.committed();
            let lag = size.saturating_sub(committed);
            let since = file.waiting.see(size, committed, now);
            // The beginning of a line cannot be stored, however long it waits for its end.
            let since = since.filter(|_| file.stuck_at.is_none_or(|stuck| stuck < size));
            bytes += lag;
            oldest = [oldest, since].into_iter().flatten().min();
            lags.push((lag, since, at));
        }
        if lags.len() > MAX_FILES {
            lags.select_nth_unstable_by_key(MAX_FILES, |(lag, ..)| std::cmp::Reverse(*lag));
            lags.truncate(MAX_FILES);
        }
        let furthest = lags.into_iter().map(|(bytes, since, at)| {
            let path = path_text(self.files.followed[at].tail.path()).into_owned();
            FileLag { path, bytes, since }
        });
        let furthest = furthest.collect();
        self.metrics.lag.set(self.files.followed.len() as u64, bytes, oldest, furthest);
    }
}
