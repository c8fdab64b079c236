//! Which writers are alive: file locks in a directory beside the database file.
//!
//! SQLite has no sessions whose end frees a lock. So file locks of the operating system show which
//! writers are alive: they end with their process, whatever ends it. Three ways were considered.
//!
//! - *One lock for the database*: an import could not run beside the daemon.
//! - *One lock file for each log file*: 10,000 files would take 10,000 descriptors.
//! - *One lock file for each writer*, whose name stands in `log_file.owner`: one descriptor, and
//!   a claim is a transaction that looks whether the named writer still lives. This one.
//!
//! A lock file is removed by its writer; what a killed one left, the next writer removes. Names
//! are random and never used again, so a name that is free or gone means that its writer is dead.
//!
//! A *stopped* process still holds its lock: its files stay its own until it ends.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::ownership;

/// Between two attempts to get a lock.
const AGAIN: Duration = Duration::from_millis(10);
/// How the lock files of writers end.
const WRITER: &str = "writer";

/// The directory `<database>.locks`.
#[derive(Debug)]
pub(super) struct Locks {
    directory: PathBuf,
}

/// A writer's lock, held while this lives.
#[derive(Debug)]
pub(super) struct Alive {
    path: PathBuf,
    /// `host:pid#token`: what stands in `log_file.owner`.
    pub(super) owner: String,
    _lock: File,
}

/// Returns the part of an owner that people read.
pub(in crate::store) fn for_people(owner: &str) -> &str {
    owner.rsplit_once('#').map_or(owner, |(people, _)| people)
}

impl Locks {
    pub(super) fn beside(database: &Path) -> io::Result<Locks> {
        let mut directory = database.as_os_str().to_owned();
        directory.push(".locks");
        let locks = Locks { directory: PathBuf::from(directory) };
        locks.make_directory()?;
        Ok(locks)
    }

    fn make_directory(&self) -> io::Result<()> {
        ownership::create_directories(&self.directory)
    }

    /// Takes the lock of this name, `None` while another process has it.
    pub(super) fn try_take(&self, name: &str) -> io::Result<Option<File>> {
        self.make_directory()?;
        let path = self.directory.join(name);
        let file = ownership::open_or_create(&path)?;
        Ok(try_lock(&file)?.then_some(file))
    }

    /// Takes the lock of this name, after it is free.
    pub(super) async fn wait(&self, name: &str, patience: Duration) -> io::Result<File> {
        let give_up = Instant::now() + patience;
        loop {
            if let Some(lock) = self.try_take(name)? {
                return Ok(lock);
            }
            if Instant::now() >= give_up {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "its lock stays taken"));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Takes a lock for a new writer, and removes the files of dead writers.
    pub(super) fn join(&self, owner: &str) -> io::Result<Alive> {
        self.make_directory()?; // it may have been removed with the database
        self.remove_dead()?;
        loop {
            let token = format!("{:016x}", fastrand::u64(..));
            let path = self.path(&token);
            let file = ownership::create_new(&path)?;
            file.lock()?;
            // Between making and locking it, another writer may have taken it for a dead one's
            // and removed it. Then it has no name any more, and no writer would find the lock.
            if file.metadata()?.nlink() > 0 {
                return Ok(Alive { path, owner: format!("{owner}#{token}"), _lock: file });
            }
        }
    }

    /// Returns whether any writer is alive.
    pub(super) fn has_writer(&self) -> io::Result<bool> {
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == WRITER) && locked(&path)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns whether a process has the lock of this name.
    pub(super) fn is_taken(&self, name: &str) -> io::Result<bool> {
        locked(&self.directory.join(name))
    }

    /// Returns whether the writer of this name still holds its lock.
    pub(super) fn lives(&self, owner: &str) -> io::Result<bool> {
        let Some((_, token)) = owner.rsplit_once('#') else { return Ok(false) };
        locked(&self.path(token))
    }

    fn path(&self, token: &str) -> PathBuf {
        self.directory.join(format!("{token}.{WRITER}"))
    }

    fn remove_dead(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == WRITER) && !locked(&path)? {
                // Gone already is as good: another writer does the same.
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        // Removed before the lock ends with the file; if it cannot be, the next writer does it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns whether the lock was free and is taken now.
fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn locked(path: &Path) -> io::Result<bool> {
    match File::open(path) {
        Ok(file) => Ok(!try_lock(&file)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_lives_until_it_is_dropped_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::beside(&directory.path().join("log.sqlite3")).unwrap();
        let one = locks.join("web:1").unwrap();
        let two = locks.join("web:1").unwrap();
        assert_ne!(one.owner, two.owner);
        assert_eq!(for_people(&one.owner), "web:1");
        assert!(locks.lives(&one.owner).unwrap());
        let name = one.owner.clone();
        drop(one);
        assert!(!locks.lives(&name).unwrap());
        assert!(locks.lives(&two.owner).unwrap());
        drop(two);
        assert_eq!(fs::read_dir(&locks.directory).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_by_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::beside(&directory.path().join("log.sqlite3")).unwrap();
        fs::write(locks.path("00ff"), "").unwrap();
        assert!(!locks.lives("web:1#00ff").unwrap());
        let _alive = locks.join("web:2").unwrap();
        assert!(!locks.path("00ff").exists());
    }

    #[test]
    fn a_named_lock_is_taken_once() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::beside(&directory.path().join("log.sqlite3")).unwrap();
        let taken = locks.try_take("sweep").unwrap();
        assert!(taken.is_some());
        assert!(locks.try_take("sweep").unwrap().is_none());
        drop(taken);
        assert!(locks.try_take("sweep").unwrap().is_some());
    }
}
