//! Reads lines of JSON: what an application logs of its requests, and what Gunicorn logs where its own
//! format is ambiguous.
//!
//! A line is one object. Its key `log` decides: `request` becomes a row of `request_log`, `gunicorn` a
//! row of `gunicorn_log`. Keys are named like the columns. A missing key, null, an empty text and an
//! empty object are no value. Other keys are kept: those of a request in `extra_data`, those of
//! Gunicorn in `request`. The place of a stored row, which an exported line has, is left out: the row gets
//! another one.
//!
//! The second half of the file hides secrets. The application should have hidden them already: this is
//! the second line of defence.

use std::borrow::Cow;
use std::net::IpAddr;

use chrono::{DateTime, Datelike, Timelike};
use serde_json::error::Category;
use serde_json::{Map, Value};

use super::exclusions::Exclusions;
use super::identifiers::{Columns, Identifier};
use super::mask::{Mask, STARS, string_end};
use super::parser::{Parsed, TextLine};
use super::values::address;
use crate::model::{
    FileId, GunicornJson, GunicornLogModel, JsonRecord, MAX_OFFSET, Micros, RejectReason,
    RequestLog,
};

/// Reads a line, and excludes or masks its record.
pub(super) fn parse(
    line: TextLine<'_>,
    columns: Columns,
    mask: &Mask,
    exclusions: &Exclusions,
) -> Parsed<'static> {
    match record(line, columns) {
        Ok(record) => finish(record, mask, exclusions),
        Err(reject) => Parsed::Reject(reject),
    }
}

/// Excludes a record, or masks its secrets.
pub(super) fn finish(record: JsonRecord, mask: &Mask, exclusions: &Exclusions) -> Parsed<'static> {
    let url = match &record {
        JsonRecord::Gunicorn(line) => line.record.url.as_deref(),
        JsonRecord::Request(line) => line.path.as_deref(),
    };
    if url.is_some_and(|url| exclusions.covers(url)) {
        return Parsed::Excluded;
    }
    let mut record = Box::new(record);
    Secrets { mask }.hide(&mut record);
    Parsed::Json(record)
}

/// Returns whether a line begins like a line of this format. The rest of the line is not read.
pub(super) fn is_json_line(line: &[u8]) -> bool {
    let after = |rest: &'_ [u8], token: &[u8]| -> Option<usize> {
        let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        rest[blanks..].starts_with(token).then_some(blanks + token.len())
    };
    let mut at = 0;
    for token in [b"{".as_slice(), b"\"log\"", b":"] {
        match after(&line[at..], token) {
            Some(length) => at += length,
            None => return false,
        }
    }
    [b"\"request\"".as_slice(), b"\"gunicorn\""]
        .iter()
        .any(|kind| after(&line[at..], kind).is_some())
}

