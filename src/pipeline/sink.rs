//! Consumers of lines: what [`read_lines`] gives each line to.
//!
//! The reader decides what a line is and what it becomes; a sink decides what to do with it. So the
//! daemon, `import`, `check`, `verify` and `status` see the same lines. Each sink is its own
//! instance of the reader: there is no dynamic dispatch per line.
//!
//! [`fill_batch`] reads into what one transaction stores: for the daemon, for `import`, and for
//! `verify`, which compares a batch with what is stored. [`Counter`] and [`LastLines`] only look.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, Read};

use crate::format::{LineParser, Parsed};
use crate::model::{
    Batch, FileId, GunicornLogModel, JsonRecord, Micros, Position, RejectReason, Span,
};
use crate::pipeline::read_lines::{ReadContext, Stop, read_lines};
use crate::source::fingerprint::{head_fingerprint, whole_head_fingerprint};
use crate::source::{Joined, Lines, TOO_LONG_KEPT};

/// A consumer of lines. Calls come in the order of the lines' offsets, but for the further lines of
/// a record in a container's log.
pub(crate) trait LineSink {
    /// Takes a line that is a record, or the first line of a record of several.
    fn record(&mut self, line: &LogLine<'_>, record: Record<'_>);

    /// Takes a line that is no record.
    fn reject(&mut self, line: &LogLine<'_>, reason: &RejectReason);

    /// Takes a line that the configuration leaves out, or one of a container's standard error that
    /// is no access line.
    fn excluded(&mut self, line: &LogLine<'_>);

    /// Returns whether the sink wants no further line for now.
    fn is_full(&self) -> bool {
        false
    }

    /// Looks at the unread bytes before any line among them is taken. Is called at the beginning and
    /// after every read from the source.
    fn before_lines(&mut self, _unread: &Unread<'_>) {}
}

/// A record, of either table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record<'a> {
    /// A request of an access log.
    Access(&'a GunicornLogModel<'a>),
    /// A JSON line.
    Json(&'a JsonRecord),
}

/// One line, or a record of several, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogLine<'a> {
    /// Offset of its first byte in the logical file.
    pub(crate) offset: u64,
    /// The time of a record that holds none: that of its envelope, or of the file.
    pub(crate) time: Micros,
    /// What the program wrote, without line end and envelope; of a record of several lines, all of
    /// them.
    pub(crate) text: &'a [u8],
    raw: Raw<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Raw<'a> {
    Line(&'a [u8]),
    /// The block begins where the offsets of the line's pieces do.
    Pieces {
        line: &'a Joined<'a>,
        block: &'a [u8],
    },
}

impl<'a> LogLine<'a> {
    /// A line in one piece; `raw` is all of it but its end.
    #[inline]
    pub(crate) fn new(offset: u64, time: Micros, text: &'a [u8], raw: &'a [u8]) -> Self {
        Self { offset, time, text, raw: Raw::Line(raw) }
    }

    /// A line of a container's log. `from` is the offset of the first byte of `block`.
    pub(crate) fn of_pieces(line: &'a Joined<'a>, block: &'a [u8], from: u64) -> Self {
        let offset = from + line.at as u64;
        let raw = Raw::Pieces { line, block };
        Self { offset, time: line.time, text: &line.payload, raw }
    }

    /// Returns the same place with the text of the whole record that begins there.
    pub(crate) fn with_text(self, text: &'a [u8]) -> Self {
        Self { text, ..self }
    }

    /// Returns the exact bytes that a reject keeps: those of the line without its end, or of its
    /// pieces with a newline between each. Of a line that is too long, these are its first 64 KiB.
    pub(crate) fn raw(&self) -> Cow<'a, [u8]> {
        let (line, block) = match self.raw {
            Raw::Line(raw) => return Cow::Borrowed(raw),
            Raw::Pieces { line, block } => (line, block),
        };
        match line.raw(block) {
            raw if line.whole || raw.len() <= TOO_LONG_KEPT => raw,
            Cow::Borrowed(raw) => Cow::Borrowed(&raw[..TOO_LONG_KEPT]),
            Cow::Owned(mut raw) => {
                raw.truncate(TOO_LONG_KEPT);
                Cow::Owned(raw)
            }
        }
    }
}

/// Bytes that were read from the source, and in which no line was taken yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unread<'a> {
    /// Offset of the first of them.
    pub(crate) offset: u64,
    pub(crate) bytes: &'a [u8],
    /// Whether no more will come after them: the source ended, and its content is complete.
    pub(crate) is_all: bool,
}

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

/// The file whose lines go into a batch, and how many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchTarget {
    pub(crate) file: FileId,
    /// The epoch of the claim under which they are stored.
    pub(crate) epoch: i64,
    /// The file's size in bytes, as far as it is known; else 0.
    pub(crate) size: u64,
    /// The time of rejects.
    pub(crate) now: Micros,
    pub(crate) limits: Limits,
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
    batch: &mut Batch,
    target: &BatchTarget,
) -> io::Result<Stop> {
    let mut sink = BatchSink::open(batch, *target, lines.offset());
    let stop = read_lines(lines, source, context, &mut sink);
    sink.close(lines);
    stop
}

