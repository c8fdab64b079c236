//! The inverse of reading a line: writes a row as the line that it was read from.
//!
//! The line is written as its server usually writes it, in the [`LineForm`] of its file. Where a line differs
//! from that, its row has a patch (`model::patch`), which the pipeline makes when it stores the row. So a
//! mistake in this module costs patches, and never a byte of an exported line. What it writes of a stored row and a
//! form must stay as it is, since patches were made of it: a better way of writing needs a letter of its own.
//!
//! A form is the way in which times are written, then, after a semicolon, letters for what a server does with
//! all of its lines: `: +0530`, `T.3Z;p`. An empty text stands for the plain form.

use std::borrow::Cow;
use std::fmt::Write as _;

use chrono::DateTime;
use serde_json::Value;

use super::layout::{Layout, Prefixed};
use super::matching::{PhysicalLines, Quoting, match_fields};
use super::template::{Atom, Field, Padding, Template, Writing};
use super::values::{FieldMatch, address, first_address};
use crate::model::{LineForm, Micros, StoredRow};

/// The letter of lines whose status has its phrase: `200 OK`.
const PHRASE: char = 'p';
/// The letter of lines whose process id has no angle brackets.
const BARE_PID: char = 'n';
/// The letter of lines in whose values quotes stand as they are.
const VERBATIM: char = 'v';

impl Layout {
    /// Returns the line of a row without its end, as far as the row shows it; `None` if the format is JSON. Of a
    /// record of several lines it returns all of them.
    pub(crate) fn line_of(&self, row: &StoredRow, form: &LineForm) -> Option<String> {
        match self {
            Layout::Template(template) => template.line_of(row, &Form::read(form)),
            Layout::Json | Layout::JsonKeys(_) => None,
            Layout::Prefixed(prefixed) => prefixed.line_of(row, form),
        }
    }

    /// Returns the form in which a line is written; `None` if the format does not read it, or knows no forms.
    pub(crate) fn form_of(&self, line: &str) -> Option<LineForm> {
        match self {
            Layout::Template(template) => template.form_of(line),
            Layout::Json | Layout::JsonKeys(_) => None,
            Layout::Prefixed(prefixed) => {
                prefixed.layout.form_of(&prefixed.prefix.strip(line)?.rest)
            }
        }
    }

    /// Returns what [`crate::model::Written::zone`] is of lines in this form; 0 if their times have none. No line
    /// has what is returned of a form with letters: lines with and without a phrase look the same to the parser.
    pub(crate) fn zone_of(&self, form: &LineForm) -> u64 {
        if form.as_str().contains(';') {
            return u64::MAX;
        }
        let Layout::Template(template) = self else { return 0 };
        if template.fields.iter().all(|field| field.atom != Atom::Time) {
            return 0;
        }
        let time = Form::read(form).time.unwrap_or(": +0000");
        let mut bytes = [0; 8];
        let zone = time.get(1..).unwrap_or_default().as_bytes();
        if zone.len() == 6 {
            bytes[1..7].copy_from_slice(zone);
            bytes[7] = b']';
        }
        u64::from_le_bytes(bytes)
    }
}

impl Prefixed {
    fn line_of(&self, row: &StoredRow, form: &LineForm) -> Option<String> {
        let around = |key: &str| text_in(row.request.as_ref(), &[key]);
        if let Some(line) = around("line") {
            return Some(line.to_owned());
        }
        // Each of several prefixes has put its text before that of the next one.
        let mut layout = &self.layout;
        while let Layout::Prefixed(inner) = layout {
            layout = &inner.layout;
        }
        let line = layout.line_of(row, form)?;
        let suffix = match around("suffix") {
            Some("NUL") => "\0",
            other => other.unwrap_or_default(),
        };
        Some(format!("{}{line}{suffix}", around("prefix").unwrap_or_default()))
    }
}

/// A form, read.
#[derive(Clone, Copy, Debug, Default)]
struct Form<'a> {
    time: Option<&'a str>,
    has_phrase: bool,
    has_bare_pid: bool,
    is_verbatim: bool,
}

