//! Stores batches one after another, and waits while the store is unavailable.
//!
//! The hard case is a connection that is lost after COMMIT was sent: the answer is lost, and it is
//! unknown whether the rows are stored. The offset tells, since it moved in the same transaction. So
//! it is read back: at the span's end, the batch is stored; at its beginning, it is sent again;
//! anywhere else, another writer has taken the file over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tracing::{info, warn};

use crate::metrics::Metrics;
use crate::model::{Batch, FileId};
use crate::store::{Store, StoreError, Writer, chain};

use crate::pipeline::backoff::Backoff;

/// What became of one batch.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The batch is stored; another writer has taken these files over since.
    Stored(Vec<FileId>),
    /// Nothing of the batch is stored: another writer has taken these files over.
    Conflict(Vec<FileId>),
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
    /// The offsets of these files stand somewhere else: another writer moved them.
    TakenOver(Vec<FileId>),
}

/// What is known of an earlier try to store the same batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EarlierTry {
    /// There was none, or it is known that nothing was stored.
    NotStored,
    /// It may have been stored, perhaps over another connection: its COMMIT was not answered.
    Unknown,
}

/// Files that are claimed, with the epochs of their claims.
pub(crate) type Claims = Vec<(FileId, i64)>;

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
    /// Whether there was a connection before.
    was_connected: bool,
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
            was_connected: false,
            metrics: None,
        }
    }

    /// Counts commits and reconnections in `metrics`.
    pub(crate) fn counted(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// Opens a connection, and counts it unless it is the first.
    async fn connect(&mut self) -> Result<(), StoreError> {
        self.writer = Some(self.store.writer(&self.owner).await?);
        if std::mem::replace(&mut self.was_connected, true)
            && let Some(metrics) = &self.metrics
        {
            metrics.ingest.reconnected();
        }
        Ok(())
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
    pub(crate) async fn release(&mut self, claims: &[(FileId, i64)]) {
        let Some(writer) = self.writer.as_mut() else { return };
        let files: Vec<FileId> = claims.iter().map(|&(file, _)| file).collect();
        if let Err(error) = writer.release_all(&files).await {
            self.failed(&error);
        }
    }

    /// Tells an idle database that this process lives, once in [`Writer::KEEP_ALIVE`].
    pub(crate) async fn keep_alive(&mut self) {
        if self.kept_alive.elapsed() < Writer::KEEP_ALIVE {
            return;
        }
        self.kept_alive = Instant::now();
        let Some(writer) = self.writer.as_mut() else { return };
        if let Err(error) = writer.keep_alive().await {
            self.failed(&error);
        }
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

    /// Returns whether the store did not answer when it was asked last.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.unavailable_since.is_some()
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
        claims: &[(FileId, i64)],
    ) -> Result<Vec<FileId>, StoreError> {
        let Some(writer) = self.writer.as_mut() else { return Ok(Vec::new()) };
        writer.hold_all_again(claims).await
    }

    /// Stores the batch, once. Waits while the store is unavailable.
    pub(crate) async fn commit(
        &mut self,
        batch: &Batch,
        claims: &[(FileId, i64)],
        mut earlier: EarlierTry,
    ) -> Outcome {
        let began = Instant::now();
        loop {
            if let Some(at) = self.retry_at {
                tokio::time::sleep_until(at.into()).await;
                self.retry_at = None;
            }
            match self.try_commit(batch, claims, earlier).await {
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
        claims: &[(FileId, i64)],
        earlier: EarlierTry,
    ) -> Result<Outcome, StoreError> {
        let mut lost = Vec::new();
        if self.writer.is_none() {
            self.connect().await?;
            // Claims first: an offset that is read back cannot move while this connection has them.
            lost = self.hold_again(claims).await?;
        }
        if earlier == EarlierTry::Unknown {
            match self.read_back(batch).await? {
                ReadBack::Stored => return Ok(Outcome::Stored(lost)),
                ReadBack::NotStored => {}
                ReadBack::TakenOver(files) => return Ok(Outcome::Conflict(files)),
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
            Ok(()) => Ok(Outcome::Stored(Vec::new())),
            Err(StoreError::Conflict { files, .. }) => Ok(Outcome::Conflict(files)),
            Err(error @ StoreError::BadRow { .. }) => Ok(Outcome::BadRow(chain(&error))),
            Err(error) => Err(error),
        }
    }

    /// Asks what became of a batch whose COMMIT was not answered.
    async fn read_back(&mut self, batch: &Batch) -> Result<ReadBack, StoreError> {
        let Some(writer) = self.writer.as_mut() else { return Ok(ReadBack::NotStored) };
        let files: Vec<FileId> = batch.spans.iter().map(|span| span.file).collect();
        let committed = writer.settled(&files).await?;
        let offset = |file| committed.iter().find(|at| at.file == file).map(|at| at.offset);
        if batch.spans.iter().all(|span| offset(span.file) == Some(span.to.offset)) {
            return Ok(ReadBack::Stored);
        }
        let taken_over: Vec<FileId> = batch
            .spans
            .iter()
            .filter(|span| offset(span.file) != Some(span.from))
            .map(|span| span.file)
            .collect();
        Ok(match taken_over.is_empty() {
            true => ReadBack::NotStored,
            false => ReadBack::TakenOver(taken_over),
        })
    }
}
