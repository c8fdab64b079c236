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

/// What an accepted secret opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// A person's: the page and all paths.
    All,
    /// A program's: the paths of probes.
    Probes,
}

/// The SHA-256 of each accepted secret. A client cannot choose a hash byte by byte, so the time of a
/// comparison reveals nothing. No secret stays in memory.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    since: HashMap<ShortHash, (Instant, Scope)>,
}

impl Sessions {
    /// Returns what this cookie or header opens, if it was accepted within [`LIFETIME`].
    pub(super) fn scope(&self, secret: &str) -> Option<Scope> {
        let (since, scope) = self.since.get(&fingerprint(secret))?;
        (since.elapsed() < LIFETIME).then_some(*scope)
    }

    /// Remembers an accepted cookie or header.
    pub(super) fn remember(&mut self, secret: &str, scope: Scope) {
        if self.since.len() >= MAX_SESSIONS {
            self.since.retain(|_, (since, _)| since.elapsed() < LIFETIME);
        }
        if self.since.len() >= MAX_SESSIONS {
            let oldest = self.since.iter().min_by_key(|(_, (since, _))| *since).map(|(it, _)| *it);
            oldest.map(|oldest| self.since.remove(&oldest));
        }
        self.since.insert(fingerprint(secret), (Instant::now(), scope));
    }

    /// Starts a person's session and returns its cookie. Returns `None` if the system provides no random
    /// numbers: the browser then sends the password with each request.
    pub(super) fn begin(&mut self) -> Option<String> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).ok()?;
        let cookie = Base64UrlUnpadded::encode_string(&random);
        self.remember(&cookie, Scope::All);
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
        assert_eq!(sessions.scope(&first), Some(Scope::All));
        assert_eq!((sessions.scope(""), sessions.scope(&first[1..])), (None, None));
        for _ in 0..MAX_SESSIONS {
            sessions.begin().unwrap();
        }
        assert_eq!(sessions.since.len(), MAX_SESSIONS);
        assert_eq!(sessions.scope(&first), None, "the oldest is replaced");
    }
}
