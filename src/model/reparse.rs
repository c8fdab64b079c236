//! Rejects that are to be rows.

use super::batch::Batch;
use super::file::FileId;
use super::record::Micros;

/// Rejected lines of one file that can be read by now. They change sides in one transaction.
#[derive(Clone, Debug)]
pub struct Reparsed {
    /// The file.
    pub file: FileId,
    /// The format by which they were read.
    pub format: String,
    /// The rejects that leave: offset, and time of the rejection.
    pub taken: Vec<(u64, Micros)>,
    /// How many of them the configuration leaves out; the others are in `rows`.
    pub excluded: u64,
    /// Their rows; it has no spans, since no offset moves.
    pub rows: Batch,
}

impl Reparsed {
    /// None so far.
    pub fn of(file: FileId, format: String) -> Self {
        Self { file, format, taken: Vec::new(), excluded: 0, rows: Batch::default() }
    }
}
