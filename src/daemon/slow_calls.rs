//! Logs which file systems do not answer, and which file holds up all others because of that.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::metrics::{Metrics, SLOW};
use crate::source::unreachable_file_systems;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Logs each call on a file that takes longer than [`SLOW`] once, and its end; and each file system that does not
/// answer and has a thread of its own, so that nothing waits for it. Never returns.
pub(crate) async fn report(metrics: Arc<Metrics>) {
    let mut slow: Option<PathBuf> = None;
    let mut unreachable: Vec<PathBuf> = Vec::new();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let before = std::mem::replace(&mut unreachable, unreachable_file_systems());
        metrics.health.file_systems_unreachable(unreachable.len());
        for place in unreachable.iter().filter(|place| !before.contains(place)) {
            warn!(directory = %place.display(), "this file system does not answer: its files wait, others do not");
        }
        for place in before.iter().filter(|place| !unreachable.contains(place)) {
            info!(directory = %place.display(), "this file system answers again, or is unmounted");
        }
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
