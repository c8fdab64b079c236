//! The daemon: follows logs until it is told to stop.

mod archives;
mod file_limit;
pub(crate) mod files;
pub(crate) mod ingest;
mod maintenance;
mod missing;
mod page;
mod register;
mod resolve;
mod streams;
mod supervisor;
mod watch;

pub use watch::watch;
