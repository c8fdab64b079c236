//! Says in the log, once for each file, that its lines have times which the clock does not explain.

use std::collections::HashSet;

use tracing::warn;

use crate::model::{Batch, FarExample, FileId, moment};

/// The most files that are reported one by one.
const MOST_REPORTED: usize = 10_000;

/// Files that were reported so far.
#[derive(Debug, Default)]
pub(crate) struct FarNotices {
    reported: HashSet<FileId>,
}

impl FarNotices {
    /// Takes note of a batch that was stored. `name` gives a file's path.
    pub(crate) fn stored(&mut self, batch: &Batch, name: impl Fn(FileId) -> String) {
        for FarExample { file, offset, time, rows } in &batch.far_examples {
            if self.reported.len() < MOST_REPORTED && self.reported.insert(*file) {
                warn!(
                    file = file.0,
                    path = name(*file),
                    offset,
                    time = moment(*time),
                    rows,
                    "lines of this file have times that no clock explains: they are stored as they are, and \
                     counted in log_file.far_times; look at the clock of the host that logs"
                );
            }
        }
    }
}
