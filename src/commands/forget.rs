//! `log-ingestd forget`: removes all that is stored of a file, so that it can be read again.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::commands::open_store;
use crate::config::Config;
use crate::identity::resolve::still_held;
use crate::model::{Checkpoint, FileId, moment, text_path};
use crate::pipeline::committer::Committer;
use crate::pipeline::connect::{Access, owner};
use crate::source::Tail;
use crate::store::{FileReport, Forgotten, Writer};

/// Files of which an error tells.
const LISTED: usize = 10;

/// What is to be forgotten.
#[derive(Clone, Debug, Default)]
pub struct ForgetOptions {
    /// Only these logical files of those that were stored from the path, by their ids in `log_file`.
    pub ids: Vec<i32>,
    /// Also a file that is still where it was: a daemon that watches its directory will read it again.
    pub even_if_there: bool,
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
    /// The path, if the file is still there.
    pub still_there: Option<PathBuf>,
}

/// Removes rows, rejects, counts and the ledger of the file that was stored from `path`: the one that lies
/// there, with the parts of it that power cuts have ended, else the only one that ever lay there. Each logical
/// file goes in one transaction.
///
/// # Errors
/// A path from which nothing is stored for this host, or several files of which none lies there any more; a
/// file that a running daemon follows, or that is still there, unless that is allowed; and a store that cannot
/// be used. Before the first transaction nothing is removed.
pub async fn forget(
    config: &Config,
    path: &Path,
    options: &ForgetOptions,
) -> anyhow::Result<ForgetSummary> {
    let path =
        std::path::absolute(path).with_context(|| format!("cannot read '{}'", path.display()))?;
    let resolved = path.canonicalize().unwrap_or_else(|_| path.clone());
    let (store, _shutdown) = open_store(config, Access::Write).await?;
    let mut known = store.files(None).await?;
    known.retain(|file| file.checkpoint.host == config.host);
    let found = match Tail::key_and_size(&resolved) {
        Ok(found) => found.map(|(key, _)| key),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read '{}'", path.display()));
        }
    };
    let checkpoints: Vec<Checkpoint> = known.iter().map(|file| file.checkpoint.clone()).collect();
    let there: Vec<FileId> = match found {
        None => Vec::new(),
        key => still_held(&checkpoints, &config.host, key).iter().map(|held| held.file).collect(),
    };
    let is_there = |file: &FileReport| there.contains(&file.checkpoint.file);
    let was_there = |file: &FileReport| {
        // A name that is not UTF-8 may also be given as `status` shows it.
        let known = &*file.checkpoint.path;
        [&path, &resolved]
            .iter()
            .any(|path| *text_path(known) == *path.as_path() || path.to_str() == Some(known))
    };
    known.retain(|file| is_there(file) || was_there(file));
    if known.is_empty() {
        bail!(
            "nothing is stored from '{}' for the host '{}'; `log-ingestd status --all` lists the files",
            path.display(),
            config.host
        );
    }
    if !options.ids.is_empty() {
        known.retain(|file| options.ids.contains(&file.checkpoint.file.0));
        if let Some(unknown) =
            options.ids.iter().find(|id| known.iter().all(|file| file.checkpoint.file.0 != **id))
        {
            bail!("--id {unknown} was not stored from '{}'", path.display());
        }
    } else if !there.is_empty() {
        known.retain(is_there);
    } else if known.len() > 1 {
        bail!(
            "{} files were stored from '{}', and none of them lies there now; choose by --id: {}",
            known.len(),
            path.display(),
            listed(&known)
        );
    }
    // Of an archive the object is not known.
    let may_be_there = |file: &FileReport| file.checkpoint.key.is_none() && found.is_some();
    let lies_there = known.iter().any(|file| is_there(file) || may_be_there(file));
    let still_there = lies_there.then_some(resolved);
    if let (Some(path), false) = (&still_there, options.even_if_there) {
        bail!(
            "'{}' is still there: a daemon that watches its directory will read it again from its \
             beginning; --yes forgets it all the same",
            path.display()
        );
    }
    let mut committer = Committer::new(store.clone(), owner(&config.host), None);
    let writer = committer.available_writer().await?;
    let held = hold(writer, &known).await?;
    let mut summary = ForgetSummary { still_there, ..ForgetSummary::default() };
    for (file, epoch) in held {
        let Forgotten { rows, rejected } = writer.forget(file, epoch).await?;
        summary.files.push(file.0);
        summary.rows += rows;
        summary.rejected += rejected;
    }
    committer.end().await;
    Ok(summary)
}

/// Claims the files that are open, so that no daemon writes them. No daemon writes a closed one, and a
/// claim would open it. Returns the epoch of each.
async fn hold(writer: &mut Writer, files: &[FileReport]) -> anyhow::Result<Vec<(FileId, i64)>> {
    let mut held = Vec::with_capacity(files.len());
    for file in files {
        let known = &file.checkpoint;
        if known.closed {
            held.push((known.file, known.epoch));
            continue;
        }
        match writer.claim(known.file, &known.sighting(), &known.format).await? {
            Some(claim) => held.push((claim.file, claim.epoch)),
            None => bail!(
                "a running log-ingestd ({}) follows '{}': stop it first",
                file.owner.as_deref().unwrap_or_default(),
                known.path
            ),
        }
    }
    Ok(held)
}

/// Names the newest of several files.
fn listed(files: &[FileReport]) -> String {
    let mut newest: Vec<&FileReport> = files.iter().collect();
    newest.sort_by_key(|file| std::cmp::Reverse(file.checkpoint.file));
    let named = newest.iter().take(LISTED).map(|file| {
        let seen = moment(file.first_seen_at);
        format!("{} ({} rows, since {seen})", file.checkpoint.file.0, file.rows)
    });
    let more = if newest.len() > LISTED { ", …" } else { "" };
    named.collect::<Vec<_>>().join(", ") + more
}
