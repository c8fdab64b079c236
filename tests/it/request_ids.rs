//! `route`, `request_id` and `trace_id`: what fills them, that a client's value never costs a row, and rows of
//! versions without these columns.

use std::fs;

use serde_json::Value;

use crate::daemon::{Bench, for_each_store};
use crate::place::Place;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The beginning of each access line.
const COMMON: &str = r#"203.0.113.9 - - [23/Nov/2026:08:41:00 +0000] "GET /a HTTP/1.1" 200 12"#;
const FORMAT: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s"#;

/// Returns route, request id and trace id of the rows of a table, of the newest file that it has rows of.
async fn names(bench: &Bench, table: &str) -> Vec<String> {
    let names = ["route", "request_id", "trace_id"].map(|name| format!("coalesce({name}, '-')"));
    let asked = format!(
        "SELECT {} FROM {table} WHERE log_file = (SELECT max(log_file) FROM {table}) ORDER BY log_offset",
        names.join(" || ' ' || ")
    );
    bench.place.texts(&asked).await
}

fn import(bench: &Bench, name: &str, content: &str, flags: &[&str]) {
    let path = bench.log(name);
    fs::write(&path, content).unwrap();
    bench.succeed(&[&["import", path.to_str().unwrap()], flags].concat());
}

/// Imports access lines that end in these values, and returns what their rows name.
async fn named(bench: &Bench, atoms: &str, values: &[&str]) -> Vec<String> {
    let content: String = values.iter().map(|value| format!("{COMMON} {value}\n")).collect();
    let format = if atoms.starts_with('$') {
        r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent"#
    } else {
        FORMAT
    };
    let files = bench.place.number("SELECT count(*) FROM log_file").await;
    import(
        bench,
        &format!("access{files}.log"),
        &content,
        &["--format", &format!("{format} {atoms}")],
    );
    names(bench, "gunicorn_log").await
}

/// An access line of JSON.
fn json_line(more: &str) -> String {
    format!(
        "{{\"time\":\"2026-11-23T08:41:00Z\",\"method\":\"GET\",\"uri\":\"/a\",\"status\":200{more}}}\n"
    )
}

/// A request line of JSON of our own.
fn own_line(kind: &str, more: &str) -> String {
    format!(
        "{{\"log\":\"{kind}\",\"timestamp\":\"2026-11-23T08:41:00Z\",\"method\":\"GET\"{more}}}\n"
    )
}

fn ids() -> String {
    format!(",\"route\":\"a/<int:pk>/\",\"request_id\":\"r1\",\"trace_id\":\"{TRACE}\"")
}

