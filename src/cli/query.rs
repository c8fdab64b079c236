//! `query` and `top`: the page's filters on the command line.

use std::io::{self, Write};

use chrono::Utc;
use clap::{Args, ValueEnum};

use super::build::{self, usage};
use super::flags::Flags;
use super::table;
use crate::commands;
use crate::model::Filter;
use crate::store::{
    By, Exported, FoundRow, Reader, RowPages, StoreError, StoredRequest, StoredRow, write_csv,
    write_json_lines,
};

/// Rows of a table on a terminal, unless more are asked for.
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

/// Which rows.
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

/// Prints the rows.
pub(super) async fn query(flags: &Flags, query: &Query) -> anyhow::Result<()> {
    let reader = commands::open_reader(&build::config(flags)?).await?;
    let filter = query.which.filter(&reader)?;
    match query.log {
        Log::Access if query.oldest_first => {
            let mut walk: RowPages<StoredRow> = RowPages::oldest_first(reader, filter);
            print(query, async || walk.next().await, table::access).await
        }
        Log::Access => {
            let mut walk: RowPages<StoredRow> = RowPages::newest_first(reader, filter);
            print(query, async || walk.next().await, table::access).await
        }
        Log::Requests if query.oldest_first => {
            let mut walk: RowPages<StoredRequest> = RowPages::oldest_first(reader, filter);
            print(query, async || walk.next().await, table::request).await
        }
        Log::Requests => {
            let mut walk: RowPages<StoredRequest> = RowPages::newest_first(reader, filter);
            print(query, async || walk.next().await, table::request).await
        }
    }
}

async fn print<T>(
    query: &Query,
    mut next: impl AsyncFnMut() -> Result<Option<Vec<FoundRow<T>>>, StoreError>,
    cells: fn(&FoundRow<T>) -> [String; table::COLUMNS],
) -> anyhow::Result<()>
where
    FoundRow<T>: Exported,
{
    let screen = (query.output == Output::Table).then_some(SCREEN);
    let mut left = query.limit.or(screen).unwrap_or(u64::MAX);
    let mut head = true;
    while left > 0
        && let Some(mut rows) = next().await?
    {
        rows.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= rows.len() as u64;
        // A table of nothing is a sentence, a file of nothing still has its head.
        if !rows.is_empty() || query.output != Output::Table {
            write(query.output, &rows, head, cells)?;
            head = false;
        }
    }
    if head && query.output == Output::Table {
        writeln!(io::stdout(), "no rows; --since 7d looks further back than an hour")?;
    }
    Ok(())
}

fn write<T>(
    output: Output,
    rows: &[FoundRow<T>],
    head: bool,
    cells: fn(&FoundRow<T>) -> [String; table::COLUMNS],
) -> anyhow::Result<()>
where
    FoundRow<T>: Exported,
{
    let mut out = io::BufWriter::new(io::stdout().lock());
    match output {
        Output::Table => {
            let rows: Vec<_> = rows.iter().map(cells).collect();
            table::write(&mut out, head.then_some(table::HEAD), &rows)?;
        }
        Output::Jsonl => write_json_lines(&mut out, rows)?,
        Output::Csv => write_csv(&mut out, rows, head)?,
        Output::Log => {
            for row in rows {
                writeln!(out, "{}", row.access_line())?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

/// Prints the most frequent values.
pub(super) async fn top(flags: &Flags, top: &Top) -> anyhow::Result<()> {
    let reader = commands::open_reader(&build::config(flags)?).await?;
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
    table::top(&found, found.from > filter.from, top.json)
}
