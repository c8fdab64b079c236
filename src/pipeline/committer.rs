//! A batch into the store, whatever the store does meanwhile.
//!
//! The hard case is a connection that is lost after COMMIT was sent: the answer is lost, and
//! nobody knows whether the rows are there. The offset knows, since it moved in the same
//! transaction: it is read back, and says stored (it stands at the span's end), send again (it
//! stands at its beginning), or somebody else's (anything else).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::metrics::Metrics;
use crate::model::{Batch, FileId};
use crate::store::{Store, StoreError, Writer, chain};

use crate::pipeline::backoff::Backoff;

/// The end of one batch.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is stored; these files were taken over by somebody else since.
    Stored(Vec<FileId>),
    /// Nothing of it is stored: these files are written by somebody else now.
    Conflict(Vec<FileId>),
    /// Nothing of it is stored: the store refuses one of its rows.
    BadRow(String),
    /// Nothing of it is known to be stored: the store was away for longer than it may, or nothing of it
    /// is stored, for its tables are not of this program's schema.
    GaveUp(StoreError),
}

/// What the offsets say of a COMMIT that was not answered.
enum Landing {
    Happened,
    DidNot,
    /// These stand somewhere else: not ours.
    Elsewhere(Vec<FileId>),
}

/// Files that are claimed, with the epochs of their claims.
pub(crate) type Claims = Vec<(FileId, i64)>;

/// Owns the connection that writes.
#[derive(Debug)]
pub(crate) struct Committer {
    store: Store,
    /// Who writes, for people: `host:pid`.
    owner: String,
    writer: Option<Writer>,
    /// For how long a store may be away; `None` is for ever.
    patience: Option<Duration>,
    /// Since when it is away.
    away: Option<Instant>,
    backoff: Backoff,
    retry_at: Option<Instant>,
    /// Why nothing can be stored any more, if that is so.
    end: Option<String>,
    kept_alive: Instant,
    /// Whether there was a connection before.
    connected: bool,
    /// Where it is counted, in the daemon.
    metrics: Option<Arc<Metrics>>,
}

impl Committer {
    pub(crate) fn new(store: Store, owner: String, patience: Option<Duration>) -> Self {
        let backoff = Backoff::default();
        let kept_alive = Instant::now();
        Self {
            store,
            owner,
            writer: None,
            patience,
            away: None,
            backoff,
            retry_at: None,
            end: None,
            kept_alive,
            connected: false,
            metrics: None,
        }
    }

