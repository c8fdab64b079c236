//! Since when bytes of a file wait to be stored.

use std::collections::VecDeque;
use std::time::Instant;

/// The most looks that are remembered; in a longer backlog two neighbours become one.
const MOST_LOOKS: usize = 16;

/// Sizes of a file at the looks whose bytes are not all stored, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    looks: VecDeque<(u64, Instant)>,
}

impl Waiting {
    /// Takes note of the file's size and of how much is stored, in bytes. Returns the time at which
    /// the oldest byte that is not stored was first seen, and never a later one.
    pub(crate) fn see(&mut self, size: u64, committed: u64, now: Instant) -> Option<Instant> {
        while self.looks.front().is_some_and(|(seen, _)| *seen <= committed) {
            self.looks.pop_front();
        }
        if size > self.looks.back().map_or(committed, |(seen, _)| *seen) {
            self.looks.push_back((size, now));
        }
        if self.looks.len() > MOST_LOOKS {
            let whole = std::mem::take(&mut self.looks);
            let mut pairs = whole.into_iter();
            while let Some((seen, since)) = pairs.next() {
                self.looks.push_back((pairs.next().map_or(seen, |(later, _)| later), since));
            }
        }
        self.looks.front().map(|(_, since)| *since)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn bytes_wait_since_the_look_that_saw_them_first() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut waiting = Waiting::default();
        assert_eq!(waiting.see(100, 100, at(0)), None);
        assert_eq!(waiting.see(150, 100, at(1)), Some(at(1)));
        assert_eq!(waiting.see(200, 100, at(2)), Some(at(1)));
        assert_eq!(waiting.see(200, 149, at(3)), Some(at(1)));
        assert_eq!(waiting.see(200, 150, at(4)), Some(at(2)));
        assert_eq!(waiting.see(200, 200, at(5)), None);
    }

    #[test]
    fn a_long_backlog_is_remembered_in_a_few_looks_and_never_made_younger() {
        let start = Instant::now();
        let mut waiting = Waiting::default();
        let at = |look: u64| start + Duration::from_secs(look);
        for look in 1..=1000 {
            assert_eq!(waiting.see(look * 10, 0, at(look)), Some(at(1)));
            assert!(waiting.looks.len() <= MOST_LOOKS);
        }
        let since = waiting.see(10_000, 5_000, at(1001)).unwrap();
        assert!(since <= at(501), "the byte after 5000 came with look 501");
    }
}
