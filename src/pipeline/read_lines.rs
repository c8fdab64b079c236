//! Lines into a batch: the middle of the production line, the same for a file that is followed
//! and for one that is imported.
//!
//! A record whose value holds a newline takes several lines. When a line and the next one cannot
//! be read by themselves and both together can, they are one record: its row stands at the first
//! line, and each further line is a reject that says so, because every line must be accounted
//! for. A line that can be read by itself is never swallowed.
//!
//! `contained` does the same where lines are in the envelopes of a container runtime.

use std::io::{self, Read};

use crate::format::{Chunk, LineParser, Parsed, Reject};
use crate::model::{Batch, FileId, Micros, Position, RejectReason, Span};
use crate::pipeline::read_enveloped;
use crate::source::Envelope;
use crate::source::Lines;
use crate::source::fingerprint::{head_fingerprint, whole_head_fingerprint};

/// Lines that may belong to one record, at most.
pub(crate) const MAX_JOINED: usize = 8;

/// Bytes that may belong to one record of several lines, at most (64 KiB).
pub(crate) const MAX_JOINED_BYTES: u64 = 64 << 10;

/// Where lines come from and what happens to them.
#[derive(Debug)]
pub(crate) struct ReadContext<'a> {
    pub(crate) file: FileId,
    pub(crate) epoch: i64,
    pub(crate) parser: &'a LineParser,
    /// What is around each line.
    pub(crate) envelope: Option<Envelope>,
    /// The file's size, as far as it is known.
    pub(crate) size: u64,
    /// Time for rows whose line has none.
    pub(crate) estimated: Micros,
    /// Time at which lines are rejected.
    pub(crate) now: Micros,
    /// Nothing will be appended any more, so what is there is complete.
    pub(crate) whole: bool,
    /// Nor can be: an archive, or what is stored. A container's lines need not wait for a piece.
    pub(crate) sealed: bool,
    /// The offset of a line that the store refuses, and why.
    pub(crate) refused: Option<(u64, &'a str)>,
}

/// How much a batch may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) lines: u64,
    /// Bytes of encoded rows.
    pub(crate) weight: usize,
}

impl Limits {
    /// What one transaction takes: large enough that its fixed cost is small, small enough that
    /// two of them are a small part of the memory bound.
    pub(crate) const BATCH: Self = Self { lines: 20_000, weight: 4 << 20 };

    pub(crate) fn reached(&self, batch: &Batch) -> bool {
        batch.weight() >= self.weight
            || batch.spans.iter().map(|span| span.lines).sum::<u64>() >= self.lines
    }
}

/// Why filling stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The batch holds as much as it may.
    Full,
    /// The source has no more for now.
    End,
}

pub(crate) enum Step {
    Took,
    NeedMore,
}

