//! The limit of open files.

use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::debug;

/// Descriptors that are not for log files: the database, locks, file events, signals, the runtime.
const OTHER_DESCRIPTORS: usize = 64;

/// Raises the soft limit of open files to the hard limit, and returns how many log files may be
/// open. `connections` descriptors are left for the page.
///
/// The usual soft limit of 1,024 exists for programs that use `select`, which this one does not.
pub(crate) fn raise_file_limit(connections: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        debug!(%error, "cannot raise the limit of open files");
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    limit.saturating_sub(OTHER_DESCRIPTORS + connections).max(1)
}