impl<'a> Form<'a> {
    fn read(form: &'a LineForm) -> Form<'a> {
        let text = form.as_str();
        let (time, letters) = text.split_once(';').unwrap_or((text, ""));
        Form {
            time: (!text.is_empty()).then_some(time),
            has_phrase: letters.contains(PHRASE),
            has_bare_pid: letters.contains(BARE_PID),
            is_verbatim: letters.contains(VERBATIM),
        }
    }
}

impl Template {
    fn line_of(&self, row: &StoredRow, form: &Form<'_>) -> Option<String> {
        let mut line = String::from_utf8(self.prefix.clone()).ok()?;
        for field in &self.fields {
            let begin = line.len();
            match value(self, field, row, form) {
                Some(Written::Exact(text)) => line.push_str(&text),
                Some(Written::Escaped(text)) if form.is_verbatim => line.push_str(&text),
                Some(Written::Escaped(text)) => push_escaped(&mut line, &text, self.writing()),
                None => line.push('-'),
            }
            if let Some(padding) = field.padding {
                pad(&mut line, begin, padding);
            }
            line.push_str(std::str::from_utf8(&field.terminator).ok()?);
        }
        Some(line)
    }

    fn form_of(&self, line: &str) -> Option<LineForm> {
        let mut values = vec![FieldMatch::default(); self.fields.len()];
        let physical = match line.contains('\n') {
            true => PhysicalLines::Several,
            false => PhysicalLines::One,
        };
        let quoting = match_fields(self, line.as_bytes(), physical, &mut values).ok()?;
        let (mut form, mut letters) = (None, String::new());
        if quoting == Quoting::Verbatim {
            letters.push(VERBATIM);
        }
        for (field, value) in self.fields.iter().zip(&values) {
            let text = line.get(value.start..value.end)?;
            match field.atom {
                atom if atom.is_time() && form.is_none() => form = time_form(atom, text),
                Atom::Status if phrase(text).is_some() => letters.push(PHRASE),
                Atom::Pid if text.starts_with(|c: char| c.is_ascii_digit()) => {
                    letters.push(BARE_PID);
                }
                _ => {}
            }
        }
        let time = self.fields.iter().find(|field| field.atom.is_time());
        let plain = time.map(|field| plain_time(field.atom)).unwrap_or_default();
        let form = form.unwrap_or_else(|| plain.to_owned());
        match (form == plain, letters.as_str()) {
            (true, "") => Some(LineForm::default()),
            (_, "") => LineForm::of(&form),
            (_, letters) => LineForm::of(&format!("{form};{letters}")),
        }
    }
}

/// The text of a field.
enum Written<'r> {
    /// Its bytes.
    Exact(Cow<'r, str>),
    /// A text in which the server escapes.
    Escaped(Cow<'r, str>),
}

/// Returns the text of a field; `None` if the row does not have it.
fn value<'r>(
    template: &Template,
    field: &Field,
    row: &'r StoredRow,
    form: &Form<'_>,
) -> Option<Written<'r>> {
    let tail = |name: &str| text_in(row.request.as_ref(), &["tail", name]);
    let number = |number: Option<String>| Some(Written::Exact(Cow::Owned(number?)));
    let text = |text: Option<&'r str>| Some(Written::Escaped(Cow::Borrowed(text?)));
    let owned = |text: String| Some(Written::Escaped(Cow::Owned(text)));
    let duration = |unit: i64| number(row.duration.map(|micros| (micros / unit).to_string()));
    let url = row.url.as_deref();
    let query = url.and_then(|url| url.split_once('?'));
    match field.atom {
        Atom::Dash => None,
        Atom::RemoteAddress | Atom::AddressAndPort => match tail("remote_host") {
            Some(name) => text(Some(name)),
            // A server on a Unix socket knows no address of its client.
            None if is_of_proxy(template, row) => number(Some(String::new())),
            // Workers of Uvicorn write this port where a proxy told the address.
            None if field.atom == Atom::AddressAndPort => {
                number(row.user_ip.map(|ip| format!("{ip}:0")))
            }
            None => number(row.user_ip.map(|ip| ip.to_string())),
        },
        Atom::User => text(row.user_id.as_deref()),
        atom if atom.is_time() => {
            number(time(atom, row.timestamp, form.time.unwrap_or(plain_time(atom))))
        }
        Atom::RequestLine => match (row.method.as_deref(), url, row.protocol.as_deref()) {
            (None, None, None) => text(tail("request_line")),
            (method, url, protocol) => {
                let mut line = format!("{} {}", method.unwrap_or("-"), url.unwrap_or_default());
                if let Some(protocol) = protocol {
                    line.push(' ');
                    line.push_str(protocol);
                }
                owned(line)
            }
        },
        Atom::VersionedRequestLine => {
            match row.method.as_deref().zip(url).zip(row.protocol.as_deref()) {
                None => text(tail("request_line")),
                Some(((method, url), protocol)) => {
                    let version = protocol.strip_prefix("HTTP/").unwrap_or(protocol);
                    owned(format!("{method} {url} {version}"))
                }
            }
        }
        Atom::Method => text(row.method.as_deref().or_else(|| tail("method"))),
        Atom::Url => text(url),
        Atom::PathAndQuery => text(tail("path_and_query").or(url)),
        Atom::Path => text(query.map(|(path, _)| path).or(url)),
        Atom::Query if template.writing() == Writing::Apache => {
            owned(query.map_or_else(String::new, |(_, query)| format!("?{query}")))
        }
        // Gunicorn writes an empty query as an empty text.
        Atom::Query => text(query.map(|(_, query)| query).or(url.map(|_| ""))),
        Atom::Protocol => text(row.protocol.as_deref().or_else(|| tail("protocol"))),
        Atom::Status => match row.code {
            None => text(tail("status")),
            Some(code) if form.has_phrase => {
                let phrase = PHRASES.iter().find(|(known, _)| *known == code);
                number(Some(match phrase {
                    Some((_, phrase)) => format!("{code} {phrase}"),
                    None => code.to_string(),
                }))
            }
            Some(code) => number(Some(code.to_string())),
        },
        Atom::ResponseBytes => number(row.response_bytes.map(|bytes| bytes.to_string())),
        Atom::Referer => text(row.source.as_deref()),
        Atom::Agent => text(row.agent.as_deref()),
        Atom::Seconds => duration(1_000_000),
        Atom::Milliseconds => duration(1_000),
        Atom::Microseconds => duration(1),
        Atom::DecimalSeconds => match template.writing() {
            Writing::Nginx | Writing::NginxJson => number(decimal(row.duration, 1_000_000, 3)),
            _ => number(decimal(row.duration, 1_000_000, 6)),
        },
        Atom::DecimalMilliseconds => number(decimal(row.duration, 1_000, 3)),
        Atom::Pid => number(row.pid.map(|pid| match form.has_bare_pid {
            true => pid.to_string(),
            false => format!("<{pid}>"),
        })),
        Atom::Host => text(row.host.as_deref()),
        Atom::RequestHeader => text(text_in(row.headers.as_ref(), &[&field.name])),
        Atom::ResponseHeader => text(text_in(row.response.as_ref(), &["headers", &field.name])),
        Atom::Environ => text(text_in(row.request.as_ref(), &["environ", &field.name])),
        _ => text(tail(&field.name)),
    }
}

