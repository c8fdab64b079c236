//! What the store is told of the files at hand, and what its answers change.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::metrics::Ingest;
use crate::model::{FileId, Span};
use crate::store::{StoreError, Writer};

use crate::daemon::files::{Followed, FollowedFiles, Why};

/// A deleted file is let go when it has been quiet for this long: its worker has reopened its log.
const DELETED_QUIET: Duration = Duration::from_secs(60);

/// The same for a file that was moved out of sight.
const MOVED_QUIET: Duration = Duration::from_secs(600);

impl FollowedFiles {
    /// Files without a name that have been quiet for long enough, taken out of the files.
    fn retire(&mut self) -> Vec<Followed> {
        let mut retired = Vec::new();
        let mut at = 0;
        while at < self.followed.len() {
            let file = &self.followed[at];
            let done = file.committed.offset == file.tail.offset() && !file.ready;
            let patience = match file.tail.is_open() {
                false => Duration::ZERO, // nobody can read it any more, whoever writes to it
                true if file.tail.is_unlinked() => DELETED_QUIET,
                true => MOVED_QUIET,
            };
            if done && file.nameless.is_some_and(|(since, _)| since.elapsed() >= patience) {
                let file = self.followed.swap_remove(at);
                self.forget_copies(file.file);
                self.out_of_reach |= !file.tail.is_open();
                retired.push(file);
            } else {
                at += 1;
            }
        }
        retired
    }

    /// Whether anything waits for the store besides lines.
    pub(crate) fn needs_store(&self) -> bool {
        let now = Instant::now();
        !self.truncated.is_empty()
            || self.followed.iter().any(|file| self.is_spent(file))
            || self.followed.iter().any(|file| file.renamed || file.nameless.is_some())
            || self.ignored.iter().any(|ignored_file| match &ignored_file.why {
                Why::New(_) => true,
                Why::Held { until, .. } => *until <= now,
                Why::NotOurs { .. } | Why::CopyOf { .. } => false,
            })
    }

    /// Whether files wait for their verdict.
    pub(crate) fn has_new(&self) -> bool {
        self.ignored.iter().any(|file| matches!(file.why, Why::New(_)))
    }

    /// Whether changes of these files are nothing new: they are followed, or no logs.
    pub(crate) fn knows_all(&self, changed: &HashSet<PathBuf>) -> bool {
        let followed = self.followed.iter().map(|file| file.tail.path());
        let others = self.ignored.iter().filter_map(|ignored_file| {
            matches!(ignored_file.why, Why::NotOurs { open: false, .. })
                .then_some(ignored_file.path.as_path())
        });
        let known =
            followed.chain(others).chain(self.known_fifos()).filter(|path| changed.contains(*path));
        known.collect::<HashSet<&Path>>().len() == changed.len()
    }

    /// A span is stored.
    pub(crate) fn stored(&mut self, span: &Span) {
        if let Some(file) = self.followed.iter_mut().find(|file| file.file == span.file) {
            file.committed = span.to;
            file.head = span.head.or(file.head);
            file.refused.take_if(|(at, _)| *at < span.to.offset);
        }
        if let Some(truncated_file) =
            self.truncated.iter_mut().find(|truncated_file| truncated_file.file == span.file)
        {
            truncated_file.committed = span.to.offset;
        }
    }

    /// The line at `offset` is to become a reject.
    pub(crate) fn refuse(&mut self, file: FileId, offset: u64, reason: &str) {
        if let Some(file) = self.followed.iter_mut().find(|followed| followed.file == file) {
            file.refused = Some((offset, reason.replace('\0', "")));
        }
    }

    /// Tells the store of renamed, lost and finished files.
    pub(crate) async fn settle(
        &mut self,
        writer: &mut Writer,
        metrics: &Ingest,
    ) -> Result<(), StoreError> {
        for file in self.followed.iter_mut().filter(|file| file.renamed) {
            writer.moved(file.file, file.epoch, &file.tail.path().to_string_lossy()).await?;
            file.renamed = false;
        }
        // A copy that still waits may hold what an truncated_file has lost.
        if !self.has_new() {
            while let Some(at) = self.truncated.iter().position(|o| o.committed == o.position) {
                let truncated_file = &self.truncated[at];
                let lost = truncated_file.size.saturating_sub(truncated_file.committed);
                if lost > 0 {
                    warn!(file = truncated_file.file.0, path = %truncated_file.path.display(), bytes = lost,
                        "truncated before all of it was read: these bytes are lost");
                }
                writer
                    .close(truncated_file.file, truncated_file.epoch, lost, "truncated or replaced")
                    .await?;
                metrics.lost(lost);
                writer.release(truncated_file.file).await?;
                self.truncated.swap_remove(at);
            }
        }
        for file in self.retire() {
            info!(file = file.file.0, path = %file.tail.path().display(), "let go: it has no name here");
            if file.tail.is_unlinked() {
                let lost = file.tail.size().saturating_sub(file.committed.offset);
                writer.close(file.file, file.epoch, lost, "deleted").await?;
                metrics.lost(lost);
            }
            writer.release(file.file).await?;
        }
        self.remove_spent(writer).await
    }
}
