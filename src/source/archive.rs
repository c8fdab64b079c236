//! Opens compressed files. Their compression is detected by their first bytes, never by their
//! names.

use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::BzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not compressed.
    None,
    /// gzip, with one or more members.
    Gzip,
    /// Zstandard, with one or more frames.
    Zstd,
    /// xz, with one or more streams.
    Xz,
    /// bzip2, with one or more streams.
    Bzip2,
}

impl Compression {
    /// The number of first bytes that [`Compression::of`] needs.
    pub const MAGIC_LENGTH: usize = 6;

    /// Detects the compression by the magic number (RFC 1952, RFC 8878, the xz and bzip2 formats).
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

/// Returns a reader of the decompressed bytes of `source`.
///
/// # Errors
/// A decoder that cannot be initialised.
pub fn open_archive(
    compression: Compression,
    source: impl Read + Send + 'static,
) -> io::Result<Box<dyn Read + Send>> {
    let source = BufReader::with_capacity(128 << 10, source);
    Ok(match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(SmallReads(MultiGzDecoder::new(source))),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(source)?),
        Compression::Xz => Box::new(xz(source)),
        Compression::Bzip2 => Box::new(Bzip2Streams(Some(bzip2(source)))),
    })
}

/// Reads from a decoder in small steps. The gzip decoder fails for a whole read and does not
/// report what it has written. So at most [`SmallReads::LENGTH`] bytes before a damaged place are
/// missing.
struct SmallReads<D>(D);

impl<D> SmallReads<D> {
    /// The length of a step in bytes; decoding so many costs far more than a call.
    const LENGTH: usize = 512;
}

impl<D: Read> Read for SmallReads<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < buffer.len() {
            let end = buffer.len().min(written + Self::LENGTH);
            match self.0.read(&mut buffer[written..end]) {
                Ok(0) => break,
                Ok(read) => written += read,
                // The next read fails again, because a failed decoder stays failed.
                Err(_) if written > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }
}

/// Returns the bytes before a damaged place. These decoders fail for a whole read, although they
/// have written those bytes. Here a read ends at the damaged place, and the next one fails.
struct ReadToDamage<D> {
    decoder: D,
    /// Returns how many bytes the decoder has written.
    total_out: fn(&D) -> u64,
    failed: Option<io::Error>,
}

fn xz<R: BufRead>(source: R) -> ReadToDamage<XzDecoder<R>> {
    let decoder = XzDecoder::new_multi_decoder(source);
    ReadToDamage { decoder, total_out: XzDecoder::total_out, failed: None }
}

fn bzip2<R: BufRead>(source: R) -> ReadToDamage<BzDecoder<R>> {
    let decoder = BzDecoder::new(source);
    ReadToDamage { decoder, total_out: BzDecoder::total_out, failed: None }
}

impl<D: Read> Read for ReadToDamage<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let before = (self.total_out)(&self.decoder);
        self.decoder.read(buffer).or_else(|error| {
            match usize::try_from((self.total_out)(&self.decoder) - before) {
                Ok(written @ 1..) => {
                    self.failed = Some(error);
                    Ok(written)
                }
                _ => Err(error),
            }
        })
    }
}

/// Reads one bzip2 stream after the other until the source ends. The library's decoder for several
/// streams does not report how much it has written.
struct Bzip2Streams<R>(Option<ReadToDamage<BzDecoder<R>>>);

impl<R: BufRead> Read for Bzip2Streams<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(stream) = self.0.as_mut() {
            let read = stream.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(ended) = self.0.take() else { break };
            let mut source = ended.decoder.into_inner();
            if !source.fill_buf()?.is_empty() {
                self.0 = Some(bzip2(source));
            }
        }
        Ok(0)
    }
}
