//! Rows of the two tables, read alike.

use super::Reader;
use super::page::Found;
use super::statement::Statement;
use crate::model::{Micros, Row, StoredRequest, StoredRow};
use crate::store::answers::Table;
use crate::store::rows::{self, Columns};
use crate::store::sql::{Dialect, Selected, select_list};

/// A row of one of the tables.
pub(super) trait Line: Row + 'static {
    const TABLE: Table;
    fn timestamp(&self) -> Micros;
}

impl Line for StoredRow {
    const TABLE: Table = Table::GunicornLog;

    fn timestamp(&self) -> Micros {
        self.timestamp
    }
}

impl Line for StoredRequest {
    const TABLE: Table = Table::RequestLog;

    fn timestamp(&self) -> Micros {
        self.line.timestamp
    }
}

/// Returns `SELECT … FROM …`, to which conditions are added.
pub(super) fn select<T: Line>(reader: &Reader, selected: Selected) -> Statement {
    let dialect = if reader.is_postgres() { Dialect::Postgres } else { Dialect::Sqlite };
    let mut statement = Statement::default();
    statement.sql("SELECT ").sql(&select_list(T::COLUMNS, dialect, selected));
    statement.sql(" FROM ").sql(T::TABLE.name());
    statement
}

pub(super) fn found<T: Line>(row: &impl Columns) -> Result<Found<T>, sqlx::Error> {
    let (id, file) = (row.int("id")?, rows::file(row, "log_file")?);
    Ok(Found { id: id.unwrap_or_default(), file, row: T::read(row)? })
}
