//! Tells by content whether a file is one that was read before.
//!
//! A name says nothing (logs are renamed), an inode says little (it is used again), and neither
//! survives a copy or a compression. Content does: the first line, which carries a time, and the
//! 4 KiB just before the committed offset. A file whose bytes match both at the same offsets is
//! the same logical file, whatever it is called and wherever it lies. Everything here is a pure
//! function of what was read.

use sha2::{Digest, Sha256};

use crate::model::{Checkpoint, FileKey, Fingerprint, ShortHash};

/// Bytes of the first line that its fingerprint covers, at most (4 KiB).
pub const HEAD_LENGTH: usize = 4096;

/// Bytes before the committed offset that a tail fingerprint covers, at most (4 KiB).
pub const TAIL_FINGERPRINT_LENGTH: usize = 4096;

/// Returns the fingerprint of `bytes`.
pub fn print(bytes: &[u8]) -> Fingerprint {
    let mut print = [0; 16];
    print.copy_from_slice(&Sha256::digest(bytes)[..16]);
    Fingerprint { length: u32::try_from(bytes.len()).unwrap_or(u32::MAX), print: ShortHash(print) }
}

/// Returns the fingerprint of the bytes just before an offset; `None` if there are none.
pub(super) fn print_of_history(bytes: &[u8]) -> Option<Fingerprint> {
    (!bytes.is_empty()).then(|| print(bytes))
}

/// Returns the fingerprint of a file's first line, without its end and without the NULs before it;
/// `None` while the file has no complete line. `first_bytes` are those after the NULs.
pub fn head_fingerprint(first_bytes: &[u8]) -> Option<Fingerprint> {
    let first_bytes = &first_bytes[..first_bytes.len().min(HEAD_LENGTH)];
    match memchr::memchr(b'\n', first_bytes) {
        Some(at) => Some(last_line_print(&first_bytes[..at])),
        None => (first_bytes.len() == HEAD_LENGTH).then(|| print(first_bytes)),
    }
}

/// Returns the fingerprint that older versions gave the first line of a file that begins with NULs:
/// they took the NULs for a part of it. `None` if the file does not begin so.
pub fn older_head_fingerprint(first_bytes: &[u8]) -> Option<Fingerprint> {
    match first_bytes.first() {
        Some(0) => head_fingerprint(first_bytes),
        _ => None,
    }
}

/// Returns the fingerprint of the first line of a complete file, which may be one line without an
/// end.
pub fn whole_head_fingerprint(first_bytes: &[u8]) -> Option<Fingerprint> {
    head_fingerprint(first_bytes)
        .or_else(|| (!first_bytes.is_empty()).then(|| last_line_print(first_bytes)))
}

/// Returns the fingerprint of a line whose end (`\n` or `\r\n`) may be written in part: it is the
/// same whatever part is there.
fn last_line_print(line: &[u8]) -> Fingerprint {
    print(line.strip_suffix(b"\r").unwrap_or(line))
}

/// Returns how many bytes before `offset` its tail fingerprint covers.
pub fn tail_fingerprint_length(offset: u64) -> usize {
    usize::try_from(offset)
        .map_or(TAIL_FINGERPRINT_LENGTH, |offset| offset.min(TAIL_FINGERPRINT_LENGTH))
}

/// How the content of a file compares with a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentMatch {
    /// It holds what was committed, and perhaps more.
    Same,
    /// It begins alike and ends before the committed offset.
    Shorter,
    /// It holds something else.
    Different,
}

/// Compares content with a checkpoint: `head` is the fingerprint of its first line, and
/// `fingerprint_before` that of the bytes before an offset, `None` if the content ends before it.
///
/// # Errors
/// What `fingerprint_before` returns.
pub fn compare<E>(
    checkpoint: &Checkpoint,
    head: Option<Fingerprint>,
    fingerprint_before: impl FnOnce(u64) -> Result<Option<Fingerprint>, E>,
) -> Result<ContentMatch, E> {
    if checkpoint.head.is_none() || checkpoint.head != head {
        return Ok(ContentMatch::Different);
    }
    if checkpoint.committed == 0 {
        return Ok(ContentMatch::Same); // registered, and nothing read yet: only the head can tell
    }
    Ok(match fingerprint_before(checkpoint.committed)? {
        None => ContentMatch::Shorter,
        found if found == checkpoint.tail_fingerprint => ContentMatch::Same,
        Some(_) => ContentMatch::Different,
    })
}

/// Returns whether both are the same object of the same file system. Where birth times are known
/// they must agree: an inode that is used again has a later birth time.
pub fn same_object(one: FileKey, other: FileKey) -> bool {
    one.device == other.device
        && one.inode == other.inode
        && (one.birth_us.is_none() || other.birth_us.is_none() || one.birth_us == other.birth_us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FileId;

    fn checkpoint(committed: u64, head: &[u8], guard: &[u8]) -> Checkpoint {
        Checkpoint {
            file: FileId(1),
            host: String::new(),
            origin: crate::model::Origin::default(),
            path: "/a".into(),
            key: None,
            head: head_fingerprint(head),
            tail_fingerprint: Some(print(guard)),
            digest: None,
            first_offset: 0,
            nul_runs: Vec::new(),
            line_forms: Vec::new(),
            patched_from: 0,
            committed,
            kept_to: None,
            time_estimated: false,
            size: committed,
            lost_bytes: 0,
            epoch: 1,
            format: String::new(),
            closed_at: None,
        }
    }

    fn content_match(known: &Checkpoint, file: &[u8]) -> ContentMatch {
        compare::<()>(known, head_fingerprint(file), |offset| {
            let end = offset as usize;
            let start = end - tail_fingerprint_length(offset);
            Ok(file.get(start..end).map(print))
        })
        .unwrap()
    }

    #[test]
    fn a_file_that_grew_is_the_same() {
        let known = checkpoint(8, b"one\ntwo\n", b"one\ntwo\n");
        assert_eq!(content_match(&known, b"one\ntwo\n"), ContentMatch::Same);
        assert_eq!(content_match(&known, b"one\ntwo\nthree\n"), ContentMatch::Same);
        assert_eq!(content_match(&known, b"one\nTWO\nthree\n"), ContentMatch::Different);
        assert_eq!(content_match(&known, b"ONE\ntwo\nthree\n"), ContentMatch::Different);
        assert_eq!(content_match(&known, b"one\n"), ContentMatch::Shorter);
        assert_eq!(content_match(&known, b"on"), ContentMatch::Different);
    }

    #[test]
    fn an_inode_born_again_is_another_object() {
        let old = FileKey { device: 1, inode: 2, birth_us: Some(3) };
        assert!(same_object(old, old));
        assert!(!same_object(old, FileKey { birth_us: Some(4), ..old }));
        assert!(same_object(old, FileKey { birth_us: None, ..old }));
        assert!(!same_object(old, FileKey { inode: 9, ..old }));
    }
}
