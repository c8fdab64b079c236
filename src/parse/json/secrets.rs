//! Secrets in JSON lines. Whoever wrote the line should have hidden them already: this is the
//! second line of defence.

use std::borrow::Cow;

use serde_json::Value;

use crate::model::{GunicornJson, JsonRecord, RequestLog};
use crate::parse::mask::{Mask, STARS};

/// Headers that hold nothing but a secret.
const HEADERS: [&str; 5] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"];

/// Hides the values of the configured names, and of [`HEADERS`] in whatever configuration.
pub(super) struct Secrets<'m> {
    mask: &'m Mask,
}

impl Secrets<'_> {
    pub(super) fn of(mask: &Mask) -> Secrets<'_> {
        Secrets { mask }
    }

    pub(super) fn hide(&self, record: &mut JsonRecord) {
        match record {
            JsonRecord::Gunicorn(line) => self.of_gunicorn(line),
            JsonRecord::Request(line) => self.of_request(line),
        }
    }

    fn of_gunicorn(&self, line: &mut GunicornJson) {
        for url in [&mut line.record.url, &mut line.record.source].into_iter().flatten() {
            self.mask.apply(url);
        }
        for value in [&mut line.request, &mut line.response, &mut line.headers] {
            value.iter_mut().for_each(|value| self.in_value(value));
        }
    }

    fn of_request(&self, line: &mut RequestLog) {
        if let Some(path) = &mut line.path {
            edit(path, |path| self.mask.apply(path));
        }
        for text in [&mut line.query_params, &mut line.body, &mut line.response_body] {
            text.iter_mut().for_each(|text| self.in_text(text));
        }
        for value in [&mut line.headers, &mut line.response_headers, &mut line.extra_data] {
            value.iter_mut().for_each(|value| self.in_value(value));
        }
    }

    fn hides(&self, name: &str) -> bool {
        is_secret_header(name) || self.mask.knows(name.as_bytes())
    }

    fn in_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.in_text(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.in_value(value)),
            Value::Object(map) => {
                for (name, value) in map {
                    if !self.hides(name) {
                        self.in_value(value);
                    } else if !(value.is_null() || value.as_str() == Some("")) {
                        *value = STARS.into();
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// JSON, or names and values as a form or a URL has them; any other text is left as it is.
    fn in_text(&self, text: &mut String) {
        if text.trim_start().starts_with(['{', '[']) {
            edit(text, |text| self.in_json(text));
        } else {
            edit(text, |text| self.mask.apply_to_form(text));
        }
    }

    /// Replaces values where they stand, so that all else stays as it was written. JSON that was
    /// cut off is masked as far as it goes.
    fn in_json(&self, text: &mut Cow<'_, str>) {
        let bytes = text.as_bytes();
        let (mut at, mut copied) = (0, 0);
        let mut masked = String::new();
        while let Some(quote) = memchr::memchr(b'"', &bytes[at..]) {
            let (start, end) = (at + quote, string_end(bytes, at + quote));
            at = end;
            let colon = skip_blank(bytes, end);
            if bytes.get(colon) != Some(&b':') || !self.hides(&unquoted(&text[start..end])) {
                continue;
            }
            let value = skip_blank(bytes, colon + 1);
            let end = value_end(bytes, value);
            if !matches!(&text[value..end], "" | "null" | "\"\"") {
                masked.push_str(&text[copied..value]);
                masked.push('"');
                masked.push_str(STARS);
                masked.push('"');
                copied = end;
            }
            at = end;
        }
        if copied > 0 {
            masked.push_str(&text[copied..]);
            *text = Cow::Owned(masked);
        }
    }
}

/// `Authorization`, and `HTTP_AUTHORIZATION` as the WSGI environment has it.
fn is_secret_header(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase().replace('_', "-");
    HEADERS.contains(&name.strip_prefix("http-").unwrap_or(&name))
}

fn edit(text: &mut String, mask: impl FnOnce(&mut Cow<'_, str>)) {
    let mut edited = Cow::Borrowed(text.as_str());
    mask(&mut edited);
    if let Cow::Owned(edited) = edited {
        *text = edited;
    }
}

/// What a quoted text says; as it stands if it says nothing.
fn unquoted(literal: &str) -> Cow<'_, str> {
    serde_json::from_str::<String>(literal)
        .map_or_else(|_| literal.trim_matches('"').into(), Cow::Owned)
}

/// Behind the text whose quotation mark is at `start`, or the end if it has no other.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(next) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += next + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        at += 1; // what is escaped
    }
    bytes.len()
}

fn skip_blank(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Behind the value that begins at `start`, or the end if it was cut off.
fn value_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' if depth == 0 => return if at == start { string_end(bytes, at) } else { at },
            b'"' => {
                at = string_end(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return if depth == 0 { at } else { at + 1 },
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return at,
            _ if depth == 0 && byte.is_ascii_whitespace() => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}
