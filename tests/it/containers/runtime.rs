//! What container runtimes write, by their published rules and not by what the program reads: the
//! CRI's logging format, and the objects of Docker's json-file driver as Go's JSON writes them.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    Cri,
    Docker,
}

pub(crate) const RUNTIMES: [Runtime; 2] = [Runtime::Cri, Runtime::Docker];

impl Runtime {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Runtime::Cri => "cri",
            Runtime::Docker => "docker",
        }
    }

    /// One piece: `ends` says whether the program's line ends with it.
    pub(crate) fn piece(
        self,
        at: DateTime<Utc>,
        stream: &str,
        payload: &[u8],
        ends: bool,
    ) -> Vec<u8> {
        let time = at.to_rfc3339_opts(SecondsFormat::Nanos, true);
        match self {
            Runtime::Cri => {
                let tag = if ends { "F" } else { "P" };
                [format!("{time} {stream} {tag} ").as_bytes(), payload, b"\n"].concat()
            }
            Runtime::Docker => {
                let text = String::from_utf8_lossy(payload);
                let log = quoted(&if ends { format!("{text}\n") } else { text.into_owned() });
                format!("{{\"log\":{log},\"stream\":\"{stream}\",\"time\":\"{time}\"}}\n").into()
            }
        }
    }

    /// A whole line.
    pub(crate) fn line(self, stream: &str, payload: &str) -> Vec<u8> {
        self.piece(moment(0), stream, payload.trim_end_matches('\n').as_bytes(), true)
    }

    /// Whole lines, each of which ends in a newline.
    pub(crate) fn lines(self, stream: &str, text: &str) -> Vec<u8> {
        text.lines().flat_map(|line| self.line(stream, line)).collect()
    }
}

/// 2026-11-24 10:11:12.000000789 UTC, and so many milliseconds.
pub(crate) fn moment(milliseconds: i64) -> DateTime<Utc> {
    let start = DateTime::from_timestamp(1_795_515_072, 789).unwrap();
    start + TimeDelta::milliseconds(milliseconds)
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.push_str(&format!("\\u{:04x}", letter as u32));
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}
