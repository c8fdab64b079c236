//! What other programs put before a line: syslog, journald, Docker Compose, kubectl, Heroku, Python's
//! `logging`, and colours of a terminal.
//!
//! A prefix is taken off exactly, and kept with the row, so that the line can be written again byte for
//! byte: prefix, line, suffix. Where a prefix and its line are not simply one after the other (JSON,
//! colours), the whole line is kept.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::times;
use crate::model::Micros;

/// What stands before each line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// Escape sequences for colours, anywhere in the line.
    Colours,
    /// Docker Compose: `web-1  | `.
    Compose,
    /// kubectl with `--prefix`: `[pod/web-5c/app] `; stern: `web-5c6d7f-abcde app `.
    Kubectl,
    /// `heroku logs`: `2026-11-23T08:41:00.000000+00:00 app[web.1]: `.
    Heroku,
    /// syslog of RFC 3164 and 5424, journald's short formats, and Gunicorn's own `--log-syslog`.
    Syslog,
    /// Python's `logging`, supervisor and the like: time, level, logger and process in any order.
    Log,
    /// A time alone: `docker logs --timestamps`.
    Time,
    /// A JSON object that has the line as its message: python-json-logger, structlog, journald.
    Json,
}

/// A line without its prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stripped<'a> {
    pub(super) rest: Cow<'a, str>,
    /// What stood before the rest.
    pub(super) prefix: &'a str,
    /// What stood after it.
    pub(super) suffix: Option<&'static str>,
    pub(super) time: Option<Micros>,
    pub(super) pid: Option<i32>,
    pub(super) container: Option<Cow<'a, str>>,
}

/// The levels of Python's `logging` and of other programs.
const LEVELS: [&str; 9] =
    ["DEBUG", "INFO", "NOTICE", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL", "TRACE"];

/// Words that stand in a logger's name, and in no request.
const LOGGERS: [&str; 8] = [
    "gunicorn",
    "uvicorn",
    "hypercorn",
    "granian",
    "werkzeug",
    "access",
    "django.server",
    "waitress",
];

/// The keys under which JSON loggers write the text of a line.
const MESSAGES: [&str; 4] = ["message", "msg", "event", "MESSAGE"];

impl Prefix {
    /// All prefixes, in the order in which detection tries them.
    pub(super) const ALL: [Self; 8] = [
        Self::Colours,
        Self::Json,
        Self::Compose,
        Self::Kubectl,
        Self::Heroku,
        Self::Syslog,
        Self::Log,
        Self::Time,
    ];

    /// Returns the first word of a format whose lines have this prefix.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Colours => "after-colours",
            Self::Compose => "after-compose",
            Self::Kubectl => "after-kubectl",
            Self::Heroku => "after-heroku",
            Self::Syslog => "after-syslog",
            Self::Log => "after-log",
            Self::Time => "after-time",
            Self::Json => "after-json",
        }
    }

    /// Splits a format whose first word names a prefix.
    pub(super) fn of_format(format: &str) -> Option<(Self, &str)> {
        let (first, rest) = format.split_once(' ')?;
        Some((Self::ALL.into_iter().find(|prefix| prefix.name() == first)?, rest))
    }

    /// Returns whether each prefix has a time with its date.
    pub(super) fn has_time(self) -> bool {
        matches!(self, Self::Heroku | Self::Time)
    }

    /// Returns the reject reason for a line without this prefix.
    pub(super) fn missing(self) -> &'static str {
        match self {
            Self::Colours => "is not like its format",
            Self::Compose => "has no prefix of Docker Compose like `web-1  | `",
            Self::Kubectl => "has no prefix of kubectl like `[pod/web-5c/app] `",
            Self::Heroku => "has no prefix of Heroku like `2026-11-23T08:41:00+00:00 app[web.1]: `",
            Self::Syslog => "has no prefix of syslog like `Nov 23 08:41:00 web gunicorn[123]: `",
            Self::Log => "has no prefix of a logger like `2026-11-23 08:41:00,123 INFO `",
            Self::Time => "does not begin with a time like `2026-11-23T08:41:00Z `",
            Self::Json => "is not a JSON object with a message",
        }
    }

    /// Takes the prefix off a line.
    pub(super) fn strip(self, line: &str) -> Option<Stripped<'_>> {
        match self {
            Self::Colours => Some(colours(line)),
            Self::Compose => compose(line),
            Self::Kubectl => kubectl(line),
            Self::Heroku => heroku(line),
            Self::Syslog => syslog(line),
            Self::Log => log(line),
            Self::Time => time(line),
            Self::Json => json(line),
        }
    }
}

