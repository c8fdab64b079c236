//! Finds where a log goes on whose last bytes a power cut has taken.
//!
//! The store is ahead of the log then: rows are durable before the log's bytes are, which a writer
//! rarely syncs. After the restart the log may be shorter, end in the middle of a line, or hold NULs or
//! older content where lines were; and its writer has appended since. What was stored shows how far the
//! log is still the same: line by line, at the same offsets.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use crate::model::{Batch, Checkpoint, Position};
use crate::pipeline::expected::{Agreement, agreement, expected};
use crate::pipeline::file_format::Format;
use crate::pipeline::read_lines::{BatchTarget, Completeness, Limits, fill_batch};
use crate::source::{Lines, Tail};
use crate::store::{StoreError, StoredLine, Writer};

/// Bytes that are compared at a time (1 MiB), unless one line is longer.
const WINDOW: u64 = 1 << 20;

/// A window without a line end grows up to this (64 MiB).
const LARGEST_WINDOW: u64 = 64 << 20;

/// Bytes of the log from one line's beginning to another's.
struct Window {
    from: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// Returns for each line, by its offset, how many lines of the window have the same bytes.
    fn alike(&self, lines: &[Compared]) -> HashMap<u64, u32> {
        let bytes = |line: &Compared| {
            let at = |offset: u64| usize::try_from(offset - self.from).ok();
            self.bytes.get(at(line.offset)?..at(line.end)?)
        };
        let mut counts: HashMap<&[u8], u32> = HashMap::new();
        for line in lines.iter().filter_map(bytes) {
            *counts.entry(line).or_default() += 1;
        }
        let count = |line| bytes(line).and_then(|bytes| counts.get(bytes)).copied();
        lines.iter().map(|line| (line.offset, count(line).unwrap_or(0))).collect()
    }
}

/// A line of a window, compared with the store.
#[derive(Clone, Copy, Debug)]
struct Compared {
    offset: u64,
    end: u64,
    agreement: Agreement,
    /// Whether an entry is stored before it of which the log has no line.
    after_hole: bool,
}

/// How far a log is still what was stored of it.
pub(crate) enum End {
    /// It goes on here, after the last line that agrees with its stored row.
    At(Position),
    /// No line agrees.
    Nowhere,
    /// The log cannot be read.
    Unreadable(io::Error),
    /// The log has changed since it was compared.
    Changed,
}

/// Finds where a log goes on of which `known` was stored, and before it, newest first, the files that
/// earlier power cuts ended.
///
/// # Errors
/// The store's.
pub(crate) async fn find_end(
    writer: &mut Writer,
    tail: &Tail,
    known: &Checkpoint,
    before: &[&Checkpoint],
    format: &Arc<Format>,
) -> Result<End, StoreError> {
    for part in std::iter::once(known).chain(before.iter().copied()) {
        let offset = match last_agreeing(writer, tail, part, format).await? {
            Ok(end) if end > part.first_offset => end,
            Ok(_) => continue,
            Err(error) => return Ok(End::Unreadable(error)),
        };
        return Ok(match tail.tail_fingerprint_at(offset) {
            Ok(tail_fingerprint) => End::At(Position {
                offset,
                first_offset: offset,
                tail_fingerprint,
                ..Position::default()
            }),
            Err(_) => End::Changed,
        });
    }
    Ok(End::Nowhere)
}

/// Returns the offset after the last line of the log that agrees with its stored row; where `known`
/// begins, if none does. `Ok(Err(…))` says that the log cannot be read.
///
/// Lines with a time are compared from the end on, past holes. Lines without a time may agree by
/// chance: they are compared from the beginning on, up to the first one that differs, and past it only as
/// far as a line is like no other one.
async fn last_agreeing(
    writer: &mut Writer,
    tail: &Tail,
    known: &Checkpoint,
    format: &Arc<Format>,
) -> Result<io::Result<u64>, StoreError> {
    let comparison = Comparison { tail, known, format };
    match known.time_estimated {
        true => comparison.forward(writer).await,
        false => comparison.backward(writer).await,
    }
}