/// Returns whether the address of a row is that of a header, in a format of Gunicorn: then the server itself
/// had none.
fn is_of_proxy(template: &Template, row: &StoredRow) -> bool {
    let header = |name: &str| text_in(row.headers.as_ref(), &[name]);
    let of_header = || {
        let forwarded = header("x-forwarded-for").and_then(first_address);
        forwarded.or_else(|| header("x-real-ip").and_then(address))
    };
    template.writing() == Writing::Gunicorn && row.user_ip.is_some() && row.user_ip == of_header()
}

/// Returns how a time of this atom is written in the plain form.
fn plain_time(atom: Atom) -> &'static str {
    match atom {
        Atom::Time | Atom::ClfTime => ": +0000",
        Atom::IsoTime => "T+00:00",
        _ => "",
    }
}

/// Returns how a time is written: what stands between date and clock, the digits of the fraction, the zone.
fn time_form(atom: Atom, text: &str) -> Option<String> {
    let fraction = |rest: &str| -> Option<(String, usize)> {
        let Some(mark @ ('.' | ',')) = rest.chars().next() else {
            return Some((String::new(), 0));
        };
        let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
        (1..=9).contains(&digits).then(|| (format!("{mark}{digits}"), 1 + digits))
    };
    match atom {
        Atom::Time | Atom::ClfTime => {
            let text = text.trim_start_matches('[').trim_end_matches(']');
            let (between, zone) = (text.get(11..12)?, text.get(20..)?);
            Some(format!("{between}{zone}"))
        }
        Atom::IsoTime => {
            let (between, rest) = (text.get(10..11)?, text.get(19..)?);
            let (fraction, length) = fraction(rest)?;
            Some(format!("{between}{fraction}{}", &rest[length..]))
        }
        Atom::EpochTime => {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            Some(fraction(&text[digits..])?.0)
        }
        _ => Some(String::new()),
    }
}

