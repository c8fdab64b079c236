//! Carries the bytes of one stream into the spool, step by step. Every step is short; whoever takes
//! the steps waits between them, and says what went wrong.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::file::SpoolFile;
use super::input::{Input, Took};
use super::{Spool, StreamName};
use crate::source::lines::MAX_LINE;

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PumpStep {
    /// Bytes were moved; there may be more.
    Moved,
    /// The stream has nothing for now: [`StreamPump::wait_for_bytes`].
    Idle,
    /// The spool is full: [`StreamPump::wait_for_room`].
    SpoolFull,
    /// The stream has ended, and its last line has an end.
    Ended,
}

/// What can go wrong. No byte is lost by it.
#[derive(Debug)]
pub enum PumpError {
    /// The stream cannot be read.
    Input(io::Error),
    /// The spool cannot be written: a full disk, or a directory that may not be written.
    Spool(io::Error),
}

/// What a pump is told while it works.
#[derive(Debug)]
pub struct PumpControl {
    stopped: AtomicBool,
    nameless: AtomicBool,
    /// A byte in this pipe ends a wait.
    wakes: OwnedFd,
    waker: OwnedFd,
}

impl PumpControl {
    /// Nothing is told yet.
    ///
    /// # Errors
    /// No pipe can be had.
    pub fn new() -> io::Result<Arc<Self>> {
        let (wakes, waker) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let (stopped, nameless) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Arc::new(Self { stopped, nameless, wakes, waker }))
    }

    /// No more steps are to be taken.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Whether [`PumpControl::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// The FIFO's path leads to it no more: it ends with its last writer.
    pub fn path_is_gone(&self) {
        self.nameless.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Ends a wait.
    pub(super) fn wake(&self) {
        let _ = rustix::io::write(&self.waker, &[0]); // a full pipe wakes as well
    }

    fn hush(&self) {
        let mut bytes = [0; 64];
        while rustix::io::read(&self.wakes, &mut bytes).is_ok_and(|read| read == bytes.len()) {}
    }
}

/// Carries one stream.
#[derive(Debug)]
pub struct StreamPump {
    spool: Arc<Spool>,
    stream: StreamName,
    input: Input,
    control: Arc<PumpControl>,
    writing: Option<SpoolFile>,
    /// Bytes that came since the file should have ended.
    surplus: u64,
}

impl StreamPump {
    /// Carries standard input.
    ///
    /// # Errors
    /// Standard input that cannot be had.
    pub fn standard_input(spool: Arc<Spool>, control: Arc<PumpControl>) -> io::Result<Self> {
        Ok(Self::of(spool, StreamName::standard_input(), Input::standard()?, control))
    }

    /// Carries the FIFO at `path`, and goes on with a line that an earlier pump had begun: the rest
    /// of it is still in the pipe, or with a writer who has it open. If nobody has, it has no rest.
    ///
    /// # Errors
    /// A FIFO that cannot be opened, or a spool that cannot be read.
    pub fn fifo(spool: Arc<Spool>, path: &Path, control: Arc<PumpControl>) -> io::Result<Self> {
        let mut pump = Self::of(spool, StreamName::fifo(path), Input::fifo(path)?, control);
        if let Some(mut file) = pump.spool.resume(&pump.stream)? {
            let may_go_on = pump.input.may_go_on_with(&file).unwrap_or(false);
            match may_go_on.then(|| pump.input.take(&file, false)) {
                Some(Ok(Took::Bytes(bytes))) => file.end += bytes,
                // A full disk says nothing of the pipe.
                Some(Ok(Took::Nothing) | Err(_)) => {}
                Some(Ok(Took::End)) | None => {
                    let _ = file.end_line(); // a full disk: then it is left as it is
                    pump.spool.end(file);
                    return Ok(pump);
                }
            }
            pump.writing = Some(file);
        }
        Ok(pump)
    }

    fn of(spool: Arc<Spool>, stream: StreamName, input: Input, control: Arc<PumpControl>) -> Self {
        spool.enrol(&control);
        Self { spool, stream, input, control, writing: None, surplus: 0 }
    }

    /// Device and inode of what is read.
    ///
    /// # Errors
    /// What the system says.
    pub fn object(&self) -> io::Result<(u64, u64)> {
        self.input.object()
    }

