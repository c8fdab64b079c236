//! Files as the store knows them.
//!
//! A *logical file* is a sequence of bytes that some server appended to: it keeps its identity
//! when it is renamed, copied before a truncate, or compressed. Its row in `log_file` has an id,
//! and a line is named by (file, offset of its first byte) wherever it is read from.

use super::line_form::{FormChange, FormTotals};
use super::{Micros, Span};

/// Bits of a row's id that hold the line's offset; the file's id stands above them.
const OFFSET_BITS: u32 = 38;

/// No logical file may grow past this many bytes (256 GiB), so that an offset fits an id.
pub const MAX_OFFSET: u64 = 1 << OFFSET_BITS;

/// The most runs of NULs that are skipped in one file: `log_file.nul_runs` is written with each commit
/// that adds one. The NULs of a further run belong to their line, which is a reject then.
pub const MAX_NUL_RUNS: u32 = 1000;

/// Bytes of a block of SHA-256.
pub const DIGEST_BLOCK: u64 = 64;

/// The id of a logical file: `log_file.id`. At most 2²⁵ − 1, so that it fits a row's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub i32);

impl FileId {
    /// Returns the `id` of the row of the line at `offset`. The same line always has the same id, so a
    /// unique index refuses a second copy, and no sequence is needed.
    pub fn row_id(self, offset: u64) -> i64 {
        (i64::from(self.0) << OFFSET_BITS) | (offset & (MAX_OFFSET - 1)) as i64
    }
}

/// How the file system identifies a file. Inodes are used again; the birth time distinguishes files that
/// have had the same inode, where the file system keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileKey {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
    /// Birth time in microseconds since 1970, `None` where the file system has none.
    pub birth_us: Option<i64>,
}

/// The first 16 bytes of a SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShortHash(pub [u8; 16]);

/// A fingerprint and the number of bytes that it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Covered bytes.
    pub length: u32,
    /// Their fingerprint.
    pub print: ShortHash,
}

/// NULs before the first byte of a line. They are skipped: a power cut leaves them, and so does a
/// writer that does not append, when its file is truncated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NulRun {
    /// Offset of the first of them.
    pub offset: u64,
    /// How many there are.
    pub length: u64,
}

impl NulRun {
    /// Returns the offset of the first byte of the line.
    pub fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }

    /// Returns how many of its bytes the digest leaves out: all whole blocks but one. So a hole of
    /// many gigabytes costs nothing, and the digest continues in the same place of a block as without it.
    pub fn undigested(self) -> u64 {
        (self.length / DIGEST_BLOCK).saturating_sub(1) * DIGEST_BLOCK
    }
}

/// What of the skipped NULs before a position is needed to read on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NulTotals {
    /// How many runs there are.
    pub runs: u32,
    /// How many blocks of their bytes the digest leaves out: fewer than 2³², for [`MAX_OFFSET`].
    undigested_blocks: u32,
}

impl NulTotals {
    /// Adds a run.
    pub fn add(&mut self, run: NulRun) {
        self.runs = self.runs.saturating_add(1);
        let blocks = u32::try_from(run.undigested() / DIGEST_BLOCK).unwrap_or(u32::MAX);
        self.undigested_blocks = self.undigested_blocks.saturating_add(blocks);
    }

    /// Returns how many of their bytes the digest leaves out.
    pub fn undigested(self) -> u64 {
        u64::from(self.undigested_blocks) * DIGEST_BLOCK
    }
}

/// SHA-256 of all bytes of a logical file before an offset, and the state from which it continues. Of
/// each skipped run of NULs it leaves out [`NulRun::undigested`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// What `head -c OFFSET FILE | tail -c +(FIRST_OFFSET + 1) | sha256sum` shows, if no run of NULs is
    /// longer than 127 bytes.
    pub sum: [u8; 32],
    /// The hash value after the last whole block of 64 bytes (H⁽ⁱ⁾ of FIPS 180-4, 6.2.2, its words
    /// in big-endian order). The bytes after that block are not in it, so it holds no text of the log.
    pub state: [u8; 32],
}

/// An offset in a file, and fingerprints of the bytes before it. [`Default`] is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// How many bytes are before it in the file on disk.
    pub offset: u64,
    /// Where the logical file begins in the file on disk: its digest covers the bytes from there on.
    pub first_offset: u64,
    /// The fingerprint of the bytes just before it (4 KiB at most); `None` at the beginning.
    pub tail_fingerprint: Option<Fingerprint>,
    /// The digest of all bytes before it; `None` where the logical file begins.
    pub digest: Option<Digest>,
    /// The skipped NULs before it.
    pub nuls: NulTotals,
    /// How the lines before it are written.
    pub form: FormTotals,
}

/// What tells a host that was given another name from another host. What is not known is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// A hash of the machine's id.
    pub machine: Option<String>,
    /// What identifies the file system (`f_fsid` of statvfs(3)), as a signed number.
    pub file_system: Option<i64>,
}

