//! JSON lines on their whole way: followed, imported, verified, read once more.

use std::fs;

use serde_json::json;

use crate::daemon::{Bench, for_each_store, line, lines, rename, urls};
use crate::place::until;

/// As the contract has it: `log` comes first.
fn written(kind: &str, keys: &serde_json::Value) -> String {
    format!("{}\n", keys.to_string().replacen('{', &format!("{{\"log\":\"{kind}\","), 1))
}

/// A request line for this path.
fn request(path: &str) -> String {
    let line = json!({
        "timestamp": "2026-11-24T15:02:03.123456+00:00", "method": "POST", "path": path,
        "query_params": "a=b&token=secret", "headers": {"host": "h", "Cookie": "secret"},
        "body": "{\"password\":\"secret\",\"n\":\"line\\nnext\"}", "content_type": "application/json",
        "status_code": 201, "response_headers": {"set-cookie": "secret"}, "response_body": "ö\n\u{1}",
        "response_time_ms": 1.234, "ip_address": "203.0.113.9", "user_id": "7", "user_agent": "curl",
        "session_id": "s", "extra_data": {"view": "v", "big": 1e16, "small": 1e-7, "list": [1, 2.50]},
        "worker": 3,
    });
    written("request", &line)
}

fn requests(prefix: &str, numbers: std::ops::Range<u32>) -> String {
    numbers.map(|number| request(&format!("/{prefix}/{number}"))).collect()
}

/// The same for a line of Gunicorn's.
fn gunicorn(url: &str) -> String {
    let line = json!({
        "timestamp": "2026-11-24T15:02:03+00:00", "method": "GET", "url": url,
        "host": "h", "user_id": "jo\nhn\\", "user_ip": "203.0.113.9", "agent": "curl", "source": "/?token=secret",
        "request": {"environ": {"a": "b"}}, "response": {"headers": {"x": "y"}}, "headers": {"e": "f"},
        "duration": 1234, "code": 200, "protocol": "HTTP/1.1", "response_bytes": 12, "pid": 7, "more": 1,
    });
    written("gunicorn", &line)
}

impl Bench {
    /// Every path that was written is one row, and nothing else is.
    async fn exactly_requests(&self, paths: impl IntoIterator<Item = String>) {
        let mut wanted: Vec<String> = paths.into_iter().collect();
        let count = wanted.len() as i64;
        until("all requests are rows", async || {
            self.place.number("SELECT count(*) FROM request_log").await >= count
        })
        .await;
        let mut found = self.place.texts("SELECT path FROM request_log").await;
        wanted.sort();
        found.sort();
        assert!(found == wanted, "requests are not what was written: {} of {count}", found.len());
        self.balanced().await;
    }

    /// A column of the only row of a table, as text.
    async fn column(&self, table: &str, column: &str) -> String {
        let sql = format!("SELECT CAST({column} AS text) FROM {table}");
        let found = self.place.texts(&sql).await;
        assert_eq!(found.len(), 1);
        found.into_iter().next().unwrap()
    }

    pub(crate) async fn rejects(&self) -> i64 {
        self.place.rejected().await.len() as i64
    }
}

