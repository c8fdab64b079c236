//! A claimed file: the only owner of its id, its epoch, its committed position, the line that the
//! store refuses, and what of it is lost.
//!
//! A file that is closed, and a loss, are written down here and nowhere else: in the store, in
//! `/metrics` and in the log. `tests/it/floor_plan.rs` checks that no other code does.

use std::path::Path;
use std::sync::Arc;

use tracing::{info, warn};

use crate::metrics::Metrics;
use crate::model::{Checkpoint, Claim, Cut, FileId, NewFile, Origin, Position, Sighting, Span};
use crate::store::{ClaimRequest, Closing, Committed, NewOrKnown, StoreError, Writer};

/// Where lost bytes are counted besides the store.
#[derive(Clone, Debug)]
pub(crate) enum LossCounter {
    /// In `/metrics` of this daemon.
    Metrics(Arc<Metrics>),
    /// Nowhere: a command has no `/metrics`.
    StoreOnly,
}

/// Why nothing more comes under an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was truncated or replaced, and its other bytes were found nowhere.
    Truncated,
    /// It has no name any more.
    Deleted,
    /// It is not where it was, nor under another name.
    Gone,
    /// It was compressed, and its archive is read.
    Compressed,
    /// It was a file of the spool of which everything is stored.
    RemovedFromSpool,
    /// A power cut took its last bytes; the log goes on as another logical file.
    PowerCut,
}

impl Ending {
    /// Returns what `log_file.closed_reason` says.
    fn closed_reason(self) -> &'static str {
        match self {
            Ending::Truncated => "truncated or replaced",
            Ending::Deleted => "deleted",
            Ending::Gone => "gone",
            Ending::Compressed => "compressed",
            Ending::RemovedFromSpool => "stored, and removed from the spool",
            Ending::PowerCut => "its last bytes were lost in a power cut",
        }
    }
}

/// The checkpoint that some content was compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compared {
    pub(crate) file: FileId,
    pub(crate) committed: u64,
    /// Bytes that were counted as lost already.
    pub(crate) lost_bytes: u64,
    /// Whether nothing more was expected of it.
    pub(crate) closed: bool,
}

impl Compared {
    /// Returns that of a file of which nothing is stored, and only the first line is known.
    pub(crate) fn unread(file: FileId) -> Self {
        Self { file, committed: 0, lost_bytes: 0, closed: false }
    }
}

impl From<&Checkpoint> for Compared {
    fn from(known: &Checkpoint) -> Self {
        let &Checkpoint { file, committed, lost_bytes, .. } = known;
        Self { file, committed, lost_bytes, closed: known.is_closed() }
    }
}

/// What became of a request for a file.
#[derive(Debug)]
pub(crate) enum ClaimResult {
    Claimed(Box<ClaimedFile>),
    /// Another writer holds it.
    HeldByAnother,
    /// Another writer stored more of it since the content was compared: compare again.
    Outdated,
}

/// A file that ends.
#[derive(Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) file: &'a mut ClaimedFile,
    /// Where it was.
    pub(crate) path: &'a Path,
    /// Bytes that it is known to have had.
    pub(crate) size: u64,
    pub(crate) ending: Ending,
}

/// A file that this process alone may write.
#[derive(Debug)]
pub(crate) struct ClaimedFile {
    claim: Claim,
    /// Bytes that it is known to have had when it was claimed.
    size: u64,
    /// Offset of the line that the store refuses, and why.
    refused: Option<(u64, String)>,
    /// Bytes that the copy which is read now does not hold.
    absent: u64,
    /// Bytes that were counted as lost already, so that a file that is claimed again counts once.
    counted: u64,
    losses: LossCounter,
    /// Whether nothing more was expected of it before it was claimed.
    was_closed: bool,
    /// Whether it was registered by this claim.
    is_new: bool,
}

