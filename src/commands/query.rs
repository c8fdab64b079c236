//! Opens the store for `log-ingestd query` and `log-ingestd top`.

use crate::config::Config;
use crate::store::{Reader, Store, chain};

/// Opens the store for searches. There is one attempt: a person can run the command again.
///
/// # Errors
/// The store cannot be reached or used.
pub async fn open_reader(config: &Config) -> anyhow::Result<Reader> {
    let opening = Store::open_to_read(config.location.clone());
    match tokio::time::timeout(config.connect_timeout, opening).await {
        Ok(Ok(store)) => Ok(store.reader()),
        Ok(Err(error)) => Err(anyhow::anyhow!("{}", chain(&error))),
        Err(_) => anyhow::bail!(
            "cannot reach {} within {}: no answer",
            config.location,
            humantime::format_duration(config.connect_timeout)
        ),
    }
}