/// Reads a line as a record of either table.
fn record(line: TextLine<'_>, columns: Columns) -> Result<JsonRecord, RejectReason> {
    let TextLine { text, may_hold_special, .. } = line;
    // JSON may hold newlines between its parts, but a record must be one line.
    if may_hold_special && memchr::memchr(b'\n', text.as_bytes()).is_some() {
        return Err(reject("is more than one line"));
    }
    if may_hold_special && memchr::memchr(0, text.as_bytes()).is_some() {
        return Err(RejectReason::HoldsNul(None));
    }
    let mut fields = Fields::parse(text, columns)?;
    fields.leave_out_place();
    match fields.text("log")?.as_deref() {
        Some("request") => request(fields).map(JsonRecord::Request),
        Some("gunicorn") => gunicorn(fields).map(JsonRecord::Gunicorn),
        Some(_) => Err(reject(r#"`log` must be "request" or "gunicorn""#)),
        None => Err(reject(NO_KIND)),
    }
}

/// Takes the columns of `request_log`.
fn request(mut from: Fields) -> Result<RequestLog, RejectReason> {
    Ok(RequestLog {
        timestamp: from.time("timestamp")?,
        response_time_ms: from.number("response_time_ms")?,
        status_code: from.int4("status_code")?,
        method: from.text("method")?,
        path: from.text("path")?,
        query_params: from.text("query_params")?,
        headers: from.object("headers")?,
        body: from.text("body")?,
        content_type: from.text("content_type")?,
        response_headers: from.object("response_headers")?,
        response_body: from.text("response_body")?,
        ip_address: from.address("ip_address")?,
        user_id: from.text("user_id")?,
        user_agent: from.text("user_agent")?,
        session_id: from.text("session_id")?,
        route: from.identifier("route", Identifier::Route),
        request_id: from.identifier("request_id", Identifier::RequestId),
        trace_id: from.identifier("trace_id", Identifier::TraceId),
        extra_data: from.remaining("extra_data")?,
    })
}

/// Takes the columns of `gunicorn_log`.
fn gunicorn(mut from: Fields) -> Result<GunicornJson, RejectReason> {
    let timestamp = from.time("timestamp")?;
    let record = GunicornLogModel {
        timestamp: Some(timestamp),
        method: from.text("method")?.map(Into::into),
        url: from.text("url")?.map(Into::into),
        host: from.text("host")?.map(Into::into),
        user_id: from.text("user_id")?.map(Into::into),
        user_ip: from.address("user_ip")?,
        agent: from.text("agent")?.map(Into::into),
        source: from.text("source")?.map(Into::into),
        duration: from.int8("duration")?,
        code: from.int4("code")?,
        protocol: from.text("protocol")?.map(Into::into),
        response_bytes: from.int8("response_bytes")?,
        pid: from.int4("pid")?,
        route: from.identifier("route", Identifier::Route).map(Into::into),
        request_id: from.identifier("request_id", Identifier::RequestId).map(Into::into),
        trace_id: from.identifier("trace_id", Identifier::TraceId).map(Into::into),
        ..GunicornLogModel::default()
    };
    let (response, headers) = (from.object("response")?, from.object("headers")?);
    from.must_be_object("request")?;
    Ok(GunicornJson { timestamp, record, request: from.remaining("request")?, response, headers })
}

const TIME: &str = "a time with offset like 2026-11-24T15:02:03.123456+00:00";
const OBJECT: &str = "an object, {…}";

/// The keys of a line that no column has taken yet. Each method takes one key, if it has the right
/// type.
struct Fields(Map<String, Value>, Columns);

impl Fields {
    /// Parses the line.
    fn parse(text: &str, columns: Columns) -> Result<Fields, RejectReason> {
        if !text.trim_start().starts_with('{') {
            return Err(reject(NO_KIND));
        }
        serde_json::from_str(text)
            .map(|map| Fields(map, columns))
            .map_err(|error| invalid_json(&error))
    }

    /// Removes id, file and offset, if they are those of a stored row: the id is made of the others.
    fn leave_out_place(&mut self) {
        const PLACE: [&str; 3] = ["id", "log_file", "log_offset"];
        let number = |key| self.0.get(key).and_then(Value::as_i64);
        let [Some(id), Some(file), Some(offset)] = PLACE.map(number) else { return };
        let file = i32::try_from(file).ok().map(FileId);
        let offset = u64::try_from(offset).ok().filter(|offset| *offset < MAX_OFFSET);
        if file.zip(offset).is_some_and(|(file, offset)| file.row_id(offset) == id) {
            PLACE.iter().for_each(|key| drop(self.0.remove(*key)));
        }
    }

    /// Takes a value; `None` if it is absent, null or empty.
    fn take(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key).filter(|value| match value {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            Value::Object(map) => !map.is_empty(),
            _ => true,
        })
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, RejectReason> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) if holds_nul(&text) => Err(holds_nul_reject(key)),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(key, &other, "a text")),
        }
    }

    /// Takes a text that names the request or its view. A value of another shape makes no reject of the line,
    /// because a client may have sent it: it stays among the other keys.
    fn identifier(&mut self, key: &str, what: Identifier) -> Option<String> {
        if self.1 == Columns::Older {
            return None;
        }
        let text = self.0.get(key)?.as_str()?;
        let value = what.value(text).map(str::to_owned);
        if value.is_some() || text.is_empty() {
            self.0.remove(key);
        }
        value
    }

    /// Takes an address. A text that is not an address is no value, as in Gunicorn's own lines.
    fn address(&mut self, key: &str) -> Result<Option<IpAddr>, RejectReason> {
        Ok(self.text(key)?.and_then(|text| address(&text)))
    }

    fn time(&mut self, key: &str) -> Result<Micros, RejectReason> {
        let Some(text) = self.text(key)? else {
            return Err(reject(&format!("`{key}` is missing; it must be {TIME}")));
        };
        // A leap second is refused, because neither database could give it back.
        DateTime::parse_from_rfc3339(&text)
            .ok()
            .map(|time| time.to_utc())
            .filter(|time| {
                (1970..=9999).contains(&time.year()) && time.nanosecond() < 1_000_000_000
            })
            .map(|time| time.timestamp_micros())
            .ok_or_else(|| reject(&format!("`{key}` must be {TIME}, of the years 1970 to 9999")))
    }

    fn int8(&mut self, key: &str) -> Result<Option<i64>, RejectReason> {
        self.whole(key, i64::MIN, i64::MAX)
    }

    fn int4(&mut self, key: &str) -> Result<Option<i32>, RejectReason> {
        let value = self.whole(key, i32::MIN.into(), i32::MAX.into())?;
        Ok(value.and_then(|value| i32::try_from(value).ok()))
    }

    fn whole(&mut self, key: &str, least: i64, most: i64) -> Result<Option<i64>, RejectReason> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match value.as_i64() {
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => {
                let expected = format!("a whole number from {least} to {most}");
                Err(match value {
                    Value::Number(_) => reject(&format!("`{key}` must be {expected}")),
                    _ => wrong_type(key, &value, &expected),
                })
            }
        }
    }

    fn number(&mut self, key: &str) -> Result<Option<f64>, RejectReason> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(wrong_type(key, &value, "a number")),
        }
    }

    fn object(&mut self, key: &str) -> Result<Option<Value>, RejectReason> {
        self.must_be_object(key)?;
        let value = self.take(key);
        value.as_ref().map_or(Ok(()), |value| check_storable(key, value))?;
        Ok(value)
    }

    /// Refuses a value that is present and not an object.
    fn must_be_object(&self, key: &str) -> Result<(), RejectReason> {
        match self.0.get(key) {
            None | Some(Value::Null | Value::Object(_)) => Ok(()),
            Some(Value::String(text)) if text.is_empty() => Ok(()),
            Some(other) => Err(wrong_type(key, other, OBJECT)),
        }
    }

    /// Returns the value of `key` together with all keys that no column has taken. A value that is
    /// not an object stays as it is if it is alone; otherwise it is put among the other keys under
    /// its own name.
    fn remaining(mut self, key: &str) -> Result<Option<Value>, RejectReason> {
        let own = self.take(key);
        let mut others = self.0;
        others.retain(|_, value| !value.is_null());
        let all = match own {
            own if others.is_empty() => own,
            None => Some(Value::Object(others)),
            Some(Value::Object(mut map)) => {
                for (mut name, value) in others {
                    while map.contains_key(&name) {
                        name.push('_'); // both are kept
                    }
                    map.insert(name, value);
                }
                Some(Value::Object(map))
            }
            Some(own) => {
                others.insert(key.to_owned(), own);
                Some(Value::Object(others))
            }
        };
        all.as_ref().map_or(Ok(()), |value| check_storable(key, value))?;
        Ok(all)
    }
}

