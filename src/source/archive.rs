//! Opens compressed files. Their compression is detected by their first bytes, never by their
//! names.
//!
//! Other archives are recognized, so that they can be refused: lines in a tar archive can be read, and
//! the log that they were packed from would be stored a second time.

use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;
use thiserror::Error;

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
    pub const MAGIC_LENGTH: usize = 10;

    /// Detects the compression by the magic number (RFC 1952, RFC 8878, the xz and bzip2 formats).
    /// Where clients may choose the first bytes of a log, as with X-Forwarded-For, a magic number of
    /// printable characters is not enough: bytes after it are looked at, too.
    pub fn of(first_bytes: &[u8]) -> Self {
        match first_bytes {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame of less than 16 MiB: pzstd writes one at the beginning.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, _, _, _, 0, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // The first block, or the end of a stream without any.
            [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y', ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => {
                Self::Bzip2
            }
            _ => Self::None,
        }
    }
}

/// A kind of archive that is refused. Some kinds hold several files; the others have no decoder here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this is {}, which log-ingestd does not read; unpack it first", self.name())]
pub enum Container {
    /// Files with a header of 512 bytes each, compressed or not.
    Tar,
    /// The format of zip and of Java's archives.
    Zip,
    /// The format of 7-Zip.
    SevenZip,
    /// A frame of LZ4, or its older format.
    Lz4,
    /// The format that xz(1) calls lzma.
    Lzma,
}

impl Container {
    /// The number of first bytes that [`Container::of`] needs.
    pub const MAGIC_LENGTH: usize = TAR_HEADER;

    /// Returns the kind of archive that begins with these bytes, decompressed if they are compressed.
    /// All of these bytes are compared that no log can begin with: a client that may choose how a log
    /// begins must not be able to have it refused. Servers write no NUL of a header, and bytes above
    /// 0x7f in UTF-8 only.
    pub fn of(first_bytes: &[u8]) -> Option<Self> {
        let is_binary = {
            let start = &first_bytes[..first_bytes.len().min(32)];
            start.contains(&0)
                || std::str::from_utf8(start).is_err_and(|it| it.error_len().is_some())
        };
        match first_bytes {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] | [b'P', b'K', 7, 8, ..]
                if is_binary =>
            {
                Some(Self::Zip)
            }
            [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Some(Self::SevenZip),
            [0x04, 0x22, 0x4d, 0x18, ..] | [0x02, 0x21, 0x4c, 0x18, ..] if is_binary => {
                Some(Self::Lz4)
            }
            _ if is_lzma(first_bytes) => Some(Self::Lzma),
            _ if is_tar(first_bytes) => Some(Self::Tar),
            _ => None,
        }
    }

    /// Returns the kind of archive for which a file was refused; `None` for any other error.
    pub fn of_error(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }

    /// Returns one stable word for the kind, for reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::Zip => "zip",
            Self::SevenZip => "7z",
            Self::Lz4 => "lz4",
            Self::Lzma => "lzma",
        }
    }

    /// Returns the kind with its article, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tar => "a tar archive",
            Self::Zip => "a zip archive",
            Self::SevenZip => "a 7z archive",
            Self::Lz4 => "compressed with lz4",
            Self::Lzma => "compressed with lzma",
        }
    }
}

impl From<Container> for io::Error {
    fn from(container: Container) -> Self {
        Self::new(io::ErrorKind::Unsupported, container)
    }
}

/// The length of a header in a tar archive, in bytes.
const TAR_HEADER: usize = 512;

/// Returns whether a tar archive begins with these bytes: a header whose checksum is right, of POSIX,
/// of GNU, or of the time before both, when nothing stood in the place of magic number and owners.
fn is_tar(first_bytes: &[u8]) -> bool {
    let Some(header) = first_bytes.get(..TAR_HEADER) else { return false };
    let (checksum, magic, owner_names) = (148..156, &header[257..265], &header[257..329]);
    let is_format = magic.starts_with(b"ustar\0")
        || magic == b"ustar  \0"
        || owner_names.iter().all(|&byte| byte == 0);
    let digits = header[checksum.clone()].iter().filter(|byte| !matches!(byte, b' ' | 0));
    let stored = digits.copied().try_fold(0u32, |sum, digit| match digit {
        b'0'..=b'7' => Some(sum * 8 + u32::from(digit - b'0')),
        _ => None,
    });
    let bytes = header.iter().enumerate();
    let bytes = bytes.map(|(at, &byte)| if checksum.contains(&at) { b' ' } else { byte });
    is_format && stored.filter(|&sum| sum > 0) == Some(bytes.map(u32::from).sum())
}

/// Returns whether the header of an `.lzma` file stands here. It has no magic number: as xz(1) does,
/// the size of the dictionary has to be one that encoders use, and the size of the content credible.
fn is_lzma(first_bytes: &[u8]) -> bool {
    /// Larger contents are not credible (256 GiB).
    const LARGEST: u64 = 1 << 38;
    let [properties, d0, d1, d2, d3, size @ .., code] = first_bytes.get(..14).unwrap_or_default()
    else {
        return false;
    };
    let dictionary = u32::from_le_bytes([*d0, *d1, *d2, *d3]);
    let size = <[u8; 8]>::try_from(size).map_or(0, u64::from_le_bytes);
    let one_or_two_bits = match dictionary.checked_ilog2() {
        Some(top @ 12..) => [0, 1 << (top - 1)].contains(&(dictionary & !(1 << top))),
        _ => false,
    };
    *properties < 225
        && (one_or_two_bits || dictionary == u32::MAX)
        && (size == u64::MAX || (1..LARGEST).contains(&size))
        && *code == 0
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
        Compression::Gzip => Box::new(GzipMembers(Some(SmallReads::new(source)))),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(source)?),
        Compression::Xz => Box::new(xz(source)),
        Compression::Bzip2 => Box::new(Bzip2Streams(Some(bzip2(source)))),
    })
}

