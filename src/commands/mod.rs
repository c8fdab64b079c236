//! The commands that read logs or the store once, and exit.

mod check;
mod cleanup;
mod healthcheck;
pub(crate) mod import;
mod migrate;
mod query;
mod reparse;
mod status;
mod verify;

pub use check::{Report, check};
pub use cleanup::cleanup;
pub use healthcheck::{Probe, healthcheck};
pub use import::{Progress, Summary, import};
pub use migrate::{MigrateOptions, Migration, migrate};
pub use query::open_reader;
pub use reparse::{ReparseSummary, reparse};
pub use status::{FileStatus, Status, status};
pub use verify::{Difference, FileVerdict, Verification, verify};
