//! Names of streams, and of the files that hold what came from them.
//!
//! `stdin.20261124T203015123456.log`: whose bytes these are, and when the file was begun, to the
//! microsecond. No name is given twice, so that the name alone says which file it is: two streams may
//! well begin with the same line.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// How the files of a spool end.
pub(super) const SUFFIX: &str = ".log";

/// Standard input's name.
const STANDARD_INPUT: &str = "stdin";

/// The longest name of a stream, in bytes; the file system takes 255, with the time and the suffix.
const LONGEST: usize = 160;

/// A stream, by its name in the spool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamName(String);

impl StreamName {
    /// Standard input.
    pub fn standard_input() -> Self {
        Self(STANDARD_INPUT.to_owned())
    }

    /// The FIFO at this path: `/run/app/access.fifo` is `run-app-access.fifo`. Other characters than
    /// letters, digits, `_` and `.` are written as `%2D`; a long path is cut and told by a hash.
    pub fn fifo(path: &Path) -> Self {
        let path = path.as_os_str().as_bytes();
        let mut name = String::new();
        for (at, &byte) in path.strip_prefix(b"/").unwrap_or(path).iter().enumerate() {
            match byte {
                b'/' => name.push('-'),
                b'.' if at == 0 => name.push_str("%2E"),
                b'.' | b'_' => name.push(char::from(byte)),
                _ if byte.is_ascii_alphanumeric() => name.push(char::from(byte)),
                _ => {
                    let _ = write!(name, "%{byte:02X}"); // a String takes everything
                }
            }
        }
        if name == STANDARD_INPUT {
            name.insert(0, '-'); // no path gives this
        }
        if name.len() > LONGEST {
            let sum = Sha256::digest(path);
            let end = name.split_off(name.len() - LONGEST + 20);
            name = sum[..8].iter().fold(String::new(), |mut hash, byte| {
                let _ = write!(hash, "{byte:02x}");
                hash
            });
            name = format!("{name}-{end}");
        }
        Self(name)
    }

    /// The stream whose bytes the file of this name holds.
    pub fn of(path: &Path) -> Option<Self> {
        let stem = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
        let (stream, _begun) = stem.rsplit_once('.')?;
        (!stream.is_empty()).then(|| Self(stream.to_owned()))
    }

    /// The name of a file that was begun at this time.
    pub(super) fn file_name(&self, begun: chrono::DateTime<chrono::Utc>) -> String {
        format!("{}.{}{SUFFIX}", self.0, begun.format("%Y%m%dT%H%M%S%6f"))
    }

    /// Whether it is standard input: what it left behind is never gone on with.
    pub fn is_standard_input(&self) -> bool {
        self.0 == STANDARD_INPUT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifo_is_named_by_its_path_and_no_two_paths_have_one_name() {
        let name = |path: &str| StreamName::fifo(Path::new(path)).0;
        assert_eq!(name("/run/app/access.fifo"), "run-app-access.fifo");
        assert_eq!(name("/run/app-access.fifo"), "run-app%2Daccess.fifo");
        assert_eq!(name("/.ü"), "%2E%C3%BC");
        assert_eq!(name("/stdin"), "-stdin");
        let long = |end: &str| name(&format!("/{}/{end}", "d".repeat(3000)));
        assert!(long("a").len() <= LONGEST && long("a").ends_with("d-a"), "{}", long("a"));
        assert_ne!(
            name(&format!("/{}", "d".repeat(3000))),
            name(&format!("/{}", "d".repeat(3001)))
        );
    }

    #[test]
    fn a_files_name_tells_its_stream() {
        let begun = chrono::DateTime::from_timestamp_micros(1_795_552_215_123_456).unwrap();
        for stream in [StreamName::standard_input(), StreamName::fifo(Path::new("/run/a.b/c.fifo"))]
        {
            let name = stream.file_name(begun);
            assert!(name.ends_with(".20261124T203015123456.log"), "{name}");
            assert_eq!(StreamName::of(Path::new(&format!("/spool/{name}"))), Some(stream));
        }
        for other in ["/spool/notes.txt", "/spool/.x.log", "/spool/x.log"] {
            assert_eq!(StreamName::of(Path::new(other)), None, "{other}");
        }
    }
}
