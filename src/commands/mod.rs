//! The commands: each does one thing and exits. `cli` parses their flags and prints their results.
//!
//! A command returns values and never prints. It makes its own connection to the store and needs no
//! running daemon. Commands that change rows are safe while daemons run: the store has the locks.
//!
//! Files, in reading order: `import` and `verify` (whole files into the
//! store, and compared with it), `check` (parses without a store),
//! `reparse` (stored lines again), `export` (writes a log back), `forget` (takes a file out again; `named_file`
//! says which one a path means), `status`, `query`,
//! `follow`, `report`, `cleanup`, `migrate`, `copy`, `rename_host`, `healthcheck`, `doctor`.

mod check;
mod cleanup;
mod copy;
mod doctor;
mod export;
mod follow;
mod forget;
mod healthcheck;
pub(crate) mod import;
mod migrate;
mod named_file;
mod query;
mod rename_host;
mod reparse;
mod report;
mod status;
mod verify;

pub use check::{Report, check};
pub use cleanup::cleanup;
pub use copy::{
    CopiedTable, CopyDifference, CopyOptions, CopyProgress, CopyStep, CopySummary, copy,
};
pub use doctor::{Doctor, Finding, Severity, doctor};
pub use export::{Cause, Deviation, ExportOptions, ExportSummary, Exported, export};
pub use follow::NewRows;
pub use forget::{ForgetOptions, ForgetSummary, forget};
pub use healthcheck::{Probe, Scheme, healthcheck};
pub use import::{Connections, Progress, Summary, Unproven, import};
pub use migrate::{MigrateOptions, Migration, migrate};
pub use query::open_reader;
pub use rename_host::rename_host;
pub use reparse::{ReparseSummary, RereadFile, RowsOptions, RowsSummary, reparse, reparse_rows};
pub use report::{ReportOptions, report};
pub use status::{FileStatus, Status, status};
pub use verify::{Difference, FileVerdict, Verification, verify};

use anyhow::Context;

use crate::config::Config;
use crate::pipeline::connect::{Access, connect_with};
use crate::pipeline::{LONGEST_STOP, Shutdown, limit_stop};
use crate::store::Store;

/// Connects to the configured store. A signal ends the wait for it, and later the command.
async fn open_store(config: &Config, access: Access) -> anyhow::Result<(Store, Shutdown)> {
    open_store_with(config, access, &mut |_| ()).await
}

/// The same; `reached` is called as soon as the server is reached.
async fn open_store_with(
    config: &Config,
    access: Access,
    reached: &mut (dyn FnMut(&Store) + Send),
) -> anyhow::Result<(Store, Shutdown)> {
    let mut shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    limit_stop(LONGEST_STOP).context("cannot listen to signals")?;
    let Config { location, connect_timeout, .. } = config;
    let store = connect_with(location, *connect_timeout, access, &mut shutdown, reached).await?;
    store.keep_rows(config.retention.age());
    Ok((store, shutdown))
}
