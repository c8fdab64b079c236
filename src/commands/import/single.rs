//! One file, from its beginning to its end.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tracing::warn;

use crate::identity::formats::{Format, sample};
use crate::model::Sighting;
use crate::pipeline::sink::Counter;
use crate::pipeline::store_file::{Content, End};
use crate::source::fingerprint::whole_head_fingerprint;
use crate::source::whole_file::{Source, Walk};

use crate::commands::import::identify::{Settled, Terms};
use crate::commands::import::{Import, writer};

/// A file that is open, and not known yet.
pub(crate) struct Opened {
    pub(crate) source: Source,
    pub(crate) seen: Sighting,
    /// Its format, or why it has none.
    pub(crate) told: anyhow::Result<Arc<Format>>,
}

impl Import<'_> {
    /// Opens a file and looks at its beginning; `None` if nothing is in it.
    pub(crate) fn open(&mut self, path: &Path) -> anyhow::Result<Option<Opened>> {
        let (source, sample) = tokio::task::block_in_place(|| {
            let source = Source::open(path)?;
            let sample = sample(|limit| source.sample(limit))
                .context("not readable as what its first bytes say")?;
            anyhow::Ok((source, sample))
        })?;
        let Some(head) = whole_head_fingerprint(&sample) else { return Ok(None) };
        let told = self.format(&source, sample);
        let seen = source.sighting(self.host, Some(head));
        Ok(Some(Opened { source, seen, told }))
    }

    /// Stores all of it that is not stored yet.
    pub(crate) async fn file(&mut self, opened: Opened) -> anyhow::Result<()> {
        let Opened { source, seen, told } = opened;
        self.progress.begin(&source.name, source.size);
        let terms = Terms { followed: &HashSet::new(), register: true, rename: false, waits: true };
        let (mut claimed, format, closed) = match self.settle(&source, &seen, &told, terms).await? {
            Settled::Claimed(claimed, format, closed) => (claimed, format, closed),
            Settled::Stored => return self.count_stored(&source, &told),
            Settled::Held | Settled::Stranger(_) => {
                let path = source.name;
                warn!(path, "a running log-ingestd follows this file and stores it");
                return Ok(());
            }
        };
        let (file, epoch, expected) = (claimed.file, claimed.epoch, claimed.size);
        let before = self.summary.bytes;
        self.count_stored_before(&claimed).await?;
        let end = self.store(Content::whole(&source, &format), &mut claimed).await;
        let lost = expected.saturating_sub(self.summary.bytes - before);
        if let Ok(writer) = writer(&mut self.committer).await {
            if closed && lost > 0 {
                writer.lose(file, epoch, lost).await?; // this copy does not have them either
            }
            writer.release(file).await?;
        }
        if let End::Rest(bytes) = end? {
            warn_of_rest(&source, bytes);
        }
        Ok(())
    }

    /// Counts the lines of a file of which all was stored before. `told` is its format: without one,
    /// each line end counts.
    pub(crate) fn count_stored(
        &mut self,
        source: &Source,
        told: &anyhow::Result<Arc<Format>>,
    ) -> anyhow::Result<()> {
        let mut reader = source.reader(&Arc::default())?;
        let mut walk = Walk::new(&mut reader);
        tokio::task::block_in_place(|| walk.to(u64::MAX))?;
        let lines = match told {
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
