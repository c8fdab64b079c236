//! Says that a look may be worth it.
//!
//! Events are lost when a queue overflows, never come from network file systems, and say little
//! that a look at the file would not say better. So the bell only rings: many events are one
//! ring, and whoever waits for it also has a timer. What rang is kept as a set of paths; when it
//! grows too large, or an event is unclear, it says "look everywhere".

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{EventKind, ModifyKind};
use notify::{Config, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// More paths than this and the bell says "look everywhere".
const MANY: usize = 1024;

#[derive(Debug, Default)]
struct Rung {
    /// Files whose bytes changed.
    paths: HashSet<PathBuf>,
    /// Names came, went or moved, or nobody knows.
    everywhere: bool,
}

/// A coalescing bell over the watched directories.
pub struct FsEvents {
    rung: Arc<(Mutex<Rung>, Notify)>,
    watcher: Option<RecommendedWatcher>,
    watched: HashSet<PathBuf>,
}

impl FsEvents {
    /// A bell, with the reason if the system gives no events; then only the timer is left.
    pub fn new() -> (Self, Option<notify::Error>) {
        let rung: Arc<(Mutex<Rung>, Notify)> = Arc::default();
        let ring = Arc::clone(&rung);
        let watcher = RecommendedWatcher::new(
            move |event: notify::Result<notify::Event>| {
                if note(&mut ring.0.lock().unwrap_or_else(PoisonError::into_inner), event) {
                    ring.1.notify_one();
                }
            },
            Config::default(),
        );
        let (watcher, error) = match watcher {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (None, Some(error)),
        };
        (Self { rung, watcher, watched: HashSet::new() }, error)
    }

    /// Listens to a directory's own entries. Again after it was removed and made anew: a second
    /// registration is cheap and the only way to notice.
    ///
    /// # Errors
    /// What the system says, for example that its limit of watches is reached.
    pub fn watch(&mut self, directory: &Path) -> notify::Result<()> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        if !directory.is_dir() {
            if self.watched.remove(directory) {
                let _ = watcher.unwatch(directory); // it is gone already: nothing to undo
            }
            return Ok(());
        }
        if self.watched.insert(directory.to_path_buf()) {
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
        }
        Ok(())
    }

    /// Waits for a ring. Cancel-safe: a ring that nobody waited for is kept.
    pub async fn changed(&self) {
        self.rung.1.notified().await;
    }

    /// What rang since the last answer: the changed files, or `None` for "look everywhere".
    pub fn take_changed_paths(&self) -> Option<HashSet<PathBuf>> {
        let rung = std::mem::take(&mut *self.rung.0.lock().unwrap_or_else(PoisonError::into_inner));
        (!rung.everywhere).then_some(rung.paths)
    }
}

/// Writes an event down; whether it is worth a ring.
fn note(rung: &mut Rung, event: notify::Result<notify::Event>) -> bool {
    let Ok(event) = event else {
        rung.everywhere = true;
        return true;
    };
    match event.kind {
        // Our own reading makes these.
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_))
            if !event.need_rescan() =>
        {
            return false;
        }
        EventKind::Modify(ModifyKind::Data(_)) if rung.paths.len() < MANY => {
            rung.paths.extend(event.paths);
        }
        _ => rung.everywhere = true,
    }
    true
}
