//! What a container runtime writes around each line of a program's output: the byte-level rules.
//!
//! The CRI's logging format is a time, the stream, tags and the text, with a space between each:
//! `2016-10-06T00:17:09.669794202Z stdout F text`. Of the tags, which `:` separates, the first is
//! `F`, or `P` for a piece whose line goes on
//! (<https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md>).
//! Docker's json-file driver writes an object a line, `log`, `stream`, perhaps `attrs`, and `time`;
//! a `log` that does not end in a newline is a piece.
//!
//! An object of Docker's has no other keys, and an object that this program reads as JSON must
//! have a `timestamp`: so no line is both, although both begin with `{"log":"`.
//!
//! [`Block`] puts the pieces of a line together.

mod block;
mod time;

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::model::Micros;

pub use block::{Block, Bounds, Joined};

/// When lines in pieces are given up (4 MiB and 256 KiB): the longest line, and several times what
/// runtimes write of one stream before they look at the other.
pub const BOUNDS: Bounds = Bounds { most: super::MAX_LINE, gap: 256 << 10 };

/// What is around the lines of a container's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// The CRI's logging format: containerd, CRI-O, Podman.
    Cri,
    /// Docker's json-file driver.
    Docker,
}

/// Where a program wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One physical line, out of its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// When the runtime read it.
    pub time: Micros,
    /// Where the program wrote it.
    pub stream: OutputStream,
    /// What the program wrote, without a newline.
    pub payload: Cow<'a, [u8]>,
    /// Whether its line ends here.
    pub ends: bool,
}

/// The keys of Docker's objects. One that is not among them, or is there twice, is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Docker<'a> {
    /// Left out by the driver when it is empty.
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(default, rename = "attrs")]
    _attrs: IgnoredAny,
}

impl Envelope {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Cri, Self::Docker];

    /// Its name, as it is written down with a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cri => "cri",
            Self::Docker => "docker",
        }
    }

    /// The envelope of a line, given without its end.
    pub fn of(line: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|envelope| envelope.open(line).is_some())
    }

    /// The envelope of a file, by its first lines: that of the very first, or, since that one may
    /// be broken, the one that half of them have.
    pub fn of_file(lines: &[&[u8]]) -> Option<Self> {
        let mut lines = lines.iter().filter(|line| !line.trim_ascii().is_empty()).peekable();
        let first = lines.peek().and_then(|line| Self::of(line));
        first.or_else(|| {
            let found: Vec<Option<Self>> = lines.map(|line| Self::of(line)).collect();
            let half = |envelope: &Self| {
                2 * found.iter().filter(|one| **one == Some(*envelope)).count() >= found.len()
            };
            Self::ALL.into_iter().find(half).filter(|_| !found.is_empty())
        })
    }

    /// Opens a line, given without its `\n`; `None` if it has no such envelope.
    pub fn open(self, line: &[u8]) -> Option<Piece<'_>> {
        match self {
            Self::Cri => open_cri(line),
            Self::Docker => open_docker(line),
        }
    }

    /// The reason for the reject of a line that has no such envelope.
    pub fn missing(self) -> &'static str {
        match self {
            Self::Cri => {
                "has no envelope of a container's log: right is a time, stdout or stderr, P or F \
                 and the text, as in `2016-10-06T00:17:09.669794202Z stdout F text`"
            }
            Self::Docker => {
                "has no envelope of a container's log: right is an object of log, stream and time, \
                 as in `{\"log\":\"text\\n\",\"stream\":\"stdout\",\
                 \"time\":\"2016-10-06T00:17:09.669794202Z\"}`"
            }
        }
    }

    /// What the program wrote, of the bytes of a line's pieces as [`Joined::raw`] gives them;
    /// `None` if one of them has no envelope, or if they are not one line.
    pub fn unpack(self, raw: &[u8]) -> Option<Joined<'static>> {
        let mut raw = raw.to_vec();
        raw.push(b'\n');
        let bounds = Bounds { most: usize::MAX, gap: usize::MAX };
        let block = Block::first(self, &raw, bounds)?;
        let [line] = <[Joined<'_>; 1]>::try_from(block.lines).ok()?;
        (block.length == raw.len() && line.stream.is_some()).then(|| line.into_owned())
    }
}

fn open_cri(line: &[u8]) -> Option<Piece<'_>> {
    let (time, line) = word(line)?;
    let (stream, line) = word(line)?;
    let (tags, payload) = word(line)?;
    let ends = match tags.split(|&byte| byte == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    let payload = Cow::Borrowed(payload);
    Some(Piece { time: time::micros(time)?, stream: stream_of(stream)?, payload, ends })
}

