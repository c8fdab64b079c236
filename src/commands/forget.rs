//! `log-ingestd forget`: removes all that is stored of a file, so that it can be read again.

use std::path::{Path, PathBuf};

use anyhow::bail;
use serde::Serialize;

use crate::commands::named_file::{NamedFiles, listed};
use crate::commands::open_store;
use crate::config::Config;
use crate::model::FileId;
use crate::pipeline::committer::Committer;
use crate::pipeline::connect::{Access, owner};
use crate::store::{FileReport, Forgotten, Writer};

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
    let (store, _shutdown) = open_store(config, Access::Write).await?;
    let NamedFiles { files: mut known, there, found, resolved } =
        NamedFiles::of(store.files(None).await?, &config.host, path)?;
    let is_there = |file: &FileReport| there.contains(&file.checkpoint.file);
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
        if known.is_closed() {
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
