//! From bytes to committed rows: the same for every command that reads logs.

pub(crate) mod backoff;
pub(crate) mod committer;
pub(crate) mod connect;
pub(crate) mod ordered_commits;
pub(crate) mod read_ahead;
pub(crate) mod read_enveloped;
pub(crate) mod read_lines;
mod shutdown;

pub use shutdown::{Request, Shutdown};
