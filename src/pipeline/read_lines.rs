//! Lines out of bytes, and what each of them becomes: the one reader of every command.
//!
//! A record whose value holds a newline takes several lines. When a line and the next one cannot
//! be read by themselves and both together can, they are one record: its row stands at the first
//! line, and each further line is a reject that says so, because every line must be accounted
//! for. A line that can be read by itself is never swallowed.
//!
//! [`read_enveloped`](super::read_enveloped) does the same where lines are in the envelopes of a
//! container runtime.

use std::borrow::Cow;
use std::io::{self, Read};

use crate::format::{Chunk, LineParser, Parsed};
use crate::model::{Micros, RejectReason};
use crate::pipeline::sink::{LineSink, LogLine, Record, Unread};
use crate::source::{Envelope, Lines};

/// The most lines that may belong to one record.
pub(crate) const MAX_JOINED: usize = 8;

/// The most bytes that may belong to one record of several lines (64 KiB).
pub(crate) const MAX_JOINED_BYTES: u64 = 64 << 10;

/// How lines are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadContext<'a> {
    pub(crate) parser: &'a LineParser,
    /// What is around each line.
    pub(crate) envelope: Option<Envelope>,
    /// The time of records whose line has none.
    pub(crate) estimated: Micros,
    pub(crate) completeness: Completeness,
    /// The offset of a line that the store refuses, and why: it is a reject.
    pub(crate) refused: Option<(u64, &'a str)>,
    /// Reading stops after so many bytes, so that one large file does not starve the others.
    pub(crate) max_bytes: u64,
}

impl ReadContext<'_> {
    /// Returns whether the rest of a record may be on its way: a worker writes all of it at once.
    /// `has_begun` says that bytes of a line without an end are there.
    pub(crate) fn more_may_come(&self, source: SourceState, has_begun: bool) -> bool {
        source == SourceState::Open || (self.completeness == Completeness::Growing && has_begun)
    }
}

/// Whether the end of the content is the end of its last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completeness {
    /// Somebody appends to it: a last line without an end waits for the rest.
    Growing,
    /// Nothing will be appended: a last line without an end is a record if it can be read.
    Whole,
    /// Nothing can be appended, because it is an archive, or the part of a file that is stored. A
    /// container's line need not wait for its next piece.
    Sealed,
}

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The sink is full, or this reading's bytes are used up.
    Full,
    /// The source has no more for now.
    End,
}

/// Whether the source has given all that it has for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceState {
    Open,
    Ended,
}

/// What came of looking for the next line.
pub(crate) enum Step {
    Took,
    NeedMore,
}

/// Gives the lines of `source` to `sink` until it is full, or the source ends, or
/// [`ReadContext::max_bytes`] were read. Goes on where `lines` stands.
///
/// # Errors
/// What the source says; the sink has the lines before the error.
pub(crate) fn read_lines<S: LineSink>(
    lines: &mut Lines,
    source: &mut dyn Read,
    context: &ReadContext<'_>,
    sink: &mut S,
) -> io::Result<Stop> {
    let (from, read_from) = (lines.offset(), lines.read_to());
    let mut reader = LineReader { lines, context, sink, source: SourceState::Open };
    loop {
        reader.show_unread();
        loop {
            match context.envelope {
                None => reader.take_records(),
                Some(envelope) => reader.take_enveloped_records(envelope),
            }
            if reader.sink.is_full() {
                return Ok(Stop::Full);
            }
            let step = match context.envelope {
                None => reader.take_line(),
                Some(envelope) => reader.take_enveloped_lines(envelope),
            };
            match step {
                Step::Took => {}
                Step::NeedMore => break,
            }
        }
        if reader.source == SourceState::Ended {
            return Ok(Stop::End);
        }
        // A line that may be whole in the end is read to it; one that is too long has its turns.
        let lines = &mut *reader.lines;
        let passed = if lines.is_skipping() { lines.read_to() - read_from } else { 0 };
        if passed.max(lines.offset() - from) >= context.max_bytes {
            return Ok(Stop::Full);
        }
        if lines.fill(source)? == 0 {
            reader.source = SourceState::Ended;
        }
    }
}

/// Takes lines out of a window, and gives them to a sink.
pub(crate) struct LineReader<'r, S> {
    pub(crate) lines: &'r mut Lines,
    pub(crate) context: &'r ReadContext<'r>,
    pub(crate) sink: &'r mut S,
    pub(crate) source: SourceState,
}

