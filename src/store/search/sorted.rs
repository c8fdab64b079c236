//! The first rows of a range in the order of a column.
//!
//! No index helps, so all rows are compared: those of the whole range, or of its newest part if it has too many.

use super::rows::{FoundRow, SearchedRow, found, selection};
use super::{Names, Reader};
use crate::model::{Filter, Micros};
use crate::store::answers::Table;
use crate::store::error::StoreError;
use crate::store::rows::Columns;
use crate::store::sql::Selected;
use crate::store::statement::Statement;

/// Number of the newest rows that are compared. More would take too long for a person who waits.
const SAMPLE: i64 = 300_000;

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// When the request was logged.
    Time,
    /// The status.
    Code,
    /// The method.
    Method,
    /// The URL.
    Url,
    /// How long the request took.
    Duration,
    /// The size of the response, which request logs do not have.
    Bytes,
    /// The client's address.
    Address,
    /// The user.
    User,
    /// The User-Agent header.
    Agent,
}

/// Which rows are first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Those with the least value.
    Ascending,
    /// Those with the greatest value.
    Descending,
}

/// Rows in an order.
#[derive(Clone, Debug, PartialEq)]
pub struct SortedRows<T> {
    /// The first rows; those without a value are last.
    pub rows: Vec<FoundRow<T>>,
    /// The start of the range that was compared. It is later than the filter's if the range has too many rows.
    pub from: Micros,
}

impl SortBy {
    /// All, with their names.
    pub const ALL: [(&str, SortBy); 9] = [
        ("time", SortBy::Time),
        ("status", SortBy::Code),
        ("method", SortBy::Method),
        ("url", SortBy::Url),
        ("duration", SortBy::Duration),
        ("bytes", SortBy::Bytes),
        ("address", SortBy::Address),
        ("user", SortBy::User),
        ("agent", SortBy::Agent),
    ];

    /// Returns the column; `None` if the table has none.
    fn column(self, table: Table) -> Option<&'static str> {
        let Names { url, code, address, agent, .. } = table.columns();
        let is_access = table == Table::GunicornLog;
        Some(match self {
            SortBy::Time => "timestamp",
            SortBy::Code => code,
            SortBy::Method => "method",
            SortBy::Url => url,
            SortBy::Duration if is_access => "duration",
            SortBy::Duration => "response_time_ms",
            SortBy::Bytes => return is_access.then_some("response_bytes"),
            SortBy::Address => address,
            SortBy::User => "user_id",
            SortBy::Agent => agent,
        })
    }
}

impl Reader {
    /// Returns the `limit` first rows that meet the filter; `None` if the table has no such column.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn sorted<T: SearchedRow>(
        &self,
        filter: &Filter,
        by: SortBy,
        order: Order,
        limit: usize,
    ) -> Result<Option<SortedRows<T>>, StoreError> {
        let Some(column) = by.column(T::TABLE) else { return Ok(None) };
        let from = match (by, T::TABLE) {
            // An index has this order.
            (SortBy::Time, _) => filter.from,
            (_, Table::GunicornLog) => self.start_of_sample(filter, SAMPLE).await?,
            _ => self.start_of_newest::<T>(filter, SAMPLE).await?,
        };
        let direction = if order == Order::Descending { " DESC" } else { "" };
        let mut statement = Statement::default();
        statement.sql("SELECT ").sql(&selection::<T>(self, Selected::List));
        statement.sql(" WHERE timestamp >= ").time(from).sql(" AND timestamp < ").time(filter.to);
        self.conditions(&mut statement, T::TABLE, filter);
        statement.sql(" ORDER BY ").sql(column).sql(direction);
        statement.sql(match (by, order) {
            (SortBy::Time, Order::Descending) => ", id DESC",
            (SortBy::Time, Order::Ascending) => ", id",
            _ => " NULLS LAST, timestamp DESC, id DESC",
        });
        statement.sql(" LIMIT ").int(limit as i64);
        let rows = self.ask(vec![statement]).await?.next(found, found)?;
        Ok(Some(SortedRows { rows, from }))
    }

    /// Returns the time from which on a range has so many rows, for a table that is not counted by minutes.
    async fn start_of_newest<T: SearchedRow>(
        &self,
        filter: &Filter,
        rows: i64,
    ) -> Result<Micros, StoreError> {
        let mut statement = Statement::default();
        statement.sql("SELECT timestamp AS start FROM ").sql(T::TABLE.name());
        statement.sql(" WHERE timestamp >= ").time(filter.from);
        statement.sql(" AND timestamp < ").time(filter.to);
        statement.sql(" ORDER BY timestamp DESC LIMIT 1 OFFSET ").int(rows - 1);
        let found = self.ask(vec![statement]).await?.next(start, start)?;
        Ok(found.into_iter().flatten().next().unwrap_or(filter.from))
    }
}

fn start(row: &impl Columns) -> Result<Option<Micros>, sqlx::Error> {
    row.time("start")
}
