//! The daemon's pipeline: reads what is ready while the last batch is being stored.
//!
//! No batch waits until it is worth its commit. What has arrived while one commit was under way is
//! the next batch, so that a quiet server's line is stored at once and a busy server's batches grow
//! by themselves, up to `Limits::BATCH`. Then reading waits: the log file is the buffer.

mod lag;
mod maintenance;
mod on_commit;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tracing::warn;

use crate::metrics::Metrics;
use crate::model::{Batch, now};
use crate::source::{FsEvents, Lines, SpoolChange, Tail};

use crate::config::{Config, StandardInput, Watch};
use crate::daemon::archives::Archives;
use crate::daemon::files::FollowedFiles;
use crate::daemon::streams::Streams;
use crate::daemon::supervisor::Supervisor;
use crate::identity::detect::Formats;
use crate::pipeline::bisect::Bisect;
use crate::pipeline::committer::{Committer, EarlierTry, Outcome};
use crate::pipeline::connect::owner;
use crate::pipeline::read_lines::{Completeness, ReadContext, Stop};
use crate::pipeline::sink::{BatchTarget, fill_batch};
use crate::pipeline::{Request, Shutdown};
use crate::store::Store;

/// Bytes read of one file before the next has its turn (1 MiB).
const TURN: u64 = 1 << 20;

/// How long a stop waits for what was read to be stored.
const DRAIN: Duration = Duration::from_secs(7);

/// How long a stop may take to let files go.
const RELEASE: Duration = Duration::from_secs(1);

/// What the task of a commit returns.
type Landed = (Committer, Batch, Outcome);

/// How a file's turn ended.
enum Turn {
    /// It has more.
    Full,
    /// All that is there was read.
    End,
    /// It does not hold any more what was read of it: truncated or replaced.
    Replaced,
}

/// The pipeline of one daemon.
pub(crate) struct Pipeline {
    files: FollowedFiles,
    formats: Formats,
    store: Store,
    config: Config,
    poll_interval: Duration,
    archives: Archives,
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
    /// Whether some file may be new, renamed or gone.
    look_due: Instant,
    metrics: Arc<Metrics>,
    /// Lines of the batch that is under way.
    sent: u64,
    /// When the lag was reported last.
    told: Option<Instant>,
    /// Whether the lag may have changed since.
    unsaid: bool,
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
        Self {
            files: FollowedFiles::new(watch.list, spool, nameless, descriptors),
            formats: Formats::new(watch.config.parsing.clone()),
            committer: Some(
                Committer::new(store.clone(), owner(&watch.config.host), None)
                    .counted(Arc::clone(&metrics)),
            ),
            store,
            config: watch.config,
            poll_interval: watch.poll_interval,
            archives: Archives::default(),
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
            metrics,
            sent: 0,
            told: None,
            unsaid: false,
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
        self.tell_if_empty(paths);
        let mut readiness = Some(supervisor);
        while !shutdown.is_requested() {
            if let Some(why) = self.end_of_it() {
                self.archives.stop(RELEASE).await;
                self.streams.end().await;
                return Err(why);
            }
            if Instant::now() >= self.look_due {
                self.look();
            } else if self.tell_due().is_some_and(|due| due <= Instant::now()) {
                self.tell_lag();
            }
            tokio::select! {
                () = self.housekeep() => {}
                // A database that does not answer must not delay a stop.
                () = shutdown.requested() => self.hang_up(),
            }
            self.tell_ready(readiness.take());
            self.tend_archives(shutdown);
            self.metrics.health.reading_started();
            let more = tokio::task::block_in_place(|| self.fill_round());
            self.metrics.health.reading_ended();
            self.launch();
            self.tell_queue();
            if self.is_done() {
                break;
            }
            if !more || self.is_full() {
                self.wait(shutdown).await;
            } else if self.in_flight.as_ref().is_some_and(JoinHandle::is_finished) {
                self.land().await;
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

    /// Drops the connection: a request to the store was cut off, and it cannot be used again.
    fn hang_up(&mut self) {
        if let Some(committer) = self.committer.as_mut() {
            committer.hang_up();
        }
    }

    fn look(&mut self) {
        self.metrics.health.reading_started();
        for directory in self.files.directories() {
            if let Err(error) = self.fs_events.watch(&directory) {
                warn!(directory = %directory.display(), %error,
                    "no events from this directory; looking at intervals instead");
            }
        }
        self.input_ended = self.streams.input_has_ended(); // before the look, which sees the rest
        self.files.look();
        self.streams.update(self.input, &self.files.fifos);
        self.metrics.health.reading_ended();
        self.tell_missing();
        self.tell_lag();
        self.look_due = Instant::now() + self.poll_interval;
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
                Ok(Turn::Full) => more = true,
                Ok(Turn::End) => {}
                Ok(Turn::Replaced) => replaced.push(at),
                Err(error) => {
                    let file = &mut self.files.followed[at];
                    file.ready = false;
                    // A file that is not held open may be gone: a look finds it under its new name.
                    if file.tail.is_open() || error.kind() != io::ErrorKind::NotFound {
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

    /// Reads lines of one file into the batch, at most [`TURN`] bytes.
    ///
    /// # Errors
    /// A read that fails.
    fn read(&mut self, at: usize) -> io::Result<Turn> {
        let now = now();
        let file = &mut self.files.followed[at];
        if !file.begin(&mut self.lines)? {
            return Ok(Turn::Replaced);
        }
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
        let mut source = file.tail.reader_at(self.lines.read_to())?;
        let stop = fill_batch(&mut self.lines, &mut source, &context, &mut self.building, &target);
        drop(source);
        file.tail.advance(self.lines.position());
        let read_to = self.lines.read_to();
        file.skipped_line = self.lines.pause_skipping();
        Ok(match stop? {
            Stop::Full => Turn::Full,
            Stop::End => {
                file.ready = false;
                file.stuck_at = (read_to > file.tail.offset()).then_some(read_to);
                Turn::End
            }
        })
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
            let outcome = committer.commit(&batch, &claims, EarlierTry::NotStored).await;
            (committer, batch, outcome)
        }));
    }

    async fn wait(&mut self, shutdown: &mut Shutdown) {
        let in_flight = self.in_flight.is_some();
        let others = [self.archives.due(), self.tell_due()].into_iter().flatten();
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
            () = self.fs_events.changed() => match self.fs_events.take_changed_paths() {
                Some(changed) => {
                    if !self.files.knows_all(&changed) {
                        self.look_due = Instant::now();
                    }
                    self.files.look_at_followed(Some(&changed));
                    self.unsaid = true;
                }
                None => self.look_due = Instant::now(),
            },
            () = self.archives.finished() => {}
            change = self.streams.spool().changed() => {
                if change == SpoolChange::Files {
                    self.look_due = Instant::now();
                }
                self.files.look_at_followed(Some(&self.files.spooled()));
                self.unsaid = true;
            }
            () = tokio::time::sleep_until(due.into()) => {}
            () = shutdown.requested() => {}
        }
    }
}
