//! Compressed files, told by their first bytes and never by their names.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::BzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;

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

/// A reader of the decompressed bytes of `source`.
///
/// # Errors
/// A decoder that cannot be set up.
pub fn open_archive(
    compression: Compression,
    source: impl Read + Send + 'static,
) -> io::Result<Box<dyn Read + Send>> {
    let source = BufReader::with_capacity(128 << 10, source);
    Ok(match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(Sips(MultiGzDecoder::new(source))),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(source)?),
        Compression::Xz => Box::new(Salvage::of(XzDecoder::new_multi_decoder(source))),
        Compression::Bzip2 => Box::new(Bzip2Streams(Some(Salvage::of(BzDecoder::new(source))))),
    })
}

/// This decoder fails for a whole read, too, and does not tell what it has written. It is asked for
/// little at a time, so that at most [`Sips::SIP`] bytes before a broken place are missing.
struct Sips<D>(D);

impl<D> Sips<D> {
    /// Bytes; a call costs little against decoding so many.
    const SIP: usize = 512;
}

impl<D: Read> Read for Sips<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < buffer.len() {
            let end = buffer.len().min(written + Self::SIP);
            match self.0.read(&mut buffer[written..end]) {
                Ok(0) => break,
                Ok(read) => written += read,
                // Said again by the next read: a decoder that has failed stays so.
                Err(_) if written > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }
}

/// A decoder that counts what it has written.
trait Decoder: Read {
    fn total_out(&self) -> u64;
}

impl<R: BufRead> Decoder for XzDecoder<R> {
    fn total_out(&self) -> u64 {
        XzDecoder::total_out(self)
    }
}

impl<R: BufRead> Decoder for BzDecoder<R> {
    fn total_out(&self) -> u64 {
        BzDecoder::total_out(self)
    }
}

/// These decoders fail for a whole read, although they have written what comes before the broken
/// place. Here a read ends at that place, and the next one fails.
struct Salvage<D> {
    decoder: D,
    failed: Option<io::Error>,
}

impl<D> Salvage<D> {
    fn of(decoder: D) -> Self {
        Self { decoder, failed: None }
    }
}

impl<D: Decoder> Read for Salvage<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let before = self.decoder.total_out();
        self.decoder.read(buffer).or_else(|error| {
            match usize::try_from(self.decoder.total_out() - before) {
                Ok(written @ 1..) => {
                    self.failed = Some(error);
                    Ok(written)
                }
                _ => Err(error),
            }
        })
    }
}

/// One stream behind another, until the source ends. The decoder that does this by itself does
/// not tell how much it wrote.
struct Bzip2Streams<R>(Option<Salvage<BzDecoder<R>>>);

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
                self.0 = Some(Salvage::of(BzDecoder::new(source)));
            }
        }
        Ok(0)
    }
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
