//! Formats by name, and which of them a file is in.
//!
//! Detection tries each preset on each of the file's first lines. A line counts for a preset if it
//! matches with all quotes escaped and with a plausible address; otherwise formats full of free text
//! would match almost anything. The preset with the most lines wins. On a tie the plainer wins, which
//! comes first in the list.

use super::json;
use super::matching::{PhysicalLines, Quoting, match_fields};
use super::template::{Atom, FormatError, Template};
use super::values::FieldMatch;

/// The name of the JSON format, on the command line and in the store.
pub(super) const JSON: &str = "json";

/// How a file's lines are read.
#[derive(Clone, Debug)]
pub enum Layout {
    /// Lines of Gunicorn, by an `access_log_format`.
    Template(Template),
    /// One JSON object a line, for either table.
    Json,
}

impl From<Template> for Layout {
    fn from(template: Template) -> Layout {
        Layout::Template(template)
    }
}

impl Layout {
    /// Compiles a format as [`Layout::format`] returns it.
    ///
    /// # Errors
    /// Those of [`Template::compile`].
    pub fn compile(format: &str) -> Result<Layout, FormatError> {
        if format == JSON {
            return Ok(Layout::Json);
        }
        Template::compile(format).map(Layout::Template)
    }

    /// Compiles a format string, or the format of the preset with this name. A text with a `%` is a
    /// format string.
    ///
    /// # Errors
    /// Those of [`Template::compile`], and a name that no preset has.
    pub fn named_or_format(text: &str) -> Result<Layout, FormatError> {
        if text.contains('%') {
            return Layout::compile(text);
        }
        match find(text) {
            Some(preset) => Layout::compile(preset.format),
            None => Err(FormatError::UnknownPreset {
                name: text.to_owned(),
                nearest: nearest(text),
                presets: names(),
            }),
        }
    }

    /// Returns what is stored with a file: the format string, or `json`.
    pub fn format(&self) -> &str {
        match self {
            Layout::Template(template) => template.format(),
            Layout::Json => JSON,
        }
    }

    /// Returns whether the lines carry a time. Rows of other lines get an estimated time.
    pub fn has_time(&self) -> bool {
        match self {
            Layout::Template(template) => template.has_time(),
            Layout::Json => true,
        }
    }

    /// Returns the warnings of [`Template::warnings`]; JSON has none.
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Layout::Template(template) => template.warnings(),
            Layout::Json => Vec::new(),
        }
    }
}

/// A format that many servers write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// The name, for `--format`.
    pub name: &'static str,
    /// The `access_log_format`, or `json`.
    pub format: &'static str,
    /// A description in one sentence.
    pub about: &'static str,
}

macro_rules! default_and {
    ($suffix:literal) => {
        concat!(r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#, $suffix)
    };
}

/// All presets. Of two formats that match the same lines, the plainer comes first.
static PRESETS: [Preset; 14] = [
    Preset { name: "gunicorn", format: default_and!(""), about: "Gunicorn's default format" },
    Preset {
        name: "combined",
        format: default_and!(""),
        about: "the combined format of nginx and Apache, the same as Gunicorn's default",
    },
    Preset {
        name: "common",
        format: r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s"#,
        about: "the common log format: no referer and no agent",
    },
    Preset {
        name: "forwarded-for-first",
        format: r#"%({x-forwarded-for}i)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#,
        about: "Gunicorn's default format with X-Forwarded-For in place of the address",
    },
    Preset {
        name: "forwarded-for-last",
        format: default_and!(r#" "%({x-forwarded-for}i)s""#),
        about: "Gunicorn's default format and X-Forwarded-For in quotes",
    },
    Preset {
        name: "gunicorn-microseconds",
        format: default_and!(" %(D)s"),
        about: "Gunicorn's default format and a whole number, taken as microseconds, %(D)s; if it \
                is milliseconds or seconds, give the format with %(M)s or %(T)s",
    },
    Preset {
        name: "gunicorn-microseconds-unit",
        format: default_and!(" %(D)sµs"),
        about: "Gunicorn's default format and microseconds with their unit, like 205µs",
    },
    Preset {
        name: "gunicorn-milliseconds",
        format: default_and!(" %(M)sms"),
        about: "Gunicorn's default format and milliseconds with their unit, like 12ms",
    },
    Preset {
        name: "gunicorn-decimal-seconds",
        format: default_and!(" %(L)s"),
        about: "Gunicorn's default format and decimal seconds, like 0.000205",
    },
    Preset {
        name: "gunicorn-seconds",
        format: default_and!(" %(T)s"),
        about: "Gunicorn's default format and whole seconds",
    },
    Preset {
        name: "django-audit-logger",
        format: r#"%(h)s - "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(M)sms"#,
        about: "the file of django-audit-logger: no time, a status like 200 OK, milliseconds",
    },
    Preset {
        name: "uvicorn",
        format: r#"%(h)s - "%(r)s" %(s)s"#,
        about: "Gunicorn with Uvicorn workers: no time",
    },
    Preset {
        name: "uvicorn-console",
        format: r#"INFO:     %(h)s - "%(r)s" %(s)s"#,
        about: "Uvicorn's own output: no time, a status like 200 OK",
    },
    Preset {
        name: "json",
        format: JSON,
        about: "an object a line, {\"log\":\"request\",…} or {\"log\":\"gunicorn\",…}",
    },
];

/// Returns all presets.
pub fn presets() -> &'static [Preset] {
    &PRESETS
}

/// Returns the preset with this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

pub(super) fn names() -> String {
    PRESETS.map(|preset| preset.name).join(", ")
}

/// Returns the name with the fewest changed letters, and the first of several such names.
pub(super) fn nearest(word: &str) -> &'static str {
    // No name is longer: a whole format in place of a name must not cost its length squared.
    let word: String = word.chars().take(64).collect::<String>().to_ascii_lowercase();
    let closest = PRESETS.iter().min_by_key(|preset| strsim::levenshtein(&word, preset.name));
    closest.map_or("gunicorn", |preset| preset.name)
}

