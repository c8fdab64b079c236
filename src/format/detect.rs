//! Which format a file is in, from its first lines.
//!
//! Each preset is tried on each line. A line counts for a preset if it is read with all quotes
//! escaped and an address that could be one: formats full of free text read almost anything
//! otherwise. The preset with the most lines wins; on a tie the plainer, which comes first.

use super::atom::Atom;
use super::json;
use super::layout::Layout;
use super::preset::{Preset, presets};
use super::read::{Quoting, Value, read};
use super::template::Template;

/// Lines looked at.
const ENOUGH: usize = 64;

/// What a file seems to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detection {
    /// An access log in this format.
    Access(&'static Preset),
    /// Gunicorn's error log.
    ErrorLog,
    /// Something else.
    Unknown,
    /// Too little to tell: no line with anything in it.
    NotYet,
}

/// Tells the format from the first complete lines, given without line ends. Only the first 64
/// that are not blank are looked at.
pub fn detect(first_lines: &[&[u8]]) -> Detection {
    let lines: Vec<&[u8]> = first_lines
        .iter()
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.trim_ascii().is_empty())
        .take(ENOUGH)
        .collect();
    if lines.is_empty() {
        return Detection::NotYet;
    }
    let errors = lines.iter().filter(|line| is_error_log(line)).count();
    match best(&lines) {
        Some((score, preset, has_time))
            if 2 * score.lines() >= lines.len() - errors || has_time && score.lines() >= errors =>
        {
            Detection::Access(preset)
        }
        _ if errors > 0 => Detection::ErrorLog,
        _ => Detection::Unknown,
    }
}

/// Looks for access lines among what a program wrote on its standard output and, with all that is
/// said there besides, on its standard error. One that says its time is enough; of others, half of
/// the lines on standard output must be some, but for Gunicorn's error log.
pub fn find_access(stdout: &[&[u8]], stderr: &[&[u8]]) -> Option<&'static Preset> {
    let lines: Vec<&[u8]> = stdout.iter().chain(stderr).copied().collect();
    let (score, preset, has_time) = best(&lines)?;
    let others = |line: &&&[u8]| !line.trim_ascii().is_empty() && !is_error_log(line);
    let counted = stdout.iter().filter(others).count();
    (has_time || 2 * score.lines() >= counted).then_some(preset)
}

/// The preset that reads most lines, and whether they say their time.
fn best(lines: &[&[u8]]) -> Option<(Score, &'static Preset, bool)> {
    let mut best = (Score::default(), None);
    for preset in presets() {
        let Ok(layout) = Layout::compile(preset.format) else { continue };
        let score = match &layout {
            Layout::Template(template) => score(template, lines),
            Layout::Json => json_score(lines),
        };
        if score > best.0 {
            best = (score, Some((preset, layout.has_time())));
        }
        if score.escaped == lines.len() {
            break; // no other can have more
        }
    }
    best.1.map(|(preset, has_time)| (best.0, preset, has_time))
}

/// Lines read with their quotes escaped, then lines read otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Score {
    escaped: usize,
    verbatim: usize,
}

impl Score {
    fn lines(self) -> usize {
        self.escaped + self.verbatim
    }
}

fn score(template: &Template, lines: &[&[u8]]) -> Score {
    let mut score = Score::default();
    let mut values = vec![Value::default(); template.fields.len()];
    for line in lines {
        let Ok(quoting) = read(template, line, false, &mut values) else { continue };
        let plausible = template.fields.iter().zip(&values).all(|(field, value)| {
            let mut text = line[value.start..value.end].iter();
            field.atom != Atom::RemoteAddress || !text.any(|byte| matches!(byte, b' ' | b','))
        });
        match quoting {
            _ if !plausible => {}
            Quoting::Escaped => score.escaped += 1,
            Quoting::Verbatim => score.verbatim += 1,
        }
    }
    score
}

/// A line says of itself that it is JSON, however the rest of it reads.
fn json_score(lines: &[&[u8]]) -> Score {
    Score { escaped: lines.iter().filter(|line| json::is_one(line)).count(), verbatim: 0 }
}

