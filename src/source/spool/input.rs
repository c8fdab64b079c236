//! Reads standard input or a FIFO, and moves its bytes into a file.
//!
//! Bytes of a pipe or FIFO are moved by splice(2), so that no byte is ever in the memory of this
//! process only. From other files (a terminal, a socket) bytes are read and written.

use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice, tee};
use rustix::time::{ClockId, clock_gettime};

use super::{PumpError, SpoolFile};
use crate::source::open::{Links, Wanted, open};

/// The most bytes moved at once (1 MiB): all that a pipe usually holds, so that a whole write is
/// taken whole.
const MAX_MOVED: usize = 1 << 20;

/// The number of bytes that are examined or read at once (64 KiB).
const CHUNK: usize = 64 << 10;

/// How many of the available bytes are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    /// All that are available.
    All,
    /// Those up to the last line end, if one is seen: the file is to end there.
    ToLineEnd,
}

/// The result of an attempt to move bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// This many bytes were moved.
    Bytes(u64),
    /// There are no bytes now.
    Nothing,
    /// There are no bytes, and no writer that could write more.
    End,
}

/// Standard input or a FIFO.
#[derive(Debug)]
pub(super) struct Input {
    file: File,
    /// The path of a FIFO.
    path: Option<PathBuf>,
    /// Whether the kernel moves the bytes.
    splices: bool,
    /// Whether this is a socket, whose writer waits as long as no bytes are taken.
    is_socket: bool,
    /// Bytes that were read and not written yet.
    read: Vec<u8>,
    /// A pipe in which bytes are examined before they are moved.
    examined: Option<(OwnedFd, OwnedFd)>,
}

impl Input {
    pub(super) fn standard() -> io::Result<Self> {
        Ok(Self::new(File::from(io::stdin().as_fd().try_clone_to_owned()?), None))
    }

    /// Opens a FIFO without waiting for a writer. It is locked (flock), because two readers would
    /// each get half of its lines.
    pub(super) fn fifo(path: &Path, links: Links<'_>) -> io::Result<Self> {
        let (file, _) = open(path, Wanted::Fifo, links)?;
        lock(&file)?;
        Ok(Self::new(file, Some(path.to_path_buf())))
    }

    fn new(file: File, path: Option<PathBuf>) -> Self {
        let is_socket = file.metadata().is_ok_and(|metadata| metadata.file_type().is_socket());
        Self { file, path, splices: true, is_socket, read: Vec::new(), examined: None }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Returns device and inode.
    pub(super) fn object(&self) -> io::Result<(u64, u64)> {
        self.file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
    }

    /// Returns whether the stream keeps its next bytes while those that were taken are written to the disk.
    /// The bytes of a pipe would be gone with the power all the same, and a file has its own on a disk.
    pub(super) fn can_wait(&self) -> bool {
        self.is_socket
    }

    /// Returns whether there are bytes, or the end of the stream.
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

    /// Opens the FIFO again after its last writer has closed it; otherwise every read would return
    /// the end. Returns `false` if the path leads to another file or to none, if another reader has
    /// just locked the FIFO, or if this is not a FIFO.
    pub(super) fn open_again(&mut self) -> io::Result<bool> {
        let Some(path) = &self.path else { return Ok(false) };
        let before = self.object()?;
        // Whatever links lead there: it has to be the FIFO that was opened before.
        let Ok((again, _)) = open(path, Wanted::Fifo, Links::All) else { return Ok(false) };
        let again = Self::new(again, Some(path.clone()));
        if again.object()? != before {
            return Ok(false);
        }
        self.file.unlock()?; // the lock belongs to the open file, not to the process
        self.file = again.file;
        Ok(lock(&self.file).is_ok())
    }

    /// Returns whether the last line of `file`, which was cut, may be continued. The machine must have
    /// started, and the FIFO must have been made, before the file was last written. Otherwise the
    /// bytes in the pipe are not the rest of that line.
    pub(super) fn may_continue(&self, file: &SpoolFile) -> io::Result<bool> {
        let written = file.file.metadata()?.modified()?;
        let born = self.file.metadata().and_then(|fifo| fifo.created());
        // Some file systems do not know the time of birth.
        Ok(written > boot_time() && !born.is_ok_and(|born| born > written))
    }

    /// Moves bytes to the end of `to`.
    pub(super) fn take(&mut self, to: &SpoolFile, amount: Amount) -> Result<Moved, PumpError> {
        if self.splices {
            let length = match amount {
                Amount::ToLineEnd => self.length_of_lines(),
                Amount::All => Ok(MAX_MOVED),
            };
            let moved = length.and_then(|length| match length {
                0 => Ok(0),
                _ => {
                    let mut at = to.end;
                    splice(&self.file, None, &to.file, Some(&mut at), length, SpliceFlags::NONBLOCK)
                }
            });
            match moved {
                Ok(0) => return Ok(Moved::End),
                Ok(bytes) => return Ok(Moved::Bytes(bytes as u64)),
                Err(Errno::AGAIN | Errno::INTR) => return Ok(Moved::Nothing),
                // The input is not a pipe, or the file system does not take bytes in this way.
                Err(Errno::INVAL | Errno::BADF | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    self.splices = false;
                }
                Err(error) => return Err(PumpError::Spool(error.into())),
            }
        }
        self.read_and_write(to, amount)
    }

    /// Returns how many bytes in the pipe belong to complete lines; all of them if they have no
    /// newline.
    fn length_of_lines(&mut self) -> rustix::io::Result<usize> {
        let examined = match self.examined.take() {
            Some(examined) => examined,
            None => pipe_with(PipeFlags::CLOEXEC)?,
        };
        let (from, to) = &*self.examined.insert(examined);
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

    fn read_and_write(&mut self, to: &SpoolFile, amount: Amount) -> Result<Moved, PumpError> {
        if self.read.is_empty() {
            if !self.is_ready().map_err(PumpError::Input)? {
                return Ok(Moved::Nothing);
            }
            let mut bytes = vec![0; CHUNK];
            match self.file.read(&mut bytes) {
                Ok(0) => return Ok(Moved::End),
                Ok(read) => bytes.truncate(read),
                Err(error) if is_temporary(&error) => return Ok(Moved::Nothing),
                Err(error) => return Err(PumpError::Input(error)),
            }
            self.read = bytes;
        }
        let last = memchr::memrchr(b'\n', &self.read).filter(|_| amount == Amount::ToLineEnd);
        let length = last.map_or(self.read.len(), |at| at + 1);
        let written = to.file.write_at(&self.read[..length], to.end).map_err(PumpError::Spool)?;
        self.read.drain(..written);
        Ok(Moved::Bytes(written as u64))
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
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

/// Returns the start of this machine. Everything that was in a pipe before is lost.
fn boot_time() -> SystemTime {
    let up = clock_gettime(ClockId::Boottime);
    let up = Duration::from_secs(u64::try_from(up.tv_sec).unwrap_or(0));
    SystemTime::now().checked_sub(up).unwrap_or(UNIX_EPOCH)
}
