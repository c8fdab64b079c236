//! Reads standard input and FIFOs into the spool, one thread for each.
//!
//! A thread blocks in the kernel while it waits for bytes or for room in the spool. So a slow stream
//! delays nothing else.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::config::{SpoolConfig, StandardInput, Watch};
use crate::source::open::Refused;
use crate::source::spool::{PumpControl, PumpError, PumpStep, StreamPump, WaitFor};
use crate::source::{Spool, Watchlist};

/// Time between two checks for room in the spool. A removed spool file wakes the thread at once.
const ROOM_INTERVAL: Duration = Duration::from_millis(500);

/// Time between two tries to write to a spool that cannot be written.
const WRITE_RETRY: Duration = Duration::from_secs(1);

/// How long a stop goes on reading bytes that are already in a pipe: they would be lost with the
/// process.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// How long bytes of a pipe may stay in memory alone: what a power cut costs of a stream while the
/// database is unavailable. More often would occupy a slow disk.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// All streams of one daemon. They outlive a reload.
#[derive(Debug)]
pub(crate) struct Streams {
    spool: Arc<Spool>,
    /// The task that writes the spool to the disk.
    syncing: JoinHandle<()>,
    input: Option<StreamReader>,
    fifos: HashMap<PathBuf, StreamReader>,
    /// Readers that end: FIFOs without a name, and streams that are no longer configured.
    ending: Vec<StreamReader>,
    /// FIFOs that could not be opened. The error is logged once.
    unreadable: HashSet<PathBuf>,
    /// Links to FIFOs that are not followed, because another user made them.
    foreign: Vec<PathBuf>,
}

/// The thread that reads one stream.
#[derive(Debug)]
struct StreamReader {
    control: Arc<PumpControl>,
    /// Device and inode of the stream.
    object: (u64, u64),
    /// How the reading has ended, once it has.
    outcome: Arc<OnceLock<Outcome>>,
    task: JoinHandle<()>,
}

impl Streams {
    /// Starts to read all configured streams.
    ///
    /// # Errors
    /// The spool cannot be written: a stream's writer would wait for ever.
    pub(crate) fn begin(watch: &Watch) -> anyhow::Result<Self> {
        let SpoolConfig { directory, limit } = &watch.spool;
        let spool = Arc::new(Spool::new(directory.clone(), *limit));
        let mut streams = Self {
            syncing: tokio::spawn(sync_regularly(Arc::clone(&spool))),
            spool,
            input: None,
            fifos: HashMap::new(),
            ending: Vec::new(),
            unreadable: HashSet::new(),
            foreign: Vec::new(),
        };
        let fifos = watch.list.scan().fifos;
        if watch.standard_input.is_read() || !fifos.is_empty() {
            streams.spool.prepare().with_context(|| {
                format!(
                    "cannot keep what comes from a stream in '{}'; give another directory with \
                     --spool-dir",
                    directory.display()
                )
            })?;
        }
        streams.update(watch.standard_input, &watch.list, &fifos);
        Ok(streams)
    }

    pub(crate) fn spool(&self) -> &Arc<Spool> {
        &self.spool
    }

    /// Warns if the configuration names another spool than the one in use. The spool stays the same
    /// while the process lives: it may hold half a line.
    pub(crate) fn warn_of_other_spool(&self, config: &SpoolConfig) {
        if self.spool.directory() != config.directory || self.spool.limit() != config.limit {
            warn!(spool = %self.spool.directory().display(),
                "another spool, or another limit, is taken at the next start only");
        }
    }

    /// Starts readers of new streams, and ends those of streams that are gone or not configured.
    pub(crate) fn update(&mut self, input: StandardInput, list: &Watchlist, fifos: &[PathBuf]) {
        self.foreign.clear();
        self.ending.retain(|reader| !reader.task.is_finished());
        match self.input.take_if(|_| !input.is_read()) {
            Some(reader) => {
                reader.control.stop();
                self.ending.push(reader);
            }
            None if input.is_read() && self.input.is_none() => self.read_input(),
            None => {}
        }
        let gone: Vec<PathBuf> =
            self.fifos.keys().filter(|path| !fifos.contains(path)).cloned().collect();
        for path in gone {
            self.end_fifo(&path);
        }
        for path in fifos {
            let now = StreamPump::object_at(path).ok();
            if self.fifos.get(path).is_some_and(|it| Some(it.object) != now || it.has_ended()) {
                self.end_fifo(path);
            }
            // Two readers of one FIFO would each get half of its lines, so a second name is ignored.
            let is_read = |it: &StreamReader| Some(it.object) == now && !it.has_ended();
            if !self.fifos.contains_key(path) && !self.all().any(is_read) {
                self.read_fifo(path, list);
            }
        }
    }

