//! `log-ingestd cleanup`: one sweep, now.

use anyhow::Context;

use crate::config::Config;
use crate::pipeline::Shutdown;
use crate::pipeline::connect::{Access, connect};
use crate::retain::{self, SweepOptions, SweepOutcome};

/// Sweeps once.
///
/// # Errors
/// The store cannot be used, or fails during the sweep. Rows removed before the error stay removed.
pub async fn cleanup(config: &Config, options: &SweepOptions) -> anyhow::Result<SweepOutcome> {
    let mut shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    let access = if options.dry_run { Access::Read } else { Access::Write };
    let store = connect(&config.location, config.connect_timeout, access, &mut shutdown).await?;
    Ok(retain::sweep(&store, options).await?)
}
