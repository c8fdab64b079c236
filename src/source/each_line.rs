//! Each line of some content, for those who only look: the same lines that are stored.

use std::borrow::Cow;
use std::io::{self, Read};

use crate::source::{Block, Envelope, Joined};
use crate::source::{Lines, MAX_LINE, TOO_LONG_KEPT};

use crate::source::BOUNDS;

/// A complete line.
pub(crate) struct EachLine<'a> {
    /// Its number among the physical lines, from 1 on, or that of its first piece.
    pub(crate) number: u64,
    /// Where it begins, or its first piece does.
    pub(crate) offset: u64,
    /// Its bytes, with its envelopes.
    pub(crate) raw: Cow<'a, [u8]>,
    /// What is in the envelopes, if the content has them and they can be opened.
    pub(crate) joined: Option<&'a Joined<'a>>,
    /// Whether it is longer than a line may be, so that `raw` is not all of it.
    pub(crate) too_long: bool,
}

/// Gives each complete line to `with`. `sealed`: nothing can be appended to the content, so that a
/// line that is still open at its end stays so.
///
/// # Errors
/// What the reader says.
pub(crate) fn each_line(
    reader: &mut dyn Read,
    envelope: Option<Envelope>,
    sealed: bool,
    mut with: impl FnMut(&EachLine<'_>),
) -> io::Result<()> {
    let mut lines = Lines::default();
    let mut passed = 0;
    loop {
        while step(&mut lines, envelope, false, &mut passed, &mut with) {}
        if lines.fill(reader)? == 0 {
            if sealed {
                step(&mut lines, envelope, true, &mut passed, &mut with);
            }
            return Ok(());
        }
    }
}

/// Takes a line, or a block of them; `false` if more is to be read first. `passed` counts physical
/// lines.
fn step(
    lines: &mut Lines,
    envelope: Option<Envelope>,
    sealed: bool,
    passed: &mut u64,
    with: &mut impl FnMut(&EachLine<'_>),
) -> bool {
    let bytes = lines.partial();
    let whole = bytes.len() <= MAX_LINE || memchr::memchr(b'\n', bytes).is_some();
    if let Some(envelope) = envelope.filter(|_| whole && !lines.is_skipping()) {
        let from = lines.offset();
        let read = if sealed { Block::last } else { Block::first };
        let Some(block) = read(envelope, bytes, BOUNDS) else { return false };
        for line in &block.lines {
            let mut raw = line.raw(bytes);
            let too_long = !line.whole && raw.len() > TOO_LONG_KEPT;
            if too_long {
                raw.to_mut().truncate(TOO_LONG_KEPT);
            }
            with(&EachLine {
                number: *passed + 1 + ends(&bytes[..line.at]),
                offset: from + line.at as u64,
                raw,
                joined: Some(line).filter(|line| line.stream.is_some()),
                too_long,
            });
        }
        *passed += ends(&bytes[..block.length]);
        let end = from + block.length as u64;
        lines.take(end);
        return true;
    }
    let Some(line) = lines.peek() else { return false };
    let end = line.end;
    *passed += 1;
    with(&EachLine {
        number: *passed,
        offset: line.offset,
        raw: Cow::Borrowed(line.bytes),
        joined: None,
        too_long: line.too_long,
    });
    lines.take(end);
    true
}

fn ends(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
