//! How the row that a store refuses is found among those of its batch.
//!
//! The store refuses a batch as a whole. What was read and not stored is read again in batches of
//! half as many lines, until one that cannot be halved is refused: its first line becomes a reject.
//! From then on batches grow again, to twice as many lines with every one that is stored.

use crate::model::{Batch, FileId};
use crate::pipeline::read_lines::Limits;

/// The limit on the lines of a batch, and how many lines may still hide the one at fault.
#[derive(Debug)]
pub(crate) struct Bisect {
    lines: u64,
    /// Lines of the batch that was refused, less those that were stored since.
    suspects: u64,
}

/// What to do about a batch that the store refuses.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Read its lines again, in smaller batches.
    Halve,
    /// Reject these lines, by file and offset, and read on.
    Reject(Vec<(FileId, u64)>),
}

impl Default for Bisect {
    fn default() -> Self {
        Self { lines: Limits::BATCH.lines, suspects: 0 }
    }
}

impl Bisect {
    /// Returns how much the next batch may hold.
    pub(crate) fn limits(&self) -> Limits {
        Limits { lines: self.lines, ..Limits::BATCH }
    }

    /// Decides what becomes of a batch that the store refuses.
    pub(crate) fn refused(&mut self, batch: &Batch) -> Refusal {
        let lines = suspects(batch);
        // Lines of one record, or of pieces that stand between each other, cannot be parted.
        if lines > 1 && self.lines > 1 {
            self.lines = lines.min(self.lines) / 2;
            self.suspects = lines;
            return Refusal::Halve;
        }
        self.lines = 1;
        self.suspects = 0;
        Refusal::Reject(batch.spans.iter().map(|span| (span.file, span.from)).collect())
    }

    /// Lets batches grow again, unless the line at fault is still to come.
    pub(crate) fn stored(&mut self, batch: &Batch) {
        self.suspects = self.suspects.saturating_sub(suspects(batch));
        if self.suspects == 0 {
            self.lines = (self.lines * 2).min(Limits::BATCH.lines);
        }
    }
}

/// Returns how many lines of a batch may be at fault. Repeats of a reject have no row.
fn suspects(batch: &Batch) -> u64 {
    batch.lines().saturating_sub(batch.repeats())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Position, Span};

    /// Lines that are one byte long.
    fn batch(from: u64, lines: u64) -> Batch {
        let to = Position { offset: from + lines, ..Position::default() };
        let span = Span {
            file: FileId(1),
            epoch: 1,
            from,
            to,
            lines,
            rows: lines,
            rejected: 0,
            excluded: 0,
            head: None,
            size: 0,
            nul_runs: Vec::new(),
            form_changes: Vec::new(),
            releases: false,
            far_times: 0,
        };
        Batch { spans: vec![span], ..Batch::default() }
    }

    #[test]
    fn every_bad_line_is_found_in_few_batches_and_no_good_one_is_rejected() {
        let (count, bad) = (100_000, [0, 1, 12_345, 12_346, 59_999, 99_999]);
        let (mut bisect, mut at, mut found, mut batches) = (Bisect::default(), 0, vec![], 0);
        while at < count {
            batches += 1;
            let batch = batch(at, bisect.limits().lines.min(count - at));
            let (from, to) = (batch.spans[0].from, batch.spans[0].to.offset);
            if !bad.iter().any(|bad| (from..to).contains(bad) && !found.contains(bad)) {
                bisect.stored(&batch);
                at = to;
            } else if let Refusal::Reject(lines) = bisect.refused(&batch) {
                found.extend(lines.into_iter().map(|(_, offset)| offset));
            }
        }
        assert_eq!(found, bad);
        assert!(batches < 40 * bad.len(), "{batches}");
        for _ in 0..15 {
            bisect.stored(&batch(0, 1));
        }
        assert_eq!(bisect.limits().lines, Limits::BATCH.lines);
    }

    #[test]
    fn lines_that_cannot_be_parted_are_rejected_together() {
        let mut bisect = Bisect::default();
        assert_eq!(bisect.refused(&batch(0, 2)), Refusal::Halve);
        assert_eq!(bisect.limits().lines, 1);
        assert_eq!(bisect.refused(&batch(0, 2)), Refusal::Reject(vec![(FileId(1), 0)]));
    }
}
