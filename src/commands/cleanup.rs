//! `log-ingestd cleanup`: one sweep, now.

use crate::commands::open_store;
use crate::config::Config;
use crate::model::now;
use crate::pipeline::connect::Access;
use crate::retain::{self, SweepOptions, SweepOutcome};

/// Sweeps once.
///
/// # Errors
/// The store cannot be used, or fails during the sweep. Rows removed before the error stay removed.
pub async fn cleanup(config: &Config, options: &SweepOptions) -> anyhow::Result<SweepOutcome> {
    let access = if options.dry_run { Access::Read } else { Access::Write };
    let (store, _shutdown) = open_store(config, access).await?;
    // A daemon's next sweep is still to come.
    let last = store.last_sweep().await?;
    let next_at = last.and_then(|last| last.next_at).filter(|at| *at > now());
    Ok(retain::sweep(&store, &SweepOptions { next_at, ..options.clone() }).await?)
}
