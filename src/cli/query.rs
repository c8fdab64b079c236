//! `query` and `top`: the page's filters on the command line, and rows in columns.

use std::io::{self, Write};

use chrono::Utc;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::commands;
use crate::model::{Filter, moment};
use crate::store::{
    By, FoundRow, Header, Reader, RowPages, SearchedRow, StoreError, StoredRequest, StoredRow,
    Top as MostFrequent, write_csv, write_json_lines,
};

use super::print::{self, visible};
use super::sources::Settings;
use super::{build, usage};

/// The most rows of a table, unless `--limit` asks for more.
const SCREEN: u64 = 100;

#[derive(Debug, Args)]
pub(super) struct Query {
    #[command(flatten)]
    which: Which,

    /// Which rows: Gunicorn's access log, or the application's request log
    #[arg(long, value_enum, default_value_t = Log::Access)]
    log: Log,

    /// How rows are written
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,

    /// Most rows [default: 100 as a table, else all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// The oldest rows first
    #[arg(long)]
    oldest_first: bool,
}

#[derive(Debug, Args)]
pub(super) struct Top {
    /// Of what
    #[arg(value_enum, value_name = "WHAT")]
    what: What,

    #[command(flatten)]
    which: Which,

    /// Most lines
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,

    /// Print the answer as one JSON object
    #[arg(long)]
    json: bool,
}

/// The flags that choose rows.
#[derive(Debug, Args)]
struct Which {
    /// From an age (15m, 7d) or a time (2026-11-23T08:00:00Z) on [default: 1h]
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,

    /// Up to an age or a time [default: now]
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,

    /// The URL begins with /…, or holds another text
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// 404, 4xx, 400-499, '>=400', or several with commas between
    #[arg(long, value_name = "CODES")]
    code: Option<String>,

    /// The method, for example POST
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,

    /// The user's name or key
    #[arg(long, value_name = "USER")]
    user: Option<String>,

    /// The client's address, or its network: 203.0.113.0/24
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,

    /// The request's Host header
    #[arg(long, value_name = "HOST")]
    http_host: Option<String>,

    /// The machine whose log it is
    #[arg(long, value_name = "NAME")]
    server: Option<String>,

    /// Part of the User-Agent header
    #[arg(long, value_name = "TEXT")]
    agent: Option<String>,

    /// Part of URL, agent, referer or user
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
}

