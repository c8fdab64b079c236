//! `log-ingestd migrate`: creates the tables, or brings them to this program's schema.
//!
//! The database user of this command needs more rights than the daemon's.

use std::ops::Range;

use anyhow::Context;

use crate::config::Config;
use crate::pipeline::Shutdown;
use crate::pipeline::connect::{Access, connect};
use crate::store::{Prepared, Schema, Step, Store};

/// Options of `migrate`.
#[derive(Clone, Debug, Default)]
pub struct MigrateOptions {
    /// Whether the steps are only listed.
    pub dry_run: bool,
    /// UTC days since 1970 whose partitions are created.
    pub days: Range<i32>,
    /// A UTC day since 1970 whose partition is created too: later than clocks explain, it shares that of all such
    /// days.
    pub later: Option<i32>,
    /// Whether Citus distributes the tables.
    pub citus: bool,
}

/// What `migrate` did, or would do in a dry run.
#[derive(Debug)]
pub struct Migration {
    /// The schema before the migration.
    pub before: Schema,
    /// The steps.
    pub steps: Vec<Step>,
    /// Tables that were distributed; `None` without [`MigrateOptions::citus`].
    pub distributed: Option<Vec<&'static str>>,
    /// Whether the partitions of [`MigrateOptions::days`] are ready.
    pub prepared: Prepared,
}

/// Migrates the schema.
///
/// # Errors
/// The store cannot be used, its schema is newer, the user lacks rights, or Citus is requested and
/// not installed. Then nothing is changed.
pub async fn migrate(config: &Config, options: &MigrateOptions) -> anyhow::Result<Migration> {
    let mut shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    let before = Store::schema(&config.location).await?;
    before.not_newer(&config.location)?;
    if options.citus {
        Store::may_distribute(&config.location).await?;
    }
    let mut done = Migration {
        before,
        steps: Store::steps(&config.location, before),
        distributed: options.citus.then(Vec::new),
        prepared: Prepared::All,
    };
    if options.dry_run {
        return Ok(done);
    }
    let store =
        connect(&config.location, config.connect_timeout, Access::Write, &mut shutdown).await?;
    if options.citus {
        done.distributed = Some(store.distribute().await?);
    }
    store.keep_rows(config.retention.age());
    if let Some(day) = options.later {
        store.prepare_later(day).await?;
    }
    done.prepared = store.prepare_days(options.days.clone()).await?;
    Ok(done)
}
