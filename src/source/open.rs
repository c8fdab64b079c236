//! Opens logs, archives and FIFOs: the only place that does.
//!
//! A directory of logs may belong to another user, who may exchange a name in it at any moment: a log
//! for a FIFO, or a file for a link to a secret. So nothing is believed that a path said before. What
//! counts is the descriptor: its kind, its file system, and the owners of the links that led to it.
//! Opening does not wait, neither for the writer of a FIFO nor for a lease (fcntl(2), `F_SETLEASE`).
//!
//! Files that the settings name are opened here, too: they are read again while logs are followed.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstatfs, major, openat, openat2, readlinkat};
use rustix::io::{Errno, retry_on_intr};
use thiserror::Error;

use super::devices::{self, at};

/// The most links that are followed for one path, as in the kernel.
pub(super) const MAX_LINKS: usize = 40;

/// The most directories on the way to a file. Each is a descriptor while links are followed.
const MAX_DEPTH: usize = 128;

/// How a file is opened for reading.
const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// How a file is looked at without opening it: to open some devices is to use them.
const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// File systems without files of users (statfs(2), `f_type`): to read there may wait for ever, or take
/// what another program waits for.
const OF_KERNEL: [u64; 15] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0x6265_6570, // configfs
    0x27_e0eb,   // cgroup
    0x6367_7270, // cgroup2
    0x1cd1,      // devpts
    0x1980_0202, // mqueue
    0xcafe_4a11, // bpf
    0x6165_676c, // pstore
    0xde5e_81e4, // efivarfs
    0x6573_5543, // fusectl
    0x6e73_6673, // nsfs
];

/// What the caller can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    RegularFile,
    Fifo,
}

/// Which links on the way to a file are followed.
#[derive(Clone, Copy)]
pub(crate) enum Links<'a> {
    /// All: the user named the path, or the caller compares the object with one that it knows.
    All,
    /// Those of root, of this process's user and of the owner of what they lead to. Others only if the
    /// function agrees to the resolved path to which they lead.
    Trusted(&'a dyn Fn(&Path) -> bool),
}

/// Why a file is not read although the system would allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refused {
    #[error("not a regular file, but a directory, a FIFO, a socket or a device")]
    NotRegular,
    #[error("not a FIFO")]
    NotFifo,
    #[error("a file of the kernel, as in /proc and /sys")]
    OfKernel,
    #[error("a link that another user made leads out of the watched places")]
    ForeignLink,
}

impl Refused {
    /// Returns why a file was refused; `None` for an error of the system.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::new(io::ErrorKind::Unsupported, refused)
    }
}

/// Opens a file for reading. A path without links takes one system call to open, and those that
/// look at what was opened.
///
/// # Errors
/// Errors of the system, and [`Refused`]. `WouldBlock` is a file on which another process holds a
/// lease.
pub(crate) fn open(path: &Path, wanted: Wanted, links: Links<'_>) -> io::Result<(File, Metadata)> {
    match at(path, move |path| open_directly(path, wanted))? {
        Some(opened) => Ok(opened),
        None => open_through(path, wanted, links),
    }
}

/// The most bytes of a file that the settings name (16 MiB).
const LARGEST_OF_SETTINGS: u64 = 16 << 20;

/// Reads a file that the settings name. A FIFO in its place is an error, and not waited for.
///
/// # Errors
/// Errors of the system, [`Refused`], and a file of more than 16 MiB.
pub(crate) fn read_of_settings(path: &Path) -> io::Result<(Vec<u8>, Metadata)> {
    let (file, metadata) = open(path, Wanted::RegularFile, Links::All)?;
    let mut bytes = Vec::new();
    file.take(LARGEST_OF_SETTINGS + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_OF_SETTINGS {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 16 MiB"));
    }
    Ok((bytes, metadata))
}

/// Reads a file of text that the settings name.
///
/// # Errors
/// Those of [`read_of_settings`], and bytes that are not UTF-8.
pub(crate) fn read_text_of_settings(path: &Path) -> io::Result<(String, Metadata)> {
    let (bytes, metadata) = read_of_settings(path)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))?;
    Ok((text, metadata))
}

