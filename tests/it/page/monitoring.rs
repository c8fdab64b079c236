//! Prometheus's own programs read what the daemon gives, and every name that the dashboard and the
//! alerts ask for is there.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::client::Site;
use super::measures::{Samples, comes_to};
use crate::daemon::{Bench, line, lines};
use crate::place::Place;

fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// Runs a program on this input; it must like it.
fn likes(command: &mut Command, input: &str) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs it"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
}

/// A daemon that has seen lines of every kind.
async fn busy() -> (Bench, Site) {
    let bench = Bench::new(Place::sqlite().await).await;
    // A name that has to be escaped.
    bench.append("a \"b\" c\\.log", lines("a", 0..100) + "nonsense\n" + &line("/z"));
    let site = Site::open(&bench, &[]).await;
    bench.rows(101).await;
    comes_to(&site, "files", 1.0).await;
    comes_to(&site, "sweeps_total", 1.0).await;
    (bench, site)
}

#[tokio::test(flavor = "multi_thread")]
async fn real_parsers_read_both_formats() {
    let (_bench, site) = busy().await;
    let older = site.get("/metrics");
    assert_eq!(older.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    likes(Command::new("promtool").args(["check", "metrics"]), &older.body);

    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2";
    let open = site.get_with("/metrics", &[("Accept", accept)]);
    assert!(open.header("content-type").starts_with("application/openmetrics-text"));
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let script = "import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
names = [sample.name for family in parse(sys.stdin.read()) for sample in family.samples]
assert 'log_ingestd_lines_total' in names and 'log_ingestd_lag_seconds' in names, names";
    likes(Command::new(python).args(["-c", script]), &open.body);
}

/// Every name of ours in an expression.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("log_ingestd_") || word.starts_with("process_"))
}

/// All expressions of the dashboard.
fn dashboard() -> Vec<String> {
    fn expressions(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| expressions(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
            _ => {}
        }
    }
    let text = fs::read_to_string(deployed("grafana/dashboard.json")).unwrap();
    let mut found = Vec::new();
    expressions(&serde_json::from_str(&text).unwrap(), &mut found);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_and_the_alerts_ask_for_what_there_is() {
    let (_bench, site) = busy().await;
    let samples = Samples::scrape(&site);
    let there: BTreeSet<&str> = samples.names().collect();
    let dashboard = dashboard();
    assert!(dashboard.len() > 20, "only {} expressions", dashboard.len());
    let alerts = fs::read_to_string(deployed("prometheus/alerts.yml")).unwrap();
    let wanted: BTreeSet<&str> =
        dashboard.iter().flat_map(|it| names(it)).chain(names(&alerts)).collect();
    let missing: Vec<_> = wanted.difference(&there).collect();
    assert!(missing.is_empty(), "{missing:?} are asked for and not there");
    // A metric that no panel shows might as well not be counted.
    let unseen =
        there.iter().filter(|name| name.starts_with("log_ingestd_") && !wanted.contains(**name));
    let unseen: Vec<_> = unseen.filter(|name| !is_known_to_be_unseen(name)).collect();
    assert!(unseen.is_empty(), "{unseen:?} are neither on the dashboard nor in an alert");
}

/// Parts of histograms, and counts that stand beside others which are shown.
fn is_known_to_be_unseen(name: &str) -> bool {
    let parts = ["_sum", "_count", "_bucket"];
    parts.iter().any(|part| name.ends_with(part)) || name == "log_ingestd_sweeps_total"
}

#[test]
fn prometheus_understands_each_expression_and_the_alerts_do_what_they_say() {
    let promtool = || {
        let mut promtool = Command::new("promtool");
        promtool.current_dir(deployed("prometheus"));
        promtool
    };
    likes(promtool().args(["check", "rules", "alerts.yml"]), "");
    likes(promtool().args(["test", "rules", "alerts_test.yml"]), "");
    // Grafana's own variables stand for durations.
    let rules = dashboard().into_iter().enumerate().map(|(nth, expression)| {
        let expression = expression.replace("$__rate_interval", "1m").replace("$__range", "1h");
        serde_json::json!({ "record": format!("panel:{nth}"), "expr": expression })
    });
    let rules: Vec<Value> = rules.collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    let groups = serde_json::json!({ "groups": [{ "name": "panels", "rules": rules }] });
    fs::write(file.path(), groups.to_string()).unwrap(); // JSON is YAML
    likes(promtool().args(["check", "rules"]).arg(file.path()), "");
}
