//! Standard input and FIFOs: for each of them a thread that carries what comes into the spool. It
//! waits in the kernel, for bytes or for room, and holds nobody up.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::source::Spool;
use crate::source::spool::{PumpControl, PumpError, PumpStep, StreamPump};

use crate::config::{SpoolConfig, Watch};

/// Between two looks whether there is room again; a removed file is told at once.
const ROOM: Duration = Duration::from_millis(500);

/// Between two tries to write to a spool that cannot be written.
const AGAIN: Duration = Duration::from_secs(1);

/// How long what is in a pipe is taken out of it at a stop: it would be gone with the process.
const LAST: Duration = Duration::from_secs(1);

/// All streams of one daemon. They outlive a reload.
#[derive(Debug)]
pub(crate) struct Streams {
    spool: Arc<Spool>,
    input: Option<RunningPump>,
    fifos: HashMap<PathBuf, RunningPump>,
    /// FIFOs without a name, and streams that are not wanted any more.
    parting: Vec<RunningPump>,
    /// FIFOs that could not be opened: said once.
    closed_doors: HashSet<PathBuf>,
}

/// One stream.
#[derive(Debug)]
struct RunningPump {
    control: Arc<PumpControl>,
    /// Device and inode of what is read.
    object: (u64, u64),
    end: Arc<End>,
    task: JoinHandle<()>,
}

/// How a stream has ended.
#[derive(Debug, Default)]
struct End {
    ended: AtomicBool,
    failed: AtomicBool,
}

