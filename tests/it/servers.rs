//! Logs of other servers, and Gunicorn's lines after the prefixes of other programs. The truth of each
//! line was written by hand from the server's documentation.

use std::fs;
use std::path::PathBuf;

use chrono::DateTime;
use serde_json::{Value, json};

use crate::judge::{self, COLUMNS, Entry, Judgement, Truth, Verdict, judge, table};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/servers")
}

/// The names of all logs.
fn names() -> Vec<String> {
    let names = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> =
        names.filter_map(|name| Some(name.to_str()?.strip_suffix(".log")?.to_owned())).collect();
    names.sort();
    assert_eq!(names.len(), 23);
    names
}

/// The entries of a log: one for each line.
fn entries(name: &str) -> Vec<Entry> {
    let log = fs::read(root().join(format!("{name}.log"))).unwrap();
    let truth = fs::read_to_string(root().join(format!("{name}.truth.jsonl"))).unwrap();
    let mut offset = 0;
    log.split_inclusive(|byte| *byte == b'\n')
        .zip(truth.lines())
        .map(|(line, truth)| {
            let begin = offset;
            offset += line.len() as u64;
            let truth: Value = serde_json::from_str(truth).unwrap();
            Entry { offset: begin, truth: meaning(&truth) }
        })
        .collect()
}

fn meaning(truth: &Value) -> Truth {
    if truth["kind"] != "access" {
        return Truth::ServerLog;
    }
    let mut columns: std::collections::BTreeMap<_, _> =
        COLUMNS.iter().map(|name| (*name, truth[*name].clone())).collect();
    match truth["timestamp"].as_str() {
        Some(text) => {
            let time = DateTime::parse_from_rfc3339(text).unwrap();
            columns.insert("timestamp", json!(time.format("%Y-%m-%d %H:%M:%S").to_string()));
        }
        // The row gets an estimated time.
        None => drop(columns.remove("timestamp")),
    }
    if let Some(number) = truth.get("undecided") {
        columns.insert("duration", number.clone());
    }
    Truth::Access(columns)
}

async fn judged() -> Vec<(String, Judgement)> {
    let logs = names().into_iter().map(|name| async move {
        let log = root().join(format!("{name}.log"));
        let judgement = judge(&log, None, &entries(&name), |_, _| false).await;
        (name, judgement)
    });
    judge::all(logs).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_of_another_server_is_stored_wrongly() {
    let judged = judged().await;
    let counts = table("servers", &judged);
    let of = |verdict| counts.get(&verdict).copied().unwrap_or(0);
    assert_eq!(of(Verdict::Wrong), 0);
    assert!(of(Verdict::Right) >= 19);
}
