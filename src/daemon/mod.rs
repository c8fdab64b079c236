//! The daemon: follows logs, sweeps and serves the page until a signal stops it.
//!
//! Only this folder and `commands` start tasks, retry and log. The work itself is done below: bytes
//! in `source`, lines in `pipeline`, rows in `store`. There is one ingest loop for all files and one
//! transaction at a time; the tasks for maintenance and for the page never block it.
//!
//! Files, in reading order: `watch` (start, runs, reload, end), `streams` (standard
//! input and FIFOs), `ingest` (the loop), `files` (the followed files), `register`
//! (new files), `missing` (deleted files), `archives` (compressed files), `ignored` (which files are
//! not followed), `announcements` (how many of them the log names),
//! `maintenance` (sweeps and indexes), `notify` (notices for people), `page` (the HTTP server), `serve` (the page alone),
//! `supervisor` (systemd), `file_limit` (the limit of open files), `slow_calls` (file systems that do not answer).

mod announcements;
mod archives;
mod file_limit;
pub(crate) mod files;
mod ignored;
pub(crate) mod ingest;
mod maintenance;
mod missing;
mod notify;
mod page;
mod register;
mod serve;
mod slow_calls;
mod streams;
mod supervisor;
mod watch;

pub use serve::serve;
pub use watch::watch;
