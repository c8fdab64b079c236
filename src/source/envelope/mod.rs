//! Opens the envelope that a container runtime writes around each line of a program's output.
//!
//! The CRI's logging format is a time, the stream, tags and the text, with a space between each:
//! `2016-10-06T00:17:09.669794202Z stdout F text`. Tags are separated by `:`. The first tag is
//! `F`, or `P` for a piece whose line continues
//! (<https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md>).
//! Docker's json-file driver writes one object a line with `log`, `stream`, optionally `attrs`,
//! and `time`. A `log` that does not end in a newline is a piece.
//!
//! Docker's objects have no other keys, and an object that this program reads as JSON must have a
//! `timestamp`. So no line is both, although both may begin with `{"log":"`.
//!
//! This module knows single physical lines; [`Block`] joins the pieces of a line.

mod block;

use std::borrow::Cow;

use chrono::NaiveDate;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::model::Micros;
use crate::source::without_byte_order_mark;

pub use block::{Block, Bounds, Joined};

/// The limits for lines in pieces: the longest line (4 MiB), and several times what runtimes write
/// of one stream before they read the other (256 KiB).
pub const BOUNDS: Bounds = Bounds { most: super::MAX_LINE, gap: 256 << 10 };

/// The format around the lines of a container's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// The CRI's logging format: containerd, CRI-O, Podman.
    Cri,
    /// Docker's json-file driver.
    Docker,
}

/// The stream that a program wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One physical line, without its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// When the runtime read it.
    pub time: Micros,
    /// The stream that the program wrote to.
    pub stream: OutputStream,
    /// What the program wrote, without a newline.
    pub payload: Cow<'a, [u8]>,
    /// Whether the program's line ends with this piece.
    pub ends: bool,
}

/// The keys of Docker's objects. An object with another key, or with a key twice, is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Docker<'a> {
    /// The driver leaves out an empty text.
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
    /// All envelopes.
    pub const ALL: [Self; 2] = [Self::Cri, Self::Docker];

    /// Returns the name that is stored with a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cri => "cri",
            Self::Docker => "docker",
        }
    }

    /// Returns the envelope of a line, given without its end.
    pub fn of(line: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|envelope| envelope.open(line).is_some())
    }

    /// Returns the envelope of a file: that of its first line. The first line may be broken; then
    /// it is the one that half of the first lines have.
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

    /// Opens a line, given without its `\n`. Returns `None` if the line has no such envelope. No
    /// runtime writes a byte order mark: one was added to the file later, and means nothing.
    pub fn open(self, line: &[u8]) -> Option<Piece<'_>> {
        let line = without_byte_order_mark(line);
        match self {
            Self::Cri => open_cri(line),
            Self::Docker => open_docker(line),
        }
    }

    /// Returns the reject reason for a line without this envelope.
    pub fn missing(self) -> &'static str {
        match self {
            Self::Cri => {
                "has no envelope of a container's log: expected a time, stdout or stderr, P or F \
                 and the text, as in `2016-10-06T00:17:09.669794202Z stdout F text`"
            }
            Self::Docker => {
                "has no envelope of a container's log: expected an object of log, stream and time, \
                 as in `{\"log\":\"text\\n\",\"stream\":\"stdout\",\
                 \"time\":\"2016-10-06T00:17:09.669794202Z\"}`"
            }
        }
    }

    /// Returns what the program wrote. `raw` must be the bytes of a line's pieces, as
    /// [`Joined::raw`] returns them. Returns `None` if a piece has no envelope, or if the pieces
    /// are not one line.
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
    let (time, line) = split_word(line)?;
    let (stream, line) = split_word(line)?;
    let (tags, payload) = split_word(line)?;
    let ends = match tags.split(|&byte| byte == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    let payload = Cow::Borrowed(payload);
    Some(Piece { time: parse_time(time)?, stream: stream_of(stream)?, payload, ends })
}

fn open_docker(line: &[u8]) -> Option<Piece<'_>> {
    if line.first() != Some(&b'{') {
        return None;
    }
    let Docker { log, stream, time, .. } = serde_json::from_slice(line).ok()?;
    let (time, stream) = (parse_time(time.as_bytes())?, stream_of(stream.as_bytes())?);
    let ends = log.ends_with('\n');
    let payload = match log {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()), // a newline is an escape, so owned
        Cow::Owned(text) => {
            let mut bytes = text.into_bytes();
            bytes.truncate(bytes.len() - usize::from(ends));
            Cow::Owned(bytes)
        }
    };
    Some(Piece { time, stream, payload, ends })
}

