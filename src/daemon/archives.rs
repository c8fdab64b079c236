//! Archives in the watched places: offered by a look, read in a task of their own, so that a large
//! one holds nobody up.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::model::FileKey;

use crate::commands::import::{Archivist, Found, Verdict};
use crate::daemon::files::FollowedFiles;

/// The first wait before an archive is tried again.
const FIRST: Duration = Duration::from_secs(1);

/// The longest.
const LONGEST: Duration = Duration::from_secs(300);

/// When to read an archive, and how long to wait after that.
#[derive(Debug)]
struct Turn {
    due: Instant,
    wait: Duration,
}

type Read = Vec<(Found, anyhow::Result<Verdict>)>;

/// Those that are to be read, and the task that reads them.
#[derive(Debug, Default)]
pub(crate) struct Archives {
    turns: HashMap<FileKey, Turn>,
    reading: Option<JoinHandle<Read>>,
}

impl Archives {
    /// It is new, or has changed.
    pub(crate) fn offer(&mut self, key: FileKey) {
        self.turns.insert(key, Turn { due: Instant::now(), wait: FIRST });
    }

    /// Whether no archive is expected to give more soon.
    pub(crate) fn are_settled(&self) -> bool {
        self.reading.is_none() && self.turns.values().all(|turn| turn.wait > 8 * FIRST)
    }

    /// When the next one is due, if nothing is being read.
    pub(crate) fn due(&self) -> Option<Instant> {
        let next = self.turns.values().map(|turn| turn.due).min();
        next.filter(|_| self.reading.is_none())
    }

    /// Begins to read those that are due.
    pub(crate) fn launch(&mut self, files: &FollowedFiles, archivist: impl FnOnce() -> Archivist) {
        let now = Instant::now();
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        let mut found = Vec::new();
        self.turns.retain(|key, turn| match files.archive(*key) {
            None => false,
            Some(archive) => {
                if turn.due <= now {
                    turn.wait = (turn.wait * 2).min(LONGEST);
                    turn.due = now + turn.wait;
                    found.push(archive);
                }
                true
            }
        });
        if !found.is_empty() {
            found.sort_by(|one, other| one.path.cmp(&other.path));
            self.reading = Some(tokio::spawn(archivist().read(found)));
        }
    }

    /// Waits for the task that reads; for ever if there is none. Cancel-safe.
    pub(crate) async fn finished(&mut self) {
        let read = match self.reading.as_mut() {
            Some(reading) => reading.await.unwrap_or_default(),
            None => std::future::pending().await,
        };
        self.reading = None;
        for (found, verdict) in read {
            let path = found.path.display();
            match verdict {
                Ok(Verdict::Held | Verdict::Incomplete) => continue, // it has its next turn
                Ok(Verdict::Stored(0)) => {}
                Ok(Verdict::Stored(lines)) => info!(%path, lines, "finished from its archive"),
                Ok(Verdict::Stranger) => info!(
                    %path,
                    "an archive of a log that was not followed here: left alone; \
                     `log-ingestd import` reads it"
                ),
                // Gone, or renamed and found again by the next look.
                Err(error) if is_missing(&error) => continue,
                Err(error) => warn!(%path, "cannot read this archive: {error:#}"),
            }
            self.turns.remove(&found.key);
        }
    }

    /// Lets the task end, or ends it.
    pub(crate) async fn stop(&mut self, patience: Duration) {
        let Some(mut reading) = self.reading.take() else { return };
        if tokio::time::timeout(patience, &mut reading).await.is_err() {
            reading.abort(); // like a kill: what is not committed is read again
        }
    }
}

fn is_missing(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::NotFound)
}
