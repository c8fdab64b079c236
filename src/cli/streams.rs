//! Standard input among the paths, and where what comes from streams is kept.

use std::path::{Path, PathBuf};

use crate::config::SpoolConfig;

use super::build::{state_directory, usage};
use super::size::size;

/// Bytes that may wait for the database.
const LIMIT: &str = "1GiB";

/// What a pipe holds, more than once.
const LEAST: (&str, u64) = ("256KiB", 256 << 10);

/// Where the state of a service is that was given no other place.
const SYSTEM_STATE: &str = "/var/lib/log-ingestd";

/// The paths without standard input, and whether it is among them.
pub(super) fn without_standard_input(paths: &[PathBuf]) -> (Vec<PathBuf>, bool) {
    let is_input = |path: &&PathBuf| **path == Path::new("-") || **path == Path::new("/dev/stdin");
    let (input, paths): (Vec<&PathBuf>, Vec<&PathBuf>) = paths.iter().partition(is_input);
    (paths.into_iter().cloned().collect(), !input.is_empty())
}

/// Where, and how much.
pub(super) fn spool(
    directory: Option<PathBuf>,
    limit: Option<&str>,
    input: bool,
) -> anyhow::Result<SpoolConfig> {
    let limit = size("--spool-limit", limit.unwrap_or(LIMIT), LEAST)?;
    let directory = match directory {
        Some(directory) if directory.as_os_str().is_empty() => {
            return Err(usage("--spool-dir is empty; give a directory of the daemon's own"));
        }
        Some(directory) => std::path::absolute(directory)?,
        None => match state_directory("spool", "--spool-dir") {
            Ok(state) => std::path::absolute(state.join("spool"))?,
            Err(error) if input => return Err(error),
            Err(_) => Path::new(SYSTEM_STATE).join("spool"),
        },
    };
    Ok(SpoolConfig { directory, limit })
}
