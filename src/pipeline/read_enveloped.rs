//! The same of a container's log, whose lines are in envelopes.
//!
//! A batch ends at the end of a block of physical lines (see [`Block`]), so that an offset never
//! stands between the pieces of a line. What the program wrote on its standard error and is no
//! access line is left out: it is Gunicorn's error log.

use crate::format::Parsed;
use crate::model::{Batch, RejectReason};
use crate::source::BOUNDS;
use crate::source::{Block, Envelope, Joined, OutputStream};
use crate::source::{Lines, MAX_LINE, TOO_LONG_KEPT};

use crate::pipeline::read_lines::{
    Limits, MAX_JOINED, MAX_JOINED_BYTES, ReadContext, Step, keep, too_long,
};

/// Takes physical lines that are whole lines and records, as nearly all of a log is.
pub(crate) fn run(
    lines: &mut Lines,
    reading: &ReadContext<'_>,
    envelope: Envelope,
    batch: &mut Batch,
    at: usize,
    limits: Limits,
) {
    if !lines.at_line_start() || lines.is_skipping() || reading.refused.is_some() {
        return;
    }
    let (bytes, from) = (lines.partial(), lines.offset());
    let mut passed = 0;
    while !limits.reached(batch) {
        let Some(length) = memchr::memchr(b'\n', &bytes[passed..]) else { break };
        let Some(piece) = envelope.open(&bytes[passed..passed + length]) else { break };
        if !piece.ends {
            break;
        }
        let payload = piece.payload.strip_suffix(b"\r").unwrap_or(&piece.payload);
        let offset = from + passed as u64;
        let parsed = reading.parser.parse(payload);
        if keep(reading, batch, at, offset, piece.time, parsed).is_some() {
            break;
        }
        passed += length + 1;
    }
    if passed > 0 {
        lines.take(from + passed as u64);
    }
}

/// Takes one block of lines, and further ones if a record goes on in them.
pub(crate) fn step(
    lines: &mut Lines,
    reading: &ReadContext<'_>,
    envelope: Envelope,
    batch: &mut Batch,
    at: usize,
    ended: bool,
) -> Step {
    if lines.is_skipping() {
        return too_long(lines, reading, batch, at);
    }
    let (fresh, from) = (lines.at_line_start(), lines.offset());
    let bytes = lines.partial();
    if !fresh && let Some(end @ (0 | 1)) = memchr::memchr(b'\n', bytes) {
        // The end of a line that was stored before its end was written.
        if end == 0 || bytes[0] == b'\r' {
            lines.take(from + end as u64 + 1);
            return Step::Took;
        }
    }
    let sealed = ended && reading.sealed;
    let group = Group::first(envelope, bytes);
    let Some(mut group) = group.or_else(|| Group::last(envelope, bytes).filter(|_| sealed)) else {
        return if bytes.len() > MAX_LINE && memchr::memchr(b'\n', bytes).is_none() {
            too_long(lines, reading, batch, at)
        } else if ended && reading.whole && fresh {
            last(lines, reading, envelope, batch, at)
        } else {
            Step::NeedMore
        };
    };
    let Some(fates) = group.fates(reading, ended) else { return Step::NeedMore };
    let refused = reading.refused.filter(|(refused, _)| *refused == from);
    for (line, fate) in group.lines.iter().zip(&fates) {
        let offset = from + line.at as u64;
        let reason = match (fate, refused) {
            // Of several lines that are stored together nobody knows which one the store refuses.
            (Fate::Record(_), Some((_, reason))) => RejectReason::RefusedByStore(reason.to_owned()),
            (Fate::Record(whole), _) => {
                let payload = whole.as_deref().unwrap_or(&line.payload);
                match keep(reading, batch, at, offset, line.time, reading.parser.parse(payload)) {
                    None => continue,
                    Some(reject) => reject.into(), // what was read once is read again
                }
            }
            (Fate::LeftOut, _) => {
                batch.spans[at].excluded += 1;
                batch.spans[at].lines += 1;
                continue;
            }
            (Fate::Reject(reason), _) => reason.clone(),
        };
        let raw = line.raw(bytes);
        let kept = if line.whole { raw.len() } else { raw.len().min(TOO_LONG_KEPT) };
        batch.push_reject(reading.file, offset, reading.now, &reason, &raw[..kept]);
        batch.spans[at].rejected += 1;
        batch.spans[at].lines += 1;
    }
    let taken = from + group.taken as u64;
    lines.take(taken);
    Step::Took
}

