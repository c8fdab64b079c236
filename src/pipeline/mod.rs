//! From bytes to committed rows: the same for every command that reads logs.
//!
//! - `read_lines` is the one reader: it decides where a line ends and what it becomes. A
//!   sink takes the lines: that of a batch is there, those of `sink` only look;
//!   `read_enveloped` is the reader of a container's log; `file_format` says how the lines of one file are read.
//! - `committer` stores batches one after another, `ordered_commits` several at once and in
//!   order; `bisect` finds the row that a store refuses; `backoff` says when to try again.
//! - `store_file` stores a file that is complete, from its checkpoint to its end.
//! - `far_notices` says in the log that times of lines are far from the clock.
//! - `reject_notices` says in the log that lines were rejected, and what to do.
//! - `line_patches`: whether lines are what their rows give when they are written again.
//! - `expected`: what lines must be in the store, and whether the store agrees.
//! - `connect` opens the store at a start; [`Shutdown`] is what signals ask for.

pub(crate) mod backoff;
pub(crate) mod bisect;
pub(crate) mod committer;
pub(crate) mod connect;
pub(crate) mod expected;
pub(crate) mod far_notices;
pub(crate) mod file_format;
pub(crate) mod line_patches;
pub(crate) mod ordered_commits;
mod read_enveloped;
pub(crate) mod read_lines;
pub(crate) mod reject_notices;
mod shutdown;
pub(crate) mod sink;
pub(crate) mod store_file;

pub use shutdown::{LONGEST_STOP, Request, Shutdown, apart_from_signals, limit_stop};
