//! A file to be imported: plain or compressed, on disk or from standard input, and read as often
//! as need be.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{FileKey, Fingerprint, Sighting, path_text, text_path};
use crate::source::devices::{self, OpenFile};
use crate::source::fingerprint::{
    HEAD_LENGTH, TAIL_FINGERPRINT_LENGTH, older_head_fingerprint, print_of_history,
};
use crate::source::nuls::first_bytes_after_nuls;
use crate::source::open::{Links, Wanted, open};
use crate::source::origin::origin;
use crate::source::stop::Stoppable;
use crate::source::tail::{key, micros};
use crate::source::{ByteSource, Compression, Container, StopRequest, open_archive};

/// Bytes read at a time (256 KiB).
const READ_SIZE: usize = 256 << 10;

/// The name of standard input on the command line.
pub(crate) const STANDARD_INPUT: &str = "-";

/// A file that can be read from its beginning again and again.
#[derive(Debug)]
pub(crate) struct Source {
    file: Arc<OpenFile>,
    /// Its path as a text, or what standard input is called.
    pub(crate) name: String,
    path: PathBuf,
    /// The file that was opened; `None` of standard input.
    pub(crate) object: Option<FileKey>,
    pub(crate) compression: Compression,
    /// Bytes on disk.
    pub(crate) size: u64,
    /// Last change of the file, in microseconds since 1970: the time of lines that have none. Not later than that of
    /// its inode.
    pub(crate) changed_us: i64,
    /// Ends all reads.
    stop: StopRequest,
}

/// Returns when a file was written to last. Each user who may write to it may set that time, and a file that seems to be
/// written to in ten years would seem to be incomplete until then. The time of its inode's last change can only be that
/// of the system's clock.
fn changed(metadata: &Metadata) -> i64 {
    let inode =
        metadata.ctime().saturating_mul(1_000_000).saturating_add(metadata.ctime_nsec() / 1000);
    metadata.modified().ok().and_then(micros).map_or(inode, |content| content.min(inode))
}

/// Takes all of standard input into a temporary file.
fn standard_input() -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut io::stdin().lock(), &mut file)?;
    file.flush()?;
    Ok(file)
}

