//! Which files exist, which of them are the same, and their bytes as lines.
//!
//! This room only reads: it never writes, renames or deletes anything in a log directory, and it
//! never believes an event: the fs_events is a hint, a look at the files is the truth. What comes from a
//! stream it writes to a directory of its own.
//!
//! - [`Watchlist`] finds files by directory, name or pattern ([`discover`]).
//! - [`fingerprint`] tells by content whether a file is one that was read before.
//! - [`Tail`] is one open file that grows; [`Compression`] opens one that does not.
//! - [`Lines`] turns bytes into complete lines; a partial line stays unread; `digest` hashes
//!   them as they pass.
//! - [`FsEvents`] says that a look may be worth it.
//! - [`Spool`] makes files of streams.

mod archive;
mod digest;
pub mod discover;
pub(crate) mod each_line;
mod envelope;
pub mod fingerprint;
mod fs_events;
mod handle;
mod lines;
pub mod spool;
mod tail;
pub(crate) mod whole_file;

pub use archive::{Compression, open_archive};
pub use discover::{WatchError, WatchedPaths, Watchlist};
pub use envelope::{BOUNDS, Block, Bounds, Envelope, Joined, OutputStream, Piece};
pub use fs_events::FsEvents;
pub use lines::{Line, Lines, MAX_LINE, SkippedLine, TOO_LONG_KEPT};
pub use spool::{Spool, SpoolChange};
pub use tail::{Tail, TailState};
