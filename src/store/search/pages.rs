//! All rows that a filter finds, page by page, for downloads and the command line.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use super::Reader;
use super::line::{Columns, Line};
use super::page::{Cursor, Direction, FoundRow, Search};
use crate::model::Filter;
use crate::store::error::StoreError;

/// Rows of a page. A row of `request_log` may have a body of megabytes.
const ROWS: usize = 500;
/// How long one search runs. It then returns, so that a client that waits may disconnect.
const BUDGET: Duration = Duration::from_secs(5);

/// Iterates over the pages of a range, newest first or oldest first.
#[derive(Clone, Debug)]
pub struct RowPages<T> {
    reader: Reader,
    filter: Filter,
    next: Option<Direction>,
    rows: PhantomData<fn() -> T>,
}

#[expect(private_bounds, reason = "only the two tables have rows to search")]
impl<T: Line> RowPages<T> {
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
        let end = Instant::now() + BUDGET;
        let (reader, filter, limit) = (&self.reader, &self.filter, ROWS);
        let search = Search { reader, filter, limit, end, columns: Columns::All };
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
