//! Lines out of bytes, and what each of them becomes: the one reader of every command.
//!
//! A record whose value holds a newline takes several lines. When a line and the next one cannot
//! be read by themselves and both together can, they are one record: its row stands at the first
//! line, and each further line is a reject that says so, because every line must be accounted
//! for. A line that can be read by itself is never swallowed.
//!
//! [`read_enveloped`](super::read_enveloped) does the same where lines are in the envelopes of a
//! container runtime.
//!
//! The reader decides what a line is and what it becomes; a [`LineSink`] decides what to do with it.
//! So the daemon, `import`, `check`, `verify` and `status` see the same lines. Each sink is its own
//! instance of the reader: there is no dynamic dispatch per line.
//!
//! [`fill_batch`] reads into what one transaction stores: for the daemon, for `import`, and for
//! `verify`, which compares a batch with what is stored. The sinks of [`sink`](super::sink) only look.

use std::borrow::Cow;
use std::io;

use crate::format::{Chunk, LineParser, Parsed};
use crate::model::{
    Batch, FileId, GunicornLogModel, JsonRecord, Micros, Position, RejectReason, Span,
};
use crate::pipeline::line_patches::{LinePatches, WrittenLine};
use crate::source::fingerprint::{head_fingerprint, whole_head_fingerprint};
use crate::source::{ByteSource, Envelope, Joined, Line, Lines, TOO_LONG_KEPT, text_at};

/// A consumer of lines. Calls come in the order of the lines' offsets, but for the further lines of
/// a record in a container's log.
pub(crate) trait LineSink {
    /// Takes a line that is a record, or the first line of a record of several.
    fn record(&mut self, line: &LogLine<'_>, record: Record<'_>);