/// The reject reason for a line of neither kind.
const NO_KIND: &str = r#"does not begin with {"log":"request" or {"log":"gunicorn""#;

/// 2⁶⁴: larger whole numbers could not be stored exactly.
const TOO_LARGE: f64 = 18_446_744_073_709_551_616.0;

/// Makes a reject with this reason. A reason says which key is wrong and what is expected, and holds
/// nothing of the line itself.
fn reject(reason: &str) -> RejectReason {
    RejectReason::UnlikeFormat(reason.into())
}

/// Refuses a value that a `jsonb` column cannot hold, or not exactly. The depth is at most 127,
/// because the JSON reader refuses deeper objects.
fn check_storable(key: &str, value: &Value) -> Result<(), RejectReason> {
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::String(text) if holds_nul(text) => Err(holds_nul_reject(key)),
        Value::String(_) => Ok(()),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.abs() >= TOO_LARGE => Err(reject(&format!(
                "`{key}` holds a number out of range; numbers must be smaller than 2^64"
            ))),
            _ => Ok(()),
        },
        Value::Array(values) => values.iter().try_for_each(|value| check_storable(key, value)),
        Value::Object(map) => map.iter().try_for_each(|(name, value)| {
            if holds_nul(name) { Err(holds_nul_reject(key)) } else { check_storable(key, value) }
        }),
    }
}

