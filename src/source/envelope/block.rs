//! Pieces become lines again.
//!
//! Two streams are written into one file, so that a line of the other one may stand between the
//! pieces of a line. A block begins where no stream has an open piece and ends where none has one
//! again: nearly always that is one physical line. A file is read block by block, and nobody stops
//! within one, so that what a block gives depends on its own bytes alone: a restart, a check and a
//! verification see the same lines.
//!
//! A program may leave a line open for as long as it likes. So a block that grows too long, or in
//! which an open line has waited for its next piece for too long, is ended before the next physical
//! line ([`Bounds`]). What comes behind is another block, and the rest of an open
//! line another line.

use std::borrow::Cow;
use std::ops::Range;

use super::{Envelope, OutputStream};
use crate::model::Micros;

/// When a block is ended whatever is open in it, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The most that a block has, unless its first physical line alone has more.
    pub most: usize,
    /// The most that may stand behind a piece before the next of its line begins.
    pub gap: usize,
}

/// Physical lines whose lines are complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// Lines, in the order of their first pieces.
    pub lines: Vec<Joined<'a>>,
    /// Bytes of the block, the last newline among them.
    pub length: usize,
}

/// What a program wrote as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined<'a> {
    /// Where its first piece begins.
    pub at: usize,
    /// Where the program wrote it; `None` if the physical line has no envelope.
    pub stream: Option<OutputStream>,
    /// When the runtime read its first piece; 0 without an envelope.
    pub time: Micros,
    /// What was written, without its end; of a physical line without an envelope that line.
    pub payload: Cow<'a, [u8]>,
    /// Whether its end is among its pieces; `false` if the block was ended before, or its file.
    pub whole: bool,
    /// Its physical lines, without their newlines.
    pieces: Vec<Range<usize>>,
}

impl<'a> Block<'a> {
    /// The first block of `bytes`, which begin where no piece is open. `None` if it is not complete
    /// yet.
    pub fn first(envelope: Envelope, bytes: &'a [u8], bounds: Bounds) -> Option<Block<'a>> {
        Self::read(envelope, bytes, bounds, false)
    }

    /// The same where nothing will come behind `bytes`: a block ends with its last physical line,
    /// unless nothing but an open line, or two, is in it.
    pub fn last(envelope: Envelope, bytes: &'a [u8], bounds: Bounds) -> Option<Block<'a>> {
        Self::read(envelope, bytes, bounds, true)
    }

    fn read(
        envelope: Envelope,
        bytes: &'a [u8],
        bounds: Bounds,
        sealed: bool,
    ) -> Option<Block<'a>> {
        let mut lines: Vec<Joined<'a>> = Vec::with_capacity(1);
        // Of each stream, the line that is open.
        let mut open: [Option<usize>; 2] = [None; 2];
        let mut at = 0;
        loop {
            let found = memchr::memchr(b'\n', &bytes[at..]).map(|length| at + length);
            let length = found.map_or(bytes.len(), |end| end + 1);
            let opened = open.into_iter().flatten();
            let waits_from = opened.clone().map(|line| lines[line].end_at()).min().unwrap_or(at);
            let ended = at > 0 && (length > bounds.most || at - waits_from > bounds.gap);
            let all_open = opened.clone().count() == lines.len();
            if ended || (sealed && found.is_none() && !all_open) {
                opened.for_each(|line| lines[line].whole = false);
                return Some(Block { lines, length: at });
            }
            let range = at..found?;
            let line = &bytes[range.clone()];
            match envelope.open(line) {
                None => {
                    lines.push(Joined {
                        at,
                        stream: None,
                        time: 0,
                        payload: Cow::Borrowed(line),
                        whole: true,
                        pieces: vec![range],
                    });
                }
                Some(piece) => {
                    let of_stream = &mut open[piece.stream as usize];
                    let nth = of_stream.take();
                    if !piece.ends {
                        *of_stream = Some(nth.unwrap_or(lines.len()));
                    }
                    match nth {
                        Some(nth) => {
                            lines[nth].payload.to_mut().extend_from_slice(&piece.payload);
                            lines[nth].pieces.push(range);
                        }
                        None => lines.push(Joined {
                            at,
                            stream: Some(piece.stream),
                            time: piece.time,
                            payload: piece.payload,
                            whole: true,
                            pieces: vec![range],
                        }),
                    }
                    let last = lines.len() - 1;
                    if piece.ends {
                        lines[nth.unwrap_or(last)].end();
                    }
                }
            }
            at = length;
            if open == [None; 2] {
                return Some(Block { lines, length });
            }
        }
    }
}

impl Joined<'_> {
    /// One `\r` before the end belongs to it.
    fn end(&mut self) {
        if self.payload.ends_with(b"\r") {
            match &mut self.payload {
                Cow::Borrowed(payload) => *payload = &payload[..payload.len() - 1],
                Cow::Owned(payload) => payload.truncate(payload.len() - 1),
            }
        }
    }

    /// Where its last piece ends; `bytes` begin where the block does.
    pub fn end_at(&self) -> usize {
        self.pieces.last().map_or(self.at, |piece| piece.end)
    }

