//! A file that is known by what it is, and held open or not.
//!
//! A file that is held open can be renamed and even deleted, and is still read. Where there are
//! more files than descriptors, quiet ones are closed and opened again by name whenever they are
//! asked for; a name that leads to another file by then is an error.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::model::FileKey;

use super::fingerprint::same_object;

/// One regular file.
#[derive(Debug)]
pub(super) struct Handle {
    key: FileKey,
    file: Option<File>,
}

/// An open file: held anyway, or for this moment.
pub(super) enum Opened<'a> {
    Held(&'a File),
    Briefly(File),
}

impl Deref for Opened<'_> {
    type Target = File;

    fn deref(&self) -> &File {
        match self {
            Opened::Held(file) => file,
            Opened::Briefly(file) => file,
        }
    }
}

impl Handle {
    /// Opens a regular file and holds it; `None` if it is something else.
    pub(super) fn open(path: &Path) -> io::Result<Option<(Self, Metadata)>> {
        // Looked at before it is opened: opening a FIFO would wait for its writer.
        if !std::fs::metadata(path)?.is_file() {
            return Ok(None);
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let handle = Self { key: key(&metadata), file: Some(file) };
        Ok(metadata.is_file().then_some((handle, metadata)))
    }

    pub(super) fn key(&self) -> FileKey {
        self.key
    }

    pub(super) fn is_held(&self) -> bool {
        self.file.is_some()
    }

    /// Gives the descriptor back.
    pub(super) fn let_go(&mut self) {
        self.file = None;
    }

    /// Holds it open again, if `path` still leads to it.
    pub(super) fn hold(&mut self, path: &Path) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(self.open_again(path)?);
        }
        Ok(())
    }

    /// The file, to be read now. `path` is where it was last seen.
    pub(super) fn get(&self, path: &Path) -> io::Result<Opened<'_>> {
        match &self.file {
            Some(file) => Ok(Opened::Held(file)),
            None => self.open_again(path).map(Opened::Briefly),
        }
    }

    /// What the file system says of it now.
    pub(super) fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        match &self.file {
            Some(file) => file.metadata(),
            None => self.recognise(std::fs::metadata(path)?),
        }
    }

    fn open_again(&self, path: &Path) -> io::Result<File> {
        self.metadata(path)?; // nothing else is opened: it could be a FIFO by now
        let file = File::open(path)?;
        self.recognise(file.metadata()?)?;
        Ok(file)
    }

    fn recognise(&self, found: Metadata) -> io::Result<Metadata> {
        if found.is_file() && same_object(self.key, key(&found)) {
            return Ok(found);
        }
        Err(io::Error::new(io::ErrorKind::NotFound, "another file has this name now"))
    }
}

/// What the file system says a file is.
pub(super) fn key(metadata: &Metadata) -> FileKey {
    let birth_us = metadata
        .created()
        .ok()
        .and_then(|born| born.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_micros()).ok());
    FileKey { device: metadata.dev(), inode: metadata.ino(), birth_us }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn text(handle: &Handle, path: &Path) -> io::Result<String> {
        let mut text = String::new();
        (&*handle.get(path)?).read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn a_file_that_is_let_go_is_found_by_its_name_and_no_other_file_is() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("log"), directory.path().join("log.1"));
        std::fs::write(&path, "one").unwrap();
        let (mut handle, _) = Handle::open(&path).unwrap().unwrap();
        handle.let_go();
        assert_eq!(text(&handle, &path).unwrap(), "one");
        std::fs::rename(&path, &moved).unwrap();
        assert_eq!(text(&handle, &path).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, "two").unwrap();
        assert_eq!(text(&handle, &path).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(handle.hold(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        handle.hold(&moved).unwrap();
        std::fs::remove_file(&moved).unwrap();
        assert_eq!(text(&handle, &moved).unwrap(), "one", "held, it needs no name");
    }
}
