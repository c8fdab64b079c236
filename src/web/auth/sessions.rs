//! Who was let in before.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64ct::{Base64UrlUnpadded, Encoding};
use sha2::{Digest, Sha256};

/// How long a session lasts.
pub(super) const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// Sessions at once; the oldest makes room.
const MOST: usize = 1000;

type ShortHash = [u8; 32];

/// Secrets that were found right, as their SHA-256. What is compared, and how long that takes, is
/// then nothing that whoever asks could choose byte by byte; and no secret stays in memory.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    since: HashMap<ShortHash, Instant>,
}

impl Sessions {
    /// Whether this cookie, or this header, was found right before.
    pub(super) fn knows(&self, secret: &str) -> bool {
        self.since.get(&fingerprint(secret)).is_some_and(|since| since.elapsed() < LIFETIME)
    }

    /// It is right.
    pub(super) fn remember(&mut self, secret: &str) {
        if self.since.len() >= MOST {
            self.since.retain(|_, since| since.elapsed() < LIFETIME);
        }
        if self.since.len() >= MOST {
            let oldest = self.since.iter().min_by_key(|(_, since)| **since).map(|(it, _)| *it);
            oldest.map(|oldest| self.since.remove(&oldest));
        }
        self.since.insert(fingerprint(secret), Instant::now());
    }

    /// A new session's cookie; `None` if the system gives no random numbers: then the password is
    /// asked for again.
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
    fn sessions_are_known_and_bounded_in_number() {
        let mut sessions = Sessions::default();
        let first = sessions.begin().unwrap();
        assert!(sessions.knows(&first));
        assert!(!sessions.knows("") && !sessions.knows(&first[1..]));
        for _ in 0..MOST {
            sessions.begin().unwrap();
        }
        assert_eq!(sessions.since.len(), MOST);
        assert!(!sessions.knows(&first), "the oldest makes room");
    }
}
