//! Reads access lines of JSON that other servers and loggers write, by the names of their keys: nginx
//! with `escape=json`, Caddy, Traefik, python-json-logger, structlog.
//!
//! A key is taken for a column only if its value has the column's shape. All other keys are kept in
//! `request`.

use std::borrow::Cow;
use std::ops::Range;

use chrono::DateTime;
use serde_json::{Map, Value};

use super::identifiers::{Columns, Identifier};
use super::json_mapping::{Column, JsonMapping, Target, remove_at};
use super::key_names::{
    ADDRESSES, AGENTS, BYTES, HOSTS, METHODS, PIDS, PROTOCOLS, QUERIES, REFERERS, REQUEST_IDS,
    REQUEST_LINES, ROUTES, STATUSES, TRACE_IDS, TRACE_PARENTS, URLS, USERS,
};
use super::shapes::is_method;
use super::times;
use super::values::{address, first_address, request_line, short_request_line};
use crate::model::{GunicornJson, GunicornLogModel, Micros, RejectReason};

const TIMES: &[&str] = &[
    "time",
    "timestamp",
    "@timestamp",
    "ts",
    "StartUTC",
    "time_iso8601",
    "time_local",
    "asctime",
    "date",
];

/// The times of the years 1970 to 9999.
const TIME_RANGE: Range<Micros> = 0..253_402_300_800_000_000;

/// Reads a line.
///
/// # Errors
/// A line that is not a JSON object, or not an access line.
pub(super) fn parse(
    text: &str,
    mapping: &JsonMapping,
    columns: Columns,
) -> Result<GunicornJson, RejectReason> {
    let reject = |words: &str| RejectReason::UnlikeFormat(words.into());
    if text.contains('\0') {
        return Err(RejectReason::HoldsNul(None));
    }
    let object: Map<String, Value> = match text.trim_start().starts_with('{') {
        true => serde_json::from_str(text).map_err(|_| reject("is not a JSON object"))?,
        false => return Err(reject("is not a JSON object")),
    };
    let is_own = object.contains_key("level") || object.contains_key("levelname");
    if object.values().any(holds_nul) {
        return Err(RejectReason::HoldsNul(Some("a value".into())));
    }
    let is_of_traefik = object.contains_key("DownstreamStatus");
    let mut keys = Keys { object, nested: Map::new(), is_of_traefik };
    if let Some(Value::Object(request)) = keys.object.get("request") {
        keys.nested = request.clone();
    }
    let mut record = GunicornLogModel::default();
    let mapped = take_mapped(&mut keys, mapping, &mut record);
    let by_names = |column: Column| !mapped.contains(&column);
    if by_names(Column::Timestamp) {
        record.timestamp = keys.take(TIMES, time);
    }
    let timestamp = record.timestamp;
    take_request(&mut keys, &mut record, by_names);
    if by_names(Column::Code) {
        record.code = keys.take(STATUSES, status);
    }
    if record.code.is_none() || record.url.is_none() && record.method.is_none() && is_own {
        return Err(if is_own { RejectReason::ServerLog } else { reject("has no status") });
    }
    let Some(timestamp) = timestamp else { return Err(reject("has no time")) };
    record.timestamp = Some(timestamp);
    if by_names(Column::Host) {
        record.host = keys.take(HOSTS, text_value).map(Into::into);
    }
    if by_names(Column::UserId) {
        record.user_id = keys.take(USERS, text_value).map(Into::into);
    }
    if by_names(Column::UserIp) {
        record.user_ip = keys.take(ADDRESSES, |value| address(value.as_str()?));
    }
    if by_names(Column::UserIp) && record.user_ip.is_none() {
        let forwarded = ["http_x_forwarded_for", "x_forwarded_for", "X-Forwarded-For"];
        let list = |key: &&str| keys.object.get(*key)?.as_str().and_then(first_address);
        record.user_ip = forwarded.iter().find_map(list);
    }
    if by_names(Column::Agent) {
        record.agent = keys
            .take(AGENTS, text_value)
            .or_else(|| text_value(keys.header("User-Agent")?))
            .map(Into::into);
    }
    if by_names(Column::Source) {
        record.source = keys
            .take(REFERERS, text_value)
            .or_else(|| text_value(keys.header("Referer")?))
            .map(Into::into);
    }
    if by_names(Column::ResponseBytes) {
        record.response_bytes = keys.take(BYTES, integer);
    }
    if by_names(Column::Pid) {
        record.pid = keys.take(PIDS, integer).and_then(|pid| i32::try_from(pid).ok());
    }
    if by_names(Column::Duration) {
        record.duration = duration(&mut keys);
    }
    if columns == Columns::Current {
        take_identifiers(&mut keys, &mut record, by_names);
    }
    keys.object.retain(|_, value| !value.is_null());
    let request = (!keys.object.is_empty()).then_some(Value::Object(keys.object));
    Ok(GunicornJson { timestamp, record, request, response: None, headers: None })
}

