//! Which files exist, and their bytes as lines.
//!
//! This folder reads bytes and knows nothing of their meaning: no format, no record, no table. It does
//! not decide which logical file the bytes belong to: it only compares content with what is known of a
//! file. It never writes, renames or deletes anything in a log directory. What comes from a stream is
//! written to the spool, a directory of the daemon's own.
//!
//! It may assume that the caller runs it where blocking reads are allowed, and that the caller checks all
//! files from time to time: events are hints, and the state of the files is the truth.
//!
//! ## The files, in reading order
//!
//! - [`discover`]: finds files by directory, name or pattern ([`Watchlist`]); `pattern`: what patterns
//!   match.
//! - [`FsEvents`]: reports that files may have changed.
//! - `open`: opens a file that another user may have made or exchanged. Nothing else does.
//! - [`Tail`]: one file that grows, and how far it was read.
//! - [`Lines`]: turns bytes into complete lines; a partial line stays unread. Hashes the bytes.
//! - [`ByteSource`]: where [`Lines`] reads from; it may know of holes, which are passed over.
//! - [`fingerprint`]: compares content with that of a file that was read before.
//! - [`Envelope`]: the format that a container runtime writes around lines; [`Block`] joins pieces.
//! - [`Compression`]: detects and opens compressed files, which do not grow. [`Container`]: archives
//!   that are refused.
//! - [`Spool`]: keeps what comes from streams in files, which are followed like any other.
//! - `devices`: calls on file systems that may stop answering, each by a thread of its own.
//! - [`longest_call`]: which of the other file systems does not answer.
//! - [`ByWatchedPath`]: what the user says of single watched paths, and which of them a file belongs to.
//! - `whole_file`: a file that is read from its beginning to its end; `stop`: or until the process is to stop.
//!
//! A line of a file passes `tail` and `lines` only.

mod archive;
mod calls;
pub(crate) mod devices;
pub mod discover;
mod envelope;
pub mod fingerprint;
mod fs_events;
mod lines;
pub mod names;
mod nuls;
pub(crate) mod open;
pub(crate) mod origin;
mod pattern;
pub mod spool;
mod stop;
mod tail;
mod watched;
pub(crate) mod whole_file;

pub use archive::{Compression, Container, open_archive};
pub use calls::longest_call;
pub use devices::{isolate_file_systems, unreachable_file_systems};
pub use discover::{Symlinks, WatchError, WatchedPaths, Watchlist};
pub use envelope::{BOUNDS, Block, Bounds, Envelope, Joined, OutputStream, Piece};
pub use fs_events::{Changes, FsEvents, Watching};
pub(crate) use lines::BYTE_ORDER_MARK;
pub use lines::{
    Line, Lines, MAX_LINE, SkippedLine, TOO_LONG_KEPT, text_at, without_byte_order_mark,
};
pub use nuls::ByteSource;
pub use spool::{Spool, SpoolChange};
pub use stop::{StopRequest, Stopped};
pub use tail::{Tail, TailState};
pub use watched::ByWatchedPath;