/// Returns a line without its first `length` bytes.
fn after(line: &str, length: usize) -> Stripped<'_> {
    let (prefix, rest) = line.split_at(length);
    Stripped { rest: Cow::Borrowed(rest), prefix, ..Stripped::default() }
}

/// Removes `ESC [ … m`.
fn colours(line: &str) -> Stripped<'_> {
    let mut plain = String::new();
    let mut rest = line;
    while let Some(at) = rest.find("\u{1b}[") {
        let parameters = &rest[at + 2..];
        let length = parameters.bytes().take_while(|it| it.is_ascii_digit() || *it == b';').count();
        let Some(end) = parameters[length..].strip_prefix('m') else { break };
        plain.push_str(&rest[..at]);
        rest = end;
    }
    match rest.len() == line.len() {
        true => after(line, 0),
        false => Stripped { rest: Cow::Owned(plain + rest), ..Stripped::default() },
    }
}

fn compose(line: &str) -> Option<Stripped<'_>> {
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let end = line.find(|c| !named(c))?;
    let (name, rest) = line.split_at(end);
    let spaces = rest.bytes().take_while(|byte| *byte == b' ').count();
    let rest = rest[spaces..].strip_prefix("| ")?;
    let number = name.rsplit(['-', '_']).next().filter(|last| last.len() < name.len());
    let numbered =
        number.is_some_and(|it| !it.is_empty() && it.bytes().all(|b| b.is_ascii_digit()));
    if !name.starts_with(|c: char| c.is_ascii_alphabetic())
        || !(numbered || spaces > 1)
        || spaces == 0
    {
        return None;
    }
    let container = Some(Cow::Borrowed(name));
    Some(Stripped { container, ..after(line, line.len() - rest.len()) })
}

fn kubectl(line: &str) -> Option<Stripped<'_>> {
    if let Some(within) = line.strip_prefix("[pod/") {
        let end = within.find("] ")?;
        let (pod, container) = within[..end].split_once('/')?;
        let is_name = |name: &str| !name.is_empty() && !name.contains(' ');
        let found = Stripped { container: Some(Cow::Borrowed(container)), ..after(line, end + 7) };
        return (is_name(pod) && is_name(container)).then_some(found);
    }
    let mut words = line.splitn(3, ' ');
    let (pod, container, rest) = (words.next()?, words.next()?, words.next()?);
    let mut parts = pod.rsplit('-');
    let hashed = |part: Option<&str>, lengths: std::ops::RangeInclusive<usize>| {
        part.is_some_and(|it| lengths.contains(&it.len()) && it.bytes().all(is_lower))
    };
    let is_pod =
        hashed(parts.next(), 5..=5) && hashed(parts.next(), 8..=10) && parts.next().is_some();
    let is_container =
        !container.is_empty() && container.bytes().all(|it| is_lower(it) || it == b'-');
    let found = Stripped {
        container: Some(Cow::Borrowed(container)),
        ..after(line, line.len() - rest.len())
    };
    (is_pod && is_container && container.starts_with(|c: char| c.is_ascii_lowercase()))
        .then_some(found)
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn heroku(line: &str) -> Option<Stripped<'_>> {
    let (moment, rest) = iso(line)?;
    let rest = rest.strip_prefix(' ')?;
    let (source, rest) = rest.split_once("]: ")?;
    let (source, process) = source.split_once('[')?;
    let is_word = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|it| it.is_ascii_alphanumeric() || b".-_".contains(&it))
    };
    if !is_word(source) || !is_word(process) || process.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let container = Some(Cow::Borrowed(process));
    Some(Stripped { time: Some(moment), container, ..after(line, line.len() - rest.len()) })
}