    /// Counts in `metrics` from now on.
    pub(crate) fn counted(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// Connects.
    async fn connect(&mut self) -> Result<(), StoreError> {
        self.writer = Some(self.store.writer(&self.owner).await?);
        if std::mem::replace(&mut self.connected, true)
            && let Some(metrics) = &self.metrics
        {
            metrics.ingest.reconnected();
        }
        Ok(())
    }

    /// The connection, if there is one and the store is not known to be away; made if need be.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn writer(&mut self) -> Result<Option<&mut Writer>, StoreError> {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return Ok(None);
        }
        if self.writer.is_none() {
            self.connect().await?;
        }
        Ok(self.writer.as_mut())
    }

    /// Lets files go, so that another writer may have them at once. A connection that is lost has
    /// let them go already.
    pub(crate) async fn release(&mut self, claims: &[(FileId, i64)]) {
        let Some(writer) = self.writer.as_mut() else { return };
        let files: Vec<FileId> = claims.iter().map(|&(file, _)| file).collect();
        if let Err(error) = writer.release_all(&files).await {
            self.failed(&error);
        }
    }

    /// Tells an idle database that this process lives, when it is time to.
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

    /// Gives the connection up, and with it all locks.
    pub(crate) fn hang_up(&mut self) {
        self.writer = None;
    }

    /// Says good-bye.
    pub(crate) async fn end(self) {
        if let Some(writer) = self.writer {
            writer.end().await;
        }
    }

    /// Whether the store did not answer when it was asked last.
    pub(crate) fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// Whether a connection is open.
    pub(crate) fn is_connected(&self) -> bool {
        self.writer.is_some()
    }

    /// Why nothing can be stored any more, whatever one waits for: the tables are of another schema.
    pub(crate) fn end_of_it(&self) -> Option<&str> {
        self.end.as_deref()
    }

    /// Something failed: the connection is given up, one message tells when the store goes away,
    /// and the next try waits.
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
        if self.away.is_none() {
            self.away = Some(Instant::now());
            warn!(
                error = chain(error),
                "the store is away; lines wait in their files until it returns"
            );
        }
        self.retry_at = Some(Instant::now() + self.backoff.wait());
    }

    /// Something worked: one message tells that the store is back.
    pub(crate) fn worked(&mut self) {
        self.retry_at = None;
        if let Some(metrics) = &self.metrics {
            metrics.health.store_available();
        }
        if let Some(since) = self.away.take() {
            self.backoff = Backoff::default();
            info!(away_s = since.elapsed().as_secs(), "the store is back");
        }
    }

    /// Takes the locks of files that were claimed over an older connection; gives those that
    /// somebody else has taken over.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn hold_again(
        &mut self,
        claims: &[(FileId, i64)],
    ) -> Result<Vec<FileId>, StoreError> {
        let Some(writer) = self.writer.as_mut() else { return Ok(Vec::new()) };
        let mut lost = Vec::new();
        for &(file, epoch) in claims {
            if !writer.hold_again(file, epoch).await? {
                lost.push(file);
            }
        }
        Ok(lost)
    }

    /// Stores the batch, once. Waits for a store that is away.
    pub(crate) async fn commit(&mut self, batch: &Batch, claims: &[(FileId, i64)]) -> Outcome {
        self.commit_unless(batch, claims, false).await
    }

    /// The same for a batch that was sent over another connection and may be stored already.
    pub(crate) async fn commit_again(
        &mut self,
        batch: &Batch,
        claims: &[(FileId, i64)],
    ) -> Outcome {
        self.commit_unless(batch, claims, true).await
    }

    /// `unknown`: whether an earlier try may have been stored.
    async fn commit_unless(
        &mut self,
        batch: &Batch,
        claims: &[(FileId, i64)],
        mut unknown: bool,
    ) -> Outcome {
        loop {
            if let Some(at) = self.retry_at {
                tokio::time::sleep_until(at.into()).await;
                self.retry_at = None;
            }
            match self.try_commit(batch, claims, unknown).await {
                Ok(outcome) => {
                    self.worked();
                    return outcome;
                }
                Err(error) => {
                    self.failed(&error);
                    if error.is_about_schema() {
                        return Outcome::GaveUp(error);
                    }
                    let away = self.away.map_or(Duration::ZERO, |since| since.elapsed());
                    if self.patience.is_some_and(|patience| away > patience) {
                        return Outcome::GaveUp(error);
                    }
                    unknown = true;
                }
            }
        }
    }

    async fn try_commit(
        &mut self,
        batch: &Batch,
        claims: &[(FileId, i64)],
        unknown: bool,
    ) -> Result<Outcome, StoreError> {
        let mut lost = Vec::new();
        if self.writer.is_none() {
            self.connect().await?;
            // Locks first: what is read back cannot move any more while they are held.
            lost = self.hold_again(claims).await?;
        }
        if unknown {
            match self.read_back(batch).await? {
                Landing::Happened => return Ok(Outcome::Stored(lost)),
                Landing::DidNot => {}
                Landing::Elsewhere(files) => return Ok(Outcome::Conflict(files)),
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

    /// What became of a batch whose COMMIT was not answered.
    async fn read_back(&mut self, batch: &Batch) -> Result<Landing, StoreError> {
        let Some(writer) = self.writer.as_mut() else { return Ok(Landing::DidNot) };
        let files: Vec<FileId> = batch.spans.iter().map(|span| span.file).collect();
        let committed = writer.settled(&files).await?;
        let offset = |file| committed.iter().find(|at| at.file == file).map(|at| at.offset);
        if batch.spans.iter().all(|span| offset(span.file) == Some(span.to.offset)) {
            return Ok(Landing::Happened);
        }
        let elsewhere: Vec<FileId> = batch
            .spans
            .iter()
            .filter(|span| offset(span.file) != Some(span.from))
            .map(|span| span.file)
            .collect();
        Ok(if elsewhere.is_empty() { Landing::DidNot } else { Landing::Elsewhere(elsewhere) })
    }
}
