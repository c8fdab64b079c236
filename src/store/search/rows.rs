//! Rows of the two tables, found by a filter: one page, one row, or all pages.
//!
//! Pages are found by keyset: a page begins at the cursor where the last one ended. The search covers
//! growing time windows, beginning at the cursor. The first window is short, so that the newest rows
//! of a busy log are found without sorting its day. A filter that matches few rows reaches far back
//! in few steps. When its time is over, the search returns the rows found so far and how far it came.
//!
//! PostgreSQL gets many windows in one statement, a UNION ALL. It looks into one window after the other, and
//! into no more when there are enough rows: it runs the parts of a UNION ALL in their order, and never at the
//! same time if they have a LIMIT. Before each window the server compares its clock, once, as the value of a
//! materialised CTE; the last part tells how many windows were looked into. Citus would run all parts at
//! once, and SQLite's clock stands still in a statement: they get one window at a time.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use super::Reader;
use crate::model::columns::{File, Kind};
use crate::model::{FileId, Filter, Micros, Row, now};
use crate::store::Backend;
use crate::store::answers::{FileReport, Table};
use crate::store::error::StoreError;
use crate::store::rows::{self, Columns};
use crate::store::sql::{self, Dialect, Selected, select_list};
use crate::store::statement::{Statement, Value};

/// Length of the first time window, in microseconds.
const FIRST_WINDOW: Micros = 10_000_000;
/// How many times as long each next window is.
const GROWTH: i64 = 4;
/// Windows that took this long to search do not grow.
const SLOW: Duration = Duration::from_millis(100);
/// Windows of the first and the second statement to PostgreSQL: nearly four hours, and then as far as people
/// search. A statement with few windows is planned faster.
const AT_ONCE: &[usize] = &[6, 24];

/// A position between two rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The row's time.
    pub timestamp: Micros,
    /// The row's id, which orders rows with the same time.
    pub id: i64,
}

/// Which page to search for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Rows older than the cursor, or the newest rows of the range.
    Older(Option<Cursor>),
    /// Rows newer than the cursor, the oldest of them first.
    Newer(Cursor),
}

/// A row with its id and file.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundRow<T> {
    /// The row's id.
    pub id: i64,
    /// The file that contained the line.
    pub file: FileId,
    /// The row.
    pub row: T,
}

/// A page of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RowPage<T> {
    /// The rows, newest first.
    pub rows: Vec<FoundRow<T>>,
    /// Whether there may be more rows in this direction.
    pub more: bool,
    /// How far the search came, if its time was over before the page was full.
    pub searched_to: Option<Micros>,
}