    /// Takes a line that is not a record.
    fn reject(&mut self, line: &LogLine<'_>, reason: &RejectReason);

    /// Takes a line that the configuration leaves out, a request or one of the server itself, or one of a
    /// container's standard error that is not an access line.
    fn excluded(&mut self, line: &LogLine<'_>);

    /// Returns whether the sink wants no further line for now.
    fn is_full(&self) -> bool {
        false
    }

    /// Looks at the unread bytes, without NULs before the first of them, before any line among them is taken. Is called at the beginning and
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
    /// The offset after its end; that of its first byte if no line after it may count as its repeat.
    end: u64,
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
        Self { offset, time, text, raw: Raw::Line(raw), end: offset }
    }

    /// Returns the same line, of which an equal one that begins at `end` is a repeat.
    pub(crate) fn repeatable(self, end: u64) -> Self {
        Self { end, ..self }
    }

    /// A line of a container's log. `from` is the offset of the first byte of `block`.
    pub(crate) fn of_pieces(line: &'a Joined<'a>, block: &'a [u8], from: u64) -> Self {
        let offset = from + line.at as u64;
        let raw = Raw::Pieces { line, block };
        let end = line.end_of_one_piece().map_or(offset, |end| from + end as u64);
        Self { offset, time: line.time, text: &line.payload, raw, end }
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
    /// Its writer still appends: a last line without an end waits for the rest.
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
    source: &mut dyn ByteSource,
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
        // A line is read to its end before the next file has its turn, unless it is too long: such a
        // line, and the NULs before one, are skipped in several turns.
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
    /// Returns whether nothing will be appended to a last line without an end.
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
        let mut plain =
            lines.is_plain() && !lines.at_byte_order_mark() && context.refused.is_none();
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
        let (fresh, begin) = (self.lines.at_line_start(), self.lines.offset());
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
        let text = text_at(offset, line.bytes);
        let line = LogLine::new(offset, context.estimated, text, line.bytes);
        let reason = match context.refused {
            // It is known by the offset from which its batch was read: before its NULs.
            Some((refused, reason)) if refused == begin => {
                RejectReason::RefusedByStore(reason.to_owned())
            }
            _ => match give(self.sink, &line, context.parser.parse(line.text)) {
                None => {
                    self.lines.take(end);
                    return Step::Took;
                }
                // A line of the server itself does not belong to a record.
                Some(RejectReason::ServerLog) => RejectReason::ServerLog,
                Some(reject) => match self.take_joined(end) {
                    Some(step) => return step,
                    None => reject,
                },
            },
        };
        let mut taken = end;
        if let Some(Line { bytes, .. }) = self.lines.line_at(offset) {
            // A byte order mark is a part of the bytes, and not of the text: an equal line is another text.
            let is_plain = fresh && !self.lines.at_byte_order_mark();
            let line = LogLine::new(offset, context.estimated, bytes, bytes);
            let line = if is_plain { line.repeatable(end) } else { line };
            give_reject(self.sink, context.parser, &line, &reason);
            let repeats = if is_plain { self.sure_repeats(end - offset) } else { 0 };
            for _ in 0..repeats {
                if self.sink.is_full() {
                    break;
                }
                let line = LogLine::new(taken, context.estimated, bytes, bytes);
                taken += end - offset;
                give_reject(self.sink, context.parser, &line.repeatable(taken), &reason);
            }
        }
        self.lines.take(taken);
        Step::Took
    }

    /// Returns how many of the lines after the next one, which has `length` bytes and is a reject, are rejects
    /// for the same reason: those that are equal to it, if all lines that may belong to their records are equal,
    /// too. Each of these was looked at with as many equal lines after it.
    fn sure_repeats(&self, length: u64) -> u64 {
        if self.context.refused.is_some() || self.lines.partial().first() == Some(&0) {
            return 0;
        }
        self.lines.repeats(length).saturating_sub(MAX_JOINED as u64 - 1)
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
        let offset = lines.line_offset();
        let mut next = end;
        for _ in 1..MAX_JOINED {
            if lines.byte_at(next) == Some(0) {
                return None; // NULs before a line are part of no record
            }
            let Some(line) = lines.line_at(next) else {
                if lines.read_to() - offset > MAX_JOINED_BYTES {
                    return None;
                }
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
            let text = text_at(offset, lines.joined(next));
            let line = LogLine::new(offset, context.estimated, text, first.bytes);
            if give(self.sink, &line, context.parser.parse(line.text)).is_some() {
                continue;
            }
            let mut from = end;
            while from < next {
                let line = lines.line_at(from)?;
                let further = LogLine::new(from, context.estimated, line.bytes, line.bytes);
                self.sink.reject(&further.repeatable(line.end), &RejectReason::Continues);
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
        let (offset, end) = (self.lines.line_offset(), self.lines.read_to());
        let bytes = self.lines.partial();
        if bytes.is_empty() || !self.lines.at_line_start() {
            return Step::NeedMore;
        }
        let (payload, time) = match self.context.envelope.map(|envelope| envelope.open(bytes)) {
            None => (Cow::Borrowed(text_at(offset, bytes)), self.context.estimated),
            Some(Some(piece)) if piece.ends => (piece.payload, piece.time),
            Some(_) => return Step::NeedMore,
        };
        let text = payload.strip_suffix(b"\r").unwrap_or(&payload);
        let raw = match self.context.envelope {
            Some(_) => bytes,
            None => bytes.strip_suffix(b"\r").unwrap_or(bytes),
        };
        let line = LogLine::new(offset, time, text, raw);
        if give(self.sink, &line, self.context.parser.parse(text)).is_some() {
            return Step::NeedMore;
        }
        self.lines.take(end);
        Step::Took
    }
}

/// Gives a line to the sink. A reject is not given, and its reason is returned.
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

/// Gives a line that is not a record to the sink: as a reject, or left out if the configuration says so.
pub(crate) fn give_reject(
    sink: &mut impl LineSink,
    parser: &LineParser,
    line: &LogLine<'_>,
    reason: &RejectReason,
) {
    match parser.leaves_out(reason) {
        true => sink.excluded(line),
        false => sink.reject(line, reason),
    }
}

/// How much a batch may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Lines of all its files, without repeats of rejects.
    pub(crate) lines: u64,
    /// Bytes of encoded rows.
    pub(crate) weight: usize,
    /// Days on which rows fall.
    pub(crate) days: usize,
    /// Repeats of rejects, which need no row.
    pub(crate) repeats: u64,
}

impl Limits {
    /// What one transaction takes: large enough that its fixed cost is small, small enough that
    /// two of them are a small part of the memory bound. Repeats cost the time only in which they are read
    /// (some tenths of a second), after which a stop is heard. Of lines that are spread over years it takes those of
    /// some days: each may need a partition, and a stop waits for all of them.
    pub(crate) const BATCH: Self =
        Self { lines: 20_000, weight: 4 << 20, repeats: 4 << 20, days: 32 };

    /// No limit: the source is known to be small.
    pub(crate) const NONE: Self =
        Self { lines: u64::MAX, weight: usize::MAX, repeats: u64::MAX, days: usize::MAX };

    /// Returns whether the batch holds as much as it may.
    pub(crate) fn reached(&self, batch: &Batch) -> bool {
        let repeats = batch.repeats();
        batch.weight() >= self.weight
            || batch.lines().saturating_sub(repeats) >= self.lines
            || repeats >= self.repeats
            || batch.day_count() >= self.days
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
    /// The time of rejects, with which times of rows are compared.
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
    source: &mut dyn ByteSource,
    context: &ReadContext<'_>,
    batch: &mut Batch,
    target: &BatchTarget,
) -> io::Result<Stop> {
    let mut sink = BatchSink::open(batch, context, *target, lines);
    let stop = read_lines(lines, source, context, &mut sink);
    sink.close(lines);
    stop
}

/// Puts lines of one file into a batch, and counts them in the file's span.
struct BatchSink<'a> {
    batch: &'a mut Batch,
    /// Masks rejects.
    parser: &'a LineParser,
    target: BatchTarget,
    /// Patches for lines that are not what their rows give; `None` of a container's log, whose envelopes are not
    /// stored.
    patches: Option<LinePatches>,
    /// The place of the file's span in the batch.
    span: usize,
}

impl<'a> BatchSink<'a> {
    /// Goes on with the file's span, or begins one where `lines` stands.
    fn open(
        batch: &'a mut Batch,
        context: &ReadContext<'a>,
        target: BatchTarget,
        lines: &Lines,
    ) -> Self {
        let (parser, from) = (context.parser, lines.offset());
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
                    nul_runs: Vec::new(),
                    form_changes: Vec::new(),
                    releases: false,
                    far_times: 0,
                });
                batch.spans.len() - 1
            }
        };
        batch.clock = Some(target.now);
        let is_bare = context.envelope.is_none();
        let patches = is_bare.then(|| match lines.known_forms() {
            Some(forms) => LinePatches::in_forms(forms.to_vec()),
            None => LinePatches::after(parser, lines.form()),
        });
        Self { batch, parser, target, patches, span }
    }

    /// Ends the file's span where `lines` stands; removes it if nothing was read.
    fn close(self, lines: &mut Lines) {
        let span = &mut self.batch.spans[self.span];
        if lines.offset() == span.from {
            self.batch.spans.remove(self.span);
            return;
        }
        if let Some(patches) = self.patches {
            let (form, changes) = patches.end();
            lines.set_form(form);
            span.form_changes.extend(changes);
        }
        span.to = lines.position();
        span.nul_runs.extend(lines.take_nul_runs());
        span.size = span.size.max(span.to.offset);
        let far = self.batch.far_examples.iter().find(|it| it.file == span.file);
        span.far_times = far.map_or(0, |it| it.rows);
    }
}

