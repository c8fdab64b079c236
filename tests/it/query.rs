//! `query` and `top`: stored rows on the command line.

use serde_json::Value;

use crate::daemon::Bench;
use crate::place::Place;

for_every_store!(
    rows_are_printed_in_each_form,
    an_access_log_comes_out_as_it_went_in,
    the_most_frequent_are_printed,
    request_logs_are_printed,
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
    assert!(said.contains("--code: code 'x' is no code"), "{said}");
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
    assert_eq!(lines[1], ["2", "1", "-", "-", "/a"]);
    assert_eq!(lines.len(), 3);
    let addresses =
        bench.succeed(&["top", "addresses", "--since", SINCE, "--json", "--limit", "1"]);
    let addresses: Value = serde_json::from_str(&addresses).unwrap();
    assert_eq!((&addresses["counted"], &addresses["items"][0]["rows"]), (&3.into(), &2.into()));
    for what in ["users", "agents", "hosts", "slow"] {
        assert!(bench.succeed(&["top", what, "--since", SINCE]).starts_with("rows"));
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