impl Reader {
    /// Searches a table for up to `limit` rows, for about the time `budget`. The rows are without
    /// the columns whose values may be large.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn page<T: SearchedRow>(
        &self,
        filter: &Filter,
        direction: Direction,
        limit: usize,
        budget: Duration,
    ) -> Result<RowPage<T>, StoreError> {
        let (end, first) = (Instant::now() + budget, FIRST_WINDOW);
        let selected = Selected::List;
        Search { reader: self, filter, direction, limit, end, first, selected }.page().await
    }

    /// Returns up to `limit` of the newest rows of a short range, in one statement.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn newest<T: SearchedRow>(
        &self,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<FoundRow<T>>, StoreError> {
        let (end, first) = (Instant::now(), Micros::MAX);
        let (direction, selected) = (Direction::Older(None), Selected::List);
        let search = Search { reader: self, filter, direction, limit, end, first, selected };
        Ok(search.page().await?.rows)
    }

    /// Returns the time of the newest row of a table, whatever a filter says; `None` of an empty table.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn newest_time<T: SearchedRow>(&self) -> Result<Option<Micros>, StoreError> {
        let until_now = Filter { from: 0, ..Filter::last_hour(now()) };
        // Times of a wrong clock, or of a zone that is not logged.
        let later = Filter { from: until_now.to, to: Micros::MAX / 2, ..Filter::default() };
        let end = Instant::now() + SEARCH_TIME;
        for filter in [until_now, later] {
            let mut next = Some(Direction::Older(None));
            while let Some(direction) = next.take() {
                let page = self.page::<T>(&filter, direction, 1, SEARCH_TIME).await?;
                if let Some(found) = page.rows.first() {
                    return Ok(Some(found.row.timestamp()));
                }
                // It may end early where answers are slow.
                let edge = page.searched_to.filter(|_| Instant::now() < end);
                next = edge
                    .map(|timestamp| Direction::Older(Some(Cursor { timestamp, id: i64::MIN })));
            }
        }
        Ok(None)
    }

    /// Returns the row with an id, with all columns. PostgreSQL looks into a few partitions at a time, the newest
    /// first: an id does not say when its line was, and each partition takes locks until the transaction ends.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn row<T: SearchedRow>(&self, id: i64) -> Result<Option<FoundRow<T>>, StoreError> {
        Ok(self.row_and_file(id).await?.map(|(row, _)| row))
    }

    /// Returns the row with an id and the file that contained its line, as [`Reader::row`] does. The file is `None`
    /// if it is not in the ledger any more.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn row_and_file<T: SearchedRow>(
        &self,
        id: i64,
    ) -> Result<Option<(FoundRow<T>, Option<FileReport>)>, StoreError> {
        let select = || {
            let mut statement = Statement::default();
            statement.sql("SELECT ").sql(&selection::<T>(self, Selected::All));
            statement.sql(" WHERE id = ").int(id);
            statement
        };
        let ranges = match &self.backend {
            Backend::Postgres(readers) => readers.ranges(T::TABLE).await?,
            Backend::Sqlite(_) => Vec::new(),
        };
        let mut statements = Vec::new();
        for (from, until) in ranges {
            let mut statement = select();
            if let Some(from) = from {
                statement.sql(" AND timestamp >= ").time(from);
            }
            if let Some(until) = until {
                statement.sql(" AND timestamp < ").time(until);
            }
            statements.extend([Statement::of("BEGIN", []), statement, Statement::of("COMMIT", [])]);
        }
        if statements.is_empty() {
            statements.push(select());
        }
        let count = statements.len();
        // The id of a row begins with that of its file, but for rows that another program has stored.
        let file = FileId(i32::try_from(id >> 38).unwrap_or_default());
        statements.push(Statement::of(sql::REPORT, [Value::Int(file.0.into())]));
        let mut answers = self.ask(statements).await?;
        let mut found_rows = Vec::new();
        for _ in 0..count {
            found_rows.extend(answers.next(found, found)?);
        }
        let report = answers.next(rows::report, rows::report)?.pop();
        let Some(row) = found_rows.into_iter().next() else { return Ok(None) };
        let report = if row.file == file { report } else { self.file(row.file).await? };
        Ok(Some((row, report)))
    }

    /// Returns how many time windows each statement of a search has.
    fn windows_at_once(&self) -> impl Iterator<Item = usize> {
        let many = match &self.backend {
            Backend::Postgres(readers) => !readers.backend.is_distributed(),
            Backend::Sqlite(_) => false,
        };
        let (some, ones) = if many { (AT_ONCE, 0) } else { (&[][..], usize::MAX) };
        some.iter().copied().chain(std::iter::repeat_n(1, ones))
    }

    /// Returns how long an answer takes at least.
    fn round_trip(&self) -> Duration {
        match &self.backend {
            Backend::Postgres(readers) => readers.backend.round_trip(),
            Backend::Sqlite(_) => Duration::ZERO,
        }
    }
}

/// A running search.
struct Search<'a> {
    reader: &'a Reader,
    filter: &'a Filter,
    direction: Direction,
    limit: usize,
    end: Instant,
    /// Length of the first window.
    first: Micros,
    selected: Selected,
}

/// A time window, both ends included, and the cursor if it lies in this window.
#[derive(Clone, Copy, Debug)]
struct Window {
    low: Micros,
    high: Micros,
    cursor: Option<Cursor>,
}

/// A row of the answer for several windows.
enum Part<T> {
    Found(FoundRow<T>),
    /// How many windows were searched.
    Searched(usize),
}

