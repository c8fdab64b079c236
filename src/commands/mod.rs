//! The commands that read logs or the store once, and exit.

mod ask;
mod check;
mod cleanup;
mod healthcheck;
pub(crate) mod import;
mod migrate;
mod reparse;
mod status;
mod verify;

pub use ask::ask;
pub use check::{Report, check};
pub use cleanup::cleanup;
pub use healthcheck::healthcheck;
pub use import::{Progress, Summary, import};
pub use migrate::{MigrateOptions, Migration, migrate};
pub use reparse::{ReparseSummary, reparse};
pub use status::{FileStatus, Status, status};
pub use verify::{Difference, FileVerdict, Verification, verify};
