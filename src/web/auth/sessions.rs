//! Secrets that were checked before: session cookies and Authorization headers.

use std::collections::HashMap;
use std::net::IpAddr;
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

/// What a client shows. Each kind is known as that kind only: a cookie that holds a header is not checked as slowly as
/// the header would be, and would let anyone guess passwords.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shown<'a> {
    /// The value of the session cookie.
    Cookie(&'a str),
    /// An Authorization header, of the peer who has sent it: for another peer the quick answer to a right one would say
    /// that it is right.
    Header(&'a str, IpAddr),
}

/// The SHA-256 of each accepted secret. A client cannot choose a hash byte by byte, so the time of a
/// comparison reveals nothing. No secret stays in memory.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    since: HashMap<ShortHash, (Instant, Scope)>,
}

impl Sessions {
    /// Returns what this cookie or header opens, if it was accepted within [`LIFETIME`].
    pub(super) fn scope(&self, shown: Shown<'_>) -> Option<Scope> {
        let (since, scope) = self.since.get(&fingerprint(shown))?;
        (since.elapsed() < LIFETIME).then_some(*scope)
    }

    /// Remembers an accepted cookie or header.
    pub(super) fn remember(&mut self, shown: Shown<'_>, scope: Scope) {
        if self.since.len() >= MAX_SESSIONS {
            self.since.retain(|_, (since, _)| since.elapsed() < LIFETIME);
        }
        if self.since.len() >= MAX_SESSIONS {
            let oldest = self.since.iter().min_by_key(|(_, (since, _))| *since).map(|(it, _)| *it);
            oldest.map(|oldest| self.since.remove(&oldest));
        }
        self.since.insert(fingerprint(shown), (Instant::now(), scope));
    }

    /// Starts a person's session and returns its cookie. Returns `None` if the system provides no random
    /// numbers: the browser then sends the password with each request.
    pub(super) fn begin(&mut self) -> Option<String> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).ok()?;
        let cookie = Base64UrlUnpadded::encode_string(&random);
        self.remember(Shown::Cookie(&cookie), Scope::All);
        Some(cookie)
    }
}

fn fingerprint(shown: Shown<'_>) -> ShortHash {
    let text = match shown {
        Shown::Cookie(cookie) => format!("cookie {cookie}"),
        Shown::Header(header, peer) => format!("header {peer} {header}"),
    };
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_sessions_is_bounded() {
        let mut sessions = Sessions::default();
        let first = sessions.begin().unwrap();
        let scope = |sessions: &Sessions, text: &str| sessions.scope(Shown::Cookie(text));
        assert_eq!(scope(&sessions, &first), Some(Scope::All));
        assert_eq!((scope(&sessions, ""), scope(&sessions, &first[1..])), (None, None));
        for _ in 0..MAX_SESSIONS {
            sessions.begin().unwrap();
        }
        assert_eq!(sessions.since.len(), MAX_SESSIONS);
        assert_eq!(scope(&sessions, &first), None, "the oldest is replaced");
    }

    #[test]
    fn a_header_is_known_as_a_header_and_of_its_peer_alone() {
        let mut sessions = Sessions::default();
        let [peer, other] = [1, 2].map(|last| IpAddr::from([203, 0, 113, last]));
        sessions.remember(Shown::Header("Basic am86", peer), Scope::All);
        assert_eq!(sessions.scope(Shown::Header("Basic am86", peer)), Some(Scope::All));
        assert_eq!(sessions.scope(Shown::Header("Basic am86", other)), None);
        assert_eq!(sessions.scope(Shown::Cookie("Basic am86")), None);
        let cookie = sessions.begin().unwrap();
        assert_eq!(sessions.scope(Shown::Header(&cookie, peer)), None);
    }
}
