//! Reports that files may have changed: inotify(7).
//!
//! An event is a hint, and never the truth. Events are lost when a queue overflows, they never come from
//! network file systems, and reading the file's metadata says more. So many events are merged to one
//! notification, and the caller must have a timer besides. The changed paths are kept as a set. If the
//! set grows too large, or an event is unclear, all files have to be checked.
//!
//! No event is asked for that a look at the files causes itself, such as the opening of a directory:
//! each look would be followed by another one.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::devices::{self, Unreachable};

/// The most changed paths that are kept. If there are more, all files have to be checked.
const MAX_PATHS: usize = 1024;

/// The most events that are read at once: as many as the kernel keeps by default.
const MAX_EVENTS: usize = 16 << 10;

/// The most directories whose events are received. The system has a limit for all programs of a user
/// together (`fs.inotify.max_user_watches`, at least 8192), of which something must be left.
const MAX_DIRECTORIES: usize = 4096;

/// The events that matter: bytes of a file, and names.
const EVENTS: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// What has changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Files whose bytes changed.
    pub written: HashSet<PathBuf>,
    /// Files and directories that were made, renamed or removed.
    pub renamed: HashSet<PathBuf>,
    /// Whether the changes are unknown, so that all files have to be checked.
    everywhere: bool,
}

/// What came of a request for the events of directories.
#[derive(Debug, Default)]
pub struct Watching {
    /// Whether there are directories whose events did not come before: what happened in them until
    /// now is unknown.
    pub has_new: bool,
    /// A directory that gives no events, and why; others may give none either. It is returned once.
    pub refused: Option<(PathBuf, io::Error)>,
}

/// A directory whose events come.
#[derive(Debug)]
struct Watched {
    /// What the kernel calls its watch.
    descriptor: i32,
    identity: Identity,
}

/// Device and inode.
type Identity = (u64, u64);

/// Events of the watched directories, merged.
#[derive(Debug, Default)]
pub struct FsEvents {
    inotify: Option<AsyncFd<Arc<OwnedFd>>>,
    watched: HashMap<PathBuf, Watched>,
    /// The watched directories by their watches.
    paths: HashMap<i32, PathBuf>,
    /// Directories that give no events. They are tried again when others have left.
    refused: HashSet<PathBuf>,
    /// Whether the caller knows that there are such directories.
    has_told: bool,
}