/// Writes a time in a form of [`time_form`].
fn time(atom: Atom, at: Micros, form: &str) -> Option<String> {
    let between = form.get(..1).unwrap_or_default();
    let mut rest = form.get(1..).unwrap_or_default();
    if atom == Atom::EpochTime {
        rest = form;
    }
    let mut fraction = String::new();
    if let Some(mark @ ('.' | ',')) = rest.chars().next()
        && let Some(digits) = rest.get(1..2).and_then(|digit| digit.parse::<usize>().ok())
    {
        let micros = at.rem_euclid(1_000_000);
        fraction = format!("{mark}{:.digits$}", format!("{micros:06}000"));
        rest = rest.get(2..).unwrap_or_default();
    }
    if atom == Atom::EpochTime {
        return Some(format!("{}{fraction}", at.div_euclid(1_000_000)));
    }
    let local = at.checked_add(seconds_east(rest).checked_mul(1_000_000)?)?;
    let local = DateTime::from_timestamp_micros(local)?;
    let mut text = String::new();
    let written = match atom {
        Atom::Time => write!(
            text,
            "[{}{between}{}{rest}]",
            local.format("%d/%b/%Y"),
            local.format("%H:%M:%S")
        ),
        Atom::ClfTime => {
            write!(text, "{}{between}{}{rest}", local.format("%d/%b/%Y"), local.format("%H:%M:%S"))
        }
        Atom::IsoTime => write!(
            text,
            "{}{between}{}{fraction}{rest}",
            local.format("%Y-%m-%d"),
            local.format("%H:%M:%S")
        ),
        _ => write!(text, "{}", local.format("%a %b %e %H:%M:%S %Y")),
    };
    written.ok().map(|()| text)
}

/// Returns by how many seconds a zone like ` +0530`, `+05:30` or `Z` is ahead of UTC.
fn seconds_east(zone: &str) -> i64 {
    let zone = zone.trim_start_matches(' ');
    let Some(sign @ ('+' | '-')) = zone.chars().next() else { return 0 };
    let digits: Vec<i64> = zone.chars().filter_map(|c| c.to_digit(10)).map(i64::from).collect();
    let [a, b, c, d] = digits[..] else { return 0 };
    let seconds = (a * 10 + b) * 3_600 + (c * 10 + d) * 60;
    if sign == '-' { -seconds } else { seconds }
}

/// Returns the phrase of a status like `404 Not Found`.
fn phrase(status: &str) -> Option<&str> {
    let (code, phrase) = status.split_once(' ')?;
    (code.len() == 3).then_some(phrase)
}

/// Returns microseconds in a larger unit, with so many decimals.
fn decimal(micros: Option<i64>, unit: i64, digits: usize) -> Option<String> {
    let micros = micros?;
    let fraction = format!("{:06}", micros.rem_euclid(unit) * (1_000_000 / unit));
    Some(format!("{}.{:.digits$}", micros.div_euclid(unit), fraction))
}

