//! `query` and `top`: the page's filters on the command line, and rows in columns.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::commands::{self, NewRows};
use crate::format::Layout;
use crate::model::{FileId, Filter, Micros, counted, grouped, moment, now};
use crate::pipeline::Shutdown;
use crate::store::{
    By, CsvCells, FoundRow, Header, Reader, RowPages, SearchedRow, StoredRequest, StoredRow,
    Top as MostFrequent, write_csv, write_json_lines,
};

use super::clock::Clock;
use super::output::{self, Form};
use super::print;
use super::sources::Settings;
use super::table::{Cell, Column, Table};
use super::terminal::{Style, Terminal};
use super::{build, usage};

/// The most rows of a table, unless `--limit` asks for more.
const SCREEN: u64 = 100;

/// The rows that `--follow` begins with, unless `--limit` asks for more.
const BEFORE: u64 = 10;

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

    /// In CSV, put ' before what a spreadsheet would take for a formula
    #[arg(long)]
    csv_safe: bool,

    /// Most rows [default: 100 as a table, else all; 10 to begin with --follow]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// The oldest rows first
    #[arg(long)]
    oldest_first: bool,

    /// Go on with new rows as they are stored, until ctrl-C
    #[arg(long, conflicts_with_all = ["until", "oldest_first"])]
    follow: bool,

    /// All of each URL and user, in a table that may be wider than the terminal
    #[arg(long)]
    wide: bool,
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

    /// Count about the newest 300,000 rows only: sooner, if there are many millions
    #[arg(long)]
    sample: bool,

    /// All of each value, in a table that may be wider than the terminal
    #[arg(long)]
    wide: bool,

    /// Print the answer as one JSON object
    #[arg(long)]
    json: bool,
}

/// The flags that choose rows.
#[derive(Debug, Args)]
struct Which {
    /// From an age (15m, 7d), a day (2026-11-23, today, yesterday) or a time (2026-11-23T08:00:00Z) on
    /// [default: 1h]
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,

    /// Up to an age, the beginning of a day, or a time [default: now]
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,

    #[command(flatten)]
    clock: Clock,

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

    /// The pattern of URLs that led to the view: orders/<int:pk>/
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,

    /// What names the request in other logs
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,

    /// The trace: 32 hexadecimal digits
    #[arg(long, value_name = "ID")]
    trace_id: Option<String>,

    /// Part of the User-Agent header
    #[arg(long, value_name = "TEXT")]
    agent: Option<String>,

    /// Part of URL, agent, referer or user
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
}