/// Fills the columns whose keys the user has mapped, as far as these are in the line: then no other key fills
/// them. A value that has not the shape of its column stays under its key. Returns the columns.
fn take_mapped(
    keys: &mut Keys,
    mapping: &JsonMapping,
    record: &mut GunicornLogModel<'static>,
) -> Vec<Column> {
    let (mut columns, mut taken) = (Vec::new(), Vec::new());
    for (key, target, value) in mapping.found(&keys.object) {
        columns.push(target.column);
        if set_mapped(record, target, value).is_some() {
            taken.push(key);
        }
    }
    for key in taken {
        remove_at(&mut keys.object, key);
    }
    columns
}

/// Sets a column to a value; `None` if the value has not the column's shape.
fn set_mapped(record: &mut GunicornLogModel<'static>, target: Target, value: &Value) -> Option<()> {
    let text = |is_right: fn(&str) -> bool| {
        text_value(value).filter(|text| is_right(text)).map(Cow::<'static, str>::Owned)
    };
    let any = |_: &str| true;
    match target.column {
        Column::Timestamp => {
            let micros = match target.unit {
                Some(unit) => unit.micros(value).filter(|micros| TIME_RANGE.contains(micros))?,
                None => time(value)?,
            };
            record.timestamp = Some(micros);
        }
        Column::Method => record.method = Some(text(is_method)?),
        Column::Url => record.url = Some(text(is_url)?),
        Column::Host => record.host = Some(text(any)?),
        Column::UserId => {
            let number = || value.as_i64().map(|number| number.to_string().into());
            record.user_id = Some(text(any).or_else(number)?);
        }
        Column::UserIp => {
            let text = value.as_str()?;
            record.user_ip = Some(address(text).or_else(|| first_address(text))?);
        }
        Column::Agent => record.agent = Some(text(any)?),
        Column::Source => record.source = Some(text(any)?),
        Column::Duration => record.duration = Some(target.unit?.micros(value)?),
        Column::Code => record.code = Some(status(value)?),
        Column::Protocol => record.protocol = Some(text(is_protocol)?),
        Column::ResponseBytes => {
            record.response_bytes = Some(integer(value).filter(|bytes| *bytes >= 0)?);
        }
        Column::Pid => record.pid = Some(i32::try_from(integer(value)?).ok()?),
        Column::Route => record.route = Some(identifier(Identifier::Route, value)?),
        Column::RequestId => record.request_id = Some(identifier(Identifier::RequestId, value)?),
        Column::TraceId => {
            let id = identifier(Identifier::TraceId, value);
            record.trace_id = Some(id.or_else(|| identifier(Identifier::TraceParent, value))?);
        }
    }
    Some(())
}

fn identifier(what: Identifier, value: &Value) -> Option<Cow<'static, str>> {
    what.value(value.as_str()?).map(|text| Cow::Owned(text.to_owned()))
}

fn is_url(text: &str) -> bool {
    text.starts_with(['/', '*']) || text.contains("://")
}

fn is_protocol(text: &str) -> bool {
    text.starts_with("HTTP/")
}

fn status(value: &Value) -> Option<i32> {
    integer(value).filter(|code| (100..600).contains(code)).and_then(|code| code.try_into().ok())
}

