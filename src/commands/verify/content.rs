//! Compares one file with the store, page by page, up to the offset that was stored at the beginning.

use std::sync::Arc;

use anyhow::Context;

use crate::model::{Batch, NulRun, Position, hex};
use crate::source::Lines;
use crate::store::{FileReport, StoredLine};

use crate::commands::verify::difference::Difference;
use crate::commands::verify::page::{Page, Swept, at};
use crate::commands::verify::pages::{PageRange, Pages, batch_target, read_context};
use crate::commands::verify::window::Window;
use crate::commands::verify::{Auditor, FileVerdict};
use crate::pipeline::expected::expected;
use crate::pipeline::file_format::{Format, OlderRule};
use crate::pipeline::read_lines::{Limits, fill_batch};
use crate::source::whole_file::Source;

impl Auditor<'_> {
    /// Compares the file with the store, as far as `report` says that it is stored.
    ///
    /// # Errors
    /// A file that cannot be read, a stored format that cannot be read, and a store that fails.
    pub(crate) async fn content(
        &mut self,
        source: &Source,
        report: &FileReport,
    ) -> anyhow::Result<FileVerdict> {
        let known = &report.checkpoint;
        let given = self.chooser.given_for(source.path(), known);
        let formats = self.formats_of(report, given.as_ref());
        let Some((format, others)) = formats.split_first() else {
            anyhow::bail!("its stored format cannot be read: '{}'", known.format);
        };
        let mut verdict = FileVerdict::new(&source.name, report);
        let mut pages = Pages::of(source, report)?;
        let mut batch = Batch::default();
        let mut first_line = 1;
        let after_committed = loop {
            anyhow::ensure!(!self.shutdown.is_requested(), "interrupted");
            let range = pages.read(format, &mut batch)?;
            let PageRange { from, first_line: seen_from, to, .. } = range;
            let window = &pages.window;
            verdict.lines += range.lines;
            let wanted = expected(&batch);
            let writer = self.writer().await?;
            let limit = range.limit();
            let (stored, after) = match (from < to, range.is_last) {
                (true, true) => writer.lines_to_end(known.file, from, to, limit).await?,
                (true, false) => (writer.lines_between(known.file, from, to, limit).await?, None),
                (false, true) => (Vec::new(), writer.line_after_committed(known.file).await?),
                (false, false) => (Vec::new(), None),
            };
            let not_before = report.first_seen_at.min(source.changed_us);
            let cutoff = if stored.len() < wanted.len() {
                self.writer().await?.swept_before(report.first_seen_at).await?
            } else {
                None
            };
            let swept = Swept { cutoff, not_before };
            let parser = &format.parser;
            let page = Page { window, parser, from: seen_from, first_line, stored: &stored, swept };
            let estimated = |format: &Format| report.checkpoint.time_estimated || !format.has_time;
            let mut found = page.compare(&wanted, estimated(format), &mut verdict);
            for other in others {
                if found.is_empty() {
                    break;
                }
                let by_other = self.read_again(window, seen_from, report, source, other)?;
                let mut settled = Vec::new();
                found.retain(|difference| {
                    let is_settled =
                        page.is_settled_by(&by_other, estimated(other), difference, &mut verdict);
                    settled.extend(is_settled.then(|| difference.clone()));
                    !is_settled
                });
                // What the given format does not read may well have been read by another.
                settled.retain(|difference| given.is_some() && is_row(&wanted, difference));
                verdict.by_other_format += settled.len() as u64;
                settled.into_iter().for_each(|difference| verdict.differs(difference));
            }
            let older = match found.is_empty() {
                true => Vec::new(),
                false => formats.iter().flat_map(|format| format.older()).collect(),
            };
            for (rule, older) in older {
                if found.is_empty() {
                    break;
                }
                let by_older = self.read_again(window, seen_from, report, source, &older)?;
                found.retain(|difference| {
                    let is_settled =
                        page.is_settled_by(&by_older, estimated(&older), difference, &mut verdict);
                    *match rule {
                        OlderRule::Mask => &mut verdict.masked_by_older_rule,
                        OlderRule::Columns => &mut verdict.by_older_columns,
                    } += u64::from(is_settled);
                    !is_settled
                });
            }
            for difference in found {
                // What follows a hole may be the rest of a line, or bytes of an older write.
                let in_holes = verdict.after_holes > 0 || difference.is_hole;
                match known.kept_to.is_some() && in_holes {
                    true => verdict.after_holes += 1,
                    false => verdict.differs(difference),
                }
            }
            first_line += window.bytes(seen_from).map_or(range.lines, |bytes| {
                let length = usize::try_from(to.saturating_sub(seen_from));
                let length = length.map_or(bytes.len(), |n| n.min(bytes.len()));
                memchr::memchr_iter(b'\n', &bytes[..length]).count() as u64
            });
            batch.clear();
            if range.is_last {
                break after;
            }
            pages.forget();
        };
        let window = pages.window;
        let found = verdict.rows + verdict.rejected + verdict.swept;
        verdict.excluded = verdict.lines.saturating_sub(found);
        self.totals(&mut verdict, &window, report);
        if let Some(offset) = after_committed {
            let stored = format!("a line, although only {} bytes are stored", known.committed);
            let difference = Difference::whole("line", "not read so far".to_owned(), stored);
            verdict.differs(Difference { offset: Some(offset), ..difference });
        }
        if known.kept_to.is_none() {
            let unstored = tokio::task::block_in_place(|| window.count_rest());
            verdict.unstored_bytes = unstored.context("unreadable after what is stored")?;
        }
        Ok(verdict)
    }

    /// Reads the page's bytes by another format. They may end in the middle of a record: the page's
    /// own lines come before that.
    fn read_again(
        &self,
        window: &Window,
        from: u64,
        report: &FileReport,
        source: &Source,
        format: &Format,
    ) -> anyhow::Result<Vec<(u64, StoredLine)>> {
        let Some(mut bytes) = window.bytes(from) else { return Ok(Vec::new()) };
        let mut lines = Lines::default();
        lines.reset(&Position { offset: from, ..Position::default() }, b"");
        lines.expect_nul_runs(runs_after(&report.checkpoint.nul_runs, from));
        let mut batch = Batch::default();
        let target = batch_target(report, source, Limits::NONE);
        let context = read_context(source, format);
        fill_batch(&mut lines, &mut bytes, &context, &mut batch, &target)?;
        Ok(expected(&batch))
    }

    /// Compares size, digest and counters.
    fn totals(&self, verdict: &mut FileVerdict, window: &Window, report: &FileReport) {
        let known = &report.checkpoint;
        let passed = window.passed();
        if passed < known.held_to() {
            let stored = format!("{} bytes are stored", known.held_to());
            verdict.differs(Difference::whole("size", format!("holds {passed} bytes"), stored));
            return; // the other differences follow from this one
        }
        if known.kept_to.is_some() {
            return; // digest and counters are of more than the log still holds
        }
        let (sum, stored) = (hex(&window.sum()), known.digest.map(|digest| hex(&digest.sum)));
        if known.committed > known.first_offset && stored.as_ref() != Some(&sum) {
            let stored = stored.unwrap_or_else(|| "NULL".to_owned());
            verdict.differs(Difference::whole("digest", sum.clone(), stored));
        }
        verdict.digest = Some(sum);
        let counters = [
            ("lines", verdict.lines, report.lines, report.lines),
            // It is unknown whether a line that was swept was a row or a reject.
            ("stored_rows", verdict.rows, report.rows, report.rows.saturating_sub(verdict.swept)),
            (
                "rejected",
                verdict.rejected,
                report.rejected,
                report.rejected.saturating_sub(verdict.swept),
            ),
            ("excluded", verdict.excluded, report.excluded, report.excluded),
        ];
        for (about, counted, stored, least) in counters {
            if verdict.differences == 0 && !(least..=stored).contains(&counted) {
                verdict.differs(Difference::whole(about, counted.to_string(), stored.to_string()));
            }
        }
    }

    /// Returns the format that the user gave, then the file's own, then the others that lines of it were read
    /// by.
    fn formats_of(&mut self, report: &FileReport, given: Option<&Arc<Format>>) -> Vec<Arc<Format>> {
        let own = &report.checkpoint.format;
        let mut formats: Vec<Arc<Format>> = given.into_iter().cloned().collect();
        for format in std::iter::once(own).chain(&report.other_formats) {
            formats.extend(self.formats.stored(format));
        }
        let mut seen = std::collections::HashSet::new();
        formats.retain(|format| seen.insert(format.format.clone()));
        formats
    }
}

/// Returns whether the file says that there is a row in the place of a difference.
fn is_row(wanted: &[(u64, StoredLine)], difference: &Difference) -> bool {
    let lines = difference.offset.map_or(&[][..], |offset| at(wanted, offset));
    matches!(lines, [(_, StoredLine::Row(_) | StoredLine::Request(_)), ..])
}

/// Returns the runs after `offset`. One in which it stands begins there.
fn runs_after(runs: &[NulRun], offset: u64) -> Vec<NulRun> {
    let after = runs.iter().filter(|run| run.end() > offset);
    after
        .map(|run| {
            let begin = run.offset.max(offset);
            NulRun { offset: begin, length: run.end() - begin }
        })
        .collect()
}
