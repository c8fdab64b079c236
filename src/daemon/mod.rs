//! The daemon: follows logs until it is told to stop.

mod archives;
pub(crate) mod files;
pub(crate) mod ingest;
mod missing;
mod page;
mod register;
mod streams;
mod supervisor;
mod watch;

pub use watch::watch;
