//! The digest of a file's bytes, carried on from one commit to the next, and over restarts.
//!
//! What is kept between two commits is the hash value behind the last whole block. The bytes
//! behind that block, 63 at most, are read again from the file, as its guard's bytes are anyway:
//! the hasher's own state would hold them, and with them what masking keeps out of the database.

use sha2::Sha256;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::digest::{FixedOutput, Update};

use crate::model::{Digest, Position};

/// Bytes of a block of SHA-256.
const BLOCK: u64 = 64;

/// SHA-256 of all bytes of a file before some offset.
#[derive(Clone, Debug, Default)]
pub(super) struct Hasher(Sha256);

impl Hasher {
    /// Knows all bytes before `mark`; `history` are the last of them, as many as its guard covers.
    /// `None` if the digest is not known there.
    pub(super) fn at(mark: &Position, history: &[u8]) -> Option<Self> {
        if mark.offset == 0 {
            return Some(Self::default());
        }
        let behind_block = usize::try_from(mark.offset % BLOCK).ok()?;
        let rest = history.len().checked_sub(behind_block)?;
        let mut hasher = resume(&mark.digest?.state, mark.offset / BLOCK)?;
        hasher.update(&history[rest..]);
        Some(Self(hasher))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn digest(&self) -> Digest {
        let mut state = [0; 32];
        let serialized = self.0.serialize();
        // sha2 writes the eight words in little-endian order, the standard reads them in big-endian.
        for (word, from) in state.chunks_exact_mut(4).zip(serialized.chunks_exact(4)) {
            word.copy_from_slice(from);
            word.reverse();
        }
        Digest { sum: self.0.clone().finalize_fixed().into(), state }
    }
}

/// A hasher that has seen `blocks` whole blocks. sha2 0.11 serializes the words of the hash value,
/// the number of blocks, and the block that is not whole: here there is none.
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
    fn a_digest_that_goes_on_is_that_of_all_bytes() {
        let text = text(1000);
        for first in [1, 55, 56, 63, 64, 65, 127, 128, 500] {
            for last in [first, first + 1, first + 64, 999, 1000] {
                let mut one = Hasher::at(&Position::default(), b"").unwrap();
                one.update(&text[..first]);
                let mark = Position {
                    offset: first as u64,
                    digest: Some(one.digest()),
                    tail_fingerprint: None,
                };
                let mut other = Hasher::at(&mark, &text[..first]).unwrap();
                assert_eq!(other.digest(), one.digest());
                other.update(&text[first..last]);
                let right: [u8; 32] = Sha256::digest(&text[..last]).into();
                assert_eq!(other.digest().sum, right, "{first} and {last}");
            }
        }
    }

    /// What stands in a database must be read by the next version of the hasher too.
    #[test]
    fn the_state_is_that_of_the_standard() {
        let initial = "6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19";
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mut hasher = Hasher::default();
        assert_eq!(hex(&hasher.digest().state), initial);
        hasher.update(&text(63));
        assert_eq!(hex(&hasher.digest().state), initial, "the bytes themselves are not in it");
        hasher.update(&text(1));
        assert_ne!(hex(&hasher.digest().state), initial);
    }

    #[test]
    fn where_no_digest_is_known_none_is_made_up() {
        let mark = Position { offset: 70, ..Position::default() };
        assert!(Hasher::at(&mark, &text(70)).is_none());
        let mark = Position { digest: Some(Hasher::default().digest()), ..mark };
        assert!(Hasher::at(&mark, b"short").is_none());
    }
}
