//! `log-ingestd import`: files that are whole, read to their end, once.
//!
//! A file is known by its content, so an import goes on where an earlier one, or the daemon,
//! stopped, whatever the file is called now and however it is compressed.
//!
//! - `single`: one file from its beginning to its end. `gather`: small files, many at a time, so that
//!   they cost no more than their lines; `group` has their lines in common batches.
//!
//! The lines themselves pass through [`crate::pipeline::store_file`].

mod gather;
mod group;
mod single;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use serde::Serialize;
use tracing::warn;

use crate::model::{Batch, Micros, Span};
use crate::store::Store;

use crate::commands::import::group::Gatherer;
use crate::commands::open_store_with;
use crate::config::Config;
use crate::identity::claim::ClaimedFile;
use crate::identity::detect::{Formats, NamedFiles};
pub use crate::identity::register::Unproven;

use crate::model::now;
use crate::pipeline::Shutdown;
use crate::pipeline::committer::Committer;
use crate::pipeline::connect::{Access, owner};
use crate::pipeline::ordered_commits::OrderedCommits;

pub use crate::pipeline::ordered_commits::Connections;

use crate::pipeline::far_notices::FarNotices;
use crate::pipeline::reject_notices::RejectNotices;
use crate::pipeline::store_file::{ClaimAtEnd, Content, End, FileStorer};
use crate::retain::indexing::index_after_import;
use crate::store::chain;

/// About how many bytes of a log make a batch (4 MiB); of an archive, less.
const BYTES_OF_BATCH: u64 = 4 << 20;

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
    /// By which formats files were read.
    pub formats: Vec<ReadBy>,
}

/// A format by which files were read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadBy {
    /// The preset's name, or the format itself.
    pub format: String,
    /// Where it comes from: `given`, `preset` or `inferred`.
    pub source: &'static str,
    /// How many files.
    pub files: u64,
}

impl Summary {
    /// Adds lines that are stored now.
    fn add(&mut self, span: &Span) {
        self.lines += span.lines;
        self.rows += span.rows;
        self.rejected += span.rejected;
        self.excluded += span.excluded;
        self.bytes += span.to.offset - span.from;
    }

    /// Counts a file by its format.
    fn add_format(&mut self, format: &str, source: &'static str) {
        let known = self.formats.iter_mut().find(|it| it.format == format && it.source == source);
        match known {
            Some(known) => known.files += 1,
            None => self.formats.push(ReadBy { format: format.to_owned(), source, files: 1 }),
        }
    }

    /// Adds lines that were stored before, and the bytes that they take.
    fn add_stored_before(&mut self, lines: u64, bytes: u64) {
        self.already_stored += lines;
        self.lines += lines;
        self.bytes += bytes;
    }
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

/// Imports every file. `unproven` says what to do with one whose content cannot prove that it is stored
/// already; one that fails does not keep the others from
/// being imported.
///
/// # Errors
/// A store that cannot be used. Failures of single files are in the second value.
pub async fn import(
    config: &Config,
    files: &[PathBuf],
    connections: Connections,
    unproven: Unproven,
    progress: &(dyn Progress + Sync),
) -> anyhow::Result<(Summary, Vec<anyhow::Error>)> {
    let began = Instant::now();
    let bytes: u64 = files.iter().filter_map(|path| path.metadata().ok()).map(|it| it.len()).sum();
    let batches = usize::try_from(bytes / BYTES_OF_BATCH).map_or(usize::MAX, |batches| batches + 1);
    let mut commits = None;
    let lanes =
        |store: &Store| OrderedCommits::new(store.clone(), owner(&config.host), connections);
    let mut begin_to_connect = |store: &Store| commits.insert(lanes(store)).warm_up(batches);
    let (store, shutdown) = open_store_with(config, Access::Write, &mut begin_to_connect).await?;
    let commits = commits.unwrap_or_else(|| lanes(&store));
    let patience = Some(config.connect_timeout.max(Duration::from_secs(1)));
    progress.plan(bytes);
    let import = Import {
        commits,
        committer: Committer::new(store.clone(), owner(&config.host), patience),
        formats: Formats::new(config.parsing.clone())
            .by_path(&config.formats_by_path)
            .of_named(NamedFiles::All),
        host: &config.host,
        cutoff: config.retention.cutoff(now()),
        unproven,
        progress,
        summary: Summary::default(),
        notices: RejectNotices::new(),
        far_notices: FarNotices::default(),
        shutdown,
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
    unproven: Unproven,
    progress: &'a (dyn Progress + Sync),
    summary: Summary,
    notices: RejectNotices,
    far_notices: FarNotices,
    shutdown: Shutdown,
}

impl Import<'_> {
    /// Counts the lines of a file that were stored before.
    async fn count_stored_before(&mut self, claim: &ClaimedFile) -> anyhow::Result<()> {
        let bytes = claim.committed().offset;
        if bytes > 0 {
            let report = self.committer.available_writer().await?.report(claim.file()).await?;
            self.summary.add_stored_before(report.map_or(0, |report| report.lines), bytes);
        }
        Ok(())
    }

    /// Stores all lines of a file after its checkpoint.
    async fn store(
        &mut self,
        content: Content<'_>,
        claim: &mut ClaimedFile,
    ) -> anyhow::Result<End> {
        let claim_at_end = match claim.was_closed() {
            true => ClaimAtEnd::Kept, // it is closed again
            false => ClaimAtEnd::Released,
        };
        let Self { summary, progress, notices, far_notices, .. } = self;
        let mut on_stored = |batch: &Batch, on_disk: u64| {
            batch.spans.iter().for_each(|span| summary.add(span));
            summary.expired += batch.expired;
            notices.stored(batch, |_| content.source.name.clone(), Instant::now());
            far_notices.stored(batch, |_| content.source.name.clone());
            progress.at(on_disk, summary.lines);
        };
        let mut storer = FileStorer {
            committer: &mut self.committer,
            commits: &mut self.commits,
            shutdown: &self.shutdown,
            claim_at_end,
            cutoff: self.cutoff,
            on_stored: &mut on_stored,
        };
        storer.store(content, claim.claim_mut()).await
    }
}
