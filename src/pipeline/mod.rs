//! From bytes to committed rows: the same for every command that reads logs.

#[cfg_attr(not(test), expect(dead_code, reason = "archives and held files use it next"))]
pub(crate) mod backoff;
pub(crate) mod committer;
pub(crate) mod connect;
pub(crate) mod ordered_commits;
pub(crate) mod read_ahead;
pub(crate) mod read_enveloped;
pub(crate) mod read_lines;
mod shutdown;

pub use shutdown::{Request, Shutdown};
