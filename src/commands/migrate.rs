//! `log-ingestd migrate`: the tables are made, or brought to this program's schema, by a user who may
//! do so.

use std::ops::Range;

use anyhow::Context;

use crate::store::{Schema, Step, Store};

use crate::config::Config;
use crate::pipeline::Shutdown;
use crate::pipeline::connect::{Access, connect};

/// What `migrate` is to do besides.
#[derive(Clone, Debug, Default)]
pub struct MigrateOptions {
    /// Only say what would be done.
    pub dry_run: bool,
    /// UTC days since 1970 that are to have their partitions.
    pub days: Range<i32>,
    /// Whether the tables are to be distributed by Citus.
    pub citus: bool,
}

/// What `migrate` did, or would do.
#[derive(Debug)]
pub struct Migration {
    /// The schema before it.
    pub before: Schema,
    /// What was applied.
    pub steps: Vec<Step>,
    /// Tables that were distributed; `None` if that was not asked for.
    pub distributed: Option<Vec<&'static str>>,
}

/// Brings the schema up.
///
/// # Errors
/// A store that cannot be used, a schema that is newer, a user who may not do it, and Citus that is
/// asked for and not there: then nothing is changed.
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
    };
    if options.dry_run {
        return Ok(done);
    }
    let store =
        connect(&config.location, config.connect_timeout, Access::Write, &mut shutdown).await?;
    if options.citus {
        done.distributed = Some(store.distribute().await?);
    }
    store.prepare_days(options.days.clone()).await?;
    Ok(done)
}
