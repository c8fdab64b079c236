//! `log-ingestd cleanup`: one sweep, now.

use anyhow::Context;

use crate::retain;
use crate::retain::{Outcome, SweepOptions};

use crate::config::Config;
use crate::pipeline::Shutdown;
use crate::pipeline::connect::{connect, connect_to_read};

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
