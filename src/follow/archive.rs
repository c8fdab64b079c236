//! Compressed files, told by their first bytes and never by their names.

use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read};

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, also of several members.
    Gzip,
    /// Zstandard, also of several frames.
    Zstd,
    /// xz, also of several streams.
    Xz,
    /// bzip2, also of several streams.
    Bzip2,
}

impl Compression {
    /// The first bytes that [`Compression::of`] needs.
    pub const MAGIC_LENGTH: usize = 6;

    /// Reads the magic number (RFC 1952, RFC 8878, the xz and bzip2 formats).
    pub fn of(first_bytes: &[u8]) -> Self {
        match first_bytes {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }
}

/// A reader of the decompressed bytes of `source`, whose first bytes were already taken from it
/// and are given as `taken`.
///
/// # Errors
/// A decoder that cannot be set up.
pub fn open_archive(
    compression: Compression,
    taken: Vec<u8>,
    source: impl Read + Send + 'static,
) -> io::Result<Box<dyn Read + Send>> {
    let source: Chain<Cursor<Vec<u8>>, _> = Cursor::new(taken).chain(source);
    let source = BufReader::with_capacity(128 << 10, source);
    Ok(match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(source)?),
        Compression::Xz => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(source)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(source)),
    })
}

/// The compression of an open file, by its first bytes; the file's position does not move.
///
/// # Errors
/// A read that fails.
pub(super) fn compression_of(file: &File) -> io::Result<Compression> {
    use std::os::unix::fs::FileExt;
    let mut first = [0; Compression::MAGIC_LENGTH];
    let mut got = 0;
    while got < first.len() {
        match file.read_at(&mut first[got..], got as u64)? {
            0 => break,
            read => got += read,
        }
    }
    Ok(Compression::of(&first[..got]))
}
