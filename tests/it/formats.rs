//! Logs that a real Gunicorn wrote by the formats that people use, with the format given and without.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use chrono::DateTime;
use serde_json::{Map, Value, json};

use crate::judge::{self, Entry, Judgement, Truth, Verdict, judge, table};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/formats")
}

fn formats() -> Map<String, Value> {
    let text = fs::read_to_string(root().join("formats.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn truths() -> Vec<Value> {
    let text = fs::read_to_string(root().join("truth.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Values that the line itself leaves open: the format puts free texts next to each other without
/// double quotes, and one of them holds what stands between them.
const OPEN: [(&str, usize, &[&str]); 7] = [
    // `'http://o'brien/'x' 'y'' 'it's 'single' quoted'`
    ("single_q", 25, &["source", "agent"]),
    // `https://x/"quoted" "more" Mozilla/5.0 …` and `http://o'brien/'x' 'y' it's 'single' quoted`
    ("allunquoted", 22, &["source", "agent"]),
    ("allunquoted", 25, &["source", "agent"]),
    ("width", 22, &["source", "agent"]),
    ("width", 25, &["source", "agent"]),
    // The same with the referer only.
    ("single_q", 22, &[]),
    ("access_tag", 22, &[]),
];

fn may_differ(name: &str, nth: usize, column: &str) -> bool {
    OPEN.iter()
        .any(|(log, entry, columns)| *log == name && *entry == nth && columns.contains(&column))
}

/// The columns that a request must have, from the atoms that the format shows.
fn columns(format: &str, atoms: &Value) -> BTreeMap<&'static str, Value> {
    let lower = format.to_lowercase();
    let shows = |atom: &str| match atom.starts_with('{') {
        true => lower.contains(&format!("%({atom})")),
        false => format.contains(&format!("%({atom})")),
    };
    let shown = |atom: &str| {
        let text = atoms.get(atom).filter(|_| shows(atom))?.as_str()?;
        (!matches!(text, "" | "-")).then(|| text.to_owned())
    };
    let number = |atom: &str| {
        let value = atoms.get(atom).filter(|_| shows(atom))?;
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    };
    let address = |text: &String| -> Option<IpAddr> {
        let cut = text.rsplit_once(':').map_or(text.as_str(), |(address, _)| address);
        text.parse().or_else(|_| cut.parse()).ok()
    };
    let request = shown("r").map(|r| r.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let word = |nth: usize| request.as_ref()?.get(nth).cloned();
    let path = match (shown("U"), shown("q")) {
        (Some(path), Some(query)) => Some(format!("{path}?{query}")),
        (path, _) => path,
    };
    let forwarded = shown("{x-forwarded-for}i")
        .and_then(|list| list.split(", ").find_map(|item| address(&item.to_owned())));
    let captured = ["{x-real-ip}i", "{http_x_real_ip}e", "{remote_addr}e"];
    let captured = captured.iter().find_map(|atom| address(&shown(atom)?));
    let time = shown("t").map(|t| {
        let time = DateTime::parse_from_str(&t, "[%d/%b/%Y:%H:%M:%S %z]").unwrap();
        time.to_utc().format("%Y-%m-%d %H:%M:%S").to_string()
    });
    let decimal = shown("L").map(|text| text.replace('.', "").parse::<i64>().unwrap());
    let milliseconds = number("M").map(|number| number * 1_000);
    let seconds = number("T").map(|number| number * 1_000_000);
    let users = ["{remote_user}e", "{remote_user}i", "{remote_user}o"];
    let user = shown("u").or_else(|| users.iter().find_map(|atom| shown(atom)));
    let mut columns = BTreeMap::from([
        ("method", json!(word(0).or(shown("m")))),
        ("url", json!(word(1).or(path))),
        ("protocol", json!(word(2).or(shown("H")))),
        ("host", json!(shown("{host}i"))),
        ("user_id", json!(user)),
        ("user_ip", json!(shown("h").as_ref().and_then(address).or(forwarded).or(captured))),
        ("agent", json!(shown("a"))),
        ("source", json!(shown("f"))),
        ("code", json!(number("s"))),
        ("response_bytes", json!(number("b").or(number("B")))),
        ("duration", json!(number("D").or(decimal).or(milliseconds).or(seconds))),
    ]);
    if let Some(time) = time {
        columns.insert("timestamp", json!(time));
    }
    columns
}

async fn judged(given: bool) -> Vec<(String, Judgement)> {
    let truths = truths();
    let mut logs = Vec::new();
    for (name, format) in formats() {
        let format = format.as_str().unwrap().to_owned();
        let entries: Vec<Entry> = truths
            .iter()
            .map(|truth| Entry {
                offset: truth["off"][&name].as_u64().unwrap(),
                truth: Truth::Access(columns(&format, &truth["atoms"])),
            })
            .collect();
        logs.push(async move {
            let log = root().join(format!("logs/{name}.log"));
            let format = given.then_some(format.as_str());
            let open = |nth: usize, column: &str| may_differ(&name, nth, column);
            let judgement = judge(&log, format, &entries, open).await;
            (name, judgement)
        });
    }
    judge::all(logs).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_is_right_if_the_format_is_given() {
    let judged = judged(true).await;
    table("formats, given", &judged);
    for (name, judgement) in &judged {
        assert_eq!(judgement.verdict(), Verdict::Right, "{name}: {judgement:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_format_nothing_is_stored_wrongly() {
    let judged = judged(false).await;
    let counts = table("formats, not given", &judged);
    let of = |verdict| counts.get(&verdict).copied().unwrap_or(0);
    assert_eq!(of(Verdict::Wrong), 0);
    assert!(of(Verdict::Right) + of(Verdict::Undecided) >= 24);
    // Ten have a number whose unit no line proves.
    assert!(of(Verdict::Right) >= 22);
}
