//! Moves the bytes of one stream into the spool, step by step. Every step is short. The caller
//! waits between the steps and reports errors.

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

use super::input::{Amount, Input, Moved};
use super::{Spool, SpoolFile, StreamName};
use crate::source::devices;
use crate::source::lines::MAX_LINE;
use crate::source::open::Links;

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PumpStep {
    /// Bytes were moved; there may be more.
    Moved,
    /// The stream has no bytes for now. Wait for [`WaitFor::Bytes`].
    Idle,
    /// The spool is full. Wait for [`WaitFor::Room`].
    SpoolFull,
    /// The stream has ended, and its last line has an end.
    Ended,
}

/// Why a step failed. No byte is lost.
#[derive(Debug)]
pub enum PumpError {
    /// The stream cannot be read.
    Input(io::Error),
    /// The spool cannot be written: the disk is full, or the directory is not writable.
    Spool(io::Error),
}

/// Controls a pump from another thread.
#[derive(Debug)]
pub struct PumpControl {
    stopped: AtomicBool,
    path_gone: AtomicBool,
    /// A byte in this pipe ends a wait.
    wakes: OwnedFd,
    waker: OwnedFd,
}

impl PumpControl {
    /// Makes the control of a pump that is to run.
    ///
    /// # Errors
    /// A pipe that cannot be made.
    pub fn new() -> io::Result<Arc<Self>> {
        let (wakes, waker) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let (stopped, path_gone) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Arc::new(Self { stopped, path_gone, wakes, waker }))
    }

    /// Stops the pump: no more steps are to be made.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Returns whether [`PumpControl::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Reports that the path of the FIFO leads to another file or to none. The pump ends after the
    /// last writer.
    pub fn path_is_gone(&self) {
        self.path_gone.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Ends a wait.
    pub(super) fn wake(&self) {
        let _ = rustix::io::write(&self.waker, &[0]); // a full pipe ends the wait too
    }

    /// Removes the bytes that ended a wait.
    fn clear_wakes(&self) {
        let mut bytes = [0; 64];
        while rustix::io::read(&self.wakes, &mut bytes).is_ok_and(|read| read == bytes.len()) {}
    }
}

/// What ends a wait, besides the [`PumpControl`].
#[derive(Clone, Copy, Debug)]
pub enum WaitFor {
    /// The stream has bytes or has ended.
    Bytes,
    /// This time is over: there may be room in the spool.
    Room(Duration),
}

/// Moves the bytes of one stream.
#[derive(Debug)]
pub struct StreamPump {
    spool: Arc<Spool>,
    stream: StreamName,
    input: Input,
    control: Arc<PumpControl>,
    writing: Option<SpoolFile>,
    /// The bytes that came since the file should have ended.
    surplus: u64,
    /// Whether the next bytes have to wait until those before them are on the disk.
    owes_sync: bool,
}

impl StreamPump {
    /// Makes the pump of standard input.
    ///
    /// # Errors
    /// Standard input that is not open.
    pub fn standard_input(spool: Arc<Spool>, control: Arc<PumpControl>) -> io::Result<Self> {
        Ok(Self::new(spool, StreamName::standard_input(), Input::standard()?, control))
    }

    /// Makes the pump of the FIFO at `path`. A line that an earlier pump began is continued: its
    /// rest is in the pipe, or comes from a writer that has the FIFO open. Without such a writer,
    /// the rest is lost, and the line is ended.
    ///
    /// # Errors
    /// A FIFO that cannot be opened, or a spool that cannot be read.
    pub(crate) fn fifo(
        spool: Arc<Spool>,
        path: &Path,
        links: Links<'_>,
        control: Arc<PumpControl>,
    ) -> io::Result<Self> {
        let mut pump = Self::new(spool, StreamName::fifo(path), Input::fifo(path, links)?, control);
        if let Some(mut file) = pump.spool.resume(&pump.stream)? {
            let may_continue = pump.input.may_continue(&file).unwrap_or(false);
            match may_continue.then(|| pump.input.take(&file, Amount::All)) {
                Some(Ok(Moved::Bytes(bytes))) => file.end += bytes,
                // A full disk says nothing about the pipe.
                Some(Ok(Moved::Nothing) | Err(_)) => {}
                Some(Ok(Moved::End)) | None => {
                    let _ = file.end_line(); // on a full disk the line stays without an end
                    pump.spool.end(file);
                    return Ok(pump);
                }
            }
            pump.writing = Some(file);
        }
        Ok(pump)
    }

    fn new(spool: Arc<Spool>, stream: StreamName, input: Input, control: Arc<PumpControl>) -> Self {
        spool.register(&control);
        Self { spool, stream, input, control, writing: None, surplus: 0, owes_sync: false }
    }

