//! `log-ingestd cleanup`: one sweep, now.

use anyhow::Context;

use crate::retain::{self, Outcome, SweepOptions};

use super::config::Config;
use super::shutdown::Shutdown;
use super::watch::{connect, connect_to_read};

/// Sweeps once.
///
/// # Errors
/// A store that cannot be used, or that fails on the way; what was removed by then stays removed.
pub async fn cleanup(config: &Config, options: &SweepOptions) -> anyhow::Result<Outcome> {
    let mut shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    let store = match options.dry_run {
        true => connect_to_read(config, &mut shutdown).await?,
        false => connect(config, &mut shutdown).await?,
    };
    Ok(retain::sweep(&store, options).await?)
}