fn syslog(line: &str) -> Option<Stripped<'_>> {
    let (within, suffix) = without_nul(line);
    let (has_priority, rest) = match priority(within) {
        Some(rest) => (true, rest),
        None => (false, within),
    };
    let found = match rest.strip_prefix("1 ").filter(|_| has_priority) {
        Some(rest) => rfc5424(within, rest),
        None => rfc3164(within, rest, has_priority),
    };
    found.map(|found| Stripped { suffix, ..found })
}

/// Gunicorn ends a message to syslog with NUL. rsyslog writes it as `#000`.
fn without_nul(line: &str) -> (&str, Option<&'static str>) {
    if let Some(within) = line.strip_suffix('\0') {
        return (within, Some("NUL"));
    }
    match line.strip_suffix("#000") {
        Some(within) => (within, Some("#000")),
        None => (line, None),
    }
}

/// Returns what follows `<14>`.
fn priority(line: &str) -> Option<&str> {
    let (number, rest) = line.strip_prefix('<')?.split_once('>')?;
    let is_number = (1..=3).contains(&number.len()) && number.bytes().all(|it| it.is_ascii_digit());
    is_number.then_some(rest)
}

/// Reads `TIME HOST APP PROCID MSGID DATA MESSAGE`.
fn rfc5424<'a>(line: &'a str, rest: &'a str) -> Option<Stripped<'a>> {
    let mut words = rest.splitn(6, ' ');
    let time = words.next()?;
    let (_host, _app, pid, _id, rest) =
        (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    let time =
        if time == "-" { None } else { Some(iso(time).filter(|(_, rest)| rest.is_empty())?.0) };
    let rest = match rest.strip_prefix("- ") {
        Some(rest) => rest,
        None => rest.starts_with('[').then(|| rest.split_once("] ")).flatten()?.1,
    };
    let rest = rest.strip_prefix('\u{feff}').unwrap_or(rest);
    let rest = gunicorn_pid(rest).map_or(rest, |(_, rest)| rest);
    Some(Stripped { time, pid: pid.parse().ok(), ..after(line, line.len() - rest.len()) })
}

/// Reads `TIME HOST TAG[PID]: MESSAGE`; with a priority, time and host may be missing.
fn rfc3164<'a>(line: &'a str, rest: &'a str, has_priority: bool) -> Option<Stripped<'a>> {
    let (moment, rest) = match times::syslog_length(rest.as_bytes()) {
        Some(length) => (None, host(&rest[length..])?),
        None => match iso(rest) {
            Some((moment, rest)) => (Some(moment), host(rest)?),
            None if has_priority => (None, rest),
            None => return None,
        },
    };
    let (tag, rest) = rest.split_once(": ")?;
    let (name, pid) = match tag.strip_suffix(']').and_then(|tag| tag.split_once('[')) {
        Some((name, pid)) => (name, Some(pid.parse().ok()?)),
        None => (tag, None),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/@".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_name) {
        return None;
    }
    let (pid, rest) = match gunicorn_pid(rest).filter(|_| pid.is_none()) {
        Some((pid, rest)) => (Some(pid), rest),
        None => (pid, rest),
    };
    Some(Stripped { time: moment, pid, ..after(line, line.len() - rest.len()) })
}

/// Returns what follows ` web1 `.
fn host(rest: &str) -> Option<&str> {
    let (host, rest) = rest.strip_prefix(' ')?.split_once(' ')?;
    (!host.is_empty() && !host.ends_with(':')).then_some(rest)
}

/// Reads `[7921] `, which Gunicorn puts before a message to syslog.
fn gunicorn_pid(rest: &str) -> Option<(i32, &str)> {
    let (pid, rest) = rest.strip_prefix('[')?.split_once("] ")?;
    Some((pid.parse().ok()?, rest))
}

fn iso(text: &str) -> Option<(Micros, &str)> {
    let (moment, rest) = times::iso(text.as_bytes())?;
    Some((moment, &text[text.len() - rest.len()..]))
}

fn time(line: &str) -> Option<Stripped<'_>> {
    let (moment, rest) = iso(line)?;
    let rest = rest.strip_prefix(' ')?;
    Some(Stripped { time: Some(moment), ..after(line, line.len() - rest.len()) })
}

