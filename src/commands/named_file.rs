//! Which stored files a path means that was typed.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::identity::resolve::still_held;
use crate::model::{Checkpoint, FileId, FileKey, moment, text_path};
use crate::source::Tail;
use crate::store::FileReport;

/// Files of which an error tells.
const LISTED: usize = 10;

/// The files of a host that were stored from one path.
pub(crate) struct NamedFiles {
    /// All of them, oldest first; at least one.
    pub(crate) files: Vec<FileReport>,
    /// Those of them whose object lies there now, with the parts of it that power cuts have ended.
    pub(crate) there: Vec<FileId>,
    /// The object that lies there now.
    pub(crate) found: Option<FileKey>,
    /// The path without symbolic links.
    pub(crate) resolved: PathBuf,
}

impl NamedFiles {
    /// Returns the files of `host` among `known` that were stored from `path`.
    ///
    /// # Errors
    /// A path that cannot be looked at, or from which nothing is stored.
    pub(crate) fn of(known: Vec<FileReport>, host: &str, path: &Path) -> anyhow::Result<Self> {
        let cannot_read = || format!("cannot read '{}'", path.display());
        let whole = std::path::absolute(path).with_context(cannot_read)?;
        let resolved = whole.canonicalize().unwrap_or_else(|_| whole.clone());
        let mut known = known;
        known.retain(|file| file.checkpoint.host == host);
        let found = match Tail::key_and_size(&resolved) {
            Ok(found) => found.map(|(key, _)| key),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(cannot_read),
        };
        let checkpoints: Vec<Checkpoint> =
            known.iter().map(|file| file.checkpoint.clone()).collect();
        let there: Vec<FileId> = match found {
            None => Vec::new(),
            key => still_held(&checkpoints, host, key).iter().map(|held| held.file).collect(),
        };
        let was_there = |file: &FileReport| {
            // A name that is not UTF-8 may also be given as `status` shows it.
            let known = &*file.checkpoint.path;
            [&whole, &resolved]
                .iter()
                .any(|path| *text_path(known) == *path.as_path() || path.to_str() == Some(known))
        };
        known.retain(|file| there.contains(&file.checkpoint.file) || was_there(file));
        if known.is_empty() {
            bail!(
                "nothing is stored from '{}' for the host '{host}'; `log-ingestd status --all` lists the files",
                path.display(),
            );
        }
        Ok(Self { files: known, there, found, resolved })
    }
}

/// Names the newest of several files.
pub(crate) fn listed(files: &[FileReport]) -> String {
    let mut newest: Vec<&FileReport> = files.iter().collect();
    newest.sort_by_key(|file| std::cmp::Reverse(file.checkpoint.file));
    let named = newest.iter().take(LISTED).map(|file| {
        let seen = moment(file.first_seen_at);
        format!("{} ({} rows, since {seen})", file.checkpoint.file.0, file.rows)
    });
    let more = if newest.len() > LISTED { ", …" } else { "" };
    named.collect::<Vec<_>>().join(", ") + more
}
