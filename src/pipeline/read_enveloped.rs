//! The reader of lines in the envelopes of a container runtime.
//!
//! A sink is full only at the end of a block of physical lines (see [`Block`]), so that an offset
//! never stands between the pieces of a line. What the program wrote on its standard error and is
//! no access line is left out: it is Gunicorn's error log.

use crate::format::Parsed;
use crate::model::RejectReason;
use crate::source::{BOUNDS, Block, Envelope, Joined, MAX_LINE, OutputStream, TOO_LONG_KEPT};

use crate::pipeline::read_lines::{
    Completeness, LineReader, LineSink, LogLine, MAX_JOINED, MAX_JOINED_BYTES, ReadContext,
    SourceState, Step, give, give_reject,
};

impl<S: LineSink> LineReader<'_, S> {
    /// Takes physical lines that are whole lines and records, as nearly all of a log is.
    pub(crate) fn take_enveloped_records(&mut self, envelope: Envelope) {
        let (lines, context) = (&mut *self.lines, self.context);
        if !lines.is_plain() || context.refused.is_some() {
            return;
        }
        let (bytes, from) = (lines.partial(), lines.offset());
        let mut passed = 0;
        while !self.sink.is_full() {
            let Some(length) = memchr::memchr(b'\n', &bytes[passed..]) else { break };
            let raw = &bytes[passed..passed + length];
            let Some(piece) = envelope.open(raw).filter(|piece| piece.ends) else { break };
            let text = piece.payload.strip_suffix(b"\r").unwrap_or(&piece.payload);
            let line = LogLine::new(from + passed as u64, piece.time, text, raw);
            if give(self.sink, &line, context.parser.parse(text)).is_some() {
                break;
            }
            passed += length + 1;
        }
        if passed > 0 {
            lines.take(from + passed as u64);
        }
    }

    /// Takes one block of lines, and further ones if a record goes on in them. NULs before a physical
    /// line end the block and the record before them: what wrote these was cut off.
    pub(crate) fn take_enveloped_lines(&mut self, envelope: Envelope) -> Step {
        if self.lines.is_too_long() {
            return self.take_too_long();
        }
        let begin = self.lines.offset();
        if !self.lines.skip_nuls() {
            return Step::NeedMore;
        }
        let at_the_end = self.is_at_the_end();
        let (context, source) = (self.context, self.source);
        let (fresh, from) = (self.lines.at_line_start(), self.lines.line_offset());
        let run = self.lines.next_run();
        let bytes = &self.lines.partial()[..run.unwrap_or(self.lines.partial().len())];
        if !fresh && let Some(end @ (0 | 1)) = memchr::memchr(b'\n', bytes) {
            // The end of a line that was stored before its end was written.
            if end == 0 || bytes[0] == b'\r' {
                self.lines.take(from + end as u64 + 1);
                return Step::Took;
            }
        }
        let sealed = at_the_end && context.completeness == Completeness::Sealed;
        let last = || Block::last(envelope, bytes, BOUNDS).filter(|_| sealed);
        let before_run = || Block::cut(envelope, bytes, BOUNDS).filter(|_| run.is_some());
        let block = Block::first(envelope, bytes, BOUNDS);
        let Some(block) = block.or_else(last).or_else(before_run) else {
            return if memchr::memchr(b'\n', bytes).is_some() {
                Step::NeedMore
            } else if bytes.len() > MAX_LINE {
                self.take_too_long()
            } else if at_the_end {
                self.take_last_line()
            } else {
                Step::NeedMore
            };
        };
        let (lines, ends) = (block.lines, vec![block.length]);
        let is_cut = run.is_some();
        let mut group = Group { envelope, bytes, lines, ends, taken: 0, is_cut };
        let Some(fates) = group.fates(context, source) else { return Step::NeedMore };
        let refused = context.refused.filter(|(refused, _)| *refused == begin);
        for (joined, fate) in group.lines.iter().zip(&fates) {
            let line = LogLine::of_pieces(joined, bytes, from);
            match (fate, refused) {
                // Of several lines that are stored together it is not known which one the store
                // refuses.
                (Fate::Record(_), Some((_, reason))) => {
                    self.sink.reject(&line, &RejectReason::RefusedByStore(reason.to_owned()));
                }
                (Fate::Record(record), None) => {
                    let line = line.with_text(record.as_deref().unwrap_or(&joined.payload));
                    // What could be read once can be read again.
                    if let Some(reject) = give(self.sink, &line, context.parser.parse(line.text)) {
                        give_reject(self.sink, context.parser, &line, &reject);
                    }
                }
                (Fate::LeftOut, _) => self.sink.excluded(&line),
                (Fate::Reject(reason), _) => {
                    give_reject(self.sink, context.parser, &line, reason);
                }
            }
        }
        let taken = from + group.taken as u64;
        self.lines.take(taken);
        Step::Took
    }
}

/// What a line becomes.
enum Fate {
    /// A row, or left out by the configuration; of several lines with their text.
    Record(Option<Vec<u8>>),
    /// No access line, and on standard error.
    LeftOut,
    Reject(RejectReason),
}