/// Reads times, levels, names of loggers and numbers of processes, in any order, for as long as there
/// are any. A level or a logger must be among them.
fn log(line: &str) -> Option<Stripped<'_>> {
    let (mut rest, mut named) = (line, false);
    let (mut moment, mut pid, mut numbers) = (None, None, 0);
    loop {
        let (bracketed, inner) = match rest.strip_prefix(['[', '(']) {
            Some(inner) => (true, inner),
            None => (false, rest),
        };
        let close = |after: &'_ str| -> Option<usize> {
            let padding = after.bytes().take_while(|byte| *byte == b' ').count();
            match (bracketed, after[padding..].starts_with([']', ')'])) {
                (true, true) => Some(rest.len() - after.len() + padding + 1),
                (true, false) => None,
                (false, _) => Some(rest.len() - after.len()),
            }
        };
        let word = &inner[..inner.find(ends_word).unwrap_or(inner.len())];
        let after_word = &inner[word.len()..];
        let token = if let (None, Some((time, after))) = (moment, iso(inner)) {
            moment = Some(time);
            close(after)
        } else if is_level(word) || is_logger(word) {
            named = true;
            close(after_word)
        } else if matches!(word, "MainThread" | "MainProcess")
            || word.starts_with("ThreadPoolExecutor-")
        {
            close(after_word)
        } else if (bracketed || named && moment.is_some())
            && numbers < 2
            && let Ok(number) = word.parse::<i64>()
        {
            numbers += 1;
            pid = pid.or(i32::try_from(number).ok());
            close(after_word)
        } else {
            None
        };
        let Some(length) = token else { break };
        let Some(next) = separator(&rest[length..]) else { break };
        rest = next;
    }
    (named && !rest.is_empty()).then(|| Stripped {
        time: moment,
        pid,
        ..after(line, line.len() - rest.len())
    })
}

fn ends_word(c: char) -> bool {
    !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn is_level(word: &str) -> bool {
    LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word))
}

fn is_logger(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && LOGGERS.iter().any(|known| word.split('.').any(|part| part == *known) || word == *known)
}

/// Returns what follows ` `, `: `, ` - `, ` | ` or `:`.
fn separator(rest: &str) -> Option<&str> {
    let trimmed = rest.trim_start_matches(' ');
    let marked = ["::", ":", "|", "-", ","].into_iter().find_map(|mark| trimmed.strip_prefix(mark));
    match marked {
        // A `-` without a space after it belongs to the line.
        Some(after) if after.starts_with(' ') || trimmed.starts_with(':') => {
            Some(after.trim_start_matches(' '))
        }
        _ if trimmed.len() < rest.len() => Some(trimmed),
        _ => None,
    }
}

