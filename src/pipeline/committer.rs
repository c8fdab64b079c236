//! Stores batches one after another, and waits while the store is unavailable.
//!
//! The hard case is a connection that is lost after COMMIT was sent: the answer is lost, and it is
//! unknown whether the rows are stored. The offset tells, since it moved in the same transaction. So
//! it is read back: at the span's end, the batch is stored; at its beginning, it is sent again;
//! anywhere else under a higher epoch, another writer has taken the file over.
//!
//! Epochs and offsets only rise. If one is lower than it was, or the file has no row, the database was restored to
//! an earlier state, or another one is in its place: nothing that is known of it holds. A restore undoes the
//! newest changes first. So it is enough to ask now and then for the file that was stored last.
//!
//! An import has several commits on the way, in the order of the file, and their answers may be lost
//! together. So the end of a later batch of ours, under our epoch, tells that this one is stored, too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tracing::{info, warn};

use crate::metrics::Metrics;
use crate::model::{Batch, FileId, Span};
use crate::store::{Committed, DatabaseId, LostClaim, Store, StoreError, Writer, chain};

use crate::pipeline::backoff::Backoff;

/// What became of one batch.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The batch is stored; another writer has taken these files over since.
    Stored(Vec<FileId>),
    /// Nothing of the batch is stored: another writer has taken these files over.
    Conflict(Vec<FileId>),
    /// The database was restored to an earlier state, or replaced by another. What it holds of any file has to be
    /// asked for anew.
    Restored(StoreError),
    /// Nothing of the batch is stored: the store refuses one of its rows, for this reason.
    BadRow(String),
    /// The store was unavailable for longer than the committer's patience, and it is unknown whether
    /// the batch is stored. Or the tables are not of this program's schema, and nothing of it is.
    GaveUp(StoreError),
}

/// What the offsets tell of a COMMIT that was not answered.
enum ReadBack {
    Stored,
    NotStored,
    /// Another writer has claimed these files, and moved their offsets.
    TakenOver(Vec<FileId>),
    /// An offset is what no writer can have made it: the database was restored.
    Restored,
}

/// What is known of an earlier try to store the same batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EarlierTry {
    /// There was none, or it is known that nothing was stored.
    NotStored,
    /// It may have been stored, perhaps over another connection: its COMMIT was not answered.
    Unknown,
}

/// Files that are claimed, the epochs of their claims, and how far they are stored.
pub(crate) type Claims = Vec<Committed>;

/// Returns how far a file is stored with these lines of it.
fn end_of(span: &Span) -> Committed {
    Committed { file: span.file, offset: span.to.offset, epoch: span.epoch }
}

fn last_of(batch: &Batch) -> Option<Committed> {
    batch.spans.last().map(end_of)
}

/// Owns the connection that writes.
#[derive(Debug)]
pub(crate) struct Committer {
    store: Store,
    /// The name of this writer, for people: `host:pid`.
    owner: String,
    writer: Option<Writer>,
    /// For how long the store may be unavailable; `None` is for ever.
    patience: Option<Duration>,
    /// Since when the store is unavailable.
    unavailable_since: Option<Instant>,
    backoff: Backoff,
    retry_at: Option<Instant>,
    /// Why nothing can be stored any more, if that is so.
    end: Option<String>,
    kept_alive: Instant,
    /// The database of the last connection.
    database: Option<DatabaseId>,
    /// What was stored last.
    newest: Option<Committed>,
    /// Whether the database was replaced, so that a connection is made at once.
    replaced: bool,
    /// Whether the database was found to be restored or replaced, and the owner of the claims does not know yet.
    restored: bool,
    /// Counts commits and reconnections, in the daemon.
    metrics: Option<Arc<Metrics>>,
}

impl Committer {
    pub(crate) fn new(store: Store, owner: String, patience: Option<Duration>) -> Self {
        Self {
            store,
            owner,
            writer: None,
            patience,
            unavailable_since: None,
            backoff: Backoff::default(),
            retry_at: None,
            end: None,
            kept_alive: Instant::now(),
            database: None,
            newest: None,
            replaced: false,
            restored: false,
            metrics: None,
        }
    }

