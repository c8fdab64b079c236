//! Lines of JSON: what an application logs of its requests, and what Gunicorn logs where its own
//! format cannot say it exactly.
//!
//! One object a line. Its key `log` says which: `request` becomes a row of `request_log`,
//! `gunicorn` one of `gunicorn_log`. Keys are named as the columns; what a line does not have, and
//! null, an empty text and an empty object are no value. Further keys are kept: those of a request
//! in `extra_data`, those of Gunicorn's in `request`.

mod fields;
mod refuse;
mod scan;
mod secrets;

use fields::Fields;
use refuse::{NO_KIND, reject};
use secrets::Secrets;

use super::chunk::TextLine;
use super::exclusions::Exclusions;
use super::line::Parsed;
use super::mask::Mask;
use super::reject::Reject;
use crate::model::{GunicornJson, GunicornLogModel, JsonRecord, RequestLog};

/// Reads a line, leaves it out by `exclusions` or masks it.
pub(super) fn parse(line: TextLine<'_>, mask: &Mask, exclusions: &Exclusions) -> Parsed<'static> {
    let record = match record(line) {
        Ok(record) => record,
        Err(reject) => return Parsed::Reject(reject),
    };
    let url = match &record {
        JsonRecord::Gunicorn(line) => line.record.url.as_deref(),
        JsonRecord::Request(line) => line.path.as_deref(),
    };
    if url.is_some_and(|url| exclusions.cover(url)) {
        return Parsed::Excluded;
    }
    let mut record = Box::new(record);
    Secrets::of(mask).hide(&mut record);
    Parsed::Json(record)
}

/// Whether a line says of itself that it is one of these.
pub(super) fn is_one(line: &[u8]) -> bool {
    let after = |rest: &'_ [u8], token: &[u8]| -> Option<usize> {
        let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        rest[blank..].starts_with(token).then_some(blank + token.len())
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

fn record(line: TextLine<'_>) -> Result<JsonRecord, Reject> {
    let TextLine { text, odd } = line;
    // JSON may hold newlines between its parts, but then it is not one line.
    if odd && memchr::memchr(b'\n', text.as_bytes()).is_some() {
        return Err(reject("is more than one line"));
    }
    if odd && memchr::memchr(0, text.as_bytes()).is_some() {
        return Err(Reject::HoldsNul);
    }
    let mut fields = Fields::of(text)?;
    match fields.kind()?.as_deref() {
        Some("request") => request(fields).map(JsonRecord::Request),
        Some("gunicorn") => gunicorn(fields).map(JsonRecord::Gunicorn),
        Some(_) => Err(reject(r#"`log` must be "request" or "gunicorn""#)),
        None => Err(reject(NO_KIND)),
    }
}

fn request(mut from: Fields) -> Result<RequestLog, Reject> {
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
        extra_data: from.rest("extra_data")?,
    })
}

fn gunicorn(mut from: Fields) -> Result<GunicornJson, Reject> {
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
        ..GunicornLogModel::default()
    };
    let (response, headers) = (from.object("response")?, from.object("headers")?);
    from.must_be_object("request")?;
    Ok(GunicornJson { timestamp, record, request: from.rest("request")?, response, headers })
}
