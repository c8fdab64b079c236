//! Imports a log into a store of its own, and compares every typed column of every row with what the
//! server knew of the request.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::daemon::Bench;
use crate::place::Place;

/// The typed columns that are compared.
pub(crate) const COLUMNS: [&str; 12] = [
    "timestamp",
    "method",
    "url",
    "protocol",
    "host",
    "user_id",
    "user_ip",
    "agent",
    "source",
    "code",
    "response_bytes",
    "duration",
];

/// What one entry of a log is. An entry is a line, or the lines of one request.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Of its first byte.
    pub(crate) offset: u64,
    pub(crate) truth: Truth,
}

#[derive(Clone, Debug)]
pub(crate) enum Truth {
    /// A request: its typed columns.
    Access(BTreeMap<&'static str, Value>),
    /// A line of the server itself.
    ServerLog,
}

/// The judgement on one log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judgement {
    /// Entries with a column that differs from the truth, or without the row that they should have.
    pub(crate) wrong: Vec<String>,
    /// Entries whose duration is NULL because the data do not prove its unit.
    pub(crate) undecided: usize,
    /// Rejects by their code.
    pub(crate) rejects: BTreeMap<String, usize>,
    /// What the program said when it refused the log.
    pub(crate) refused: Option<String>,
}

/// The judgement in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Right,
    Undecided,
    Refused,
    Wrong,
}

impl Judgement {
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Judgement { refused: Some(_), .. } => Verdict::Refused,
            Judgement { wrong, .. } if !wrong.is_empty() => Verdict::Wrong,
            Judgement { undecided: 1.., .. } => Verdict::Undecided,
            _ => Verdict::Right,
        }
    }
}

/// Imports the log, with the format if one is given, and compares it with its entries. `may_differ`
/// says which column of which entry the line itself leaves open.
pub(crate) async fn judge(
    log: &Path,
    format: Option<&str>,
    entries: &[Entry],
    may_differ: impl Fn(usize, &str) -> bool,
) -> Judgement {
    let bench = Bench::new(Place::sqlite().await).await;
    let mut arguments = vec!["import", log.to_str().unwrap(), "--sensitive-fields", ""];
    arguments.extend(format.into_iter().flat_map(|format| ["--format", format]));
    let output = bench.run(&arguments);
    let mut judgement = Judgement::default();
    if !output.status.success() {
        judgement.refused = Some(String::from_utf8_lossy(&output.stderr).into_owned());
        assert_eq!(bench.stored().await, 0, "a log that is refused leaves nothing in the store");
        return judgement;
    }
    bench.balanced().await;
    let codes = "SELECT code || ' ' || repeats FROM rejected_line";
    for text in bench.place.texts(codes).await {
        let (code, repeats) = text.split_once(' ').unwrap();
        *judgement.rejects.entry(code.to_owned()).or_default() += repeats.parse::<usize>().unwrap();
    }
    let pairs: Vec<String> = COLUMNS.iter().map(|name| format!("'{name}', {name}")).collect();
    let sql = format!(
        "SELECT CAST(json_object('offset', log_offset, 'request', json(request), {}) AS text) \
         FROM gunicorn_log ORDER BY log_offset",
        pairs.join(", ")
    );
    let rows = bench.place.texts(&sql).await;
    let mut rows = rows.iter().map(|row| serde_json::from_str::<Value>(row).unwrap()).peekable();
    for (nth, entry) in entries.iter().enumerate() {
        let end = entries.get(nth + 1).map_or(u64::MAX, |next| next.offset);
        let row = rows.next_if(|row| row["offset"].as_u64().unwrap() < end);
        match (&entry.truth, row) {
            (Truth::ServerLog, None) => {}
            (Truth::ServerLog, Some(row)) => judgement.wrong.push(format!("{nth}: a row: {row}")),
            (Truth::Access(_), None) => judgement.wrong.push(format!("{nth}: no row")),
            (Truth::Access(columns), Some(row)) => {
                let mut undecided = false;
                for (name, right) in columns {
                    let found = &row[*name];
                    if found == right || may_differ(nth, name) {
                        continue;
                    }
                    if *name == "duration" && found.is_null() {
                        undecided = true;
                        continue;
                    }
                    judgement.wrong.push(format!("{nth}: {name} is {found}, not {right}"));
                }
                judgement.undecided += usize::from(undecided);
            }
        }
    }
    judgement.wrong.extend(rows.map(|row| format!("a row too many: {row}")));
    judgement
}

/// Judges logs side by side: each task returns the name of a log and what was found. In their order.
pub(crate) async fn all<F>(logs: impl IntoIterator<Item = F>) -> Vec<(String, Judgement)>
where
    F: Future<Output = (String, Judgement)> + Send + 'static,
{
    let tasks: Vec<_> = logs.into_iter().map(tokio::spawn).collect();
    let mut judged = Vec::with_capacity(tasks.len());
    for task in tasks {
        judged.push(task.await.unwrap());
    }
    judged
}

/// Prints one line for each log, and returns how many there are of each verdict.
pub(crate) fn table(title: &str, judged: &[(String, Judgement)]) -> BTreeMap<Verdict, usize> {
    let mut counts = BTreeMap::new();
    println!("{title}");
    for (name, judgement) in judged {
        let verdict = judgement.verdict();
        *counts.entry(verdict).or_default() += 1;
        let Judgement { wrong, undecided, rejects, refused } = judgement;
        println!("  {name:<28} {verdict:?} undecided {undecided} rejects {rejects:?}");
        for words in wrong.iter().take(3) {
            println!("      {words:.300}");
        }
        if let Some(words) = refused {
            println!("      {:.600}", words.replace('\n', "\n      "));
        }
    }
    println!("  {counts:?}");
    counts
}
