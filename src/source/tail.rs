//! A file that grows: its object on disk, how far it was read, and its state.
//!
//! An open file can be renamed and even deleted, and is still read. Where there are more files than
//! descriptors, quiet files are closed. A closed file is opened again by name for each read; it is an
//! error if the name leads to another file by then.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use crate::model::{FileKey, Fingerprint, Micros, NulRun, Position};

use super::devices::{self, OpenFile, Unreachable};
use super::fingerprint::{
    HEAD_LENGTH, head_fingerprint, older_head_fingerprint, print_of_history, same_object,
    tail_fingerprint_length,
};
use super::lines::{Lines, SkippedLine};
use super::nuls::{ByteSource, first_bytes_after_nuls, leading_nuls};
use super::open::{Links, Refused, Wanted, open};

/// NULs at the beginning of a file that are read before its end is looked at (64 MiB). If the file ends
/// with NULs too, it may hold nothing else so far, and is not read through at each look.
const NULS_READ: u64 = 64 << 20;

/// Bytes at the end of a file that holds nothing but NULs so far (64 KiB).
const BLANK_END: usize = 64 << 10;

/// The number of bytes that are read and hashed at once (256 KiB).
const HASHED_AT_ONCE: usize = 256 << 10;

/// A file and how far it was read. What was read may not be committed yet: [`Tail::rewind`] goes back
/// to what is.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    key: FileKey,
    /// `None` while the file is closed.
    file: Option<Arc<OpenFile>>,
    /// The first unread byte. If the bytes before it change, the file has been replaced.
    position: Position,
    /// The size at the last refresh, in bytes.
    size: u64,
    /// The largest size seen.
    largest: u64,
    /// The size when the bytes before the read position were last known to be those that were read.
    verified: u64,
    /// The last write as of the last refresh: `st_mtime` in seconds and nanoseconds.
    written: (i64, i64),
    /// Whether the file was written to between the last two refreshes.
    was_written: bool,
    /// When the file was opened first.
    opened_at: Instant,
    /// When `size` was last seen to change.
    size_changed_at: Instant,
}

