//! Opens the store at the start of a command, and tries again while the store is unavailable.

use std::time::Duration;

use tracing::info;

use crate::pipeline::Shutdown;
use crate::pipeline::backoff::Backoff;
use crate::store::{Location, Store, StoreError, chain};

/// Returns the name under which this process writes: `host:pid`, for people who read the tables.
pub(crate) fn owner(host: &str) -> String {
    format!("{host}:{}", std::process::id())
}

/// What a command does with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It only reads: tables of an older schema are refused, and not upgraded.
    Read,
    /// It writes: tables are made, or upgraded to this program's schema.
    Write,
}

/// Opens the store. While the store is unavailable, tries again until `timeout` is over.
///
/// # Errors
/// A store that does not answer in time, that refuses, or whose schema does not fit; a request to
/// stop meanwhile.
pub(crate) async fn connect(
    location: &Location,
    timeout: Duration,
    access: Access,
    shutdown: &mut Shutdown,
) -> anyhow::Result<Store> {
    connect_with(location, timeout, access, shutdown, &mut |_| ()).await
}

/// Opens the store, and calls `reached` as [`Store::open_with`] does, at each try.
///
/// # Errors
/// As for [`connect`].
pub(crate) async fn connect_with(
    location: &Location,
    timeout: Duration,
    access: Access,
    shutdown: &mut Shutdown,
    reached: &mut (dyn FnMut(&Store) + Send),
) -> anyhow::Result<Store> {
    let end = tokio::time::Instant::now() + timeout;
    let mut backoff = Backoff::default();
    let mut is_logged = false;
    loop {
        let opening = async {
            match access {
                Access::Write => Store::open_with(location.clone(), &mut *reached).await,
                Access::Read => Store::open_to_read(location.clone()).await,
            }
        };
        let attempt = tokio::time::timeout_at(end, opening).await;
        let error = match attempt {
            Ok(Ok(store)) => return Ok(store),
            Ok(Err(error)) => error,
            Err(_) => anyhow::bail!(
                "cannot reach {} within {}: no answer{}",
                location,
                humantime::format_duration(timeout),
                unit_hint(location)
            ),
        };
        let wait = backoff.wait();
        let worth_it = matches!(error, StoreError::Unavailable { .. });
        if !worth_it || tokio::time::Instant::now() + wait > end {
            return Err(anyhow::anyhow!("{}", chain(&error)));
        }
        if !std::mem::replace(&mut is_logged, true) {
            info!(error = chain(&error), "the store cannot be reached yet; it is tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.requested() => anyhow::bail!("stopped before {} was reached", location),
        }
    }
}

/// Returns what else may be the cause where systemd runs this process. The packets that a unit denies are
/// dropped without an error.
fn unit_hint(location: &Location) -> &'static str {
    match location.is_elsewhere() && is_service() {
        true => {
            "; if systemd's unit has IPAddressDeny=, it must allow that address by IPAddressAllow="
        }
        false => "",
    }
}

/// Returns whether systemd has started this process (systemd.exec(5), `INVOCATION_ID`).
pub(crate) fn is_service() -> bool {
    std::env::var_os("INVOCATION_ID").is_some()
}
