//! One open file that grows.

use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::model::{FileKey, Fingerprint, Position};

use super::archive::{Compression, compression_of};
use super::fingerprint::{HEAD_LENGTH, head_fingerprint, print, tail_fingerprint_length};
use super::handle::{Handle, Opened, key};
use super::lines::{Lines, SkippedLine};

/// A file and how far it was read. What is read is not yet committed: [`Tail::rewind`] goes
/// back to what is.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    handle: Handle,
    /// The first unread byte; if the bytes before it change, the file is another one.
    mark: Position,
    /// Size at the last look.
    size: u64,
    /// Largest size that was seen.
    largest: u64,
    /// Size when its content was last known to be the one that was read.
    verified: u64,
    /// Last write at the last look, as `st_mtime` in seconds and nanoseconds.
    written: (i64, i64),
    /// Whether it was written to between the last two looks.
    touched: bool,
    /// When it was opened first.
    met: Instant,
    /// When `size` was last seen to change.
    sized: Instant,
}

/// What a look at an open file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailState {
    /// Every byte of the file has been read.
    NothingNew,
    /// The file has unread bytes.
    Unread,
    /// The file is shorter than what was read of it.
    Truncated,
}

impl Tail {
    /// Opens a regular file for reading from its beginning; `None` if it is something else.
    ///
    /// # Errors
    /// What the system says; a missing file among them.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let Some((handle, metadata)) = Handle::open(path)? else { return Ok(None) };
        Ok(Some(Self {
            path: path.to_path_buf(),
            handle,
            size: metadata.len(),
            largest: metadata.len(),
            verified: 0,
            written: written(&metadata),
            touched: false,
            met: Instant::now(),
            sized: Instant::now(),
            mark: Position::default(),
        }))
    }

    /// What the file system says of a path, without opening it: what the file is, and its size.
    /// `None` if it is no regular file.
    ///
    /// # Errors
    /// What the system says; a missing file among them.
    pub fn key_and_size(path: &Path) -> io::Result<Option<(FileKey, u64)>> {
        let metadata = std::fs::metadata(path)?;
        Ok(metadata.is_file().then(|| (key(&metadata), metadata.len())))
    }

    /// The same file, to be read from its beginning as if it were new.
    #[must_use]
    pub fn from_beginning(self) -> Self {
        Self { mark: Position::default(), largest: 0, verified: 0, ..self }
    }

    /// Where it was last seen.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It was renamed.
    pub fn set_path(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// What the file system says it is.
    pub fn key(&self) -> FileKey {
        self.handle.key()
    }

    /// Offset of the first unread byte.
    pub fn offset(&self) -> u64 {
        self.mark.offset
    }

    /// ShortHash of the bytes before the first unread one.
    pub fn tail_fingerprint(&self) -> Option<Fingerprint> {
        self.mark.tail_fingerprint
    }

    /// Returns the time since the file was opened first.
    pub fn known_for(&self) -> Duration {
        self.met.elapsed()
    }

    /// Returns the time since its size was last seen to change.
    pub fn unchanged_for(&self) -> Duration {
        self.sized.elapsed()
    }

    /// Bytes in the file at the last look.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The most bytes that it ever had, while it was looked at.
    pub fn largest(&self) -> u64 {
        self.largest
    }

    /// Its size when the bytes before the read position were last seen to be those that were read.
    pub fn verified_size(&self) -> u64 {
        self.verified
    }

    /// Whether it is larger than at the last look.
    pub fn has_grown(&self) -> bool {
        self.handle.metadata(&self.path).is_ok_and(|metadata| metadata.len() > self.size)
    }

    /// Whether it was written to between the last two looks. A file that is as long as before may
    /// hold other bytes then: truncated and written again.
    pub fn was_written(&self) -> bool {
        self.touched
    }

    /// Its content was compared with what is known of it.
    pub fn mark_verified(&mut self) {
        self.verified = self.size;
    }

    /// Whether it has no name any more; `false` also if that cannot be known.
    pub fn is_unlinked(&self) -> bool {
        self.handle.metadata(&self.path).is_ok_and(|metadata| metadata.nlink() == 0)
    }

    /// Whether it is held open, and so is read whatever becomes of its name.
    pub fn is_open(&self) -> bool {
        self.handle.is_held()
    }

    /// Gives its descriptor back. It is opened by its name for each read from now on.
    pub fn close(&mut self) {
        self.handle.let_go();
    }

    /// Holds it open again.
    ///
    /// # Errors
    /// What the system says; its name may lead elsewhere by now.
    pub fn keep_open(&mut self) -> io::Result<()> {
        self.handle.hold(&self.path)
    }

    /// How much would be missed if its name went away now: unread bytes first, then those that
    /// may come, since it grew not long ago.
    pub fn priority(&self) -> impl Ord + use<> {
        (self.size > self.mark.offset, self.written)
    }

    /// How it is compressed; nothing that is compressed grows line by line.
    ///
    /// # Errors
    /// A read that fails.
    pub fn compression(&self) -> io::Result<Compression> {
        compression_of(&*self.handle.get(&self.path)?)
    }

    /// Its first bytes, up to `limit`.
    ///
    /// # Errors
    /// A read that fails.
    pub fn first_bytes(&self, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader_at(0)?.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Its first bytes behind a hole at its beginning, up to `limit`: whoever does not append leaves
    /// one where the log was truncated. Where the file system tells of no holes (lseek(2),
    /// `SEEK_DATA`), only NULs among the first bytes are left out.
    ///
    /// # Errors
    /// A read that fails.
    pub fn first_bytes_after_hole(&self, limit: usize) -> io::Result<Vec<u8>> {
        // Moves the descriptor's own position, which nobody uses: every read gives its offset.
        // An error is a hole and nothing else, or a file system that tells of none.
        let file = self.handle.get(&self.path)?;
        let start = rustix::fs::seek(&*file, rustix::fs::SeekFrom::Data(0)).unwrap_or_default();
        let mut bytes = Vec::new();
        self.reader_at(start)?.take(limit as u64).read_to_end(&mut bytes)?;
        let nuls = bytes.iter().take_while(|&&byte| byte == 0).count();
        bytes.drain(..nuls);
        Ok(bytes)
    }

    /// The fingerprint of its first line, if it has one.
    ///
    /// # Errors
    /// A read that fails.
    pub fn head_fingerprint(&self) -> io::Result<Option<Fingerprint>> {
        Ok(head_fingerprint(&self.first_bytes(HEAD_LENGTH)?))
    }

    /// The fingerprint that guards `offset`; `None` at 0 or if the file is shorter.
    ///
    /// # Errors
    /// A read that fails.
    pub fn tail_fingerprint_at(&self, offset: u64) -> io::Result<Option<Fingerprint>> {
        let history = self.history(offset)?;
        Ok((!history.is_empty()).then(|| print(&history)))
    }

    /// Whether the bytes before the read position are still those that were read.
    ///
    /// # Errors
    /// A read that fails.
    pub fn is_intact(&self) -> io::Result<bool> {
        Ok(self.tail_fingerprint_at(self.mark.offset)? == self.mark.tail_fingerprint)
    }

    fn history(&self, offset: u64) -> io::Result<Vec<u8>> {
        let length = tail_fingerprint_length(offset);
        let mut bytes = Vec::with_capacity(length);
        self.reader_at(offset - length as u64)?.take(length as u64).read_to_end(&mut bytes)?;
        if bytes.len() < length {
            bytes.clear();
        }
        Ok(bytes)
    }

    /// Looks at the file; if it is held open, wherever its name is now.
    ///
    /// # Errors
    /// What the system says.
    pub fn refresh(&mut self) -> io::Result<TailState> {
        let metadata = self.handle.metadata(&self.path)?;
        let before = std::mem::replace(&mut self.written, written(&metadata));
        self.touched = before != self.written;
        if std::mem::replace(&mut self.size, metadata.len()) != metadata.len() {
            self.sized = Instant::now();
        }
        self.largest = self.largest.max(self.size);
        Ok(match self.size.cmp(&self.mark.offset) {
            std::cmp::Ordering::Less => TailState::Truncated,
            std::cmp::Ordering::Equal => TailState::NothingNew,
            std::cmp::Ordering::Greater => TailState::Unread,
        })
    }

    /// Sets `lines` to the first unread byte. `false` if the bytes before it are not the ones that
    /// were read: truncated and written again, then, and everything in it is new.
    ///
    /// # Errors
    /// A read that fails.
    pub fn start_reading(&mut self, lines: &mut Lines) -> io::Result<bool> {
        let history = self.history(self.mark.offset)?;
        let found = (!history.is_empty()).then(|| print(&history));
        lines.reset(&self.mark, &history);
        let same = found == self.mark.tail_fingerprint;
        if same {
            self.verified = self.size;
        }
        Ok(same)
    }

    /// Goes on with a line that is too long to be read in one turn.
    ///
    /// # Errors
    /// A read that fails.
    pub fn resume_skipping(&self, lines: &mut Lines, skipped_line: SkippedLine) -> io::Result<()> {
        let history = self.history(skipped_line.passed())?;
        lines.resume_skipping(skipped_line, &history);
        Ok(())
    }

    /// A reader that starts at `offset`.
    ///
    /// # Errors
    /// What the system says, if it is not held open.
    pub fn reader_at(&self, offset: u64) -> io::Result<impl Read + '_> {
        Ok(At { file: self.handle.get(&self.path)?, offset })
    }

    /// Everything before `mark` was read.
    pub fn advance(&mut self, mark: Position) {
        self.mark = mark;
        self.size = self.size.max(mark.offset);
    }

    /// Back to `mark`, to read again from there.
    pub fn rewind(&mut self, mark: Position) {
        self.mark = mark;
    }
}

struct At<'a> {
    file: Opened<'a>,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

fn written(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}