impl Which {
    fn filter(&self, reader: &Reader) -> anyhow::Result<Filter> {
        let now = now();
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
            ("--route", "route", &self.route),
            ("--request-id", "request_id", &self.request_id),
            ("--trace-id", "trace_id", &self.trace_id),
            ("--agent", "agent", &self.agent),
            ("--text", "text", &self.text),
        ];
        for (flag, name, value) in given {
            if let Some(value) = value {
                let set = filter.set_with(name, value, |text| self.clock.read(text, now));
                set.map_err(|error| usage(format!("{flag}: {error}")))?;
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
    /// Lines of an access log, in the format of their file, or in Gunicorn's default format if that is JSON
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
    if query.csv_safe && query.output != Output::Csv {
        return Err(usage("--csv-safe is about CSV: expected --output csv beside it"));
    }
    let reader = commands::open_reader(&build::config(settings)?).await?;
    let filter = query.which.filter(&reader)?;
    match query.log {
        Log::Access => {
            let forms = Forms { cells: access_cells, line: Layout::render };
            print_rows::<StoredRow>(reader, filter, query, forms).await
        }
        Log::Requests => {
            let forms = Forms { cells: request_cells, line: |_, _| None };
            print_rows::<StoredRequest>(reader, filter, query, forms).await
        }
    }
}

async fn print_rows<T: SearchedRow>(
    reader: Reader,
    filter: Filter,
    query: &Query,
    forms: Forms<T>,
) -> anyhow::Result<()> {
    let mut terminal = Terminal::of_stdout();
    if query.wide {
        terminal.width = None;
    }
    let (table, header) = (Table::new(HEAD, terminal), Header::Written);
    let cells_of_csv = if query.csv_safe { CsvCells::Safe } else { CsvCells::Exact };
    let formats = match query.output {
        Output::Log => compiled(reader.formats().await?),
        _ => HashMap::new(),
    };
    let mut rows = Rows { query, forms, table, header, cells_of_csv, formats };
    if query.follow {
        return follow(&reader, &filter, &mut rows).await;
    }
    let begin = match query.oldest_first {
        true => RowPages::<T>::oldest_first,
        false => RowPages::newest_first,
    };
    let mut pages = begin(reader.clone(), filter.clone());
    let screen = (query.output == Output::Table).then_some(SCREEN);
    let mut left = query.limit.or(screen).unwrap_or(u64::MAX);
    let mut is_cut = false;
    while left > 0
        && let Some(mut page) = pages.next().await?
    {
        is_cut = page.len() as u64 > left;
        page.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= page.len() as u64;
        rows.print(&page)?;
    }
    if is_cut && query.limit.is_none() {
        let which = if query.oldest_first { "oldest" } else { "newest" };
        let mut note = output::stderr(Form::Text);
        writeln!(note, "the {which} {SCREEN} rows; more match: --limit N shows N")?;
    }
    if query.output == Output::Table && rows.table.is_empty() {
        let log = match query.log {
            Log::Access => "",
            Log::Requests => " --log requests",
        };
        let none = NoRows { what: "rows", log, newest: reader.newest_time::<T>().await? };
        none.say(&filter, query.which.clock)?;
    }
    Ok(())
}

/// Prints the newest rows, and new ones as they are stored. Ends when a signal asks for it, or when standard
/// output is closed.
async fn follow<T: SearchedRow>(
    reader: &Reader,
    filter: &Filter,
    rows: &mut Rows<'_, T>,
) -> anyhow::Result<()> {
    let mut shutdown = Shutdown::on_signals()?;
    tokio::select! {
        failed = print_new(reader, filter, rows) => match failed? {},
        () = shutdown.requested() => Ok(()),
    }
}

async fn print_new<T: SearchedRow>(
    reader: &Reader,
    filter: &Filter,
    rows: &mut Rows<'_, T>,
) -> anyhow::Result<Infallible> {
    let before = rows.query.limit.unwrap_or(BEFORE);
    let (newest, mut new_rows) = NewRows::begin(reader, filter, before).await?;
    rows.print(&newest)?;
    loop {
        new_rows.next(&mut |found| rows.print(found)).await?;
    }
}

/// The forms of a row that depend on its table.
struct Forms<T> {
    /// Its cells in a table.
    cells: fn(&FoundRow<T>, Clock) -> [Cell; COLUMNS],
    /// Its line in the format of its file; `None` if that has no line for it.
    line: fn(&Layout, &T) -> Option<String>,
}

/// Compiles formats, of which most files have the same. One that a newer version has stored is left out.
fn compiled(formats: Vec<(FileId, String)>) -> HashMap<FileId, Arc<Layout>> {
    let mut layouts: HashMap<String, Option<Arc<Layout>>> = HashMap::new();
    let mut by_file = HashMap::new();
    for (file, format) in formats {
        let layout = layouts
            .entry(format)
            .or_insert_with_key(|format| Layout::compile(format).ok().map(Arc::new));
        by_file.extend(layout.clone().map(|layout| (file, layout)));
    }
    by_file
}

/// Prints rows in the form that was asked for.
struct Rows<'a, T> {
    query: &'a Query,
    forms: Forms<T>,
    table: Table<COLUMNS>,
    header: Header,
    cells_of_csv: CsvCells,
    /// How lines of each file are written, if access lines are printed.
    formats: HashMap<FileId, Arc<Layout>>,
}

impl<T: SearchedRow> Rows<'_, T> {
    fn print(&mut self, rows: &[FoundRow<T>]) -> anyhow::Result<()> {
        match self.query.output {
            // An empty table is a sentence; an empty file still has its header.
            Output::Table if rows.is_empty() => return Ok(()),
            Output::Table => {
                let clock = self.query.which.clock;
                let rows: Vec<_> = rows.iter().map(|row| (self.forms.cells)(row, clock)).collect();
                // Its cells are printable, and its colours are ours.
                let mut out = io::BufWriter::new(io::stdout().lock());
                self.table.write(&mut out, &rows)?;
                out.flush()?;
            }
            Output::Jsonl => {
                let mut out = io::BufWriter::new(output::stdout(Form::Json));
                write_json_lines(&mut out, rows)?;
                out.flush()?;
            }
            Output::Csv => {
                let mut out = io::BufWriter::new(output::stdout(Form::Text));
                let header = std::mem::replace(&mut self.header, Header::Omitted);
                write_csv(&mut out, rows, header, self.cells_of_csv)?;
                out.flush()?;
            }
            Output::Log => {
                let mut out = io::BufWriter::new(output::stdout(Form::Text));
                for row in rows {
                    let format = self.formats.get(&row.file);
                    let line = format.and_then(|format| (self.forms.line)(format, &row.row));
                    writeln!(out, "{}", line.unwrap_or_else(|| row.row.access_line()))?;
                }
                out.flush()?;
            }
        }
        Ok(())
    }
}

/// A range without a row.
struct NoRows {
    what: &'static str,
    /// The flag for the table.
    log: &'static str,
    /// The time of the newest stored row.
    newest: Option<Micros>,
}