impl Search<'_> {
    fn is_older(&self) -> bool {
        matches!(self.direction, Direction::Older(_))
    }

    async fn page<T: SearchedRow>(&self) -> Result<RowPage<T>, StoreError> {
        let (from, to, older) = (self.filter.from, self.filter.to, self.is_older());
        // Times of rows are whole microseconds: what is before `to` is at most the one before it.
        let (mut near, far, mut cursor) = match self.direction {
            Direction::Older(cursor) => {
                (cursor.map_or(to - 1, |it| it.timestamp.min(to - 1)), from, cursor)
            }
            Direction::Newer(cursor) => (cursor.timestamp.max(from), to - 1, Some(cursor)),
        };
        let is_left = |near| if older { near >= far } else { near <= far };
        let mut page = RowPage { rows: Vec::new(), more: false, searched_to: None };
        let (mut length, mut growth) = (self.first, GROWTH);
        let mut statements = self.reader.windows_at_once().peekable();
        while is_left(near)
            && let Some(at_once) = statements.next()
        {
            let mut windows = Vec::new();
            while windows.len() < at_once && is_left(near) {
                let edge = match older {
                    true => near.saturating_sub(length).max(far),
                    false => near.saturating_add(length).min(far),
                };
                windows.push(Window { low: near.min(edge), high: near.max(edge), cursor });
                cursor = None;
                length = length.saturating_mul(growth);
                near = self.after(edge);
            }
            let began = Instant::now();
            let wanted = self.limit + 1 - page.rows.len();
            // A window that is so many times as long as the one before takes so many times as long, too.
            let patience = self.end.saturating_duration_since(began) / growth as u32;
            let (rows, searched) = self.windows::<T>(&windows, wanted, patience).await?;
            page.rows.extend(rows);
            if page.rows.len() > self.limit {
                page.rows.truncate(self.limit);
                page.more = true;
                break;
            }
            let Some(last) = windows.get(searched - 1) else { break };
            let edge = if older { last.low } else { last.high };
            near = self.after(edge);
            if is_left(near) && (Instant::now() >= self.end || statements.peek().is_none()) {
                (page.more, page.searched_to) = (true, Some(edge));
                break;
            }
            let is_slow = began.elapsed() >= SLOW + self.reader.round_trip();
            growth = if is_slow { 1 } else { GROWTH };
            length = (last.high - last.low).max(1).saturating_mul(growth);
        }
        if !older {
            page.rows.reverse();
        }
        Ok(page)
    }

    /// Returns where the next window begins, one microsecond further: a window includes both ends.
    fn after(&self, edge: Micros) -> Micros {
        if self.is_older() { edge - 1 } else { edge + 1 }
    }

    /// Searches windows until there are enough rows; after `patience` it begins no more. Returns the rows in the
    /// order of the direction, and how many windows were searched: one at least.
    async fn windows<T: SearchedRow>(
        &self,
        windows: &[Window],
        limit: usize,
        patience: Duration,
    ) -> Result<(Vec<FoundRow<T>>, usize), StoreError> {
        let mut statement = Statement::default();
        if let [window] = windows {
            statement.sql("SELECT ");
            self.window::<T>(&mut statement, *window, "", limit);
            let rows = self.reader.ask(vec![statement]).await?.next(found, found)?;
            return Ok((rows, 1));
        }
        let patience = patience.as_micros();
        let mut searched = "1".to_owned();
        for nth in 1..windows.len() {
            statement.sql(if nth == 1 { "WITH " } else { ", " }).sql(&format!(
                "gate{nth} AS MATERIALIZED (SELECT clock_timestamp() < \
                 statement_timestamp() + '{patience} us'::interval AS is_open)"
            ));
            searched += &format!(" + (SELECT is_open FROM gate{nth})::int");
        }
        statement.sql(" SELECT * FROM (");
        for (nth, window) in windows.iter().enumerate() {
            let gate = match nth {
                0 => String::new(),
                nth => format!(" AND (SELECT is_open FROM gate{nth})"),
            };
            statement.sql("(SELECT NULL::int AS searched, ");
            self.window::<T>(&mut statement, *window, &gate, limit);
            statement.sql(") UNION ALL ");
        }
        statement.sql("SELECT ").sql(&searched).sql(&", NULL".repeat(T::COLUMNS.len()));
        statement.sql(") AS parts LIMIT ").int(limit as i64);
        let (mut rows, mut searched) = (Vec::new(), windows.len());
        for part in self.reader.ask(vec![statement]).await?.next(part, part)? {
            match part {
                Part::Found(row) => rows.push(row),
                Part::Searched(windows) => searched = windows,
            }
        }
        Ok((rows, searched))
    }

    /// Appends what is selected from a window, in the order of the direction. `gate` is a further condition.
    fn window<T: SearchedRow>(
        &self,
        statement: &mut Statement,
        Window { low, high, cursor }: Window,
        gate: &str,
        limit: usize,
    ) {
        let (comparison, order) = match self.is_older() {
            true => ("<", " ORDER BY timestamp DESC, id DESC LIMIT "),
            false => (">", " ORDER BY timestamp, id LIMIT "),
        };
        statement.sql(&selection::<T>(self.reader, self.selected));
        statement.sql(" WHERE timestamp >= ").time(low).sql(" AND timestamp <= ").time(high);
        if let Some(cursor) = cursor {
            statement.sql(" AND (timestamp, id) ").sql(comparison).sql(" (");
            statement.time(cursor.timestamp).sql(", ").int(cursor.id).sql(")");
        }
        self.reader.conditions(statement, T::TABLE, self.filter);
        statement.sql(gate).sql(order).int(limit as i64);
    }
}