/// The number of lines that detection reads.
const LINES_READ: usize = 64;

/// What a file seems to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detection {
    /// An access log in this format.
    Access(&'static Preset),
    /// The error log of Gunicorn.
    ErrorLog,
    /// Something else.
    Unknown,
    /// Too little to decide: no line that is not blank.
    NotYet,
}

/// Detects the format from the first complete lines, given without line ends. Only the first 64
/// lines that are not blank are read.
pub fn detect(first_lines: &[&[u8]]) -> Detection {
    let lines: Vec<&[u8]> = first_lines
        .iter()
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.trim_ascii().is_empty())
        .take(LINES_READ)
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

/// Looks for access lines in the output of a program: on standard output, and among all other
/// output on standard error. If the format carries a time, one line is enough. Otherwise half of
/// the lines on standard output must match, not counting Gunicorn's error log.
pub fn find_access(stdout: &[&[u8]], stderr: &[&[u8]]) -> Option<&'static Preset> {
    let lines: Vec<&[u8]> = stdout.iter().chain(stderr).copied().collect();
    let (score, preset, has_time) = best(&lines)?;
    let others = |line: &&&[u8]| !line.trim_ascii().is_empty() && !is_error_log(line);
    let counted = stdout.iter().filter(others).count();
    (has_time || 2 * score.lines() >= counted).then_some(preset)
}

/// Returns the preset that matches most lines, and whether they carry a time.
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
            break; // no other preset can match more lines
        }
    }
    best.1.map(|(preset, has_time)| (best.0, preset, has_time))
}

/// The number of lines that match with their quotes escaped, then of those that match otherwise.
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
    let mut values = vec![FieldMatch::default(); template.fields.len()];
    for line in lines {
        let Ok(quoting) = match_fields(template, line, PhysicalLines::One, &mut values) else {
            continue;
        };
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

/// Counts the lines that begin like JSON lines, however they continue.
fn json_score(lines: &[&[u8]]) -> Score {
    Score { escaped: lines.iter().filter(|line| json::is_json_line(line)).count(), verbatim: 0 }
}

/// Returns whether a line is one of Gunicorn's error log: `[2026-11-23 14:23:17 +0530] [24744]
/// [INFO] …`, its `error_fmt`.
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

    #[test]
    fn every_preset_compiles_and_is_found_by_its_name() {
        for preset in presets() {
            let layout = Layout::named_or_format(preset.name).unwrap();
            assert_eq!(layout.format(), preset.format);
            assert_eq!(find(preset.name), Some(preset));
        }
    }

    #[test]
    fn a_mistyped_name_suggests_its_preset() {
        assert_eq!(nearest("uvicorn_console"), "uvicorn-console");
        assert_eq!(nearest("Combined"), "combined");
        assert_eq!(nearest(""), "json");
    }

    fn detected(lines: &[&str]) -> String {
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        match detect(&lines) {
            Detection::Access(preset) => preset.name.to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn each_format_is_detected_by_its_own_lines() {
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
    fn access_lines_among_error_lines_are_detected() {
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
    fn blank_lines_are_not_enough_to_decide() {
        assert_eq!(detect(&[]), Detection::NotYet);
        assert_eq!(detected(&["", " ", "\r"]), "NotYet");
    }
}