fn holds_nul(text: &str) -> bool {
    memchr::memchr(0, text.as_bytes()).is_some()
}

fn holds_nul_reject(key: &str) -> RejectReason {
    RejectReason::HoldsNul(Some(key.into()))
}

/// Makes the reject for a value of the wrong type.
fn wrong_type(key: &str, found: &Value, expected: &str) -> RejectReason {
    let name = match found {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    reject(&format!("`{key}` is {name}; it must be {expected}"))
}

/// Makes the reject for text that is not JSON. The reason leaves out the place in the text, so
/// that equal causes have equal reasons.
///
/// serde_json has no public type for these causes, so they are told by its message.
fn invalid_json(error: &serde_json::Error) -> RejectReason {
    let message = error.to_string();
    let is = |cause: &str| message.contains(cause);
    reject(match error.classify() {
        Category::Eof => "is cut off: its JSON object has no end",
        _ if is("surrogate") || is("end of hex escape") => {
            "holds an unpaired surrogate; a character beyond \\uffff is written as a pair"
        }
        _ if is("out of range") => "holds a number out of range; numbers must be smaller than 2^64",
        _ if is("recursion") => "is nested more than 127 deep",
        _ if is("trailing") => "goes on after its JSON object; one object is one line",
        _ if is("control character") => {
            "holds a control character; JSON writes it with a backslash"
        }
        _ => "is not a JSON object",
    })
}

/// Hides the values of the configured names, and always those of headers that hold nothing but a secret.
struct Secrets<'m> {
    mask: &'m Mask,
}

