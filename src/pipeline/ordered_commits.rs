//! Batches of one file over several connections, committed in order.
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
use crate::store::{Store, StoreError, Writer};

/// A batch that has arrived, and its connection if it is stored for certain.
type Landed = (Batch, Option<Writer>);

/// The connections of one import.
#[derive(Debug)]
pub(crate) struct OrderedCommits {
    store: Store,
    owner: String,
    limit: usize,
    idle: Vec<Writer>,
    under_way: VecDeque<JoinHandle<Landed>>,
    /// Tells that the last batch that was sent is stored.
    last: Option<oneshot::Receiver<()>>,
}

impl OrderedCommits {
    /// At most `limit` of them; fewer if the store has no use for as many.
    pub(crate) fn new(store: Store, owner: String, limit: usize) -> Self {
        let limit = limit.clamp(1, store.concurrent_writers());
        Self { store, owner, limit, idle: Vec::new(), under_way: VecDeque::new(), last: None }
    }

    /// Whether the store takes one writer at a time.
    pub(crate) fn is_alone(&self) -> bool {
        self.store.concurrent_writers() == 1
    }

    pub(crate) fn has_room(&self) -> bool {
        self.under_way.len() < self.limit
    }

    /// Sends a batch on its way, behind those that are.
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
            // Why it failed is found out, and told, by the one who tries again.
            let writer = sent.await.ok().flatten();
            if writer.is_some() {
                let _ = stored.send(()); // nobody may be behind it
            }
            (batch, writer)
        }));
    }

    /// Says good-bye on every connection that is idle.
    pub(crate) async fn end(self) {
        for writer in self.idle {
            writer.end().await;
        }
    }

    /// The batch that was sent first, when it has arrived, and whether it is stored for certain;
    /// `None` if none is under way. After one that is not, none behind it is.
    pub(crate) async fn land(&mut self) -> Option<(Batch, bool)> {
        let (batch, writer) = self.under_way.pop_front()?.await.ok()?;
        let stored = writer.is_some();
        self.idle.extend(writer);
        if self.under_way.is_empty() {
            self.last = None;
        }
        Some((batch, stored))
    }
}