/// `[2026-11-23 14:23:17 +0530] [24744] [INFO] …`, Gunicorn's `error_fmt`.
fn is_error_log(line: &[u8]) -> bool {
    const SHAPE: &[u8] = b"[0000-00-00 00:00:00 +0000] [";
    let shaped = line.len() > SHAPE.len()
        && line.iter().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            b'+' => matches!(byte, b'+' | b'-'),
            _ => byte == shape,
        });
    let Some(rest) = line.get(SHAPE.len()..).filter(|_| shaped) else { return false };
    let pid = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let Some(rest) = rest[pid..].strip_prefix(b"] [") else { return false };
    let levels = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];
    pid > 0 && levels.iter().any(|level| rest.starts_with(level.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(lines: &[&str]) -> String {
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        match detect(&lines) {
            Detection::Access(preset) => preset.name.to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn each_format_is_known_by_its_own_lines() {
        let default =
            r#"127.0.0.1 - - [23/Nov/2026:14:23:17 +0530] "GET / HTTP/1.1" 200 2 "-" "curl""#;
        let and = |suffix: &str| detected(&[&format!("{default}{suffix}")]);
        assert_eq!(and(""), "gunicorn");
        assert_eq!(and("\r"), "gunicorn");
        assert_eq!(and(" 205"), "gunicorn-microseconds");
        assert_eq!(and(" 205µs"), "gunicorn-microseconds-unit");
        assert_eq!(and(" 12ms"), "gunicorn-milliseconds");
        assert_eq!(and(" 0.000205"), "gunicorn-decimal-seconds");
        assert_eq!(and(r#" "203.0.113.9, 10.1.2.3""#), "forwarded-for-last");
        let forwarded = default.replacen("127.0.0.1", "203.0.113.9, 10.1.2.3", 1);
        assert_eq!(detected(&[default, &forwarded]), "forwarded-for-first");
        let common = r#"127.0.0.1 - - [23/Nov/2026:14:23:17 +0530] "GET / HTTP/1.1" 200 2"#;
        assert_eq!(detected(&[common]), "common");
        let seed = r#"127.0.0.1 - "GET / HTTP/1.1" 200 OK 2 "-" "a "quoted" word" 3ms"#;
        assert_eq!(detected(&["", seed]), "django-audit-logger");
        assert_eq!(detected(&[r#"127.0.0.1:5 - "GET / HTTP/1.1" 200"#]), "uvicorn");
        let console = r#"INFO:     127.0.0.1:5 - "GET / HTTP/1.1" 200 OK"#;
        assert_eq!(detected(&[console]), "uvicorn-console");
        let request = r#"{"log":"request","timestamp":"2026-11-24T15:02:03.1+00:00"}"#;
        let gunicorn = r#"{ "log" : "gunicorn", "cut"#;
        assert_eq!(detected(&[request, gunicorn, "{\"log\":1}"]), "json");
        assert_eq!(detected(&[r#"{"log":"other"}"#, r#"{"a":1}"#]), "Unknown");
        assert_eq!(detected(&[request, default, default]), "gunicorn");
    }

    #[test]
    fn the_error_log_is_told_from_access_lines_among_it() {
        let start = "[2026-11-23 14:23:17 +0530] [24744] [INFO] Starting gunicorn 23.0.0";
        let trace = "Traceback (most recent call last):";
        let access =
            r#"127.0.0.1 - - [23/Nov/2026:14:23:17 +0530] "GET / HTTP/1.1" 200 2 "-" "curl""#;
        assert_eq!(detected(&[start, trace, "  File \"x.py\", line 3", start]), "ErrorLog");
        assert_eq!(detected(&[start, access, access]), "gunicorn");
        assert_eq!(detected(&[start, start, access]), "gunicorn");
        assert_eq!(detected(&["some other text", "and more"]), "Unknown");
        assert_eq!(detected(&[trace]), "Unknown");
    }

    #[test]
    fn nothing_is_too_little_to_tell() {
        assert_eq!(detect(&[]), Detection::NotYet);
        assert_eq!(detected(&["", " ", "\r"]), "NotYet");
    }
}
