//! The SHA-256 of a file's bytes, continued from one commit to the next, also after a restart.
//!
//! Between two commits the store keeps the hash value after the last whole block. The bytes after
//! that block, 63 at most, are read from the file again, together with those of the tail
//! fingerprint. The full state of the hasher would hold these bytes, and with them text that
//! masking keeps out of the database.

use sha2::Sha256;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::digest::{FixedOutput, Update};

use crate::model::{Digest, Position};

/// The length of a block of SHA-256, in bytes.
const BLOCK: u64 = 64;

/// The SHA-256 of all bytes of a file before some offset.
#[derive(Clone, Debug, Default)]
pub(super) struct Hasher(Sha256);

impl Hasher {
    /// Returns the hasher of all bytes before `position`. `history` must be the last of them, as
    /// many as a tail fingerprint covers. Returns `None` if `position` has no digest.
    pub(super) fn at(position: &Position, history: &[u8]) -> Option<Self> {
        if position.offset == 0 {
            return Some(Self::default());
        }
        let after_block = usize::try_from(position.offset % BLOCK).ok()?;
        let start = history.len().checked_sub(after_block)?;
        let mut hasher = resume(&position.digest?.state, position.offset / BLOCK)?;
        hasher.update(&history[start..]);
        Some(Self(hasher))
    }

    /// Hashes further bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the sum of all bytes, and the state after the last whole block.
    pub(super) fn digest(&self) -> Digest {
        let mut state = [0; 32];
        let serialized = self.0.serialize();
        // sha2 writes the eight words in little-endian order; the standard defines them in
        // big-endian order.
        for (word, from) in state.chunks_exact_mut(4).zip(serialized.chunks_exact(4)) {
            word.copy_from_slice(from);
            word.reverse();
        }
        Digest { sum: self.0.clone().finalize_fixed().into(), state }
    }
}

/// Returns a hasher that has read `blocks` whole blocks. sha2 0.11 serializes the words of the
/// hash value, the number of blocks, and the unfinished block, which is empty here.
fn resume(state: &[u8; 32], blocks: u64) -> Option<Sha256> {
    let mut serialized = SerializedState::<Sha256>::default();
    for (word, from) in serialized.chunks_exact_mut(4).zip(state.chunks_exact(4)) {
        word.copy_from_slice(from);
        word.reverse();
    }
    serialized.get_mut(32..40)?.copy_from_slice(&blocks.to_le_bytes());
    Sha256::deserialize(&serialized).ok()
}

#[cfg(test)]
mod tests {
    use sha2::Digest as _;

    use super::*;

    fn text(length: usize) -> Vec<u8> {
        (0..length).map(|nth| (nth % 251) as u8).collect()
    }

    #[test]
    fn a_continued_digest_is_that_of_all_bytes() {
        let text = text(1000);
        for first in [1, 55, 56, 63, 64, 65, 127, 128, 500] {
            for last in [first, first + 1, first + 64, 999, 1000] {
                let mut one = Hasher::at(&Position::default(), b"").unwrap();
                one.update(&text[..first]);
                let position = Position {
                    offset: first as u64,
                    digest: Some(one.digest()),
                    tail_fingerprint: None,
                };
                let mut other = Hasher::at(&position, &text[..first]).unwrap();
                assert_eq!(other.digest(), one.digest());
                other.update(&text[first..last]);
                let right: [u8; 32] = Sha256::digest(&text[..last]).into();
                assert_eq!(other.digest().sum, right, "{first} and {last}");
            }
        }
    }

    /// Future versions of the hasher must read what is stored in databases.
    #[test]
    fn the_state_is_that_of_the_standard() {
        let initial = "6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19";
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mut hasher = Hasher::default();
        assert_eq!(hex(&hasher.digest().state), initial);
        hasher.update(&text(63));
        assert_eq!(hex(&hasher.digest().state), initial, "the bytes are not in the state");
        hasher.update(&text(1));
        assert_ne!(hex(&hasher.digest().state), initial);
    }

    #[test]
    fn an_unknown_digest_stays_unknown() {
        let position = Position { offset: 70, ..Position::default() };
        assert!(Hasher::at(&position, &text(70)).is_none());
        let position = Position { digest: Some(Hasher::default().digest()), ..position };
        assert!(Hasher::at(&position, b"short").is_none());
    }
}
