//! # log-ingestd
//!
//! Every request that a Gunicorn server answered is a line in its access log, and may be one in an
//! application's own log of JSON lines; this daemon puts each line into a database once: never twice,
//! never lost.
//!
//! ## How a line walks through the house
//!
//! ```text
//!  stream ─► spool (files of our own)
//!     ▼
//!  file bytes ─► lines ─► record | reject ─► batch ─► one transaction ─► tables
//!    follow      follow      parse           model        store         web shows them
//!                      app/ingest carries it from room to room    retain sweeps old rows
//! ```
//!
//! ## The rooms, in reading order
//!
//! - [`model`]: plain values that every room shares: records, files, offsets, spans, batches.
//! - [`follow`]: which files exist, which of them are the same, and their bytes as lines; files for
//!   what comes from streams.
//! - [`parse`]: a Gunicorn `access_log_format` compiled to a template, and lines read by it; lines
//!   of JSON besides.
//! - [`store`]: one contract, two arms, PostgreSQL and SQLite; the only room with SQL. What slows
//!   ingest down and makes questions fast is built beside it.
//! - [`retain`]: what is older than the retention leaves, in bounded steps.
//! - [`metrics`]: what the daemon counts, for Prometheus, and what it knows of its own health.
//! - [`web`]: the page: what is stored, for browsers and for programs. Reads, never writes.
//! - [`app`]: carries the trays from room to room; spawns, retries, logs.
//! - [`cli`]: flags, environment and file become one configuration that can only be built valid.
//!
//! Allowed imports: `main → cli → app → {follow, parse, store, retain, web,
//! metrics} → model`, `retain → store`, and `web → {store, metrics}`. A test reads the `use crate::…`
//! lines and refuses any other edge.
//!
//! ## What always holds
//!
//! 1. An offset changes only in the transaction that stores its lines, by compare-and-swap.
//! 2. If the answer to COMMIT is lost, the offset is read back before anything is sent again.
//! 3. One writer per file: a lock, and an epoch that the transaction checks.
//! 4. The log file is the buffer: back-pressure is waiting, never dropping.
//! 5. A reject is data: a line that becomes no record is stored as it is, with the reason.
//! 6. Per file, complete lines up to the committed offset = rows + rejects + excluded.
//! 7. The SHA-256 of a file's bytes moves with its offset, so that files which are still there can be
//!    held against the database.
//! 8. Counts by minute and hour move in the transaction that stores the rows, and outlive them.
//! 9. Nothing in a log directory is ever written, renamed or deleted. A stream's bytes are put into
//!    the spool, a directory of the daemon's own, where a file is removed when all of it is stored.

pub mod cli;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod format;
mod identity;
pub mod metrics;
pub mod model;
pub mod pipeline;
pub mod retain;
pub mod source;
pub mod store;
pub mod web;