/// Takes method, URL and protocol, together or each by itself, as far as they may be taken `by_names`.
fn take_request(
    keys: &mut Keys,
    record: &mut GunicornLogModel<'static>,
    by_names: impl Fn(Column) -> bool,
) {
    let parts = [Column::Method, Column::Url, Column::Protocol].map(&by_names);
    let names = if parts == [true; 3] { REQUEST_LINES } else { &[] };
    let line = keys.take(names, |value| {
        let text = value.as_str()?;
        let (method, url, protocol) = match (request_line(text), short_request_line(text)) {
            (Some((method, url, protocol)), _) => (method, url, Some(protocol.to_owned())),
            (None, Some((method, url))) => (method, url, None),
            (None, None) => return None,
        };
        is_method(method).then(|| (method.to_owned(), url.to_owned(), protocol))
    });
    if let Some((method, url, protocol)) = line {
        (record.method, record.url) = (Some(method.into()), Some(url.into()));
        record.protocol = protocol.map(Into::into);
        return;
    }
    let [method, url, protocol] = parts;
    let shaped =
        |value: &Value, is_right: fn(&str) -> bool| text_value(value).filter(|text| is_right(text));
    if method {
        record.method = keys.take(METHODS, |value| shaped(value, is_method)).map(Into::into);
    }
    if url {
        record.url = keys.take(URLS, |value| shaped(value, is_url)).map(Into::into);
    }
    if protocol {
        record.protocol = keys.take(PROTOCOLS, |value| shaped(value, is_protocol)).map(Into::into);
    }
    if let Some(url) = record.url.as_mut().filter(|url| !url.contains('?'))
        && let Some(query) = keys.take(QUERIES, text_value)
    {
        *url = format!("{url}?{}", query.trim_start_matches('?')).into();
    }
}

/// Takes what names the request and its view, as far as it may be taken `by_names`.
fn take_identifiers(
    keys: &mut Keys,
    record: &mut GunicornLogModel<'static>,
    by_names: impl Fn(Column) -> bool,
) {
    if by_names(Column::Route) {
        record.route = keys.take(ROUTES, |value| identifier(Identifier::Route, value));
    }
    if by_names(Column::RequestId) {
        let read = |value: &Value| identifier(Identifier::RequestId, value);
        record.request_id =
            keys.take(REQUEST_IDS, read).or_else(|| read(keys.header("X-Request-Id")?));
    }
    if by_names(Column::TraceId) {
        let id = keys.take(TRACE_IDS, |value| identifier(Identifier::TraceId, value));
        let read = |value: &Value| identifier(Identifier::TraceParent, value);
        let id = id.or_else(|| keys.take(TRACE_PARENTS, read));
        record.trace_id = id.or_else(|| read(keys.header("Traceparent")?));
    }
}

/// Takes a duration whose unit is certain: nginx's seconds, Caddy's seconds, Traefik's nanoseconds. Any
/// other number stays under its key.
fn duration(keys: &mut Keys) -> Option<i64> {
    let seconds = |value: &Value| {
        let seconds = match value {
            Value::String(text) if text.contains('.') => text.parse().ok()?,
            Value::Number(number) if number.is_f64() => number.as_f64()?,
            _ => return None,
        };
        (0.0..1e12).contains(&seconds).then(|| (seconds * 1e6).round() as i64)
    };
    if keys.is_of_traefik {
        return keys.take(&["Duration"], integer).map(|nanoseconds| nanoseconds / 1_000);
    }
    let nginx = keys.take(&["request_time"], seconds);
    nginx.or_else(|| match keys.nested.is_empty() {
        true => None,
        false => keys.take(&["duration"], seconds),
    })
}

/// The keys of a line, of which those that fill a column are taken.
struct Keys {
    object: Map<String, Value>,
    /// The keys of Caddy's `request`. They are read, and stay where they are.
    nested: Map<String, Value>,
    is_of_traefik: bool,
}

impl Keys {
    /// Takes the first of several keys whose value can be read.
    fn take<T>(&mut self, names: &[&str], read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        for name in names {
            if let Some(found) = self.object.get(*name).and_then(&read) {
                self.object.remove(*name);
                return Some(found);
            }
        }
        names.iter().find_map(|name| self.nested.get(*name).and_then(&read))
    }

