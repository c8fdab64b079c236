//! The bytes of a file on their way to the reader: counted, hashed, and the last of them kept.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use crate::format::LineParser;
use crate::model::NulRun;
use crate::source::ByteSource;

/// When so many bytes are kept, the older half is dropped (16 MiB): several times what one page of
/// lines has, unless one line is that long.
const KEPT: usize = 16 << 20;

/// A reader of a file's first bytes.
pub(crate) struct Window {
    source: io::Take<Box<dyn ByteSource + Send>>,
    hasher: Sha256,
    /// The skipped NULs, in order.
    nul_runs: Vec<NulRun>,
    /// Offset of the first byte that is kept.
    from: u64,
    kept: Vec<u8>,
}

impl Window {
    /// Reads the bytes from `begin` to `end`, among which these NULs were skipped.
    ///
    /// # Errors
    /// A source that cannot be read.
    pub(crate) fn new(
        mut source: Box<dyn ByteSource + Send>,
        begin: u64,
        end: u64,
        nul_runs: Vec<NulRun>,
    ) -> io::Result<Self> {
        let passed = io::copy(&mut (&mut source).take(begin), &mut io::sink())?;
        let length = if passed == begin { end.saturating_sub(begin) } else { 0 };
        let (source, hasher) = (source.take(length), Sha256::new());
        Ok(Self { source, hasher, nul_runs, from: passed, kept: Vec::new() })
    }

    /// Returns the offset after the last byte that was read.
    pub(crate) fn passed(&self) -> u64 {
        self.from + self.kept.len() as u64
    }

    /// Returns the SHA-256 of the bytes that were read, but for those of skipped NULs that it leaves out.
    pub(crate) fn sum(&self) -> [u8; 32] {
        self.hasher.clone().finalize().into()
    }

    /// Returns the bytes from `offset` on; `None` if they are not kept any more.
    pub(crate) fn bytes(&self, offset: u64) -> Option<&[u8]> {
        let at = usize::try_from(offset.checked_sub(self.from)?).ok()?;
        self.kept.get(at..)
    }

    /// Returns the line that begins at `offset`, without its end; `None` if none begins there.
    pub(crate) fn line(&self, offset: u64) -> Option<&[u8]> {
        let begins = match offset.checked_sub(1) {
            None => true,
            // The bytes before the first one that is kept were dropped at a line's end.
            Some(_) if offset == self.from => true,
            Some(_) if self.nul_runs.iter().any(|run| run.end() == offset) => true,
            Some(before) => self.bytes(before)?.first() == Some(&b'\n'),
        };
        let rest = self.bytes(offset).filter(|rest| begins && !rest.is_empty())?;
        let line = memchr::memchr(b'\n', rest).map_or(rest, |end| &rest[..end]);
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// Returns whether a line that begins at `offset` has these bytes, as it is or as `parser` masks it. Of a
    /// line in pieces, each piece must be a line, in this order; other lines may be between them.
    pub(crate) fn holds(&self, offset: u64, raw: &[u8], parser: &LineParser) -> bool {
        if self.line(offset).is_none() {
            return false;
        }
        let mut lines = self.bytes(offset).unwrap_or_default().split(|&byte| byte == b'\n');
        let mut pieces = raw.split(|&byte| byte == b'\n').peekable();
        let mut is_first = true;
        while let Some(piece) = pieces.next() {
            let last = pieces.peek().is_none();
            // Of a line that is in no envelope, one carriage return belongs to its end.
            let is_piece = |line: &[u8]| line == piece || *parser.masked(line) == *piece;
            let same = |line: &[u8]| {
                is_piece(line) || (last && line.strip_suffix(b"\r").is_some_and(is_piece))
            };
            let found = if is_first { lines.next().is_some_and(same) } else { lines.any(same) };
            if !found {
                return false;
            }
            is_first = false;
        }
        true
    }

    /// Drops everything before `offset`.
    pub(crate) fn forget(&mut self, offset: u64) {
        let count = usize::try_from(offset.saturating_sub(self.from)).unwrap_or(usize::MAX);
        let count = count.min(self.kept.len());
        self.kept.drain(..count);
        self.from += count as u64;
    }

    /// Counts the bytes after the end that was given.
    ///
    /// # Errors
    /// A source that cannot be read.
    pub(crate) fn count_rest(self) -> io::Result<u64> {
        io::copy(&mut self.source.into_inner(), &mut io::sink())
    }
}

impl Window {
    /// Hashes the next bytes. Of each skipped run of NULs the last bytes are left out, as many as
    /// [`NulRun::undigested`] says. If they are something else by now, they count.
    fn hash(&mut self, bytes: &[u8]) {
        let (begin, mut hashed) = (self.passed(), 0);
        let end = begin + bytes.len() as u64;
        for run in &self.nul_runs {
            let from = (run.end() - run.undigested()).clamp(begin, end) - begin;
            let to = run.end().clamp(begin, end) - begin;
            // At most the length of `bytes`.
            let (from, to) = (hashed.max(from as usize), hashed.max(to as usize));
            if bytes[from..to].iter().all(|&byte| byte == 0) {
                self.hasher.update(&bytes[hashed..from]);
                hashed = to;
            }
        }
        self.hasher.update(&bytes[hashed..]);
    }
}

impl ByteSource for Window {}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.hash(&buffer[..read]);
        if self.kept.len() > KEPT {
            self.forget(self.from + (KEPT / 2) as u64);
        }
        self.kept.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}
