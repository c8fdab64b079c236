//! Reports that files may have changed.
//!
//! An event is a hint, and never the truth. Events are lost when a queue overflows, they never come from
//! network file systems, and reading the file's metadata says more. So many events are merged to one
//! notification, and the caller must have a timer besides. The changed paths are kept as a set. If the
//! set grows too large, or an event is unclear, all files have to be checked.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{EventKind, ModifyKind};
use notify::{Config, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// The most changed paths that are kept. If there are more, all files have to be checked.
const MAX_PATHS: usize = 1024;

/// The changes since they were last taken.
#[derive(Debug, Default)]
struct Changes {
    /// Files whose bytes changed.
    paths: HashSet<PathBuf>,
    /// Whether names appeared, disappeared or moved, or the changes are unknown.
    everywhere: bool,
}

/// Events of the watched directories, merged.
pub struct FsEvents {
    changes: Arc<(Mutex<Changes>, Notify)>,
    watcher: Option<RecommendedWatcher>,
    watched: HashSet<PathBuf>,
}

impl FsEvents {
    /// Starts to receive events. If the system gives none, the error is returned too, and the caller has
    /// its timer only.
    pub fn new() -> (Self, Option<notify::Error>) {
        let changes: Arc<(Mutex<Changes>, Notify)> = Arc::default();
        let receiver = Arc::clone(&changes);
        let watcher = RecommendedWatcher::new(
            move |event: notify::Result<notify::Event>| {
                if record(&mut receiver.0.lock().unwrap_or_else(PoisonError::into_inner), event) {
                    receiver.1.notify_one();
                }
            },
            Config::default(),
        );
        let (watcher, error) = match watcher {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (None, Some(error)),
        };
        (Self { changes, watcher, watched: HashSet::new() }, error)
    }

    /// Watches the entries of a directory. Call this again in every pass: a directory that was removed
    /// and made again is only noticed here.
    ///
    /// # Errors
    /// Errors of the system, for example that its limit of watches is reached.
    pub fn watch(&mut self, directory: &Path) -> notify::Result<()> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        if !directory.is_dir() {
            if self.watched.remove(directory) {
                let _ = watcher.unwatch(directory); // the directory is gone, and perhaps its watch too
            }
            return Ok(());
        }
        if self.watched.insert(directory.to_path_buf()) {
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
        }
        Ok(())
    }

    /// Waits for a change. Cancel-safe: a change that no call waited for is kept for the next.
    pub async fn changed(&self) {
        self.changes.1.notified().await;
    }

    /// Takes the changed files. Returns `None` if all files have to be checked.
    pub fn take_changed_paths(&self) -> Option<HashSet<PathBuf>> {
        let changes =
            std::mem::take(&mut *self.changes.0.lock().unwrap_or_else(PoisonError::into_inner));
        (!changes.everywhere).then_some(changes.paths)
    }
}

/// Records an event. Returns whether the event is a change that the caller must check.
fn record(changes: &mut Changes, event: notify::Result<notify::Event>) -> bool {
    let Ok(event) = event else {
        changes.everywhere = true;
        return true;
    };
    match event.kind {
        // The daemon's own reading causes these.
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_))
            if !event.need_rescan() =>
        {
            return false;
        }
        EventKind::Modify(ModifyKind::Data(_)) if changes.paths.len() < MAX_PATHS => {
            changes.paths.extend(event.paths);
        }
        _ => changes.everywhere = true,
    }
    true
}