    /// Returns device and inode of the stream.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn object(&self) -> io::Result<(u64, u64)> {
        self.input.object()
    }

    /// Returns device and inode of the file at `path`.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn object_at(path: &Path) -> io::Result<(u64, u64)> {
        devices::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
    }

    /// Makes one step.
    ///
    /// # Errors
    /// No byte is lost. After [`PumpError::Spool`] the step can be repeated.
    pub fn step(&mut self) -> Result<PumpStep, PumpError> {
        let full = !self.spool.has_room();
        let is_due = |file: &SpoolFile| full || file.end >= self.spool.rotate_at();
        let ends = match &self.writing {
            Some(file) if is_due(file) => file.is_at_line_end().map_err(PumpError::Spool)?,
            _ => false,
        };
        if ends && let Some(file) = self.writing.take() {
            self.surplus = 0;
            self.spool.end(file);
        }
        let mut file = match self.writing.take() {
            Some(file) => file,
            None => {
                // A FIFO with a path is idle until a writer opens it. One without a path may have
                // no writer left, which only a read shows.
                let path_gone = self.control.path_gone.load(Ordering::Relaxed);
                if !path_gone && !self.input.is_ready().map_err(PumpError::Input)? {
                    return Ok(PumpStep::Idle);
                }
                if full {
                    return Ok(PumpStep::SpoolFull);
                }
                self.spool.begin(&self.stream).map_err(PumpError::Spool)?
            }
        };
        let amount = if is_due(&file) { Amount::ToLineEnd } else { Amount::All };
        let step = self.fill(&mut file, amount);
        match step {
            Ok(PumpStep::Ended) => self.spool.end(file),
            // Without room on the disk, what is stored of the file must be removable, to make some.
            Err(PumpError::Spool(_)) if file.end > 0 && file.is_at_line_end().unwrap_or(false) => {
                self.spool.end(file);
            }
            _ => self.writing = Some(file),
        }
        step
    }

    /// Moves bytes into a file.
    fn fill(&mut self, file: &mut SpoolFile, amount: Amount) -> Result<PumpStep, PumpError> {
        self.sync_owed()?;
        if amount == Amount::ToLineEnd && self.surplus > MAX_LINE as u64 {
            // The line will be rejected for its length anyway, and so will its rest.
            file.end_line().map_err(PumpError::Spool)?;
            return Ok(PumpStep::Moved);
        }
        match self.input.take(file, amount)? {
            Moved::Bytes(bytes) => {
                let is_first = file.end == 0;
                file.end += bytes;
                if amount == Amount::ToLineEnd {
                    self.surplus += bytes;
                }
                self.spool.add_bytes(&file.path, bytes);
                if is_first {
                    self.spool.notify_files_changed();
                }
                self.owes_sync = self.input.can_wait();
                self.sync_owed()?;
                Ok(PumpStep::Moved)
            }
            Moved::Nothing => Ok(PumpStep::Idle),
            // A writer that has closed the stream will not finish its line.
            Moved::End => {
                file.end_line().map_err(PumpError::Spool)?;
                match self.input.open_again().map_err(PumpError::Input)? {
                    true => Ok(PumpStep::Idle),
                    false => Ok(PumpStep::Ended),
                }
            }
        }
    }

    /// Writes the bytes of a stream that waits for it to the disk. After an error no byte is taken until it
    /// was tried again.
    fn sync_owed(&mut self) -> Result<(), PumpError> {
        if self.owes_sync {
            self.spool.sync().map_err(PumpError::Spool)?;
            self.owes_sync = false;
        }
        Ok(())
    }

    /// Wakes the other pumps if the spool is full, so that they end their files. Any of these may
    /// be the file to be removed.
    pub fn wake_other_pumps(&self) {
        self.spool.wake_all();
    }

    /// Waits for `what`, or until the [`PumpControl`] is used.
    pub fn wait(&self, what: WaitFor) {
        let control = self.control.wakes.as_fd();
        let mut fds = [
            PollFd::from_borrowed_fd(control, PollFlags::IN),
            PollFd::from_borrowed_fd(self.input.as_fd(), PollFlags::IN),
        ];
        let (fds, patience) = match what {
            WaitFor::Bytes => (&mut fds[..], None),
            WaitFor::Room(patience) => (&mut fds[..1], Timespec::try_from(patience).ok()),
        };
        // An interrupted wait is only a short one.
        if poll(fds, patience.as_ref()) != Err(Errno::INTR) {
            self.control.clear_wakes();
        }
    }
}

impl Drop for StreamPump {
    /// Leaves the last line without an end.
    fn drop(&mut self) {
        if let Some(file) = self.writing.take() {
            self.spool.end(file);
        }
        self.spool.notify_files_changed();
    }
}
