//! Files that are gone: neither under their name, nor under another one, nor in an archive.
//!
//! What was known to be in them and is not stored is lost. That is written down, so that `status`
//! shows it. If such a file turns up after all, its claim takes that back.

use std::io;
use std::path::Path;

use tracing::{info, warn};

use crate::metrics::Ingest;
use crate::model::{Checkpoint, Sighting};
use crate::source::Tail;
use crate::source::fingerprint::same_object;
use crate::store::{StoreError, Writer};

use crate::daemon::files::FollowedFiles;

/// Closes the rows of files that are gone from the watched places.
///
/// # Errors
/// What the store says.
pub(crate) async fn close_missing(
    files: &FollowedFiles,
    host: &str,
    writer: &mut Writer,
    metrics: &Ingest,
) -> Result<(), StoreError> {
    for known in writer.open_files(host).await? {
        if files.has(&known) || !files.covers(Path::new(&known.path)) || is_there(&known) {
            continue;
        }
        let seen = Sighting {
            host: host.to_owned(),
            path: known.path.clone(),
            key: known.key,
            head: known.head,
        };
        let Some(known) = writer.claim(known.file, &seen, &known.format).await? else {
            continue; // whoever has it can read it
        };
        let lost = known.size.saturating_sub(known.committed);
        let (file, path) = (known.file.0, &known.path);
        if lost > 0 {
            warn!(file, path, bytes = lost, "gone before all of it was read: these bytes are lost");
        } else {
            info!(file, path, "gone, and all of it is stored");
        }
        writer.close(known.file, known.epoch, lost, "gone").await?;
        metrics.lost(lost);
        writer.release(known.file).await?;
    }
    Ok(())
}

/// Whether the file is where it was last seen, or nobody can tell: a directory that is not there
/// may be a file system that is not mounted.
fn is_there(known: &Checkpoint) -> bool {
    let path = Path::new(&known.path);
    match Tail::key_and_size(path) {
        Ok(Some((key, _))) => known.key.is_none_or(|known| same_object(known, key)),
        Ok(None) => false,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            !path.parent().is_some_and(Path::is_dir)
        }
        Err(_) => true,
    }
}
