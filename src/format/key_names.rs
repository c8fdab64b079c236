//! The names that servers and loggers give to values, by what they mean: keys of JSON, and of `key=value`.
//! Of several in one line the first of a list is the one that is taken.

pub(super) const METHODS: &[&str] =
    &["method", "request_method", "http_method", "RequestMethod", "verb"];
pub(super) const REQUEST_LINES: &[&str] = &["request", "request_line"];
pub(super) const URLS: &[&str] =
    &["uri", "url", "request_uri", "RequestPath", "path", "url_path", "request_path"];
pub(super) const QUERIES: &[&str] = &["query", "query_string", "args"];
pub(super) const PROTOCOLS: &[&str] =
    &["proto", "protocol", "server_protocol", "RequestProtocol", "http_version"];
pub(super) const HOSTS: &[&str] = &["host", "http_host", "RequestHost", "vhost"];
pub(super) const USERS: &[&str] =
    &["user_id", "remote_user", "user", "username", "user_name", "ClientUsername"];
pub(super) const ADDRESSES: &[&str] = &[
    "client_ip",
    "remote_addr",
    "remote_ip",
    "remote_address",
    "ClientHost",
    "ClientAddr",
    "client_addr",
    "ip",
    "remote",
    "client",
];
pub(super) const AGENTS: &[&str] =
    &["http_user_agent", "user_agent", "request_User-Agent", "User-Agent", "agent", "useragent"];
pub(super) const REFERERS: &[&str] =
    &["http_referer", "http_referrer", "referer", "referrer", "request_Referer", "Referer"];
pub(super) const STATUSES: &[&str] =
    &["status", "status_code", "DownstreamStatus", "code", "response_status", "http_status"];
pub(super) const BYTES: &[&str] = &[
    "body_bytes_sent",
    "size",
    "DownstreamContentSize",
    "bytes",
    "response_length",
    "response_size",
    "response_bytes",
];
pub(super) const PIDS: &[&str] = &["pid", "process"];

/// Returns a key as it is compared: in lower case, with `_` for `-`.
pub(super) fn folded(key: &str) -> String {
    key.to_lowercase().replace('-', "_")
}