/// A row of one of the two tables that can be searched and exported.
pub trait SearchedRow: Row + 'static {
    /// The table.
    const TABLE: Table;
    /// The key `log` of its lines of JSON.
    const LOG: &'static str;

    /// Returns when the request was logged.
    fn timestamp(&self) -> Micros;

    /// Returns the row as a line of Gunicorn's own default format.
    fn access_line(&self) -> String;
}

/// Returns `… FROM …`, to which conditions are added.
pub(super) fn selection<T: SearchedRow>(reader: &Reader, selected: Selected) -> String {
    let dialect = if reader.is_postgres() { Dialect::Postgres } else { Dialect::Sqlite };
    format!("{} FROM {}", select_list(T::COLUMNS, dialect, selected), T::TABLE.name())
}

fn part<T: SearchedRow>(row: &impl Columns) -> Result<Part<T>, sqlx::Error> {
    match row.int("searched")?.and_then(|windows| usize::try_from(windows).ok()) {
        Some(windows) => Ok(Part::Searched(windows.max(1))),
        None => found(row).map(Part::Found),
    }
}

pub(super) fn found<T: SearchedRow>(row: &impl Columns) -> Result<FoundRow<T>, sqlx::Error> {
    let (id, file) = (row.int("id")?, File::read(row, "log_file")?);
    Ok(FoundRow { id: id.unwrap_or_default(), file, row: T::read(row)? })
}

/// Rows of a page. A row of `request_log` may have a body of megabytes.
const ROWS_PER_PAGE: usize = 500;
/// How long one search runs. It then returns, so that a client that waits may disconnect.
const SEARCH_TIME: Duration = Duration::from_secs(5);

/// Iterates over the pages of a range, newest first or oldest first.
#[derive(Clone, Debug)]
pub struct RowPages<T> {
    reader: Reader,
    filter: Filter,
    next: Option<Direction>,
    rows: PhantomData<fn() -> T>,
}

impl<T: SearchedRow> RowPages<T> {
    /// Starts at the newest row.
    pub fn newest_first(reader: Reader, filter: Filter) -> RowPages<T> {
        RowPages { reader, filter, next: Some(Direction::Older(None)), rows: PhantomData }
    }

    /// Starts at the oldest row.
    pub fn oldest_first(reader: Reader, filter: Filter) -> RowPages<T> {
        let before = Cursor { timestamp: filter.from, id: i64::MIN };
        RowPages { reader, filter, next: Some(Direction::Newer(before)), rows: PhantomData }
    }

    /// Returns the next rows in order, with all columns. The page may be empty while the search goes
    /// on. Returns `None` after the last page.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn next(&mut self) -> Result<Option<Vec<FoundRow<T>>>, StoreError> {
        let Some(direction) = self.next else { return Ok(None) };
        let end = Instant::now() + SEARCH_TIME;
        let (reader, filter, limit) = (&self.reader, &self.filter, ROWS_PER_PAGE);
        let (first, selected) = (FIRST_WINDOW, Selected::All);
        let search = Search { reader, filter, direction, limit, end, first, selected };
        let mut page = search.page::<T>().await?;
        let oldest_first = matches!(direction, Direction::Newer(_));
        if oldest_first {
            page.rows.reverse();
        }
        let edge = page.searched_to.map(|timestamp| {
            let id = if oldest_first { i64::MAX } else { i64::MIN };
            Cursor { timestamp, id }
        });
        let last = page.rows.last().map(|it| Cursor { timestamp: it.row.timestamp(), id: it.id });
        self.next = edge.or(last).filter(|_| page.more).map(|cursor| {
            if oldest_first { Direction::Newer(cursor) } else { Direction::Older(Some(cursor)) }
        });
        Ok(Some(page.rows))
    }
}
