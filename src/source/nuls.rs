//! NULs before a line, and holes: parts of a file that were never written, which read as NULs.
//!
//! After a power cut, XFS and ext4 may show NULs where bytes were not on the disk yet. A writer that
//! does not append leaves a hole when its log is truncated. Neither is part of a line. A hole is passed
//! over without reading it (lseek(2), `SEEK_DATA`), however long it is.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::devices::Unreachable;

/// Bytes at the end of a hole that are read, in case that the file system is wrong about it (4 KiB).
const READ_BACK: usize = 4096;

/// Bytes that are read at a time in search of the first that is not NUL (256 KiB).
const READ_SIZE: usize = 256 << 10;

/// A source of bytes that may know of holes.
pub trait ByteSource: Read {
    /// Passes over a hole at the read position, over at most `most` bytes, and returns over how many.
    /// Returns 0 if there is data, or if the source does not know.
    ///
    /// # Errors
    /// A source that cannot be read.
    fn skip_hole(&mut self, most: u64) -> io::Result<u64> {
        let _ = most;
        Ok(0)
    }
}

impl ByteSource for &[u8] {}
impl ByteSource for dyn Read + Send {}

impl<T: ByteSource + ?Sized> ByteSource for Box<T> {
    fn skip_hole(&mut self, most: u64) -> io::Result<u64> {
        (**self).skip_hole(most)
    }
}

/// Returns the length of the hole in `file` at `offset`; 0 if data is there, or if the file system
/// does not report holes. This moves the position of the descriptor.
///
/// # Errors
/// A read that fails.
pub(super) fn hole_at(file: &File, offset: u64) -> io::Result<u64> {
    // The size comes first: what is written after it is not part of the hole.
    let size = file.metadata()?.len();
    let end = match seek(file, SeekFrom::Data(offset)) {
        Ok(data) => data,
        Err(Errno::NXIO) => size, // no data after the offset
        Err(_) => return Ok(0),
    };
    let length = end.saturating_sub(offset);
    if length < READ_BACK as u64 {
        return Ok(0); // to read it costs less
    }
    let mut last = [0; READ_BACK];
    let read = file.read_at(&mut last, end - READ_BACK as u64)?;
    Ok(if read == READ_BACK && leading_nuls(&last) == READ_BACK { length } else { 0 })
}

/// Returns how many of the first bytes are NUL.
pub(super) fn leading_nuls(bytes: &[u8]) -> usize {
    // A chunk is compared as a whole, which the compiler makes a few instructions of.
    let is_blank = |chunk: &&[u8]| chunk.iter().fold(0, |all, byte| all | byte) == 0;
    let blank = bytes.chunks_exact(64).take_while(is_blank).count() * 64;
    blank + bytes[blank..].iter().take_while(|&&byte| byte == 0).count()
}

/// Reads the first bytes after the NULs at the beginning of `source`, up to `limit`. `gives_up` is
/// asked with the number of NULs that were read so far; if it agrees, there are no such bytes.
///
/// # Errors
/// A source that cannot be read before the first of these bytes. Later it ends there.
pub(super) fn first_bytes_after_nuls(
    source: &mut dyn ByteSource,
    limit: usize,
    mut gives_up: impl FnMut(u64) -> io::Result<bool>,
) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; limit.min(READ_SIZE)];
    let mut passed = 0;
    loop {
        let read = match source.read(&mut bytes) {
            Ok(0) => return Ok(Vec::new()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let nuls = leading_nuls(&bytes[..read]);
        if nuls < read {
            bytes.truncate(read);
            bytes.drain(..nuls);
            break;
        }
        passed += read as u64;
        bytes.resize(READ_SIZE, 0);
        if gives_up(passed)? {
            return Ok(Vec::new());
        }
        source.skip_hole(u64::MAX)?;
    }
    let rest = limit.saturating_sub(bytes.len());
    match source.take(rest as u64).read_to_end(&mut bytes) {
        Err(error) if Unreachable::is(&error) => return Err(error),
        _ => {} // an archive that breaks later still has a beginning
    }
    bytes.truncate(limit);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nuls_are_counted_to_the_first_other_byte() {
        for nuls in [0, 1, 63, 64, 65, 127, 128, 300] {
            let mut bytes = vec![0; nuls];
            assert_eq!(leading_nuls(&bytes), nuls);
            bytes.extend(b"x\0\0");
            assert_eq!(leading_nuls(&bytes), nuls);
        }
    }

    #[test]
    fn a_hole_ends_where_data_begins_or_the_file_ends() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 30).unwrap();
        assert_eq!(hole_at(&file, 0).unwrap(), 1 << 30);
        file.write_all_at(b"line\n", 1 << 30).unwrap();
        let hole = hole_at(&file, 8192).unwrap();
        let most = (1 << 30) - 8192;
        assert!((most - 65536..=most).contains(&hole), "{hole}");
        assert_eq!(hole_at(&file, 1 << 30).unwrap(), 0);
        let mut first = Reader { file, offset: 0 };
        let found = first_bytes_after_nuls(&mut first, 100, |_| Ok(false)).unwrap();
        assert_eq!(found, b"line\n");
    }

    #[test]
    fn the_first_bytes_after_nuls_are_found_without_help() {
        for nuls in [0, 5, READ_SIZE - 1, READ_SIZE, 3 * READ_SIZE + 7] {
            let mut bytes = vec![0; nuls];
            bytes.extend(b"line one\nline two\n");
            let found = |limit| first_bytes_after_nuls(&mut &bytes[..], limit, |_| Ok(false));
            assert_eq!(found(8).unwrap(), b"line one");
            assert_eq!(found(1000).unwrap(), b"line one\nline two\n");
        }
        let nothing = first_bytes_after_nuls(&mut &[0; 9][..], 8, |_| Ok(false)).unwrap();
        assert_eq!(nothing, b"");
    }

    struct Reader {
        file: File,
        offset: u64,
    }

    impl Read for Reader {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.file.read_at(buffer, self.offset)?;
            self.offset += read as u64;
            Ok(read)
        }
    }

    impl ByteSource for Reader {
        fn skip_hole(&mut self, most: u64) -> io::Result<u64> {
            let hole = hole_at(&self.file, self.offset)?.min(most);
            self.offset += hole;
            Ok(hole)
        }
    }
}
