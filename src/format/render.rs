//! Writes a stored row as a line in the format of its file. Reading the line again gives the same row.
//!
//! What the row does not have is `-`. A format has no line for a row if it wants what no row has: the port of
//! the client, or path and query side by side without a sign between them.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::layout::Layout;
use super::template::{Atom, Escaping, Field, Template};
use crate::model::StoredRow;

impl Layout {
    /// Returns the row as a line, without what another program put before it; `None` if the format is JSON,
    /// or wants what the row does not tell.
    pub fn render(&self, row: &StoredRow) -> Option<String> {
        self.template()?.render(row)
    }
}

impl Template {
    fn render(&self, row: &StoredRow) -> Option<String> {
        let mut line = String::from_utf8(self.prefix.clone()).ok()?;
        for field in &self.fields {
            match value(field, row)? {
                Some(text) => push(&mut line, &text, self.escaping()),
                None => line.push('-'),
            }
            line.push_str(std::str::from_utf8(&field.terminator).ok()?);
        }
        Some(line)
    }
}

/// Returns the text of a field, `Some(None)` if the row does not have it; `None` if no row tells it.
fn value(field: &Field, row: &StoredRow) -> Option<Option<String>> {
    let tail = |name: &str| text_in(row.request.as_ref(), &["tail", name]);
    let url = row.url.as_deref();
    let query = url.and_then(|url| url.split_once('?'));
    let at = DateTime::from_timestamp_micros(row.timestamp)?;
    let duration = |unit: i64| row.duration.map(|micros| (micros / unit).to_string());
    Some(match field.atom {
        Atom::AddressAndPort | Atom::PathAndQuery => return None,
        Atom::Dash => None,
        Atom::RemoteAddress => tail("remote_host").or_else(|| text(row.user_ip)),
        Atom::User => row.user_id.clone(),
        atom if atom.is_time() => Some(time(atom, at)),
        Atom::RequestLine => match (row.method.as_deref(), url, row.protocol.as_deref()) {
            (None, None, None) => tail("request_line"),
            (method, url, Some(protocol)) => {
                Some(format!("{} {} {protocol}", method.unwrap_or("-"), url.unwrap_or_default()))
            }
            (method, url, None) => {
                Some(format!("{} {}", method.unwrap_or("-"), url.unwrap_or_default()))
            }
        },
        Atom::VersionedRequestLine => {
            let words = row.method.as_deref().zip(url).zip(row.protocol.as_deref());
            words.map_or_else(
                || tail("request_line"),
                |((method, url), protocol)| {
                    let version = protocol.strip_prefix("HTTP/").unwrap_or(protocol);
                    Some(format!("{method} {url} {version}"))
                },
            )
        }
        Atom::Method => row.method.clone().or_else(|| tail("method")),
        Atom::Url => row.url.clone(),
        Atom::Path => url.map(|url| query.map_or(url, |(path, _)| path).to_owned()),
        Atom::Query => query.map(|(_, query)| query.to_owned()),
        Atom::Protocol => row.protocol.clone().or_else(|| tail("protocol")),
        Atom::Status => text(row.code).or_else(|| tail("status")),
        Atom::ResponseBytes => text(row.response_bytes),
        Atom::Referer => row.source.clone(),
        Atom::Agent => row.agent.clone(),
        Atom::Seconds => duration(1_000_000),
        Atom::Milliseconds => duration(1_000),
        Atom::Microseconds => duration(1),
        Atom::DecimalSeconds => decimal(row.duration, 1_000_000),
        Atom::DecimalMilliseconds => decimal(row.duration, 1_000),
        Atom::Pid => row.pid.map(|pid| format!("<{pid}>")),
        Atom::Host => row.host.clone(),
        Atom::RequestHeader => text_in(row.headers.as_ref(), &[&field.name]),
        Atom::ResponseHeader => text_in(row.response.as_ref(), &["headers", &field.name]),
        Atom::Environ => text_in(row.request.as_ref(), &["environ", &field.name]),
        _ => tail(&field.name),
    })
}

