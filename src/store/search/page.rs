//! Pages of rows, newest first, by keyset: a page begins where the last one ended, however many rows
//! lie before it.
//!
//! A page is looked for in stretches of time that grow, from the cursor on. The first one is short, so
//! that the last lines of a busy log are found without sorting its day; a filter that finds little
//! reaches far back in few steps. When the time for one answer is over, it is what was found by then,
//! and from where to go on.

use std::time::{Duration, Instant};

use super::Reader;
use super::line::{Columns, Line, found, select};
use crate::model::{FileId, Filter, Micros};
use crate::store::answers::{StoredRequest, StoredRow};
use crate::store::error::StoreError;

/// The first stretch; each next one is so many times as long.
const FIRST_STRETCH: Micros = 10_000_000;
const GROWTH: i64 = 4;
/// A stretch that took so long is long enough.
const SLOW: Duration = Duration::from_millis(100);

/// A place between two rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The row's time.
    pub timestamp: Micros,
    /// Tells rows of one moment apart.
    pub id: i64,
}

/// Where a page lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The newest rows of the range, or those older than the cursor's.
    Older(Option<Cursor>),
    /// The rows that follow the cursor's.
    Newer(Cursor),
}

/// A row, and what names it.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundRow<T> {
    /// Of the line.
    pub id: i64,
    /// Of the file that held it.
    pub file: FileId,
    /// The row.
    pub row: T,
}

/// A page.
#[derive(Clone, Debug, PartialEq)]
pub struct RowPage<T> {
    /// Newest first.
    pub rows: Vec<FoundRow<T>>,
    /// Whether there may be more in that direction.
    pub more: bool,
    /// How far it was looked, if the time was over before the page was full.
    pub searched_to: Option<Micros>,
}

impl Reader {
    /// Rows of `gunicorn_log`, newest first: up to `limit`, within about `budget`.
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

    /// The same of `request_log`, without headers, bodies and what else was logged.
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

    /// The row of `gunicorn_log` that an id names.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn log_row(&self, id: i64) -> Result<Option<FoundRow<StoredRow>>, StoreError> {
        self.row(id).await
    }

    /// The row of `request_log` that an id names.
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

/// One answer in the making.
pub(super) struct Search<'a> {
    pub(super) reader: &'a Reader,
    pub(super) filter: &'a Filter,
    pub(super) limit: usize,
    pub(super) end: Instant,
    pub(super) columns: Columns,
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
        let mut stretch = FIRST_STRETCH;
        while if older { near >= far } else { near <= far } {
            let edge = if older {
                near.saturating_sub(stretch).max(far)
            } else {
                near.saturating_add(stretch).min(far)
            };
            let began = Instant::now();
            let wanted = self.limit + 1 - page.rows.len();
            page.rows.extend(self.stretch::<T>(older, near, edge, cursor, wanted).await?);
            if page.rows.len() > self.limit {
                page.rows.truncate(self.limit);
                page.more = true;
                break;
            }
            if began.elapsed() < SLOW {
                stretch = stretch.saturating_mul(GROWTH);
            }
            // Stretches hold both of their ends; the next one begins beside this one's.
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

    /// Rows from `near` to `edge`, both included, in this order.
    async fn stretch<T: Line>(
        &self,
        older: bool,
        near: Micros,
        edge: Micros,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<FoundRow<T>>, StoreError> {
        let (low, high) = (near.min(edge), near.max(edge));
        let mut statement = select::<T>(self.reader, self.columns);
        statement.sql(" WHERE timestamp >= ").time(low).sql(" AND timestamp <= ").time(high);
        if let Some(cursor) = cursor {
            statement.sql(if older {
                " AND (timestamp, id) < ("
            } else {
                " AND (timestamp, id) > ("
            });
            statement.time(cursor.timestamp).sql(", ").int(cursor.id).sql(")");
        }
        self.reader.conditions(&mut statement, T::TABLE, self.filter);
        let order = if older {
            " ORDER BY timestamp DESC, id DESC LIMIT "
        } else {
            " ORDER BY timestamp, id LIMIT "
        };
        statement.sql(order).int(limit as i64);
        statement.rows(self.reader, found, found).await
    }
}
