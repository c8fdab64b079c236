//! One file, from its beginning to its end.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use tracing::warn;

use crate::identity::claim::LossCounter;
use crate::identity::detect::{Undetected, sample};
use crate::identity::register::{
    NewFileIs, OtherWriter, Registered, Registration, Terms, UnknownFile, register,
};
use crate::identity::resolve::Policy;
use crate::pipeline::backoff::Backoff;
use crate::pipeline::file_format::Format;
use crate::pipeline::sink::Counter;
use crate::pipeline::store_file::{Content, End};
use crate::source::fingerprint::whole_head_fingerprint;
use crate::source::whole_file::{Source, Walk};
use crate::store::StoreError;

use crate::commands::import::Import;

impl Import<'_> {
    /// Opens a file and looks at its beginning; `None` if nothing is in it.
    pub(crate) fn open(&mut self, path: &Path) -> anyhow::Result<Option<UnknownFile>> {
        let stop = self.shutdown.stop_request();
        let (source, sample) = tokio::task::block_in_place(|| {
            let source = Source::open_until(path, stop)?;
            let sample = sample(|limit| source.sample(limit))
                .context("not readable as what its first bytes say")?;
            anyhow::Ok((source, sample))
        })?;
        let Some(head) = whole_head_fingerprint(&sample) else { return Ok(None) };
        let detected = self.formats.format_of_complete(&source, sample);
        if let Ok(detected) = &detected {
            self.summary.add_format(detected.name(), detected.source.name());
        }
        let format = detected.map(|detected| detected.format);
        let seen = source.sighting(self.host, Some(head));
        Ok(Some(UnknownFile { source, seen, format }))
    }

    /// Stores all of a file that is not stored yet.
    pub(crate) async fn file(&mut self, file: UnknownFile) -> anyhow::Result<()> {
        self.progress.begin(&file.source.name, file.source.size);
        let terms = Terms {
            policy: Policy::Import,
            held_here: &HashSet::new(),
            new_file: NewFileIs::Registered,
            other_writer: OtherWriter::WaitedFor,
            unproven: self.unproven,
            losses: LossCounter::StoreOnly,
            has_changed: false,
        };
        let registered = self.register(&file, &terms).await?;
        let UnknownFile { source, format, .. } = file;
        let Registration { mut claim, format } = match registered {
            Registered::Claimed(registration) => *registration,
            Registered::Stored => return self.count_stored(&source, &format),
            Registered::Skipped => {
                self.skip(&source);
                return Ok(());
            }
            Registered::Held | Registered::Unknown(_) | Registered::Changed(_) => {
                let path = source.name;
                warn!(path, "a running log-ingestd follows this file and stores it");
                return Ok(());
            }
        };
        self.count_stored_before(&claim).await?;
        let end = self.store(Content::whole(&source, &format), &mut claim).await;
        if let Ok(writer) = self.committer.available_writer().await {
            claim.end_of_copy(writer, source.path()).await?;
        }
        if !claim.is_released() {
            // All is stored: a connection that is lost by now has released the file already.
            self.committer.release(&[claim.held()]).await;
        }
        if let End::Rest(bytes) = end? {
            warn_of_rest(&source, bytes);
        }
        Ok(())
    }

    /// Tells of a file that is left out.
    pub(crate) fn skip(&mut self, source: &Source) {
        warn!(path = source.name, "its lines cannot be told from stored ones: left out");
    }

    /// Finds out which logical file it is, and claims it. A connection that is lost meanwhile is made
    /// again, until the store has been unavailable for too long. Asking again is safe: a registration
    /// whose answer was lost is found by its content.
    async fn register(
        &mut self,
        file: &UnknownFile,
        terms: &Terms<'_>,
    ) -> anyhow::Result<Registered> {
        let (began, mut backoff) = (Instant::now(), Backoff::default());
        loop {
            let registered =
                register(&mut self.committer, &mut self.formats, file, None, terms).await;
            let Err(error) = &registered else { return registered };
            let lost = error.downcast_ref::<StoreError>().is_some_and(StoreError::is_transient);
            if !lost || self.shutdown.is_requested() || self.committer.gives_up_after(began) {
                return registered;
            }
            self.committer.hang_up();
            tokio::time::sleep(backoff.wait()).await;
        }
    }

    /// Counts the lines of a file of which all was stored before. Without a `format`, each line end
    /// counts.
    pub(crate) fn count_stored(
        &mut self,
        source: &Source,
        format: &Result<Arc<Format>, Undetected>,
    ) -> anyhow::Result<()> {
        let mut reader = source.reader(&Arc::default())?;
        let mut walk = Walk::new(&mut reader);
        tokio::task::block_in_place(|| walk.to(u64::MAX))?;
        let lines = match format {
            Ok(format) => {
                let mut counter = Counter::default();
                tokio::task::block_in_place(|| Content::whole(source, format).read(&mut counter))?;
                counter.lines()
            }
            Err(_) => walk.lines,
        };
        self.summary.add_stored_before(lines, walk.bytes);
        Ok(())
    }
}

/// Tells of a last line that was cut.
pub(crate) fn warn_of_rest(source: &Source, bytes: u64) {
    let path = source.name.as_str();
    warn!(path, bytes, "the last line has no end and cannot be read: not stored");
}
