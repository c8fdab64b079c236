//! Bytes to complete lines.
//!
//! A line ends at `\n`, and one `\r` before it belongs to the end. A line without an end stays
//! unread: whoever wrote its beginning will write the rest. Behind the read position the buffer
//! keeps the last [`TAIL_FINGERPRINT_LENGTH`] bytes, so that the fingerprint which guards a committed offset
//! costs no second read. Bytes that were read go into the file's digest, in the pieces in which
//! they leave the window or are asked for. `long` passes over lines that are too long.

mod long;

use std::io::{self, Read};

use crate::model::{Fingerprint, Position};

use super::digest::Hasher;
use super::fingerprint::{TAIL_FINGERPRINT_LENGTH, print};
use long::TooLong;

pub use long::{SkippedLine, TOO_LONG_KEPT};

/// The longest line that is read as one, in bytes (4 MiB).
pub const MAX_LINE: usize = 4 << 20;

/// Bytes asked for at a time (256 KiB).
const READ_SIZE: usize = 256 << 10;

/// One complete line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Offset of its first byte in the logical file.
    pub offset: u64,
    /// Its bytes, without the end; of a line that is too long the first [`TOO_LONG_KEPT`].
    pub bytes: &'a [u8],
    /// Offset of the first byte behind its end.
    pub end: u64,
    /// Whether it is longer than [`MAX_LINE`], so that `bytes` is not all of it.
    pub too_long: bool,
}

/// A window on a stream of bytes.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// First unread byte in `buffer`; what is before it is kept for the guard.
    start: usize,
    /// First byte in `buffer` that is not filled.
    filled: usize,
    /// Bytes from `start` on that are known to hold no line end.
    searched: usize,
    /// Offset of `buffer[start]` in the logical file.
    offset: u64,
    /// Knows all bytes of the file before `buffer[hashed]`; `None` if the digest is not wanted, or
    /// not known where reading began.
    hasher: Option<Hasher>,
    hashed: usize,
    too_long: Option<TooLong>,
}

impl Lines {
    /// Begins anew, with `history` as the bytes just before `mark`, as many as its guard covers.
    /// From here on the digest is known, if it is known there.
    pub fn reset(&mut self, mark: &Position, history: &[u8]) {
        self.buffer.truncate(4 * READ_SIZE);
        self.buffer.shrink_to(4 * READ_SIZE); // one huge line must not keep its memory for ever
        if self.buffer.len() < history.len() {
            self.buffer.resize(READ_SIZE.max(history.len()), 0);
        }
        self.buffer[..history.len()].copy_from_slice(history);
        self.start = history.len();
        self.filled = history.len();
        self.searched = 0;
        self.offset = mark.offset;
        self.too_long = None;
        self.hasher = Hasher::at(mark, history);
        self.hashed = self.start;
    }

    /// Offset of the first unread byte.
    pub fn offset(&self) -> u64 {
        self.too_long.as_ref().map_or(self.offset, |line| line.begin.offset)
    }

    /// Offset behind the last byte that was read from the source.
    pub fn read_to(&self) -> u64 {
        self.offset + (self.filled - self.start) as u64
    }

    /// Whether the first unread byte begins a line. It does not behind a last line that was taken
    /// without its end.
    pub fn at_line_start(&self) -> bool {
        self.start == 0 || self.buffer[self.start - 1] == b'\n' || self.too_long.is_some()
    }

    /// Bytes that were read and are no complete line yet.
    pub fn partial(&self) -> &[u8] {
        &self.buffer[self.start..self.filled]
    }

