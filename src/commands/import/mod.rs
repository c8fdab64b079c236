//! `log-ingestd import`: files that are whole, read to their end, once.
//!
//! A file is known by its content, so an import goes on where an earlier one, or the daemon,
//! stopped, whatever the file is called now and however it is compressed.
//!
//! - `archive`: a log that was followed, and compressed before all of it was read.
//! - `identify`: which logical file it is.
//! - `content`: what is behind its checkpoint, batch by batch; `reader` fills them, `commits` are the
//!   connections over which they travel.
//! - `single`: one file from its beginning to its end. `gather`: small files, many at a time, so that
//!   they cost no more than their lines; `group` has their lines in common batches, each of them is a
//!   `member`.

mod archive;
mod content;
mod gather;
mod group;
mod identify;
mod member;
mod single;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use serde::Serialize;
use tracing::warn;

use crate::metrics::Metrics;
use crate::model::Micros;
use crate::store::{Store, Writer};

pub(crate) use crate::commands::import::archive::{Archivist, Found, Verdict};
use crate::commands::import::gather::Gatherer;
use crate::config::Config;
use crate::identity::formats::Formats;
use crate::model::now;
use crate::pipeline::Shutdown;
use crate::pipeline::committer::Committer;
use crate::pipeline::connect::{Access, connect, owner};
use crate::pipeline::ordered_commits::OrderedCommits;
use crate::retain::indexing::index_after_import;
use crate::store::chain;

/// What an import did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Complete lines in the files.
    pub lines: u64,
    /// Lines that became rows.
    pub rows: u64,
    /// Lines that became rejects.
    pub rejected: u64,
    /// Lines that are left out: by the configuration, or on a container's standard error.
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
    /// All files together have so many bytes on disk, as far as it is known.
    fn plan(&self, bytes: u64);
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
    let store =
        connect(&config.location, config.connect_timeout, Access::Write, &mut shutdown).await?;
    let patience = Some(config.connect_timeout.max(Duration::from_secs(1)));
    progress.plan(files.iter().filter_map(|path| path.metadata().ok()).map(|it| it.len()).sum());
    let import = Import {
        commits: OrderedCommits::new(store.clone(), owner(&config.host), jobs),
        committer: Committer::new(store.clone(), owner(&config.host), patience),
        formats: Formats::new(config.parsing.clone()),
        host: &config.host,
        cutoff: config.retention.cutoff(now()),
        progress,
        summary: Summary::default(),
        shutdown,
        metrics: None,
    };
    let mut stop = import.shutdown.clone();
    let mut gatherer = Gatherer::new(import);
    for path in files {
        gatherer.take(path).await;
        if stop.is_requested() {
            break;
        }
    }
    let (mut summary, mut failures) = gatherer.end().await;
    if stop.is_requested() {
        failures.push(anyhow!("interrupted; the same command goes on where this one stopped"));
    }
    summary.seconds = began.elapsed().as_secs_f64();
    index(&store, &mut stop).await;
    Ok((summary, failures))
}

/// The lines are stored whatever becomes of their indexes.
async fn index(store: &Store, shutdown: &mut Shutdown) {
    tokio::select! {
        indexed = index_after_import(store) => if let Err(error) = indexed {
            warn!(error = chain(&error), "indexes are not up to date; a daemon makes up for it");
        },
        () = shutdown.requested() => {}
    }
}

struct Import<'a> {
    /// Holds the claim, and stores what a lane could not.
    committer: Committer,
    commits: OrderedCommits,
    formats: Formats,
    host: &'a str,
    cutoff: Option<Micros>,
    progress: &'a (dyn Progress + Sync),
    summary: Summary,
    shutdown: Shutdown,
    /// Where it is counted, in the daemon.
    metrics: Option<Arc<Metrics>>,
}

async fn writer(committer: &mut Committer) -> anyhow::Result<&mut Writer> {
    committer.writer().await?.context("the store is away")
}
