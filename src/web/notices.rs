//! Log lines about refused clients: at most one a minute for each kind, with how many there were.
//!
//! A client decides how often it is refused. It must not decide how long the log is.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

/// Between two lines of one kind.
const EVERY: Duration = Duration::from_secs(60);

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A wrong password or token, or a header that has neither.
    Secret,
    /// A request that another site has caused.
    CrossSite,
    /// A connection of a peer that has too many.
    Connection,
    /// A TLS handshake that failed, most often since the client does not trust the certificate.
    Handshake,
    /// A request without TLS where the page has it.
    WithoutTls,
}

impl Refused {
    const ALL: [Refused; 5] = [
        Refused::Secret,
        Refused::CrossSite,
        Refused::Connection,
        Refused::Handshake,
        Refused::WithoutTls,
    ];

    fn warn(self, Line { times, peer }: Line) {
        match self {
            Self::Secret => warn!(times, %peer, "the page refused a wrong password or token"),
            Self::CrossSite => warn!(times, %peer, "the page refused a request of another site"),
            Self::Connection => {
                warn!(times, %peer, "the page refused connections beyond the share of their peer");
            }
            Self::Handshake => warn!(times, %peer, "TLS handshakes with the page have failed"),
            Self::WithoutTls => warn!(times, %peer, "the page refused requests without TLS"),
        }
    }
}

/// What a line says: how many there were since the last one, and the last peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    times: u64,
    peer: SocketAddr,
}

/// Refusals of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    said: Option<Instant>,
    unsaid: Option<Line>,
}

impl Count {
    fn add(&mut self, peer: SocketAddr) {
        let times = self.unsaid.map_or(0, |it| it.times) + 1;
        self.unsaid = Some(Line { times, peer });
    }

    /// Returns the line that is due.
    fn due(&mut self, now: Instant) -> Option<Line> {
        if self.said.is_some_and(|said| now.duration_since(said) < EVERY) {
            return None;
        }
        let line = self.unsaid.take()?;
        self.said = Some(now);
        Some(line)
    }
}

/// Counts refusals and logs them.
#[derive(Debug, Default)]
pub(super) struct Notices([Mutex<Count>; Refused::ALL.len()]);

impl Notices {
    /// Counts a refusal. The first one is logged at once.
    pub(super) fn count(&self, kind: Refused, peer: SocketAddr) {
        self.update(kind, |count| count.add(peer));
    }

    /// Logs what is due, now and then, and never returns.
    pub(super) async fn log(&self) {
        loop {
            tokio::time::sleep(EVERY / 12).await;
            Refused::ALL.into_iter().for_each(|kind| self.update(kind, |_| ()));
        }
    }

    fn update(&self, kind: Refused, update: impl FnOnce(&mut Count)) {
        // A panic cannot leave the numbers half changed, so a poisoned lock is usable.
        let mut count = self.0[kind as usize].lock().unwrap_or_else(PoisonError::into_inner);
        update(&mut count);
        let due = count.due(Instant::now());
        drop(count);
        if let Some(line) = due {
            kind.warn(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_says_how_many_there_were() {
        let (mut count, began) = (Count::default(), Instant::now());
        let peer = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(count.due(at(0)), None);
        count.add(peer(1));
        assert_eq!(count.due(at(0)), Some(Line { times: 1, peer: peer(1) }));
        for port in 2..=1000 {
            count.add(peer(port));
            assert_eq!(count.due(at(59)), None);
        }
        assert_eq!(count.due(at(60)), Some(Line { times: 999, peer: peer(1000) }));
        assert_eq!(count.due(at(600)), None, "there was none since");
    }
}
