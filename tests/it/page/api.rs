//! What the page asks for, from both stores.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use serde_json::Value;

use super::client::Site;
use crate::daemon::{Bench, line};
use crate::place::Place;

for_every_store!(
    counts_lists_and_details_agree_with_the_tables,
    a_download_holds_every_row_once,
    new_rows_come_by_themselves,
    the_story_of_a_request_joins_both_logs,
    request_logs_files_and_rejects_are_told,
    what_makes_no_sense_is_quoted,
);

/// So many lines, a second apart, the last of them now.
fn recent(count: i64) -> String {
    let now = chrono::Utc::now();
    (0..count)
        .map(|nth| {
            let at = now - chrono::TimeDelta::seconds(count - nth);
            let (time, code) =
                (at.format("%d/%b/%Y:%H:%M:%S +0000"), [200, 404, 500][nth as usize % 3]);
            format!(
                "203.0.113.{} - jo [{time}] \"GET /a/{nth}?q=<b> HTTP/1.1\" {code} 7 \"-\" \
                 \"<script>x</script>, \\\"q\\\"\" 1500\n",
                nth % 9
            )
        })
        .collect()
}

fn json(site: &Site, path: &str) -> Value {
    let answer = site.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    assert_eq!(answer.header("content-type"), "application/json");
    serde_json::from_str(&answer.body).unwrap()
}

async fn filled(place: Place, count: i64) -> (Bench, Site) {
    let bench = Bench::new(place).await;
    bench.append("access.log", recent(count));
    let site = Site::open(&bench, &["--format", "gunicorn-microseconds"]).await;
    bench.rows(count).await;
    (bench, site)
}

async fn counts_lists_and_details_agree_with_the_tables(place: Place) {
    let (_bench, site) = filled(place, 300).await;
    let overview = json(&site, "/api/overview?from=1h");
    let points = overview["points"].as_array().unwrap();
    let heat = points.iter().flat_map(|it| it["heat"].as_array().unwrap());
    assert_eq!(heat.map(|it| it.as_i64().unwrap()).sum::<i64>(), 300);
    assert_eq!(overview["heat"][1], 64);
    assert_eq!(overview["total"]["rows"], serde_json::json!([0, 100, 0, 100, 100, 0]));
    assert_eq!((&overview["total"]["bytes"], &overview["step"]), (&2100.into(), &60.into()));
    let p99 = overview["total"]["p99"].as_i64().unwrap();
    assert!((p99 - 1500).abs() * 16 <= 1500, "{p99}");
    let found = json(&site, "/api/overview?from=1h&code=404&not=url:/a/1");
    // 404 are 1, 4, 7 and so on; 1, 10, 13, 16, 19 and 100 to 199 begin with 1.
    let (all, left_out) =
        (100, (0..300).filter(|n| n % 3 == 1 && n.to_string().starts_with('1')).count());
    assert_eq!(found["total"]["rows"], serde_json::json!([0, 0, 0, all - left_out, 0, 0]));
    assert_eq!(
        (&found["share"], &found["error"], &found["gone_before"]),
        (&1.0.into(), &0.into(), &Value::Null)
    );
    let answer = site.get("/api/overview/progress?from=1h&code=404&not=url:/a/1");
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let last: Value = serde_json::from_str(answer.body.lines().last().unwrap()).unwrap();
    assert_eq!(last, found);
    let found = json(
        &site,
        "/api/suggest?from=1h&part=203.0.113.&field=address&limit=9&not=address:203.0.113.8",
    );
    let values: Vec<&Value> =
        found["items"].as_array().unwrap().iter().map(|it| &it["rows"]).collect();
    assert_eq!(values.iter().map(|it| it.as_i64().unwrap()).sum::<i64>(), 300 - 33);
    assert_eq!((values.len(), &found["complete"]), (8, &true.into()));
    let top = json(&site, "/api/top?by=address&limit=3&code=5xx");
    assert_eq!((&top["sampled"], &top["complete"]), (&100.into(), &true.into()));
    assert_eq!(top["items"][0]["errors"], top["items"][0]["rows"]);

    let routes = json(&site, "/api/routes?from=4d&sort=total");
    assert_eq!((&routes["counted"], &routes["uncounted"]), (&300.into(), &0.into()));
    assert_eq!((&routes["complete"], &routes["routes"]), (&true.into(), &1.into()));
    assert!(routes["from"].as_str().unwrap().ends_with(":00:00Z"), "{routes}");
    let route = &routes["items"][0];
    assert_eq!(
        (&route["route"], &route["rows"], &route["errors"]),
        (&"/a/{n}".into(), &300.into(), &200.into())
    );
    assert_eq!((&route["total"], &route["mean"]), (&450_000.into(), &1500.into()));
    assert_eq!(route["filter"], serde_json::json!(["url", "/a/"]));
    let failed = json(&site, "/api/routes?from=1h&code=5xx");
    assert_eq!((&failed["counted"], &failed["items"][0]["rows"]), (&100.into(), &100.into()));

    // Older to the end, and newer all the way back.
    let (mut ids, mut path) = (Vec::new(), "/api/log?limit=70&from=1h".to_owned());
    let mut last = Value::Null;
    loop {
        let page = json(&site, &path);
        let rows = page["rows"].as_array().unwrap();
        ids.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        let Some(older) = page["older"].as_str() else {
            last.clone_from(&page["newer"]);
            break;
        };
        path = format!("/api/log?limit=70&from=1h&before={older}");
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 300);
    let mut back = 0;
    while let Some(newer) = last.as_str() {
        let page = json(&site, &format!("/api/log?limit=70&from=1h&after={newer}"));
        back += page["rows"].as_array().unwrap().len();
        assert!(back == 0 || page["older"].is_string());
        last = page["newer"].clone();
    }
    assert_eq!(back, 280); // all but the last page's twenty

    let row = json(&site, &format!("/api/log/{}", ids[0]));
    assert_eq!(row["agent"], "<script>x</script>, \"q\"");
    assert_eq!((&row["server"], &row["url"]), (&"web".into(), &"/a/299?q=<b>".into()));
    assert!(row["file"].as_str().unwrap().ends_with("/logs/access.log"));
}

