//! Files of the spool: what came from a stream.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tracing::{info, warn};

use crate::source::spool::StreamName;
use crate::store::{StoreError, Writer};

use crate::daemon::files::{FollowedFile, FollowedFiles, IgnoredFile, IgnoredReason};
use crate::identity::claim::Ending;
use crate::identity::detect::{MoreLines, StreamEnding, StreamFile};

impl FollowedFiles {
    /// Returns the spool's files. Of those that are finished since the last look, the format must be
    /// detected by what is there.
    pub(crate) fn look_into_spool(&mut self) -> Vec<PathBuf> {
        let found = self.spool.files();
        let finished: HashSet<PathBuf> =
            found.iter().filter(|it| it.finished).map(|it| it.path.clone()).collect();
        for IgnoredFile { path, reason, .. } in &mut self.ignored {
            if let IgnoredReason::NoLog { size, more: MoreLines::MayHelp, .. }
            | IgnoredReason::Unreadable { size, .. } = reason
                && finished.contains(path)
                && !self.finished.contains(path)
            {
                *size = u64::MAX; // as if it was truncated: inspected again
            }
        }
        self.finished = finished;
        found.into_iter().map(|it| it.path).collect()
    }

    /// Takes note of the FIFOs that the user named, which are read, and of the others.
    pub(crate) fn meet_fifos(&mut self, asked_for: Vec<PathBuf>, others: Vec<PathBuf>) {
        for path in &others {
            let is_new = !self.unrequested_fifos.contains(path);
            if is_new && self.announcements.may_name(Instant::now()) {
                info!(path = %path.display(), "a FIFO in a watched directory: left alone, because \
                    what is read from it is gone for its reader; name it with --watch to follow it");
            }
        }
        self.fifos = asked_for;
        self.unrequested_fifos = others.into_iter().collect();
    }

    /// Returns all known FIFOs: an event of theirs is nothing new.
    pub(crate) fn known_fifos(&self) -> impl Iterator<Item = &Path> {
        self.fifos.iter().chain(&self.unrequested_fifos).map(PathBuf::as_path)
    }

    /// Returns what is known of a file that came from a stream; `None` of any other file.
    pub(crate) fn stream_file(&self, path: &Path) -> Option<StreamFile> {
        let stream = StreamName::of(path).filter(|_| self.spool.covers(path))?;
        let same = |file: &FollowedFile| {
            let other = file.tail.path();
            self.spool.covers(other) && StreamName::of(other).as_ref() == Some(&stream)
        };
        let format =
            self.followed.iter().find(|file| same(file)).map(|file| Arc::clone(&file.format));
        let place = match stream.is_standard_input() {
            true => Some(PathBuf::from("-")),
            false => self.fifos.iter().find(|fifo| StreamName::fifo(fifo) == stream).cloned(),
        };
        let ending = match self.finished.contains(path) {
            true => StreamEnding::Finished,
            false => StreamEnding::Open,
        };
        Some(StreamFile { ending, format, place })
    }

    /// Returns the files of the spool that are followed.
    pub(crate) fn spooled(&self) -> HashSet<PathBuf> {
        let paths = self.followed.iter().map(|file| file.tail.path());
        paths.filter(|path| self.spool.covers(path)).map(Path::to_path_buf).collect()
    }

    /// Returns whether anything of standard input is not stored yet.
    pub(crate) fn awaits_input(&self) -> bool {
        let is_input = |path: &Path| {
            self.spool.covers(path) && StreamName::of(path).is_some_and(|it| it.is_standard_input())
        };
        self.followed.iter().any(|file| is_input(file.tail.path()))
            || self.ignored.iter().any(|file| is_input(&file.path))
    }

    /// Returns whether it is a finished file of the spool of which everything is stored.
    pub(crate) fn is_spent(&self, file: &FollowedFile) -> bool {
        self.finished.contains(file.tail.path())
            && file.is_stored()
            && file.committed() == file.tail.size()
    }

    /// Closes finished files of which everything is stored, and then removes them: after a crash
    /// between both they are known, and there is nothing in them to be read.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn remove_spent(&mut self, writer: &mut Writer) -> Result<(), StoreError> {
        while let Some(at) = self.followed.iter().position(|file| self.is_spent(file)) {
            let FollowedFile { tail, claim, .. } = &mut *self.followed[at];
            let size = tail.size();
            claim.close(writer, tail.path(), size, Ending::RemovedFromSpool).await?;
            let file = self.followed.swap_remove(at);
            let path = file.tail.path();
            match self.spool.remove(path, size) {
                Ok(true) => info!(file = file.file().0, path = %path.display(), bytes = size,
                    "all of it is stored: removed from the spool"),
                Ok(false) => {} // its writer goes on with it: the next look finds it
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => warn!(path = %path.display(), %error,
                    "cannot remove this file, all of which is stored"),
            }
        }
        Ok(())
    }
}