    /// Reads once from `source`; 0 bytes is its end for now.
    ///
    /// # Errors
    /// What the source says; nothing is lost then.
    pub fn fill(&mut self, source: &mut dyn Read) -> io::Result<usize> {
        self.make_room();
        let read = loop {
            match source.read(&mut self.buffer[self.filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.filled += read;
        Ok(read)
    }

    /// Moves the unread bytes, and the guard's before them, to the front, and lets the buffer grow
    /// while one line fills it.
    fn make_room(&mut self) {
        self.hash();
        let keep_from = self.start.saturating_sub(TAIL_FINGERPRINT_LENGTH);
        self.buffer.copy_within(keep_from..self.filled, 0);
        self.start -= keep_from;
        self.hashed = self.start;
        self.filled -= keep_from;
        if self.buffer.len() - self.filled < READ_SIZE {
            self.buffer.resize(self.filled + READ_SIZE, 0);
        }
    }

    /// The next complete line, without taking it; `None` until more is read.
    pub fn peek(&mut self) -> Option<Line<'_>> {
        if self.too_long.is_none() {
            if let Some(length) = self.search() {
                let unread = &self.buffer[self.start..self.start + length];
                let bytes = unread.strip_suffix(b"\r").unwrap_or(unread);
                let end = self.offset + length as u64 + 1;
                return Some(Line { offset: self.offset, bytes, end, too_long: false });
            }
            if self.partial().len() <= MAX_LINE {
                return None;
            }
            let kept = self.partial()[..TOO_LONG_KEPT].to_vec();
            self.too_long = Some(TooLong { begin: self.position(), kept, end: None });
        }
        self.peek_too_long()
    }

    /// Bytes before the next line end, each byte looked at once.
    fn search(&mut self) -> Option<usize> {
        let unread = &self.buffer[self.start..self.filled];
        let found = memchr::memchr(b'\n', &unread[self.searched..]).map(|at| at + self.searched);
        self.searched = found.unwrap_or(unread.len());
        found
    }

    /// Everything from the next line's first byte to `end` exclusive of its line end: the bytes of
    /// several lines as one. `end` is an `end` of a line that was peeked or counted here.
    pub fn joined(&self, end: u64) -> &[u8] {
        let length = usize::try_from(end.saturating_sub(self.offset)).unwrap_or(0);
        let whole = &self.buffer[self.start..(self.start + length).min(self.filled)];
        let whole = whole.strip_suffix(b"\n").unwrap_or(whole);
        whole.strip_suffix(b"\r").unwrap_or(whole)
    }

    /// The complete line that begins at `offset` (behind the one that `peek` shows), if it was
    /// read.
    pub fn line_at(&self, offset: u64) -> Option<Line<'_>> {
        let at = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        let unread = self.buffer[self.start..self.filled].get(at..)?;
        let length = memchr::memchr(b'\n', unread)?;
        let bytes = unread[..length].strip_suffix(b"\r").unwrap_or(&unread[..length]);
        Some(Line { offset, bytes, end: offset + length as u64 + 1, too_long: false })
    }

    /// Marks everything before `end` as read.
    pub fn take(&mut self, end: u64) {
        if self.too_long.take().is_none() {
            self.start += usize::try_from(end.saturating_sub(self.offset)).unwrap_or(0);
            self.start = self.start.min(self.filled);
            self.offset = end;
        }
        self.searched = 0;
    }

    /// The first unread byte, and what is known of those before it.
    pub fn position(&mut self) -> Position {
        if let Some(line) = &self.too_long {
            return line.begin;
        }
        self.hash();
        let digest = self.hasher.as_ref().filter(|_| self.offset > 0).map(Hasher::digest);
        Position { offset: self.offset, tail_fingerprint: self.tail_fingerprint(), digest }
    }

    /// The fingerprint of the bytes just before the first unread one; `None` at the beginning.
    fn tail_fingerprint(&self) -> Option<Fingerprint> {
        let from = self.start.saturating_sub(TAIL_FINGERPRINT_LENGTH);
        (self.start > 0).then(|| print(&self.buffer[from..self.start]))
    }

    /// Hashes what was passed since the last time, each byte once.
    fn hash(&mut self) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&self.buffer[self.hashed..self.start]);
        }
        self.hashed = self.start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn all(lines: &mut Lines, mut source: &[u8]) -> Vec<(u64, String, bool)> {
        let mut seen = Vec::new();
        loop {
            while let Some(line) = lines.peek() {
                let end = line.end;
                let text = String::from_utf8_lossy(line.bytes).into_owned();
                seen.push((line.offset, text, line.too_long));
                lines.take(end);
            }
            if lines.fill(&mut source).unwrap() == 0 {
                return seen;
            }
        }
    }

    #[test]
    fn lines_end_at_newline_and_one_carriage_return_belongs_to_the_end() {
        let mut lines = Lines::default();
        lines.reset(&Position { offset: 100, ..Position::default() }, b"");
        let seen = all(&mut lines, b"a\nbc\r\n\nd\r\r\npart");
        assert_eq!(
            seen,
            [
                (100, "a".into(), false),
                (102, "bc".into(), false),
                (106, String::new(), false),
                (107, "d\r".into(), false)
            ]
        );
        assert_eq!(lines.partial(), b"part");
        assert_eq!(lines.offset(), 111);
    }

    #[test]
    fn a_line_in_single_bytes_is_one_line() {
        struct Dribble<'a>(&'a [u8]);
        impl Read for Dribble<'_> {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                let n = self.0.len().min(1).min(out.len());
                out[..n].copy_from_slice(&self.0[..n]);
                self.0 = &self.0[n..];
                Ok(n)
            }
        }
        let mut lines = Lines::default();
        lines.reset(&Position::default(), b"");
        let mut source = Dribble(b"one\r\ntwo\n");
        let mut seen = Vec::new();
        while lines.fill(&mut source).unwrap() > 0 {
            while let Some(line) = lines.peek() {
                let end = line.end;
                seen.push(line.bytes.to_vec());
                lines.take(end);
            }
        }
        assert_eq!(seen, [b"one".to_vec(), b"two".to_vec()]);
    }

    #[test]
    fn the_guard_covers_the_same_bytes_however_they_were_read() {
        let text: Vec<u8> = (0..3000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let mut lines = Lines::default();
        lines.reset(&Position::default(), b"");
        all(&mut lines, &text);
        assert_eq!(
            lines.tail_fingerprint(),
            Some(print(&text[text.len() - TAIL_FINGERPRINT_LENGTH..]))
        );
        lines.reset(&Position { offset: 9, ..Position::default() }, &text[..9]);
        assert_eq!(lines.tail_fingerprint(), Some(print(&text[..9])));
    }

    #[test]
    fn every_byte_is_hashed_once_long_lines_and_second_readings_too() {
        use sha2::{Digest, Sha256};
        let mut text = b"one\ntwo\r\n".to_vec();
        text.extend(vec![b'x'; MAX_LINE + 3 * READ_SIZE]);
        text.extend_from_slice(b"\nafter\nno end");
        let end = text.len() - 6;
        let sum = |end: usize| -> [u8; 32] { Sha256::digest(&text[..end]).into() };
        let mut lines = Lines::default();
        lines.reset(&Position::default(), b"");
        let mut source = &text[..];
        let (mut marks, mut long) = (Vec::new(), false);
        loop {
            while let Some(line) = lines.peek() {
                let end = line.end;
                long |= line.too_long;
                lines.take(end);
                marks.push(lines.position());
            }
            if lines.fill(&mut source).unwrap() == 0 {
                break;
            }
            if lines.read_to() > 5_000_000 && !long {
                assert_eq!(
                    lines.position(),
                    marks[1],
                    "it stands before the line until it is taken"
                );
            }
        }
        assert_eq!((marks.len(), lines.position().offset), (4, end as u64));
        for mark in marks {
            let at = mark.offset as usize;
            assert_eq!(mark.digest.unwrap().sum, sum(at));
            assert_eq!(
                mark.tail_fingerprint,
                Some(print(&text[at.saturating_sub(TAIL_FINGERPRINT_LENGTH)..at]))
            );
            lines.reset(&mark, &text[at.saturating_sub(TAIL_FINGERPRINT_LENGTH)..at]);
            all(&mut lines, &text[at..]);
            assert_eq!(lines.position().digest.unwrap().sum, sum(end));
        }
    }

    #[test]
    fn several_lines_can_be_seen_as_one() {
        let mut lines = Lines::default();
        lines.reset(&Position::default(), b"");
        lines.fill(&mut &b"ab\ncd\r\nef\n"[..]).unwrap();
        let first = lines.peek().unwrap().end;
        let second = lines.line_at(first).unwrap();
        assert_eq!(second.bytes, b"cd");
        assert_eq!(lines.joined(second.end), b"ab\ncd");
        assert_eq!(lines.line_at(second.end).unwrap().bytes, b"ef");
    }
}