/// A last physical line without an end, in a file that is whole: a row if it can be read as one.
/// If it cannot, or a piece is open, that stays unread.
fn last(
    lines: &mut Lines,
    reading: &ReadContext<'_>,
    envelope: Envelope,
    batch: &mut Batch,
    at: usize,
) -> Step {
    let (offset, end) = (lines.offset(), lines.read_to());
    let bytes = lines.partial();
    let piece = envelope.open(bytes).filter(|piece| piece.ends);
    let Some(piece) = piece.filter(|_| memchr::memchr(b'\n', bytes).is_none()) else {
        return Step::NeedMore;
    };
    let payload = piece.payload.strip_suffix(b"\r").unwrap_or(&piece.payload);
    let parsed = reading.parser.parse(payload);
    if keep(reading, batch, at, offset, piece.time, parsed).is_some() {
        return Step::NeedMore;
    }
    lines.take(end);
    Step::Took
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
}

/// What came of looking for the lines behind one that cannot be read.
enum Together {
    /// They are one record: its text, and which lines.
    Record(Vec<u8>, Vec<usize>),
    Alone,
    NeedMore,
}

impl<'a> Group<'a> {
    fn first(envelope: Envelope, bytes: &'a [u8]) -> Option<Self> {
        Block::first(envelope, bytes, BOUNDS).map(|block| Self::of(envelope, bytes, block))
    }

    /// The same where nothing comes behind `bytes`.
    fn last(envelope: Envelope, bytes: &'a [u8]) -> Option<Self> {
        Block::last(envelope, bytes, BOUNDS).map(|block| Self::of(envelope, bytes, block))
    }

    fn of(envelope: Envelope, bytes: &'a [u8], block: Block<'a>) -> Self {
        Self { envelope, bytes, lines: block.lines, ends: vec![block.length], taken: 0 }
    }

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

    /// The end of the block in which the line stands.
    fn end_of(&self, line: usize) -> usize {
        let at = self.lines[line].at;
        self.ends.iter().copied().find(|end| *end > at).unwrap_or(0)
    }

    /// Finds out what the lines of the first block become, and of those behind it that belong to a
    /// record of it. `None` if the rest of a record may be on its way.
    fn fates(&mut self, reading: &ReadContext<'_>, ended: bool) -> Option<Vec<Fate>> {
        let mut fates: Vec<Option<Fate>> = Vec::new();
        self.taken = self.end();
        let mut nth = 0;
        while self.lines.get(nth).is_some_and(|line| line.at < self.taken) {
            fates.resize_with(self.lines.len().max(fates.len()), || None);
            if fates[nth].is_none() {
                fates[nth] = Some(match self.alone(reading, nth) {
                    Err(fate) => fate,
                    Ok(reason) => match self.together(reading, nth, ended) {
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

    /// What a line becomes by itself; if that is not settled, why it cannot be read.
    fn alone(&self, reading: &ReadContext<'_>, nth: usize) -> Result<RejectReason, Fate> {
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
        match reading.parser.parse(&line.payload) {
            Parsed::Reject(reason) => Ok(reason.into()),
            _ => Err(Fate::Record(None)),
        }
    }

    /// Tries to read a line together with those of its stream behind it.
    fn together(&mut self, reading: &ReadContext<'_>, nth: usize, ended: bool) -> Together {
        let (stream, begin) = (self.lines[nth].stream, self.lines[nth].at);
        let mut text = self.lines[nth].payload.to_vec();
        let mut further = Vec::new();
        let mut behind = nth + 1;
        while further.len() + 1 < MAX_JOINED {
            let found = self.lines[behind..].iter().position(|line| line.stream == stream);
            let Some(next) = found.map(|at| behind + at) else {
                behind = self.lines.len();
                if (self.end() - begin) as u64 > MAX_JOINED_BYTES {
                    return Together::Alone;
                }
                if self.grow() {
                    continue;
                }
                // The rest of the record may be on its way: a worker writes all of it at once.
                let more_comes = !ended || (!reading.whole && self.bytes.len() > self.end());
                return if more_comes { Together::NeedMore } else { Together::Alone };
            };
            behind = next + 1;
            let line = &self.lines[next];
            if (line.end_at() - begin) as u64 > MAX_JOINED_BYTES
                || !line.whole
                || !matches!(reading.parser.parse(&line.payload), Parsed::Reject(_))
            {
                return Together::Alone;
            }
            text.push(b'\n');
            text.extend_from_slice(&line.payload);
            further.push(next);
            if !matches!(reading.parser.parse(&text), Parsed::Reject(_)) {
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
