//! # log-ingestd
//!
//! A Gunicorn server writes a line to its access log for each request, and an application may write a
//! line of JSON to a log of its own. This daemon stores each of these lines in a database exactly
//! once.
//!
//! ## The way of a line
//!
//! ```text
//!  stream ─► spool files
//!              ▼
//!  file bytes ─► lines ─► record | reject ─► batch ─► one transaction ─► tables ─► page, query
//!    source       source      format          pipeline      store                    web, cli
//! ```
//!
//! `pipeline` carries the lines; `identity` decides beforehand which logical file the bytes belong to.
//!
//! ## The folders, in reading order
//!
//! - [`model`]: values that all folders share: records, files, positions, batches, reject reasons.
//! - [`source`]: which files exist, their bytes and their lines; envelopes of container runtimes; the
//!   spool for streams.
//! - [`mod@format`]: what a line means. An `access_log_format` is compiled to a template, which reads
//!   lines; JSON lines; masking and exclusions.
//! - [`store`]: one contract and two backends, PostgreSQL and SQLite. The only folder with SQL.
//! - [`metrics`]: what the daemon counts, for Prometheus, and its health.
//! - [`pipeline`]: reads lines into sinks, commits batches, and retries.
//! - `identity`: detects a file's format, decides which logical file it is, and claims that file.
//! - [`retain`]: removes rows older than the retention, and indexes days that are over.
//! - [`web`]: the page and its API, the report as a file, and the client that posts notices. Reads the store,
//!   and never writes.
//! - [`config`]: the configuration that the commands work with; it can only be built valid.
//! - [`daemon`]: follows logs until it is stopped.
//! - [`commands`]: `import`, `verify`, `check` and the others, which read once and exit.
//! - [`cli`]: builds the configuration from flags, environment and file, and prints results.
//!
//! Allowed imports: `main → cli → {daemon, commands} → config → {identity, pipeline, retain, web} →
//! {source, format, store, metrics} → model`; besides, `identity → pipeline`. A test reads the source
//! and refuses every other edge.
//!
//! ## Invariants
//!
//! 1. An offset changes only in the transaction that stores its lines, by compare-and-swap.
//! 2. If the answer to COMMIT is lost, the offset is read back before the batch is sent again. At the end
//!    of a batch of ours, under our epoch, all before it happened; anything else is a conflict. A lower
//!    epoch or offset means that the database was restored: its offsets are the truth, and all files are
//!    compared with it anew.
//! 3. A file has one writer: a lock, and an epoch that the transaction compares. No epoch comes twice.
//! 4. The log file is the buffer: back-pressure is waiting, never dropping.
//! 5. A reject is data: a line that becomes no record is stored as bytes, with the reason.
//! 6. Per file, complete lines up to the committed offset = rows + rejects + excluded lines.
//! 7. The SHA-256 of a file's bytes moves with its offset, so that `verify` can compare the files that
//!    still exist with the database.
//! 8. Counts by minute and hour move in the transaction that stores the rows, and outlive the rows.
//! 9. Nothing in a log directory is ever written, renamed or deleted. The spool is a directory of the
//!    daemon's own: a file in it is removed when all its lines are stored.

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
