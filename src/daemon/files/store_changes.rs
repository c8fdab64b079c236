//! What the store is told of the files besides their lines: new names, ends and losses.

use crate::model::path_text;
use std::time::{Duration, Instant};

use tracing::info;

use crate::daemon::files::{
    FollowedFile, FollowedFiles, IgnoredFile, IgnoredReason, TruncatedFile,
};
use crate::identity::claim::{ClaimedFile, Ended, Ending};
use crate::source::devices::unreachable_devices;
use crate::store::{StoreError, Writer};

/// A deleted file is given up when it was quiet for this long: its worker has reopened its log.
const DELETED_QUIET: Duration = Duration::from_secs(60);

/// A file that was moved out of the watched places is given up when it was quiet for this long.
const MOVED_QUIET: Duration = Duration::from_secs(600);

impl FollowedFile {
    /// Returns whether it has no name in a watched place, and was quiet for long enough. While its file system
    /// does not answer, nothing is known of it.
    fn is_given_up(&self) -> bool {
        let patience = match self.tail.is_open() {
            false => Duration::ZERO, // it cannot be read any more, whatever is written to it
            true if self.tail.is_unlinked() => DELETED_QUIET,
            true => MOVED_QUIET,
        };
        self.is_stored()
            && !self.tail.is_unreachable()
            && self.nameless.is_some_and(|(since, _)| since.elapsed() >= patience)
    }
}

impl FollowedFiles {
    /// Returns whether there is work for the store besides lines.
    pub(crate) fn needs_store(&self) -> bool {
        let (now, unreachable) = (Instant::now(), unreachable_devices());
        let is_due =
            |file: &IgnoredFile| file.reason.is_due(now) && !unreachable.contains(&file.key.device);
        !self.truncated.is_empty()
            || self.followed.iter().any(|file| self.is_spent(file))
            || self.followed.iter().any(|file| file.renamed || file.nameless.is_some())
            || self.ignored.iter().any(is_due)
    }

    /// Returns whether a truncated file's copy is to be looked for.
    pub(crate) fn awaits_look(&self) -> bool {
        self.truncated.iter().any(|file| file.looks >= self.looks)
    }

    /// Returns whether there are files about which is to be decided.
    pub(crate) fn has_undecided(&self) -> bool {
        self.ignored.iter().any(|file| matches!(file.reason, IgnoredReason::Undecided(_)))
    }

    /// Tells the store of renamed, truncated and finished files.
    ///
    /// # Errors
    /// The store's. What it was not told is told the next time.
    pub(crate) async fn tell_store(&mut self, writer: &mut Writer) -> Result<(), StoreError> {
        self.store_new_paths(writer).await?;
        // A copy about which is still to be decided may hold what a truncated file has lost.
        if !self.has_undecided() {
            self.close_truncated(writer).await?;
        }
        self.close_nameless(writer).await?;
        self.remove_spent(writer).await
    }

    async fn store_new_paths(&mut self, writer: &mut Writer) -> Result<(), StoreError> {
        let renamed = self.followed.iter().filter(|file| file.renamed);
        let renamed: Vec<_> =
            renamed.map(|file| (file.claim.held(), path_text(file.tail.path()))).collect();
        let moved = renamed.iter().map(|(claim, path)| (claim.file, claim.epoch, &**path));
        writer.moved_all(&moved.collect::<Vec<_>>()).await?;
        drop(renamed);
        self.followed.iter_mut().for_each(|file| file.renamed = false);
        Ok(())
    }

    async fn close_truncated(&mut self, writer: &mut Writer) -> Result<(), StoreError> {
        // Its copy may lie where no look has been since.
        let looks = self.looks;
        let is_due = |file: &TruncatedFile| {
            file.claim.committed().offset == file.position && file.looks < looks
        };
        let due = self.truncated.iter_mut().filter(|file| is_due(file));
        let due = due.map(|TruncatedFile { claim, path, size, .. }| Ended {
            file: claim,
            path,
            size: *size,
            ending: Ending::Truncated,
        });
        ClaimedFile::close_all(writer, due.collect()).await?;
        self.truncated.retain(|file| !is_due(file));
        Ok(())
    }

    async fn close_nameless(&mut self, writer: &mut Writer) -> Result<(), StoreError> {
        let (mut deleted, mut moved, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for file in self.followed.iter_mut().filter(|file| file.is_given_up()) {
            let FollowedFile { tail, claim, .. } = &mut **file;
            let (id, path) = (claim.file(), tail.path());
            info!(file = id.0, path = %path.display(), "let go: it has no name here");
            all.push(id);
            match tail.is_unlinked() {
                true => {
                    let (size, ending) = (tail.size(), Ending::Deleted);
                    deleted.push(Ended { file: claim, path, size, ending });
                }
                false => moved.push(id),
            }
        }
        ClaimedFile::close_all(writer, deleted).await?;
        if !moved.is_empty() {
            writer.release_all(&moved).await?;
        }
        for id in all {
            let Some(at) = self.followed.place(id) else { continue };
            let file = self.followed.swap_remove(at);
            self.forget_copies(file.file());
            self.out_of_reach |= !file.tail.is_open();
        }
        Ok(())
    }
}
