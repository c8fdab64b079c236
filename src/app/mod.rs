//! Carries the trays from room to room: the only place that spawns tasks, tries again and logs
//! errors. It neither parses nor knows SQL.
//!
//! - [`watch()`]: the daemon. `ingest` is its production line: `roster` holds the files at hand,
//!   `enroll` finds out what the store knows of them and `judge` who they are, `fill` turns lines
//!   into a batch, `commit` gets it stored whatever happens. `archives` finishes logs that were
//!   compressed before all of them was read, `missing` closes those that are gone.
//!   `streams` makes files of standard input and FIFOs.
//!   `page` has the address at which the web room answers; `supervisor` is systemd, which is told.
//! - [`import()`]: the same line for files that are whole; `source` opens them, `each_line` looks at
//!   their lines.
//! - [`verify()`]: the same line once more, compared with what is stored.
//! - [`check()`], [`status()`], [`cleanup()`], [`reparse()`], [`migrate()`],
//!   [`healthcheck()`]: the small commands.

mod archives;
mod ask;
mod backoff;
mod check;
mod cleanup;
mod commit;
mod config;
mod each_line;
mod enroll;
mod examine;
mod fill;
mod formats;
mod healthcheck;
mod import;
mod indexing;
mod ingest;
mod judge;
mod migrate;
mod missing;
mod page;
mod reparse;
mod roster;
mod shutdown;
mod source;
mod status;
mod streams;
mod supervisor;
mod verify;
mod watch;

pub use ask::ask;
pub use check::{Report, check};
pub use cleanup::cleanup;
pub use config::{Config, PageConfig, Parsing, SpoolConfig, StandardInput, Watch};
pub use healthcheck::healthcheck;
pub use import::{Progress, Summary, import};
pub use migrate::{MigrateOptions, Migration, migrate};
pub use reparse::{ReparseSummary, reparse};
pub use shutdown::{Request, Shutdown};
pub use status::{FileStatus, Status, status};
pub use verify::{Difference, FileVerdict, Verification, verify};
pub use watch::watch;
