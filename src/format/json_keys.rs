//! Reads access lines of JSON that other servers and loggers write, by the names of their keys: nginx
//! with `escape=json`, Caddy, Traefik, python-json-logger, structlog.
//!
//! A key is taken for a column only if its value has the column's shape. All other keys are kept in
//! `request`.

use chrono::DateTime;
use serde_json::{Map, Value};

use super::key_names::{
    ADDRESSES, AGENTS, BYTES, HOSTS, METHODS, PIDS, PROTOCOLS, QUERIES, REFERERS, REQUEST_LINES,
    STATUSES, URLS, USERS,
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

/// Reads a line.
///
/// # Errors
/// A line that is not a JSON object, or not an access line.
pub(super) fn parse(text: &str) -> Result<GunicornJson, RejectReason> {
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
    let timestamp = keys.take(TIMES, time);
    take_request(&mut keys, &mut record);
    record.code = keys.take(STATUSES, |value| {
        integer(value)
            .filter(|code| (100..600).contains(code))
            .and_then(|code| code.try_into().ok())
    });
    if record.code.is_none() || record.url.is_none() && record.method.is_none() && is_own {
        return Err(if is_own { RejectReason::ServerLog } else { reject("has no status") });
    }
    let Some(timestamp) = timestamp else { return Err(reject("has no time")) };
    record.timestamp = Some(timestamp);
    record.host = keys.take(HOSTS, text_value).map(Into::into);
    record.user_id = keys.take(USERS, text_value).map(Into::into);
    record.user_ip = keys.take(ADDRESSES, |value| address(value.as_str()?));
    if record.user_ip.is_none() {
        let forwarded = ["http_x_forwarded_for", "x_forwarded_for", "X-Forwarded-For"];
        let list = |key: &&str| keys.object.get(*key)?.as_str().and_then(first_address);
        record.user_ip = forwarded.iter().find_map(list);
    }
    record.agent =
        keys.take(AGENTS, text_value).or_else(|| keys.header("User-Agent")).map(Into::into);
    record.source =
        keys.take(REFERERS, text_value).or_else(|| keys.header("Referer")).map(Into::into);
    record.response_bytes = keys.take(BYTES, integer);
    record.pid = keys.take(PIDS, integer).and_then(|pid| i32::try_from(pid).ok());
    record.duration = duration(&mut keys);
    keys.object.retain(|_, value| !value.is_null());
    let request = (!keys.object.is_empty()).then_some(Value::Object(keys.object));
    Ok(GunicornJson { timestamp, record, request, response: None, headers: None })
}

/// Takes method, URL and protocol, together or each by itself.
fn take_request(keys: &mut Keys, record: &mut GunicornLogModel<'static>) {
    let line = keys.take(REQUEST_LINES, |value| {
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
    let is_url = |text: &String| text.starts_with(['/', '*']) || text.contains("://");
    record.method =
        keys.take(METHODS, |value| text_value(value).filter(|it| is_method(it))).map(Into::into);
    let url = keys.take(URLS, |value| text_value(value).filter(is_url));
    record.protocol = keys
        .take(PROTOCOLS, |value| text_value(value).filter(|it| it.starts_with("HTTP/")))
        .map(Into::into);
    record.url = match url {
        Some(url) if !url.contains('?') => match keys.take(QUERIES, text_value) {
            Some(query) => Some(format!("{url}?{}", query.trim_start_matches('?')).into()),
            None => Some(url.into()),
        },
        url => url.map(Into::into),
    };
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
    fn header(&self, name: &str) -> Option<String> {
        let value = self.nested.get("headers")?.get(name)?;
        text_value(value.get(0).unwrap_or(value))
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
        return (0..253_402_300_800_000_000).contains(&micros).then_some(micros);
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
}