/// Opens what a path without links leads to. Returns `None` if there are links.
fn open_directly(path: &Path, wanted: Wanted) -> io::Result<Option<(File, Metadata)>> {
    let direct =
        retry_on_intr(|| openat2(CWD, path, READ, Mode::empty(), ResolveFlags::NO_SYMLINKS));
    let file = match direct {
        Ok(file) => File::from(file),
        // A socket, or a device without a driver.
        Err(Errno::NXIO | Errno::NODEV) => return Err(other_than(wanted).into()),
        // There is a link on the way. Linux before 5.6, and some sandboxes, do not have this call.
        Err(Errno::LOOP | Errno::NOSYS | Errno::PERM) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    check(&file, &metadata, wanted)?;
    Ok(Some((file, metadata)))
}

/// Opens what a path leads to, links and all.
fn open_through(path: &Path, wanted: Wanted, links: Links<'_>) -> io::Result<(File, Metadata)> {
    let is_held = match links {
        Links::All => {
            return at(path, move |path| {
                let object = retry_on_intr(|| openat(CWD, path, LOOK, Mode::empty()))?;
                open_object(object, path, wanted)
            });
        }
        Links::Trusted(is_held) => is_held,
    };
    let Found { object, path: found, .. } = walk_trusted(path, is_held)?;
    at(path, move |_| open_object(object.into(), &found, wanted))
}

/// Returns what a path leads to, without links, by the same rule.
///
/// # Errors
/// Errors of the system, and [`Refused::ForeignLink`].
pub(crate) fn resolve(path: &Path, links: Links<'_>) -> io::Result<PathBuf> {
    match links {
        Links::All => devices::canonicalize(path),
        Links::Trusted(is_held) => Ok(walk_trusted(path, is_held)?.path),
    }
}

/// Follows links that are trusted.
fn walk_trusted(path: &Path, is_held: &dyn Fn(&Path) -> bool) -> io::Result<Found> {
    let (found, owner) = at(path, |path| {
        let found = walk(path)?;
        let owner = found.object.metadata()?.uid();
        Ok((found, owner))
    })?;
    let trusted = [0, rustix::process::geteuid().as_raw(), owner];
    if !found.makers.iter().all(|maker| trusted.contains(maker)) && !is_held(&found.path) {
        return Err(Refused::ForeignLink.into());
    }
    Ok(found)
}

/// Opens an object that was looked at. `path` is its name where there is no `/proc`.
fn open_object(object: OwnedFd, path: &Path, wanted: Wanted) -> io::Result<(File, Metadata)> {
    let object = File::from(object);
    let metadata = object.metadata()?;
    check(&object, &metadata, wanted)?;
    let again = format!("/proc/self/fd/{}", object.as_raw_fd());
    let file = match retry_on_intr(|| openat(CWD, &again, READ, Mode::empty())) {
        Err(Errno::NOENT) => retry_on_intr(|| openat(CWD, path, READ, Mode::empty()))?,
        file => file?,
    };
    let file = File::from(file);
    let opened = file.metadata()?;
    if (opened.dev(), opened.ino()) != (metadata.dev(), metadata.ino()) {
        return Err(io::Error::new(io::ErrorKind::NotFound, "another file has this name now"));
    }
    Ok((file, opened))
}

/// Checks kind and file system of what was opened.
fn check(file: &File, metadata: &Metadata, wanted: Wanted) -> io::Result<()> {
    let is_wanted = match wanted {
        Wanted::RegularFile => metadata.is_file(),
        Wanted::Fifo => metadata.file_type().is_fifo(),
    };
    if !is_wanted {
        return Err(other_than(wanted).into());
    }
    // A file system on a device of blocks is none of the kernel's, and those of the kernel have a name.
    let is_of_kernel = |kind: i64| OF_KERNEL.contains(&(kind.cast_unsigned() & 0xffff_ffff));
    if major(metadata.dev()) == 0 && fstatfs(file).is_ok_and(|found| is_of_kernel(found.f_type)) {
        return Err(Refused::OfKernel.into());
    }
    Ok(())
}

fn other_than(wanted: Wanted) -> Refused {
    match wanted {
        Wanted::RegularFile => Refused::NotRegular,
        Wanted::Fifo => Refused::NotFifo,
    }
}

/// What a path leads to.
struct Found {
    /// Only looked at, not open for reading.
    object: File,
    /// Without links.
    path: PathBuf,
    /// The owners of the links on the way.
    makers: Vec<u32>,
}

/// Follows a path name by name from the root. Each link is read from the descriptor of which the
/// owner is noted, so that nothing can be exchanged in between.
fn walk(path: &Path) -> io::Result<Found> {
    let path = std::path::absolute(path)?;
    let root = File::from(retry_on_intr(|| openat(CWD, "/", LOOK, Mode::empty()))?);
    let mut way: Vec<(File, OsString)> = Vec::new();
    let mut ahead: Vec<OsString> = Vec::new();
    push_reversed(&mut ahead, &path);
    let mut makers = Vec::new();
    while let Some(name) = ahead.pop() {
        if name == ".." {
            way.pop();
            continue;
        }
        let directory = way.last().map_or(&root, |(directory, _)| directory);
        let flags = LOOK.union(OFlags::NOFOLLOW);
        let entry = File::from(retry_on_intr(|| openat(directory, &name, flags, Mode::empty()))?);
        let metadata = entry.metadata()?;
        if metadata.is_symlink() {
            makers.push(metadata.uid());
            if makers.len() > MAX_LINKS {
                return Err(Errno::LOOP.into());
            }
            let target = readlinkat(entry.as_fd(), "", Vec::new())?.into_bytes();
            let target = PathBuf::from(OsString::from_vec(target));
            if target.is_absolute() {
                way.clear();
            }
            push_reversed(&mut ahead, &target);
            continue;
        }
        way.push((entry, name));
        if way.len() > MAX_DEPTH {
            return Err(Errno::NAMETOOLONG.into());
        }
    }
    let mut path = PathBuf::from("/");
    path.extend(way.iter().map(|(_, name)| name));
    let object = way.pop().map_or(root, |(object, _)| object);
    Ok(Found { object, path, makers })
}

/// Adds the names of a path, of which the first is to be taken first.
pub(super) fn push_reversed(ahead: &mut Vec<OsString>, path: &Path) {
    let names = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    ahead.extend(names.map(OsStr::to_owned));
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{lchown, symlink};

    use super::*;

    const NOWHERE: Links<'static> = Links::Trusted(&|_| false);

    fn refused(path: &Path, links: Links<'_>) -> Option<Refused> {
        open(path, Wanted::RegularFile, links).map_err(|error| Refused::of(&error).unwrap()).err()
    }

    #[test]
    fn only_regular_files_of_users_are_opened() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::write(at("file"), "x").unwrap();
        rustix::fs::mknodat(CWD, at("fifo"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for (name, target) in [
            ("to-file", "file"),
            ("to-fifo", "fifo"),
            ("to-proc", "/proc/version"),
            ("to-null", "/dev/null"),
        ] {
            symlink(target, at(name)).unwrap();
        }
        let not_regular = Some(Refused::NotRegular);
        for links in [Links::All, NOWHERE] {
            assert_eq!(refused(&at("file"), links), None);
            assert_eq!(refused(&at("to-file"), links), None);
            for name in ["fifo", "socket", "to-fifo", "to-null"] {
                assert_eq!(refused(&at(name), links), not_regular, "{name}");
            }
            for path in ["/proc/version", "/proc/kmsg", "/sys/kernel/uevent_seqnum"] {
                assert_eq!(refused(Path::new(path), links), Some(Refused::OfKernel), "{path}");
            }
            assert_eq!(refused(&at("to-proc"), links), Some(Refused::OfKernel));
            assert!(open(&at("to-fifo"), Wanted::Fifo, links).is_ok());
            let file = open(&at("file"), Wanted::Fifo, links).unwrap_err();
            assert_eq!(Refused::of(&file), Some(Refused::NotFifo));
        }
    }

    /// All that is done without openat2(2), too.
    #[test]
    fn a_path_is_followed_link_by_link_to_where_the_system_finds_it() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "x").unwrap();
        symlink("b/../b", root.join("a/c")).unwrap();
        symlink(root.join("a"), root.join("d")).unwrap();
        symlink("../a/c/file", root.join("a/link")).unwrap();
        symlink("itself", root.join("itself")).unwrap();
        for (path, links) in [("a/b/file", 0), ("a/c/file", 1), ("d/c/./file", 2), ("d/link", 3)] {
            let found = walk(&root.join(path)).unwrap();
            assert_eq!((found.path, found.makers.len()), (root.join("a/b/file"), links), "{path}");
        }
        assert_eq!(walk(Path::new("/..")).unwrap().path, Path::new("/"));
        for (path, error) in [("itself", Errno::LOOP), ("a/b/file/x", Errno::NOTDIR)] {
            let found = walk(&root.join(path)).err().unwrap();
            assert_eq!(found.raw_os_error(), Some(error.raw_os_error()), "{path}");
        }
        let (_, metadata) =
            open_through(&root.join("a/b/file"), Wanted::RegularFile, NOWHERE).unwrap();
        assert_eq!(metadata.len(), 1);
    }

    #[test]
    fn each_link_of_a_chain_has_to_be_trusted() {
        if !rustix::process::geteuid().is_root() {
            return; // only root may give a link to another user
        }
        let (stranger, owner) = (Some(65_534), Some(65_533));
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name);
        fs::write(at("secret"), "x").unwrap();
        fs::write(at("own"), "x").unwrap();
        lchown(at("own"), stranger, None).unwrap();
        for (name, target, maker) in [
            ("strange", "secret", stranger),
            ("to-own", "own", stranger),
            ("of-third", "own", owner),
            ("of-root", "secret", None),
            ("root-to-strange", "strange", None),
        ] {
            symlink(target, at(name)).unwrap();
            lchown(at(name), maker, None).unwrap();
        }
        let foreign = Some(Refused::ForeignLink);
        for (name, right) in [
            ("strange", foreign),
            ("to-own", None),
            ("of-third", foreign),
            ("of-root", None),
            ("root-to-strange", foreign),
        ] {
            assert_eq!(refused(&at(name), NOWHERE), right, "{name}");
            assert_eq!(refused(&at(name), Links::All), None, "{name}");
            let (secret, own) = (at("secret"), at("own"));
            let is_held = |path: &Path| path == secret || path == own;
            assert_eq!(refused(&at(name), Links::Trusted(&is_held)), None, "{name}");
        }
    }

    /// Another user exchanges names of all kinds while they are opened, as fast as both can. No secret is
    /// read, and nothing waits.
    #[test]
    fn names_that_are_exchanged_while_they_are_opened_never_lead_to_a_secret() {
        use std::io::Read;
        use std::sync::atomic::{AtomicBool, Ordering};

        use rustix::fs::{FileType, RenameFlags, mknodat, renameat_with};

        use crate::model::fuzz::each_input;

        if !rustix::process::geteuid().is_root() {
            return; // only root may give a link to another user
        }
        const NAMES: [&str; 6] =
            ["one", "two", "three", "directory/one", "way/one", "directory/up"];
        let stranger = Some(65_534);
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (secrets, place) = (root.join("secrets"), root.join("place"));
        for directory in [&secrets, &place, &place.join("directory"), &place.join("spare")] {
            fs::create_dir_all(directory).unwrap();
        }
        fs::write(secrets.join("one"), "secret").unwrap();
        let link = |target: &Path, name: &Path| {
            let _ = fs::remove_file(name);
            symlink(target, name).unwrap();
            lchown(name, stranger, None).unwrap();
        };
        // What is exchanged; made with its owner before it is put in place.
        let aside = root.join("aside");
        fs::create_dir(&aside).unwrap();
        fs::write(aside.join("log"), "a log").unwrap();
        fs::write(aside.join("log2"), "a log").unwrap();
        lchown(aside.join("log2"), stranger, None).unwrap();
        link(&secrets.join("one"), &aside.join("to-secret"));
        link(Path::new("../secrets/one"), &aside.join("to-secret-2"));
        link(&secrets, &aside.join("to-directory"));
        link(Path::new("/proc/self/environ"), &aside.join("to-proc"));
        link(Path::new("../place/two"), &aside.join("to-name"));
        mknodat(CWD, aside.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        fs::create_dir(aside.join("a-directory")).unwrap();
        fs::write(aside.join("a-directory/one"), "a log").unwrap();
        for name in ["one", "two", "three", "directory/one", "directory/up"] {
            fs::write(place.join(name), "a log").unwrap();
        }
        link(Path::new("directory"), &place.join("way"));
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let stranger_at_work = std::thread::Builder::new().spawn_scoped(scope, || {
                let aside: Vec<PathBuf> =
                    fs::read_dir(&aside).unwrap().map(|entry| entry.unwrap().path()).collect();
                let (mut dice, mut exchanges) = (fastrand::Rng::new(), 0_u64);
                while !ended.load(Ordering::Relaxed) {
                    let name = ["one", "two", "three", "directory/one", "way", "directory"]
                        [dice.usize(..6)];
                    let (parent, name) = name.rsplit_once('/').unwrap_or((".", name));
                    // They may not write into the directory of the secrets, whatever link leads there.
                    let flags = LOOK.union(OFlags::NOFOLLOW).union(OFlags::DIRECTORY);
                    let Ok(parent) = openat(CWD, place.join(parent), flags, Mode::empty()) else {
                        continue;
                    };
                    let new = &aside[dice.usize(..aside.len())];
                    let exchanged = renameat_with(CWD, new, &parent, name, RenameFlags::EXCHANGE);
                    exchanges += u64::from(exchanged.is_ok());
                }
                exchanges
            });
            let stranger_at_work = stranger_at_work.unwrap();
            // Whatever happens here, the other thread ends.
            struct End<'a>(&'a AtomicBool);
            impl Drop for End<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
            let end = End(&ended);
            let mut opened = 0_u64;
            each_input("opened while names are exchanged", 1, |dice| {
                let path = place.join(NAMES[dice.usize(..NAMES.len())]);
                let wanted = [Wanted::RegularFile, Wanted::Fifo][usize::from(dice.u8(..8) == 0)];
                let Ok((mut file, metadata)) = open(&path, wanted, NOWHERE) else { return };
                if wanted == Wanted::Fifo {
                    assert!(metadata.file_type().is_fifo());
                    return;
                }
                assert!(metadata.is_file());
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                assert_eq!(text, "a log");
                opened += 1;
            });
            drop(end);
            let exchanges = stranger_at_work.join().unwrap();
            println!("{opened} logs were opened during {exchanges} exchanges");
            assert!(opened > 0 && exchanges > 0);
        });
    }
}