impl Origin {
    /// Returns whether nothing that is known of both differs.
    pub fn may_be(&self, other: &Self) -> bool {
        fn agree<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
            one.zip(other).is_none_or(|(one, other)| one == other)
        }
        agree(self.machine.as_ref(), other.machine.as_ref())
            && agree(self.file_system.as_ref(), other.file_system.as_ref())
    }
}

/// A file that was seen on disk, as far as identity needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Host whose file it is.
    pub host: String,
    /// Where it was seen.
    pub path: String,
    /// How the file system identifies it; `None` for a stream.
    pub key: Option<FileKey>,
    /// The first complete line (its first 4 KiB at most), once there is one.
    pub head: Option<Fingerprint>,
    /// The machine and the file system.
    pub origin: Origin,
}

/// A logical file that is registered for the first time.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// What was seen.
    pub sighting: Sighting,
    /// The format its lines are read by.
    pub format: String,
    /// Whether its lines carry no time, so that rows get an estimated one.
    pub time_estimated: bool,
    /// Where it begins in the file on disk: at its first byte, unless it goes on after a power cut.
    pub begins: Position,
}

/// How a logical file ends whose log lost its last bytes in a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub file: FileId,
    /// The epoch of its claim.
    pub epoch: i64,
    /// The log still holds the file's bytes before this offset.
    pub kept_to: u64,
    /// Bytes after the committed offset that are gone.
    pub lost_bytes: u64,
    /// What `log_file.closed_reason` says.
    pub reason: &'static str,
}

/// What the store knows of a logical file: enough to recognise it and to continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its id.
    pub file: FileId,
    /// Host whose file it is.
    pub host: String,
    /// The machine and the file system where it was last seen.
    pub origin: Origin,
    /// Where it was last seen.
    pub path: String,
    /// How the file system identified it, `None` for a stream.
    pub key: Option<FileKey>,
    /// The first line's fingerprint, `None` until a line was committed.
    pub head: Option<Fingerprint>,
    /// The fingerprint of the bytes just before `committed` (4 KiB at most).
    pub tail_fingerprint: Option<Fingerprint>,
    /// The digest of all bytes before `committed`.
    pub digest: Option<Digest>,
    /// Where it begins in the file on disk: above 0 if it goes on after a power cut.
    pub first_offset: u64,
    /// The skipped NULs before `committed`, in order.
    pub nul_runs: Vec<NulRun>,
    /// Lines before `committed` from which on lines have another form, in order.
    pub line_forms: Vec<FormChange>,
    /// From this offset on, each row that does not give its line back has a patch. Rows before it are older.
    pub patched_from: u64,
    /// Every byte before this offset is stored, rejected or excluded.
    pub committed: u64,
    /// Of a file that a power cut or a truncation ended: its object holds its bytes before this offset
    /// only, and another file after it.
    pub kept_to: Option<u64>,
    /// Whether its lines carry no time.
    pub time_estimated: bool,
    /// Its size when it was last seen, in bytes; what lies beyond `committed` is still to be read.
    pub size: u64,
    /// Bytes that are counted as lost. A claim sets them to 0: what is lost is found again.
    pub lost_bytes: u64,
    /// Raised by each claim; a commit with an older epoch is refused.
    pub epoch: i64,
    /// The format its lines were read by.
    pub format: String,
    /// When it was closed, in microseconds since 1970; `None` while more may come under this identity.
    pub closed_at: Option<Micros>,
}

/// A claim of a file, and how far the file is stored under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The file.
    pub file: FileId,
    /// A commit under an older epoch is refused.
    pub epoch: i64,
    /// Every byte before this position is stored, rejected or excluded.
    pub committed: Position,
    /// Whether it has ended with the last span.
    pub released: bool,
}

impl Claim {
    /// Takes note of a span that is stored.
    pub fn stored(&mut self, span: &Span) {
        self.committed = span.to;
        self.released = span.releases;
    }
}

impl Checkpoint {
    /// Returns whether nothing more will come under this identity (truncated, replaced, deleted).
    pub fn is_closed(&self) -> bool {
        self.closed_at.is_some()
    }

    /// Returns it as it was last seen.
    pub fn sighting(&self) -> Sighting {
        Sighting {
            host: self.host.clone(),
            path: self.path.clone(),
            key: self.key,
            head: self.head,
            origin: self.origin.clone(),
        }
    }

    /// Returns the offset up to which its log still holds what was stored of it.
    pub fn held_to(&self) -> u64 {
        self.kept_to.map_or(self.committed, |kept_to| kept_to.min(self.committed))
    }

    /// Returns the position up to which it is stored.
    pub fn position(&self) -> Position {
        let mut nuls = NulTotals::default();
        self.nul_runs.iter().for_each(|run| nuls.add(*run));
        Position {
            offset: self.committed,
            first_offset: self.first_offset,
            tail_fingerprint: self.tail_fingerprint,
            digest: self.digest,
            nuls,
            form: FormTotals::after(&self.line_forms),
        }
    }
}
