//! Secrets are told by their meaning, as `fixtures/masking/cases.json` says. The Django package reads the
//! same cases.

use std::fmt::Write;
use std::fs;

use log_ingestd::format::{Exclusions, Layout, LineParser, Mask, Parsed, Template};
use log_ingestd::model::{JsonRecord, Likeness, RequestLog};
use serde_json::{Value, json};

use crate::daemon::{for_each_store, line};
use crate::place::until;

const STARS: &str = "********";
const OLDER: [&str; 4] = ["password", "token", "access_key", "secret"];

fn cases() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/masking/cases.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn texts(list: &Value) -> Vec<String> {
    let texts: Vec<_> =
        list.as_array().unwrap().iter().map(|it| it.as_str().unwrap().into()).collect();
    assert!(!texts.is_empty());
    texts
}

fn by_meaning() -> Mask {
    Mask::by_meaning(&OLDER.map(str::to_owned))
}

fn request(mask: &Mask, line: &Value) -> RequestLog {
    let parser = LineParser::new(Layout::Json, mask.clone(), Exclusions::default());
    let mut record = json!({"log": "request", "timestamp": "2026-11-23T10:00:00Z", "path": "/"});
    record.as_object_mut().unwrap().extend(line.as_object().unwrap().clone());
    match parser.parse(record.to_string().as_bytes()) {
        Parsed::Json(record) => match *record {
            JsonRecord::Request(line) => line,
            JsonRecord::Gunicorn(_) => panic!("a line of Gunicorn"),
        },
        other => panic!("{other:?}"),
    }
}

/// Returns the URL of an access line after masking.
fn url(mask: &Mask, url: &str) -> String {
    let template = Template::compile(r#""%(r)s""#).unwrap();
    let parser = LineParser::new(template, mask.clone(), Exclusions::default());
    let line = format!("\"GET {url} HTTP/1.1\"");
    match parser.parse(line.as_bytes()) {
        Parsed::Record(record) => record.url.unwrap().into_owned(),
        other => panic!("{other:?}"),
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b' ' => out.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) => out.push(byte.into()),
            byte => write!(out, "%{byte:02X}").unwrap(),
        }
        out
    })
}

/// Which of these names are masked: in a query, as a key of JSON, and in a URL of an access line.
fn masked(mask: &Mask, names: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for name in names {
        let query = format!("a=b&{}=hush", encoded(name));
        let body = json!({"a": [{name: "hush"}]}).to_string();
        let line = request(
            mask,
            &json!({"query_params": query, "body": body, "extra_data": {name: "hush"}}),
        );
        let texts = [
            line.query_params.unwrap(),
            line.body.unwrap(),
            line.extra_data.unwrap().to_string(),
            url(mask, &format!("/?{query}")),
            url(mask, &format!("/?a=b&{}=hush", name.replace(['[', ']'], "."))),
        ];
        let stars = texts.iter().filter(|text| text.contains(STARS)).count();
        assert_eq!(stars, texts.iter().filter(|text| !text.contains("hush")).count(), "{name}");
        assert!(stars == 0 || stars == 5, "{name} is masked in some places: {texts:?}");
        found.extend((stars == 5).then(|| name.clone()));
    }
    found
}

#[test]
fn names_that_mean_a_secret_are_masked_and_no_others() {
    let cases = cases();
    let (secret, innocent) = (texts(&cases["names"]["secret"]), texts(&cases["names"]["innocent"]));
    assert!(secret.len() >= 60 && innocent.len() >= 40);
    assert_eq!(masked(&by_meaning(), &secret), secret);
    assert_eq!(masked(&by_meaning(), &innocent), Vec::<String>::new());
    // These are headers, and masked by any rule where they are keys of JSON.
    let headers = ["authorization", "x-api-key", "Set-Cookie"];
    let fields: Vec<_> =
        secret.into_iter().filter(|name| !headers.contains(&name.as_str())).collect();
    assert_eq!(masked(&Mask::by_meaning(&[]), &fields), Vec::<String>::new());
}

#[test]
fn added_names_are_masked_wherever_their_parts_stand() {
    let cases = &cases()["added"];
    let mask = Mask::by_meaning(&texts(&cases["fields"]));
    let (secret, innocent) = (texts(&cases["secret"]), texts(&cases["innocent"]));
    assert_eq!(masked(&mask, &secret), secret);
    assert_eq!(masked(&mask, &innocent), Vec::<String>::new());
}

