//! Opens the store at a start, and tries again while it is unavailable.

use tracing::info;

use crate::config::Config;
use crate::pipeline::Shutdown;
use crate::pipeline::backoff::Backoff;
use crate::store::{Store, StoreError, chain};

/// Who writes, for people who look at the tables.
pub(crate) fn owner(config: &Config) -> String {
    format!("{}:{}", config.host, std::process::id())
}

/// Opens the store; tries again for `connect_timeout` if it is not there yet.
pub(crate) async fn connect(config: &Config, shutdown: &mut Shutdown) -> anyhow::Result<Store> {
    connect_and(config, shutdown, true).await
}

/// The same for who only asks: tables of an older schema are refused, and not upgraded.
pub(crate) async fn connect_to_read(
    config: &Config,
    shutdown: &mut Shutdown,
) -> anyhow::Result<Store> {
    connect_and(config, shutdown, false).await
}

async fn connect_and(
    config: &Config,
    shutdown: &mut Shutdown,
    upgrade: bool,
) -> anyhow::Result<Store> {
    let end = tokio::time::Instant::now() + config.connect_timeout;
    let mut backoff = Backoff::default();
    let mut told = false;
    loop {
        let opening = async {
            match upgrade {
                true => Store::open(config.location.clone()).await,
                false => Store::open_to_read(config.location.clone()).await,
            }
        };
        let attempt = tokio::time::timeout_at(end, opening).await;
        let error = match attempt {
            Ok(Ok(store)) => return Ok(store),
            Ok(Err(error)) => error,
            Err(_) => anyhow::bail!(
                "cannot reach {} within {}: no answer",
                config.location,
                humantime::format_duration(config.connect_timeout)
            ),
        };
        let wait = backoff.wait();
        let worth_it = matches!(error, StoreError::Unavailable { .. });
        if !worth_it || tokio::time::Instant::now() + wait > end {
            return Err(anyhow::anyhow!("{}", chain(&error)));
        }
        if !std::mem::replace(&mut told, true) {
            info!(error = chain(&error), "the store cannot be reached yet; it is tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.requested() => anyhow::bail!("stopped before {} was reached", config.location),
        }
    }
}