/// The state of a file relative to its read position.
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
    /// Opens a regular file for reading from its beginning. Returns `None` for any other kind of file.
    ///
    /// # Errors
    /// Errors of the system, including a missing file.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        match open(path, Wanted::RegularFile, Links::All) {
            Ok(opened) => Ok(Some(Self::of(path, opened))),
            Err(error) if Refused::of(&error).is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes a regular file that was opened by this path, to be read from its beginning.
    pub(crate) fn of(path: &Path, (file, metadata): (File, Metadata)) -> Self {
        Self {
            path: path.to_path_buf(),
            key: key(&metadata),
            file: Some(OpenFile::new(file, &metadata)),
            size: metadata.len(),
            largest: metadata.len(),
            verified: 0,
            written: written(&metadata),
            was_written: false,
            opened_at: Instant::now(),
            size_changed_at: Instant::now(),
            position: Position::default(),
        }
    }

    /// Returns the identity and the size of the file at `path` without opening it. Returns `None` if it
    /// is not a regular file.
    ///
    /// # Errors
    /// Errors of the system, including a missing file.
    pub fn key_and_size(path: &Path) -> io::Result<Option<(FileKey, u64)>> {
        let metadata = devices::metadata(path)?;
        Ok(metadata.is_file().then(|| (key(&metadata), metadata.len())))
    }

    /// Returns the same file, to be read from its beginning like a new one.
    #[must_use]
    pub fn from_beginning(self) -> Self {
        Self { position: Position::default(), verified: 0, ..self }
    }

    /// Returns the path at which the file was last seen.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets the path after the file was renamed.
    pub fn set_path(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// Returns the identity of the file in its file system.
    pub fn key(&self) -> FileKey {
        self.key
    }

    /// Returns the offset of the first unread byte.
    pub fn offset(&self) -> u64 {
        self.position.offset
    }

    /// Returns the time since the file was opened first.
    pub fn known_for(&self) -> Duration {
        self.opened_at.elapsed()
    }

    /// Returns the time since the size was last seen to change.
    pub fn unchanged_for(&self) -> Duration {
        self.size_changed_at.elapsed()
    }

    /// Returns the size at the last refresh, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the largest size seen, in bytes.
    pub fn largest(&self) -> u64 {
        self.largest
    }

    /// Returns the size when the bytes before the read position were last known to be those that were
    /// read.
    pub fn verified_size(&self) -> u64 {
        self.verified
    }

    /// Returns whether the file is larger than at the last refresh.
    pub fn has_grown(&self) -> bool {
        self.metadata().is_ok_and(|metadata| metadata.len() > self.size)
    }

    /// Returns whether the file was written to between the last two refreshes. A file of unchanged size
    /// may then hold other bytes: it was truncated and written again.
    pub fn was_written(&self) -> bool {
        self.was_written
    }

    /// Records that the content was compared with what is known of it, and matches.
    pub fn mark_verified(&mut self) {
        self.verified = self.size;
    }

    /// Returns whether the file has no name any more; also `false` if that cannot be known.
    pub fn is_unlinked(&self) -> bool {
        self.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    /// Returns whether the file is open, and so is read whatever happens to its name.
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Closes the file. From now on it is opened by its name for each read.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// Returns whether the file is open on a file system that will not answer by that any more: its connection
    /// has ended, or it is not mounted any more.
    pub fn is_cut_off(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.is_cut_off())
    }

    /// Returns whether the file is open on a file system that does not answer.
    pub fn is_unreachable(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.is_unreachable())
    }

    /// Has the next refresh find that the file was written: whether its bytes have changed was not found out.
    pub fn doubt(&mut self) {
        self.written = (i64::MIN, 0);
    }

    /// Opens the file again, and keeps it open.
    ///
    /// # Errors
    /// Errors of the system. A name that leads to another file by now is `NotFound`.
    pub fn keep_open(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(self.open_again()?);
        }
        Ok(())
    }

    /// Returns when the file was last written, as of the last refresh: `st_mtime` in seconds and nanoseconds.
    pub fn written(&self) -> (i64, i64) {
        self.written
    }

    /// Returns how important it is to keep this file open, in case its name disappears. Files with
    /// unread bytes come first, then those that grew last, which may grow again.
    pub fn priority(&self) -> impl Ord + use<> {
        (self.size > self.position.offset, self.written)
    }

    /// Returns the first bytes of the file, up to `limit`.
    ///
    /// # Errors
    /// A read that fails.
    pub fn first_bytes(&self, limit: usize) -> io::Result<Vec<u8>> {
        self.bytes_at(0, limit)
    }

    /// Returns the first bytes after the NULs at the beginning of the file, up to `limit`; none if it
    /// holds nothing but NULs so far.
    ///
    /// # Errors
    /// A read that fails.
    pub fn first_bytes_after_nuls(&self, limit: usize) -> io::Result<Vec<u8>> {
        first_bytes_after_nuls(&mut self.reader_at(0)?, limit, |passed| {
            Ok(passed > NULS_READ && self.ends_blank()?)
        })
    }

    /// Returns the last bytes of the file, up to `limit`.
    ///
    /// # Errors
    /// A read that fails.
    pub fn last_bytes(&self, limit: usize) -> io::Result<Vec<u8>> {
        self.bytes_at(self.metadata()?.len().saturating_sub(limit as u64), limit)
    }

    /// Returns whether the last bytes of the file are NULs.
    fn ends_blank(&self) -> io::Result<bool> {
        let last = self.last_bytes(BLANK_END)?;
        Ok(leading_nuls(&last) == last.len())
    }

    /// Returns the fingerprint of the first line, if the file has a complete one.
    ///
    /// # Errors
    /// A read that fails.
    pub fn head_fingerprint(&self) -> io::Result<Option<Fingerprint>> {
        Ok(head_fingerprint(&self.first_bytes_after_nuls(HEAD_LENGTH)?))
    }

    /// Returns the fingerprint that older versions gave the first line of a file that begins with NULs:
    /// they took the NULs for a part of it. `None` for any other file.
    ///
    /// # Errors
    /// A read that fails.
    pub fn older_head_fingerprint(&self) -> io::Result<Option<Fingerprint>> {
        Ok(older_head_fingerprint(&self.first_bytes(HEAD_LENGTH)?))
    }

    /// Returns the fingerprint of the bytes just before `offset`; `None` at 0, or if the file is shorter.
    ///
    /// # Errors
    /// A read that fails.
    pub fn tail_fingerprint_at(&self, offset: u64) -> io::Result<Option<Fingerprint>> {
        Ok(print_of_history(&self.history(offset)?))
    }

    /// Returns the digest of the bytes from `from` to `to`, among which these NULs were skipped; `None` if
    /// the file is shorter, or there are none.
    ///
    /// # Errors
    /// A read that fails.
    pub fn digest(&self, from: u64, to: u64, nul_runs: &[NulRun]) -> io::Result<Option<[u8; 32]>> {
        if from >= to {
            return Ok(None);
        }
        let mut hasher = Sha256::new();
        let mut at = from;
        for run in nul_runs.iter().filter(|run| run.offset >= from && run.end() <= to) {
            // Of a run the digest leaves out the first bytes: which ones makes no difference.
            let rest = run.offset + run.undigested();
            if !self.hash(&mut hasher, at, run.offset)? || self.size < run.end() {
                return Ok(None);
            }
            at = rest;
        }
        Ok(self.hash(&mut hasher, at, to)?.then(|| hasher.finalize().into()))
    }

    /// Hashes the bytes from `from` to `to`; `false` if the file is shorter.
    fn hash(&self, hasher: &mut Sha256, from: u64, to: u64) -> io::Result<bool> {
        let mut left = to.saturating_sub(from);
        let mut reader = self.reader_at(from)?;
        let mut buffer = vec![0; HASHED_AT_ONCE];
        while left > 0 {
            let want =
                usize::try_from(left).map_or(HASHED_AT_ONCE, |left| left.min(HASHED_AT_ONCE));
            let read = reader.read(&mut buffer[..want])?;
            if read == 0 {
                return Ok(false);
            }
            hasher.update(&buffer[..read]);
            left -= read as u64;
        }
        Ok(true)
    }

    /// Returns whether the bytes before the read position are still those that were read.
    ///
    /// # Errors
    /// A read that fails.
    pub fn is_intact(&self) -> io::Result<bool> {
        Ok(self.tail_fingerprint_at(self.position.offset)? == self.position.tail_fingerprint)
    }

    /// Returns the bytes just before `offset` that a tail fingerprint covers; none if the file is
    /// shorter.
    fn history(&self, offset: u64) -> io::Result<Vec<u8>> {
        let length = tail_fingerprint_length(offset);
        let mut bytes = self.bytes_at(offset - length as u64, length)?;
        if bytes.len() < length {
            bytes.clear();
        }
        Ok(bytes)
    }

    /// Reads size and time of the file, and returns its state. An open file may have any name by now.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn refresh(&mut self) -> io::Result<TailState> {
        let metadata = match self.metadata() {
            // What was opened is of no use any more. By its name the file may be there again.
            Err(error) if Unreachable::is(&error) && self.is_cut_off() => {
                self.close();
                self.metadata()?
            }
            metadata => metadata?,
        };
        let before = std::mem::replace(&mut self.written, written(&metadata));
        self.was_written = before != self.written;
        if std::mem::replace(&mut self.size, metadata.len()) != metadata.len() {
            self.size_changed_at = Instant::now();
        }
        self.largest = self.largest.max(self.size);
        Ok(match self.size.cmp(&self.position.offset) {
            std::cmp::Ordering::Less => TailState::Truncated,
            std::cmp::Ordering::Equal => TailState::NothingNew,
            std::cmp::Ordering::Greater => TailState::Unread,
        })
    }

    /// Reads the size of a file whose first line was just inspected. What was there before that is none of
    /// its lines, if it was truncated and written again since it was found.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn measure(&mut self) -> io::Result<()> {
        self.refresh()?;
        self.largest = self.size;
        Ok(())
    }

    /// Sets `lines` to the first unread byte, and returns the bytes before it, for [`Tail::unread`]. `None` if
    /// they are not those that were read: the file was truncated and written again, and all its content is
    /// new.
    ///
    /// # Errors
    /// A read that fails.
    pub fn start_reading(&mut self, lines: &mut Lines) -> io::Result<Option<Vec<u8>>> {
        let history = self.history(self.position.offset)?;
        let found = print_of_history(&history);
        lines.reset(&self.position, &history);
        let is_same = found == self.position.tail_fingerprint;
        if is_same {
            self.verified = self.size;
        }
        Ok(is_same.then_some(history))
    }

    /// Continues with a line that is too long to be read in one turn, or after NULs that were skipped.
    /// Returns the bytes before that place, `None` if there are others than those NULs.
    ///
    /// # Errors
    /// A read that fails.
    pub fn resume_skipping(
        &self,
        lines: &mut Lines,
        line: SkippedLine,
    ) -> io::Result<Option<Vec<u8>>> {
        let history = self.history(line.skipped_to())?;
        let nuls = usize::try_from(line.nuls()).unwrap_or(usize::MAX);
        let nuls = nuls.min(tail_fingerprint_length(line.skipped_to()));
        let is_same =
            history.len() >= nuls && leading_nuls(&history[history.len() - nuls..]) == nuls;
        lines.resume_skipping(line, &history);
        Ok(is_same.then_some(history))
    }

    /// Returns the bytes from `offset` on, up to `limit`.
    fn bytes_at(&self, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(limit);
        self.reader_at(offset)?.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Returns a reader that starts at `offset`.
    ///
    /// # Errors
    /// Errors of the system, if the file is not open.
    pub fn reader_at(&self, offset: u64) -> io::Result<impl ByteSource + use<>> {
        Ok(ReaderAt { file: self.opened()?, offset, path: self.path.clone() })
    }

    /// Reads the file from `offset` on, before which `history` must stay as it is. Read from its beginning,
    /// the first line must have the fingerprint `head`.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn unread(
        &self,
        offset: u64,
        history: Vec<u8>,
        head: Option<Fingerprint>,
    ) -> io::Result<Unread> {
        let reader = ReaderAt { file: self.opened()?, offset, path: self.path.clone() };
        Ok(Unread { reader, history, head: head.filter(|_| offset == 0), replaced: false })
    }

    /// Records that everything before `position` was read.
    pub fn advance(&mut self, position: Position) {
        self.position = position;
        self.size = self.size.max(position.offset);
    }

    /// Goes back to `position`, to read again from there.
    pub fn rewind(&mut self, position: Position) {
        self.position = position;
    }

    /// Returns the file for a read. A closed file is open for this read only.
    fn opened(&self) -> io::Result<Arc<OpenFile>> {
        self.file.as_ref().map_or_else(|| self.open_again(), |file| Ok(Arc::clone(file)))
    }

    /// Returns the current metadata of the file.
    fn metadata(&self) -> io::Result<Metadata> {
        match &self.file {
            Some(file) => file.metadata(&self.path),
            None => self.check_identity(devices::metadata(&self.path)?),
        }
    }

    fn open_again(&self) -> io::Result<Arc<OpenFile>> {
        self.metadata()?; // most other files are found out without opening them
        // Whatever links lead there: it has to be the object that was opened before.
        let opened = open(&self.path, Wanted::RegularFile, Links::All);
        let (file, metadata) = opened.map_err(|error| match Refused::of(&error) {
            Some(_) => another_file(),
            None => error,
        })?;
        let metadata = self.check_identity(metadata)?;
        Ok(OpenFile::new(file, &metadata))
    }

    /// Refuses metadata of another file than this one.
    fn check_identity(&self, found: Metadata) -> io::Result<Metadata> {
        if found.is_file() && same_object(self.key, key(&found)) {
            return Ok(found);
        }
        Err(another_file())
    }
}