fn json(line: &str) -> Option<Stripped<'_>> {
    if !line.trim_start().starts_with('{') {
        return None;
    }
    let object: Map<String, Value> = serde_json::from_str(line).ok()?;
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    let message = MESSAGES.iter().find_map(|key| text(key))?.to_owned();
    let realtime = text("__REALTIME_TIMESTAMP").and_then(|micros| micros.parse().ok());
    let moment = ["asctime", "timestamp", "time", "@timestamp"]
        .iter()
        .find_map(|key| iso(text(key)?).map(|(moment, _)| moment));
    let pid = ["process", "pid"].iter().find_map(|key| object.get(*key)?.as_i64());
    let pid = pid.or_else(|| text("_PID")?.parse().ok());
    Some(Stripped {
        rest: Cow::Owned(message),
        time: realtime.or(moment),
        pid: pid.and_then(|pid| i32::try_from(pid).ok()),
        container: text("CONTAINER_NAME").map(|name| Cow::Owned(name.to_owned())),
        ..Stripped::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "127.0.0.1 - - [25/Nov/2026:22:54:28 +0000] \"GET / HTTP/1.1\" 200 2";

    #[test]
    fn each_prefix_is_taken_off_exactly() {
        for (prefix, text) in [
            (Prefix::Compose, "web_1  | "),
            (Prefix::Compose, "web-1  | "),
            (Prefix::Compose, "nginx-proxy-12 | "),
            (Prefix::Kubectl, "[pod/web-5c/app] "),
            (Prefix::Kubectl, "web-5c6d7f8b9-abcde app "),
            (Prefix::Heroku, "2026-11-25T22:54:28.123456+00:00 app[web.1]: "),
            (Prefix::Syslog, "Nov 25 22:54:28 web1 gunicorn[123]: "),
            (Prefix::Syslog, "2026-11-25T22:54:28.123456+00:00 web1 gunicorn[123]: "),
            (Prefix::Syslog, "2026-11-25T22:54:28+0000 web1 gunicorn: "),
            (Prefix::Syslog, "<14>1 2026-11-25T22:54:28.003Z web1 gunicorn 123 - - "),
            (Prefix::Syslog, "<14>1 2026-11-25T22:54:28.003Z web1 app 123 ID [a b=\"c\"] "),
            (Prefix::Syslog, "<14>gunicorn.aapp.wapp.access: [7921] "),
            (Prefix::Log, "2026-11-25 22:54:28,123 INFO "),
            (Prefix::Log, "2026-11-25 22:54:28,123 - gunicorn.access - INFO - "),
            (Prefix::Log, "[2026-11-25 22:54:28 +0000] [123] [INFO] "),
            (Prefix::Log, "INFO:gunicorn.access:"),
            (Prefix::Log, "INFO:     "),
            (Prefix::Log, "INFO 2026-11-25 22:54:28,123 gunicorn.access 123 140234 "),
            (Prefix::Log, "[INFO    ] gunicorn.access: "),
            (Prefix::Time, "2026-11-25T22:54:28.123456789Z "),
        ] {
            let whole = format!("{text}{LINE}");
            let found = prefix.strip(&whole).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((found.prefix, &*found.rest), (text, LINE));
            assert_eq!(found.suffix, None);
        }
        let whole = format!("<14>gunicorn.access: [7921] {LINE}\0");
        let found = Prefix::Syslog.strip(&whole).unwrap();
        assert_eq!((&*found.rest, found.suffix, found.pid), (LINE, Some("NUL"), Some(7921)));
    }

    #[test]
    fn a_line_without_a_prefix_has_none() {
        for prefix in Prefix::ALL {
            if prefix != Prefix::Colours {
                assert_eq!(prefix.strip(LINE), None, "{prefix:?}");
            }
        }
        for line in ["127.0.0.1 | - | x", "alice | 127.0.0.1 | x"] {
            assert_eq!(Prefix::Compose.strip(line), None, "{line}");
        }
        assert_eq!(Prefix::Log.strip("[2026-11-25 23:39:21 +0000] 127.0.0.1 - \"GET"), None);
    }

    #[test]
    fn colours_and_json_are_undone() {
        let coloured = "\u{1b}[32mINFO\u{1b}[0m:     \u{1b}[1;31mx\u{1b}[m";
        assert_eq!(Prefix::Colours.strip(coloured).unwrap().rest, "INFO:     x");
        let json = r#"{"message": "a \"b\"", "asctime": "2026-11-25 22:54:28,123", "process": 7}"#;
        let found = Prefix::Json.strip(json).unwrap();
        assert_eq!((&*found.rest, found.pid), ("a \"b\"", Some(7)));
        assert_eq!(found.time, Some(1_795_647_268_123_000));
    }
}
