//! Sinks that only look at lines. [`read_lines`](super::read_lines) has the sink of a batch.

use std::collections::VecDeque;

use crate::format::{LineParser, Parsed};
use crate::model::RejectReason;
use crate::pipeline::read_lines::{LineSink, LogLine, Record};

/// Counts lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counter {
    /// Lines that would become rows.
    pub(crate) rows: u64,
    /// Lines that would become rejects.
    pub(crate) rejected: u64,
    /// Lines that would be left out.
    pub(crate) excluded: u64,
}

impl Counter {
    /// Returns the number of lines, whatever they would become.
    pub(crate) fn lines(&self) -> u64 {
        self.rows + self.rejected + self.excluded
    }
}

impl LineSink for Counter {
    fn record(&mut self, _: &LogLine<'_>, _: Record<'_>) {
        self.rows += 1;
    }

    fn reject(&mut self, _: &LogLine<'_>, _: &RejectReason) {
        self.rejected += 1;
    }

    fn excluded(&mut self, _: &LogLine<'_>) {
        self.excluded += 1;
    }
}

/// Keeps the last lines, but for those that are left out: these leave nothing in the store.
#[derive(Debug)]
pub(crate) struct LastLines {
    most: usize,
    lines: VecDeque<LastLine>,
}

/// A line that was kept.
#[derive(Debug, Default)]
pub(crate) struct LastLine {
    /// Offset of its first byte in the logical file.
    pub(crate) offset: u64,
    /// Its bytes, as a reject keeps them.
    pub(crate) raw: Vec<u8>,
    text: Vec<u8>,
    is_record: bool,
}

impl LastLines {
    /// Keeps at most `most` lines.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, lines: VecDeque::with_capacity(most) }
    }

    /// Returns the lines, the last one first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &LastLine> {
        self.lines.iter().rev()
    }

    fn push(&mut self, line: &LogLine<'_>, is_record: bool) {
        let mut last = match self.lines.len() < self.most {
            true => LastLine::default(),
            false => self.lines.pop_front().unwrap_or_default(),
        };
        last.offset = line.offset;
        line.raw().as_ref().clone_into(&mut last.raw);
        line.text.clone_into(&mut last.text);
        last.is_record = is_record;
        self.lines.push_back(last);
    }
}

impl LastLine {
    /// Reads the record once more; `None` of a reject. `parser` is the one that it was read by.
    pub(crate) fn record<'a>(&'a self, parser: &'a LineParser) -> Option<Parsed<'a>> {
        self.is_record.then(|| parser.parse(&self.text))
    }
}

impl LineSink for LastLines {
    fn record(&mut self, line: &LogLine<'_>, _: Record<'_>) {
        self.push(line, true);
    }

    fn reject(&mut self, line: &LogLine<'_>, _: &RejectReason) {
        self.push(line, false);
    }

    fn excluded(&mut self, _: &LogLine<'_>) {}
}