impl<S: LineSink> LineReader<'_, S> {
    /// Returns whether a last line without an end is all that there will be of it.
    pub(crate) fn is_at_the_end(&self) -> bool {
        self.source == SourceState::Ended && self.context.completeness != Completeness::Growing
    }

    fn show_unread(&mut self) {
        let (offset, bytes) = (self.lines.offset(), self.lines.partial());
        self.sink.before_lines(&Unread { offset, bytes, is_all: self.is_at_the_end() });
    }

    /// Takes lines that are looked at together, for as long as they are records: nearly all of a
    /// log. The first that is none, and whatever is not plainly a line, is left to
    /// [`LineReader::take_line`].
    fn take_records(&mut self) {
        let (lines, context) = (&mut *self.lines, self.context);
        // A line that the store refuses is looked for one by one.
        let mut plain = lines.at_line_start() && !lines.is_skipping() && context.refused.is_none();
        while plain {
            let mut end = lines.offset();
            let records = Chunk::of(lines.partial()).all(|(text, length)| {
                if self.sink.is_full() {
                    return false;
                }
                let line = LogLine::new(end, context.estimated, text.bytes(), text.bytes());
                if give(self.sink, &line, context.parser.parse_text(text)).is_some() {
                    return false;
                }
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
    fn take_line(&mut self) -> Step {
        let fresh = self.lines.at_line_start();
        let Some(line) = self.lines.peek() else {
            return if self.is_at_the_end() { self.take_last_line() } else { Step::NeedMore };
        };
        if line.too_long {
            return self.take_too_long();
        }
        let (offset, end) = (line.offset, line.end);
        if !fresh && line.bytes.is_empty() {
            // The end of a line that was stored before its end was written.
            self.lines.take(end);
            return Step::Took;
        }
        let context = self.context;
        let line = LogLine::new(offset, context.estimated, line.bytes, line.bytes);
        let reason = match context.refused {
            Some((refused, reason)) if refused == offset => {
                RejectReason::RefusedByStore(reason.to_owned())
            }
            _ => match give(self.sink, &line, context.parser.parse(line.text)) {
                None => {
                    self.lines.take(end);
                    return Step::Took;
                }
                Some(reject) => match self.take_joined(end) {
                    Some(step) => return step,
                    None => reject,
                },
            },
        };
        if let Some(line) = self.lines.line_at(offset) {
            let line = LogLine::new(offset, context.estimated, line.bytes, line.bytes);
            self.sink.reject(&line, &reason);
        }
        self.lines.take(end);
        Step::Took
    }

    /// Takes a line that is too long, if its end was found.
    pub(crate) fn take_too_long(&mut self) -> Step {
        let Some(line) = self.lines.peek() else { return Step::NeedMore };
        let end = line.end;
        let reason = RejectReason::TooLong(end - line.offset);
        let line = LogLine::new(line.offset, self.context.estimated, line.bytes, line.bytes);
        self.sink.reject(&line, &reason);
        self.lines.take(end);
        Step::Took
    }

    /// Tries to read the next line, which ends at `end`, together with those after it. `None`: it
    /// stands alone.
    fn take_joined(&mut self, end: u64) -> Option<Step> {
        let (lines, context) = (&mut *self.lines, self.context);
        let offset = lines.offset();
        let mut next = end;
        for _ in 1..MAX_JOINED {
            let Some(line) = lines.line_at(next) else {
                let more_comes = context.more_may_come(self.source, lines.read_to() > next);
                return more_comes.then_some(Step::NeedMore);
            };
            if line.end - offset > MAX_JOINED_BYTES
                || !matches!(context.parser.parse(line.bytes), Parsed::Reject(_))
            {
                return None;
            }
            next = line.end;
            let first = lines.line_at(offset)?;
            let line = LogLine::new(offset, context.estimated, lines.joined(next), first.bytes);
            if give(self.sink, &line, context.parser.parse(line.text)).is_some() {
                continue;
            }
            let mut from = end;
            while from < next {
                let line = lines.line_at(from)?;
                let further = LogLine::new(from, context.estimated, line.bytes, line.bytes);
                self.sink.reject(&further, &RejectReason::Continues);
                from = line.end;
            }
            lines.take(next);
            return Some(Step::Took);
        }
        None
    }

    /// Takes a last line without an end, in content that is complete: a record if it can be read as
    /// one. If it cannot, it was cut, and stays unread. So does a piece whose line continues.
    pub(crate) fn take_last_line(&mut self) -> Step {
        let (offset, end) = (self.lines.offset(), self.lines.read_to());
        let bytes = self.lines.partial();
        if bytes.is_empty() || !self.lines.at_line_start() {
            return Step::NeedMore;
        }
        let (payload, time) = match self.context.envelope.map(|envelope| envelope.open(bytes)) {
            None => (Cow::Borrowed(bytes), self.context.estimated),
            Some(Some(piece)) if piece.ends => (piece.payload, piece.time),
            Some(_) => return Step::NeedMore,
        };
        let text = payload.strip_suffix(b"\r").unwrap_or(&payload);
        let raw = if self.context.envelope.is_some() { bytes } else { text };
        let line = LogLine::new(offset, time, text, raw);
        if give(self.sink, &line, self.context.parser.parse(text)).is_some() {
            return Step::NeedMore;
        }
        self.lines.take(end);
        Step::Took
    }
}

/// Gives a line to the sink, unless it is a reject: the answer then.
#[inline]
pub(crate) fn give(
    sink: &mut impl LineSink,
    line: &LogLine<'_>,
    parsed: Parsed<'_>,
) -> Option<RejectReason> {
    match parsed {
        Parsed::Record(record) => sink.record(line, Record::Access(&record)),
        Parsed::Json(record) => sink.record(line, Record::Json(&record)),
        Parsed::Excluded => sink.excluded(line),
        Parsed::Reject(reject) => return Some(reject),
    }
    None
}
