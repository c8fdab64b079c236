//! Batches over several connections, committed in order.
//!
//! A batch's rows are sent while those before it are still being stored, which is where a database
//! spends its time. Its offset moves, and its transaction ends, only when the one before it has.
//! So what is stored is at every moment a beginning of the file, and whatever is killed or cut off
//! costs the batches that were on their way, and nothing else. (The other way, parts of a file with
//! an offset each, would need a second kind of checkpoint, and parts to be put together again.)

use std::collections::VecDeque;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::model::Batch;
use crate::pipeline::committer::{Claims, Committer, EarlierTry, Outcome};
use crate::store::{Store, StoreError, Writer};

/// A batch that was sent, and its connection if it is stored for certain.
type Sent = (Batch, Option<Writer>);

/// The connections of one import.
#[derive(Debug)]
pub(crate) struct OrderedCommits {
    store: Store,
    owner: String,
    limit: usize,
    idle: Vec<Writer>,
    under_way: VecDeque<JoinHandle<Sent>>,
    /// Batches that may not be stored, after one that failed: to be sent once more, one by one.
    again: VecDeque<Batch>,
    /// Tells that the last batch that was sent is stored.
    last: Option<oneshot::Receiver<()>>,
}

impl OrderedCommits {
    /// Uses at most `limit` connections; fewer if the store has no use for as many.
    pub(crate) fn new(store: Store, owner: String, limit: usize) -> Self {
        let limit = limit.clamp(1, store.concurrent_writers());
        let (under_way, again) = (VecDeque::new(), VecDeque::new());
        Self { store, owner, limit, idle: Vec::new(), under_way, again, last: None }
    }

    /// Returns whether the store takes one writer at a time.
    pub(crate) fn is_alone(&self) -> bool {
        self.store.concurrent_writers() == 1
    }

    /// Returns whether another batch can be sent now.
    pub(crate) fn has_room(&self) -> bool {
        self.again.is_empty() && self.under_way.len() < self.limit
    }

    /// Sends a batch, after those that are under way.
    pub(crate) fn launch(&mut self, batch: Batch) {
        let (stored, last) = oneshot::channel();
        let before = self.last.replace(last);
        let writer = self.idle.pop();
        let (store, owner) = (self.store.clone(), self.owner.clone());
        self.under_way.push_back(tokio::spawn(async move {
            let sent = async {
                let mut writer = match writer {
                    Some(writer) => writer,
                    None => store.writer(&owner).await?,
                };
                writer.stage(&batch).await?;
                if let Some(before) = before
                    && before.await.is_err()
                {
                    return Ok(None); // it failed; this one's transaction ends with its connection
                }
                writer.seal(&batch).await?;
                Ok::<_, StoreError>(Some(writer))
            };
            // The committer that tries again finds out why it failed.
            let writer = sent.await.ok().flatten();
            if writer.is_some() {
                let _ = stored.send(()); // there may be no batch after it
            }
            (batch, writer)
        }));
    }

    /// Waits for the batch that was sent first, and returns what became of it; `None` if none is
    /// under way. If it may not be stored, `committer`, which holds `claims`, sends it and those after
    /// it once more. After one that cannot be stored, those after it are dropped: they are to be
    /// read again.
    pub(crate) async fn land(
        &mut self,
        committer: &mut Committer,
        claims: impl FnOnce() -> Claims,
    ) -> Option<(Batch, Outcome)> {
        if self.again.is_empty() {
            let (batch, writer) = self.next_sent().await?;
            if let Some(writer) = writer {
                self.idle.push(writer);
                return Some((batch, Outcome::Stored(Vec::new())));
            }
            self.again.push_back(batch);
            while let Some((batch, _)) = self.next_sent().await {
                self.again.push_back(batch);
            }
        }
        let batch = self.again.pop_front()?;
        let outcome = committer.commit(&batch, &claims(), EarlierTry::Unknown).await;
        if !matches!(outcome, Outcome::Stored(_)) {
            self.again.clear();
        }
        Some((batch, outcome))
    }

    async fn next_sent(&mut self) -> Option<Sent> {
        let sent = self.under_way.pop_front()?.await.ok();
        if self.under_way.is_empty() {
            self.last = None;
        }
        sent
    }

    /// Ends every connection that is idle.
    pub(crate) async fn end(self) {
        for writer in self.idle {
            writer.end().await;
        }
    }
}