impl BatchSink<'_> {
    /// Takes a record that may not be what its row gives.
    #[cold]
    fn unusual_record(&mut self, line: &LogLine<'_>, record: &GunicornLogModel<'_>) {
        let LogLine { offset, time, text, .. } = *line;
        let raw = line.raw();
        let written = WrittenLine { offset, time, text, raw: &raw };
        let patch = self.patches.as_mut();
        let patch = patch.and_then(|patches| patches.patch(self.parser, record, written));
        self.batch.push_patched(self.target.file, offset, record, time, patch.as_deref());
    }
}

impl LineSink for BatchSink<'_> {
    #[inline]
    fn record(&mut self, line: &LogLine<'_>, record: Record<'_>) {
        match record {
            Record::Access(record) => {
                let is_plain = |patches: &LinePatches| patches.is_plain(record, line.offset);
                if self.patches.as_ref().is_none_or(is_plain) {
                    self.batch.push_record(self.target.file, line.offset, record, line.time);
                } else {
                    self.unusual_record(line, record);
                }
            }
            Record::Json(record) => self.batch.push_json(self.target.file, line.offset, record),
        }
        let span = &mut self.batch.spans[self.span];
        span.rows += 1;
        span.lines += 1;
    }

    fn reject(&mut self, line: &LogLine<'_>, reason: &RejectReason) {
        let BatchTarget { file, now, .. } = self.target;
        let raw = line.raw();
        let range = line.offset..line.end;
        self.batch.push_reject(file, range, now, reason, &self.parser.kept(&raw));
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

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::format::{Exclusions, Mask, Template};
    use crate::pipeline::expected::expected;
    use crate::store::StoredLine;

    /// Gives a few bytes at once, so that hardly any line is there with those after it.
    struct Dribble<'a>(&'a [u8], usize);

    impl ByteSource for Dribble<'_> {}

    impl Read for Dribble<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(self.1).min(out.len());
            out[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    /// Reads all of a source into batches of so many lines. Returns what each line became, and the number of rows of
    /// rejects.
    fn read(source: &mut dyn ByteSource, limits: Limits) -> (Vec<(u64, StoredLine)>, u64) {
        let template = Template::compile("%(h)s %(u)s %(t)s \"%(r)s\" %(s)s").unwrap();
        let parser = LineParser::new(template, Mask::default(), Exclusions::default());
        let context = ReadContext {
            parser: &parser,
            envelope: None,
            estimated: 0,
            completeness: Completeness::Whole,
            refused: None,
            max_bytes: u64::MAX,
        };
        let target = BatchTarget { file: FileId(1), epoch: 1, size: 0, now: 0, limits };
        let (mut lines, mut all, mut rows) = (Lines::default(), Vec::new(), 0);
        loop {
            let mut batch = Batch::default();
            let stop = fill_batch(&mut lines, source, &context, &mut batch, &target).unwrap();
            let counted = batch.rows() + batch.rejected;
            assert_eq!(batch.lines(), counted);
            assert!(batch.lines() - batch.repeats() <= limits.lines.saturating_add(8));
            rows += batch.rejected_line.count();
            all.extend(expected(&batch));
            if stop == Stop::End {
                return (all, rows);
            }
        }
    }

    /// Without the times, and without what the row of a reject says of its other lines.
    fn essence(lines: &[(u64, StoredLine)]) -> Vec<(u64, String)> {
        let essence = |line: &StoredLine| match line {
            StoredLine::Reject(it) => format!("{:?} {} {:?}", it.code, it.reason, it.raw),
            other => format!("{other:?}"),
        };
        lines.iter().map(|(offset, line)| (*offset, essence(line))).collect()
    }

    #[test]
    fn equal_lines_become_the_same_however_many_are_read_at_once() {
        let row = "1.2.3.4 jo [23/Nov/2026:08:41:00 +0000] \"GET / HTTP/1.1\" 200";
        let (first, second) = row.split_at(11);
        // Beginnings and ends of a record, too, so that equal lines stand where one may begin.
        let pieces = ["", "\r", "x", "1.2.3.4 j", row, first, second, "\u{feff}", "\0"];
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..300 {
            let mut text = String::new();
            for _ in 0..random.usize(1..8) {
                let piece = random.choice(pieces).unwrap();
                let times = if random.bool() { random.usize(1..4) } else { random.usize(1..60) };
                (0..times).for_each(|_| text.extend([piece, "\n"]));
            }
            let text = text.as_bytes();
            let whole = read(&mut &*text, Limits::NONE);
            let dribbled = read(&mut Dribble(text, random.usize(1..9)), Limits::NONE);
            assert_eq!(essence(&whole.0), essence(&dribbled.0), "round {round}");
            assert_eq!(whole.1, dribbled.1, "round {round}");
            for lines in [1, 2, 10] {
                let limits = Limits { lines, ..Limits::BATCH };
                let parts = read(&mut &*text, limits);
                assert_eq!(essence(&whole.0), essence(&parts.0), "round {round}");
            }
            let limits = Limits { repeats: 5, ..Limits::BATCH };
            assert_eq!(essence(&whole.0), essence(&read(&mut &*text, limits).0), "round {round}");
        }
    }
}