    /// How many bytes its pieces have.
    pub fn raw_length(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len() + 1).sum::<usize>() - 1
    }

    /// The exact bytes of its pieces, a newline between each, out of those of the block.
    pub fn raw<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        let mut pieces = self.pieces.iter().map(|piece| &bytes[piece.clone()]);
        let first = Cow::Borrowed(pieces.next().unwrap_or_default());
        pieces.fold(first, |mut raw, piece| {
            raw.to_mut().push(b'\n');
            raw.to_mut().extend_from_slice(piece);
            raw
        })
    }

    /// The same line `by` bytes later, of a block that is not the first.
    #[must_use]
    pub fn moved(mut self, by: usize) -> Self {
        self.at += by;
        for piece in &mut self.pieces {
            *piece = piece.start + by..piece.end + by;
        }
        self
    }

    /// Without what it borrows.
    #[must_use]
    pub fn into_owned(self) -> Joined<'static> {
        let Joined { at, stream, time, payload, whole, pieces } = self;
        Joined { at, stream, time, payload: Cow::Owned(payload.into_owned()), whole, pieces }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Bounds = Bounds { most: 1 << 20, gap: 1 << 20 };

    fn cri(rest: &str) -> String {
        format!("2016-10-06T00:17:09.669794202Z {rest}\n")
    }

    fn lines<'a>(block: &'a Block<'_>) -> Vec<(usize, &'a str, bool)> {
        block
            .lines
            .iter()
            .map(|line| (line.at, std::str::from_utf8(&line.payload).unwrap(), line.whole))
            .collect()
    }

    #[test]
    fn pieces_of_two_streams_become_lines_with_the_offsets_of_their_first_pieces() {
        let text = [
            cri("stdout P a\r"),
            cri("stderr F noise"),
            "broken\r\n".to_owned(),
            cri("stderr P more"),
            cri("stdout F b\r"),
            cri("stderr F  noise"),
            cri("stdout F next"),
        ];
        let starts: Vec<usize> =
            (0..text.len()).map(|nth| text[..nth].iter().map(String::len).sum()).collect();
        let text = text.concat();
        let bytes = text.as_bytes();
        let block = Block::first(Envelope::Cri, bytes, WIDE).unwrap();
        assert_eq!(
            lines(&block),
            [
                (0, "a\rb", true),
                (starts[1], "noise", true),
                (starts[2], "broken\r", true),
                (starts[3], "more noise", true)
            ]
        );
        assert_eq!(block.length, starts[6]);
        assert_eq!(block.lines[2].stream, None);
        let raw = format!("{}{}", cri("stdout P a\r"), cri("stdout F b\r"));
        assert_eq!(block.lines[0].raw(bytes), raw.strip_suffix('\n').unwrap().as_bytes());
        let again = Envelope::Cri.unpack(&block.lines[0].raw(bytes)).unwrap();
        assert_eq!(again.payload, block.lines[0].payload);
        assert_eq!(Block::first(Envelope::Cri, &bytes[..starts[5]], WIDE), None);
    }

    #[test]
    fn a_block_that_is_too_long_ends_before_the_line_that_makes_it_so() {
        let text = [cri("stdout P a"), cri("stderr F b"), cri("stderr F c"), cri("stdout F d")];
        let (two, text) = (text[0].len() + text[1].len(), text.concat());
        let right = [(0, "a", false), (text.len() / 4, "b", true)];
        for most in two..two + 20 {
            let bounds = Bounds { most, ..WIDE };
            let block = Block::first(Envelope::Cri, text.as_bytes(), bounds).unwrap();
            assert_eq!((lines(&block), block.length), (right.to_vec(), two));
            // It is so before the end of that line is known.
            assert_eq!(Block::first(Envelope::Cri, &text.as_bytes()[..=most], bounds), Some(block));
        }
        let gap = two - text.len() / 4;
        let bounds = Bounds { gap, ..WIDE };
        let block = Block::first(Envelope::Cri, text.as_bytes(), bounds).unwrap();
        assert_eq!((lines(&block), block.length), (right.to_vec(), two));
        let alone = cri("stdout F a");
        let narrow = Bounds { most: 1, gap: 1 };
        assert!(Block::first(Envelope::Cri, alone.as_bytes(), narrow).is_some());
        assert_eq!(Block::first(Envelope::Cri, &alone.as_bytes()[..9], narrow), None);
    }

    #[test]
    fn what_will_not_go_on_ends_a_block_unless_only_open_lines_are_in_it() {
        let text = [cri("stdout P a"), cri("stderr P b"), cri("stderr F c"), cri("stdout P d")];
        let text = text.concat();
        let bytes = text.as_bytes();
        assert_eq!(Block::first(Envelope::Cri, bytes, WIDE), None);
        for cut in [0, 1, 20] {
            let block = Block::last(
                Envelope::Cri,
                &[bytes, &b"2016-10-06T00:17:09.6"[..cut]].concat(),
                WIDE,
            )
            .map(|block| (block.length, block.lines.len(), block.lines[0].whole));
            assert_eq!(block, Some((text.len(), 2, false)));
        }
        let two = text.len() / 2;
        assert_eq!(Block::last(Envelope::Cri, &bytes[..two], WIDE), None);
    }
}