impl Source {
    /// Opens a file, or takes all of standard input into a temporary file without a name.
    ///
    /// # Errors
    /// What the system says. What is not a regular file is an error, and so is an archive that is a
    /// [`Container`].
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::open_by(path, Links::All)
    }

    /// Opens a file whose reads end when that is requested, with the error [`Stopped`](crate::source::Stopped).
    ///
    /// # Errors
    /// As for [`Source::open`].
    pub(crate) fn open_until(path: &Path, stop: StopRequest) -> io::Result<Self> {
        Self::open_with(path, Links::All, stop)
    }

    /// Opens a file that was found in a watched place.
    ///
    /// # Errors
    /// The same, and a link that is not followed.
    pub(crate) fn open_by(path: &Path, links: Links<'_>) -> io::Result<Self> {
        Self::open_with(path, links, StopRequest::default())
    }

    fn open_with(path: &Path, links: Links<'_>, stop: StopRequest) -> io::Result<Self> {
        if path.as_os_str() == STANDARD_INPUT {
            let file = standard_input().map_err(|error| {
                let directory = std::env::temp_dir();
                let message = format!(
                    "cannot keep standard input in a temporary file in '{}': {error}; TMPDIR names \
                     another directory",
                    directory.display()
                );
                io::Error::new(error.kind(), message)
            })?;
            let metadata = file.metadata()?;
            return Self::of((file, metadata), "standard input".to_owned(), None, stop);
        }
        let metadata = devices::metadata(path)?;
        if metadata.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                "is a directory; name the files in it, or follow it with --watch",
            ));
        }
        let name = path_text(&devices::canonicalize(path)?).into_owned();
        let (file, metadata) = open(path, Wanted::RegularFile, links)?;
        Self::of((file, metadata.clone()), name, Some(key(&metadata)), stop)
    }

    fn of(
        (file, metadata): (File, Metadata),
        name: String,
        object: Option<FileKey>,
        stop: StopRequest,
    ) -> io::Result<Self> {
        let size = metadata.len();
        let changed_us = changed(&metadata);
        let path = text_path(&name).into_owned();
        let file = OpenFile::new(file, &metadata);
        let compression = Compression::None;
        let mut source = Self { file, name, path, object, compression, size, changed_us, stop };
        source.compression = Compression::of(&source.first_bytes(Compression::MAGIC_LENGTH)?);
        // What cannot be decompressed yet, or not at all, is an error of the reads that follow.
        let first_bytes = source.sample(Container::MAGIC_LENGTH).unwrap_or_default();
        if let Some(container) = Container::of(&first_bytes) {
            return Err(container.into());
        }
        Ok(source)
    }

    /// The content from its beginning; `read` counts bytes taken from the disk.
    ///
    /// # Errors
    /// What the system or the decoder says.
    pub(crate) fn reader(&self, read: &Arc<AtomicU64>) -> io::Result<Box<dyn ByteSource + Send>> {
        read.store(0, Ordering::Relaxed);
        let counted = Counted { file: Arc::clone(&self.file), at: 0, read: Arc::clone(read) };
        let stop = || self.stop.clone();
        let counted = Stoppable { source: counted, stop: stop() };
        Ok(match self.compression {
            Compression::None => Box::new(counted),
            compression => {
                Box::new(Stoppable { source: open_archive(compression, counted)?, stop: stop() })
            }
        })
    }

    /// Returns its path, or what standard input is called.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the object of the content; `None` of an archive, whose inode is not that of what is in it.
    pub(crate) fn key(&self) -> Option<FileKey> {
        self.object.filter(|_| !self.is_compressed())
    }

    /// Whether nothing can be appended to its content.
    pub(crate) fn is_compressed(&self) -> bool {
        self.compression != Compression::None
    }

    /// The first bytes of the content, up to `limit`.
    fn first_bytes(&self, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader(&Arc::default())?.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The first bytes of the content after the NULs at its beginning, up to `limit`.
    ///
    /// # Errors
    /// What the system or the decoder says.
    pub(crate) fn sample(&self, limit: usize) -> io::Result<Vec<u8>> {
        first_bytes_after_nuls(&mut self.reader(&Arc::default())?, limit, |_| Ok(false))
    }

    /// Returns the fingerprint that older versions gave the first line of content that begins with
    /// NULs: they took the NULs for a part of it.
    ///
    /// # Errors
    /// What the system or the decoder says.
    pub(crate) fn older_head_fingerprint(&self) -> io::Result<Option<Fingerprint>> {
        Ok(older_head_fingerprint(&self.first_bytes(HEAD_LENGTH)?))
    }

    /// What the store needs to find it again. `head` is of its first bytes.
    pub(crate) fn sighting(&self, host: &str, head: Option<Fingerprint>) -> Sighting {
        let origin = origin(self.path());
        Sighting { host: host.to_owned(), path: self.name.clone(), key: self.key(), head, origin }
    }
}

/// Reads content from its beginning on, and keeps what identity needs.
#[derive(Debug)]
pub(crate) struct Walk<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Complete lines so far.
    pub(crate) lines: u64,
    /// Bytes so far.
    pub(crate) bytes: u64,
    /// The last bytes, as many as a tail fingerprint covers.
    pub(crate) history: Vec<u8>,
}

impl<R: Read> Walk<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; READ_SIZE], lines: 0, bytes: 0, history: Vec::new() }
    }

    /// Reads on to `offset`; returns `false` if the content ends before it.
    ///
    /// # Errors
    /// What the reader says.
    pub(crate) fn to(&mut self, offset: u64) -> io::Result<bool> {
        while self.bytes < offset {
            let want = usize::try_from(offset - self.bytes).map_or(READ_SIZE, |n| n.min(READ_SIZE));
            let read = match self.reader.read(&mut self.buffer[..want]) {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let bytes = &self.buffer[..read];
            self.lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
            self.bytes += read as u64;
            let known = bytes.len().min(TAIL_FINGERPRINT_LENGTH);
            let surplus = (self.history.len() + known).saturating_sub(TAIL_FINGERPRINT_LENGTH);
            self.history.drain(..surplus);
            self.history.extend_from_slice(&bytes[bytes.len() - known..]);
        }
        Ok(true)
    }

    /// Returns the fingerprint of the bytes just before this place; `None` at the beginning.
    pub(crate) fn tail_fingerprint(&self) -> Option<Fingerprint> {
        print_of_history(&self.history)
    }
}

/// Reads at a place of its own: a reader that was given up may still be reading in its thread when the next one
/// begins.
struct Counted {
    file: Arc<OpenFile>,
    at: u64,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(None, buffer, self.at)?;
        self.at += read as u64;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl ByteSource for Counted {
    fn skip_hole(&mut self, most: u64) -> io::Result<u64> {
        let hole = self.file.hole_at(None, self.at)?.min(most);
        self.at += hole;
        self.read.fetch_add(hole, Ordering::Relaxed);
        Ok(hole)
    }
}
