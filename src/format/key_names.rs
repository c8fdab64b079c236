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
/// What the application answered or the proxy passed on comes before what the client sent.
pub(super) const REQUEST_IDS: &[&str] = &[
    "sent_http_x_request_id",
    "upstream_http_x_request_id",
    "downstream_X-Request-Id",
    "origin_X-Request-Id",
    "request_id",
    "requestId",
    "req_id",
    "x_request_id",
    "x-request-id",
    "X-Request-ID",
    "X-Request-Id",
    "http_x_request_id",
    "request_X-Request-Id",
];
pub(super) const TRACE_IDS: &[&str] =
    &["trace_id", "traceId", "TraceId", "otelTraceID", "otel_trace_id", "opentelemetry_trace_id"];
pub(super) const TRACE_PARENTS: &[&str] =
    &["traceparent", "http_traceparent", "request_Traceparent"];
pub(super) const ROUTES: &[&str] = &["route", "http_route", "http.route"];

/// Returns a key as it is compared: in lower case, with `_` for `-`.
pub(super) fn folded(key: &str) -> String {
    key.to_lowercase().replace('-', "_")
}