/// Puts lines of one file into a batch, and counts them in the file's span.
struct BatchSink<'a> {
    batch: &'a mut Batch,
    target: BatchTarget,
    /// The place of the file's span in the batch.
    span: usize,
}

impl<'a> BatchSink<'a> {
    /// Goes on with the file's span, or begins one at offset `from`.
    fn open(batch: &'a mut Batch, target: BatchTarget, from: u64) -> Self {
        let BatchTarget { file, epoch, size, .. } = target;
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
        Self { batch, target, span }
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
                self.batch.push_record(self.target.file, line.offset, record, line.time);
            }
            Record::Json(record) => self.batch.push_json(self.target.file, line.offset, record),
        }
        let span = &mut self.batch.spans[self.span];
        span.rows += 1;
        span.lines += 1;
    }

    fn reject(&mut self, line: &LogLine<'_>, reason: &RejectReason) {
        let BatchTarget { file, now, .. } = self.target;
        self.batch.push_reject(file, line.offset, now, reason, &line.raw());
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
        self.target.limits.reached(self.batch)
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

/// Counts lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counter {
    /// Lines that would become rows.
    pub(crate) rows: u64,
    /// Lines that would become rejects.
    pub(crate) rejected: u64,
    /// Lines that would be left out.
    pub(crate) excluded: u64,
}

impl Counter {
    /// Returns the number of lines, whatever they would become.
    pub(crate) fn lines(&self) -> u64 {
        self.rows + self.rejected + self.excluded
    }
}

impl LineSink for Counter {
    fn record(&mut self, _: &LogLine<'_>, _: Record<'_>) {
        self.rows += 1;
    }

    fn reject(&mut self, _: &LogLine<'_>, _: &RejectReason) {
        self.rejected += 1;
    }

    fn excluded(&mut self, _: &LogLine<'_>) {
        self.excluded += 1;
    }
}

/// Keeps the last lines, but for those that are left out: these leave nothing in the store.
#[derive(Debug)]
pub(crate) struct LastLines {
    most: usize,
    lines: VecDeque<LastLine>,
}

/// A line that was kept.
#[derive(Debug, Default)]
pub(crate) struct LastLine {
    /// Offset of its first byte in the logical file.
    pub(crate) offset: u64,
    /// Its bytes, as a reject keeps them.
    pub(crate) raw: Vec<u8>,
    text: Vec<u8>,
    is_record: bool,
}

impl LastLines {
    /// Keeps at most `most` lines.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, lines: VecDeque::with_capacity(most) }
    }

    /// Returns the lines, the last one first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &LastLine> {
        self.lines.iter().rev()
    }

    fn push(&mut self, line: &LogLine<'_>, is_record: bool) {
        let mut last = match self.lines.len() < self.most {
            true => LastLine::default(),
            false => self.lines.pop_front().unwrap_or_default(),
        };
        last.offset = line.offset;
        line.raw().as_ref().clone_into(&mut last.raw);
        line.text.clone_into(&mut last.text);
        last.is_record = is_record;
        self.lines.push_back(last);
    }
}

impl LastLine {
    /// Reads the record once more; `None` of a reject. `parser` is the one that it was read by.
    pub(crate) fn record<'a>(&'a self, parser: &'a LineParser) -> Option<Parsed<'a>> {
        self.is_record.then(|| parser.parse(&self.text))
    }
}

impl LineSink for LastLines {
    fn record(&mut self, line: &LogLine<'_>, _: Record<'_>) {
        self.push(line, true);
    }

    fn reject(&mut self, line: &LogLine<'_>, _: &RejectReason) {
        self.push(line, false);
    }

    fn excluded(&mut self, _: &LogLine<'_>) {}
}
