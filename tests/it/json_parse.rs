//! JSON lines become records: what each key becomes, what is refused and why, what is hidden.

use log_ingestd::format::{Detection, Exclusions, Layout, LineParser, Mask, Parsed, detect};
use log_ingestd::model::{JsonRecord, RequestLog};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

fn parser() -> LineParser {
    let names = ["password", "token"].map(str::to_owned);
    let exclusions = Exclusions::new(&["/static/".into()], &[".css".into()]);
    LineParser::new(Layout::Json, Mask::exact(&names), exclusions)
}

fn read(line: &str) -> JsonRecord {
    match parser().parse(line.as_bytes()) {
        Parsed::Json(record) => *record,
        other => panic!("{line}: {other:?}"),
    }
}

/// A request line with these keys besides.
fn request(keys: Value) -> RequestLog {
    match read(&line("request", keys)) {
        JsonRecord::Request(line) => line,
        other => panic!("{other:?}"),
    }
}

fn line(kind: &str, keys: Value) -> String {
    let mut line = json!({"log": kind, "timestamp": "2026-11-24T15:02:03.123456+00:00"});
    let Value::Object(keys) = keys else { panic!("{keys} are not keys") };
    for (name, value) in keys {
        line[name] = value;
    }
    line.to_string()
}

fn reason(line: impl AsRef<[u8]>) -> String {
    match parser().parse(line.as_ref()) {
        Parsed::Reject(reject) => reject.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_fills_its_columns() {
    let right = RequestLog {
        timestamp: 1_795_532_523_123_456,
        response_time_ms: Some(1.234),
        status_code: Some(200),
        method: Some("GET".into()),
        path: Some("/x".into()),
        query_params: Some("a=b".into()),
        headers: Some(json!({"host": "h", "n": [1, 2.5, null, true]})),
        body: Some("a\nb\\n\t\u{1}\u{1f600}".into()),
        content_type: Some("text/plain".into()),
        response_headers: Some(json!({"x": "y"})),
        response_body: Some("ok".into()),
        ip_address: "203.0.113.9".parse().ok(),
        user_id: Some("7".into()),
        user_agent: Some("curl".into()),
        session_id: Some("s".into()),
        route: Some("x".into()),
        request_id: Some("r1".into()),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        extra_data: Some(json!({"view": "v", "more": {"a": [{}]}})),
    };
    let found = request(json!({
        "method": "GET", "path": "/x", "query_params": "a=b",
        "headers": {"host": "h", "n": [1, 2.5, null, true]},
        "body": "a\nb\\n\t\u{1}\u{1f600}", "content_type": "text/plain", "status_code": 200,
        "response_headers": {"x": "y"}, "response_body": "ok", "response_time_ms": 1.234,
        "ip_address": "203.0.113.9:80", "user_id": "7", "user_agent": "curl", "session_id": "s",
        "route": "x", "request_id": "r1", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "extra_data": {"view": "v"}, "more": {"a": [{}]},
    }));
    assert_eq!(found, right);
    let offset = line("request", json!({"timestamp": "2026-11-24T20:32:03.123456+05:30"}));
    let JsonRecord::Request(found) = read(&format!("{offset}\r")) else { panic!() };
    assert_eq!(found, RequestLog { timestamp: right.timestamp, ..RequestLog::default() });
}

#[test]
fn a_line_of_gunicorn_fills_its_columns() {
    let JsonRecord::Gunicorn(found) = read(&line(
        "gunicorn",
        json!({
            "method": "GET", "url": "/x?a=b\nc", "host": "h", "user_id": "jo\\n", "source": "/from",
            "user_ip": "2001:db8::7", "agent": "curl", "duration": 1234, "code": 200, "pid": 7,
            "protocol": "HTTP/1.1", "response_bytes": 9_000_000_000_i64, "unknown": [1],
            "request": {"environ": {"a": "b"}}, "response": {"headers": {"c": "d"}},
            "headers": {"e": "f"},
        }),
    )) else {
        panic!()
    };
    let record = &found.record;
    assert_eq!(record.url.as_deref(), Some("/x?a=b\nc"));
    assert_eq!(record.user_id.as_deref(), Some("jo\\n"));
    assert_eq!((record.host.as_deref(), record.agent.as_deref()), (Some("h"), Some("curl")));
    assert_eq!((record.method.as_deref(), record.source.as_deref()), (Some("GET"), Some("/from")));
    assert_eq!(record.user_ip, "2001:db8::7".parse().ok());
    assert_eq!((record.duration, record.code, record.pid), (Some(1234), Some(200), Some(7)));
    assert_eq!(record.response_bytes, Some(9_000_000_000));
    assert_eq!(record.protocol.as_deref(), Some("HTTP/1.1"));
    assert_eq!(found.timestamp, 1_795_532_523_123_456);
    assert_eq!(found.request, Some(json!({"environ": {"a": "b"}, "unknown": [1]})));
    assert_eq!(found.response, Some(json!({"headers": {"c": "d"}})));
    assert_eq!(found.headers, Some(json!({"e": "f"})));
}

#[test]
fn nothing_is_null() {
    let found = request(json!({
        "method": null, "path": "", "headers": {}, "response_headers": "", "status_code": "",
        "ip_address": "unknown", "response_time_ms": null, "extra_data": {}, "unknown": null,
        "route": "", "request_id": null, "trace_id": "",
    }));
    assert_eq!(found, RequestLog { timestamp: found.timestamp, ..RequestLog::default() });
}

#[test]
fn further_keys_are_kept_beside_the_others() {
    let extra = |keys| request(keys).extra_data;
    assert_eq!(extra(json!({"a": 1})), Some(json!({"a": 1})));
    assert_eq!(extra(json!({"extra_data": [1]})), Some(json!([1])));
    assert_eq!(extra(json!({"extra_data": "x"})), Some(json!("x")));
    assert_eq!(extra(json!({"extra_data": [1], "a": 2})), Some(json!({"extra_data": [1], "a": 2})));
    let both = json!({"extra_data": {"a": 1, "a_": 2}, "a": 3});
    assert_eq!(extra(both), Some(json!({"a": 1, "a_": 2, "a__": 3})));
}

#[test]
fn each_reason_names_the_key_and_what_would_be_right() {
    let of = |keys| reason(line("request", keys));
    for (keys, right) in [
        (json!({"method": 7}), "`method` is a number; it must be a text"),
        (json!({"body": {"a": 1}}), "`body` is an object; it must be a text"),
        (json!({"ip_address": true}), "`ip_address` is true or false; it must be a text"),
        (json!({"headers": [1]}), "`headers` is a list; it must be an object, {…}"),
        (
            json!({"response_headers": "x"}),
            "`response_headers` is a text; it must be an object, {…}",
        ),
        (json!({"response_time_ms": "1"}), "`response_time_ms` is a text; it must be a number"),
        (
            json!({"status_code": "200"}),
            "`status_code` is a text; it must be a whole number from -2147483648 to 2147483647",
        ),
        (
            json!({"status_code": 2_147_483_648_i64}),
            "`status_code` must be a whole number from -2147483648 to 2147483647",
        ),
        (
            json!({"timestamp": null}),
            "`timestamp` is missing; it must be a time with offset like \
             2026-11-24T15:02:03.123456+00:00",
        ),
        (json!({"timestamp": 7}), "`timestamp` is a number; it must be a text"),
        (json!({"path": "a\0b"}), "`path` holds NUL (\\u0000), which a text column cannot"),
        (
            json!({"headers": {"a": ["\0"]}}),
            "`headers` holds NUL (\\u0000), which a text column cannot",
        ),
        (json!({"x": {"\0": 1}}), "`extra_data` holds NUL (\\u0000), which a text column cannot"),
        (
            json!({"x": [1e20]}),
            "`extra_data` holds a number out of range; numbers must be smaller than 2^64",
        ),
    ] {
        assert_eq!(of(keys), right);
    }
    for time in [
        "2026-11-24T15:02:03",
        "2026-11-24",
        "x",
        "1969-12-31T23:59:59+00:00",
        "9999-12-31T23:59:59-01:00",
        "2026-11-24T15:02:60+00:00",
        "2026-02-29T00:00:00+00:00",
    ] {
        let reason = of(json!({"timestamp": time}));
        assert!(reason.starts_with("`timestamp` must be a time with offset like"), "{reason}");
    }
    for (line, right) in [
        (r#"{"log":"request","body":"\ud800 alone"}"#, "holds an unpaired surrogate"),
        (r#"{"log":"request","body":"\udc00"}"#, "holds an unpaired surrogate"),
        (r#"{"log":"request","body":"cut of"#, "is cut off"),
        (r#"{"log":"request","#, "is cut off"),
        (r#"{"log":"request"}{"log":"request"}"#, "goes on after its JSON object"),
        (r#"{"log":"request",x}"#, "is not a JSON object"),
        (r#"{"log":"request","x":1e999}"#, "holds a number out of range"),
        ("{\"log\":\"request\",\"x\":\"\u{1}\"}", "holds a control character"),
        ("{\"log\":\"request\",\n\"x\":1}", "is more than one line"),
        ("{\"log\":\"request\",\"x\":\"\0\"}", "holds NUL"),
        (r#"{"log":"other"}"#, r#"`log` must be "request" or "gunicorn""#),
        (r#"{"log":7}"#, "`log` is a number; it must be a text"),
        (r#"{"a":1}"#, r#"does not begin with {"log":"request" or {"log":"gunicorn""#),
        ("GET / HTTP/1.1", "does not begin with"),
        ("[1]", "does not begin with"),
        ("", "does not begin with"),
    ] {
        assert!(reason(line).starts_with(right), "{line}: {}", reason(line));
    }
    let of_gunicorn = reason(line("gunicorn", json!({"request": [1]})));
    assert_eq!(of_gunicorn, "`request` is a list; it must be an object, {…}");
    let deep = format!("{{\"log\":\"request\",\"x\":{}", "[".repeat(100_000));
    assert_eq!(reason(deep), "is nested more than 127 deep");
    assert_eq!(reason(b"{\"log\":\"request\",\"x\":\"\xff\"}"), "is not UTF-8");
}

#[test]
fn secrets_are_hidden_wherever_they_stand() {
    let found = request(json!({
        "path": "/x?token=a", "query_params": "a=b&Password=c&user%5Btoken%5D=d",
        "headers": {"Authorization": "Basic eA==", "cookie": "s=1", "X-Api-Key": "k", "host": "h",
                    "referer": "/y?token=e"},
        "response_headers": {"Set-Cookie": ["a", "b"]},
        "body": "{\"user\": {\"PASSWORD\": \"a\\\"b\", \"n\": 1.50}, \"list\": [{\"token\":[1,{\"a\":\"}\"}]}, {\"token\" : 7}]}",
        "response_body": "token=f&ok=1",
        "extra_data": {"deep": [{"Token": {"a": 1}, "b": [{"password": 5, "token": null}]}],
                       "HTTP_COOKIE": "s", "QUERY_STRING": "token=g", "json": "{\"password\":\"h\"}"},
    }));
    const STARS: &str = "********";
    assert_eq!(found.path.as_deref(), Some("/x?token=********"));
    assert_eq!(
        found.query_params.as_deref(),
        Some("a=b&Password=********&user%5Btoken%5D=********")
    );
    let headers = json!({"Authorization": STARS, "cookie": STARS, "X-Api-Key": STARS, "host": "h",
                         "referer": "/y?token=********"});
    assert_eq!(found.headers, Some(headers));
    assert_eq!(found.response_headers, Some(json!({"Set-Cookie": STARS})));
    assert_eq!(
        found.body.as_deref(),
        Some(
            "{\"user\": {\"PASSWORD\": \"********\", \"n\": 1.50}, \"list\": [{\"token\":\"********\"}, {\"token\" : \"********\"}]}"
        )
    );
    assert_eq!(found.response_body.as_deref(), Some("token=********&ok=1"));
    let extra = json!({"deep": [{"Token": STARS, "b": [{"password": STARS, "token": null}]}],
                       "HTTP_COOKIE": STARS, "QUERY_STRING": "token=********",
                       "json": "{\"password\":\"********\"}"});
    assert_eq!(found.extra_data, Some(extra));
    let body = |text: &str| request(json!({"body": text})).body.unwrap();
    assert_eq!(body("{\"a\":1,\"token\":\"cut of"), "{\"a\":1,\"token\":\"********\"");
    assert_eq!(body("[{\"token\":[\"cut\","), "[{\"token\":\"********\"");
    assert_eq!(
        body("{\"token\":true,\"a\":\"token\"}"),
        "{\"token\":\"********\",\"a\":\"token\"}"
    );
    assert_eq!(
        body("{\"to\\u006ben\":\"x\",\"token\":\"\"}"),
        "{\"to\\u006ben\":\"********\",\"token\":\"\"}"
    );
    assert_eq!(
        body("{\"url\":\"/?token=a\\\"b&c=d\",\"l\":[\"token=e\"],\"cut\":\"?token=f"),
        "{\"url\":\"/?token=********&c=d\",\"l\":[\"token=********\"],\"cut\":\"?token=********"
    );
    for plain in ["the password is x", "{", "{\"a\":\"\\", "[]", "{\"token\"", "{\"token\":"] {
        assert_eq!(body(plain), plain);
    }
    let keys = json!({"url": "/?token=a", "source": "https://x/?password=b", "headers": {"Cookie": "c"},
                      "response": {"headers": {"set-cookie": "d"}}, "request": {"environ": {"HTTP_AUTHORIZATION": "e"}}});
    let JsonRecord::Gunicorn(found) = read(&line("gunicorn", keys)) else { panic!() };
    assert_eq!(found.record.url.as_deref(), Some("/?token=********"));
    assert_eq!(found.record.source.as_deref(), Some("https://x/?password=********"));
    assert_eq!(found.headers, Some(json!({"Cookie": STARS})));
    assert_eq!(found.response, Some(json!({"headers": {"set-cookie": STARS}})));
    assert_eq!(found.request, Some(json!({"environ": {"HTTP_AUTHORIZATION": STARS}})));
}

#[test]
fn headers_are_hidden_even_if_no_name_is_given() {
    let parser = LineParser::new(Layout::Json, Mask::by_meaning(&[]), Exclusions::default());
    let keys =
        json!({"headers": {"Cookie": "a"}, "query_params": "token=a", "body": "{\"token\":1}"});
    let line = line("request", keys);
    let Parsed::Json(record) = parser.parse(line.as_bytes()) else { panic!() };
    let JsonRecord::Request(found) = *record else { panic!() };
    assert_eq!(found.headers, Some(json!({"Cookie": "********"})));
    assert_eq!(found.query_params.as_deref(), Some("token=a"));
    assert_eq!(found.body.as_deref(), Some("{\"token\":1}"));
}

#[test]
fn a_path_that_is_left_out_is_left_out() {
    for keys in [json!({"path": "/static/x"}), json!({"path": "/a.CSS"})] {
        assert_eq!(parser().parse(line("request", keys).as_bytes()), Parsed::Excluded);
    }
    let keys = json!({"url": "/static/x?a=b"});
    assert_eq!(parser().parse(line("gunicorn", keys).as_bytes()), Parsed::Excluded);
}

fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        "log|timestamp|method|path|query_params|headers|body|status_code|response_headers|request",
        "response_time_ms|ip_address|extra_data|password|Cookie|url|duration|pid|response",
        ".*",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        "[\\[{]([\\[\\]{}:,\\\\\" a]|\"token\":){0,12}".prop_map(Value::from),
        Just(json!("2026-11-24T15:02:03.123456+00:00")),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(name.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    /// Whatever JSON it is, cut anywhere: a record or a reject, in one piece.
    #[test]
    fn no_json_is_too_much(value in any_json(), kind in "request|gunicorn", cut in any::<prop::sample::Index>()) {
        let keys = if value.is_object() { value } else { json!({"extra_data": value}) };
        let text = line(&kind, keys);
        let parser = parser();
        let whole = parser.parse(text.as_bytes());
        prop_assert_eq!(&whole, &parser.parse(text.as_bytes()));
        let part = &text.as_bytes()[..cut.index(text.len())];
        prop_assert!(matches!(parser.parse(part), Parsed::Reject(_)), "{}", text);
        prop_assert!(!matches!(detect(&[text.as_bytes()]), Detection::NotYet));
    }

    /// A body with a secret, cut anywhere, does not hold it.
    #[test]
    fn a_secret_is_hidden_wherever_its_body_is_cut(mut value in any_json(), cut in any::<prop::sample::Index>()) {
        if let Some(map) = value.as_object_mut() {
            map.insert("token".into(), json!({"a": "hunter2", "b": ["hunter2"]}));
        } else {
            value = json!([value, {"Password": "hunter2"}]);
        }
        let text = value.to_string();
        let mut end = cut.index(text.len() + 1);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text[..end].replace('\0', "");
        if let Some(body) = request(json!({"body": text})).body {
            prop_assert!(!body.contains("hunter2"), "{}", body);
        }
    }
}
