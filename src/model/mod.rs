//! Plain values that every room shares. Nothing here does I/O or knows a database.

mod batch;
mod file;
mod filter;
pub mod histogram;
mod json;
mod reason;
mod record;
mod reparse;
mod rollup;
mod tuples;

pub use batch::{Batch, Span};
pub use file::{
    Checkpoint, Digest, FileId, FileKey, Fingerprint, MAX_OFFSET, NewFile, Position, ShortHash,
    Sighting,
};
pub use filter::{Codes, Filter, FilterError, Network, UrlFilter};
pub use json::{GunicornJson, JsonRecord, RequestLog};
pub use reason::RejectClass;
pub use record::{Captured, GunicornLogModel, Micros, moment, now};
pub use reparse::Reparsed;
pub use rollup::{CLASSES, Counts, Period, Rollup};
pub use tuples::{Field, Tuples};