/// Fills up the value that begins at a place, and ends the line, with spaces.
fn pad(line: &mut String, begin: usize, padding: Padding) {
    let length = line[begin..].chars().count();
    match padding {
        Padding::After(width) => line.extend((length..width).map(|_| ' ')),
        Padding::Before(width) => line.insert_str(begin, &" ".repeat(width.saturating_sub(length))),
    }
}

/// Returns the text at these keys.
fn text_in<'r>(object: Option<&'r Value>, keys: &[&str]) -> Option<&'r str> {
    keys.iter().try_fold(object?, |object, key| object.get(key))?.as_str()
}

/// Appends a text, escaped as its server does.
pub(super) fn push_escaped(line: &mut String, text: &str, writing: Writing) {
    match writing {
        Writing::Gunicorn => {
            let mut parts = text.split('"');
            line.push_str(parts.next().unwrap_or_default());
            for part in parts {
                line.push_str("\\\"");
                line.push_str(part);
            }
        }
        Writing::Nginx => text.bytes().for_each(|byte| match byte {
            b'"' | b'\\' | ..0x20 | 0x7f.. => push_hex(line, "\\x", byte, HEX),
            byte => line.push(char::from(byte)),
        }),
        Writing::NginxJson => text.chars().for_each(|letter| match letter {
            '"' | '\\' => line.extend(['\\', letter]),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            '\u{8}' => line.push_str("\\b"),
            '\u{c}' => line.push_str("\\f"),
            '\0'..' ' => push_hex(line, "\\u00", letter as u8, HEX),
            letter => line.push(letter),
        }),
        Writing::Apache => text.bytes().for_each(|byte| match byte {
            b'"' | b'\\' => line.extend(['\\', char::from(byte)]),
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            8 => line.push_str("\\b"),
            11 => line.push_str("\\v"),
            ..0x20 | 0x7f.. => push_hex(line, "\\x", byte, b"0123456789abcdef"),
            byte => line.push(char::from(byte)),
        }),
    }
}

/// The digits of nginx.
const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn push_hex(line: &mut String, before: &str, byte: u8, digits: &[u8; 16]) {
    line.push_str(before);
    line.extend([byte >> 4, byte & 15].map(|digit| char::from(digits[usize::from(digit)])));
}

/// The phrases of Python's `http.HTTPStatus`, which servers write after a status.
const PHRASES: &[(i32, &str)] = &[
    (100, "Continue"),
    (101, "Switching Protocols"),
    (102, "Processing"),
    (103, "Early Hints"),
    (200, "OK"),
    (201, "Created"),
    (202, "Accepted"),
    (203, "Non-Authoritative Information"),
    (204, "No Content"),
    (205, "Reset Content"),
    (206, "Partial Content"),
    (207, "Multi-Status"),
    (208, "Already Reported"),
    (226, "IM Used"),
    (300, "Multiple Choices"),
    (301, "Moved Permanently"),
    (302, "Found"),
    (303, "See Other"),
    (304, "Not Modified"),
    (305, "Use Proxy"),
    (307, "Temporary Redirect"),
    (308, "Permanent Redirect"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (402, "Payment Required"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (406, "Not Acceptable"),
    (407, "Proxy Authentication Required"),
    (408, "Request Timeout"),
    (409, "Conflict"),
    (410, "Gone"),
    (411, "Length Required"),
    (412, "Precondition Failed"),
    (413, "Request Entity Too Large"),
    (414, "Request-URI Too Long"),
    (415, "Unsupported Media Type"),
    (416, "Requested Range Not Satisfiable"),
    (417, "Expectation Failed"),
    (418, "I'm a Teapot"),
    (421, "Misdirected Request"),
    (422, "Unprocessable Entity"),
    (423, "Locked"),
    (424, "Failed Dependency"),
    (425, "Too Early"),
    (426, "Upgrade Required"),
    (428, "Precondition Required"),
    (429, "Too Many Requests"),
    (431, "Request Header Fields Too Large"),
    (451, "Unavailable For Legal Reasons"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Gateway Timeout"),
    (505, "HTTP Version Not Supported"),
    (506, "Variant Also Negotiates"),
    (507, "Insufficient Storage"),
    (508, "Loop Detected"),
    (511, "Network Authentication Required"),
];
