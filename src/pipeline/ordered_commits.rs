//! Batches over several connections, committed in order.
//!
//! A batch's rows are sent while those before it are still being stored, which is where a database
//! spends its time. Its offset moves, and its transaction ends, only when the one before it has.
//! So what is stored is at every moment a beginning of the file, and whatever is killed or cut off
//! costs the batches that were on their way, and nothing else. (The other way, parts of a file with
//! an offset each, would need a second kind of checkpoint, and parts to be put together again.)
//!
//! The server keeps the order: a connection has a turn for its next batch before that is sent, and each
//! batch waits there for the turn before it to end ([`Lane::commit`]). No answer has to come back between two
//! batches, so a distant server costs one round trip for all that are under way. If one fails, those after it
//! find another offset, and fail too.
//!
//! Several commits may be unanswered when a connection is lost. An offset that is read back may then
//! be the end of any batch that was sent: all batches up to that one are stored.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::model::Batch;
use crate::pipeline::committer::{Claims, Committer, EarlierTry, Outcome};
use crate::store::{Lane, Store, StoreError, Turn};

/// So much of a round trip makes one more connection worth it.
const WAITING: Duration = Duration::from_millis(20);

/// How many connections send at once. A store of which one writer may write has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// So many.
    Exactly(usize),
    /// So many at work, and for a distant server more, which wait for bytes on their way: 8 at most.
    ByDistance(usize),
}

impl Connections {
    /// Returns how many there are for a server at this distance.
    fn limit(self, round_trip: Duration) -> usize {
        match self {
            Self::Exactly(limit) => limit,
            Self::ByDistance(at_work) => {
                let waiting = round_trip.div_duration_f64(WAITING).round() as usize;
                (at_work + waiting).min(at_work.max(MOST))
            }
        }
    }
}

/// Most connections, unless more are asked for: each has a batch of 4 MiB or a little more, and an import has
/// to do with 64 MiB.
const MOST: usize = 8;

/// A batch that was sent, and its connection if it is stored for certain.
type Sent = (Batch, Option<Lane>);

/// The connections of one import.
#[derive(Debug)]
pub(crate) struct OrderedCommits {
    store: Store,
    owner: String,
    limit: usize,
    idle: Vec<Lane>,
    /// Lanes that are being connected.
    warming: Vec<JoinHandle<Result<Lane, StoreError>>>,
    under_way: VecDeque<JoinHandle<Sent>>,
    /// Batches that may not be stored, after one that failed: to be sent once more, one by one.
    again: VecDeque<Batch>,
    /// Tells the turn of the last batch, when its connection is made.
    last: Option<oneshot::Receiver<Turn>>,
}

impl OrderedCommits {
    pub(crate) fn new(store: Store, owner: String, connections: Connections) -> Self {
        let limit = connections.limit(store.round_trip()).clamp(1, store.concurrent_writers());
        let (under_way, again) = (VecDeque::new(), VecDeque::new());
        let (idle, warming) = (Vec::new(), Vec::new());
        Self { store, owner, limit, idle, warming, under_way, again, last: None }
    }

    /// Begins to connect: to a distant server it takes some round trips, which need not wait until the store is
    /// open and the first batches are read. `batches` is about how many there will be.
    pub(crate) fn warm_up(&mut self, batches: usize) {
        if self.is_alone() {
            return; // a second connection would keep others from the file
        }
        for _ in self.warming.len()..batches.min(self.limit) {
            let (store, owner) = (self.store.clone(), self.owner.clone());
            self.warming.push(tokio::spawn(async move { store.lane(&owner).await }));
        }
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
        let (connected, last) = oneshot::channel();
        let before = self.last.replace(last);
        let lane = self.idle.pop();
        let warming = if lane.is_none() { self.warming.pop() } else { None };
        let (store, owner) = (self.store.clone(), self.owner.clone());
        self.under_way.push_back(tokio::spawn(async move {
            let sent = async {
                let warmed = match warming {
                    Some(warming) => warming.await.ok().and_then(Result::ok),
                    None => None,
                };
                let mut lane = match lane.or(warmed) {
                    Some(lane) => lane,
                    None => store.lane(&owner).await?,
                };
                let _ = connected.send(lane.turn()); // there may be no batch after it
                let after = match before {
                    Some(before) => match before.await {
                        Ok(turn) => Some(turn),
                        Err(_) => return Ok(None), // that batch was not sent
                    },
                    None => None,
                };
                lane.commit(&batch, after).await?;
                Ok::<_, StoreError>(Some(lane))
            };
            // The committer that tries again finds out why it failed.
            let lane = sent.await.ok().flatten();
            (batch, lane)
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
            let (batch, lane) = self.next_sent().await?;
            if let Some(lane) = lane {
                self.idle.push(lane);
                return Some((batch, Outcome::Stored(Vec::new())));
            }
            self.again.push_back(batch);
            while let Some((batch, _)) = self.next_sent().await {
                self.again.push_back(batch);
            }
        }
        let batch = self.again.pop_front()?;
        let later = self.again.make_contiguous();
        let outcome = committer.commit(&batch, later, &claims(), EarlierTry::Unknown).await;
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
        for lane in self.idle {
            lane.end().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_takes_more_connections_unless_their_number_is_given() {
        let limit = |connections: Connections, ms| connections.limit(Duration::from_millis(ms));
        for (ms, expected) in [(0, 2), (1, 2), (20, 3), (80, 6), (500, 8)] {
            assert_eq!(limit(Connections::ByDistance(2), ms), expected, "{ms} ms");
            assert_eq!(limit(Connections::Exactly(1), ms), 1);
        }
        assert_eq!(limit(Connections::ByDistance(16), 80), 16);
    }
}