impl NoRows {
    /// Says which row is the newest one, and what shows it.
    fn say(&self, filter: &Filter, clock: Clock) -> anyhow::Result<()> {
        let Self { what, log, newest } = self;
        let mut out = io::stdout().lock();
        let Some(newest) = newest.map(|at| clock.moment(at)) else {
            writeln!(out, "no rows: none are stored")?;
            return Ok(());
        };
        let (from, to) = (clock.time(filter.from), clock.time(filter.to.min(now())));
        writeln!(
            out,
            "no {what} from {from} to {to} that match; the newest stored row is of {newest}: \
             `log-ingestd query{log} --since {newest}` shows it"
        )?;
        Ok(())
    }
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
    let limit = usize::from(top.limit);
    let found = match top.sample {
        true => reader.top(by, &filter, limit).await?,
        false => reader.top_of_range(by, &filter, limit).await?,
    };
    if top.json {
        let (counted, from) = (found.counted, moment(found.from));
        return print::json(&json!({ "counted": counted, "from": from, "items": found.items }));
    }
    if !found.items.is_empty() {
        return print_top(&found, &filter, top);
    }
    let what = if by == By::Slow { "rows with a duration" } else { "rows" };
    let newest = reader.newest_time::<StoredRow>().await?;
    NoRows { what, log: "", newest }.say(&filter, top.which.clock)
}

/// The columns of a list of rows.
const COLUMNS: usize = 7;

const HEAD: [Column; COLUMNS] = [
    Column::text("time"),
    Column::text("code"),
    Column::text("duration"),
    Column::long_text("method"),
    Column::long_text("url"),
    Column::long_text("user"),
    Column::text("address"),
];

fn access_cells(found: &FoundRow<StoredRow>, clock: Clock) -> [Cell; COLUMNS] {
    let row = &found.row;
    cells(
        clock.moment(row.timestamp),
        row.code,
        row.duration,
        [row.method.clone(), row.url.clone(), row.user_id.clone(), text(row.user_ip)],
    )
}

fn request_cells(found: &FoundRow<StoredRequest>, clock: Clock) -> [Cell; COLUMNS] {
    let row = &found.row.line;
    cells(
        clock.moment(row.timestamp),
        row.status_code,
        row.response_time_ms.map(|ms| (ms * 1000.0) as i64),
        [row.method.clone(), row.path.clone(), row.user_id.clone(), text(row.ip_address)],
    )
}

/// Returns time, code, duration in microseconds, and the other cells of a row.
fn cells(
    time: String,
    code: Option<i32>,
    micros: Option<i64>,
    others: [Option<String>; COLUMNS - 3],
) -> [Cell; COLUMNS] {
    let [method, url, user, address] = others.map(|it| Cell::or_dash(it, Style::Plain));
    let style = code.map_or(Style::Plain, Style::of_code);
    let (code, took) = (Cell::or_dash(text(code), style), took(micros));
    [Cell::new(time, Style::Plain), code, took, method, url, user, address]
}

fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// Returns the cell of a duration in microseconds.
fn took(micros: Option<i64>) -> Cell {
    Cell::or_dash(micros.map(duration), Style::Plain)
}

/// Returns microseconds in the unit that makes the text short.
fn duration(micros: i64) -> String {
    match micros {
        ..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} s", micros as f64 / 1e6),
        _ => format!("{} s", grouped(micros / 1_000_000)),
    }
}

/// Prints the most frequent values of the rows that `filter` chose.
fn print_top(found: &MostFrequent, filter: &Filter, top: &Top) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let mut terminal = Terminal::of_stdout();
    if top.wide {
        terminal.width = None;
    }
    let columns = [
        Column::number("rows"),
        Column::number("share"),
        Column::number("errors"),
        Column::number("mean"),
        Column::number("max"),
        Column::long_text("value"),
    ];
    let share = |rows: i64| format!("{:.1} %", 100.0 * rows as f64 / found.counted.max(1) as f64);
    let rows = found.items.iter().map(|item| {
        let errors = match item.errors {
            0 => Cell::new("0", Style::Dim),
            errors => Cell::new(grouped(errors), Style::Red),
        };
        [
            Cell::new(grouped(item.rows), Style::Plain),
            Cell::new(share(item.rows), Style::Plain),
            errors,
            took(item.mean),
            took(item.max),
            Cell::or_dash(item.value.clone(), Style::Plain),
        ]
    });
    Table::new(columns, terminal).write(&mut out, &rows.collect::<Vec<_>>())?;
    let clock = top.which.clock;
    let rows = counted(found.counted.try_into().unwrap_or(0), "row");
    let (from, to) = (clock.time(found.from), clock.time(filter.to.min(now())));
    // The range had more rows than were counted.
    let newest = if found.from > filter.from { "the newest " } else { "" };
    writeln!(
        out,
        "of {newest}{rows} from {from} to {to}; errors are rows with a status code of 400 or more"
    )?;
    Ok(())
}
