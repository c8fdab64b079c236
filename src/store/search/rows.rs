//! Rows of the two tables, found by a filter: one page, one row, or all pages.
//!
//! Pages are found by keyset: a page begins at the cursor where the last one ended. The search covers
//! growing time windows, beginning at the cursor. The first window is short, so that the newest rows
//! of a busy log are found without sorting its day. A filter that matches few rows reaches far back
//! in few steps. When its time is over, the search returns the rows found so far and how far it came.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use super::Reader;
use super::statement::Statement;
use crate::model::columns::{File, Kind};
use crate::model::{FileId, Filter, Micros, Row};
use crate::store::answers::Table;
use crate::store::error::StoreError;
use crate::store::rows::Columns;
use crate::store::sql::{Dialect, Selected, select_list};

/// Length of the first time window, in microseconds.
const FIRST_WINDOW: Micros = 10_000_000;
/// How many times as long each next window is.
const GROWTH: i64 = 4;
/// A window that took this long to search does not grow.
const SLOW: Duration = Duration::from_millis(100);

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
        let end = Instant::now() + budget;
        Search { reader: self, filter, limit, end, selected: Selected::List }.page(direction).await
    }

    /// Returns the row with an id, with all columns.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn row<T: SearchedRow>(&self, id: i64) -> Result<Option<FoundRow<T>>, StoreError> {
        let mut statement = select::<T>(self, Selected::All);
        statement.sql(" WHERE id = ").int(id);
        Ok(statement.rows(self, found, found).await?.into_iter().next())
    }
}

/// A running search.
struct Search<'a> {
    reader: &'a Reader,
    filter: &'a Filter,
    limit: usize,
    end: Instant,
    selected: Selected,
}

/// A time window, both ends included, and the cursor if it lies in this window.
struct Window {
    low: Micros,
    high: Micros,
    cursor: Option<Cursor>,
}

impl Search<'_> {
    async fn page<T: SearchedRow>(&self, direction: Direction) -> Result<RowPage<T>, StoreError> {
        let (from, to) = (self.filter.from, self.filter.to);
        let older = matches!(direction, Direction::Older(_));
        // Times of rows are whole microseconds: what is before `to` is at most the one before it.
        let (mut near, far, mut cursor) = match direction {
            Direction::Older(cursor) => {
                (cursor.map_or(to - 1, |it| it.timestamp.min(to - 1)), from, cursor)
            }
            Direction::Newer(cursor) => (cursor.timestamp.max(from), to - 1, Some(cursor)),
        };
        let mut page = RowPage { rows: Vec::new(), more: false, searched_to: None };
        let mut length = FIRST_WINDOW;
        while if older { near >= far } else { near <= far } {
            let edge = if older {
                near.saturating_sub(length).max(far)
            } else {
                near.saturating_add(length).min(far)
            };
            let window = Window { low: near.min(edge), high: near.max(edge), cursor };
            let began = Instant::now();
            let wanted = self.limit + 1 - page.rows.len();
            page.rows.extend(self.window::<T>(direction, window, wanted).await?);
            if page.rows.len() > self.limit {
                page.rows.truncate(self.limit);
                page.more = true;
                break;
            }
            if began.elapsed() < SLOW {
                length = length.saturating_mul(GROWTH);
            }
            // A window includes both ends, so the next one begins one microsecond further.
            near = if older { edge - 1 } else { edge + 1 };
            cursor = None;
            let left = if older { near >= far } else { near <= far };
            if left && Instant::now() >= self.end {
                (page.more, page.searched_to) = (true, Some(edge));
                break;
            }
        }
        if !older {
            page.rows.reverse();
        }
        Ok(page)
    }

    /// Returns the rows of a window, in the order of the direction.
    async fn window<T: SearchedRow>(
        &self,
        direction: Direction,
        Window { low, high, cursor }: Window,
        limit: usize,
    ) -> Result<Vec<FoundRow<T>>, StoreError> {
        let (comparison, order) = match direction {
            Direction::Older(_) => ("<", " ORDER BY timestamp DESC, id DESC LIMIT "),
            Direction::Newer(_) => (">", " ORDER BY timestamp, id LIMIT "),
        };
        let mut statement = select::<T>(self.reader, self.selected);
        statement.sql(" WHERE timestamp >= ").time(low).sql(" AND timestamp <= ").time(high);
        if let Some(cursor) = cursor {
            statement.sql(" AND (timestamp, id) ").sql(comparison).sql(" (");
            statement.time(cursor.timestamp).sql(", ").int(cursor.id).sql(")");
        }
        self.reader.conditions(&mut statement, T::TABLE, self.filter);
        statement.sql(order).int(limit as i64);
        statement.rows(self.reader, found, found).await
    }
}

/// A row of one of the two tables that can be searched and exported.
pub trait SearchedRow: Row + 'static {
    /// The table.
    const TABLE: Table;

    /// Returns when the request was logged.
    fn timestamp(&self) -> Micros;

    /// Returns the row as a line of Gunicorn's own default format.
    fn access_line(&self) -> String;
}

/// Returns `SELECT … FROM …`, to which conditions are added.
fn select<T: SearchedRow>(reader: &Reader, selected: Selected) -> Statement {
    let dialect = if reader.is_postgres() { Dialect::Postgres } else { Dialect::Sqlite };
    let mut statement = Statement::default();
    statement.sql("SELECT ").sql(&select_list(T::COLUMNS, dialect, selected));
    statement.sql(" FROM ").sql(T::TABLE.name());
    statement
}

fn found<T: SearchedRow>(row: &impl Columns) -> Result<FoundRow<T>, sqlx::Error> {
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
        let search = Search { reader, filter, limit, end, selected: Selected::All };
        let mut page = search.page::<T>(direction).await?;
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