async fn a_download_holds_every_row_once(place: Place) {
    let (_bench, site) = filled(place, 1300).await;
    let answer = site.get("/api/export?format=jsonl&from=1h");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"gunicorn_log.jsonl\"");
    let urls: BTreeSet<String> = answer
        .body
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["url"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!((answer.body.lines().count(), urls.len()), (1300, 1300));
    let answer = site.get("/api/export?from=1h&code=404");
    let mut csv = csv::Reader::from_reader(answer.body.as_bytes());
    let column = csv.headers().unwrap().iter().position(|name| name == "agent").unwrap();
    let records: Vec<_> = csv.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 433);
    assert!(records.iter().all(|record| &record[column] == "<script>x</script>, \"q\""));
}

async fn new_rows_come_by_themselves(place: Place) {
    let (bench, site) = filled(place, 3).await;
    let mut stream = site.connect();
    write!(stream, "GET /api/tail?url=/new HTTP/1.1\r\nHost: {}\r\n\r\n", site.address).unwrap();
    let mut seen = String::new();
    let mut until = |text: &str| {
        let mut buffer = [0; 4096];
        while !seen.contains(text) {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "it ended: {seen}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        seen.clone()
    };
    assert!(until("\r\n\r\n").contains("content-type: text/event-stream"));
    let now = chrono::Utc::now().format("%d/%b/%Y:%H:%M:%S +0000");
    for url in ["/old", "/new/1", "/new/2"] {
        let line = format!("10.0.0.1 - - [{now}] \"GET {url} HTTP/1.1\" 200 1 \"-\" \"-\" 9\n");
        bench.append("access.log", line);
    }
    let seen = until("/new/2");
    assert_eq!(seen.matches("event: row").count(), 2, "{seen}");
    assert!(!seen.contains("/old") && !seen.contains("/a/"), "{seen}");
    // It ends when the daemon does, and does not hold it up.
    assert!(site.daemon.stop().await.success());
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
}

async fn the_story_of_a_request_joins_both_logs(place: Place) {
    let bench = Bench::new(place).await;
    let now = chrono::Utc::now();
    let at = |ago: i64| (now - chrono::TimeDelta::seconds(ago)).to_rfc3339();
    let mut text = String::new();
    for (nth, session) in [(1, "a"), (2, "b"), (3, "a")] {
        text += &format!(
            "{{\"log\":\"request\",\"timestamp\":\"{}\",\"method\":\"POST\",\"path\":\"/p/{nth}\",\"status_code\":201,\
             \"session_id\":\"{session}\",\"request_id\":\"r-{nth}\",\"ip_address\":\"203.0.113.7\"}}\n\
             {{\"log\":\"gunicorn\",\"timestamp\":\"{}\",\"method\":\"POST\",\"url\":\"/p/{nth}\",\"code\":201,\
             \"request_id\":\"r-{nth}\",\"user_ip\":\"203.0.113.7\"}}\n",
            at(10 * nth),
            at(10 * nth),
        );
    }
    bench.append("requests.log", text);
    let site = Site::open(&bench, &[]).await;
    crate::place::until("all lines are stored", async || bench.stored().await == 6).await;
    let urls = |rows: &Value, key: &str| -> Vec<String> {
        rows.as_array().unwrap().iter().map(|it| it[key].as_str().unwrap().to_owned()).collect()
    };
    for (list, key) in [("log", "url"), ("requests", "path")] {
        let page = json(&site, &format!("/api/{list}?request_id=r-1"));
        let id = page["rows"][0]["id"].as_str().unwrap();
        let story = json(&site, &format!("/api/{list}/{id}/story"));
        assert_eq!(page["rows"][0][key], "/p/1");
        assert_eq!(urls(&story["access"], "url"), ["/p/1"]);
        assert_eq!(urls(&story["requests"], "path"), ["/p/1"]);
        assert_eq!(urls(&story["session"], "path"), ["/p/1", "/p/3"]);
        assert_eq!(urls(&story["address"], "url"), ["/p/1", "/p/2", "/p/3"]);
    }
}

async fn request_logs_files_and_rejects_are_told(place: Place) {
    let bench = Bench::new(place).await;
    let now = chrono::Utc::now().to_rfc3339();
    bench.append(
        "requests.log",
        format!(
            "{{\"log\":\"request\",\"timestamp\":\"{now}\",\"method\":\"POST\",\"path\":\"/p\",\
             \"status_code\":201,\"headers\":{{\"host\":\"h\"}},\"body\":\"<b>\",\"response_time_ms\":1.5}}\n"
        ),
    );
    let two = line("/one") + &line("/two");
    bench.append("access.log", [two.as_bytes(), b"no \xff line\x01\n"].concat());
    let site = Site::open(&bench, &[]).await;
    bench.rows(2).await;
    crate::place::until("all lines are stored", async || bench.stored().await == 4).await;
    for (query, count) in [("host=h", 1), ("host=g", 0), ("url=/p&code=201&method=POST", 1)] {
        let page = json(&site, &format!("/api/requests?{query}"));
        assert_eq!(page["rows"].as_array().unwrap().len(), count, "{query}");
    }
    let page = json(&site, "/api/requests");
    assert_eq!(page["rows"][0]["duration_ms"], 1.5);
    let row = json(&site, &format!("/api/requests/{}", page["rows"][0]["id"].as_str().unwrap()));
    assert_eq!((&row["body"], &row["headers"]["host"]), (&"<b>".into(), &"h".into()));
    let file = site.get("/api/export?table=requests&format=jsonl");
    assert_eq!(serde_json::from_str::<Value>(file.body.trim()).unwrap()["body"], "<b>");

    let files = json(&site, "/api/files");
    assert_eq!(files["files"].as_array().unwrap().len(), 2);
    let of = |field: &str| {
        files["files"].as_array().unwrap().iter().map(|it| it[field].as_i64().unwrap()).sum::<i64>()
    };
    assert_eq!((of("lines"), of("rows"), of("rejected"), of("lag")), (4, 3, 1, 0));
    assert_eq!((&files["retention"], &files["rollup_retention"]), (&"120d".into(), &"400d".into()));
    let rejects = json(&site, "/api/rejects");
    assert_eq!(rejects["rows"][0]["raw"], "no \\xff line\\x01");
    assert!(rejects["rows"][0]["reason"].as_str().unwrap().len() > 5);
    let code = &rejects["codes"][0];
    assert_eq!((&code["lines"], &code["unexpected"]), (&1.into(), &true.into()));
    assert_eq!(rejects["rows"][0]["code"], code["code"]);
    assert!(code["remedy"].as_str().unwrap().len() > 5, "{code}");
    let file = rejects["rows"][0]["file"].as_i64().unwrap();
    assert_eq!(
        json(&site, &format!("/api/rejects?file={file}"))["rows"].as_array().unwrap().len(),
        1
    );
    assert_eq!(json(&site, "/api/rejects?file=999")["rows"].as_array().unwrap().len(), 0);
    let of = |reason: &str| json(&site, &format!("/api/rejects?reason={reason}"))["rows"].clone();
    assert_eq!(of("not_utf8"), rejects["rows"]);
    assert_eq!(of("too_long"), Value::Array(Vec::new()));
    let marks = json(&site, "/api/marks?from=1h&step=60");
    let rejected = marks.as_array().unwrap().iter().find(|it| it["kind"] == "rejected").unwrap();
    assert_eq!((&rejected["lines"], &rejected["code"]), (&1.into(), &"not_utf8".into()));
    let elsewhere = json(&site, "/api/marks?from=1h&step=60&server=elsewhere");
    assert_eq!(elsewhere.as_array().unwrap().len(), 0);
    let attention = json(&site, "/api/attention");
    assert_eq!(attention, serde_json::json!({ "rejected_lines": 1, "ignored_files": 0 }));
    let watched = files["watched"][0].as_str().unwrap();
    assert!(bench.log("access.log").starts_with(watched), "{watched}");

    let sorted = json(&site, "/api/log?sort=-url&limit=2&from=2000-01-01");
    assert_eq!((&sorted["rows"][0]["url"], &sorted["complete"]), (&"/two".into(), &true.into()));
    assert_eq!(json(&site, "/api/log?sort=url&from=2000-01-01")["rows"][0]["url"], "/one");
    assert_eq!(json(&site, "/api/requests?sort=duration")["rows"][0]["path"], "/p");

    for (query, matches) in [
        ("", true),
        ("url=/one", true),
        ("url=/three", false),
        ("table=requests", true),
        ("table=requests&code=404", false),
    ] {
        // The range does not matter.
        let found = json(&site, &format!("/api/newest?from=2000-01-01&to=2000-01-02&{query}"));
        assert_eq!(found["matching"].is_string(), matches, "{query}: {found}");
        assert!(found["newest"].is_string() && found["searched_to"].is_null(), "{query}: {found}");
    }
}

async fn what_makes_no_sense_is_quoted(place: Place) {
    let (_bench, site) = filled(place, 1).await;
    for (path, status, said) in [
        ("/api/log?code=4x", 400, "code '4x' is not a code"),
        ("/api/log?from=soon", 400, "from 'soon' is not a moment"),
        ("/api/log?from=1h&to=2h", 400, "is not before the end of the range"),
        ("/api/log?user=a%00", 400, "it has a NUL character"),
        ("/api/log?limit=0", 400, "invalid limit '0': expected a number from 1 to 1000"),
        ("/api/log?before=x", 400, "invalid before 'x': expected a cursor"),
        ("/api/log?usr=jo", 400, "usr 'jo' is not a filter"),
        ("/api/top?by=shoe", 400, "invalid by 'shoe': expected"),
        ("/api/routes?sort=shoe", 400, "invalid sort 'shoe': expected requests, errors"),
        ("/api/routes?limit=9999", 400, "invalid limit '9999': expected a number from 1 to 1002"),
        ("/api/overview?not=404", 400, "not '404' is not a name and a value"),
        ("/api/overview/progress?not=code:4", 400, "not code '4' is not a code"),
        ("/api/suggest?field=shoe", 400, "invalid field 'shoe': expected one of url, route"),
        ("/api/marks?step=1", 400, "invalid step '1': expected seconds, from 60 to 604800"),
        ("/api/marks?code=4", 400, "code '4' is not a code"),
        ("/api/log?sort=shoes", 400, "invalid sort 'shoes': expected time, status"),
        ("/api/requests?sort=-bytes", 400, "invalid sort '-bytes': expected"),
        ("/api/log/x/story", 400, "invalid row 'x'"),
        ("/api/requests/1/story", 404, "no row 1"),
        ("/api/newest?table=shoes", 400, "invalid table 'shoes': expected log or requests"),
        ("/api/export?format=xml", 400, "invalid format 'xml': expected"),
        ("/api/log/x", 400, "invalid row 'x'"),
        ("/api/log/1", 404, "no row 1"),
    ] {
        let answer = site.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        let error = serde_json::from_str::<Value>(&answer.body).unwrap();
        assert!(error["error"].as_str().unwrap().contains(said), "{path}: {}", answer.body);
    }
}