#[test]
fn the_exact_rule_masks_whole_names_only() {
    let cases = &cases()["exact"];
    let mask = Mask::exact(&texts(&cases["fields"]));
    for name in texts(&cases["secret"]) {
        let line = request(&mask, &json!({"query_params": format!("{}=hush", encoded(&name))}));
        assert!(!line.query_params.unwrap().contains("hush"), "{name}");
    }
    assert_eq!(masked(&mask, &texts(&cases["innocent"])), Vec::<String>::new());
}

#[test]
fn headers_are_masked_by_their_names() {
    let template = r#""%(r)s" "%({NAME}i)s" "%({NAME}o)s""#;
    for (kind, expected) in [("secret", STARS), ("innocent", "hush")] {
        for name in texts(&cases()["headers"][kind]) {
            let headers = json!({name.to_lowercase(): "hush"});
            let line = json!({"headers": headers, "response_headers": headers});
            let line = request(&by_meaning(), &line);
            assert_eq!(line.headers.unwrap()[name.to_lowercase()], expected, "{name}");
            assert_eq!(line.response_headers.unwrap()[name.to_lowercase()], expected, "{name}");
            let template = Template::compile(&template.replace("NAME", &name)).unwrap();
            let parser = LineParser::new(template, by_meaning(), Exclusions::default());
            let Parsed::Record(record) = parser.parse(br#""GET / HTTP/1.1" "hush" "hush""#) else {
                panic!("no record")
            };
            let captured = [record.headers, record.response_headers].concat();
            assert!(captured.iter().all(|(_, text)| text == expected), "{name}: {captured:?}");
        }
    }
}

#[test]
fn values_that_look_like_a_secret_are_masked_wherever_they_stand() {
    for (kind, is_secret) in [("secret", true), ("innocent", false)] {
        for value in texts(&cases()["values"][kind]) {
            let query = format!("a={}", encoded(&value));
            let line = request(
                &by_meaning(),
                &json!({
                    "query_params": query, "headers": {"x-note": value},
                    "body": json!({"a": value}).to_string(), "response_body": format!("it is {value}"),
                    "extra_data": {"a": [value]},
                }),
            );
            let texts = [
                line.query_params.unwrap(),
                line.headers.unwrap().to_string(),
                line.body.unwrap(),
                line.response_body.unwrap(),
                line.extra_data.unwrap().to_string(),
                url(&by_meaning(), &format!("/?{query}")),
            ];
            let expected = if is_secret { 6 } else { 0 };
            let stars = texts.iter().filter(|text| text.contains(STARS)).count();
            assert_eq!(stars, expected, "{value}: {texts:?}");
        }
    }
}

#[test]
fn the_rest_of_a_text_stays_as_it_was_sent() {
    let cases = cases();
    for case in cases["texts"].as_array().unwrap() {
        let line = request(&by_meaning(), &json!({"body": case["text"]}));
        assert_eq!(Value::from(line.body.unwrap()), case["masked"], "{}", case["text"]);
    }
    for case in cases["queries"].as_array().unwrap() {
        let line = request(&by_meaning(), &json!({"query_params": case["query"]}));
        assert_eq!(Value::from(line.query_params.unwrap()), case["masked"]);
    }
    for case in cases["urls"].as_array().unwrap() {
        let (given, masked) = (case["url"].as_str().unwrap(), case["masked"].as_str().unwrap());
        assert_eq!(url(&by_meaning(), given), masked);
        let parser = LineParser::new(Layout::Json, by_meaning(), Exclusions::default());
        let line = json!({"log": "gunicorn", "timestamp": "2026-11-23T10:00:00Z", "url": given, "source": given});
        let Parsed::Json(record) = parser.parse(line.to_string().as_bytes()).clone() else {
            panic!("no record")
        };
        let JsonRecord::Gunicorn(line) = *record else { panic!("another log") };
        assert_eq!(
            (line.record.url.as_deref(), line.record.source.as_deref()),
            (Some(masked), Some(masked))
        );
    }
    let number = request(&by_meaning(), &json!({"extra_data": {"n": 4_111_111_111_111_111_u64}}));
    assert_eq!(number.extra_data.unwrap(), json!({"n": STARS}));
}

