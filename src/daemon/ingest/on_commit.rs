//! What the result of a commit changes.

use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use crate::daemon::files::IgnoredFile;
use crate::model::{Batch, FileId};
use crate::pipeline::bisect::Refusal;
use crate::pipeline::committer::Outcome;

use crate::daemon::ingest::{DRAIN, Landed, Pipeline};

/// Time until a file that another writer has taken over is asked for again.
const TAKEN_OVER: Duration = Duration::from_secs(5);

impl Pipeline {
    /// Waits for the commit that is under way, if there is one.
    pub(crate) async fn land(&mut self) {
        if let Some(flight) = self.in_flight.take() {
            let landed = flight.await.ok();
            self.landed(landed);
        }
    }

    /// Returns why nothing can be stored any more, if that is so.
    pub(crate) fn end_of_it(&self) -> Option<anyhow::Error> {
        let why = self.committer.as_ref()?.end_of_it()?;
        Some(anyhow::anyhow!("{why}"))
    }

    /// Takes the result of a commit; `None` if its task was cut off.
    pub(crate) fn landed(&mut self, landed: Option<Landed>) {
        let Some((committer, mut batch, outcome)) = landed else {
            // The task can only end early if the runtime goes down with it.
            error!("a commit was cut off");
            return;
        };
        self.committer = Some(committer);
        match outcome {
            Outcome::Stored(taken_over) => {
                self.stored(&batch);
                self.taken_over(&taken_over);
            }
            Outcome::Conflict(files) => {
                self.discard();
                self.taken_over(&files);
            }
            Outcome::BadRow(reason) => {
                self.discard();
                self.refused(&batch, &reason);
            }
            // Waiting does not help: the committer knows why, and the pipeline ends.
            Outcome::GaveUp(_) => self.discard(),
        }
        batch.clear();
        self.spare = Some(batch);
        self.tell_queue();
        self.unsaid = true;
    }

    fn stored(&mut self, batch: &Batch) {
        self.metrics.ingest.stored(batch);
        for span in &batch.spans {
            debug!(
                file = span.file.0,
                from = span.from,
                to = span.to.offset,
                rows = span.rows,
                rejected = span.rejected,
                excluded = span.excluded,
                "stored"
            );
            self.files.stored(span);
        }
        self.bisect.stored(batch);
    }

    /// Forgets what was read and not stored. It is read again.
    fn discard(&mut self) {
        self.building.clear();
        self.files.rewind();
    }

    /// Stops following files that another writer has taken over.
    pub(crate) fn taken_over(&mut self, files: &[FileId]) {
        for file in files {
            self.files.truncated.retain(|truncated| truncated.file() != *file);
            let Some(at) = self.files.followed.iter().position(|it| it.file() == *file) else {
                continue;
            };
            let tail = self.files.followed.swap_remove(at).tail;
            warn!(file = file.0, path = %tail.path().display(),
                "another log-ingestd took this file over; not storing it any more");
            let until = Instant::now() + TAKEN_OVER;
            self.files
                .ignored
                .push(IgnoredFile::held_by_another_writer(tail.from_beginning(), until));
        }
        if !files.is_empty() {
            self.discard();
        }
    }

    /// The store refuses a row of this batch: it is found in smaller ones, and becomes a reject.
    fn refused(&mut self, batch: &Batch, reason: &str) {
        let Refusal::Reject(lines) = self.bisect.refused(batch) else { return };
        for (file, offset) in lines {
            warn!(file = file.0, offset, reason, "the store refuses this line");
            self.files.refuse(file, offset, reason);
        }
    }

    /// Stores what was read, for at most [`DRAIN`].
    pub(crate) async fn drain(&mut self) {
        let end = tokio::time::Instant::now() + DRAIN;
        let mut stored = true;
        loop {
            if let Some(flight) = self.in_flight.as_mut() {
                match tokio::time::timeout_at(end, flight).await {
                    Ok(landed) => {
                        self.in_flight = None;
                        self.landed(landed.ok());
                    }
                    Err(_) => {
                        stored = false;
                        break;
                    }
                }
            }
            if self.building.is_empty() {
                break;
            }
            self.launch();
        }
        if stored {
            info!("stopped; everything that was read is stored");
        } else {
            warn!("stopping while the store is away; what is not stored is read at the next start");
        }
    }
}
