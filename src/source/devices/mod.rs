//! File systems that may stop answering, as NFS does when its server is gone, and FUSE when its daemon hangs.
//!
//! A call on such a file system cannot be cut off. So it is made by a thread that the device has for itself,
//! and the caller waits for [`PATIENCE`] at most. Then it gets [`Unreachable`], which says nothing of the file:
//! not that it is missing, nor that it has changed. Until the call returns, all others on the device get the
//! same answer at once, so there is one thread for each device, whatever hangs. The late answer is thrown away.
//!
//! Such file systems are known by their types in mountinfo (proc(5)). Where a path leads is found out without
//! touching them: its links are followed name by name, up to the first place where one is mounted. Calls on all
//! other file systems are made by the caller, and noted ([`Call`]). So are all calls until
//! [`isolate_file_systems`]: a command that reads one file may wait for it.

mod device;
mod mounts;
mod open_file;

use std::ffi::OsString;
use std::fs::{self, FileType, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use self::device::Answer;
use self::mounts::{Last, device_of};
use super::calls::Call;

pub(crate) use self::device::Unreachable;
pub use self::mounts::{isolate_file_systems, unreachable_file_systems};
pub(crate) use self::mounts::{look_at_mounts, unreachable_devices, unreachable_since};
pub(super) use self::open_file::OpenFile;

/// Makes a call on a path.
///
/// # Errors
/// Those of the call, and [`Unreachable`].
pub(super) fn at<T: Send + 'static>(
    path: &Path,
    call: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    call_at(path, Last::Followed, call)
}

fn call_at<T: Send + 'static>(
    path: &Path,
    last: Last,
    call: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match device_of(path, last) {
        None => {
            let _call = Call::on(path);
            call(path)
        }
        Some(device) => {
            let path = path.to_path_buf();
            device.call(move || call(&path))
        }
    }
}

/// Returns what is known of the file to which a path leads.
///
/// # Errors
/// Errors of the system, and [`Unreachable`].
pub(crate) fn metadata(path: &Path) -> io::Result<Metadata> {
    at(path, |path| fs::metadata(path))
}

/// Returns whether there is a directory; `false` also if that cannot be known.
pub(crate) fn is_directory(path: &Path) -> bool {
    metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Returns whether there is a link; `false` also if that cannot be known.
pub(crate) fn is_link(path: &Path) -> bool {
    symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

/// The same of a link itself.
pub(super) fn symlink_metadata(path: &Path) -> io::Result<Metadata> {
    call_at(path, Last::AsItIs, |path| fs::symlink_metadata(path))
}

pub(super) fn read_link(path: &Path) -> io::Result<PathBuf> {
    call_at(path, Last::AsItIs, |path| fs::read_link(path))
}

pub(super) fn canonicalize(path: &Path) -> io::Result<PathBuf> {
    at(path, |path| fs::canonicalize(path))
}

/// Lists a directory: names, and kinds where they are known. An entry that cannot be read is left out, but for
/// a list that ends too early because the file system does not answer any more.
pub(super) fn list(path: &Path) -> io::Result<Vec<(OsString, Option<FileType>)>> {
    at(path, |path| {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            match entry {
                Ok(entry) => entries.push((entry.file_name(), entry.file_type().ok())),
                error if Answer::of(&error) == Answer::Unconnected => drop(error?),
                Err(_) => {}
            }
        }
        Ok(entries)
    })
}