#[test]
fn what_is_within_captured_values_is_masked() {
    let template = r#""%(r)s" "%({x-note}i)s" "%({location}o)s" "%({QUERY_STRING}e)s""#;
    for case in cases()["header_values"].as_array().unwrap() {
        let (given, masked) = (case["value"].as_str().unwrap(), case["masked"].as_str().unwrap());
        let line = request(
            &by_meaning(),
            &json!({"headers": {"x-note": given}, "response_headers": {"location": given}}),
        );
        assert_eq!(line.headers.unwrap()["x-note"], masked);
        assert_eq!(line.response_headers.unwrap()["location"], masked);
        let line = request(&by_meaning(), &json!({"headers": {"x-note": masked}}));
        assert_eq!(line.headers.unwrap()["x-note"], masked, "what is masked stays");
        let quoted = given.replace('"', "\\\"");
        let line = format!(r#""GET / HTTP/1.1" "{quoted}" "{quoted}" "{quoted}""#);
        for (mask, expected) in [(by_meaning(), masked), (Mask::default(), given)] {
            let template = Template::compile(template).unwrap();
            let parser = LineParser::new(template, mask, Exclusions::default());
            let Parsed::Record(record) = parser.parse(line.as_bytes()) else { panic!("{line}") };
            let captured = [&record.headers, &record.response_headers, &record.environ];
            let texts = captured.iter().flat_map(|it| it.iter().map(|(_, text)| &**text));
            assert_eq!(texts.collect::<Vec<_>>(), [expected; 3], "{line}");
            let likeness = record.written.likeness == Likeness::Masked;
            assert_eq!(likeness, expected != given, "{line}");
        }
    }
}

#[test]
fn values_without_a_column_are_masked_by_their_names() {
    let tail = |format: &str, line: &str| {
        let layout = Layout::named_or_format(format).unwrap();
        let parser = LineParser::new(layout, by_meaning(), Exclusions::default());
        let Parsed::Record(record) = parser.parse(line.as_bytes()) else { panic!("{line}") };
        record.request().unwrap()["tail"].clone()
    };
    for name in [
        "cookie_sessionid",
        "cookie_sid",
        "arg_password",
        "arg_sid",
        "upstream_http_set_cookie",
        "jwt",
    ] {
        let format = format!("$remote_addr [$time_local] \"$request\" $status \"${name}\"");
        let line = r#"10.0.0.1 [23/Nov/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 "hush""#;
        assert_eq!(tail(&format, line), json!({name: STARS}));
    }
    for name in
        ["cookie_lang", "arg_page", "upstream_cache_status", "ssl_session_reused", "token_type"]
    {
        let format = format!("$remote_addr [$time_local] \"$request\" $status \"${name}\"");
        let line = r#"10.0.0.1 [23/Nov/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 "hush""#;
        assert_eq!(tail(&format, line), json!({name: "hush"}));
    }
    let line =
        json!({"extra_data": {"cookie_sid": "hush", "arg_sid": "hush", "cookie_lang": "de"}});
    let line = request(&by_meaning(), &line);
    let expected = json!({"cookie_sid": STARS, "arg_sid": STARS, "cookie_lang": "de"});
    assert_eq!(line.extra_data.unwrap(), expected);
    let apache = r#"%h %t \"%r\" %>s \"%{sid}C\" \"%{JSESSIONID}C\" \"%{token}n\" \"%{lang}C\""#;
    let line =
        r#"10.0.0.1 [23/Nov/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 "hush" "hush" "hush" "de""#;
    assert_eq!(
        tail(apache, line),
        json!({"sid": STARS, "jsessionid": STARS, "token": STARS, "lang": "de"})
    );
    let body = r#"$remote_addr [$time_local] "$request" $status "$request_body""#;
    for (given, masked) in [
        ("a=b&password=hush", "a=b&password=********"),
        (r"{\x22password\x22:\x22hush\x22}", r#"{"password":"********"}"#),
    ] {
        let line =
            format!(r#"10.0.0.1 [23/Nov/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 "{given}""#);
        assert_eq!(tail(body, &line), json!({"request_body": masked}));
    }
    // What has not the shape of its column.
    let line = r#"token=hush - - [23/Nov/2026:08:00:00 +0000] "password=hush" 400 0 "-" "-""#;
    assert_eq!(
        tail("gunicorn", line),
        json!({"remote_host": "token=********", "request_line": "password=********"})
    );
    let line = "GET /ssotoken=hush&a=b HTTP/1.1";
    assert_eq!(
        tail("%(m)s %(U)s%(q)s %(H)s", line),
        json!({"path_and_query": "/ssotoken=********&a=b"})
    );
}

#[test]
fn tokens_and_users_of_urls_are_masked_in_every_text() {
    const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2ln";
    let url = "http://jo:hush@example.com/a";
    let template =
        Template::compile(r#"%(h)s %(u)s "%(r)s" "%(f)s" "%(a)s" "%({x}e)s" "%({x-host}i)s""#);
    let parser = LineParser::new(template.unwrap(), by_meaning(), Exclusions::default());
    let line = format!(
        r#"127.0.0.1 {TOKEN} "GET /a/{TOKEN} HTTP/1.1" "{url}" "curl {TOKEN} {url}" "{TOKEN}" "{url}""#
    );
    let Parsed::Record(record) = parser.parse(line.as_bytes()) else { panic!("no record: {line}") };
    let shown = format!("{record:?}");
    assert!(!shown.contains("eyJ") && !shown.contains("hush"), "{shown}");
    assert_eq!(record.agent.unwrap(), format!("curl {STARS} http://{STARS}@example.com/a"));
    let line = request(
        &by_meaning(),
        &json!({"path": format!("/a/{TOKEN}"), "user_agent": TOKEN, "user_id": url, "method": TOKEN, "content_type": url}),
    );
    let shown = format!("{line:?}");
    assert!(!shown.contains("eyJ") && !shown.contains("hush"), "{shown}");
    // By the exact rule, only names are known; headers that hold nothing but a secret are among them.
    let template = Template::compile(r#""%(r)s" "%({cookie}i)s" "%({set-cookie}o)s" "%({x}i)s""#);
    let mask = Mask::exact(&OLDER.map(str::to_owned));
    let parser = LineParser::new(template.unwrap(), mask, Exclusions::default());
    let Parsed::Record(record) = parser.parse(br#""GET / HTTP/1.1" "hush" "hush" "x""#) else {
        panic!("no record")
    };
    let captured = [record.headers, record.response_headers].concat();
    assert_eq!(captured.iter().map(|(_, text)| &**text).collect::<Vec<_>>(), [STARS, "x", STARS]);
}

for_each_store! {
    /// No line is stored as it would be masked today: it is known all the same, after a power cut and in a
    /// shorter copy.
    async fn lines_that_an_older_version_masked_otherwise_are_known(bench) {
        let secret = |nth: u32| line(&format!("/a/{nth}?api_key=hidden"));
        let log: String = (0..100).map(secret).collect();
        bench.append("access.log", &log);
        let daemon = bench.watch_with(&["--masking", "exact"]);
        bench.rows(100).await;
        assert!(daemon.stop().await.success());
        // The last three lines are gone, and one more is torn.
        let length = log.len() - 3 * secret(99).len() - 20;
        fs::OpenOptions::new().write(true).open(bench.log("access.log")).unwrap().set_len(length as u64).unwrap();
        bench.append("access.log", format!("\n{}", (100..105).map(secret).collect::<String>()));
        let mut daemon = bench.watch();
        daemon.says("goes on after the last line that both have").await;
        let rows = "SELECT count(*) FROM gunicorn_log";
        until("the new lines are stored", async || bench.place.number(rows).await >= 105).await;
        assert!(daemon.stop().await.success());
        assert_eq!(bench.place.number(&format!("{rows} WHERE url LIKE '%hidden%'")).await, 100);
        assert_eq!(bench.place.number(rows).await, 105, "none is stored twice");
        bench.balanced().await;
        let beginning: String = (0..40).map(secret).collect();
        fs::write(bench.aside("part.log"), beginning).unwrap();
        bench.succeed(&["import", bench.aside("part.log").to_str().unwrap()]);
        assert_eq!(bench.place.number(rows).await, 105, "the copy holds nothing new");
    }

    async fn verify_counts_rows_of_the_older_rule(bench) {
        let query = "/?token=hush&password1=hush&author=jo";
        bench.append("access.log", line(query));
        bench.append("access.log", line("/?note=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2ln&token_type=a"));
        bench.append("access.log", line("/?a=b"));
        // The first edition of the rule by meaning did not look into this one.
        bench.append("access.log", line("/?next=%2Fx%3Ftoken=hush"));
        bench.succeed(&["import", bench.log("access.log").to_str().unwrap(), "--masking", "exact"]);
        let told = bench.verified(&[]);
        assert_eq!((told.sum("rows"), told.sum("masked_by_older_rule")), (4, 3));
        let words = bench.succeed(&["verify"]);
        assert!(words.contains("3 rows are masked by an older rule: see reparse --rows"), "{words}");
        let told = bench.verified(&["--masking", "exact"]);
        assert_eq!((told.sum("rows"), told.sum("masked_by_older_rule")), (4, 0));

        // Another value in the place of a secret is a difference.
        let other = "UPDATE gunicorn_log SET url = '/?token=********&password1=other&author=jo' \
                     WHERE url LIKE '%author%'";
        bench.place.execute(other).await;
        assert_eq!(bench.differs(&[]).first().0, "url");
    }
}
