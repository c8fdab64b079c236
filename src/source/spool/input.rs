//! Where a stream comes from, and how its bytes get into a file.
//!
//! From a pipe or FIFO by splice(2), so that no byte is ever in this process's memory and nowhere else.
//! What is no pipe (a terminal, a socket, a file) is read and written.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice, tee};
use rustix::time::{ClockId, clock_gettime};

use super::PumpError;
use super::file::SpoolFile;

/// Bytes that are moved at once, at most (1 MiB): all that a pipe usually holds, so that what was
/// written whole is taken whole.
const MOST: usize = 1 << 20;

/// Bytes that are looked at, or read, at once (64 KiB).
const CHUNK: usize = 64 << 10;

/// What became of a try to move bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Took {
    /// So many were moved.
    Bytes(u64),
    /// There are none now.
    Nothing,
    /// There are none, and nobody is there who could write more.
    End,
}

/// Standard input or a FIFO.
#[derive(Debug)]
pub(super) struct Input {
    file: File,
    /// Where the FIFO is.
    path: Option<PathBuf>,
    /// Whether the kernel moves its bytes.
    splices: bool,
    /// What was read and is not written.
    read: Vec<u8>,
    /// A pipe in which bytes are looked at before they are moved.
    glass: Option<(OwnedFd, OwnedFd)>,
}

impl Input {
    pub(super) fn standard() -> io::Result<Self> {
        Ok(Self::of(File::from(io::stdin().as_fd().try_clone_to_owned()?), None))
    }

    /// Opens a FIFO. Waits for no writer. Two who read it would each have half of its lines, so it is
    /// locked (flock).
    pub(super) fn fifo(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        lock(&file)?;
        Ok(Self::of(file, Some(path.to_path_buf())))
    }

    fn of(file: File, path: Option<PathBuf>) -> Self {
        Self { file, path, splices: true, read: Vec::new(), glass: None }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Device and inode.
    pub(super) fn object(&self) -> io::Result<(u64, u64)> {
        self.file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
    }

    /// Whether there is something to be had, its end included.
    pub(super) fn is_ready(&self) -> io::Result<bool> {
        if !self.read.is_empty() {
            return Ok(true);
        }
        let mut fds = [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&Timespec::default())) {
            Err(Errno::INTR) => Ok(false),
            ready => Ok(ready? > 0),
        }
    }

    /// A FIFO that nobody has open any more is opened again, or it would say so for ever. `false`: its
    /// path leads to it no more, somebody else has locked it in that moment, or this is no FIFO.
    pub(super) fn open_again(&mut self) -> io::Result<bool> {
        let Some(path) = &self.path else { return Ok(false) };
        let before = self.object()?;
        let Ok(again) = open(path).map(|file| Self::of(file, Some(path.clone()))) else {
            return Ok(false);
        };
        if again.object()? != before {
            return Ok(false);
        }
        self.file.unlock()?; // the lock is the opened file's, not the process's
        self.file = again.file;
        Ok(lock(&self.file).is_ok())
    }

    /// Whether a line that was cut at the end of this file may be gone on with: the FIFO, and the pipe
    /// in it, are as old as that.
    pub(super) fn may_go_on_with(&self, file: &SpoolFile) -> io::Result<bool> {
        let written = file.file.metadata()?.modified()?;
        let born = self.file.metadata().and_then(|fifo| fifo.created());
        // Not every file system knows.
        Ok(written > started() && !born.is_ok_and(|born| born > written))
    }

    /// Moves bytes to the end of `to`. With `cut`, none behind the end of the last line that can be
    /// seen.
    pub(super) fn take(&mut self, to: &SpoolFile, cut: bool) -> Result<Took, PumpError> {
        if self.splices {
            let length = match cut {
                true => self.length_of_lines(),
                false => Ok(MOST),
            };
            let moved = length.and_then(|length| match length {
                0 => Ok(0),
                _ => {
                    let mut at = to.end;
                    splice(&self.file, None, &to.file, Some(&mut at), length, SpliceFlags::NONBLOCK)
                }
            });
            match moved {
                Ok(0) => return Ok(Took::End),
                Ok(bytes) => return Ok(Took::Bytes(bytes as u64)),
                Err(Errno::AGAIN | Errno::INTR) => return Ok(Took::Nothing),
                // No pipe, or a file system that does not take bytes in this way.
                Err(Errno::INVAL | Errno::BADF | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    self.splices = false;
                }
                Err(error) => return Err(PumpError::Spool(error.into())),
            }
        }
        self.read_and_write(to, cut)
    }

    /// How many of the bytes in the pipe are whole lines; all of them if there is no end of a line.
    fn length_of_lines(&mut self) -> rustix::io::Result<usize> {
        let glass = match self.glass.take() {
            Some(glass) => glass,
            None => pipe_with(PipeFlags::CLOEXEC)?,
        };
        let (from, to) = &*self.glass.insert(glass);
        let seen = tee(&self.file, to, CHUNK, SpliceFlags::NONBLOCK)?;
        let mut bytes = vec![0; seen];
        let mut filled = 0;
        while filled < seen {
            match rustix::io::read(from, &mut bytes[filled..]) {
                Err(Errno::INTR) => {}
                read => filled += read?,
            }
        }
        Ok(memchr::memrchr(b'\n', &bytes).map_or(seen, |at| at + 1))
    }

    fn read_and_write(&mut self, to: &SpoolFile, cut: bool) -> Result<Took, PumpError> {
        if self.read.is_empty() {
            if !self.is_ready().map_err(PumpError::Input)? {
                return Ok(Took::Nothing);
            }
            let mut bytes = vec![0; CHUNK];
            match self.file.read(&mut bytes) {
                Ok(0) => return Ok(Took::End),
                Ok(read) => bytes.truncate(read),
                Err(error) if is_for_later(&error) => return Ok(Took::Nothing),
                Err(error) => return Err(PumpError::Input(error)),
            }
            self.read = bytes;
        }
        let last = memchr::memrchr(b'\n', &self.read).filter(|_| cut);
        let length = last.map_or(self.read.len(), |at| at + 1);
        let written = to.file.write_at(&self.read[..length], to.end).map_err(PumpError::Spool)?;
        self.read.drain(..written);
        Ok(Took::Bytes(written as u64))
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn lock(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another log-ingestd reads it: waiting for that one to end",
        ),
        TryLockError::Error(error) => error,
    })
}

/// When this machine was started: what was in a pipe before is gone.
fn started() -> SystemTime {
    let up = clock_gettime(ClockId::Boottime);
    let up = Duration::from_secs(u64::try_from(up.tv_sec).unwrap_or(0));
    SystemTime::now().checked_sub(up).unwrap_or(UNIX_EPOCH)
}
