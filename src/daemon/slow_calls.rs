//! Logs which file holds up all others because its file system does not answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::metrics::{Metrics, SLOW};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Logs each call on a file that takes longer than [`SLOW`] once, and its end. Never returns.
pub(crate) async fn report(metrics: Arc<Metrics>) {
    let mut slow: Option<PathBuf> = None;
    loop {
        tokio::time::sleep(INTERVAL).await;
        match (metrics.health.slow_call(SLOW), slow.take()) {
            (Some((path, time)), before) => {
                if before.as_ref() != Some(&path) {
                    warn!(path = %path.display(), seconds = time.as_secs(),
                        "reading this file does not end, perhaps because its file system does not answer: \
                        other files wait for it");
                }
                slow = Some(path);
            }
            (None, Some(path)) => info!(path = %path.display(), "reading this file has ended"),
            (None, None) => {}
        }
    }
}
