//! `log-ingestd import`: files that are whole, read to their end, once.
//!
//! A file is known by its content, so an import goes on where an earlier one, or the daemon,
//! stopped, whatever the file is called now and however it is compressed.
//!
//! - `identify`: which logical file it is.
//! - `content`: what is behind its checkpoint, batch by batch.

mod content;
mod identify;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use serde::Serialize;

use crate::follow::identity::whole_head_print;
use crate::model::{Micros, Sighting};
use crate::store::Writer;

use super::commit::Committer;
use super::config::Config;
use super::formats::{Formats, SAMPLE};
use super::ingest::now;
use super::shutdown::Shutdown;
use super::source::Source;
use super::watch::{connect, owner};

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

/// Imports every file; one that fails does not keep the others from being imported.
///
/// # Errors
/// A store that cannot be used. Failures of single files are in the second value.
pub async fn import(
    config: &Config,
    files: &[PathBuf],
    progress: &dyn Progress,
) -> anyhow::Result<(Summary, Vec<anyhow::Error>)> {
    let began = Instant::now();
    let mut shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    let store = connect(config, &mut shutdown).await?;
    let patience = Some(config.connect_timeout.max(Duration::from_secs(1)));
    let mut import = Import {
        committer: Committer::new(store, owner(config), patience),
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
    import.summary.seconds = began.elapsed().as_secs_f64();
    Ok((import.summary, failures))
}

struct Import<'a> {
    committer: Committer,
    formats: Formats,
    host: &'a str,
    cutoff: Option<Micros>,
    progress: &'a dyn Progress,
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
        let seen = Sighting {
            host: self.host.to_owned(),
            path: source.name.clone(),
            key: source.key,
            head: Some(head),
        };
        let Some((claimed, format)) = self.settle(&source, &seen, &told).await? else {
            return Ok(());
        };
        let file = claimed.file;
        let result = self.content(&source, claimed, &format).await;
        if let Ok(writer) = writer(&mut self.committer).await {
            writer.release(file).await?;
        }
        result
    }
}

async fn writer(committer: &mut Committer) -> anyhow::Result<&mut Writer> {
    committer.writer().await?.context("the store is away")
}
