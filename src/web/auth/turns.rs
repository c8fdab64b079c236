//! The order of checks of passwords and tokens.
//!
//! A check takes tens of milliseconds of a processor by design, so there is one at a time. Each peer has a
//! queue of its own, and the queues take turns: a peer that tries many passwords delays others by one check.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

/// Delay of the answer to a wrong password or token, or to what is neither. A client that waits for it is not in the queue.
pub(super) const DELAY: Duration = Duration::from_secs(1);

/// Pause after the check of a wrong password or token, in times of what the check took: such checks occupy a quarter of
/// a processor at most.
const PAUSE: u32 = 3;

#[derive(Debug)]
pub(super) struct Turns {
    /// A lock for each peer that has a check to make; its waiters are the queue.
    queues: Mutex<HashMap<IpAddr, Arc<tokio::sync::Mutex<()>>>>,
    /// When the next check may begin. The holder of the lock is the one check at a time.
    next: tokio::sync::Mutex<Instant>,
    /// Delay of the answer to something wrong: [`DELAY`].
    delay: Duration,
}

impl Turns {
    pub(super) fn new(delay: Duration) -> Turns {
        Turns { queues: Mutex::default(), next: tokio::sync::Mutex::new(Instant::now()), delay }
    }

    /// Runs the check when it is the peer's turn, and returns its result: after a delay if it is false.
    pub(super) async fn check(&self, peer: IpAddr, check: impl FnOnce() -> bool) -> bool {
        let is_right = {
            let queue = self.queue(peer);
            let _first = queue.lock().await;
            // The lock is fair: the first of each queue waits for those of the others once.
            let mut next = self.next.lock().await;
            sleep_until(*next).await;
            let began = Instant::now();
            let is_right = tokio::task::block_in_place(check);
            if !is_right {
                *next = Instant::now() + began.elapsed() * PAUSE;
            }
            is_right
        };
        if !is_right {
            self.delay_refusal().await;
        }
        is_right
    }

    /// Waits as long as an answer to something wrong waits.
    pub(super) async fn delay_refusal(&self) {
        if !self.delay.is_zero() {
            sleep(self.delay).await;
        }
    }

    fn queue(&self, peer: IpAddr) -> Arc<tokio::sync::Mutex<()>> {
        // A panic cannot leave the map half changed, so a poisoned lock is usable.
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|_, queue| Arc::strong_count(queue) > 1);
        Arc::clone(queues.entry(peer).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_long_queue_of_one_peer_delays_another_by_one_check() {
        let (turns, order) = (Turns::new(DELAY), Mutex::new(Vec::new()));
        let check = |name: u8, peer: u8| {
            let order = &order;
            turns.check([192, 0, 2, peer].into(), move || {
                order.lock().unwrap().push(name);
                true
            })
        };
        let held = turns.next.lock().await;
        let mut waiting: Vec<_> = (0..20).map(|nth| Box::pin(check(nth, 1))).collect();
        waiting.push(Box::pin(check(100, 2)));
        for one in &mut waiting {
            let polled = poll_fn(|context| Poll::Ready(one.as_mut().poll(context))).await;
            assert!(polled.is_pending());
        }
        // Two that do not wait any longer leave no gap.
        drop((waiting.remove(1), waiting.remove(1)));
        drop(held);
        futures_util::future::join_all(waiting).await;
        let order = order.lock().unwrap();
        assert_eq!(order[..3], [0, 100, 3], "{order:?}");
        assert_eq!(order.len(), 19);
        assert_eq!(turns.queues.lock().unwrap().len(), 2);
        turns.queue([192, 0, 2, 3].into());
        assert_eq!(turns.queues.lock().unwrap().len(), 1, "queues without a waiter are removed");
    }
}