    /// Counts commits and reconnections in `metrics`.
    pub(crate) fn counted(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// Opens a connection, and counts it unless it is the first.
    async fn connect(&mut self) -> Result<(), StoreError> {
        let writer = self.store.writer(&self.owner).await?;
        let database = writer.database();
        self.writer = Some(writer);
        self.replaced = false;
        if let Some(before) = self.database.replace(database) {
            if before != database {
                (self.restored, self.newest) = (true, None);
            }
            if let Some(metrics) = &self.metrics {
                metrics.ingest.reconnected();
            }
        }
        Ok(())
    }

    /// Returns whether the database was found to be restored or replaced since the last call.
    pub(crate) fn take_restored(&mut self) -> bool {
        std::mem::take(&mut self.restored)
    }

    /// Returns the connection, and opens one if there is none; `None` while the next try has to wait.
    ///
    /// # Errors
    /// A connection that cannot be opened.
    pub(crate) async fn writer(&mut self) -> Result<Option<&mut Writer>, StoreError> {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return Ok(None);
        }
        if self.writer.is_none() {
            self.connect().await?;
        }
        Ok(self.writer.as_mut())
    }

    /// Returns whether a store that is unavailable since `began` is not waited for any longer.
    pub(crate) fn gives_up_after(&self, began: Instant) -> bool {
        self.patience.is_some_and(|patience| began.elapsed() > patience)
    }

    /// Returns the connection of a store that is available.
    ///
    /// # Errors
    /// A store that is not.
    pub(crate) async fn available_writer(&mut self) -> anyhow::Result<&mut Writer> {
        self.writer().await?.context("the store is unavailable")
    }

    /// Releases files, so that another writer may claim them at once. A connection that is lost has
    /// released them already.
    pub(crate) async fn release(&mut self, claims: &[Committed]) {
        let Some(writer) = self.writer.as_mut() else { return };
        let files: Vec<FileId> = claims.iter().map(|claim| claim.file).collect();
        if let Err(error) = writer.release_all(&files).await {
            self.failed(&error);
        }
    }

    /// Checks that the database is still there, and tells an idle one that this process lives, once in
    /// [`Writer::KEEP_ALIVE`]. `is_held` says whether a file is still claimed.
    pub(crate) async fn keep_alive(&mut self, is_held: impl FnOnce(FileId) -> bool) {
        if let Err(error) = self.look(is_held).await {
            self.failed(&error);
        }
    }

    async fn look(&mut self, is_held: impl FnOnce(FileId) -> bool) -> Result<(), StoreError> {
        let Some(writer) = self.writer.as_mut() else { return Ok(()) };
        writer.rest();
        writer.check_place()?;
        if self.kept_alive.elapsed() < Writer::KEEP_ALIVE {
            return Ok(());
        }
        self.kept_alive = Instant::now();
        writer.keep_alive().await?;
        let database = Some(writer.database());
        let mut restored = self.database != database;
        self.database = database;
        if let Some(newest) = self.newest {
            let now = writer.committed(&[newest.file]).await?;
            // The row of a file that is closed may be removed after the retention.
            let may_tell = !now.is_empty() || is_held(newest.file);
            restored |= may_tell && newest.lost(now.first()) == Some(LostClaim::Undone);
        }
        if restored {
            (self.restored, self.newest) = (true, None);
        }
        Ok(())
    }

    /// Takes note that the database was found to be restored over this connection.
    async fn found_restored(&mut self) -> Result<(), StoreError> {
        (self.restored, self.newest) = (true, None);
        if let Some(writer) = self.writer.as_mut() {
            // Its tables may be other ones, or not be ready yet.
            writer.keep_alive().await?;
            self.database = Some(writer.database());
        }
        Ok(())
    }

    /// Drops the connection, and with it all locks.
    pub(crate) fn hang_up(&mut self) {
        self.writer = None;
    }

