//! `query` and `top`: stored rows on the command line.

use chrono::Utc;
use serde_json::Value;

use crate::daemon::{Bench, line_at};
use crate::place::Place;

for_every_store!(
    rows_are_printed_in_each_form,
    a_table_that_ends_early_says_so,
    an_access_log_comes_out_as_it_went_in,
    the_most_frequent_are_printed,
    request_logs_are_printed,
    json_lines_are_imported_again_without_loss,
    each_line_of_an_access_log_has_the_format_of_its_file,
);

const SINCE: &str = "2026-11-23T08:00:00Z";

const LINES: &str = r#"203.0.113.9 - jo [23/Nov/2026:08:41:00 +0000] "GET /a?b=c HTTP/1.1" 200 12 "-" "me, \"q\""
10.0.0.1 - - [23/Nov/2026:08:41:01 +0000] "POST /b HTTP/1.0" 404 - "https://x.example/" "you"
10.0.0.1 - - [23/Nov/2026:08:41:02 +0000] "GET /a HTTP/1.1" 500 7 "-" "-"
"#;

async fn stored(place: Place) -> Bench {
    let bench = Bench::new(place).await;
    bench.append("old.log", LINES);
    bench.succeed(&["import", bench.log("old.log").to_str().unwrap()]);
    bench
}

async fn a_table_that_ends_early_says_so(place: Place) {
    let bench = Bench::new(place).await;
    let now = Utc::now().timestamp_micros();
    bench.append(
        "access.log",
        (0..150).map(|nth| line_at(&format!("/{nth}"), now)).collect::<String>(),
    );
    bench.succeed(&["import", bench.log("access.log").to_str().unwrap()]);
    for (arguments, rows, note) in [
        (&["query"][..], 101, "the newest 100 rows; more match: --limit N shows N\n"),
        (&["query", "--oldest-first"], 101, "the oldest 100 rows; more match: --limit N shows N\n"),
        (&["query", "--limit", "20"], 21, ""),
        (&["query", "--limit", "200"], 151, ""),
        (&["query", "--output", "log"], 150, ""),
    ] {
        let output = bench.run(arguments);
        assert_eq!(String::from_utf8_lossy(&output.stderr), note, "{arguments:?}");
        let lines = output.stdout.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(lines, rows, "{arguments:?}");
    }
}

async fn rows_are_printed_in_each_form(place: Place) {
    let bench = stored(place).await;
    let table = bench.succeed(&["query", "--since", SINCE]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[0].starts_with("time "), "{table}");
    let fields: Vec<&str> = lines[3].split_whitespace().collect();
    assert_eq!(fields, ["2026-11-23T08:41:00Z", "200", "-", "GET", "/a?b=c", "jo", "203.0.113.9"]);
    let jsonl = bench.succeed(&["query", "--since", SINCE, "--output", "jsonl", "--oldest-first"]);
    let first: Value = serde_json::from_str(jsonl.lines().next().unwrap()).unwrap();
    assert_eq!((&first["url"], &first["user_ip"]), (&"/a?b=c".into(), &"203.0.113.9".into()));
    assert_eq!(first["agent"], "me, \"q\"");
    let csv = bench.succeed(&["query", "--since", SINCE, "--output", "csv", "--code", "4xx"]);
    let mut csv = csv::Reader::from_reader(csv.as_bytes());
    let url = csv.headers().unwrap().iter().position(|name| name == "url").unwrap();
    let urls: Vec<String> = csv.records().map(|it| it.unwrap()[url].to_owned()).collect();
    assert_eq!(urls, ["/b"]);
    let one =
        bench.succeed(&["query", "--since", SINCE, "--limit", "1", "--address", "10.0.0.0/8"]);
    assert!(one.lines().count() == 2 && one.contains(" /a "), "{one}");
    assert!(bench.succeed(&["query"]).starts_with("no rows"));
    let wrong = bench.run(&["query", "--code", "x"]);
    assert_eq!(wrong.status.code(), Some(2));
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(said.contains("--code: code 'x' is not a code"), "{said}");
}

async fn an_access_log_comes_out_as_it_went_in(place: Place) {
    let bench = stored(place).await;
    let log = bench.succeed(&["query", "--since", SINCE, "--output", "log", "--oldest-first"]);
    assert_eq!(log, LINES);
}

async fn the_most_frequent_are_printed(place: Place) {
    let bench = stored(place).await;
    let top = bench.succeed(&["top", "urls", "--since", SINCE]);
    let lines: Vec<Vec<&str>> = top.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["2", "66.7", "%", "1", "-", "-", "/a"]);
    assert_eq!(lines.len(), 4);
    let addresses =
        bench.succeed(&["top", "addresses", "--since", SINCE, "--json", "--limit", "1"]);
    let addresses: Value = serde_json::from_str(&addresses).unwrap();
    assert_eq!((&addresses["counted"], &addresses["items"][0]["rows"]), (&3.into(), &2.into()));
    for what in ["users", "agents", "hosts"] {
        let top = bench.succeed(&["top", what, "--since", SINCE]);
        assert!(top.starts_with("rows ") && top.contains(" share  errors "), "{top}");
    }
}

