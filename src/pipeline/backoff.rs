//! How long to wait before the next try.

use std::time::Duration;

/// Waits that double with every failure, up to a bound.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    /// The wait that comes next, before jitter.
    next: Duration,
    longest: Duration,
    jitter: Jitter,
}

/// How much of a wait is random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jitter {
    /// Nothing: one process waits for one file.
    None,
    /// Half of it, so that many daemons do not return to a restarted server in the same instant.
    Half,
}

impl Default for Backoff {
    /// Returns the waits between two tries to reach the store: 100 ms to 15 s.
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(15), Jitter::Half)
    }
}

impl Backoff {
    /// Begins with `first`, doubles with each wait, and never waits longer than `longest`.
    pub(crate) const fn new(first: Duration, longest: Duration, jitter: Jitter) -> Self {
        Self { next: first, longest, jitter }
    }

    /// Returns the next wait, and doubles the one after it.
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = match self.jitter {
            Jitter::None => self.next,
            Jitter::Half => self.next.mul_f64(0.5 + fastrand::f64() / 2.0),
        };
        self.next = (self.next * 2).min(self.longest);
        wait
    }

    /// Returns the wait that comes next, before jitter.
    pub(crate) fn next(&self) -> Duration {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(15);

    #[test]
    fn waits_grow_to_their_bound_and_differ() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..20).map(|_| backoff.wait()).collect();
        assert!(waits[0] <= FIRST && waits[0] >= FIRST / 2);
        assert!(waits[10..].iter().all(|wait| *wait <= LONGEST && *wait >= LONGEST / 2));
        assert!(waits[10..].windows(2).any(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn waits_without_jitter_double_exactly() {
        let mut backoff = Backoff::new(FIRST, 5 * FIRST, Jitter::None);
        let waits: Vec<Duration> = (0..4).map(|_| backoff.wait()).collect();
        assert_eq!(waits, [FIRST, 2 * FIRST, 4 * FIRST, 5 * FIRST]);
        assert_eq!(backoff.next(), 5 * FIRST);
    }
}
