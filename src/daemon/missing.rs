//! Files that are gone: neither under their name, nor under another one, nor in an archive.
//!
//! What was known to be in them and is not stored is lost. That is written down, so that `status`
//! shows it. If such a file turns up after all, its claim takes that back.

use std::io;

use crate::identity::claim::{ClaimedFile, Ending, LossCounter};
use crate::identity::resolve::is_object;
use crate::model::{Checkpoint, FileId, text_path};
use crate::source::Tail;
use crate::source::devices::is_directory;
use crate::store::{StoreError, Writer};

use crate::daemon::files::FollowedFiles;

/// Closes the files that are gone from the watched places.
///
/// # Errors
/// The store's.
pub(crate) async fn close_missing(
    files: &FollowedFiles,
    host: &str,
    writer: &mut Writer,
    losses: &LossCounter,
) -> Result<(), StoreError> {
    let mut after = FileId(0);
    loop {
        let all = writer.open_files(host, after).await?;
        let Some(last) = all.last() else { return Ok(()) };
        after = last.file;
        let is_gone = |known: &Checkpoint| {
            !files.has(known) && files.covers(&text_path(&known.path)) && !may_be_there(known)
        };
        let gone: Vec<Checkpoint> = all.into_iter().filter(is_gone).collect();
        ClaimedFile::close_unread(writer, &gone, host, Ending::Gone, losses).await?;
    }
}

/// Returns whether the file is where it was last seen, or that cannot be known: a directory that is
/// not there may be a file system that is not mounted.
fn may_be_there(known: &Checkpoint) -> bool {
    let path = &*text_path(&known.path);
    match Tail::key_and_size(path) {
        Ok(Some((key, _))) => known.key.is_none() || is_object(known, Some(key)),
        Ok(None) => false,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            !path.parent().is_some_and(is_directory)
        }
        Err(_) => true,
    }
}