struct Comparison<'a> {
    tail: &'a Tail,
    known: &'a Checkpoint,
    format: &'a Arc<Format>,
}

impl Comparison<'_> {
    /// Returns where the stored lines end that the log can still hold.
    fn end(&self) -> u64 {
        self.known.held_to().min(self.tail.size())
    }

    /// Returns whether a line of the log still begins where the file does.
    fn begins_a_line(&self) -> io::Result<bool> {
        let begin = self.known.first_offset;
        Ok(begin == 0 || self.bytes(begin - 1, begin)? == b"\n")
    }

    async fn backward(&self, writer: &mut Writer) -> Result<io::Result<u64>, StoreError> {
        let mut to = self.end();
        while to > self.known.first_offset {
            let window = match self.window_before(to) {
                Ok(window) => window,
                Err(error) => return Ok(Err(error)),
            };
            let lines = match self.compare(writer, &window).await? {
                Ok(lines) => lines,
                Err(error) => return Ok(Err(error)),
            };
            let agrees = |line: &&Compared| line.agreement == Agreement::Same;
            if let Some(line) = lines.iter().rev().find(agrees) {
                return Ok(Ok(line.end));
            }
            to = window.from;
        }
        Ok(Ok(self.known.first_offset))
    }

    async fn forward(&self, writer: &mut Writer) -> Result<io::Result<u64>, StoreError> {
        match self.begins_a_line() {
            Ok(true) => {}
            Ok(false) => return Ok(Ok(self.known.first_offset)),
            Err(error) => return Ok(Err(error)),
        }
        let swept = self.may_be_swept(writer).await?;
        let mut agreed = None;
        // Whether a line before differs: after it, only a line that is like no other one proves that the
        // log is still the same there.
        let mut is_broken = false;
        let mut from = self.known.first_offset;
        while from < self.end() {
            let window = match self.window_after(from) {
                Ok(window) => window,
                Err(error) => return Ok(Err(error)),
            };
            let lines = match self.compare(writer, &window).await? {
                Ok(lines) => lines,
                Err(error) => return Ok(Err(error)),
            };
            let alike = window.alike(&lines);
            for line in lines {
                is_broken |= line.after_hole;
                match line.agreement {
                    Agreement::Same if !is_broken || alike.get(&line.offset) == Some(&1) => {
                        agreed = Some(line.end);
                        is_broken = false;
                    }
                    Agreement::Same => {}
                    // What a sweep has removed stands at the beginning.
                    Agreement::NothingStored if swept && agreed.is_none() && !is_broken => {}
                    Agreement::NothingStored | Agreement::None => is_broken = true,
                }
            }
            if window.bytes.is_empty() {
                break;
            }
            from = window.from + window.bytes.len() as u64;
        }
        Ok(Ok(agreed.unwrap_or(self.known.first_offset)))
    }

    /// Returns whether a sweep may have removed lines of the file.
    async fn may_be_swept(&self, writer: &mut Writer) -> Result<bool, StoreError> {
        let Some(report) = writer.report(self.known.file).await? else { return Ok(false) };
        let cutoff = writer.swept_before(report.first_seen_at).await?;
        Ok(cutoff.is_some_and(|cutoff| cutoff > report.first_seen_at))
    }

    /// Returns the whole lines before `to`, which is the end of a line or of the log.
    fn window_before(&self, to: u64) -> io::Result<Window> {
        let mut length = WINDOW;
        loop {
            let start = to.saturating_sub(length).max(self.known.first_offset);
            let mut bytes = self.bytes(start, to)?;
            if start == self.known.first_offset && self.begins_a_line()? {
                return Ok(Window { from: start, bytes });
            }
            // A newline at the very end says nothing of where its line begins.
            let inner = &bytes[..bytes.len().saturating_sub(1)];
            if let Some(at) = memchr::memchr(b'\n', inner) {
                bytes.drain(..=at);
                return Ok(Window { from: start + at as u64 + 1, bytes });
            }
            if length >= LARGEST_WINDOW || start == self.known.first_offset {
                return Ok(Window { from: start, bytes: Vec::new() }); // a hole, and no line
            }
            length *= 4;
        }
    }

    /// Returns the whole lines after `from`, which is the end of a line.
    fn window_after(&self, from: u64) -> io::Result<Window> {
        let mut length = WINDOW;
        loop {
            let to = (from + length).min(self.end());
            let mut bytes = self.bytes(from, to)?;
            match memchr::memrchr(b'\n', &bytes) {
                Some(at) => bytes.truncate(at + 1),
                None if to < self.end() && length < LARGEST_WINDOW => {
                    length *= 4;
                    continue;
                }
                None => bytes.clear(),
            }
            return Ok(Window { from, bytes });
        }
    }

    fn bytes(&self, from: u64, to: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.tail.reader_at(from)?.take(to.saturating_sub(from)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads the lines of a window.
    fn read(&self, window: &Window, format: &Format) -> io::Result<Vec<(u64, StoredLine)>> {
        let mut batch = Batch::default();
        let target = BatchTarget {
            file: self.known.file,
            epoch: self.known.epoch,
            size: 0,
            now: 0,
            limits: Limits::NONE,
        };
        let mut lines = Lines::default();
        lines.reset(&Position { offset: window.from, ..Position::default() }, b"");
        let context = format.context(0, Completeness::Whole);
        fill_batch(&mut lines, &mut window.bytes.as_slice(), &context, &mut batch, &target)?;
        Ok(expected(&batch))
    }

    /// Compares each line of a window with the store. Lines that are left out are not among them.
    async fn compare(
        &self,
        writer: &mut Writer,
        window: &Window,
    ) -> Result<io::Result<Vec<Compared>>, StoreError> {
        let (known, from) = (self.known, window.from);
        let to = from + window.bytes.len() as u64;
        let read = match self.read(window, self.format) {
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        let stored = writer.lines_between(known.file, from, to.max(from + 1), u32::MAX).await?;
        let at = |offset: u64| stored.binary_search_by_key(&offset, |(offset, _)| *offset).ok();
        let agrees = |offset: u64, line: &StoredLine| {
            agreement(line, at(offset).map(|at| &stored[at].1), known.time_estimated)
        };
        // An older version may have masked other values of the same lines, or filled fewer columns.
        let differs = |(offset, line): &(u64, StoredLine)| agrees(*offset, line) == Agreement::None;
        let older = match read.iter().any(differs) {
            true => self.format.older(),
            false => Vec::new(),
        };
        let older = older.iter().map(|(_, format)| self.read(window, format));
        let older = match older.collect::<io::Result<Vec<_>>>() {
            Ok(older) => older,
            Err(error) => return Ok(Err(error)),
        };
        let agrees_by_older = |offset: u64| {
            older.iter().any(|lines| {
                let line = lines.binary_search_by_key(&offset, |(offset, _)| *offset);
                line.is_ok_and(|nth| agrees(offset, &lines[nth].1) == Agreement::Same)
            })
        };
        let mut unseen = 0;
        let compared = read.into_iter().filter_map(|(offset, line)| {
            let rest = window.bytes.get(usize::try_from(offset - from).ok()?..)?;
            let end = offset + memchr::memchr(b'\n', rest)? as u64 + 1;
            // A line in which another one began is not as it was, even if it says the same.
            let next = at(offset).and_then(|at| stored.get(at + 1));
            let was_shorter = next.is_some_and(|next| next.0 < end);
            let agreement = match agrees(offset, &line) {
                _ if was_shorter => Agreement::None,
                Agreement::None if agrees_by_older(offset) => Agreement::Same,
                agreement => agreement,
            };
            let after_hole = stored.get(unseen).is_some_and(|(first, _)| *first < offset);
            unseen = stored.partition_point(|(stored, _)| *stored <= offset);
            Some(Compared { offset, end, agreement, after_hole })
        });
        Ok(Ok(compared.collect()))
    }
}