impl FsEvents {
    /// Starts to receive events. If the system gives none, the error is returned too, and the caller has
    /// its timer only. Must be called within the runtime.
    pub fn new() -> (Self, Option<io::Error>) {
        #[expect(
            deprecated,
            reason = "unsound for types that may close their descriptor early, which an OwnedFd does \
                      not; the replacement is an unsafe function"
        )]
        let register = |inotify| AsyncFd::with_interest(inotify, Interest::READABLE);
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        match inotify.map_err(io::Error::from).map(Arc::new).and_then(register) {
            Ok(inotify) => (Self { inotify: Some(inotify), ..Self::default() }, None),
            Err(error) => (Self::default(), Some(error)),
        }
    }

    /// Watches the entries of these directories, and of no others. Call this again in every pass: a
    /// directory that was removed and made again is only noticed here.
    pub fn watch(&mut self, directories: &HashSet<PathBuf>) -> Watching {
        let mut watching = Watching::default();
        self.forget(|directory, identity| {
            !directories.contains(directory)
                // Of a file system that does not answer nothing is known.
                || identity_of(directory).is_ok_and(|found| found != Some(identity))
        });
        self.refused.retain(|directory| directories.contains(directory));
        let Some(inotify) = &self.inotify else { return watching };
        for directory in directories {
            if self.watched.contains_key(directory) || self.refused.contains(directory) {
                continue;
            }
            let Ok(Some(identity)) = identity_of(directory) else { continue };
            let added = match self.watched.len() < MAX_DIRECTORIES {
                true => {
                    let inotify = Arc::clone(inotify.get_ref());
                    devices::at(directory, move |directory| {
                        Ok(inotify::add_watch(&*inotify, directory, EVENTS)?)
                    })
                }
                false => Err(Errno::NOSPC.into()),
            };
            match added {
                Ok(descriptor) => {
                    self.watched.insert(directory.clone(), Watched { descriptor, identity });
                    self.paths.insert(descriptor, directory.clone());
                    watching.has_new = true;
                }
                Err(error) if Unreachable::is(&error) || is_gone(&error) => {}
                Err(error) => {
                    self.refused.insert(directory.clone());
                    if !std::mem::replace(&mut self.has_told, true) {
                        watching.refused = Some((directory.clone(), reason(error)));
                    }
                }
            }
        }
        watching
    }

    /// Waits for a change. Cancel-safe: a change stays until [`FsEvents::take_changes`] takes it.
    pub async fn changed(&self) {
        let readable = match &self.inotify {
            Some(inotify) => inotify.readable().await,
            None => std::future::pending().await,
        };
        match readable {
            Ok(mut guard) => guard.retain_ready(),
            Err(_) => std::future::pending().await, // the runtime ends
        }
    }

    /// Takes the changes since the last call. Returns `None` if all files have to be checked.
    pub fn take_changes(&mut self) -> Option<Changes> {
        let mut changes = Changes::default();
        if let Some(inotify) = &self.inotify {
            // An error says that there are no more events for now.
            let _ = inotify.try_io(Interest::READABLE, |inotify| {
                read_events(inotify, &self.paths, &mut changes)
            });
        }
        // The watch of a directory stays with it when it is renamed, and ends with it; one that is made
        // in its place may have the same inode. What lies below it has another path now.
        let renamed = changes.renamed.iter();
        let moved: Vec<&PathBuf> = renamed.filter(|it| self.watched.contains_key(*it)).collect();
        if changes.everywhere || !moved.is_empty() {
            self.forget(|directory, _| {
                changes.everywhere || moved.iter().any(|moved| directory.starts_with(moved))
            });
        }
        (!changes.everywhere).then_some(changes)
    }

    /// Ends the watches of the directories that are `gone`.
    fn forget(&mut self, gone: impl Fn(&Path, Identity) -> bool) {
        let Some(inotify) = &self.inotify else { return };
        let before = self.watched.len();
        self.watched.retain(|directory, watched| {
            let stays = !gone(directory, watched.identity);
            if !stays {
                // An error says that the kernel has ended it.
                let _ = inotify::remove_watch(inotify.get_ref(), watched.descriptor);
                self.paths.remove(&watched.descriptor);
            }
            stays
        });
        if self.watched.len() < before {
            self.refused.clear();
        }
    }
}

/// Reads events until there are no more for now, which is an error of the kind that the runtime expects,
/// or until there are many.
fn read_events(
    inotify: &OwnedFd,
    paths: &HashMap<i32, PathBuf>,
    changes: &mut Changes,
) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 8 << 10];
    let mut events = inotify::Reader::new(inotify, &mut buffer);
    for _ in 0..MAX_EVENTS {
        let event = match events.next() {
            Ok(event) => event,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
            changes.everywhere = true;
        }
        let Some(directory) = paths.get(&event.wd()) else { continue };
        let path = match event.file_name() {
            Some(name) if !name.is_empty() => directory.join(OsStr::from_bytes(name.to_bytes())),
            _ => directory.clone(),
        };
        changes.everywhere |= changes.written.len() + changes.renamed.len() >= MAX_PATHS;
        match event.events() {
            _ if changes.everywhere => {}
            kind if kind.contains(ReadFlags::MODIFY) => drop(changes.written.insert(path)),
            _ => drop(changes.renamed.insert(path)),
        }
    }
    Ok(())
}

/// Returns device and inode of a directory; `None` if there is none.
fn identity_of(directory: &Path) -> Result<Option<Identity>, io::Error> {
    match devices::metadata(directory) {
        Err(error) if Unreachable::is(&error) => Err(error),
        found => {
            let found = found.ok().filter(Metadata::is_dir);
            Ok(found.map(|metadata| (metadata.dev(), metadata.ino())))
        }
    }
}

/// Returns whether a directory was removed in this very moment.
fn is_gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR))
}

/// Returns why a directory gives no events, in the words of the setting that helps.
fn reason(error: io::Error) -> io::Error {
    match Errno::from_io_error(&error) {
        Some(Errno::NOSPC) => {
            io::Error::other("too many directories are watched, here or by other programs")
        }
        _ => error,
    }
}