/// Lines of one or several blocks.
struct Group<'a> {
    envelope: Envelope,
    bytes: &'a [u8],
    lines: Vec<Joined<'a>>,
    /// Where each block ends.
    ends: Vec<usize>,
    /// Bytes whose lines have their fates.
    taken: usize,
    /// Whether nothing that follows `bytes` belongs to a record in them.
    is_cut: bool,
}

/// What came of looking for the lines after one that cannot be read.
enum Together {
    /// They are one record: its text, and which lines.
    Record(Vec<u8>, Vec<usize>),
    Alone,
    NeedMore,
}

impl Group<'_> {
    /// Adds the next block; `false` if it is not complete.
    fn grow(&mut self) -> bool {
        let from = self.end();
        let Some(block) = Block::first(self.envelope, &self.bytes[from..], BOUNDS) else {
            return false;
        };
        self.lines.extend(block.lines.into_iter().map(|line| line.moved(from)));
        self.ends.push(from + block.length);
        true
    }

    fn end(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Returns the end of the block in which the line stands.
    fn end_of(&self, line: usize) -> usize {
        let at = self.lines[line].at;
        self.ends.iter().copied().find(|end| *end > at).unwrap_or(0)
    }

    /// Decides what the lines of the first block become, and those after it that belong to a record
    /// of it. `None` if the rest of a record may be on its way.
    fn fates(&mut self, context: &ReadContext<'_>, source: SourceState) -> Option<Vec<Fate>> {
        let mut fates: Vec<Option<Fate>> = Vec::new();
        self.taken = self.end();
        let mut nth = 0;
        while self.lines.get(nth).is_some_and(|line| line.at < self.taken) {
            fates.resize_with(self.lines.len().max(fates.len()), || None);
            if fates[nth].is_none() {
                fates[nth] = Some(match self.alone(context, nth) {
                    Err(fate) => fate,
                    Ok(reason) => match self.together(context, nth, source) {
                        Together::NeedMore => return None,
                        Together::Alone => left_out_or_reject(&self.lines[nth], reason),
                        Together::Record(text, further) => {
                            fates.resize_with(self.lines.len(), || None);
                            for line in further {
                                self.taken = self.taken.max(self.end_of(line));
                                fates[line] = Some(Fate::Reject(RejectReason::Continues));
                            }
                            Fate::Record(Some(text))
                        }
                    },
                });
            }
            nth += 1;
        }
        self.lines.truncate(nth);
        fates.truncate(nth);
        fates.into_iter().collect()
    }

    /// Returns what a line becomes by itself, as an error; if that is not decided, why it cannot be
    /// read.
    fn alone(&self, context: &ReadContext<'_>, nth: usize) -> Result<RejectReason, Fate> {
        let line = &self.lines[nth];
        if line.stream.is_none() {
            return Err(Fate::Reject(RejectReason::NoEnvelope(self.envelope.missing())));
        }
        if !line.whole {
            let length = line.raw_length();
            let reason = if length > TOO_LONG_KEPT {
                RejectReason::TooLongWithoutEnd(length as u64)
            } else {
                RejectReason::NoFinalPiece
            };
            return Err(left_out_or_reject(line, reason));
        }
        match context.parser.parse(&line.payload) {
            Parsed::Reject(reason) => Ok(reason),
            _ => Err(Fate::Record(None)),
        }
    }

    /// Tries to read a line together with those of its stream after it.
    fn together(&mut self, context: &ReadContext<'_>, nth: usize, source: SourceState) -> Together {
        let (stream, begin) = (self.lines[nth].stream, self.lines[nth].at);
        let mut text = self.lines[nth].payload.to_vec();
        let mut further = Vec::new();
        let mut after = nth + 1;
        while further.len() + 1 < MAX_JOINED {
            let found = self.lines[after..].iter().position(|line| line.stream == stream);
            let Some(next) = found.map(|at| after + at) else {
                after = self.lines.len();
                if (self.end() - begin) as u64 > MAX_JOINED_BYTES {
                    return Together::Alone;
                }
                if self.grow() {
                    continue;
                }
                let has_begun = self.bytes.len() > self.end();
                return match !self.is_cut && context.more_may_come(source, has_begun) {
                    true => Together::NeedMore,
                    false => Together::Alone,
                };
            };
            after = next + 1;
            let line = &self.lines[next];
            if (line.end_at() - begin) as u64 > MAX_JOINED_BYTES
                || !line.whole
                || !matches!(context.parser.parse(&line.payload), Parsed::Reject(_))
            {
                return Together::Alone;
            }
            text.push(b'\n');
            text.extend_from_slice(&line.payload);
            further.push(next);
            if !matches!(context.parser.parse(&text), Parsed::Reject(_)) {
                return Together::Record(text, further);
            }
        }
        Together::Alone
    }
}

fn left_out_or_reject(line: &Joined<'_>, reason: RejectReason) -> Fate {
    match line.stream {
        Some(OutputStream::Stderr) => Fate::LeftOut,
        _ => Fate::Reject(reason),
    }
}