    /// Device and inode of what a path leads to now.
    ///
    /// # Errors
    /// What the system says.
    pub fn object_at(path: &Path) -> io::Result<(u64, u64)> {
        fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
    }

    /// One step.
    ///
    /// # Errors
    /// Nothing is lost; after [`PumpError::Spool`] the step can be taken again.
    pub fn step(&mut self) -> Result<PumpStep, PumpError> {
        let full = !self.spool.has_room();
        let due = |file: &SpoolFile| full || file.end >= self.spool.rotate_at();
        let due = self.writing.as_ref().is_some_and(due);
        if due && let Some(file) = self.writing.take() {
            let ended = file.is_at_line_end().map_err(PumpError::Spool);
            match ended {
                Ok(true) => {
                    self.surplus = 0;
                    self.spool.end(file);
                }
                _ => self.writing = Some(file),
            }
            ended?;
        }
        let mut file = match self.writing.take() {
            Some(file) => file,
            None => {
                // A FIFO that nobody has opened since does not say that nobody can any more.
                let nameless = self.control.nameless.load(Ordering::Relaxed);
                if !nameless && !self.input.is_ready().map_err(PumpError::Input)? {
                    return Ok(PumpStep::Idle);
                }
                if full {
                    return Ok(PumpStep::SpoolFull);
                }
                self.spool.begin(&self.stream).map_err(PumpError::Spool)?
            }
        };
        let cut = full || file.end >= self.spool.rotate_at();
        let turn = self.fill(&mut file, cut);
        match turn {
            Ok(PumpStep::Ended) => self.spool.end(file),
            // Where there is no room, what is stored of it has to make some.
            Err(PumpError::Spool(_)) if file.end > 0 && file.is_at_line_end().unwrap_or(false) => {
                self.spool.end(file);
            }
            _ => self.writing = Some(file),
        }
        turn
    }

    /// A step that has a file to put bytes into. With `cut` the file is to end.
    fn fill(&mut self, file: &mut SpoolFile, cut: bool) -> Result<PumpStep, PumpError> {
        if cut && self.surplus > MAX_LINE as u64 {
            // A line that is rejected for its length anyway; its rest will be, too.
            file.end_line().map_err(PumpError::Spool)?;
            return Ok(PumpStep::Moved);
        }
        match self.input.take(file, cut)? {
            Took::Bytes(bytes) => {
                let first = file.end == 0;
                file.end += bytes;
                self.surplus += if cut { bytes } else { 0 };
                self.spool.took(bytes);
                if first {
                    self.spool.has_changed();
                }
                Ok(PumpStep::Moved)
            }
            Took::Nothing => Ok(PumpStep::Idle),
            // Whoever has closed it will not finish the line.
            Took::End => {
                file.end_line().map_err(PumpError::Spool)?;
                match self.input.open_again().map_err(PumpError::Input)? {
                    true => Ok(PumpStep::Idle),
                    false => Ok(PumpStep::Ended),
                }
            }
        }
    }

    /// Waits until the stream has something, or [`PumpControl`] says something.
    pub fn wait_for_bytes(&self) {
        self.wait(true, None);
    }

    /// Waits until there may be room, `patience` at most.
    pub fn wait_for_room(&self, patience: Duration) {
        self.wait(false, Some(patience));
    }

    /// The other streams end their files, too, if there is no room: each of them may be what has to
    /// be removed.
    pub fn wake_other_pumps(&self) {
        self.spool.wake_all();
    }

    fn wait(&self, bytes: bool, patience: Option<Duration>) {
        let patience = patience.map(|patience| Timespec {
            tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: patience.subsec_nanos().into(),
        });
        let control = self.control.wakes.as_fd();
        let mut fds = [
            PollFd::from_borrowed_fd(control, PollFlags::IN),
            PollFd::from_borrowed_fd(self.input.as_fd(), PollFlags::IN),
        ];
        let fds = if bytes { &mut fds[..] } else { &mut fds[..1] };
        // An interrupted wait is a short one.
        if poll(fds, patience.as_ref()) != Err(Errno::INTR) {
            self.control.hush();
        }
    }
}

impl Drop for StreamPump {
    /// A line that is begun stays without an end.
    fn drop(&mut self) {
        if let Some(file) = self.writing.take() {
            self.spool.end(file);
        }
        self.spool.has_changed();
    }
}