fn another_file() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "another file has this name now")
}

/// Reads a file from an offset on, without using the position of the descriptor.
#[derive(Debug)]
struct ReaderAt {
    file: Arc<OpenFile>,
    offset: u64,
    /// Where the file was last seen.
    path: PathBuf,
}

impl Read for ReaderAt {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(Some(&self.path), buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

impl ByteSource for ReaderAt {
    fn skip_hole(&mut self, most: u64) -> io::Result<u64> {
        let hole = self.file.hole_at(Some(&self.path), self.offset)?.min(most);
        self.offset += hole;
        Ok(hole)
    }
}

/// Unread bytes of a file that may be truncated and written again in the middle of a read: after each read
/// the bytes before it must still be there.
#[derive(Debug)]
pub struct Unread {
    reader: ReaderAt,
    /// The bytes before the read position, as many as a tail fingerprint covers.
    history: Vec<u8>,
    /// Of the first line, until it is read.
    head: Option<Fingerprint>,
    replaced: bool,
}

impl Unread {
    /// Returns whether a read has failed because the file holds other content now.
    pub fn was_replaced(&self) -> bool {
        self.replaced
    }
}

impl Read for Unread {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let before = self.reader.offset - self.history.len() as u64;
        let read = self.reader.read(buffer)?;
        let mut same = true;
        if read > 0 && !self.history.is_empty() {
            same = self.reader.file.holds(&self.reader.path, &self.history, before)?;
        }
        if let Some(head) = self.head
            && let Some(first) = buffer[..read].iter().position(|&byte| byte != 0)
        {
            same &= head_fingerprint(&buffer[first..read]).is_none_or(|found| found == head);
            self.head = None;
        }
        if !same {
            self.replaced = true;
            return Err(io::Error::other("truncated and written again while it was read"));
        }
        let longest = tail_fingerprint_length(u64::MAX);
        self.history.extend_from_slice(&buffer[read.saturating_sub(longest)..read]);
        self.history.drain(..self.history.len().saturating_sub(longest));
        Ok(read)
    }
}

impl ByteSource for Unread {
    fn skip_hole(&mut self, most: u64) -> io::Result<u64> {
        let hole = self.reader.skip_hole(most)?;
        if hole > 0 {
            (self.history, self.head) = (Vec::new(), None); // zeros, which any hole would have
        }
        Ok(hole)
    }
}

fn written(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

/// Returns the identity of a file in its file system.
pub(super) fn key(metadata: &Metadata) -> FileKey {
    let birth_us = metadata.created().ok().and_then(micros);
    FileKey { device: metadata.dev(), inode: metadata.ino(), birth_us }
}

/// Returns a time in microseconds since 1970; `None` before that.
pub(super) fn micros(time: SystemTime) -> Option<Micros> {
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_micros()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tail: &Tail) -> io::Result<String> {
        let mut text = String::new();
        tail.reader_at(0)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn a_file_that_is_written_again_between_two_reads_gives_nothing_of_the_new_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "old".repeat(3000)).unwrap();
        let tail = Tail::open(&path).unwrap().unwrap();
        let mut unread = tail.unread(0, Vec::new(), None).unwrap();
        let mut buffer = [0; 5000];
        assert_eq!(unread.read(&mut buffer).unwrap(), 5000);
        std::fs::write(&path, "new".repeat(4000)).unwrap();
        unread.read(&mut buffer).unwrap_err();
        assert!(unread.was_replaced());
    }