for_each_store! {
    async fn atoms_of_a_format_fill_the_columns(bench) {
        let both = r#""%({x-request-id}i)s" "%({x-request-id}o)s" "%({traceparent}i)s""#;
        let answered = format!(r#""sent" "answered" "{PARENT}""#);
        let found = named(&bench, both, &[&answered, r#""sent" "-" "-""#, r#""-" "-" "00-0-0-0""#]).await;
        assert_eq!(found, [format!("- answered {TRACE}"), "- sent -".into(), "- - -".into()]);
        // The captured headers are where they were.
        let key = |column| match bench.place.is_postgres() {
            true => format!("SELECT count(*) FROM gunicorn_log WHERE {column}::text LIKE '%\"x-request-id\": \"%'"),
            false => format!("SELECT count(*) FROM gunicorn_log WHERE {column} LIKE '%\"x-request-id\":\"%'"),
        };
        assert_eq!(bench.place.number(&key("headers")).await, 2);
        assert_eq!(bench.place.number(&key("response")).await, 1);
        bench.verified(&[]);

        let environ = "%({django_audit_logger.route}e)s %({HTTP_X_REQUEST_ID}e)s %({django_audit_logger.request_id}e)s";
        let found = named(&bench, environ, &["orders/<int:pk>/ sent decided", "- sent -"]).await;
        assert_eq!(found, ["orders/<int:pk>/ decided -", "- sent -"]);

        let nginx = r#"$request_id "$http_x_request_id" "$http_traceparent""#;
        let value = format!(r#"7f3c9b1e0d2a4c5f8e6b7a9d0c1f2e3b "-" "{PARENT}""#);
        let found = named(&bench, nginx, &[&value, r#"- "sent" "-""#]).await;
        assert_eq!(found, [format!("- 7f3c9b1e0d2a4c5f8e6b7a9d0c1f2e3b {TRACE}"), "- sent -".into()]);
        bench.verified(&[]);
        bench.balanced().await;
    }

    async fn keys_of_json_fill_the_columns(bench) {
        let keys = json_line(&format!(",\"request_id\":\"r1\",\"trace_id\":\"{TRACE}\",\"route\":\"a/\""))
            + &json_line(&format!(",\"http_x_request_id\":\"r2\",\"traceparent\":\"{PARENT}\",\"trace_id\":\"7\""))
            + &json_line(&format!(
                ",\"request\":{{\"headers\":{{\"X-Request-Id\":[\"r3\"],\"Traceparent\":[\"{PARENT}\"]}}}}"
            ))
            + &json_line(",\"request_id\":7,\"route\":[]");
        import(&bench, "keys.log", &keys, &[]);
        let found = names(&bench, "gunicorn_log").await;
        let right = [format!("a/ r1 {TRACE}"), format!("- r2 {TRACE}"), format!("- r3 {TRACE}"), "- - -".into()];
        assert_eq!(found, right);
        // What has not the shape of its column stays under its key.
        let kept = "SELECT CAST(request AS text) FROM gunicorn_log WHERE request IS NOT NULL ORDER BY log_offset";
        let kept: Vec<Value> =
            bench.place.texts(kept).await.iter().map(|it| serde_json::from_str(it).unwrap()).collect();
        assert_eq!(kept[0]["trace_id"], "7");
        assert_eq!((&kept[2]["request_id"], &kept[2]["route"]), (&7.into(), &Value::Array(vec![])));

        let mapped = "{\"at\":\"2026-11-23T08:41:00Z\",\"verb\":\"GET\",\"status\":200,\"x\":{\"id\":\"r4\",\"t\":\"";
        let format = r#"json-keys {"at":"timestamp","verb":"method","x.id":"request_id","x.t":"trace_id"}"#;
        import(&bench, "mapped.log", &format!("{mapped}{PARENT}\"}}}}\n"), &["--format", format]);
        assert_eq!(names(&bench, "gunicorn_log").await, [format!("- r4 {TRACE}")]);

        let own: String = ["gunicorn", "request"].iter().map(|kind| own_line(kind, &ids())).collect();
        import(&bench, "own.log", &own, &[]);
        for table in ["gunicorn_log", "request_log"] {
            assert_eq!(names(&bench, table).await, [format!("a/<int:pk>/ r1 {TRACE}")]);
        }
        assert_eq!(bench.place.number("SELECT count(*) FROM request_log WHERE extra_data IS NULL").await, 1);
    }

    /// What a client sends is stored as it was captured, and fills the column only in its shape.
    async fn no_value_of_a_client_costs_a_row(bench) {
        let long = "x".repeat(100_000);
        let hostile = [
            "a b", "<script>", "\\\"", "'; DROP TABLE gunicorn_log; --", "\u{e9}", "\u{202e}", "%00", &long,
            // A secret does not name a request: stars would be the same one for all.
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2ln", "4111111111111111",
        ];
        let lines: Vec<String> = hostile.iter().map(|id| format!("\"{id}\"")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let found = named(&bench, r#""%({x-request-id}i)s""#, &lines).await;
        assert_eq!(found, vec!["- - -"; hostile.len()]);
        let json: String = hostile
            .iter()
            .flat_map(|id| {
                let id = serde_json::to_string(&id.replace("\\\"", "\"")).unwrap();
                let more = format!(",\"request_id\":{id},\"trace_id\":{id}");
                ["gunicorn", "request"].map(|kind| own_line(kind, &more)).into_iter().chain([json_line(&more)])
            })
            .collect();
        let (own, keys): (Vec<&str>, Vec<&str>) = json.lines().partition(|line| line.contains("\"log\""));
        import(&bench, "own.log", &(own.join("\n") + "\n"), &[]);
        import(&bench, "keys.log", &(keys.join("\n") + "\n"), &["--format", "json-keys"]);
        let filled = |table| format!("SELECT count(*) FROM {table} WHERE request_id IS NOT NULL OR trace_id IS NOT NULL");
        assert_eq!(bench.place.number(&filled("gunicorn_log")).await, 0);
        assert_eq!(bench.place.number(&filled("request_log")).await, 0);
        assert_eq!(bench.stored().await, 4 * hostile.len() as i64);
        assert_eq!(bench.place.number("SELECT count(*) FROM rejected_line").await, 0);
        bench.balanced().await;
    }

    async fn query_filters_by_each(bench) {
        let own = own_line("gunicorn", &ids()) + &own_line("request", &ids())
            + &own_line("gunicorn", ",\"request_id\":\"r2\"") + &own_line("request", ",\"request_id\":\"r2\"");
        import(&bench, "own.log", &own, &[]);
        for log in ["access", "requests"] {
            let count = |filter: &[&str]| {
                let asked = ["query", "--log", log, "--since", "2026-11-23", "--until", "2026-11-24", "--output", "jsonl"];
                let found = bench.succeed(&[&asked[..], filter].concat());
                if let Some(row) = found.lines().next().filter(|_| filter.len() == 2) {
                    let row: Value = serde_json::from_str(row).unwrap();
                    assert_eq!((&row["route"], &row["trace_id"]), (&"a/<int:pk>/".into(), &TRACE.into()));
                }
                found.lines().count()
            };
            assert_eq!(count(&[]), 2);
            assert_eq!(count(&["--request-id", "r1"]), 1);
            assert_eq!(count(&["--trace-id", TRACE]), 1);
            assert_eq!(count(&["--route", "a/<int:pk>/"]), 1);
            assert_eq!(count(&["--route", "a/<int:pk>/", "--request-id", "r2"]), 0);
        }
        let top = ["top", "urls", "--since", "2026-11-23", "--until", "2026-11-24", "--request-id", "r1", "--json"];
        let top: Value = serde_json::from_str(&bench.succeed(&top)).unwrap();
        assert_eq!(top["counted"], 1);
    }

    /// An older version had no such columns: headers stood in `headers` alone, keys of JSON among the others.
    async fn rows_of_an_older_version_are_known_and_can_be_read_again(bench) {
        let atoms = r#""%({x-request-id}i)s""#;
        let access: String = (0..3).map(|nth| format!("{COMMON} \"r{nth}\"\n")).collect();
        import(&bench, "access.log", &access, &["--format", &format!("{FORMAT} {atoms}")]);
        let own: String = (0..3).map(|nth| own_line("request", &format!(",\"request_id\":\"r{nth}\",\"n\":1"))).collect();
        import(&bench, "requests.log", &own, &[]);
        let keys: String = (0..3).map(|nth| json_line(&format!(",\"request_id\":\"r{nth}\""))).collect();
        import(&bench, "keys.log", &keys, &["--format", "json-keys"]);
        let told = bench.verified(&[]);
        assert_eq!((told.sum("rows"), told.sum("by_older_columns")), (9, 0));
        // One row of each kind stays as it is stored today.
        let put = |column: &str| match bench.place.is_postgres() {
            true => format!("jsonb_set(coalesce({column}, '{{}}'), '{{request_id}}', to_jsonb(request_id))"),
            false => format!("json_set(coalesce({column}, '{{}}'), '$.request_id', request_id)"),
        };
        let to_older = format!(
            "UPDATE request_log SET extra_data = {}, request_id = NULL WHERE request_id <> 'r2';
             UPDATE gunicorn_log SET request = {}, request_id = NULL WHERE request_id <> 'r2' AND headers IS NULL;
             UPDATE gunicorn_log SET request_id = NULL WHERE request_id <> 'r2'",
            put("extra_data"), put("request")
        );
        bench.place.execute(&to_older).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM gunicorn_log WHERE request_id IS NULL").await, 4);
        let told = bench.verified(&[]);
        assert_eq!((told.sum("rows"), told.sum("by_older_columns"), told.sum("masked_by_older_rule")), (9, 6, 0));
        let words = bench.succeed(&["verify"]);
        assert_eq!(words.matches("2 rows are without newer columns: see reparse --rows").count(), 3, "{words}");

        let told: Value = serde_json::from_str(&bench.succeed(&["reparse", "--rows", "--json"])).unwrap();
        for file in told["files"].as_array().unwrap() {
            assert_eq!((&file["changed"], &file["same"]), (&2.into(), &1.into()), "{file}");
            assert_eq!(file["columns"]["request_id"], 2, "{file}");
        }
        let told = bench.verified(&[]);
        assert_eq!((told.sum("rows"), told.sum("by_older_columns")), (9, 0));
        assert_eq!(names(&bench, "request_log").await, ["- r0 -", "- r1 -", "- r2 -"]);
        bench.balanced().await;

        // Another id is a difference like any other.
        bench.place.execute("UPDATE request_log SET request_id = 'r9' WHERE request_id = 'r0'").await;
        let (about, _, file, database) = bench.differs(&[]).first();
        assert_eq!((about.as_str(), file.as_str(), database.as_str()), ("request_id", "\"r0\"", "\"r9\""));
    }
}

/// The open day has no index on ids, a day that is over has.
#[tokio::test(flavor = "multi_thread")]
async fn the_tables_of_postgresql_have_no_index_on_ids() {
    let place = Place::postgres().await;
    place.open().await;
    let indexed = "SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%request_id%' OR indexdef LIKE '%trace_id%'";
    assert_eq!(place.number(indexed).await, 0);
}