/// Returns a time as the atom has it.
fn time(atom: Atom, at: DateTime<Utc>) -> String {
    let format = match atom {
        Atom::ClfTime => "%d/%b/%Y:%H:%M:%S %z",
        Atom::IsoTime => "%Y-%m-%dT%H:%M:%S%.f%:z",
        Atom::EpochTime => "%s%.f",
        Atom::CTime => "%a %b %e %H:%M:%S %Y",
        _ => "[%d/%b/%Y:%H:%M:%S %z]",
    };
    at.format(format).to_string()
}

/// Returns microseconds in a larger unit, with all of their decimals.
fn decimal(micros: Option<i64>, unit: i64) -> Option<String> {
    let width = if unit == 1_000 { 3 } else { 6 };
    micros.map(|micros| format!("{}.{:0width$}", micros / unit, micros % unit))
}

fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// Returns the text at these keys.
fn text_in(object: Option<&Value>, keys: &[&str]) -> Option<String> {
    let found = keys.iter().try_fold(object?, |object, key| object.get(key))?;
    found.as_str().map(str::to_owned)
}

/// Appends a value, escaped as its server does. What would break the line in two is escaped by all.
fn push(line: &mut String, text: &str, escaping: Escaping) {
    for letter in text.chars() {
        match (letter, escaping) {
            ('"', Escaping::Quotes) => line.push_str("\\\""),
            ('"', Escaping::Backslashes) => line.push_str("\\x22"),
            ('\\', Escaping::Backslashes) => line.push_str("\\x5C"),
            ('\n', Escaping::Backslashes) => line.push_str("\\x0A"),
            ('\r', Escaping::Backslashes) => line.push_str("\\x0D"),
            ('\n', Escaping::Quotes) => line.push_str("\\n"),
            ('\r', Escaping::Quotes) => line.push_str("\\r"),
            (letter, _) => line.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_atom_is_written_as_its_server_does() {
        let row = StoredRow {
            timestamp: 1_795_423_260_123_456,
            duration: Some(1_234_567),
            response_bytes: Some(12),
            code: Some(404),
            pid: Some(7),
            method: Some("GET".into()),
            url: Some("/a?b=c".into()),
            user_id: Some("j\"o".into()),
            user_ip: Some([203, 0, 113, 9].into()),
            protocol: Some("HTTP/1.1".into()),
            request: Some(serde_json::json!({"environ": {"x.y": "e"}, "tail": {"zone": "z"}})),
            response: Some(serde_json::json!({"headers": {"server": "s"}})),
            headers: Some(serde_json::json!({"x-a": "a\\b"})),
            ..StoredRow::default()
        };
        for (format, line) in [
            (
                r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s""#,
                r#"203.0.113.9 - j\"o [23/Nov/2026:08:41:00 +0000] "GET /a?b=c HTTP/1.1" 404 12 "-""#,
            ),
            (
                "%(m)s %(U)s?%(q)s %(H)s %(T)s %(M)s %(D)s %(L)s %(p)s",
                "GET /a?b=c HTTP/1.1 1 1234 1234567 1.234567 <7>",
            ),
            (
                r#""%({X-A}i)s" "%({server}o)s" "%({x.y}e)s" %({zone}x)s %({none}i)s"#,
                r#""a\b" "s" "e" z -"#,
            ),
            (
                "%({iso}t)s %({epoch}t)s %({ctime}t)s",
                "2026-11-23T08:41:00.123456+00:00 1795423260.123456 Mon Nov 23 08:41:00 2026",
            ),
            (
                r#"$remote_user [$time_local] "$request" $status "$http_x_a""#,
                r#"j\x22o [23/Nov/2026:08:41:00 +0000] "GET /a?b=c HTTP/1.1" 404 "a\x5Cb""#,
            ),
        ] {
            assert_eq!(
                Layout::compile(format).unwrap().render(&row).as_deref(),
                Some(line),
                "{format}"
            );
        }
        for format in ["json", "%({port}h)s %(s)s"] {
            assert_eq!(Layout::compile(format).unwrap().render(&row), None, "{format}");
        }
        let short = StoredRow { method: None, url: None, protocol: None, ..row };
        let format = Layout::compile(r#""%(r)s" %(s)s"#).unwrap();
        assert_eq!(format.render(&short).as_deref(), Some(r#""-" 404"#));
    }
}