/// Splits a line at the first space.
fn split_word(line: &[u8]) -> Option<(&[u8], &[u8])> {
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

/// The shape of a time up to the seconds.
const SHAPE: &[u8; 19] = b"0000-00-00T00:00:00";

/// Parses a whole text as an RFC 3339 time of the years 1970 to 9999, to the microsecond. Further
/// digits are dropped. A leap second is refused, because neither database could give it back.
fn parse_time(text: &[u8]) -> Option<Micros> {
    let (clock, rest) = text.split_at_checked(SHAPE.len())?;
    let shaped = clock.iter().zip(SHAPE).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    });
    if !shaped {
        return None;
    }
    let number = |from: usize, to: usize| {
        clock[from..to].iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
    };
    let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let year = i32::try_from(number(0, 4)).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(5, 7), number(8, 10))?;
    let days = i64::from(date.to_epoch_days());
    let seconds = days * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    let (fraction, zone) = parse_fraction(rest)?;
    let seconds = seconds - zone_offset(zone)?;
    (0..253_402_300_800).contains(&seconds).then(|| seconds * 1_000_000 + fraction)
}

/// Parses microseconds, and returns the text after the digits.
fn parse_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let digit = |at: usize| text[..length].get(at).map_or(0, |digit| i64::from(digit - b'0'));
    let micros = (0..6).fold(0, |number, at| number * 10 + digit(at));
    Some((micros, &text[length..]))
}

/// Parses a zone to the seconds that it is ahead of UTC.
fn zone_offset(zone: &[u8]) -> Option<i64> {
    if zone == b"Z" {
        return Some(0);
    }
    let &[sign @ (b'+' | b'-'), a, b, b':', c, d] = zone else { return None };
    if ![a, b, c, d].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let two = |tens: u8, ones: u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
    let (hours, minutes) = (two(a, b), two(c, d));
    let ahead = hours * 3600 + minutes * 60;
    (hours < 24 && minutes < 60).then_some(if sign == b'-' { -ahead } else { ahead })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    const TIME: Micros = 1_475_713_029_669_794;

    fn piece(stream: OutputStream, payload: &str, ends: bool) -> Option<Piece<'_>> {
        Some(Piece { time: TIME, stream, payload: Cow::Borrowed(payload.as_bytes()), ends })
    }

    #[test]
    fn cri_lines_are_opened() {
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
    fn docker_lines_are_opened() {
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
    fn no_line_is_in_both_formats() {
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
    fn the_envelope_of_a_file_is_that_of_its_first_line_or_half_of_its_lines() {
        let cri: &[u8] = b"2016-10-06T00:17:09.669794202Z stdout F a";
        let docker: &[u8] = br#"{"log":"a","stream":"stdout","time":"2016-10-06T00:17:09Z"}"#;
        assert_eq!(Envelope::of_file(&[b"", cri, b"x", b"y", b"z"]), Some(Envelope::Cri));
        assert_eq!(Envelope::of_file(&[b"x", docker, docker]), Some(Envelope::Docker));
        assert_eq!(Envelope::of_file(&[b"x", b"y", cri]), None);
        assert_eq!(Envelope::of_file(&[b"x"]), None);
        assert_eq!(Envelope::of_file(&[]), None);
    }

    #[test]
    fn times_agree_with_chrono() {
        for text in [
            "2016-10-06T00:17:09.669794202Z",
            "2026-11-24T10:11:12Z",
            "2026-11-24T10:11:12.5+02:00",
            "2026-02-28T23:59:59.999999999-09:30",
            "1970-01-01T00:00:00.000001Z",
            "9999-12-31T23:59:59.999999Z",
            "2024-02-29T00:00:00.1234567+00:00",
        ] {
            let right = DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros();
            assert_eq!(parse_time(text.as_bytes()), Some(right), "{text}");
        }
    }

    #[test]
    fn invalid_times_are_refused() {
        for wrong in [
            "",
            "2026-11-24",
            "2026-11-24T10:11:12",
            "2026-11-24T10:11:12.Z",
            "2026-11-24 10:11:12Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-24T24:00:00Z",
            "2026-11-24T10:60:12Z",
            "2016-12-31T23:59:60Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "2026-11-24T10:11:12z",
            "2026-11-24T10:11:12+2:00",
            "2026-11-24T10:11:12+24:00",
            "2026-11-24T10:11:12Zx",
        ] {
            assert_eq!(parse_time(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
