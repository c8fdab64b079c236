//! One page of rows, found by keyset: a page begins at the cursor where the last one ended.
//!
//! The search covers growing time windows, beginning at the cursor. The first window is short, so
//! that the newest rows of a busy log are found without sorting its day. A filter that matches few
//! rows reaches far back in few steps. When its time is over, the search returns the rows found so
//! far and how far it came.

use std::time::{Duration, Instant};

use super::Reader;
use super::line::{Columns, Line, found, select};
use crate::model::{FileId, Filter, Micros};
use crate::store::answers::{StoredRequest, StoredRow};
use crate::store::error::StoreError;

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
    /// Searches `gunicorn_log` for up to `limit` rows, for about the time `budget`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn log_page(
        &self,
        filter: &Filter,
        direction: Direction,
        limit: usize,
        budget: Duration,
    ) -> Result<RowPage<StoredRow>, StoreError> {
        let end = Instant::now() + budget;
        Search { reader: self, filter, limit, end, columns: Columns::List }.page(direction).await
    }

    /// Searches `request_log` in the same way. The rows are without headers, bodies and extra data.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn request_page(
        &self,
        filter: &Filter,
        direction: Direction,
        limit: usize,
        budget: Duration,
    ) -> Result<RowPage<StoredRequest>, StoreError> {
        let end = Instant::now() + budget;
        Search { reader: self, filter, limit, end, columns: Columns::List }.page(direction).await
    }

    /// Returns the row of `gunicorn_log` with an id.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn log_row(&self, id: i64) -> Result<Option<FoundRow<StoredRow>>, StoreError> {
        self.row(id).await
    }

    /// Returns the row of `request_log` with an id.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn request_row(
        &self,
        id: i64,
    ) -> Result<Option<FoundRow<StoredRequest>>, StoreError> {
        self.row(id).await
    }

    async fn row<T: Line>(&self, id: i64) -> Result<Option<FoundRow<T>>, StoreError> {
        let mut statement = select::<T>(self, Columns::All);
        statement.sql(" WHERE id = ").int(id);
        Ok(statement.rows(self, found, found).await?.into_iter().next())
    }
}

/// A running search.
pub(super) struct Search<'a> {
    pub(super) reader: &'a Reader,
    pub(super) filter: &'a Filter,
    pub(super) limit: usize,
    pub(super) end: Instant,
    pub(super) columns: Columns,
}

/// A time window, both ends included, and the cursor if it lies in this window.
struct Window {
    low: Micros,
    high: Micros,
    cursor: Option<Cursor>,
}

impl Search<'_> {
    pub(super) async fn page<T: Line>(
        &self,
        direction: Direction,
    ) -> Result<RowPage<T>, StoreError> {
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
    async fn window<T: Line>(
        &self,
        direction: Direction,
        Window { low, high, cursor }: Window,
        limit: usize,
    ) -> Result<Vec<FoundRow<T>>, StoreError> {
        let (comparison, order) = match direction {
            Direction::Older(_) => ("<", " ORDER BY timestamp DESC, id DESC LIMIT "),
            Direction::Newer(_) => (">", " ORDER BY timestamp, id LIMIT "),
        };
        let mut statement = select::<T>(self.reader, self.columns);
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