    /// Returns the links to FIFOs that the last update did not follow.
    pub(crate) fn foreign(&self) -> &[PathBuf] {
        &self.foreign
    }

    /// Ends the reader of a FIFO that was removed, replaced or is no longer configured.
    fn end_fifo(&mut self, path: &Path) {
        let Some(reader) = self.fifos.remove(path) else { return };
        if StreamPump::object_at(path).is_ok_and(|object| object == reader.object) {
            reader.control.stop();
        } else if !reader.has_ended() {
            info!(path = %path.display(),
                "this FIFO has no name any more: read until its last writer closes it");
            reader.control.path_is_gone();
        }
        self.ending.push(reader);
    }

    fn read_input(&mut self) {
        if io::IsTerminal::is_terminal(&io::stdin()) {
            info!("standard input is a terminal: Ctrl-D on a line of its own ends it");
        }
        let spool = Arc::clone(&self.spool);
        let begin = |control| StreamPump::standard_input(spool, control);
        match StreamReader::spawn("standard input".to_owned(), &self.spool, begin) {
            Ok(reader) => self.input = Some(reader),
            Err(error) => warn!(%error, "cannot read standard input; it is tried again"),
        }
    }

    fn read_fifo(&mut self, path: &Path, list: &Watchlist) {
        let spool = Arc::clone(&self.spool);
        let begin =
            |control| list.with_links(path, |links| StreamPump::fifo(spool, path, links, control));
        match StreamReader::spawn(path.display().to_string(), &self.spool, begin) {
            Ok(reader) => {
                info!(path = %path.display(), spool = %self.spool.directory().display(),
                    "reading a FIFO");
                self.unreadable.remove(path);
                self.fifos.insert(path.to_path_buf(), reader);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if Refused::of(&error) == Some(Refused::ForeignLink) => {
                self.foreign.push(path.to_path_buf());
            }
            Err(error) => {
                if self.unreadable.insert(path.to_path_buf()) {
                    warn!(path = %path.display(), %error, "cannot read this FIFO");
                }
            }
        }
    }

    /// Returns whether standard input has ended.
    pub(crate) fn input_has_ended(&self) -> bool {
        self.input.as_ref().is_some_and(StreamReader::has_ended)
    }

    /// Returns whether standard input has ended with an error.
    pub(crate) fn input_has_failed(&self) -> bool {
        self.input.as_ref().is_some_and(|input| input.outcome.get() == Some(&Outcome::Failed))
    }

    /// Asks all readers to stop after the bytes that are already in the pipes.
    pub(crate) fn stop(&self) {
        for reader in self.all() {
            reader.control.stop();
        }
    }

    /// Stops all readers and waits for them, up to [`DRAIN_TIME`].
    pub(crate) async fn end(&mut self) {
        self.stop();
        let end = tokio::time::Instant::now() + DRAIN_TIME;
        let all = self.input.iter_mut().chain(self.fifos.values_mut()).chain(&mut self.ending);
        for reader in all.filter(|reader| !reader.task.is_finished()) {
            // A reader that is late ends with the process, as if it was killed.
            if tokio::time::timeout_at(end, &mut reader.task).await.is_err() {
                warn!(
                    "stopped before the spool was on the disk: a power cut would cost lines of streams"
                );
            }
        }
        self.syncing.abort();
    }

    fn all(&self) -> impl Iterator<Item = &StreamReader> {
        self.input.iter().chain(self.fifos.values()).chain(&self.ending)
    }
}

impl StreamReader {
    /// Starts the thread for the stream that `begin` opens.
    fn spawn(
        name: String,
        spool: &Arc<Spool>,
        begin: impl FnOnce(Arc<PumpControl>) -> io::Result<StreamPump>,
    ) -> io::Result<Self> {
        let control = PumpControl::new()?;
        let mut pump = begin(Arc::clone(&control))?;
        let (object, outcome) = (pump.object()?, Arc::new(OnceLock::new()));
        let (thread_control, thread_outcome) = (Arc::clone(&control), Arc::clone(&outcome));
        let spool = Arc::clone(spool);
        let task = tokio::task::spawn_blocking(move || {
            // Before the pump's end wakes the ingest loop, which reads this.
            thread_outcome.get_or_init(|| read_to_end(&mut pump, &thread_control, &name));
            drop(pump);
            // A stop with exit code 0 says that the spool keeps what is not stored.
            sync(&spool);
        });
        Ok(Self { control, object, outcome, task })
    }