for_each_store! {
    async fn each_column_of_a_request_is_stored(bench) {
        bench.append("requests.log", request("/x"));
        assert_eq!(bench.import(&["requests.log"]).counts(), (1, 1, 0));
        let big = if bench.place.is_postgres() { "10000000000000000" } else { "1e+16" };
        for (column, right) in [
            ("method", "POST"), ("path", "/x"), ("query_params", "a=b&token=********"),
            ("body", "{\"password\":\"********\",\"n\":\"line\\nnext\"}"), ("content_type", "application/json"),
            ("status_code", "201"), ("response_body", "ö\n\u{1}"), ("response_time_ms", "1.234"), ("user_id", "7"),
            ("user_agent", "curl"), ("session_id", "s"), ("log_offset", "0"),
        ] {
            assert_eq!(bench.column("request_log", column).await, right, "{column}");
        }
        for (column, right) in [
            ("headers", json!({"host": "h", "Cookie": "********"})),
            ("response_headers", json!({"set-cookie": "********"})),
        ] {
            let found: serde_json::Value = serde_json::from_str(&bench.column("request_log", column).await).unwrap();
            assert_eq!(found, right);
        }
        let extra = bench.column("request_log", "extra_data").await;
        for part in [big, "\"worker\"", "\"view\"", "\"list\""] {
            assert!(extra.contains(part), "{extra}");
        }
        let ip = if bench.place.is_postgres() { "host(ip_address)" } else { "ip_address" };
        assert_eq!(bench.column("request_log", ip).await, "203.0.113.9");
        let time = if bench.place.is_postgres() { "timestamp AT TIME ZONE 'UTC'" } else { "timestamp" };
        assert_eq!(bench.column("request_log", time).await, "2026-11-24 15:02:03.123456");
        bench.balanced().await;
        bench.verified(&[]);
    }

    async fn what_gunicorns_own_format_cannot_say_comes_back_exactly(bench) {
        bench.append("access.log", gunicorn("/a\nb\\n\u{1}\"?token=secret"));
        assert_eq!(bench.import(&["access.log"]).counts(), (1, 1, 0));
        for (column, right) in [
            ("url", "/a\nb\\n\u{1}\"?token=********"), ("user_id", "jo\nhn\\"), ("source", "/?token=********"),
            ("duration", "1234"), ("code", "200"), ("response_bytes", "12"), ("pid", "7"), ("protocol", "HTTP/1.1"),
        ] {
            assert_eq!(bench.column("gunicorn_log", column).await, right, "{column}");
        }
        let found: serde_json::Value = serde_json::from_str(&bench.column("gunicorn_log", "request").await).unwrap();
        assert_eq!(found, json!({"environ": {"a": "b"}, "more": 1}));
        bench.balanced().await;
        bench.verified(&[]);
    }

    async fn requests_are_followed_through_rotation_and_kills(bench) {
        bench.append("requests.log", requests("a", 0..50));
        let mut daemon = bench.watch();
        daemon.says("json").await;
        bench.exactly_requests(urls("a", 0..50)).await;
        for round in 0..4 {
            let name = format!("r{round}");
            bench.append("requests.log", requests(&name, 0..400));
            daemon.kill();
            rename(&bench.log("requests.log"), &bench.log(&format!("requests.log.{round}")));
            bench.append("requests.log", requests(&name, 400..500));
            daemon = bench.watch();
        }
        let wanted = (0..4).flat_map(|round| urls(&format!("r{round}"), 0..500));
        bench.exactly_requests(urls("a", 0..50).into_iter().chain(wanted)).await;
        assert!(daemon.stop().await.success());
        assert_eq!(bench.verified(&[]).sum("rows"), 2050);
        bench.digests_are_true().await;
    }

    async fn both_kinds_may_stand_in_one_file(bench) {
        let mut text = String::new();
        for number in 0..100 {
            text += &request(&format!("/r/{number}"));
            text += &gunicorn(&format!("/g/{number}"));
        }
        text += &line("/text");
        bench.append("both.log", &text);
        assert_eq!(bench.import(&["both.log"]).counts(), (201, 200, 0));
        bench.exactly(urls("g", 0..100)).await;
        bench.exactly_requests(urls("r", 0..100)).await;
        assert_eq!(bench.column("rejected_line", "reason").await, "does not begin with {\"log\":\"request\" or {\"log\":\"gunicorn\"");
        let told = bench.verified(&[]);
        assert_eq!((told.sum("rows"), told.sum("rejected")), (200, 1));
        // Once more, and a part of it under another name: nothing is stored twice.
        assert_eq!(bench.import(&["both.log"]).counts(), (201, 0, 201));
        let part = text.lines().take(33).map(|line| format!("{line}\n")).collect::<String>();
        assert_eq!(bench.import_stream(part.as_bytes()).counts(), (33, 0, 33));
        bench.exactly(urls("g", 0..100)).await;
    }

    async fn a_changed_byte_of_a_request_is_found(bench) {
        bench.append("requests.log", requests("a", 0..20));
        bench.import(&["requests.log"]);
        bench.place.execute("UPDATE request_log SET response_body = 'other' WHERE path = '/a/7'").await;
        let (about, number, _, database) = bench.differs(&[]).first();
        assert_eq!((about.as_str(), number, database.as_str()), ("response_body", Some(8), "\"other\""));
        bench.place.execute("DELETE FROM request_log WHERE path = '/a/7'").await;
        let (about, number, file, database) = bench.differs(&[]).first();
        assert_eq!((about.as_str(), number, database.as_str()), ("line", Some(8), "nothing"));
        assert!(file.starts_with("the request POST /a/7 201 of 2026-11-24T15:02:03.123456Z"), "{file}");
        // And a row that no line stands for.
        bench.place.execute("UPDATE request_log SET id = id + 5 WHERE path = '/a/9'").await;
        let said = String::from_utf8(bench.run(&["verify"]).stdout).unwrap();
        assert!(said.contains("1 row has an id that names no line"), "{said}");
        assert_eq!(bench.differs(&[]).sum("differences"), 3); // two lines are missing, one is none
        bench.place.execute("UPDATE request_log SET id = id + 99995, log_offset = log_offset + 100000 WHERE path = '/a/9'").await;
        let said = String::from_utf8(bench.run(&["verify", "--json"]).stdout).unwrap();
        assert_eq!(bench.differs(&[]).sum("differences"), 3, "{said}"); // and one is too far
    }

    async fn a_changed_byte_of_the_file_is_found(bench) {
        bench.append("requests.log", requests("a", 0..20));
        bench.import(&["requests.log"]);
        let text = fs::read_to_string(bench.log("requests.log")).unwrap().replace("\"v\"", "\"w\"");
        fs::write(bench.log("requests.log"), text).unwrap();
        let path = bench.log("requests.log");
        assert!(bench.differs(&[path.to_str().unwrap()]).sum("differences") > 0);
    }

    async fn rejected_lines_become_rows_of_their_table_once_they_can_be_read(bench) {
        bench.append("mixed.log", lines("t", 0..40));
        bench.append("mixed.log", requests("r", 0..10));
        bench.append("mixed.log", (0..10).map(|n| gunicorn(&format!("/g/{n}"))).collect::<String>());
        bench.append("mixed.log", "{\"log\":\"request\",\"timestamp\":\"x\"}\n");
        let path = bench.log("mixed.log");
        let import = ["import", path.to_str().unwrap(), "--format", "gunicorn", "--keep-raw-rejects"];
        bench.succeed(&import);
        assert_eq!(bench.rejects().await, 21);
        bench.succeed(&["reparse", "--format", "json"]);
        assert_eq!(bench.rejects().await, 1);
        bench.exactly_requests(urls("r", 0..10)).await;
        bench.exactly([urls("t", 0..40), urls("g", 0..10)].concat()).await;
        let told = bench.verified(&[]);
        assert_eq!((told.sum("rows"), told.sum("rejected")), (60, 1));
    }

    async fn a_refused_request_is_a_reject_with_its_bytes(bench) {
        let refuse = if bench.place.is_postgres() {
            "ALTER TABLE request_log ADD CONSTRAINT not_this CHECK (path <> '/a/77')"
        } else {
            "CREATE TRIGGER not_this BEFORE INSERT ON request_log WHEN new.path = '/a/77'
                 BEGIN SELECT RAISE(ABORT, 'not_this'); END"
        };
        bench.place.execute(refuse).await;
        bench.append("requests.log", requests("a", 0..200));
        let _daemon = bench.watch();
        bench.exactly_requests(urls("a", 0..200).into_iter().filter(|path| path != "/a/77")).await;
        assert_eq!(bench.rejects().await, 1);
    }

    async fn old_requests_leave_with_a_sweep_and_verify_knows(bench) {
        bench.append("requests.log", request("/old").replace("2026-11-24", "2020-11-24"));
        bench.append("requests.log", requests("a", 0..5));
        bench.import(&["requests.log"]);
        bench.verified(&[]);
        bench.succeed(&["cleanup", "--days", "1000"]);
        assert_eq!(bench.place.number("SELECT count(*) FROM request_log").await, 5);
        assert_eq!(bench.place.number("SELECT request_removed FROM sweep").await, 1);
        let told = bench.verified(&[]);
        assert_eq!((told.sum("rows"), told.sum("swept")), (5, 1));
    }

    async fn check_shows_what_a_request_becomes(bench) {
        bench.append("requests.log", request("/x"));
        let log = bench.log("requests.log");
        let said = bench.succeed(&["check", log.to_str().unwrap()]);
        for part in ["json", "path", "/x", "extra_data", "203.0.113.9", "status_code", "a=b&token=********"] {
            assert!(said.contains(part), "{said}");
        }
    }
}
