//! What is behind a checkpoint, batch by batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail};

use crate::follow::Lines;
use crate::model::{Batch, Checkpoint};

use super::Import;
use crate::app::commit::Outcome;
use crate::app::fill::{Limits, Reading, Stop, fill};
use crate::app::formats::Format;
use crate::app::ingest::now;
use crate::app::source::{Source, Walk};

struct Pass<'a> {
    source: &'a Source,
    format: &'a Format,
    whole: bool,
    limits: Limits,
    refused: Option<&'a (u64, String)>,
    /// Whether lines before the checkpoint are still to be counted.
    first: bool,
}

/// How far the content was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::app) enum End {
    /// To its end.
    Whole,
    /// But for a last line of so many bytes, which has no end and cannot be read.
    Rest(u64),
    /// Not to its end: the process is to stop.
    Interrupted,
}

enum PassEnd {
    At(End),
    /// The store refuses this batch.
    Refused(Batch, String),
}

impl Import<'_> {
    /// Stores everything behind the checkpoint. `whole`: nothing more will be written to it.
    pub(super) async fn content(
        &mut self,
        source: &Source,
        mut claimed: Checkpoint,
        format: &Format,
        whole: bool,
    ) -> anyhow::Result<End> {
        let mut limits = Limits::BATCH;
        let mut refused: Option<(u64, String)> = None;
        let mut first = true;
        loop {
            let pass = Pass { source, format, whole, limits, refused: refused.as_ref(), first };
            match self.pass(&mut claimed, pass).await? {
                PassEnd::At(end) => return Ok(end),
                PassEnd::Refused(batch, reason) => {
                    // Ever smaller batches find the row that the store refuses.
                    let lines: u64 = batch.spans.iter().map(|span| span.lines).sum();
                    if lines > 1 {
                        limits.lines = lines / 2;
                    } else {
                        refused = Some((claimed.committed, reason));
                        limits = Limits::BATCH;
                    }
                }
            }
            first = false;
        }
    }

    /// One pass from the checkpoint to the end; a batch that the store refuses ends it early.
    async fn pass(&mut self, claimed: &mut Checkpoint, pass: Pass<'_>) -> anyhow::Result<PassEnd> {
        let Pass { source, format, whole, limits, refused, first } = pass;
        let on_disk = Arc::new(AtomicU64::new(0));
        let mut reader = source.reader(&on_disk)?;
        let mut lines = Lines::default();
        {
            let mut walk = Walk::new(&mut reader);
            tokio::task::block_in_place(|| walk.to(claimed.committed))?;
            lines.reset(&claimed.mark(), &walk.history);
            if first {
                // The last one may have been stored before its end was written.
                let stored = walk.lines + u64::from(!lines.at_line_start());
                self.summary.already_stored += stored;
                self.summary.lines += stored;
                self.summary.bytes += walk.bytes;
            }
        }
        let claims = vec![(claimed.file, claimed.epoch)];
        let mut batch = Batch { cutoff: self.cutoff, ..Batch::default() };
        loop {
            let reading = Reading {
                file: claimed.file,
                epoch: claimed.epoch,
                parser: &format.parser,
                size: 0,
                estimated: source.changed_us,
                now: now(),
                whole,
                refused: refused.map(|(at, why)| (*at, why.as_str())),
            };
            let stop = tokio::task::block_in_place(|| {
                fill(&mut lines, &mut reader, &reading, &mut batch, limits, u64::MAX)
            });
            if let Some(span) = batch.spans.first().cloned() {
                match self.committer.commit(&batch, &claims).await {
                    Outcome::Stored(_) => {}
                    Outcome::BadRow(reason) => return Ok(PassEnd::Refused(batch, reason)),
                    Outcome::Conflict(_) => bail!("another log-ingestd took this file over"),
                    Outcome::GaveUp(error) => return Err(error).context("the store is away"),
                }
                (claimed.committed, claimed.guard) = (span.to.offset, span.to.guard);
                claimed.digest = span.to.digest;
                self.summary.lines += span.lines;
                self.summary.rows += span.rows;
                self.summary.rejected += span.rejected;
                self.summary.excluded += span.excluded;
                self.summary.bytes += span.to.offset - span.from;
                self.summary.expired += batch.expired;
                self.progress.at(on_disk.load(Ordering::Relaxed), self.summary.lines);
                batch.clear();
            }
            match stop {
                Ok(Stop::Full) if !self.shutdown.is_requested() => {}
                Ok(Stop::Full) => return Ok(PassEnd::At(End::Interrupted)),
                Ok(Stop::End) => break,
                Err(error) => {
                    return Err(error).context(format!(
                        "unreadable behind byte {} of its content; the lines before it are stored",
                        lines.read_to()
                    ));
                }
            }
        }
        Ok(PassEnd::At(match lines.read_to() - lines.offset() {
            0 => End::Whole,
            bytes => End::Rest(bytes),
        }))
    }
}