impl Secrets<'_> {
    fn hide(&self, record: &mut JsonRecord) {
        match record {
            JsonRecord::Gunicorn(line) => self.hide_in_gunicorn(line),
            JsonRecord::Request(line) => self.hide_in_request(line),
        }
    }

    fn hide_in_gunicorn(&self, line: &mut GunicornJson) {
        let record = &mut line.record;
        for url in [&mut record.url, &mut record.source].into_iter().flatten() {
            self.mask.apply(url);
        }
        for text in record.texts_mut() {
            self.mask.apply_to_tokens(text);
        }
        for value in [&mut line.request, &mut line.response, &mut line.headers] {
            value.iter_mut().for_each(|value| self.hide_in_value(value));
        }
        self.mask.remove_secret(&mut line.record.route);
        self.mask.remove_secret(&mut line.record.request_id);
    }

    fn hide_in_request(&self, line: &mut RequestLog) {
        if let Some(path) = &mut line.path {
            edit(path, |path| self.mask.apply(path));
        }
        let texts = [
            &mut line.method,
            &mut line.path,
            &mut line.content_type,
            &mut line.user_id,
            &mut line.user_agent,
        ];
        for text in texts.into_iter().flatten() {
            edit(text, |text| self.mask.apply_to_tokens(text));
        }
        for text in [&mut line.query_params, &mut line.body, &mut line.response_body] {
            text.iter_mut().for_each(|text| self.hide_in_text(text));
        }
        for value in [&mut line.headers, &mut line.response_headers, &mut line.extra_data] {
            value.iter_mut().for_each(|value| self.hide_in_value(value));
        }
        self.mask.remove_secret(&mut line.route);
        self.mask.remove_secret(&mut line.request_id);
    }

    fn hides(&self, name: &str) -> bool {
        match self.mask.newest() {
            Some(meaning) => meaning.hides_variable(name),
            None => self.mask.hides_header(name),
        }
    }

    fn hide_in_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.hide_in_text(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.hide_in_value(value)),
            Value::Object(map) => {
                for (name, value) in map {
                    if !self.hides(name) {
                        self.hide_in_value(value);
                    } else if !(value.is_null() || value.as_str() == Some("")) {
                        *value = STARS.into();
                    }
                }
            }
            Value::Number(number) => {
                let mut digits = Cow::Owned(number.to_string());
                self.mask.apply_to_values(&mut digits);
                if digits == STARS {
                    *value = STARS.into();
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Hides secrets in JSON, or in names and values like those of a form or a URL. Other text
    /// stays as it is.
    fn hide_in_text(&self, text: &mut String) {
        if self.mask.newest().is_some() {
            return edit(text, |text| self.mask.apply_to_text(text));
        }
        if text.trim_start().starts_with(['{', '[']) {
            let hides = |name: &str| self.hides(name);
            let mask = |text: &mut Cow<'_, str>| self.mask.apply_to_form(text);
            edit(text, |text| hide_in_json(text, hides, mask));
        } else {
            edit(text, |text| self.mask.apply_to_form(text));
        }
        edit(text, |text| self.mask.apply_to_values(text));
    }
}

fn edit(text: &mut String, mask: impl FnOnce(&mut Cow<'_, str>)) {
    let mut edited = Cow::Borrowed(text.as_str());
    mask(&mut edited);
    if let Cow::Owned(edited) = edited {
        *text = edited;
    }
}

/// Replaces the values of keys for which `hides` returns true, in place. Other texts are edited by
/// `mask`. All other bytes stay as they were written. JSON that was cut off is edited up to its
/// end.
pub(super) fn hide_in_json(
    text: &mut Cow<'_, str>,
    hides: impl Fn(&str) -> bool,
    mask: impl Fn(&mut Cow<'_, str>),
) {
    let bytes = text.as_bytes();
    let (mut at, mut copied) = (0, 0);
    let mut hidden = String::new();
    while let Some(quote) = memchr::memchr(b'"', &bytes[at..]) {
        let (start, end) = (at + quote, string_end(bytes, at + quote));
        at = end;
        let colon = skip_blanks(bytes, end);
        if bytes.get(colon) != Some(&b':') {
            let within = content(&text[start..end]);
            let mut masked = Cow::Borrowed(within);
            mask(&mut masked);
            if let Cow::Owned(masked) = masked {
                hidden.push_str(&text[copied..=start]);
                hidden.push_str(&masked);
                copied = start + 1 + within.len();
            }
            continue;
        }
        if !hides(&unquoted(&text[start..end])) {
            continue;
        }
        let value = skip_blanks(bytes, colon + 1);
        let end = value_end(bytes, value);
        if !matches!(&text[value..end], "" | "null" | "\"\"") {
            hidden.push_str(&text[copied..value]);
            hidden.push('"');
            hidden.push_str(STARS);
            hidden.push('"');
            copied = end;
        }
        at = end;
    }
    if copied > 0 {
        hidden.push_str(&text[copied..]);
        *text = Cow::Owned(hidden);
    }
}

/// Returns what is between the quotation marks of a string literal, of which the second may be missing.
fn content(literal: &str) -> &str {
    let content = &literal[1..];
    let Some(whole) = content.strip_suffix('"') else { return content };
    let escapes = whole.bytes().rev().take_while(|byte| *byte == b'\\').count();
    if escapes % 2 == 0 { whole } else { content }
}

/// Returns the text of a string literal, or the literal itself if it is invalid.
fn unquoted(literal: &str) -> Cow<'_, str> {
    serde_json::from_str::<String>(literal)
        .map_or_else(|_| literal.trim_matches('"').into(), Cow::Owned)
}

pub(super) fn skip_blanks(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Returns the position after the value that begins at `start`, or the end if the value was cut
/// off.
pub(super) fn value_end(bytes: &[u8], start: usize) -> usize {
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
