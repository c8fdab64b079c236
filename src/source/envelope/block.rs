//! Joins pieces to lines.
//!
//! Two streams are written into one file, so a line of one stream may stand between the pieces of
//! a line of the other. A block begins where no stream has an open piece and ends where none has
//! one again. Nearly always that is one physical line. A file is read block by block, and reading
//! never stops within a block. So the lines of a block depend on its own bytes only: a restart,
//! `check` and `verify` see the same lines.
//!
//! A program may leave a line open for any time. So a block ends before the next physical line if
//! it grows too long, or if an open line has waited too long for its next piece ([`Bounds`]). What
//! follows is another block, and the rest of an open line is another line.

use std::borrow::Cow;
use std::ops::Range;

use super::{Envelope, OutputStream};
use crate::model::Micros;

/// The limits at which a block is ended even if a line is open in it, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The maximum length of a block, unless its first physical line alone is longer.
    pub most: usize,
    /// The maximum distance from a piece to the next piece of its line.
    pub gap: usize,
}

/// Physical lines whose lines are complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// The lines, in the order of their first pieces.
    pub lines: Vec<Joined<'a>>,
    /// The length of the block in bytes, including the last newline.
    pub length: usize,
}

/// What a program wrote as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined<'a> {
    /// The offset of its first piece in the block.
    pub at: usize,
    /// The stream that the program wrote to; `None` if the physical line has no envelope.
    pub stream: Option<OutputStream>,
    /// When the runtime read its first piece; 0 without an envelope.
    pub time: Micros,
    /// What the program wrote, without the line's end. Without an envelope, the physical line
    /// itself.
    pub payload: Cow<'a, [u8]>,
    /// Whether the line's end is among its pieces. `false` if the block or the file ended before.
    pub whole: bool,
    /// Its physical lines, without their newlines.
    pieces: Vec<Range<usize>>,
}

/// Whether more bytes may follow those at hand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    MayGrow,
    Final,
    Cut,
}