impl Which {
    fn filter(&self, reader: &Reader) -> anyhow::Result<Filter> {
        let now = Utc::now().timestamp_micros();
        let mut filter = Filter::last_hour(now);
        let given = [
            ("--since", "from", &self.since),
            ("--until", "to", &self.until),
            ("--url", "url", &self.url),
            ("--code", "code", &self.code),
            ("--method", "method", &self.method),
            ("--user", "user", &self.user),
            ("--address", "address", &self.address),
            ("--http-host", "host", &self.http_host),
            ("--server", "server", &self.server),
            ("--agent", "agent", &self.agent),
            ("--text", "text", &self.text),
        ];
        for (flag, name, value) in given {
            if let Some(value) = value {
                filter.set(name, value, now).map_err(|error| usage(format!("{flag}: {error}")))?;
            }
        }
        let filter = filter.checked().map_err(|error| usage(error.to_string()))?;
        reader.check(&filter).map_err(|error| usage(error.to_string()))?;
        Ok(filter)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Log {
    Access,
    Requests,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Columns for people
    Table,
    /// A JSON object a line, with all columns
    Jsonl,
    /// All columns, with a head
    Csv,
    /// Lines of Gunicorn's default access log
    Log,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Urls,
    Users,
    Addresses,
    Agents,
    Hosts,
    /// URLs by mean duration
    Slow,
}

/// Prints the rows that the filter chooses.
pub(super) async fn query(settings: &Settings, query: &Query) -> anyhow::Result<()> {
    let reader = commands::open_reader(&build::config(settings)?).await?;
    let filter = query.which.filter(&reader)?;
    match query.log {
        Log::Access => {
            let begin = match query.oldest_first {
                true => RowPages::<StoredRow>::oldest_first,
                false => RowPages::newest_first,
            };
            let mut pages = begin(reader, filter);
            print_rows(query, async || pages.next().await, access_cells).await
        }
        Log::Requests => {
            let begin = match query.oldest_first {
                true => RowPages::<StoredRequest>::oldest_first,
                false => RowPages::newest_first,
            };
            let mut pages = begin(reader, filter);
            print_rows(query, async || pages.next().await, request_cells).await
        }
    }
}

async fn print_rows<T: SearchedRow>(
    query: &Query,
    mut next: impl AsyncFnMut() -> Result<Option<Vec<FoundRow<T>>>, StoreError>,
    cells: fn(&FoundRow<T>) -> [String; COLUMNS],
) -> anyhow::Result<()> {
    let screen = (query.output == Output::Table).then_some(SCREEN);
    let mut left = query.limit.or(screen).unwrap_or(u64::MAX);
    let mut header = Header::Written;
    while left > 0
        && let Some(mut rows) = next().await?
    {
        rows.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= rows.len() as u64;
        let mut out = io::BufWriter::new(io::stdout().lock());
        match query.output {
            // An empty table is a sentence; an empty file still has its header.
            Output::Table if rows.is_empty() => continue,
            Output::Table => {
                let rows: Vec<_> = rows.iter().map(cells).collect();
                write_table(&mut out, (header == Header::Written).then_some(HEAD), &rows)?;
            }
            Output::Jsonl => write_json_lines(&mut out, &rows)?,
            Output::Csv => write_csv(&mut out, &rows, header)?,
            Output::Log => {
                for row in &rows {
                    writeln!(out, "{}", row.row.access_line())?;
                }
            }
        }
        out.flush()?;
        header = Header::Omitted;
    }
    if header == Header::Written && query.output == Output::Table {
        writeln!(io::stdout(), "no rows; --since 7d looks further back than an hour")?;
    }
    Ok(())
}

/// Prints the most frequent values, or the slowest URLs.
pub(super) async fn top(settings: &Settings, top: &Top) -> anyhow::Result<()> {
    let reader = commands::open_reader(&build::config(settings)?).await?;
    let filter = top.which.filter(&reader)?;
    let by = match top.what {
        What::Urls => By::Url,
        What::Users => By::User,
        What::Addresses => By::Address,
        What::Agents => By::Agent,
        What::Hosts => By::Host,
        What::Slow => By::Slow,
    };
    let found = reader.top(by, &filter, usize::from(top.limit)).await?;
    match top.json {
        true => {
            let (counted, from) = (found.counted, moment(found.from));
            print::json(&json!({ "counted": counted, "from": from, "items": found.items }))
        }
        false => print_top(&found, &filter),
    }
}

/// The columns of a list of rows.
const COLUMNS: usize = 7;

const HEAD: [&str; COLUMNS] = ["time", "code", "duration", "method", "url", "user", "address"];

fn access_cells(found: &FoundRow<StoredRow>) -> [String; COLUMNS] {
    let row = &found.row;
    [
        moment(row.timestamp),
        or_dash(row.code),
        row.duration.map_or_else(|| "-".into(), duration),
        or_dash(row.method.as_deref()),
        or_dash(row.url.as_deref()),
        or_dash(row.user_id.as_deref()),
        or_dash(row.user_ip),
    ]
}

fn request_cells(found: &FoundRow<StoredRequest>) -> [String; COLUMNS] {
    let row = &found.row.line;
    [
        moment(row.timestamp),
        or_dash(row.status_code),
        row.response_time_ms.map_or_else(|| "-".into(), |ms| duration((ms * 1000.0) as i64)),
        or_dash(row.method.as_deref()),
        or_dash(row.path.as_deref()),
        or_dash(row.user_id.as_deref()),
        or_dash(row.ip_address),
    ]
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| visible(&value.to_string()))
}

/// Returns microseconds in the unit that makes the text short.
fn duration(micros: i64) -> String {
    match micros {
        ..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

/// Writes columns as wide as their longest cell; the last one is not padded.
fn write_table<const N: usize>(
    out: &mut impl Write,
    head: Option<[&str; N]>,
    rows: &[[String; N]],
) -> io::Result<()> {
    let width = |nth: usize| {
        let cells = rows.iter().map(|row| row[nth].chars().count());
        cells.chain(head.map(|head| head[nth].chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut line = |cells: &[&str]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    if let Some(head) = head {
        line(&head)?;
    }
    for row in rows {
        line(&row.each_ref().map(String::as_str))?;
    }
    Ok(())
}

/// Prints the most frequent values of the rows that `filter` chose.
fn print_top(top: &MostFrequent, filter: &Filter) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let rows: Vec<_> = top
        .items
        .iter()
        .map(|item| {
            [
                item.rows.to_string(),
                item.errors.to_string(),
                item.mean.map_or_else(|| "-".into(), duration),
                item.max.map_or_else(|| "-".into(), duration),
                or_dash(item.value.as_deref()),
            ]
        })
        .collect();
    write_table(&mut out, Some(["rows", "errors", "mean", "max", "value"]), &rows)?;
    // The range had more rows than were counted.
    if top.from > filter.from {
        writeln!(out, "counted: the newest {} rows, from {} on", top.counted, moment(top.from))?;
    }
    Ok(())
}