fn open_docker(line: &[u8]) -> Option<Piece<'_>> {
    if line.first() != Some(&b'{') {
        return None;
    }
    let Docker { log, stream, time, .. } = serde_json::from_slice(line).ok()?;
    let (time, stream) = (time::micros(time.as_bytes())?, stream_of(stream.as_bytes())?);
    let ends = log.ends_with('\n');
    let payload = match log {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()), // an escape makes it owned
        Cow::Owned(text) => {
            let mut bytes = text.into_bytes();
            bytes.truncate(bytes.len() - usize::from(ends));
            Cow::Owned(bytes)
        }
    };
    Some(Piece { time, stream, payload, ends })
}

/// Up to the first space, and what is behind it.
fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|&byte| byte == b' ')?;
    Some((&line[..end], &line[end + 1..]))
}

fn stream_of(name: &[u8]) -> Option<OutputStream> {
    match name {
        b"stdout" => Some(OutputStream::Stdout),
        b"stderr" => Some(OutputStream::Stderr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Micros = 1_475_713_029_669_794;

    fn piece(stream: OutputStream, payload: &str, ends: bool) -> Option<Piece<'_>> {
        Some(Piece { time: TIME, stream, payload: Cow::Borrowed(payload.as_bytes()), ends })
    }

    #[test]
    fn a_line_of_the_cri_is_opened() {
        let open = |line: &'static str| Envelope::Cri.open(line.as_bytes());
        let of = |rest: &str| format!("2016-10-06T00:17:09.669794202Z {rest}").leak() as &_;
        assert_eq!(open(of("stdout F a  b")), piece(OutputStream::Stdout, "a  b", true));
        assert_eq!(open(of("stderr P  a")), piece(OutputStream::Stderr, " a", false));
        assert_eq!(open(of("stdout P:x:y a")), piece(OutputStream::Stdout, "a", false));
        assert_eq!(open(of("stdout F ")), piece(OutputStream::Stdout, "", true));
        for wrong in ["stdout F", "stdout X a", "stdin F a", "stdout", "", "stdout  F a", "F a"] {
            assert_eq!(open(of(wrong)), None, "{wrong}");
        }
        assert_eq!(open("2016-10-06 00:17:09Z stdout F a"), None);
    }

    #[test]
    fn a_line_of_docker_is_opened() {
        let open = |line: &'static str| Envelope::Docker.open(line.as_bytes());
        let of = |log: &str| {
            let time = "2016-10-06T00:17:09.669794202Z";
            format!(r#"{{{log}"stream":"stderr","attrs":{{"a":"b"}},"time":"{time}"}}"#).leak()
                as &str
        };
        assert_eq!(
            open(of(r#""log":"a\u003c\"\\é\n","#)),
            piece(OutputStream::Stderr, "a<\"\\é", true)
        );
        assert_eq!(open(of(r#""log":"a","#)), piece(OutputStream::Stderr, "a", false));
        assert_eq!(open(of(r#""log":"\n","#)), piece(OutputStream::Stderr, "", true));
        assert_eq!(open(of("")), piece(OutputStream::Stderr, "", false));
        for wrong in [r#""log":"a\n","log":"a\n","#, r#""log":"a\n","x":1,"#, r#""log":1,"#] {
            assert_eq!(open(of(wrong)), None, "{wrong}");
        }
        assert_eq!(open(r#"{"log":"a\n","stream":"stdout"}"#), None);
        assert_eq!(open("[]"), None);
    }

    #[test]
    fn no_line_is_dockers_and_ours() {
        let time = "2016-10-06T00:17:09.669794202Z";
        let piece = format!(r#"{{"log":"request","stream":"stdout","time":"{time}"}}"#);
        assert_eq!(Envelope::of(piece.as_bytes()), Some(Envelope::Docker));
        for ours in [
            format!(r#"{{"log":"request","timestamp":"{time}"}}"#),
            format!(
                r#"{{"log":"request","stream":"stdout","time":"{time}","timestamp":"{time}"}}"#
            ),
            format!(r#"{{"log":"gunicorn","stream":"stdout","timestamp":"{time}"}}"#),
        ] {
            assert_eq!(Envelope::of(ours.as_bytes()), None, "{ours}");
        }
    }

    #[test]
    fn a_file_is_known_by_its_first_line_or_by_half_of_its_lines() {
        let cri: &[u8] = b"2016-10-06T00:17:09.669794202Z stdout F a";
        let docker: &[u8] = br#"{"log":"a","stream":"stdout","time":"2016-10-06T00:17:09Z"}"#;
        assert_eq!(Envelope::of_file(&[b"", cri, b"x", b"y", b"z"]), Some(Envelope::Cri));
        assert_eq!(Envelope::of_file(&[b"x", docker, docker]), Some(Envelope::Docker));
        assert_eq!(Envelope::of_file(&[b"x", b"y", cri]), None);
        assert_eq!(Envelope::of_file(&[b"x"]), None);
        assert_eq!(Envelope::of_file(&[]), None);
    }
}
