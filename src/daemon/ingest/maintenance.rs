//! What the pipeline does besides reading and committing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::StandardInput;
use crate::daemon::archives::ArchiveReader;
use crate::daemon::missing::close_missing;
use crate::daemon::register::register_new_files;
use crate::identity::claim::LossCounter;
use crate::pipeline::Shutdown;

use crate::daemon::ingest::Pipeline;

/// Between two looks for files that are gone.
const MISSING: Duration = Duration::from_secs(600);

/// How soon a file that is not where it was is found under another name, or in an archive.
const FOUND_AGAIN: Duration = Duration::from_secs(5);

impl Pipeline {
    /// What needs the store and is not a commit: new files, and those that are gone.
    pub(crate) async fn housekeep(&mut self) {
        let Some(committer) = self.committer.as_mut() else { return };
        committer.keep_alive().await;
        let missing = Instant::now() >= self.missing_due
            && self.archives.are_quiet()
            && !self.files.has_undecided();
        if !self.files.needs_store() && !committer.is_unavailable() && !missing {
            return;
        }
        let fresh = !committer.is_connected();
        let claims = self.files.claims();
        let losses = LossCounter::Metrics(Arc::clone(&self.metrics));
        let result = async {
            let Some(_) = committer.writer().await? else { return Ok(Vec::new()) };
            let taken_over = match fresh {
                true => committer.hold_again(&claims).await?,
                false => Vec::new(),
            };
            if let Some(writer) = committer.writer().await? {
                let host = &self.config.host;
                let (files, formats) = (&mut self.files, &mut self.formats);
                register_new_files(files, formats, host, writer, &losses).await?;
                self.files.tell_store(writer).await?;
                self.unsaid = true;
                if std::mem::take(&mut self.files.out_of_reach) {
                    self.missing_due = Instant::now() + FOUND_AGAIN;
                }
                if missing && !self.files.has_undecided() {
                    close_missing(&self.files, host, writer, &losses).await?;
                    self.missing_due = Instant::now() + MISSING;
                }
            }
            Ok(taken_over)
        }
        .await;
        match result {
            Ok(taken_over) => {
                if committer.is_connected() {
                    committer.worked();
                }
                self.taken_over(&taken_over);
            }
            Err(error) => committer.failed(&error),
        }
    }

    /// Offers what a look found, and has those read that are due.
    pub(crate) fn tend_archives(&mut self, shutdown: &Shutdown) {
        for key in self.files.new_archives.drain(..) {
            self.archives.add(key);
        }
        self.archives.launch(&self.files, || ArchiveReader {
            store: self.store.clone(),
            config: self.config.clone(),
            shutdown: shutdown.clone(),
            followed: self.files.followed.iter().map(|file| file.file()).collect(),
            metrics: Arc::clone(&self.metrics),
        });
    }

    /// Whether nothing will come any more, and all that came is stored.
    pub(crate) fn is_done(&self) -> bool {
        self.input == StandardInput::Alone
            && self.input_ended
            && self.in_flight.is_none()
            && !self.files.awaits_input()
    }
}
