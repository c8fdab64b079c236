//! The dashboard on the tables: each of its statements runs on a real PostgreSQL, as Grafana sends it, and says
//! what is stored.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::daemon::{Bench, line_at};
use crate::page::client::Site;
use crate::place::{Place, until};

/// The titles and statements of all panels, and the statement of the variable.
fn statements() -> Vec<(String, String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana/dashboard-sql.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let panels = dashboard["panels"].as_array().unwrap().iter().map(|panel| {
        let target = &panel["targets"][0];
        (text(&panel["title"]), text(&target["format"]), text(&target["rawSql"]))
    });
    let variable = &dashboard["templating"]["list"][1];
    let variable = (text(&variable["label"]), "table".to_owned(), text(&variable["query"]));
    panels.chain([variable]).collect()
}

/// A statement as Grafana sends it: <https://grafana.com/docs/grafana/latest/datasources/postgres/>.
fn expanded(sql: &str, (from, to): (&str, &str), interval: &str) -> String {
    let mut sql = sql.to_owned();
    while let Some((before, rest)) = sql.split_once("$__timeFilter(") {
        let (column, after) = rest.split_once(')').unwrap();
        sql = format!("{before}{column} BETWEEN '{from}' AND '{to}'{after}");
    }
    let sql = sql.replace("$__timeFrom()", &format!("'{from}'"));
    let sql = sql.replace("$__timeTo()", &format!("'{to}'")).replace("$__interval", interval);
    let sql = sql.replace("${server:sqlstring}", "'web','it''s another'");
    assert!(!sql.contains('$'), "a macro that the test does not know: {sql}");
    sql
}

/// The rows of an answer.
async fn rows(bench: &Bench, sql: &str) -> Vec<Value> {
    let rows =
        bench.place.texts(&format!("SELECT to_json(answer)::text FROM ({sql}) AS answer")).await;
    rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_statement_of_the_dashboard_on_the_tables_says_what_is_stored() {
    let bench = Bench::new(Place::postgres().await).await;
    let now = chrono::Utc::now().timestamp_micros();
    let line = |nth: u32, code: u16| {
        let line = line_at(&format!("/{}?n={nth}", nth % 3), now - i64::from(nth) * 30_000_000);
        let line = line.replace("\" 200 2 ", &format!("\" {code} 100 "));
        format!("{} {}µs\n", line.trim_end(), 700 * (nth + 1) * (nth + 1))
    };
    let good: String = (0..60).map(|nth| line(nth, 200)).collect();
    let bad: String = (0..4).map(|nth| line(nth, 503)).collect();
    bench.append("access.log", good + &bad + "nonsense\n");
    bench.append("half.log", "no end");
    let site = Site::open(&bench, &[]).await;
    bench.rows(64).await;
    let ignored = "SELECT count(*) FROM ignored_file";
    until("the half line is ignored", async || bench.place.number(ignored).await == 1).await;
    until("all lines are stored", async || bench.stored().await == 65).await;
    let at = |micros: i64| chrono::DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339();
    let hour = (at(now - 3_600_000_000), at(now + 120_000_000));
    let week = (at(now - 7 * 86_400_000_000), at(now + 120_000_000));
    // As the user whom the documents describe.
    let role =
        "DO $$BEGIN CREATE ROLE dashboard_reader; EXCEPTION WHEN duplicate_object THEN NULL; END$$";
    bench.place.execute(role).await;
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/docs/queries.md"));
    let page = page.unwrap();
    let (_, grant) = page.split_once("`GRANT SELECT ON ").unwrap();
    let (tables, _) = grant.split_once(" TO grafana`").unwrap();
    bench.place.execute(&format!("GRANT SELECT ON {tables} TO dashboard_reader")).await;
    bench.place.texts("SELECT set_config('role', 'dashboard_reader', false)").await;
    let all = statements();
    assert!(all.len() > 15, "only {} statements", all.len());
    for ((from, to), interval) in [(&hour, "1m"), (&week, "1h")] {
        for (title, format, sql) in &all {
            let found = rows(&bench, &expanded(sql, (from, to), interval)).await;
            assert!(!found.is_empty(), "{title} has no rows: {sql}");
            assert!(
                format != "time_series" || found[0].get("time").is_some(),
                "{title}: {}",
                found[0]
            );
            let sum =
                |column: &str| found.iter().filter_map(|row| row[column].as_f64()).sum::<f64>();
            match &**title {
                "Requests" | "Requests by server" => assert_eq!(sum("requests"), 64.0, "{title}"),
                "Server errors" => assert_eq!(found[0]["share"], 0.0625),
                "Sent" => assert_eq!(found[0]["sent"], 6400),
                "Rejected lines" => assert_eq!(found[0]["rejected"], 1),
                "Rejected lines by cause" => assert_eq!(found[0]["metric"], "unlike_format"),
                "Requests by class of status" => assert_eq!((sum("2xx"), sum("5xx")), (60.0, 4.0)),
                "Most frequent URLs" => {
                    assert_eq!((sum("requests"), sum("errors")), (64.0, 4.0));
                    assert_eq!(
                        (&found[0]["url"], &found[0]["requests"]),
                        (&"/0".into(), &22.into())
                    );
                }
                "Slowest URLs" => assert_eq!((&found[0]["url"], found.len()), (&"/2".into(), 3)),
                "Newest server errors" => {
                    assert_eq!((found.len(), &found[0]["code"]), (4, &503.into()));
                }
                "Open files" => assert_eq!((sum("lines"), sum("rejected")), (65.0, 1.0)),
                "Ignored files" => assert_eq!(found[0]["reason"], "no_line"),
                "Server" => assert_eq!(found[0]["host"], "web"),
                _ => {}
            }
        }
    }
    let user = bench.place.texts("SELECT current_user::text").await;
    assert_eq!(user, ["dashboard_reader"], "another session has answered");
    // Percentiles are those of the page, which computes them itself.
    let (from, to) = &hour;
    let query =
        format!("/api/overview?from={}&to={}", from.replace('+', "%2B"), to.replace('+', "%2B"));
    let page: Value = serde_json::from_str(&site.get(&query).body).unwrap();
    let points = page["points"].as_array().unwrap();
    let (_, _, sql) = all.iter().find(|(title, ..)| title == "Response time").unwrap();
    let found = rows(&bench, &expanded(sql, (page["from"].as_str().unwrap(), to), "1m")).await;
    assert_eq!((page["step"].as_i64(), found.len()), (Some(60), points.len()));
    for (row, point) in found.iter().zip(points) {
        for name in ["p50", "p95", "p99"] {
            assert_eq!(row[name].as_f64().map(f64::floor), point[name].as_f64(), "{row} {point}");
        }
    }
}