    /// Returns a header of Caddy's `request`, whose values are lists.
    fn header(&self, name: &str) -> Option<&Value> {
        let value = self.nested.get("headers")?.get(name)?;
        Some(value.get(0).unwrap_or(value))
    }
}

/// Returns a text that is a value: not empty, and not `-`.
fn text_value(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !matches!(*text, "" | "-")).map(str::to_owned)
}

fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn time(value: &Value) -> Option<Micros> {
    if let Some(seconds) = value.as_f64() {
        // Seconds since 1970, of the years 2001 to 2286. Other numbers may be in another unit.
        let micros =
            || (seconds.trunc() as i64) * 1_000_000 + (seconds.fract() * 1e6).round() as i64;
        return (1e9..1e10).contains(&seconds).then(micros);
    }
    let text = value.as_str()?;
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        let micros = time.timestamp_micros();
        return TIME_RANGE.contains(&micros).then_some(micros);
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']').as_bytes();
    let readers: [times::Reader; 3] = [times::iso, times::clf, times::epoch];
    readers.iter().find_map(|read| read(bare).filter(|(_, rest)| rest.is_empty()).map(|it| it.0))
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_nul),
        Value::Object(map) => map.iter().any(|(key, it)| key.contains('\0') || holds_nul(it)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<GunicornJson, RejectReason> {
        super::parse(text, &JsonMapping::default(), Columns::Current)
    }

    #[test]
    fn caddy_traefik_and_nginx_fill_the_columns() {
        let caddy = r#"{"level":"info","ts":1646861401.5241024,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"127.0.0.1","remote_port":"41342","client_ip":"127.0.0.1","proto":"HTTP/2.0","method":"GET","host":"localhost","uri":"/a?b=1","headers":{"User-Agent":["curl/7.82.0"],"Accept":["*/*"]}},"bytes_read":0,"user_id":"","duration":0.000929675,"size":10900,"status":200,"resp_headers":{"Server":["Caddy"]}}"#;
        let line = parse(caddy).unwrap();
        assert_eq!(line.timestamp, 1_646_861_401_524_102);
        let record = &line.record;
        assert_eq!(record.method.as_deref(), Some("GET"));
        assert_eq!(record.url.as_deref(), Some("/a?b=1"));
        assert_eq!(record.protocol.as_deref(), Some("HTTP/2.0"));
        assert_eq!(record.host.as_deref(), Some("localhost"));
        assert_eq!(record.user_ip, "127.0.0.1".parse().ok());
        assert_eq!(record.agent.as_deref(), Some("curl/7.82.0"));
        assert_eq!((record.code, record.response_bytes), (Some(200), Some(10_900)));
        assert_eq!(record.duration, Some(930));
        let traefik = r#"{"ClientAddr":"172.18.0.1:34","ClientHost":"172.18.0.1","ClientUsername":"-","DownstreamContentSize":341,"DownstreamStatus":200,"Duration":1234567,"RequestHost":"whoami","RequestMethod":"GET","RequestPath":"/","RequestProtocol":"HTTP/1.1","StartUTC":"2026-11-25T22:54:28.5Z","level":"info","msg":"","time":"2026-11-25T22:54:28Z"}"#;
        let record = parse(traefik).unwrap().record;
        assert_eq!((record.duration, record.response_bytes), (Some(1_234), Some(341)));
        assert_eq!(record.user_ip, "172.18.0.1".parse().ok());
        assert_eq!(record.user_id, None);
    }

    #[test]
    fn a_number_of_unknown_unit_is_kept() {
        let line = r#"{"time":"2026-11-25T22:54:28Z","method":"GET","path":"/","status":"200","duration_ms":367}"#;
        let line = parse(line).unwrap();
        assert_eq!(line.record.duration, None);
        assert_eq!(line.request.unwrap()["duration_ms"], 367);
    }

    #[test]
    fn other_objects_are_no_access_lines() {
        let server = r#"{"level":"info","ts":1646861401.5,"msg":"serving initial configuration"}"#;
        assert_eq!(parse(server), Err(RejectReason::ServerLog));
        assert!(matches!(parse(r#"{"a":1}"#), Err(RejectReason::UnlikeFormat(_))));
        assert!(matches!(parse("[1]"), Err(RejectReason::UnlikeFormat(_))));
    }

    fn mapped(pairs: &[(&str, &str)], text: &str) -> Result<GunicornJson, RejectReason> {
        let mut mapping = JsonMapping::default();
        for (key, target) in pairs {
            mapping.add(key, target).unwrap();
        }
        super::parse(text, &mapping, Columns::Current)
    }

    #[test]
    fn mapped_keys_fill_their_columns() {
        let pairs = [
            ("at", "timestamp:ms"),
            ("req.verb", "method"),
            ("req.path", "url"),
            ("req.proto", "protocol"),
            ("req.host", "host"),
            ("req.ua", "agent"),
            ("req.from", "source"),
            ("client.addr", "user_ip"),
            ("client.user.id", "user_id"),
            ("took_ms", "duration:ms"),
            ("rsp.code", "code"),
            ("rsp.len", "response_bytes"),
            ("worker", "pid"),
        ];
        let line = r#"{"at":1795423260123,"req":{"verb":"GET","path":"/a?b","proto":"HTTP/1.1","host":"x.example","ua":"curl","from":"https://y/","id":"r1"},"client":{"addr":"203.0.113.9, 10.0.0.1","user":{"id":42}},"took_ms":12.5,"rsp":{"code":"204","len":0},"worker":7,"status":500,"more":true}"#;
        let line = mapped(&pairs, line).unwrap();
        assert_eq!(line.timestamp, 1_795_423_260_123_000);
        let right = GunicornLogModel {
            timestamp: Some(1_795_423_260_123_000),
            method: Some("GET".into()),
            url: Some("/a?b".into()),
            host: Some("x.example".into()),
            user_id: Some("42".into()),
            user_ip: "203.0.113.9".parse().ok(),
            agent: Some("curl".into()),
            source: Some("https://y/".into()),
            duration: Some(12_500),
            code: Some(204),
            protocol: Some("HTTP/1.1".into()),
            response_bytes: Some(0),
            pid: Some(7),
            ..GunicornLogModel::default()
        };
        assert_eq!(line.record, right);
        let kept = serde_json::json!({"req": {"id": "r1"}, "status": 500, "more": true});
        assert_eq!(line.request, Some(kept));
    }

    #[test]
    fn a_mapped_value_without_the_shape_of_its_column_is_kept() {
        let pairs = [("took", "duration:ms"), ("a.b", "url"), ("ip", "user_ip")];
        let line = r#"{"time":"2026-11-25T22:54:28Z","method":"GET","a.b":"/x","path":"/y","status":200,"took":"soon","ip":"x","remote_addr":"203.0.113.9","request_time":0.5}"#;
        let line = mapped(&pairs, line).unwrap();
        let record = line.record;
        assert_eq!(record.url.as_deref(), Some("/x"));
        // No other key takes the place of one that is there.
        assert_eq!((record.duration, record.user_ip), (None, None));
        let kept = serde_json::json!({"took": "soon", "ip": "x", "path": "/y", "remote_addr": "203.0.113.9",
            "request_time": 0.5});
        assert_eq!(line.request, Some(kept));
    }

    #[test]
    fn a_column_whose_key_is_not_in_the_line_is_filled_by_the_known_names() {
        let pairs = [("took_ms", "duration:ms"), ("rsp.code", "code"), ("ip", "user_ip")];
        let line = r#"{"time":"2026-11-25T22:54:28Z","request":"GET /a HTTP/1.1","status":200,"request_time":"0.012","took_ms":null,"remote_addr":"203.0.113.9"}"#;
        let record = mapped(&pairs, line).unwrap().record;
        assert_eq!((record.code, record.duration), (Some(200), Some(12_000)));
        assert_eq!((record.method.as_deref(), record.url.as_deref()), (Some("GET"), Some("/a")));
        assert!(record.user_ip.is_some());
        let line =
            r#"{"time":"2026-11-25T22:54:28Z","method":"GET","path":"/","rsp":{"code":"many"}}"#;
        assert!(matches!(mapped(&pairs, line), Err(RejectReason::UnlikeFormat(_))));
    }
}