    /// Ends the connection properly.
    pub(crate) async fn end(self) {
        if let Some(writer) = self.writer {
            writer.end().await;
        }
    }

    /// Returns whether the store did not answer when it was asked last, or another one is in its place.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.unavailable_since.is_some() || self.replaced
    }

    /// Returns whether a connection is open.
    pub(crate) fn is_connected(&self) -> bool {
        self.writer.is_some()
    }

    /// Returns why nothing can be stored any more, however long one waits: the tables are of another
    /// schema.
    pub(crate) fn end_of_it(&self) -> Option<&str> {
        self.end.as_deref()
    }

    /// Notes a failure of the store: drops the connection, logs the first failure of an outage, and
    /// lets the next try wait.
    pub(crate) fn failed(&mut self, error: &StoreError) {
        self.writer = None;
        if let StoreError::Replaced { .. } = error {
            self.replaced = true;
            return;
        }
        if let Some(metrics) = &self.metrics {
            metrics.ingest.failed();
            metrics.health.store_failed(chain(error));
        }
        if error.is_about_schema() {
            self.end = Some(chain(error));
            return;
        }
        if self.unavailable_since.is_none() {
            self.unavailable_since = Some(Instant::now());
            warn!(
                error = chain(error),
                "the store is unavailable; lines wait in their files until it returns"
            );
        }
        self.retry_at = Some(Instant::now() + self.backoff.wait());
    }

    /// Notes that the store answered: logs the end of an outage.
    pub(crate) fn worked(&mut self) {
        self.retry_at = None;
        if let Some(metrics) = &self.metrics {
            metrics.health.store_available();
        }
        if let Some(since) = self.unavailable_since.take() {
            self.backoff = Backoff::default();
            info!(away_s = since.elapsed().as_secs(), "the store is back");
        }
    }

    /// Takes files again that were claimed over an older connection. Returns the files that
    /// another writer has taken over.
    ///
    /// # Errors
    /// A store that fails.
    pub(crate) async fn hold_again(
        &mut self,
        claims: &[Committed],
    ) -> Result<Vec<FileId>, StoreError> {
        let Some(writer) = self.writer.as_mut() else { return Ok(Vec::new()) };
        let lost = writer.hold_all_again(claims).await?;
        if lost.iter().any(|(_, how)| *how == LostClaim::Undone) {
            self.found_restored().await?;
        }
        Ok(lost.into_iter().map(|(file, _)| file).collect())
    }

    /// Stores the batch, once. Waits while the store is unavailable. `later` are batches that may have been
    /// sent after this one.
    pub(crate) async fn commit(
        &mut self,
        batch: &Batch,
        later: &[Batch],
        claims: &[Committed],
        mut earlier: EarlierTry,
    ) -> Outcome {
        let began = Instant::now();
        loop {
            if let Some(at) = self.retry_at {
                tokio::time::sleep_until(at.into()).await;
                self.retry_at = None;
            }
            match self.try_commit(batch, later, claims, earlier).await {
                Ok(outcome) => {
                    self.worked();
                    return outcome;
                }
                Err(error) => {
                    self.failed(&error);
                    if error.is_about_schema() {
                        return Outcome::GaveUp(error);
                    }
                    // An idle connection may have been found lost long ago: what counts is how long
                    // this batch waits.
                    if self.gives_up_after(began) {
                        return Outcome::GaveUp(error);
                    }
                    earlier = EarlierTry::Unknown;
                }
            }
        }
    }

    async fn try_commit(
        &mut self,
        batch: &Batch,
        later: &[Batch],
        claims: &[Committed],
        earlier: EarlierTry,
    ) -> Result<Outcome, StoreError> {
        let mut lost = Vec::new();
        if self.writer.is_none() {
            self.connect().await?;
            // Claims first: an offset that is read back cannot move while this connection has them.
            lost = self.hold_again(claims).await?;
        }
        if self.restored {
            return self.restored().await;
        }
        if earlier == EarlierTry::Unknown {
            match self.read_back(batch, later, &lost).await? {
                ReadBack::Stored => {
                    self.newest = last_of(batch);
                    // They may have been taken again with the others.
                    let released = batch.spans.iter().filter(|span| span.releases);
                    let released: Claims = released.map(end_of).collect();
                    if !released.is_empty() {
                        self.release(&released).await;
                    }
                    return Ok(Outcome::Stored(lost));
                }
                ReadBack::NotStored => {}
                ReadBack::TakenOver(files) => return Ok(Outcome::Conflict(files)),
                ReadBack::Restored => return self.restored().await,
            }
        }
        if !lost.is_empty() {
            return Ok(Outcome::Conflict(lost));
        }
        let Some(writer) = self.writer.as_mut() else { return Ok(Outcome::Conflict(Vec::new())) };
        let began = Instant::now();
        let committed = writer.commit(batch).await;
        if let Some(metrics) = &self.metrics {
            metrics.ingest.commit_attempted(began.elapsed());
        }
        match committed {
            Ok(()) => {
                self.newest = last_of(batch);
                Ok(Outcome::Stored(Vec::new()))
            }
            Err(StoreError::Conflict { files, .. }) => {
                Ok(match self.read_back(batch, later, &[]).await? {
                    // An earlier try over another connection may have reached the server only now.
                    ReadBack::Stored if earlier == EarlierTry::Unknown => {
                        Outcome::Stored(Vec::new())
                    }
                    ReadBack::Restored => return self.restored().await,
                    _ => Outcome::Conflict(files),
                })
            }
            Err(error @ StoreError::BadRow { .. }) => Ok(Outcome::BadRow(chain(&error))),
            Err(error) => Err(error),
        }
    }

    async fn restored(&mut self) -> Result<Outcome, StoreError> {
        self.found_restored().await?;
        self.restored = false; // the answer says so
        let store = self.store.location().to_string();
        Ok(Outcome::Restored(StoreError::Replaced { store }))
    }

    /// Asks what became of a batch whose COMMIT was not answered, or was refused. Another writer has claimed the
    /// `lost` files since, so their epochs are not ours.
    async fn read_back(
        &mut self,
        batch: &Batch,
        later: &[Batch],
        lost: &[FileId],
    ) -> Result<ReadBack, StoreError> {
        let Some(writer) = self.writer.as_mut() else { return Ok(ReadBack::NotStored) };
        let files: Vec<FileId> = batch.spans.iter().map(|span| span.file).collect();
        let committed = writer.settled(&files).await?;
        let now = |span: &Span| committed.iter().find(|at| at.file == span.file);
        let offset = |span: &Span| {
            let at = now(span)?;
            (at.epoch == span.epoch || lost.contains(&span.file)).then_some(at.offset)
        };
        // A file that was released with its last lines may have another owner, who goes on after them.
        let is_passed = |span: &Span| {
            let at = now(span).filter(|at| at.epoch >= span.epoch);
            let later = later.iter().flat_map(|batch| &batch.spans);
            let mut ends = std::iter::once(span).chain(later.filter(|it| it.file == span.file));
            ends.any(|it| it.releases && at.is_some_and(|at| at.offset >= it.to.offset))
        };
        let is_stored = |span: &Span| {
            let later = later.iter().flat_map(|batch| &batch.spans);
            let ends = later.filter(|it| it.file == span.file).map(|it| it.to.offset);
            let offset = offset(span);
            is_passed(span)
                || std::iter::once(span.to.offset).chain(ends).any(|end| offset == Some(end))
        };
        if batch.spans.iter().all(is_stored) {
            return Ok(ReadBack::Stored);
        }
        let others: Vec<&Span> =
            batch.spans.iter().filter(|span| offset(span) != Some(span.from)).collect();
        let is_taken_over = |span: &&&Span| now(span).is_some_and(|at| at.epoch > span.epoch);
        Ok(match others.is_empty() {
            true => ReadBack::NotStored,
            false if others.iter().all(|span| is_taken_over(&span)) => {
                ReadBack::TakenOver(others.iter().map(|span| span.file).collect())
            }
            false => ReadBack::Restored,
        })
    }
}
