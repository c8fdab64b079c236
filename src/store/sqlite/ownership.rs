//! What root makes beside a database belongs to the owner of its directory.
//!
//! A service has a user of its own, and its commands are often run by root: a database, a directory or
//! a lock file that root made for itself could not be opened by the service any more. SQLite does the
//! same for its side files. Only what is new changes hands, never what a name or a link leads to. Where
//! root may not give files away, as in a container without that capability, they stay root's.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown, lchown};
use std::path::Path;

/// Opens a file to append to, and makes it (0600) where it does not exist.
pub(super) fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).mode(0o600);
    match create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            options.create(true).open(path)
        }
        made => made,
    }
}

/// Makes a file (0600), or fails if its name is taken.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
    if let Some((user, group)) = owner_to_be(path)? {
        let _ = fchown(&file, Some(user), Some(group)); // see above
    }
    Ok(file)
}

/// Makes a directory (0700) where it does not exist, and those above it.
pub(super) fn create_directories(path: &Path) -> io::Result<()> {
    let made: Vec<&Path> = path.ancestors().take_while(|it| !it.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    for directory in made.into_iter().rev() {
        if let Some((user, group)) = owner_to_be(directory)? {
            let _ = lchown(directory, Some(user), Some(group)); // see above
        }
    }
    Ok(())
}

/// Returns the owner of the directory that a path lies in, if this process may give files away and the
/// owner is another user.
fn owner_to_be(path: &Path) -> io::Result<Option<(u32, u32)>> {
    let this = rustix::process::geteuid();
    if !this.is_root() {
        return Ok(None);
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = fs::metadata(parent.unwrap_or(Path::new(".")))?;
    Ok((directory.uid() != this.as_raw()).then(|| (directory.uid(), directory.gid())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;
    use std::path::PathBuf;

    use super::super::Sqlite;
    use super::super::owners::Locks;
    use super::*;
    use crate::store::schema::OlderSchema;

    /// A user that is not root.
    const OTHER: u32 = 65534;

    fn owners(directory: &Path, found: &mut Vec<(PathBuf, u32)>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            found.push((path.clone(), fs::symlink_metadata(&path).unwrap().uid()));
            if path.is_dir() {
                owners(&path, found);
            }
        }
    }

    /// `log-ingestd import` or `cleanup` by root, before the service has run.
    #[tokio::test]
    async fn what_root_makes_belongs_to_the_owner_of_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let (root, me) = (directory.path(), rustix::process::geteuid());
        if me.is_root() {
            chown(root, Some(OTHER), Some(OTHER)).unwrap();
        }
        let path = root.join("one/two/log.sqlite3");
        let store = Sqlite::open(&path, "test".into(), OlderSchema::Upgrade).await.unwrap();
        let _open = store.connect().await.unwrap();
        let locks = Locks::beside(&path).unwrap();
        let _alive = locks.join("web:1").unwrap();
        let _sweep = locks.try_take("sweep").unwrap();
        let mut found = Vec::new();
        owners(root, &mut found);
        assert!(found.len() >= 7, "{found:?}");
        let owner = if me.is_root() { OTHER } else { me.as_raw() };
        assert!(found.iter().all(|(_, uid)| *uid == owner), "{found:?}");
    }

    #[test]
    fn what_is_there_or_a_link_leads_to_keeps_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let (root, me) = (directory.path(), rustix::process::geteuid());
        let elsewhere = tempfile::tempdir().unwrap();
        let file = elsewhere.path().join("file");
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, root.join("link")).unwrap();
        fs::write(root.join("old"), "").unwrap();
        if me.is_root() {
            chown(root, Some(OTHER), Some(OTHER)).unwrap();
        }
        for name in ["link", "old"] {
            open_or_create(&root.join(name)).unwrap();
        }
        let uid = |path: &Path| fs::metadata(path).unwrap().uid();
        assert_eq!((uid(&file), uid(&root.join("old"))), (me.as_raw(), me.as_raw()));
    }
}
