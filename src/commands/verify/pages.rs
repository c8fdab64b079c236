//! The stored part of a file, read again page by page.

use std::sync::Arc;

use anyhow::Context;

use crate::model::{Batch, Checkpoint, Position};
use crate::source::Lines;
use crate::store::FileReport;

use crate::commands::verify::window::Window;
use crate::pipeline::file_format::Format;
use crate::pipeline::read_lines::{
    BatchTarget, Completeness, Limits, ReadContext, Stop, fill_batch,
};
use crate::source::whole_file::Source;

/// The most that one page holds: small enough that both sides of it fit into little memory.
const PAGE: Limits = Limits { lines: 4096, weight: 4 << 20, repeats: 16_384, days: usize::MAX };

/// Bytes of the file for one page (1 MiB).
const PAGE_BYTES: u64 = 1 << 20;

/// Rows in the store that are asked for beyond a page's lines: the first of them is reported.
const SURPLUS: u64 = 1000;

/// A file's lines, as far as they are stored.
pub(crate) struct Pages<'a> {
    pub(crate) window: Window,
    source: &'a Source,
    known: &'a Checkpoint,
    lines: Lines,
    target: BatchTarget,
}

/// One page, whose lines are in a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageRange {
    /// The offset of its first byte.
    pub(crate) from: u64,
    /// The offset of its first line. Within NULs that take several pages, it stays before them.
    pub(crate) first_line: u64,
    /// The offset after its last line.
    pub(crate) to: u64,
    /// How many lines it has.
    pub(crate) lines: u64,
    pub(crate) is_last: bool,
}

impl PageRange {
    /// Returns how many stored lines are asked for, of each table.
    pub(crate) fn limit(&self) -> u32 {
        u32::try_from(self.lines + SURPLUS).unwrap_or(u32::MAX)
    }
}

impl<'a> Pages<'a> {
    /// Begins with the first line of the file.
    ///
    /// # Errors
    /// A source that cannot be read.
    pub(crate) fn of(source: &'a Source, report: &'a FileReport) -> anyhow::Result<Self> {
        let known = &report.checkpoint;
        let first_offset = known.first_offset;
        let window = tokio::task::block_in_place(|| {
            let reader = source.reader(&Arc::default())?;
            Window::new(reader, first_offset, known.held_to(), known.nul_runs.clone())
        });
        let mut lines = Lines::default();
        let begin = Position { offset: first_offset, first_offset, ..Position::default() };
        lines.reset(&begin, b"");
        lines.expect_nul_runs(known.nul_runs.clone());
        lines.expect_forms(known.line_forms.clone());
        Ok(Self {
            window: window.context("unreadable before its first byte")?,
            source,
            known,
            lines,
            target: batch_target(report, source, PAGE),
        })
    }

    /// Reads the next page into an empty batch.
    ///
    /// # Errors
    /// A source that cannot be read.
    pub(crate) fn read(&mut self, format: &Format, batch: &mut Batch) -> anyhow::Result<PageRange> {
        let (from, first_line) = (self.lines.offset(), self.lines.line_offset());
        let context = ReadContext { max_bytes: PAGE_BYTES, ..read_context(self.source, format) };
        let Self { lines, window, target, .. } = self;
        let stop =
            tokio::task::block_in_place(|| fill_batch(lines, window, &context, batch, target));
        let is_last = stop
            .with_context(|| format!("unreadable after byte {} of its content", lines.read_to()))?
            == Stop::End;
        // After the last line of a file that was cut short, nothing is to be compared.
        let held_to = self.known.held_to();
        let is_all = is_last && window.passed() == held_to;
        let to = if is_all { held_to } else { lines.offset() };
        let lines = batch.spans.first().map_or(0, |span| span.lines);
        Ok(PageRange { from, first_line, to, lines, is_last })
    }

    /// Drops the bytes of the pages that were read.
    pub(crate) fn forget(&mut self) {
        self.window.forget(self.lines.line_offset());
    }
}

pub(crate) fn batch_target(report: &FileReport, source: &Source, limits: Limits) -> BatchTarget {
    let Checkpoint { file, epoch, .. } = report.checkpoint;
    BatchTarget { file, epoch, size: 0, now: source.changed_us, limits }
}

pub(crate) fn read_context<'a>(source: &Source, format: &'a Format) -> ReadContext<'a> {
    format.context(source.changed_us, Completeness::Sealed)
}
