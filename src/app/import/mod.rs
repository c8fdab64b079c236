//! `log-ingestd import`: files that are whole, read to their end, once.
//!
//! A file is known by its content, so an import goes on where an earlier one, or the daemon,
//! stopped, whatever the file is called now and however it is compressed.
//!
//! - `archive`: a log that was followed, and compressed before all of it was read.
//! - `identify`: which logical file it is.
//! - `content`: what is behind its checkpoint, batch by batch; `reader` fills them, `lanes` are the
//!   connections over which they travel.

mod archive;
mod content;
mod identify;
mod lanes;
mod reader;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use serde::Serialize;
use tracing::warn;

use crate::follow::identity::whole_head_print;
use crate::model::Micros;
use crate::store::{Store, Writer};

use super::commit::{Committer, chain};
use super::config::Config;
use super::formats::{Formats, SAMPLE};
use super::indexing::after_import;
use super::ingest::now;
use super::shutdown::Shutdown;
use super::source::{Source, Walk};
use super::watch::{connect, owner};
pub(super) use archive::{Archivist, Found, Verdict};
use content::End;
use identify::{Settled, Terms};
use lanes::Lanes;

/// What an import did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Complete lines in the files.
    pub lines: u64,
    /// Lines that became rows.
    pub rows: u64,
    /// Lines that became rejects.
    pub rejected: u64,
    /// Lines that the configuration leaves out.
    pub excluded: u64,
    /// Lines that were stored before.
    pub already_stored: u64,
    /// Bytes of log read, decompressed.
    pub bytes: u64,
    /// Wall time.
    pub seconds: f64,
    /// Rows that are older than the retention; the next sweep removes them.
    pub expired: u64,
}

/// Is told how far an import is.
pub trait Progress {
    /// A file of `bytes` bytes on disk begins.
    fn begin(&self, name: &str, bytes: u64);
    /// So many of them were read, and so many lines stored in all.
    fn at(&self, bytes: u64, lines: u64);
    /// The file is done.
    fn end(&self);
}

/// Imports every file, over `jobs` connections at once; one that fails does not keep the others from
/// being imported.
///
/// # Errors
/// A store that cannot be used. Failures of single files are in the second value.
pub async fn import(
    config: &Config,
    files: &[PathBuf],
    jobs: usize,
    progress: &(dyn Progress + Sync),
) -> anyhow::Result<(Summary, Vec<anyhow::Error>)> {
    let began = Instant::now();
    let mut shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    let store = connect(config, &mut shutdown).await?;
    let patience = Some(config.connect_timeout.max(Duration::from_secs(1)));
    let mut import = Import {
        lanes: Lanes::new(store.clone(), owner(config), jobs),
        committer: Committer::new(store.clone(), owner(config), patience),
        formats: Formats::new(config.parsing.clone()),
        host: &config.host,
        cutoff: config.retention.cutoff(now()),
        progress,
        summary: Summary::default(),
        shutdown,
    };
    let mut failures = Vec::new();
    for path in files {
        let result = import.file(path).await;
        progress.end();
        if let Err(error) = result {
            failures.push(error.context(format!("cannot import '{}'", path.display())));
        }
        if import.shutdown.is_requested() {
            failures.push(anyhow!("interrupted; the same command goes on where this one stopped"));
            break;
        }
    }
    import.lanes.end().await;
    import.committer.end().await;
    import.summary.seconds = began.elapsed().as_secs_f64();
    index(&store, &mut import.shutdown).await;
    Ok((import.summary, failures))
}

/// The lines are stored whatever becomes of their indexes.
async fn index(store: &Store, shutdown: &mut Shutdown) {
    tokio::select! {
        indexed = after_import(store) => if let Err(error) = indexed {
            warn!(error = chain(&error), "indexes are not up to date; a daemon makes up for it");
        },
        () = shutdown.requested() => {}
    }
}

struct Import<'a> {
    /// Holds the claim, and stores what a lane could not.
    committer: Committer,
    lanes: Lanes,
    formats: Formats,
    host: &'a str,
    cutoff: Option<Micros>,
    progress: &'a (dyn Progress + Sync),
    summary: Summary,
    shutdown: Shutdown,
}

impl Import<'_> {
    async fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let source = tokio::task::block_in_place(|| Source::open(path))?;
        self.progress.begin(&source.name, source.size);
        let sample = source.sample(SAMPLE).context("not readable as what its first bytes say")?;
        let Some(head) = whole_head_print(&sample) else { return Ok(()) };
        let told = self.format(&source, sample);
        let seen = source.sighting(self.host, Some(head));
        let terms = Terms { followed: &HashSet::new(), register: true, rename: false };
        let (claimed, format, closed) = match self.settle(&source, &seen, &told, terms).await? {
            Settled::Claimed(claimed, format, closed) => (claimed, format, closed),
            Settled::Stored => return self.count_stored(&source),
            Settled::Held | Settled::Stranger => {
                let path = source.name;
                warn!(path, "a running log-ingestd follows this file and stores it");
                return Ok(());
            }
        };
        let (file, epoch, expected) = (claimed.file, claimed.epoch, claimed.size);
        let before = self.summary.bytes;
        let end = self.content(&source, *claimed, &format, true).await;
        let lost = expected.saturating_sub(self.summary.bytes - before);
        if let Ok(writer) = writer(&mut self.committer).await {
            if closed && lost > 0 {
                writer.lose(file, epoch, lost).await?; // this copy does not have them either
            }
            writer.release(file).await?;
        }
        if let End::Rest(bytes) = end? {
            let path = source.name;
            warn!(path, bytes, "the last line has no end and cannot be read: not stored");
        }
        Ok(())
    }

    /// All of it was stored before.
    fn count_stored(&mut self, source: &Source) -> anyhow::Result<()> {
        let mut reader = source.reader(&Arc::default())?;
        let mut walk = Walk::new(&mut reader);
        tokio::task::block_in_place(|| walk.to(u64::MAX))?;
        self.summary.already_stored += walk.lines;
        self.summary.lines += walk.lines;
        self.summary.bytes += walk.bytes;
        Ok(())
    }
}

async fn writer(committer: &mut Committer) -> anyhow::Result<&mut Writer> {
    committer.writer().await?.context("the store is away")
}
