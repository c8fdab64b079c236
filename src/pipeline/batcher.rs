//! Lines into a batch: what one transaction stores. The sink of the daemon, of `import`, and of
//! `verify`, which compares a batch with what is stored.

use std::io::{self, Read};

use crate::model::{Batch, FileId, Micros, Position, RejectReason, Span};
use crate::pipeline::read_lines::{ReadContext, Stop, read_lines};
use crate::pipeline::sink::{LineSink, LogLine, Record, Unread};
use crate::source::Lines;
use crate::source::fingerprint::{head_fingerprint, whole_head_fingerprint};

/// How much a batch may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Lines of all its files.
    pub(crate) lines: u64,
    /// Bytes of encoded rows.
    pub(crate) weight: usize,
}

impl Limits {
    /// What one transaction takes: large enough that its fixed cost is small, small enough that
    /// two of them are a small part of the memory bound.
    pub(crate) const BATCH: Self = Self { lines: 20_000, weight: 4 << 20 };

    /// No limit: the source is known to be small.
    pub(crate) const NONE: Self = Self { lines: u64::MAX, weight: usize::MAX };

    /// Returns whether the batch holds as much as it may.
    pub(crate) fn reached(&self, batch: &Batch) -> bool {
        batch.weight() >= self.weight || batch.lines() >= self.lines
    }
}

/// The file whose lines go into a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchFile {
    pub(crate) file: FileId,
    /// The epoch of the claim under which they are stored.
    pub(crate) epoch: i64,
    /// The file's size in bytes, as far as it is known; else 0.
    pub(crate) size: u64,
    /// The time of rejects.
    pub(crate) now: Micros,
}

/// Reads lines from `source` into `batch` until it is full, or the source ends, or
/// [`ReadContext::max_bytes`] were read.
///
/// # Errors
/// What the source says; lines before the error are in the batch.
pub(crate) fn fill_batch(
    lines: &mut Lines,
    source: &mut dyn Read,
    context: &ReadContext<'_>,
    file: &BatchFile,
    (batch, limits): (&mut Batch, Limits),
) -> io::Result<Stop> {
    let mut sink = BatchSink::open(batch, limits, file, lines.offset());
    let stop = read_lines(lines, source, context, &mut sink);
    sink.close(lines);
    stop
}

/// Puts lines of one file into a batch, and counts them in the file's span.
struct BatchSink<'a> {
    batch: &'a mut Batch,
    limits: Limits,
    file: FileId,
    now: Micros,
    /// The place of the file's span in the batch.
    span: usize,
}

impl<'a> BatchSink<'a> {
    /// Goes on with the file's span, or begins one at offset `from`.
    fn open(batch: &'a mut Batch, limits: Limits, file: &BatchFile, from: u64) -> Self {
        let BatchFile { file, epoch, size, now } = *file;
        let span = match batch.spans.iter().position(|span| span.file == file) {
            Some(span) => {
                batch.spans[span].size = size;
                span
            }
            None => {
                batch.spans.push(Span {
                    file,
                    epoch,
                    from,
                    to: Position { offset: from, ..Position::default() },
                    lines: 0,
                    rows: 0,
                    rejected: 0,
                    excluded: 0,
                    head: None,
                    size,
                });
                batch.spans.len() - 1
            }
        };
        Self { batch, limits, file, now, span }
    }

    /// Ends the file's span where `lines` stands; removes it if nothing was read.
    fn close(self, lines: &mut Lines) {
        let span = &mut self.batch.spans[self.span];
        if lines.offset() == span.from {
            self.batch.spans.remove(self.span);
            return;
        }
        span.to = lines.position();
        span.size = span.size.max(span.to.offset);
    }
}

impl LineSink for BatchSink<'_> {
    #[inline]
    fn record(&mut self, line: &LogLine<'_>, record: Record<'_>) {
        match record {
            Record::Access(record) => {
                self.batch.push_record(self.file, line.offset, record, line.time);
            }
            Record::Json(record) => self.batch.push_json(self.file, line.offset, record),
        }
        let span = &mut self.batch.spans[self.span];
        span.rows += 1;
        span.lines += 1;
    }

    fn reject(&mut self, line: &LogLine<'_>, reason: &RejectReason) {
        self.batch.push_reject(self.file, line.offset, self.now, reason, &line.raw());
        let span = &mut self.batch.spans[self.span];
        span.rejected += 1;
        span.lines += 1;
    }

    #[inline]
    fn excluded(&mut self, _: &LogLine<'_>) {
        let span = &mut self.batch.spans[self.span];
        span.excluded += 1;
        span.lines += 1;
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.limits.reached(self.batch)
    }

    /// Takes the first line's fingerprint from the very bytes that are stored: the file may have
    /// changed since its name was looked up.
    fn before_lines(&mut self, unread: &Unread<'_>) {
        let span = &mut self.batch.spans[self.span];
        if span.from == 0 && span.head.is_none() && unread.offset == 0 {
            span.head = match unread.is_all {
                true => whole_head_fingerprint(unread.bytes),
                false => head_fingerprint(unread.bytes),
            };
        }
    }
}