    fn has_ended(&self) -> bool {
        self.outcome.get().is_some()
    }
}

/// How the reading of a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// At the stream's end, or at a stop.
    Complete,
    /// With an error of the stream.
    Failed,
}

/// Why a stream waits. Each reason is logged once, until it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stall {
    No,
    Full,
    Unwritable,
}

/// Moves bytes into the spool until the stream ends or a stop is requested.
fn read_to_end(pump: &mut StreamPump, control: &PumpControl, name: &str) -> Outcome {
    let mut stall = Stall::No;
    let mut stop_by = None;
    loop {
        if control.is_stopped() {
            let stop_by = *stop_by.get_or_insert_with(|| Instant::now() + DRAIN_TIME);
            if Instant::now() >= stop_by {
                return Outcome::Complete;
            }
        }
        match pump.step() {
            Ok(PumpStep::Moved) => {
                if stall != Stall::No {
                    info!(stream = name, "there is room in the spool: reading on");
                    stall = Stall::No;
                }
            }
            Ok(PumpStep::Ended) => {
                info!(stream = name, "the stream has ended");
                return Outcome::Complete;
            }
            _ if control.is_stopped() => return Outcome::Complete,
            Ok(PumpStep::Idle) => pump.wait(WaitFor::Bytes),
            Ok(PumpStep::SpoolFull) => {
                if stall != Stall::Full {
                    stall = Stall::Full;
                    warn!(
                        stream = name,
                        "the spool is full, so its writer waits; nothing is lost, \
                        and it goes on when the store has taken what is there (--spool-limit)"
                    );
                    pump.wake_other_pumps();
                }
                pump.wait(WaitFor::Room(ROOM_INTERVAL));
            }
            Err(PumpError::Spool(error)) => {
                if stall != Stall::Unwritable {
                    stall = Stall::Unwritable;
                    warn!(stream = name, %error, "cannot write to the spool, so its writer waits; \
                        nothing is lost, and it goes on when that is mended");
                }
                pump.wait(WaitFor::Room(WRITE_RETRY));
            }
            Err(PumpError::Input(error)) => {
                error!(stream = name, %error, "cannot read this stream any more");
                return Outcome::Failed;
            }
        }
    }
}

/// Writes the spool to the disk, about as often as [`SYNC_INTERVAL`] says, and never returns.
async fn sync_regularly(spool: Arc<Spool>) {
    let mut has_failed = false;
    loop {
        spool.has_unsynced().await;
        tokio::time::sleep(SYNC_INTERVAL).await;
        let spool = Arc::clone(&spool);
        // Each failure is logged once, until it is over.
        let result = tokio::task::spawn_blocking(move || spool.sync()).await;
        let failed = matches!(&result, Ok(Err(_)));
        if let Ok(Err(error)) = result
            && !has_failed
        {
            warn_of_unsynced(&error);
        }
        has_failed = failed;
    }
}

/// Writes the spool to the disk once.
fn sync(spool: &Spool) {
    if let Err(error) = spool.sync() {
        warn_of_unsynced(&error);
    }
}

fn warn_of_unsynced(error: &io::Error) {
    warn!(%error, "the spool cannot be written to the disk: a power cut would cost lines of streams");
}
