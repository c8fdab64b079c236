//! An archive in a watched directory.
//!
//! Most of them hold what was stored before they were made. One may hold the rest of a log that
//! was compressed before all of it was read: while the daemon was down, or because the file was
//! not held open. It is read from the stored offset on, and its row is closed under the archive's
//! name and inode, so that no later start decompresses it again.
//!
//! An archive of a log that nobody followed is left to `log-ingestd import`, unless it was written
//! while its directory was already followed: then it was rotated and compressed between two looks.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use tracing::warn;

use crate::config::Config;
use crate::identity::formats::{Formats, sample};
use crate::metrics::Metrics;
use crate::model::now;
use crate::model::{FileId, FileKey, Micros, Sighting};
use crate::pipeline::Shutdown;
use crate::pipeline::committer::Committer;
use crate::pipeline::connect::owner;
use crate::pipeline::store_file::{Content, End};
use crate::source::fingerprint::{
    head_fingerprint, related_names, same_object, whole_head_fingerprint,
};
use crate::source::whole_file::Source;
use crate::store::Store;

use crate::commands::import::identify::{Settled, Terms};
use crate::commands::import::{Import, Progress, Summary, writer};
use crate::pipeline::ordered_commits::OrderedCommits;

/// An archive that was written to in the last 2 s may not be whole.
const SETTLED_US: Micros = 2_000_000;

/// An archive that was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) key: FileKey,
    /// Whether the user asked for it by name.
    pub(crate) wanted: bool,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All of it is stored; so many lines were new.
    Stored(u64),
    /// Nobody followed the log that it holds.
    Stranger,
    /// Its log is still followed, here or by another writer: to be asked again.
    Held,
    /// It ends too early, or is still being written: to be asked again.
    Incomplete,
}

/// Reads archives, one after another, over a connection of its own.
pub(crate) struct Archivist {
    pub(crate) store: Store,
    pub(crate) config: Config,
    pub(crate) shutdown: Shutdown,
    /// Files that this process follows.
    pub(crate) followed: HashSet<FileId>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Nobody watches.
struct Unseen;

impl Progress for Unseen {
    fn plan(&self, _: u64) {}
    fn begin(&self, _: &str, _: u64) {}
    fn at(&self, _: u64, _: u64) {}
    fn end(&self) {}
}

impl Archivist {
    /// Reads them all.
    pub(crate) async fn read(self, archives: Vec<Found>) -> Vec<(Found, anyhow::Result<Verdict>)> {
        let mut import = Import {
            committer: Committer::new(self.store.clone(), owner(&self.config.host), None),
            commits: OrderedCommits::new(self.store.clone(), owner(&self.config.host), 1),
            formats: Formats::new(self.config.parsing.clone()),
            host: &self.config.host,
            cutoff: None,
            progress: &Unseen,
            summary: Summary::default(),
            shutdown: self.shutdown.clone(),
            metrics: Some(Arc::clone(&self.metrics)),
        };
        let mut families = None;
        let mut read = Vec::new();
        for found in archives {
            let verdict = self.one(&mut import, &found, &mut families).await;
            read.push((found, verdict));
        }
        read
    }

    async fn one(
        &self,
        import: &mut Import<'_>,
        found: &Found,
        families: &mut Option<Vec<(String, Micros)>>,
    ) -> anyhow::Result<Verdict> {
        let source = Source::open(&found.path)?;
        let sample = match sample(|limit| source.sample(limit)) {
            Ok(sample) => sample,
            Err(error) => return incomplete(error.into()),
        };
        let whole = now() - source.changed_us > SETTLED_US;
        let head = if whole { whole_head_fingerprint(&sample) } else { head_fingerprint(&sample) };
        let Some(head) = head else {
            return Ok(if whole { Verdict::Stored(0) } else { Verdict::Incomplete });
        };
        let seen =
            Sighting { key: Some(found.key), ..source.sighting(&self.config.host, Some(head)) };
        let known = writer(&mut import.committer).await?.candidates(&seen).await?;
        let read_before = known.iter().any(|known| {
            known.closed
                && known.head == Some(head)
                && known.key.is_some_and(|key| same_object(key, found.key))
        });
        if read_before {
            return Ok(Verdict::Stored(0));
        }
        let mut terms =
            Terms { followed: &self.followed, register: false, rename: true, waits: true };
        let untold = Err(anyhow!("its format is not known"));
        let mut settled = import.settle(&source, &seen, &untold, terms).await;
        if let Ok(Settled::Stranger(_)) = settled
            && (found.wanted || self.was_on_duty(&source, families).await?)
        {
            if !whole {
                return Ok(Verdict::Incomplete);
            }
            terms.register = true;
            let told = import.format(&source, sample);
            settled = import.settle(&source, &seen, &told, terms).await;
        }
        let (mut claimed, format) = match settled {
            Ok(Settled::Claimed(claimed, format, _)) => (claimed, format),
            Ok(Settled::Stored) => return Ok(Verdict::Stored(0)),
            Ok(Settled::Stranger(_)) => return Ok(Verdict::Stranger),
            Ok(Settled::Held) => return Ok(Verdict::Held),
            Err(error) => return incomplete(error),
        };
        let (file, epoch, expected) = (claimed.file, claimed.epoch, claimed.size);
        let before = import.summary.clone();
        import.count_stored_before(&claimed).await?;
        let content = match whole {
            true => Content::whole(&source, &format),
            false => Content::growing(&source, &format),
        };
        let end = import.store(content, &mut claimed).await;
        let bytes = import.summary.bytes - before.bytes;
        let known = import.summary.already_stored - before.already_stored;
        let stored = import.summary.lines - before.lines - known;
        let writer = writer(&mut import.committer).await?;
        let verdict = match end {
            Ok(End::Whole) => Ok(Verdict::Stored(stored)),
            Ok(End::Rest(_)) if whole => Ok(Verdict::Stored(stored)),
            Ok(End::Rest(_)) => Ok(Verdict::Incomplete),
            Ok(End::Interrupted) => Ok(Verdict::Held),
            Err(error) => incomplete(error),
        };
        if let Ok(Verdict::Stored(_)) = verdict {
            let lost = expected.saturating_sub(bytes);
            if lost > 0 {
                warn!(
                    file = file.0,
                    path = source.name,
                    bytes = lost,
                    "compressed from a copy that did not hold all of it: these bytes are lost"
                );
            }
            writer.close(file, epoch, lost, "compressed").await?;
        }
        writer.release(file).await?;
        verdict
    }

    /// Whether a log of such a name was already followed in that directory when this archive's
    /// content was last written: compressing keeps that time.
    async fn was_on_duty(
        &self,
        source: &Source,
        families: &mut Option<Vec<(String, Micros)>>,
    ) -> anyhow::Result<bool> {
        let families = match families {
            Some(known) => known,
            None => {
                let files = self.store.files(Some(&self.config.host)).await?;
                let seen = files.into_iter().map(|file| (file.checkpoint.path, file.first_seen_at));
                families.insert(seen.collect())
            }
        };
        let directory = |path: &str| Path::new(path).parent().map(Path::to_path_buf);
        let here = directory(&source.name);
        Ok(families.iter().any(|(path, first_seen)| {
            *first_seen < source.changed_us
                && directory(path) == here
                && related_names(path, &source.name)
        }))
    }
}

/// An archive that ends too early may still be written; any other trouble is trouble.
fn incomplete(error: anyhow::Error) -> anyhow::Result<Verdict> {
    match error.downcast_ref::<io::Error>() {
        Some(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => Ok(Verdict::Incomplete),
        _ => Err(error),
    }
}
