//! Files of the spool among the files at hand: what came from a stream.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use crate::source::spool::StreamName;
use crate::store::{StoreError, Writer};

use crate::daemon::files::{Followed, FollowedFiles, Format, IgnoredFile, Why};

/// What is known of a file of the spool besides its bytes.
#[derive(Debug)]
pub(crate) struct Streamed {
    /// Nothing will be added to it.
    pub(crate) finished: bool,
    /// The format of the same stream's other files.
    pub(crate) format: Option<Arc<Format>>,
}

impl FollowedFiles {
    /// The spool's files. Of those that are finished since the last look the format must be told by
    /// what is there.
    pub(crate) fn look_into_spool(&mut self) -> Vec<PathBuf> {
        let found = self.spool.files();
        let finished: HashSet<PathBuf> =
            found.iter().filter(|it| it.finished).map(|it| it.path.clone()).collect();
        for IgnoredFile { path, why, .. } in &mut self.ignored {
            if let Why::NotOurs { size, open: true } = why
                && finished.contains(path)
                && !self.finished.contains(path)
            {
                *size = u64::MAX; // as if it was cut short: looked at again
            }
        }
        self.finished = finished;
        found.into_iter().map(|it| it.path).collect()
    }

    /// FIFOs are read if somebody asked for them.
    pub(crate) fn meet_fifos(&mut self, asked_for: Vec<PathBuf>, others: Vec<PathBuf>) {
        for path in &others {
            if !self.unrequested_fifos.contains(path) {
                info!(path = %path.display(), "a FIFO in a watched directory: left alone, because \
                    what is read from it is gone for its reader; name it with --watch to follow it");
            }
        }
        self.fifos = asked_for;
        self.unrequested_fifos = others.into_iter().collect();
    }

    /// FIFOs at hand: an event of theirs is nothing new.
    pub(crate) fn known_fifos(&self) -> impl Iterator<Item = &Path> {
        self.fifos.iter().chain(&self.unrequested_fifos).map(PathBuf::as_path)
    }

    /// What is known of a file that came from a stream; `None` of any other file.
    pub(crate) fn streamed(&self, path: &Path) -> Option<Streamed> {
        let stream = StreamName::of(path).filter(|_| self.spool.covers(path))?;
        let same = |file: &&Followed| {
            let other = file.tail.path();
            self.spool.covers(other) && StreamName::of(other).as_ref() == Some(&stream)
        };
        let format = self.followed.iter().find(same).map(|file| Arc::clone(&file.format));
        Some(Streamed { finished: self.finished.contains(path), format })
    }

    /// Files of the spool that are followed and that nobody else knows of: what has come since.
    pub(crate) fn spooled(&self) -> HashSet<PathBuf> {
        let paths = self.followed.iter().map(|file| file.tail.path());
        paths.filter(|path| self.spool.covers(path)).map(Path::to_path_buf).collect()
    }

    /// Whether anything of standard input is not stored yet.
    pub(crate) fn awaits_input(&self) -> bool {
        let is_input = |path: &Path| {
            self.spool.covers(path) && StreamName::of(path).is_some_and(|it| it.is_standard_input())
        };
        self.followed.iter().any(|file| is_input(file.tail.path()))
            || self.ignored.iter().any(|file| {
                !matches!(file.why, Why::NotOurs { open: false, .. }) && is_input(&file.path)
            })
    }

    /// Whether it is a finished file of the spool of which everything is stored.
    pub(crate) fn is_spent(&self, file: &Followed) -> bool {
        self.finished.contains(file.tail.path())
            && !file.ready
            && file.committed.offset == file.tail.offset()
            && file.committed.offset == file.tail.size()
    }

    /// Finished files of which everything is stored are closed in the store, and then removed: after
    /// a crash between both they are known, and there is nothing in them to be read.
    pub(crate) async fn remove_spent(&mut self, writer: &mut Writer) -> Result<(), StoreError> {
        while let Some(at) = self.followed.iter().position(|file| self.is_spent(file)) {
            let file = self.followed.swap_remove(at);
            let (path, size) = (file.tail.path(), file.committed.offset);
            writer.close(file.file, file.epoch, 0, "stored, and removed from the spool").await?;
            writer.release(file.file).await?;
            match self.spool.remove(path, size) {
                Ok(true) => info!(file = file.file.0, path = %path.display(), bytes = size,
                    "all of it is stored: removed from the spool"),
                Ok(false) => {} // somebody goes on with it: the next look tells
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => warn!(path = %path.display(), %error,
                    "cannot remove this file, all of which is stored"),
            }
        }
        Ok(())
    }
}
