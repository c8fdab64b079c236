//! Lines that are too long to be read as one: passed over, in turns, and hashed on the way.

use crate::model::Position;
use crate::source::digest::Hasher;

use super::{Line, Lines};

/// Of a longer line, this many of its first bytes are kept for the reject (64 KiB).
pub const TOO_LONG_KEPT: usize = 64 << 10;

/// A line that grew past [`MAX_LINE`] and has not ended yet.
#[derive(Clone, Debug)]
pub(super) struct TooLong {
    /// Where it begins: its bytes are passed by before anybody takes it.
    pub(super) begin: Position,
    pub(super) kept: Vec<u8>,
    /// Where its end was found.
    pub(super) end: Option<u64>,
}

/// A line that is too long and has not ended yet, and how far it was passed over: so that other
/// files have their turn meanwhile, and none of it is read again when it grows.
#[derive(Clone, Debug)]
pub struct SkippedLine {
    line: TooLong,
    passed: u64,
    /// Knows all bytes before `passed`.
    hasher: Option<Hasher>,
}

impl SkippedLine {
    /// Offset of the line's first byte.
    pub fn offset(&self) -> u64 {
        self.line.begin.offset
    }

    /// Offset behind the last byte that was passed over.
    pub fn passed(&self) -> u64 {
        self.passed
    }
}

impl Lines {
    /// Leaves a line that is too long and has not ended yet, if there is one.
    pub fn pause_skipping(&mut self) -> Option<SkippedLine> {
        self.hash();
        let (passed, hasher) = (self.read_to(), self.hasher.clone());
        let line = self.too_long.take_if(|line| line.end.is_none())?;
        Some(SkippedLine { line, passed, hasher })
    }

    /// Goes on with a line that is too long, with `history` as the bytes just before
    /// [`SkippedLine::passed`].
    pub fn resume_skipping(&mut self, skipped_line: SkippedLine, history: &[u8]) {
        self.reset(&Position { offset: skipped_line.passed, ..Position::default() }, history);
        self.hasher = skipped_line.hasher;
        self.too_long = Some(skipped_line.line);
    }

    /// Whether a line that is too long is being passed over.
    pub fn is_skipping(&self) -> bool {
        self.too_long.is_some()
    }

    /// Looks for the end of a line that is too long, and forgets its bytes on the way.
    pub(super) fn peek_too_long(&mut self) -> Option<Line<'_>> {
        let line = self.too_long.as_mut()?;
        if line.end.is_none() {
            let unread = &self.buffer[self.start..self.filled];
            let found = memchr::memchr(b'\n', unread);
            let passed = found.map_or(unread.len(), |at| at + 1);
            self.start += passed;
            self.offset += passed as u64;
            self.searched = 0;
            line.end = found.map(|_| self.offset);
        }
        let end = line.end?;
        Some(Line { offset: line.begin.offset, bytes: &line.kept, end, too_long: true })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::all;
    use super::super::{MAX_LINE, READ_SIZE};
    use super::*;
    use crate::source::fingerprint::{TAIL_FINGERPRINT_LENGTH, print};

    #[test]
    fn a_line_past_the_limit_is_passed_over_in_bounded_memory() {
        let mut source = vec![b'x'; 3 * MAX_LINE];
        source.extend_from_slice(b"\nafter\n");
        let mut lines = Lines::default();
        lines.reset(&Position::default(), b"");
        let seen = all(&mut lines, &source);
        assert_eq!(seen.len(), 2);
        assert_eq!((seen[0].0, seen[0].1.len(), seen[0].2), (0, TOO_LONG_KEPT, true));
        assert_eq!(seen[1], (3 * MAX_LINE as u64 + 1, "after".into(), false));
        assert!(lines.buffer.len() < MAX_LINE + 4 * READ_SIZE);
    }

    #[test]
    fn a_line_past_the_limit_can_be_left_and_gone_on_with() {
        let mut source = b"before\n".to_vec();
        source.resize(2 * MAX_LINE, b'x');
        let half = source.len();
        source.resize(3 * MAX_LINE, b'x');
        source.extend_from_slice(b"\nafter\n");
        let mut lines = Lines::default();
        lines.reset(&Position::default(), b"");
        all(&mut lines, &source[..half]);
        assert!(lines.is_skipping());
        assert_eq!(
            (lines.offset(), lines.position().tail_fingerprint),
            (7, Some(print(b"before\n")))
        );
        let skipped_line = lines.pause_skipping().unwrap();
        assert_eq!((skipped_line.offset(), skipped_line.passed()), (7, half as u64));
        lines.reset(&Position::default(), b""); // another file's turn
        lines.resume_skipping(skipped_line, &source[half - TAIL_FINGERPRINT_LENGTH..half]);
        let seen = all(&mut lines, &source[half..]);
        assert_eq!((seen[0].0, seen[0].1.len(), seen[0].2), (7, TOO_LONG_KEPT, true));
        assert_eq!(seen[1], (3 * MAX_LINE as u64 + 1, "after".into(), false));
        let sum: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&source).into();
        assert_eq!(lines.position().digest.unwrap().sum, sum);
        assert_eq!(
            lines.tail_fingerprint(),
            Some(print(&source[source.len() - TAIL_FINGERPRINT_LENGTH..]))
        );
    }
}
