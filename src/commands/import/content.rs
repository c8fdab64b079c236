//! What is behind a checkpoint, batch by batch.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, anyhow, bail};

use crate::model::{Batch, Checkpoint, Span};
use crate::source::Envelope;
use crate::source::Lines;
use crate::store::{StoreError, chain};

use crate::commands::import::Import;
use crate::commands::import::group::unreadable;
use crate::identity::formats::Format;
use crate::pipeline::committer::Outcome;
use crate::pipeline::read_ahead::{Filled, Reader};
use crate::pipeline::read_lines::{Limits, Stop};
use crate::source::whole_file::{Source, Walk};

struct Pass<'a> {
    source: &'a Source,
    format: &'a Arc<Format>,
    whole: bool,
    limits: Limits,
    refused: Option<&'a (u64, String)>,
    /// Whether lines before the checkpoint are still to be counted.
    first: bool,
}

/// How far the content was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
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
    Refused(Box<Batch>, String),
}

impl Import<'_> {
    /// Stores everything behind the checkpoint. `whole`: nothing more will be written to it.
    pub(crate) async fn content(
        &mut self,
        source: &Source,
        claimed: Checkpoint,
        format: &Arc<Format>,
        whole: bool,
    ) -> anyhow::Result<End> {
        self.behind(source, claimed, format, whole, true).await
    }

    /// The same. `first`: lines before the checkpoint are not counted yet.
    pub(crate) async fn behind(
        &mut self,
        source: &Source,
        mut claimed: Checkpoint,
        format: &Arc<Format>,
        whole: bool,
        mut first: bool,
    ) -> anyhow::Result<End> {
        let mut limits = Limits::BATCH;
        let mut refused: Option<(u64, String)> = None;
        loop {
            let pass = Pass { source, format, whole, limits, refused: refused.as_ref(), first };
            match self.pass(&mut claimed, pass).await? {
                PassEnd::At(end) => return Ok(end),
                PassEnd::Refused(batch, reason) => {
                    // Ever smaller batches find the row that the store refuses.
                    let lines: u64 = batch.spans.iter().map(|span| span.lines).sum();
                    // Lines of one record, or of pieces that stand between each other, cannot be
                    // parted.
                    if lines > 1 && limits.lines > 1 {
                        limits.lines = lines.min(limits.lines) / 2;
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
        let (lines, source_reader) =
            self.reach(source, claimed, format.envelope, &on_disk, first)?;
        let reader = Reader {
            file: claimed.file,
            epoch: claimed.epoch,
            format: Arc::clone(format),
            estimated: source.changed_us,
            whole,
            sealed: whole && source.is_compressed(),
            limits,
            refused: refused.cloned(),
            cutoff: self.cutoff,
        };
        let mut stream = reader.start(lines, source_reader);
        let mut end = None;
        loop {
            while end.is_none() && self.commits.has_room() {
                if self.shutdown.is_requested() {
                    end = Some(Ok(End::Interrupted));
                    break;
                }
                let Some(Filled { batch, stop, read_to, rest }) = stream.next().await else {
                    bail!("reading ended early"); // its thread has panicked
                };
                match stop {
                    Ok(Stop::Full) => {}
                    Ok(Stop::End) if rest == 0 => end = Some(Ok(End::Whole)),
                    Ok(Stop::End) => end = Some(Ok(End::Rest(rest))),
                    Err(error) => {
                        end = Some(Err(error).context(unreadable(read_to)));
                    }
                }
                if !batch.is_empty() {
                    self.commits.launch(batch);
                }
            }
            let Some((batch, stored)) = self.commits.land().await else { break };
            if stored {
                self.account(claimed, &batch);
            } else if let Some(refused) = self.carefully(claimed, batch).await? {
                return Ok(refused);
            } else {
                continue;
            }
            self.progress.at(on_disk.load(Ordering::Relaxed), self.summary.lines);
            stream.recycle(batch);
            self.committer.keep_alive().await;
        }
        match end {
            Some(end) => Ok(PassEnd::At(end?)),
            None => bail!("reading ended early"),
        }
    }

    /// Content that stands at the checkpoint. `first`: the lines before it are counted.
    pub(crate) fn reach(
        &mut self,
        source: &Source,
        claimed: &Checkpoint,
        envelope: Option<Envelope>,
        on_disk: &Arc<AtomicU64>,
        first: bool,
    ) -> anyhow::Result<(Lines, Box<dyn Read + Send>)> {
        let mut reader = source.reader(on_disk)?;
        let mut lines = Lines::default();
        if claimed.committed == 0 {
            lines.reset(&claimed.position(), &[]);
            return Ok((lines, reader));
        }
        let mut walk = Walk::new(&mut reader);
        tokio::task::block_in_place(|| walk.to(claimed.committed))?;
        lines.reset(&claimed.position(), &walk.history);
        if first {
            // The last one may have been stored before its end was written.
            let unended = u64::from(!lines.at_line_start());
            let stored = unended
                + match envelope {
                    None => walk.lines,
                    Some(_) => source.count_lines(envelope, claimed.committed)?,
                };
            self.summary.already_stored += stored;
            self.summary.lines += stored;
            self.summary.bytes += walk.bytes;
        }
        Ok((lines, reader))
    }

    /// Stores a batch that may not be stored, and those behind it, one by one.
    async fn carefully(
        &mut self,
        claimed: &mut Checkpoint,
        first: Batch,
    ) -> anyhow::Result<Option<PassEnd>> {
        let mut batches = vec![first];
        while let Some((batch, _)) = self.commits.land().await {
            batches.push(batch);
        }
        let claims = vec![(claimed.file, claimed.epoch)];
        for batch in batches {
            match self.committer.commit_again(&batch, &claims).await {
                Outcome::Stored(_) => self.account(claimed, &batch),
                Outcome::BadRow(reason) => {
                    return Ok(Some(PassEnd::Refused(Box::new(batch), reason)));
                }
                Outcome::Conflict(_) => bail!("another log-ingestd took this file over"),
                Outcome::GaveUp(error) => return Err(given_up(&error)),
            }
        }
        Ok(None)
    }

    /// A batch is stored.
    fn account(&mut self, claimed: &mut Checkpoint, batch: &Batch) {
        for span in &batch.spans {
            self.advance(claimed, span);
        }
        if let Some(metrics) = &self.metrics {
            metrics.ingest.stored(batch);
        }
        self.summary.expired += batch.expired;
    }

    /// These lines of a file are.
    pub(crate) fn advance(&mut self, claimed: &mut Checkpoint, span: &Span) {
        (claimed.committed, claimed.tail_fingerprint) = (span.to.offset, span.to.tail_fingerprint);
        claimed.digest = span.to.digest;
        self.summary.lines += span.lines;
        self.summary.rows += span.rows;
        self.summary.rejected += span.rejected;
        self.summary.excluded += span.excluded;
        self.summary.bytes += span.to.offset - span.from;
    }
}

/// What is told of a store that does not take any more.
pub(crate) fn given_up(error: &StoreError) -> anyhow::Error {
    let why = anyhow!(chain(error));
    if error.is_about_schema() { why } else { why.context("the store is away") }
}
