//! Lines that are looked at together before they are read one by one.
//!
//! Whether bytes are UTF-8, and whether there is a NUL or a backslash among them, is asked of some
//! forty lines at once. Asked of each line by itself it is an eighth of the steps of reading it, and
//! more than half of those only begin and end.

/// How many bytes are looked at together (8 KiB): small enough that they are still at hand when
/// they are read, and that looking at them again, behind a line that is no record, costs little.
const SIZE: usize = 8 << 10;

/// One line, known to be UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextLine<'a> {
    pub(super) text: &'a str,
    /// Whether it holds NUL, a newline or a backslash. May be set if it does not.
    pub(super) odd: bool,
}

impl<'a> TextLine<'a> {
    /// Looks at a line by itself; `None` if it is not UTF-8.
    #[inline]
    pub(super) fn of(line: &'a [u8]) -> Option<TextLine<'a>> {
        let text = std::str::from_utf8(line).ok()?;
        Some(TextLine { text, odd: memchr::memchr3(0, b'\n', b'\\', line).is_some() })
    }
}

/// Complete lines next to each other, all of them UTF-8; gives them one by one, each with the bytes
/// that it takes together with its end.
#[derive(Clone, Debug)]
pub struct Chunk<'a> {
    rest: &'a str,
    odd: bool,
}

impl<'a> Chunk<'a> {
    /// The first few of the complete lines in `bytes`; none if they are not all UTF-8, or if the
    /// first is long. Such lines are for [`super::LineParser::parse`].
    pub fn of(bytes: &'a [u8]) -> Chunk<'a> {
        let bytes = &bytes[..bytes.len().min(SIZE)];
        let whole = memchr::memrchr(b'\n', bytes).map_or(0, |last| last + 1);
        let rest = std::str::from_utf8(&bytes[..whole]).unwrap_or_default();
        Chunk { rest, odd: memchr::memchr2(0, b'\\', rest.as_bytes()).is_some() }
    }
}

impl<'a> Iterator for Chunk<'a> {
    type Item = (TextLine<'a>, usize);

    /// A line ends at `\n`, and one `\r` before it belongs to the end.
    #[inline]
    fn next(&mut self) -> Option<(TextLine<'a>, usize)> {
        let length = memchr::memchr(b'\n', self.rest.as_bytes())?;
        let (line, rest) = self.rest.split_at_checked(length + 1)?;
        self.rest = rest;
        let line = &line[..length];
        let text = line.strip_suffix('\r').unwrap_or(line);
        Some((TextLine { text, odd: self.odd }, length + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Exclusions, LineParser, Mask, Template};

    fn texts(bytes: &[u8]) -> Vec<(&str, bool, usize)> {
        Chunk::of(bytes).map(|(line, length)| (line.text, line.odd, length)).collect()
    }

    #[test]
    fn a_chunk_is_whole_lines() {
        assert_eq!(
            texts(b"a\nb\r\n\nc\r\r\nd"),
            [("a", false, 2), ("b", false, 3), ("", false, 1), ("c\r", false, 4),]
        );
        assert_eq!(texts(b"a"), []);
        assert_eq!(texts("ä\nb\\\n".as_bytes()), [("ä", true, 3), ("b\\", true, 3)]);
        assert_eq!(texts(b"a\n\xff\n"), []);
        assert_eq!(texts(b"a\n\xff"), [("a", false, 2)]);
        assert_eq!(texts(b"a\0\n"), [("a\0", true, 3)]);
    }

    #[test]
    fn lines_become_the_same_together_and_alone() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/corpus");
        for name in ["default", "forwarded-for-first", "json-template"] {
            let format = std::fs::read_to_string(format!("{root}/{name}/format.txt")).unwrap();
            let log = std::fs::read(format!("{root}/{name}/access.log")).unwrap();
            let template = Template::compile(format.trim_end()).unwrap();
            let parser = LineParser::new(template, Mask::default(), Exclusions::default());
            let (mut at, mut together) = (0, 0);
            while at < log.len() {
                let from = at;
                for (line, length) in Chunk::of(&log[from..]) {
                    let alone = &log[at..at + length - 1];
                    let alone = alone.strip_suffix(b"\r").unwrap_or(alone);
                    assert_eq!(parser.parse_text(line), parser.parse(alone), "{name}, byte {at}");
                    at += length;
                    together += 1;
                }
                if at == from {
                    at += memchr::memchr(b'\n', &log[at..]).unwrap() + 1; // not UTF-8, or long
                }
            }
            assert!(together > 100, "{name}");
        }
    }

    #[test]
    fn a_chunk_has_an_end() {
        let lines = "0123456\n".repeat(SIZE);
        assert_eq!(texts(lines.as_bytes()).len(), SIZE / 8);
        assert_eq!(texts(&[&[b'x'; SIZE], b"\n".as_slice()].concat()), []);
    }
}
