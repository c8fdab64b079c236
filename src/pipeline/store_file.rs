//! Stores the content of a file that is complete: an import, or an archive of a log that was
//! followed. The content is read in a thread of its own while earlier batches are being stored.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, anyhow, bail};
use tokio::sync::mpsc;

use crate::model::{Batch, Claim, Micros, Position, now};
use crate::pipeline::Shutdown;
use crate::pipeline::bisect::{Bisect, Refusal};
use crate::pipeline::committer::{Committer, Outcome};
use crate::pipeline::file_format::Format;
use crate::pipeline::ordered_commits::OrderedCommits;
use crate::pipeline::read_lines::{
    BatchTarget, Completeness, Limits, LineSink, ReadContext, Stop, fill_batch, read_lines,
};
use crate::source::whole_file::{Source, Walk};
use crate::source::{ByteSource, Lines, Stopped};
use crate::store::{Committed, StoreError, chain};

/// What a command says of a store that is not what it was.
const RESTORED: &str = "the database was restored to an earlier state, or replaced, meanwhile; the same command goes \
                        on from what it holds";

/// Batches that wait for a connection: one, so that there is always one to send.
const AHEAD: usize = 1;

/// What is read, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'a> {
    pub(crate) source: &'a Source,
    pub(crate) format: &'a Arc<Format>,
    pub(crate) completeness: Completeness,
}

/// What becomes of the claim when all of a file is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimAtEnd {
    /// It ends with the last batch, if the end is found in a batch with lines: [`Claim::released`] tells.
    Released,
    Kept,
}

/// How far a file was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// To its end.
    Whole,
    /// But for a last line of so many bytes, which has no end and cannot be read.
    Rest(u64),
    /// Not to its end: the process is to stop.
    Interrupted,
}

impl<'a> Content<'a> {
    /// A file to which nothing will be appended.
    pub(crate) fn whole(source: &'a Source, format: &'a Arc<Format>) -> Self {
        let completeness = match source.is_compressed() {
            true => Completeness::Sealed,
            false => Completeness::Whole,
        };
        Self { source, format, completeness }
    }

    /// A file of which more may exist elsewhere: a last line without an end is not read.
    pub(crate) fn growing(source: &'a Source, format: &'a Arc<Format>) -> Self {
        Self { source, format, completeness: Completeness::Growing }
    }

    /// Gives all lines, from the beginning on, to `sink`.
    ///
    /// # Errors
    /// What the system or the decoder says; the sink has the lines before the error.
    pub(crate) fn read(&self, sink: &mut impl LineSink) -> io::Result<()> {
        let mut source = self.source.reader(&Arc::default())?;
        read_lines(&mut Lines::default(), &mut source, &self.context(), sink).map(drop)
    }

    /// Returns how its lines are read.
    pub(crate) fn context(&self) -> ReadContext<'_> {
        self.format.context(self.source.changed_us, self.completeness)
    }

    /// Opens the content at a position of it. `on_disk` counts bytes taken from the disk.
    ///
    /// # Errors
    /// What the system or the decoder says.
    pub(crate) fn open_at(
        &self,
        position: &Position,
        on_disk: &Arc<AtomicU64>,
    ) -> io::Result<(Lines, Box<dyn ByteSource + Send>)> {
        let mut reader = self.source.reader(on_disk)?;
        let mut walk = Walk::new(&mut reader);
        tokio::task::block_in_place(|| walk.to(position.offset))?;
        let mut lines = Lines::default();
        lines.reset(position, &walk.history);
        Ok((lines, reader))
    }
}

/// Stores files, one after another, over the connections of `commits`.
pub(crate) struct FileStorer<'a> {
    /// Holds the claims, and stores what a connection of `commits` could not.
    pub(crate) committer: &'a mut Committer,
    pub(crate) commits: &'a mut OrderedCommits,
    pub(crate) shutdown: &'a Shutdown,
    pub(crate) claim_at_end: ClaimAtEnd,
    /// Rows before this time are counted as expired.
    pub(crate) cutoff: Option<Micros>,
    /// Is called with each batch that is stored, and the bytes that were taken from the disk so far.
    pub(crate) on_stored: &'a mut (dyn FnMut(&Batch, u64) + Send),
}