    #[test]
    fn a_file_that_is_written_again_before_its_first_read_gives_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "old\nline\n").unwrap();
        let tail = Tail::open(&path).unwrap().unwrap();
        let head = tail.head_fingerprint().unwrap();
        assert!(head.is_some());
        let mut buffer = [0; 50];
        assert_eq!(tail.unread(0, Vec::new(), head).unwrap().read(&mut buffer).unwrap(), 9);
        std::fs::write(&path, "new\n").unwrap();
        let mut unread = tail.unread(0, Vec::new(), head).unwrap();
        unread.read(&mut buffer).unwrap_err();
        assert!(unread.was_replaced());
    }

    #[test]
    fn a_closed_file_is_read_by_its_name_and_no_other_file_is() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("log"), directory.path().join("log.1"));
        std::fs::write(&path, "one").unwrap();
        let mut tail = Tail::open(&path).unwrap().unwrap();
        tail.close();
        assert_eq!(text(&tail).unwrap(), "one");
        std::fs::rename(&path, &moved).unwrap();
        assert_eq!(text(&tail).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, "two").unwrap();
        assert_eq!(text(&tail).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(tail.keep_open().unwrap_err().kind(), io::ErrorKind::NotFound);
        tail.set_path(moved.clone());
        tail.keep_open().unwrap();
        std::fs::remove_file(&moved).unwrap();
        assert_eq!(text(&tail).unwrap(), "one", "an open file needs no name");
    }
}