/// Reads lines from `source` into `batch` until it is full or the source ends, or `turn` bytes
/// were read (so that one large file does not starve the others).
///
/// # Errors
/// What the source says; lines before the error are in the batch.
pub(crate) fn fill(
    lines: &mut Lines,
    source: &mut dyn Read,
    reading: &ReadContext<'_>,
    batch: &mut Batch,
    limits: Limits,
    turn: u64,
) -> io::Result<Stop> {
    let (from, read_from) = (lines.offset(), lines.read_to());
    let at = span_of(batch, reading, from);
    let mut result = Ok(Stop::End);
    let mut ended = false;
    'reading: loop {
        note_head(lines, reading, &mut batch.spans[at], ended);
        loop {
            match reading.envelope {
                None => run(lines, reading, batch, at, limits),
                Some(envelope) => read_enveloped::run(lines, reading, envelope, batch, at, limits),
            }
            if limits.reached(batch) {
                result = Ok(Stop::Full);
                break 'reading;
            }
            let step = match reading.envelope {
                None => step(lines, reading, batch, at, ended),
                Some(envelope) => read_enveloped::step(lines, reading, envelope, batch, at, ended),
            };
            match step {
                Step::Took => {}
                Step::NeedMore => break,
            }
        }
        if ended {
            break;
        }
        // A line that may be whole in the end is read to it; one that is too long has its turns.
        let passed = if lines.is_skipping() { lines.read_to() - read_from } else { 0 };
        if passed.max(lines.offset() - from) >= turn {
            result = Ok(Stop::Full);
            break;
        }
        match lines.fill(source) {
            Ok(read) => ended = read == 0,
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    let span = &mut batch.spans[at];
    if lines.offset() == span.from {
        batch.spans.remove(at);
        return result;
    }
    span.to = lines.position();
    span.size = span.size.max(span.to.offset);
    result
}

/// The place of the file's span in the batch, made if there is none.
fn span_of(batch: &mut Batch, reading: &ReadContext<'_>, from: u64) -> usize {
    if let Some(at) = batch.spans.iter().position(|span| span.file == reading.file) {
        batch.spans[at].size = reading.size;
        return at;
    }
    batch.spans.push(Span {
        file: reading.file,
        epoch: reading.epoch,
        from,
        to: Position { offset: from, ..Position::default() },
        lines: 0,
        rows: 0,
        rejected: 0,
        excluded: 0,
        head: None,
        size: reading.size,
    });
    batch.spans.len() - 1
}

/// The first line's fingerprint, from the very bytes that are stored: the file may have changed
/// since its name was looked up.
fn note_head(lines: &Lines, reading: &ReadContext<'_>, span: &mut Span, ended: bool) {
    if span.from == 0 && span.head.is_none() && lines.offset() == 0 {
        span.head = if ended && reading.whole {
            whole_head_fingerprint(lines.partial())
        } else {
            head_fingerprint(lines.partial())
        };
    }
}

/// Takes lines that are looked at together, for as long as they are records: nearly all of a log.
/// The first that is none, and whatever is not plainly a line, is left to [`step`].
fn run(lines: &mut Lines, reading: &ReadContext<'_>, batch: &mut Batch, at: usize, limits: Limits) {
    // A line that the store refuses is looked for one by one.
    let mut plain = lines.at_line_start() && !lines.is_skipping() && reading.refused.is_none();
    while plain {
        let mut end = lines.offset();
        let records = Chunk::of(lines.partial()).all(|(line, length)| {
            if limits.reached(batch) {
                return false;
            }
            match reading.parser.parse_text(line) {
                Parsed::Record(record) => {
                    batch.push_record(reading.file, end, &record, reading.estimated);
                    batch.spans[at].rows += 1;
                }
                Parsed::Json(record) => {
                    batch.push_json(reading.file, end, &record);
                    batch.spans[at].rows += 1;
                }
                Parsed::Excluded => batch.spans[at].excluded += 1,
                Parsed::Reject(_) => return false,
            }
            batch.spans[at].lines += 1;
            end += length as u64;
            true
        });
        plain = records && end > lines.offset();
        if end > lines.offset() {
            lines.take(end);
        }
    }
}

/// Takes one line, or one record of several.
fn step(
    lines: &mut Lines,
    reading: &ReadContext<'_>,
    batch: &mut Batch,
    at: usize,
    ended: bool,
) -> Step {
    let fresh = lines.at_line_start();
    let Some(line) = lines.peek() else {
        return if ended && reading.whole {
            last(lines, reading, batch, at)
        } else {
            Step::NeedMore
        };
    };
    let (offset, end) = (line.offset, line.end);
    let refused = reading.refused.filter(|(refused, _)| *refused == offset);
    if line.too_long {
        return too_long(lines, reading, batch, at);
    }
    let reason = if !fresh && line.bytes.is_empty() {
        // The end of a line that was stored before its end was written.
        lines.take(end);
        return Step::Took;
    } else if let Some((_, reason)) = refused {
        RejectReason::RefusedByStore(reason.to_owned())
    } else {
        let parsed = reading.parser.parse(line.bytes);
        match keep(reading, batch, at, offset, reading.estimated, parsed) {
            None => {
                lines.take(end);
                return Step::Took;
            }
            Some(reject) => match join(lines, reading, batch, at, end, ended) {
                Some(step) => return step,
                None => reject.into(),
            },
        }
    };
    if let Some(line) = lines.peek() {
        batch.push_reject(reading.file, offset, reading.now, &reason, line.bytes);
        batch.spans[at].rejected += 1;
        batch.spans[at].lines += 1;
    }
    lines.take(end);
    Step::Took
}

/// Takes a line that is too long, if its end was found.
pub(crate) fn too_long(
    lines: &mut Lines,
    reading: &ReadContext<'_>,
    batch: &mut Batch,
    at: usize,
) -> Step {
    let Some(line) = lines.peek() else { return Step::NeedMore };
    let (offset, end) = (line.offset, line.end);
    let reason = RejectReason::TooLong(end - offset);
    batch.push_reject(reading.file, offset, reading.now, &reason, line.bytes);
    batch.spans[at].rejected += 1;
    batch.spans[at].lines += 1;
    lines.take(end);
    Step::Took
}

/// Keeps what the line at `offset` became, unless it is a reject: the answer then. `time` is that
/// of a line that says none.
pub(crate) fn keep(
    reading: &ReadContext<'_>,
    batch: &mut Batch,
    at: usize,
    offset: u64,
    time: Micros,
    parsed: Parsed<'_>,
) -> Option<Reject> {
    match parsed {
        Parsed::Reject(reject) => return Some(reject),
        Parsed::Record(record) => {
            batch.push_record(reading.file, offset, &record, time);
            batch.spans[at].rows += 1;
        }
        Parsed::Json(record) => {
            batch.push_json(reading.file, offset, &record);
            batch.spans[at].rows += 1;
        }
        Parsed::Excluded => batch.spans[at].excluded += 1,
    }
    batch.spans[at].lines += 1;
    None
}

/// Tries to read the next line, which ends at `end`, together with those behind it. `None`: it
/// stands alone.
fn join(
    lines: &mut Lines,
    reading: &ReadContext<'_>,
    batch: &mut Batch,
    at: usize,
    end: u64,
    ended: bool,
) -> Option<Step> {
    let offset = lines.offset();
    let mut next = end;
    for _ in 1..MAX_JOINED {
        let Some(line) = lines.line_at(next) else {
            // The rest of the record may be on its way: a worker writes all of it at once.
            let more_comes = !ended || (!reading.whole && lines.read_to() > next);
            return more_comes.then_some(Step::NeedMore);
        };
        if line.end - offset > MAX_JOINED_BYTES
            || !matches!(reading.parser.parse(line.bytes), Parsed::Reject(_))
        {
            return None;
        }
        next = line.end;
        let joined = reading.parser.parse(lines.joined(next));
        if keep(reading, batch, at, offset, reading.estimated, joined).is_some() {
            continue;
        }
        let mut from = end;
        while from < next {
            let line = lines.line_at(from)?;
            batch.push_reject(
                reading.file,
                from,
                reading.now,
                &RejectReason::Continues,
                line.bytes,
            );
            from = line.end;
            batch.spans[at].rejected += 1;
            batch.spans[at].lines += 1;
        }
        lines.take(next);
        return Some(Step::Took);
    }
    None
}

/// A last line without an end, in a file that is whole: a row if it can be read as one. If it
/// cannot, it was cut, and stays unread.
fn last(lines: &mut Lines, reading: &ReadContext<'_>, batch: &mut Batch, at: usize) -> Step {
    let (offset, end) = (lines.offset(), lines.read_to());
    let bytes = lines.partial();
    if bytes.is_empty() || !lines.at_line_start() {
        return Step::NeedMore;
    }
    let parsed = reading.parser.parse(bytes.strip_suffix(b"\r").unwrap_or(bytes));
    if keep(reading, batch, at, offset, reading.estimated, parsed).is_some() {
        return Step::NeedMore;
    }
    lines.take(end);
    Step::Took
}