impl FileStorer<'_> {
    /// Stores all lines after the checkpoint, which moves with them.
    ///
    /// # Errors
    /// Content that cannot be read, a file that another writer has taken over, and a store that was restored, or
    /// is unavailable for too long. What was stored by then stays stored.
    pub(crate) async fn store(
        &mut self,
        content: Content<'_>,
        claimed: &mut Claim,
    ) -> anyhow::Result<End> {
        let mut bisect = Bisect::default();
        let mut refused = None;
        loop {
            if let Some(end) = self.pass(content, claimed, &mut bisect, &mut refused).await? {
                return Ok(end);
            }
        }
    }

    /// Reads once from the checkpoint to the end. Returns `None` if the store refuses a batch: the rest
    /// is to be read again. `refused` is the line that the store refuses, by offset, and why.
    async fn pass(
        &mut self,
        content: Content<'_>,
        claimed: &mut Claim,
        bisect: &mut Bisect,
        refused: &mut Option<(u64, String)>,
    ) -> anyhow::Result<Option<End>> {
        let on_disk = Arc::new(AtomicU64::new(0));
        let (lines, reader) = match content.open_at(&claimed.committed, &on_disk) {
            Err(error) if Stopped::is(&error) => return Ok(Some(End::Interrupted)),
            opened => opened?,
        };
        let max_lines = Arc::new(AtomicU64::new(bisect.limits().lines));
        let thread = ReadAhead {
            claim: *claimed,
            format: Arc::clone(content.format),
            estimated: content.source.changed_us,
            completeness: content.completeness,
            max_lines: Arc::clone(&max_lines),
            refused: refused.clone(),
            cutoff: self.cutoff,
            claim_at_end: self.claim_at_end,
        };
        let (mut filled, spare) = thread.start(lines, reader);
        let mut end = None;
        loop {
            while end.is_none() && self.commits.has_room() {
                if self.shutdown.is_requested() {
                    end = Some(Ok(End::Interrupted));
                    break;
                }
                let Some(Filled { batch, end: its_end }) = filled.recv().await else {
                    bail!("reading ended early"); // its thread has panicked
                };
                end = its_end;
                if !batch.is_empty() {
                    self.commits.launch(batch);
                }
            }
            let claims = || {
                let Claim { file, epoch, committed, .. } = *claimed;
                vec![Committed { file, offset: committed.offset, epoch }]
            };
            let Some((mut batch, outcome)) = self.commits.land(self.committer, claims).await else {
                break;
            };
            match outcome {
                Outcome::Stored(_) => {}
                Outcome::BadRow(reason) => {
                    if let Refusal::Reject(_) = bisect.refused(&batch) {
                        *refused = Some((claimed.committed.offset, reason));
                    }
                    return Ok(None);
                }
                Outcome::Conflict(_) => bail!("another log-ingestd took this file over"),
                Outcome::Restored(error) => return Err(anyhow!(error).context(RESTORED)),
                Outcome::GaveUp(error) => return Err(given_up(&error)),
            }
            bisect.stored(&batch);
            max_lines.store(bisect.limits().lines, Ordering::Relaxed);
            batch.spans.iter().for_each(|span| claimed.stored(span));
            (self.on_stored)(&batch, on_disk.load(Ordering::Relaxed));
            batch.clear();
            let _ = spare.send(batch); // for its memory; an error says that the thread has ended
            self.committer.keep_alive(|file| file == claimed.file && !claimed.released).await;
        }
        end.context("reading ended early")?.map(Some)
    }
}

/// Returns how the content ended; `None` if more of it is to be read. What `lines` has read and not
/// taken is no complete line.
pub(crate) fn end_of(stop: io::Result<Stop>, lines: &Lines) -> Option<anyhow::Result<End>> {
    let read_to = lines.read_to();
    Some(match stop {
        Ok(Stop::Full) => return None,
        Ok(Stop::End) => Ok(match read_to - lines.offset() {
            0 => End::Whole,
            rest => End::Rest(rest),
        }),
        Err(error) if Stopped::is(&error) => Ok(End::Interrupted),
        Err(error) => Err(error).context(format!(
            "unreadable after byte {read_to} of its content; the lines before it are stored"
        )),
    })
}

/// Returns the message of a store that takes nothing any more.
pub(crate) fn given_up(error: &StoreError) -> anyhow::Error {
    let why = anyhow!(chain(error));
    match error {
        StoreError::Replaced { .. } => why.context(RESTORED),
        error if error.is_about_schema() => why,
        _ => why.context("the store is unavailable"),
    }
}

/// The thread that fills batches.
struct ReadAhead {
    claim: Claim,
    format: Arc<Format>,
    estimated: Micros,
    completeness: Completeness,
    /// Lines that the next batch may hold.
    max_lines: Arc<AtomicU64>,
    refused: Option<(u64, String)>,
    cutoff: Option<Micros>,
    claim_at_end: ClaimAtEnd,
}

/// A batch, and how the content ended in it; `None` if it goes on.
struct Filled {
    batch: Batch,
    end: Option<anyhow::Result<End>>,
}

impl ReadAhead {
    /// Begins to read where `lines` stands. Returns the filled batches, and where to give them back.
    /// The thread ends after the source's end or error, or when the receiver is dropped.
    fn start(
        self,
        lines: Lines,
        source: Box<dyn ByteSource + Send>,
    ) -> (mpsc::Receiver<Filled>, Sender<Batch>) {
        let (sender, filled) = mpsc::channel(AHEAD);
        let (spare, spares) = channel();
        tokio::task::spawn_blocking(move || self.read(lines, source, &sender, &spares));
        (filled, spare)
    }

    fn read(
        self,
        mut lines: Lines,
        mut source: Box<dyn ByteSource + Send>,
        filled: &mpsc::Sender<Filled>,
        spares: &Receiver<Batch>,
    ) {
        loop {
            let mut batch = spares.try_recv().unwrap_or_default();
            batch.cutoff = self.cutoff;
            let refused = self.refused.as_ref().map(|(at, why)| (*at, why.as_str()));
            let context = ReadContext {
                refused: refused.filter(|(at, _)| *at >= lines.offset()),
                ..self.format.context(self.estimated, self.completeness)
            };
            let limits = Limits { lines: self.max_lines.load(Ordering::Relaxed), ..Limits::BATCH };
            let Claim { file, epoch, .. } = self.claim;
            let target = BatchTarget { file, epoch, size: 0, now: now(), limits };
            let stop = fill_batch(&mut lines, &mut source, &context, &mut batch, &target);
            let end = end_of(stop, &lines);
            let goes_on = end.is_none();
            let is_whole = matches!(end, Some(Ok(End::Whole | End::Rest(_))));
            if self.claim_at_end == ClaimAtEnd::Released && is_whole {
                batch.spans.iter_mut().for_each(|span| span.releases = true);
            }
            if filled.blocking_send(Filled { batch, end }).is_err() || !goes_on {
                return;
            }
        }
    }
}
