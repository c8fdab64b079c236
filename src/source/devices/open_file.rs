//! Open files.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::device::{Asked, Device, Unreachable};
use super::mounts::{device_of_file, is_mounted};
use crate::source::calls::Call;
use crate::source::nuls::hole_at;

/// An open file. If it lies on a device that may not answer, that device's thread makes all calls on it, and
/// closes it.
#[derive(Debug)]
pub(crate) struct OpenFile {
    /// `None` only while it is dropped.
    file: Option<File>,
    device: Option<Arc<Device>>,
    /// Whether a file system that was not known to be one that may not answer has ended: it was mounted and
    /// unmounted between two looks at the list.
    has_ended: AtomicBool,
}

impl OpenFile {
    pub(in crate::source) fn new(file: File, metadata: &Metadata) -> Arc<Self> {
        let device = device_of_file(metadata.dev());
        Arc::new(Self { file: Some(file), device, has_ended: AtomicBool::new(false) })
    }

    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Makes a call on the file. It is noted under `path`, if other files wait for it.
    fn call<T: Send + 'static>(
        self: &Arc<Self>,
        path: Option<&Path>,
        call: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        match &self.device {
            None => {
                let _call = path.map(Call::on);
                call(self.file()?).map_err(|error| self.ended_by(path, error))
            }
            Some(device) => {
                let file = Arc::clone(self);
                device.call(move || call(file.file()?))
            }
        }
    }

    /// Returns what an error of a call says that was not made by a device's thread.
    fn ended_by(&self, path: Option<&Path>, error: io::Error) -> io::Error {
        if !matches!(Errno::from_io_error(&error), Some(Errno::NOTCONN | Errno::CONNABORTED)) {
            return error;
        }
        self.has_ended.store(true, Ordering::Relaxed);
        let place = path.and_then(Path::parent).map(Path::to_path_buf);
        Unreachable::at(place.unwrap_or_default())
    }

    pub(in crate::source) fn metadata(self: &Arc<Self>, path: &Path) -> io::Result<Metadata> {
        self.call(Some(path), File::metadata)
    }

    pub(in crate::source) fn hole_at(
        self: &Arc<Self>,
        path: Option<&Path>,
        offset: u64,
    ) -> io::Result<u64> {
        self.call(path, move |file| hole_at(file, offset))
    }

    /// Reads bytes from `offset` on; fewer than asked for at the end of the file.
    pub(in crate::source) fn read_at(
        self: &Arc<Self>,
        path: Option<&Path>,
        buffer: &mut [u8],
        offset: u64,
    ) -> io::Result<usize> {
        if self.device.is_none() {
            let _call = path.map(Call::on);
            let read = self.file()?.read_at(buffer, offset);
            return read.map_err(|error| self.ended_by(path, error));
        }
        let mut bytes = vec![0; buffer.len()];
        let bytes = self.call(path, move |file| {
            let read = file.read_at(&mut bytes, offset)?;
            bytes.truncate(read);
            Ok(bytes)
        })?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    /// Returns whether the bytes at `offset` are these; `false` also if they cannot be read.
    ///
    /// # Errors
    /// Only [`Unreachable`].
    pub(in crate::source) fn holds(
        self: &Arc<Self>,
        path: &Path,
        bytes: &[u8],
        offset: u64,
    ) -> io::Result<bool> {
        let mut found = vec![0; bytes.len()];
        let found = self.call(Some(path), move |file| {
            file.read_exact_at(&mut found, offset)?;
            Ok(found)
        });
        match found {
            Err(error) if Unreachable::is(&error) => Err(error),
            found => Ok(found.is_ok_and(|found| found == bytes)),
        }
    }

    /// Returns whether its device does not answer, and will not answer by this descriptor: the connection has
    /// ended, or it is not mounted any more.
    pub(in crate::source) fn is_cut_off(&self) -> bool {
        let Some(device) = &self.device else { return self.has_ended.load(Ordering::Relaxed) };
        let (is_unreachable, has_ended) = {
            let state = device.state();
            (state.unreachable, state.ended)
        };
        is_unreachable && (has_ended || !is_mounted(device))
    }

    /// Returns whether its device does not answer.
    pub(in crate::source) fn is_unreachable(&self) -> bool {
        match &self.device {
            Some(device) => device.state().unreachable,
            None => self.has_ended.load(Ordering::Relaxed),
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if let (Some(file), Some(device)) = (self.file.take(), &self.device) {
            let close = move || {
                drop(file);
                None
            };
            // Without a thread it is closed here.
            let _ = device.ask(Box::new(close), Asked::ForNone);
        }
    }
}