impl Streams {
    /// Reads what there is.
    ///
    /// # Errors
    /// A spool in which nothing can be put: whoever writes to a stream would wait for ever.
    pub(crate) fn begin(watch: &Watch) -> anyhow::Result<Self> {
        let SpoolConfig { directory, limit } = &watch.spool;
        let mut streams = Self {
            spool: Arc::new(Spool::new(directory.clone(), *limit)),
            input: None,
            fifos: HashMap::new(),
            parting: Vec::new(),
            closed_doors: HashSet::new(),
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
        streams.tend(watch.standard_input.is_read(), &fifos);
        Ok(streams)
    }

    pub(crate) fn spool(&self) -> &Arc<Spool> {
        &self.spool
    }

    /// The spool stays where it is for as long as the process lives: a line may be half in it.
    pub(crate) fn keep_to(&self, config: &SpoolConfig) {
        if self.spool.directory() != config.directory || self.spool.limit() != config.limit {
            warn!(spool = %self.spool.directory().display(),
                "another spool, or another limit, is taken at the next start only");
        }
    }

    /// Begins what is new, lets go what is gone or not wanted any more.
    pub(crate) fn tend(&mut self, input_wanted: bool, fifos: &[PathBuf]) {
        self.parting.retain(|running| !running.task.is_finished());
        match self.input.take_if(|_| !input_wanted) {
            Some(input) => {
                input.control.stop();
                self.parting.push(input);
            }
            None if input_wanted && self.input.is_none() => self.read_input(),
            None => {}
        }
        let gone: Vec<PathBuf> =
            self.fifos.keys().filter(|path| !fifos.contains(path)).cloned().collect();
        for path in gone {
            self.part(&path);
        }
        for path in fifos {
            let now = StreamPump::object_at(path).ok();
            if self.fifos.get(path).is_some_and(|it| Some(it.object) != now || it.has_ended()) {
                self.part(path);
            }
            // Two who read one FIFO would each have half of its lines; another name of it is enough.
            let read = |it: &RunningPump| Some(it.object) == now && !it.has_ended();
            if !self.fifos.contains_key(path) && !self.all().any(read) {
                self.read_fifo(path);
            }
        }
    }

    /// What was at this path is there no more, or is not to be read.
    fn part(&mut self, path: &Path) {
        let Some(running) = self.fifos.remove(path) else { return };
        if StreamPump::object_at(path).is_ok_and(|object| object == running.object) {
            running.control.stop();
        } else if !running.has_ended() {
            info!(path = %path.display(),
                "this FIFO has no name any more: read until its last writer closes it");
            running.control.path_is_gone();
        }
        self.parting.push(running);
    }

    fn read_input(&mut self) {
        if io::IsTerminal::is_terminal(&io::stdin()) {
            info!("standard input is a terminal: Ctrl-D on a line of its own ends it");
        }
        let spool = Arc::clone(&self.spool);
        let pump = PumpControl::new().and_then(|control| {
            let pump = StreamPump::standard_input(spool, Arc::clone(&control))?;
            start_pump(pump, control, "standard input".to_owned())
        });
        match pump {
            Ok(running) => self.input = Some(running),
            Err(error) => warn!(%error, "cannot read standard input; it is tried again"),
        }
    }

    fn read_fifo(&mut self, path: &Path) {
        let spool = Arc::clone(&self.spool);
        let running = PumpControl::new().and_then(|control| {
            let pump = StreamPump::fifo(spool, path, Arc::clone(&control))?;
            start_pump(pump, control, path.display().to_string())
        });
        match running {
            Ok(running) => {
                info!(path = %path.display(), spool = %self.spool.directory().display(),
                    "reading a FIFO");
                self.closed_doors.remove(path);
                self.fifos.insert(path.to_path_buf(), running);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                if self.closed_doors.insert(path.to_path_buf()) {
                    warn!(path = %path.display(), %error, "cannot read this FIFO");
                }
            }
        }
    }

    /// Whether standard input was read to its end.
    pub(crate) fn input_has_ended(&self) -> bool {
        self.input.as_ref().is_some_and(RunningPump::has_ended)
    }

    /// Whether its end was an error.
    pub(crate) fn input_has_failed(&self) -> bool {
        self.input.as_ref().is_some_and(|input| input.end.failed.load(Ordering::Relaxed))
    }

    /// Nothing is read any more, but for what is in the pipes.
    pub(crate) fn stop(&self) {
        for running in self.all() {
            running.control.stop();
        }
    }

    /// Stops, and waits until that is done.
    pub(crate) async fn end(&mut self) {
        self.stop();
        let end = tokio::time::Instant::now() + LAST;
        let all = self.input.iter_mut().chain(self.fifos.values_mut()).chain(&mut self.parting);
        for running in all.filter(|running| !running.task.is_finished()) {
            let _ = tokio::time::timeout_at(end, &mut running.task).await; // as if it was killed
        }
    }

    fn all(&self) -> impl Iterator<Item = &RunningPump> {
        self.input.iter().chain(self.fifos.values()).chain(&self.parting)
    }
}

impl RunningPump {
    fn has_ended(&self) -> bool {
        self.end.ended.load(Ordering::Relaxed)
    }
}

/// Starts the thread.
fn start_pump(
    pump: StreamPump,
    control: Arc<PumpControl>,
    name: String,
) -> io::Result<RunningPump> {
    let (object, end) = (pump.object()?, Arc::new(End::default()));
    let (for_thread, ending) = (Arc::clone(&control), Arc::clone(&end));
    let task = tokio::task::spawn_blocking(move || {
        let mut pump = pump;
        let failed = !run_pump(&mut pump, &for_thread, &name);
        ending.failed.store(failed, Ordering::Relaxed);
        // Before whoever follows is told.
        ending.ended.store(true, Ordering::Relaxed);
        drop(pump);
    });
    Ok(RunningPump { control, object, end, task })
}

/// What keeps a stream waiting; said once, until it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stall {
    No,
    Full,
    Unwritable,
}

/// Takes steps until the stream ends or is to end; `false` if it cannot be read.
fn run_pump(pump: &mut StreamPump, control: &PumpControl, name: &str) -> bool {
    let mut stall = Stall::No;
    let mut last = None;
    loop {
        if control.is_stopped() {
            let end = *last.get_or_insert_with(|| Instant::now() + LAST);
            if Instant::now() >= end {
                return true;
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
                return true;
            }
            _ if control.is_stopped() => return true,
            Ok(PumpStep::Idle) => pump.wait_for_bytes(),
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
                pump.wait_for_room(ROOM);
            }
            Err(PumpError::Spool(error)) => {
                if stall != Stall::Unwritable {
                    stall = Stall::Unwritable;
                    warn!(stream = name, %error, "cannot write to the spool, so its writer waits; \
                        nothing is lost, and it goes on when that is mended");
                }
                pump.wait_for_room(AGAIN);
            }
            Err(PumpError::Input(error)) => {
                error!(stream = name, %error, "cannot read this stream any more");
                return false;
            }
        }
    }
}