async fn request_logs_are_printed(place: Place) {
    let bench = Bench::new(place).await;
    bench.append(
        "requests.log",
        "{\"log\":\"request\",\"timestamp\":\"2026-11-23T08:41:00Z\",\"method\":\"GET\",\
         \"path\":\"/p\",\"query_params\":\"q=1\",\"status_code\":200,\"response_time_ms\":2.5,\
         \"body\":\"b\"}\n",
    );
    bench.succeed(&["import", bench.log("requests.log").to_str().unwrap()]);
    let table = bench.succeed(&["query", "--log", "requests", "--since", SINCE]);
    assert!(table.contains("2.5 ms"), "{table}");
    let ask = ["query", "--log", "requests", "--since", SINCE, "--output"];
    let row: Value =
        serde_json::from_str(&bench.succeed(&[&ask[..], &["jsonl"]].concat())).unwrap();
    assert_eq!(row["body"], "b");
    let log = bench.succeed(&[&ask[..], &["log"]].concat());
    assert_eq!(
        log,
        "- - - [23/Nov/2026:08:41:00 +0000] \"GET /p?q=1 HTTP/1.1\" 200 - \"-\" \"-\"\n"
    );
}

async fn json_lines_are_imported_again_without_loss(place: Place) {
    let bench = Bench::new(place).await;
    crate::copy::fill(&bench).await;
    let there = Bench::new(Place::sqlite().await).await;
    let print = |bench: &Bench, log: &str| {
        let range = ["--since", "1970-01-01", "--until", "2101-01-01", "--oldest-first"];
        let ask = [&["query", "--log", log, "--output", "jsonl"], &range[..]].concat();
        bench.succeed(&ask)
    };
    // What is printed has every column, and begins as JSON of our own does.
    let values = |lines: &str| {
        let mut rows: Vec<Value> =
            lines.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        for row in &mut rows {
            let row = row.as_object_mut().unwrap();
            for place in ["id", "log_file", "log_offset"] {
                assert!(row.remove(place).unwrap().is_i64(), "{place} of {row:?}");
            }
        }
        rows.sort_by_key(Value::to_string);
        rows
    };
    for log in ["access", "requests"] {
        let printed = print(&bench, log);
        let kind = if log == "access" { "{\"log\":\"gunicorn\"," } else { "{\"log\":\"request\"," };
        assert!(printed.lines().count() > 2 && printed.lines().all(|line| line.starts_with(kind)));
        let file = there.aside(log);
        std::fs::write(&file, &printed).unwrap();
        let said = there.succeed(&["import", file.to_str().unwrap()]);
        assert!(!said.contains("rejected"), "{said}");
        assert_eq!(values(&print(&there, log)), values(&printed), "{log}");
    }
}

async fn each_line_of_an_access_log_has_the_format_of_its_file(place: Place) {
    let bench = Bench::new(place).await;
    let import = |name: &str, lines: &str, format: &str| {
        bench.append(name, lines);
        let path = bench.log(name);
        bench.succeed(&["import", path.to_str().unwrap(), "--format", format]);
    };
    let of_gunicorn = r#"203.0.113.9 - jo [23/Nov/2026:08:41:00 +0000] "GET /a?b=c HTTP/1.1" 200 12 "-" "me" 1234 "a \"q\"" <17>
10.0.0.1 - - [23/Nov/2026:08:41:00 +0000] "POST /b HTTP/1.0" 404 - "https://x.example/" "-" 7 "-" <18>
"#;
    let format =
        r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(D)s "%({x-a}i)s" %(p)s"#;
    import("gunicorn.log", of_gunicorn, format);
    let of_nginx = r#"10.0.0.1 - - [23/Nov/2026:08:41:01 +0000] "GET /c HTTP/1.1" 200 5 "-" "a \x22q\x22 \x5C"
"#;
    import("nginx.log", of_nginx, "nginx");
    // JSON has no such line: Gunicorn's default format has one.
    let json = r#"{"log":"gunicorn","timestamp":"2026-11-23T08:41:02Z","method":"GET","url":"/d","code":200,"duration":5}"#;
    import("json.log", &format!("{json}\n"), "json");
    let of_json = "- - - [23/Nov/2026:08:41:02 +0000] \"GET /d HTTP/1.1\" 200 - \"-\" \"-\"\n";
    let ask = ["query", "--since", SINCE, "--output", "log", "--oldest-first"];
    assert_eq!(bench.succeed(&ask), format!("{of_gunicorn}{of_nginx}{of_json}"));
}
