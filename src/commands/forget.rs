//! `log-ingestd forget`: removes all that is stored of a file, so that it can be read again.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::commands::open_store;
use crate::config::Config;
use crate::identity::resolve::is_object;
use crate::model::{Checkpoint, Sighting};
use crate::pipeline::committer::Committer;
use crate::pipeline::connect::{Access, owner};
use crate::source::Tail;
use crate::store::{FileReport, Forgotten};

/// Whether a file may be forgotten that is still where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StillThere {
    /// It is refused: a daemon that watches its directory would read it again.
    Refused,
    /// The user knows.
    Confirmed,
}

/// What was forgotten.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ForgetSummary {
    /// The logical files, by their ids in `log_file`.
    pub files: Vec<i32>,
    /// Their rows.
    pub rows: u64,
    /// Their rejects.
    pub rejected: u64,
    /// The object that is still in their place.
    pub still_there: Option<PathBuf>,
}

/// Removes rows, rejects, counts and the ledger of the file that was stored from `path`, and of its earlier
/// parts. Each logical file goes in one transaction.
///
/// # Errors
/// No such file is stored for this host, a running daemon follows it, it is still there and that is not
/// confirmed, and a store that cannot be used. Nothing is removed then.
pub async fn forget(
    config: &Config,
    path: &Path,
    still_there: StillThere,
) -> anyhow::Result<ForgetSummary> {
    let path =
        std::path::absolute(path).with_context(|| format!("cannot read '{}'", path.display()))?;
    let resolved = path.canonicalize().unwrap_or_else(|_| path.clone());
    let (store, _shutdown) = open_store(config, Access::Write).await?;
    let known = store.files(None).await?;
    let mut files = files_at(&known, &config.host, [&path, &resolved]);
    if files.is_empty() {
        bail!(
            "nothing is stored from '{}' for the host '{}'; `log-ingestd status --all` lists the files",
            path.display(),
            config.host
        );
    }
    let is_there = files.iter().find_map(|file| {
        let path = Path::new(&file.checkpoint.path);
        let found = Tail::key_and_size(path).ok().flatten().map(|(key, _)| key);
        is_object(&file.checkpoint, found).then(|| path.to_path_buf())
    });
    if let (Some(path), StillThere::Refused) = (&is_there, still_there) {
        bail!(
            "'{}' is still there: a daemon that watches its directory will read it again from its \
             beginning; --yes forgets it all the same",
            path.display()
        );
    }
    let mut committer = Committer::new(store.clone(), owner(&config.host), None);
    let writer = committer.available_writer().await?;
    // A claim opens a file: those that are closed are not touched before all others are held.
    files.sort_by_key(|file| file.checkpoint.closed);
    let mut claimed = Vec::with_capacity(files.len());
    for file in &files {
        let known = &file.checkpoint;
        match writer.claim(known.file, &as_it_was(known), &known.format).await? {
            Some(claim) => claimed.push(claim),
            None => bail!(
                "a running log-ingestd ({}) follows '{}': stop it first",
                file.owner.clone().unwrap_or_default(),
                known.path
            ),
        }
    }
    let mut summary = ForgetSummary { still_there: is_there, ..ForgetSummary::default() };
    for claim in claimed {
        let Forgotten { rows, rejected } = writer.forget(claim.file, claim.epoch).await?;
        summary.files.push(claim.file.0);
        summary.rows += rows;
        summary.rejected += rejected;
    }
    committer.end().await;
    Ok(summary)
}

/// Returns the logical files that were last seen at one of the paths, and the parts of the same objects
/// that a power cut has ended.
fn files_at<'k>(known: &'k [FileReport], host: &str, paths: [&PathBuf; 2]) -> Vec<&'k FileReport> {
    let of_host = || known.iter().filter(|file| file.checkpoint.host == host);
    let at_path = |file: &&FileReport| {
        paths.iter().any(|path| Path::new(&file.checkpoint.path) == path.as_path())
    };
    let named: Vec<&FileReport> = of_host().filter(at_path).collect();
    let is_part = |file: &&FileReport| {
        file.checkpoint.kept_to.is_some()
            && named.iter().any(|other| is_object(&other.checkpoint, file.checkpoint.key))
    };
    of_host().filter(|file| at_path(file) || is_part(file)).collect()
}

/// Returns where a log was last seen.
fn as_it_was(known: &Checkpoint) -> Sighting {
    Sighting {
        host: known.host.clone(),
        path: known.path.clone(),
        key: known.key,
        head: known.head,
        origin: known.origin.clone(),
    }
}
