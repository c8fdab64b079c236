//! Rows of the two tables, read alike.

use super::Reader;
use super::page::FoundRow;
use super::statement::Statement;
use crate::model::Micros;
use crate::store::answers::{StoredRequest, StoredRow, Table};
use crate::store::postgres;
use crate::store::rows::{self, Columns as Row};

/// How much of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    /// What a list shows.
    List,
    /// All of it.
    All,
}

/// A row of one of the tables.
pub(super) trait Line: Sized + 'static {
    const TABLE: Table;
    /// Columns as text where they are none of SQL's common types.
    fn columns(postgres: bool, columns: Columns) -> &'static str;
    fn read(row: &impl Row) -> Result<Self, sqlx::Error>;
    fn timestamp(&self) -> Micros;
}

impl Line for StoredRow {
    const TABLE: Table = Table::GunicornLog;

    fn columns(postgres: bool, _columns: Columns) -> &'static str {
        if postgres { postgres::row_columns!() } else { "*" }
    }

    fn read(row: &impl Row) -> Result<StoredRow, sqlx::Error> {
        rows::stored(row)
    }

    fn timestamp(&self) -> Micros {
        self.timestamp
    }
}

impl Line for StoredRequest {
    const TABLE: Table = Table::RequestLog;

    fn columns(postgres: bool, columns: Columns) -> &'static str {
        match columns {
            Columns::All if postgres => postgres::request_columns!(),
            Columns::All => "*",
            // A body may be large, and a list is long.
            Columns::List if postgres => {
                "timestamp, log_offset, response_time_ms, status_code, method, path, query_params, \
                 NULL::text AS headers, NULL::text AS body, content_type, \
                 NULL::text AS response_headers, NULL::text AS response_body, \
                 host(ip_address) AS ip_address, user_id, user_agent, session_id, \
                 NULL::text AS extra_data"
            }
            Columns::List => {
                "timestamp, log_offset, response_time_ms, status_code, method, path, query_params, \
                 NULL AS headers, NULL AS body, content_type, NULL AS response_headers, \
                 NULL AS response_body, ip_address, user_id, user_agent, session_id, \
                 NULL AS extra_data"
            }
        }
    }

    fn read(row: &impl Row) -> Result<StoredRequest, sqlx::Error> {
        rows::stored_request(row)
    }

    fn timestamp(&self) -> Micros {
        self.line.timestamp
    }
}

/// `SELECT … FROM …`, to which conditions are added.
pub(super) fn select<T: Line>(reader: &Reader, columns: Columns) -> Statement {
    let mut statement = Statement::default();
    let columns = T::columns(reader.is_postgres(), columns);
    statement.sql("SELECT ");
    if columns != "*" {
        statement.sql("id, log_file, ");
    }
    statement.sql(columns).sql(" FROM ").sql(T::TABLE.name());
    statement
}

pub(super) fn found<T: Line>(row: &impl Row) -> Result<FoundRow<T>, sqlx::Error> {
    let (id, file) = (row.int("id")?, rows::file(row, "log_file")?);
    Ok(FoundRow { id: id.unwrap_or_default(), file, row: T::read(row)? })
}