impl<'a> Block<'a> {
    /// Returns the first block of `bytes`, which must begin where no piece is open. Returns `None`
    /// if the block is not complete yet.
    pub fn first(envelope: Envelope, bytes: &'a [u8], bounds: Bounds) -> Option<Block<'a>> {
        Self::read(envelope, bytes, bounds, End::MayGrow)
    }

    /// Returns the first block of `bytes` to which nothing will be appended. The block ends with
    /// the last physical line, unless it holds open lines only.
    pub fn last(envelope: Envelope, bytes: &'a [u8], bounds: Bounds) -> Option<Block<'a>> {
        Self::read(envelope, bytes, bounds, End::Final)
    }

    /// Returns the first block of `bytes`, which end with a physical line, and after which no piece of
    /// their lines follows. The block ends there even if it holds open lines only.
    pub fn cut(envelope: Envelope, bytes: &'a [u8], bounds: Bounds) -> Option<Block<'a>> {
        Self::read(envelope, bytes, bounds, End::Cut)
    }

    fn read(envelope: Envelope, bytes: &'a [u8], bounds: Bounds, end: End) -> Option<Block<'a>> {
        let mut lines: Vec<Joined<'a>> = Vec::with_capacity(1);
        // The open line of each stream.
        let mut open: [Option<usize>; 2] = [None; 2];
        let mut at = 0;
        loop {
            let found = memchr::memchr(b'\n', &bytes[at..]).map(|length| at + length);
            let length = found.map_or(bytes.len(), |end| end + 1);
            let opened = open.into_iter().flatten();
            let waits_from = opened.clone().map(|line| lines[line].end_at()).min().unwrap_or(at);
            let ended = at > 0 && (length > bounds.most || at - waits_from > bounds.gap);
            let all_open = opened.clone().count() == lines.len();
            let is_last = match end {
                End::MayGrow => false,
                End::Final => !all_open,
                End::Cut => at > 0,
            };
            if ended || (is_last && found.is_none()) {
                opened.for_each(|line| lines[line].whole = false);
                return Some(Block { lines, length: at });
            }
            let range = at..found?;
            let line = &bytes[range.clone()];
            let (stream, time, payload, ends) = match envelope.open(line) {
                None => (None, 0, Cow::Borrowed(line), true),
                Some(piece) => (Some(piece.stream), piece.time, piece.payload, piece.ends),
            };
            let nth = stream.and_then(|stream| open[stream as usize].take());
            match nth {
                Some(nth) => {
                    lines[nth].payload.to_mut().extend_from_slice(&payload);
                    lines[nth].pieces.push(range);
                }
                None => {
                    let pieces = vec![range];
                    lines.push(Joined { at, stream, time, payload, whole: true, pieces });
                }
            }
            let nth = nth.unwrap_or(lines.len() - 1);
            match stream {
                Some(_) if ends => lines[nth].strip_return(),
                Some(stream) => open[stream as usize] = Some(nth),
                None => {}
            }
            at = length;
            if open == [None; 2] {
                return Some(Block { lines, length });
            }
        }
    }
}

impl Joined<'_> {
    /// Removes one `\r` at the end of the line.
    fn strip_return(&mut self) {
        if self.payload.ends_with(b"\r") {
            match &mut self.payload {
                Cow::Borrowed(payload) => *payload = &payload[..payload.len() - 1],
                Cow::Owned(payload) => payload.truncate(payload.len() - 1),
            }
        }
    }

    /// Returns the offset in the block at which the last piece ends.
    pub fn end_at(&self) -> usize {
        self.pieces.last().map_or(self.at, |piece| piece.end)
    }

    /// Returns the offset in the block after the newline of a line in one piece; `None` if it has several, or its
    /// end is missing.
    pub fn end_of_one_piece(&self) -> Option<usize> {
        match &self.pieces[..] {
            [piece] if self.whole => Some(piece.end + 1),
            _ => None,
        }
    }

    /// Returns the length in bytes of the pieces, with a newline between each.
    pub fn raw_length(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len() + 1).sum::<usize>() - 1
    }

    /// Returns the exact bytes of the pieces, with a newline between each. `bytes` are those of the
    /// block.
    pub fn raw<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        let mut pieces = self.pieces.iter().map(|piece| &bytes[piece.clone()]);
        let first = Cow::Borrowed(pieces.next().unwrap_or_default());
        pieces.fold(first, |mut raw, piece| {
            raw.to_mut().push(b'\n');
            raw.to_mut().extend_from_slice(piece);
            raw
        })
    }

    /// Returns the same line with offsets `by` bytes larger, for a block that does not begin at
    /// offset 0.
    #[must_use]
    pub fn moved(mut self, by: usize) -> Self {
        self.at += by;
        for piece in &mut self.pieces {
            *piece = piece.start + by..piece.end + by;
        }
        self
    }

    /// Returns the line with owned bytes.
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
    fn a_block_that_is_cut_ends_with_its_open_lines() {
        let bytes = cri("stdout P half ") + &cri("stderr F other");
        let block = Block::cut(Envelope::Cri, bytes.as_bytes(), WIDE).unwrap();
        assert_eq!(block.length, bytes.len());
        assert_eq!(lines(&block).iter().map(|line| line.2).collect::<Vec<_>>(), [false, true]);
        let open = cri("stdout P half ");
        assert_eq!(Block::last(Envelope::Cri, open.as_bytes(), WIDE), None);
        let block = Block::cut(Envelope::Cri, open.as_bytes(), WIDE).unwrap();
        assert_eq!(lines(&block), [(0, "half ", false)]);
        assert_eq!(Block::cut(Envelope::Cri, b"", WIDE), None);
    }

    #[test]
    fn pieces_of_two_streams_are_joined_to_lines() {
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
    fn a_block_ends_before_the_line_that_makes_it_too_long() {
        let text = [cri("stdout P a"), cri("stderr F b"), cri("stderr F c"), cri("stdout F d")];
        let (two, text) = (text[0].len() + text[1].len(), text.concat());
        let right = [(0, "a", false), (text.len() / 4, "b", true)];
        for most in two..two + 20 {
            let bounds = Bounds { most, ..WIDE };
            let block = Block::first(Envelope::Cri, text.as_bytes(), bounds).unwrap();
            assert_eq!((lines(&block), block.length), (right.to_vec(), two));
            // The limit applies before the end of that line is known.
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
    fn the_end_of_a_file_ends_a_block_unless_it_holds_open_lines_only() {
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
