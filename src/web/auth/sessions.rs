//! Secrets that were checked before: session cookies and Authorization headers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64ct::{Base64UrlUnpadded, Encoding};
use sha2::{Digest, Sha256};

/// How long a session lasts.
pub(super) const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// Most sessions at once. A new session replaces the oldest.
const MAX_SESSIONS: usize = 1000;

type ShortHash = [u8; 32];

/// The SHA-256 of each accepted secret. A client cannot choose a hash byte by byte, so the time of a
/// comparison reveals nothing. No secret stays in memory.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    since: HashMap<ShortHash, Instant>,
}

impl Sessions {
    /// Returns whether this cookie or header was accepted within [`LIFETIME`].
    pub(super) fn knows(&self, secret: &str) -> bool {
        self.since.get(&fingerprint(secret)).is_some_and(|since| since.elapsed() < LIFETIME)
    }

    /// Remembers an accepted cookie or header.
    pub(super) fn remember(&mut self, secret: &str) {
        if self.since.len() >= MAX_SESSIONS {
            self.since.retain(|_, since| since.elapsed() < LIFETIME);
        }
        if self.since.len() >= MAX_SESSIONS {
            let oldest = self.since.iter().min_by_key(|(_, since)| **since).map(|(it, _)| *it);
            oldest.map(|oldest| self.since.remove(&oldest));
        }
        self.since.insert(fingerprint(secret), Instant::now());
    }

    /// Starts a session and returns its cookie. Returns `None` if the system provides no random
    /// numbers: the browser then sends the password with each request.
    pub(super) fn begin(&mut self) -> Option<String> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).ok()?;
        let cookie = Base64UrlUnpadded::encode_string(&random);
        self.remember(&cookie);
        Some(cookie)
    }
}

fn fingerprint(secret: &str) -> ShortHash {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_sessions_is_bounded() {
        let mut sessions = Sessions::default();
        let first = sessions.begin().unwrap();
        assert!(sessions.knows(&first));
        assert!(!sessions.knows("") && !sessions.knows(&first[1..]));
        for _ in 0..MAX_SESSIONS {
            sessions.begin().unwrap();
        }
        assert_eq!(sessions.since.len(), MAX_SESSIONS);
        assert!(!sessions.knows(&first), "the oldest is replaced");
    }
}