impl ClaimedFile {
    /// Registers a file that is none of those that it was `compared` with. `None` if another writer
    /// has registered one since, which may be this file: look again.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn register(
        writer: &mut Writer,
        new: &NewFile,
        compared: &[FileId],
        losses: &LossCounter,
    ) -> Result<Option<Self>, StoreError> {
        let registered = writer.register(new, compared).await?;
        Ok(registered.map(|new| Self::registered(&new, losses)))
    }

    /// Registers several files, no two of which are alike, in one transaction.
    ///
    /// # Errors
    /// The store's; some of the files may be registered nevertheless.
    pub(crate) async fn register_all(
        writer: &mut Writer,
        files: &[(NewFile, Vec<FileId>)],
        losses: &LossCounter,
    ) -> Result<Vec<Option<Self>>, StoreError> {
        let registered = writer.register_all(files).await?;
        let claimed = |new: Option<Checkpoint>| new.map(|it| Self::registered(&it, losses));
        Ok(registered.into_iter().map(claimed).collect())
    }

    /// Registers a file that has no candidates, and returns the candidates of one that may have some.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn register_unless_known(
        writer: &mut Writer,
        new: &NewFile,
        losses: &LossCounter,
    ) -> Result<NewOrKnown<Self>, StoreError> {
        Ok(match writer.register_unless_known(new).await? {
            NewOrKnown::New(new) => NewOrKnown::New(Self::registered(&new, losses)),
            NewOrKnown::Known(known) => NewOrKnown::Known(known),
        })
    }

    /// Claims files that were registered before, no two of which are the same, many in one transaction.
    ///
    /// # Errors
    /// The store's; some of the files may be claimed nevertheless.
    pub(crate) async fn claim_all_known(
        writer: &mut Writer,
        files: &[(Compared, &Sighting, &str)],
        losses: &LossCounter,
    ) -> Result<Vec<ClaimResult>, StoreError> {
        let requests: Vec<ClaimRequest<'_>> = files
            .iter()
            .map(|&(Compared { file, .. }, seen, format)| ClaimRequest { file, seen, format })
            .collect();
        let claimed = writer.claim_all(&requests).await?;
        let mut outdated = Vec::new();
        let mut results = Vec::with_capacity(files.len());
        for ((compared, ..), claimed) in files.iter().zip(claimed) {
            results.push(match claimed {
                None => ClaimResult::HeldByAnother,
                Some(claimed) if claimed.committed == compared.committed => {
                    let claim = Self::new(&claimed, compared.lost_bytes, losses);
                    let was_closed = compared.closed;
                    ClaimResult::Claimed(Box::new(Self { was_closed, ..claim }))
                }
                Some(claimed) => {
                    outdated.push(claimed.file);
                    ClaimResult::Outdated
                }
            });
        }
        if !outdated.is_empty() {
            writer.release_all(&outdated).await?;
        }
        Ok(results)
    }

    /// Claims a file that was registered before.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn claim_known(
        writer: &mut Writer,
        compared: Compared,
        seen: &Sighting,
        format: &str,
        losses: &LossCounter,
    ) -> Result<ClaimResult, StoreError> {
        let results = Self::claim_all_known(writer, &[(compared, seen, format)], losses).await?;
        Ok(results.into_iter().next().unwrap_or(ClaimResult::HeldByAnother))
    }

    /// Ends a file whose last bytes a power cut took, and registers the one by which its log goes on, in
    /// one transaction. `before` are files that earlier power cuts have ended in the same log, and of which
    /// it may hold less now.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn continue_after_cut(
        writer: &mut Writer,
        known: &Checkpoint,
        before: &[&Checkpoint],
        new: &NewFile,
        compared: &[FileId],
        losses: &LossCounter,
    ) -> Result<ClaimResult, StoreError> {
        let Some(claimed) = writer.claim(known.file, &new.sighting, &known.format).await? else {
            return Ok(ClaimResult::HeldByAnother);
        };
        if claimed.committed != known.committed {
            writer.release(claimed.file).await?;
            return Ok(ClaimResult::Outdated);
        }
        let kept_to = new.begins.offset;
        let mut ended = Self::new(&claimed, known.lost_bytes, losses);
        let cut = Cut {
            file: claimed.file,
            epoch: claimed.epoch,
            kept_to: kept_to.max(claimed.first_offset),
            lost_bytes: claimed.size.saturating_sub(claimed.committed),
            reason: Ending::PowerCut.closed_reason(),
        };
        let mut gone = writer.count_from(claimed.file, kept_to).await?;
        let mut cuts = vec![cut];
        for known in before.iter().filter(|known| known.held_to() > kept_to) {
            let now = writer.count_from(known.file, kept_to).await?;
            gone += now - writer.count_from(known.file, known.held_to()).await?.min(now);
            cuts.push(Cut {
                file: known.file,
                epoch: known.epoch,
                kept_to: kept_to.max(known.first_offset),
                lost_bytes: known.lost_bytes,
                ..cut
            });
        }
        let Some(registered) = writer.register_after_cut(new, compared, &cuts).await? else {
            writer.release(claimed.file).await?;
            return Ok(ClaimResult::Outdated);
        };
        let path = &new.sighting.path;
        warn!(
            file = registered.file.0,
            path,
            offset = kept_to,
            before = claimed.file.0,
            rows = gone,
            "a power cut took the end of this log: the database keeps these rows, whose lines the log \
             no longer has, and goes on after the last line that both have"
        );
        ended.log_ending(path.as_ref(), cut.lost_bytes, Ending::PowerCut);
        ended.count(cut.lost_bytes);
        Ok(ClaimResult::Claimed(Box::new(Self::registered(&registered, losses))))
    }

    /// Closes files that cannot be read any more, under the names that they were last seen by. One that
    /// another writer holds is left to that writer, which can read it or knows more of it.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn close_unread(
        writer: &mut Writer,
        known: &[Checkpoint],
        host: &str,
        ending: Ending,
        losses: &LossCounter,
    ) -> Result<(), StoreError> {
        let unseen = |known: &Checkpoint| Sighting {
            host: host.to_owned(),
            origin: Origin::default(),
            ..known.sighting()
        };
        let seen: Vec<Sighting> = known.iter().map(unseen).collect();
        let requests = known.iter().zip(&seen);
        let requests: Vec<ClaimRequest<'_>> = requests
            .map(|(known, seen)| ClaimRequest { file: known.file, seen, format: &known.format })
            .collect();
        let claimed = writer.claim_all(&requests).await?;
        let claimed = known.iter().zip(claimed).filter_map(|(known, claimed)| {
            let claimed = claimed?;
            Some((Self::new(&claimed, known.lost_bytes, losses), known, claimed.size))
        });
        let mut claimed: Vec<_> = claimed.collect();
        let files = claimed.iter_mut().map(|(file, known, size)| Ended {
            file,
            path: known.path.as_ref(),
            size: *size,
            ending,
        });
        Self::close_all(writer, files.collect()).await
    }

    fn registered(new: &Checkpoint, losses: &LossCounter) -> Self {
        Self { is_new: true, ..Self::new(new, 0, losses) }
    }

    fn new(claimed: &Checkpoint, counted: u64, losses: &LossCounter) -> Self {
        Self {
            claim: Claim {
                file: claimed.file,
                epoch: claimed.epoch,
                committed: claimed.position(),
                released: false,
            },
            size: claimed.size,
            refused: None,
            absent: 0,
            counted,
            losses: losses.clone(),
            was_closed: false,
            is_new: false,
        }
    }

    /// Returns its id.
    pub(crate) fn file(&self) -> FileId {
        self.claim.file
    }

    /// Returns the epoch of the claim.
    pub(crate) fn epoch(&self) -> i64 {
        self.claim.epoch
    }

    /// Returns what the store has to say of it as long as the claim holds.
    pub(crate) fn held(&self) -> Committed {
        let Claim { file, epoch, committed, .. } = self.claim;
        Committed { file, offset: committed.offset, epoch }
    }

    /// Returns whether it was registered by this claim.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Returns whether it was released with its last lines.
    pub(crate) fn is_released(&self) -> bool {
        self.claim.released
    }

    /// Returns the position up to which it is stored.
    pub(crate) fn committed(&self) -> Position {
        self.claim.committed
    }

    /// Returns the claim for a pipeline, which moves the position with what it stores.
    pub(crate) fn claim_mut(&mut self) -> &mut Claim {
        &mut self.claim
    }

    /// Returns the bytes that it is known to have had when it was claimed.
    pub(crate) fn known_size(&self) -> u64 {
        self.size
    }

    /// Takes note of a span that is stored.
    pub(crate) fn stored(&mut self, span: &Span) {
        self.claim.stored(span);
        self.refused.take_if(|(at, _)| *at < span.to.offset);
    }

    /// Has the line at `offset` become a reject when it is read again.
    pub(crate) fn refuse(&mut self, offset: u64, reason: &str) {
        self.refused = Some((offset, reason.replace('\0', "")));
    }

    /// Returns the line that the store refuses, and why.
    pub(crate) fn refused(&self) -> Option<(u64, &str)> {
        self.refused.as_ref().map(|(offset, reason)| (*offset, reason.as_str()))
    }

    /// Writes down that bytes of a file that goes on are gone: the copy at `path` holds `size`
    /// bytes, and the file is known to have had `known`.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn lose_what_a_copy_lacks(
        &mut self,
        writer: &mut Writer,
        path: &Path,
        size: u64,
        known: u64,
    ) -> Result<(), StoreError> {
        // What is stored is not lost. The copy itself may have been truncated since it was compared.
        let bytes = known.saturating_sub(size.max(self.claim.committed.offset));
        if bytes == 0 {
            return Ok(());
        }
        if bytes > self.counted {
            warn!(file = self.claim.file.0, path = %path.display(), bytes,
                "this copy does not hold all of the file: these bytes are lost");
        }
        writer.record_loss(self.claim.file, self.claim.epoch, bytes).await?;
        self.absent = bytes;
        self.count(bytes);
        Ok(())
    }

    /// Returns whether nothing more was expected of it before it was claimed.
    pub(crate) fn was_closed(&self) -> bool {
        self.was_closed
    }

    /// Writes down again what is lost of a file that was closed before an import, if its copy, which
    /// was read to the committed position, does not hold it either.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn end_of_copy(
        &mut self,
        writer: &mut Writer,
        path: &Path,
    ) -> Result<(), StoreError> {
        if !self.was_closed {
            return Ok(());
        }
        let (read, known) = (self.claim.committed.offset, self.size);
        self.lose_what_a_copy_lacks(writer, path, read, known).await
    }

    /// Closes it: nothing more comes under this identity. What it had beyond the committed position,
    /// of `size` bytes, is lost. Then releases it.
    ///
    /// # Errors
    /// The store's. It can be closed again then, and counts once.
    pub(crate) async fn close(
        &mut self,
        writer: &mut Writer,
        path: &Path,
        size: u64,
        ending: Ending,
    ) -> Result<(), StoreError> {
        Self::close_all(writer, vec![Ended { file: self, path, size, ending }]).await
    }

    /// Closes files, and releases them, many in one request.
    ///
    /// # Errors
    /// As for [`ClaimedFile::close`].
    pub(crate) async fn close_all(
        writer: &mut Writer,
        files: Vec<Ended<'_>>,
    ) -> Result<(), StoreError> {
        if files.is_empty() {
            return Ok(());
        }
        let closing = |Ended { file, path, size, ending }: &Ended<'_>| {
            let lost_bytes = size.saturating_sub(file.claim.committed.offset) + file.absent;
            file.log_ending(path, lost_bytes, *ending);
            // Its object holds another file now, which may say the same.
            let kept_to = (*ending == Ending::Truncated).then_some(0);
            let Claim { file, epoch, .. } = file.claim;
            Closing { file, epoch, lost_bytes, reason: ending.closed_reason(), kept_to }
        };
        let closings: Vec<Closing<'_>> = files.iter().map(closing).collect();
        writer.close_files(&closings).await?;
        let mut ids = Vec::with_capacity(files.len());
        for (it, closing) in files.into_iter().zip(&closings) {
            it.file.count(closing.lost_bytes);
            ids.push(closing.file);
        }
        writer.release_all(&ids).await
    }

    fn log_ending(&self, path: &Path, bytes: u64, ending: Ending) {
        let (file, path) = (self.claim.file.0, path.display());
        match ending {
            Ending::Gone if bytes == 0 => info!(file, %path, "gone, and all of it is stored"),
            _ if bytes <= self.counted => {}
            Ending::Truncated => warn!(file, %path, bytes,
                "truncated before all of it was read: these bytes are lost"),
            Ending::Gone => warn!(file, %path, bytes,
                "gone before all of it was read: these bytes are lost"),
            Ending::Deleted => warn!(file, %path, bytes,
                "deleted before all of it was read: these bytes are lost"),
            Ending::Compressed => warn!(file, %path, bytes,
                "compressed from a copy that did not hold all of it: these bytes are lost"),
            Ending::RemovedFromSpool => warn!(file, %path, bytes,
                "removed from the spool before all of it was read: these bytes are lost"),
            Ending::PowerCut => warn!(file, %path, bytes,
                "gone in a power cut before all of it was read: these bytes are lost"),
        }
    }

    /// Lets another writer have it at once.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn release(&self, writer: &mut Writer) -> Result<(), StoreError> {
        writer.release(self.claim.file).await
    }

    /// Counts a loss that the store has, less what was counted before.
    fn count(&mut self, bytes: u64) {
        let more = bytes.saturating_sub(self.counted);
        self.counted = self.counted.max(bytes);
        if let LossCounter::Metrics(metrics) = &self.losses {
            metrics.ingest.bytes_lost(more);
        }
    }
}