/// Reads one member of a gzip file in small steps. The decoder fails for a whole read and does not
/// report what it has written. So at most [`SmallReads::LENGTH`] bytes before a damaged place are
/// missing.
struct SmallReads<R> {
    decoder: GzDecoder<R>,
    /// What the next read returns: the decoder reports a wrong checksum once.
    failed: Option<io::Error>,
}

impl<R: BufRead> SmallReads<R> {
    /// The length of a step in bytes; decoding so many costs far more than a call.
    const LENGTH: usize = 512;

    fn new(source: R) -> Self {
        Self { decoder: GzDecoder::new(source), failed: None }
    }
}

impl<R: BufRead> Read for SmallReads<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut written = 0;
        while written < buffer.len() {
            let end = buffer.len().min(written + Self::LENGTH);
            match self.decoder.read(&mut buffer[written..end]) {
                Ok(0) => break,
                Ok(read) => written += read,
                Err(error) if written > 0 => {
                    self.failed = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }
}

/// Reads one member of a gzip file after the other until the source ends. Zeros after a member are
/// padding: they fill the last block of a tape or of a device.
struct GzipMembers<R>(Option<SmallReads<R>>);

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = self.0.as_mut() {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match after_padding(member.decoder.get_mut())? {
                None => self.0 = None,
                Some(0x1f) => {
                    let Some(ended) = self.0.take() else { break };
                    self.0 = Some(SmallReads::new(ended.decoder.into_inner()));
                }
                Some(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "what follows the gzip data is neither gzip data nor zeros",
                    ));
                }
            }
        }
        Ok(0)
    }
}

/// Skips zeros, and returns the next byte without taking it; `None` at the end.
fn after_padding(source: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let bytes = source.fill_buf()?;
        let Some(last) = bytes.len().checked_sub(1) else { return Ok(None) };
        let found = bytes.iter().position(|&byte| byte != 0);
        let byte = found.map(|at| bytes[at]);
        source.consume(found.unwrap_or(last + 1));
        if byte.is_some() {
            return Ok(byte);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a member, of the time before POSIX.
    fn tar_header(name: &str, magic: &[u8]) -> Vec<u8> {
        let mut header = vec![0; TAR_HEADER];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[148..156].fill(b' ');
        header[257..257 + magic.len()].copy_from_slice(magic);
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header
    }

    #[test]
    fn archives_are_told_by_their_first_bytes() {
        for magic in [&b""[..], b"ustar\x0000", b"ustar  \0"] {
            let header = tar_header("access.log", magic);
            assert_eq!(Container::of(&header), Some(Container::Tar), "{magic:?}");
            assert_eq!(Container::of(&header[..511]), None);
            let other = [&header[..20], b"x", &header[21..]].concat();
            assert_eq!(Container::of(&other), None, "the checksum is that of another header");
        }
        for (bytes, container) in [
            (&b"PK\x03\x04\x14\0\0\0\x08\0"[..], Container::Zip),
            (b"PK\x05\x06\0\0\0\0", Container::Zip),
            (b"7z\xbc\xaf\x27\x1c\0\x04", Container::SevenZip),
            (b"\x04\x22\x4d\x18\x64\x40\xa7\x10\0\0\0", Container::Lz4),
            (b"\x02\x21\x4c\x18\x10\0\0\0", Container::Lz4),
            (b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0\x18", Container::Lzma),
            (b"\x5d\0\0\xc0\0\x10\x01\0\0\0\0\0\0\0\x18", Container::Lzma),
        ] {
            assert_eq!(Container::of(bytes), Some(container), "{bytes:?}");
        }
    }

    /// The first value of a log may be a header that a client sends.
    #[test]
    fn a_client_cannot_make_a_log_look_like_an_archive() {
        let rest = " - - [23/Nov/2026:08:41:00 +0000] \"GET / HTTP/1.1\" 200 2";
        let mut ustar = format!("1{rest} ").into_bytes();
        ustar.resize(257, b'x');
        ustar.extend_from_slice(b"ustar  x");
        ustar.resize(1024, b'x');
        let beginnings =
            ["PK\x03\x04", "PK\x05\x06", "\x04\x22M\x18", "\x02\x21L\x18", "P*M\x18", "BZh9", "]"];
        let lines = beginnings.iter().map(|begin| format!("{begin}{rest}").into_bytes());
        for line in lines.chain([ustar]) {
            assert_eq!(Container::of(&line), None, "{line:?}");
            assert_eq!(Compression::of(&line), Compression::None, "{line:?}");
        }
    }

    #[test]
    fn a_zero_sum_is_not_that_of_a_header() {
        assert_eq!(Container::of(&[0; 1024]), None);
    }
}
