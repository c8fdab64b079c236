//! SQL text that is built in parts, with its parameters. Values never become part of the text.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use super::Reader;
use crate::model::Micros;
use crate::store::Backend;
use crate::store::error::StoreError;
use crate::store::time::Time;

/// The value of a parameter.
#[derive(Clone, Debug)]
enum Value {
    Int(i64),
    Text(String),
    Time(Time),
}

/// A statement. Both databases accept parameters as `$1`.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    sql: String,
    values: Vec<Value>,
}

impl Statement {
    /// Appends SQL text, never a value.
    pub(super) fn sql(&mut self, sql: &str) -> &mut Statement {
        self.sql.push_str(sql);
        self
    }

    /// Appends a parameter with this value, and so do the next two functions.
    pub(super) fn int(&mut self, value: i64) -> &mut Statement {
        self.value(Value::Int(value))
    }

    pub(super) fn text(&mut self, value: impl Into<String>) -> &mut Statement {
        self.value(Value::Text(value.into()))
    }

    pub(super) fn time(&mut self, value: Micros) -> &mut Statement {
        self.value(Value::Time(Time(value)))
    }

    /// Appends ` AND (… OR …)` with a condition for each item.
    pub(super) fn any_of<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        condition: impl Fn(&mut Statement, T),
    ) -> &mut Statement {
        for (nth, item) in items.into_iter().enumerate() {
            self.sql(if nth == 0 { " AND (" } else { " OR " });
            condition(self, item);
        }
        self.sql(")")
    }

    fn value(&mut self, value: Value) -> &mut Statement {
        self.values.push(value);
        self.sql.push_str(&format!("${}", self.values.len()));
        self
    }

    /// Runs the statement and converts each row. The two functions are the same one, once for each
    /// database's row type.
    pub(super) async fn rows<T>(
        self,
        reader: &Reader,
        of_postgres: fn(&PgRow) -> Result<T, sqlx::Error>,
        of_sqlite: fn(&SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, StoreError> {
        macro_rules! rows {
            ($pool:expr, $convert:expr) => {{
                // Not kept as a prepared statement: the plan must fit the values, above all the time range.
                let mut query = sqlx::query(AssertSqlSafe(self.sql)).persistent(false);
                for value in self.values {
                    query = match value {
                        Value::Int(value) => query.bind(value),
                        Value::Text(value) => query.bind(value),
                        Value::Time(value) => query.bind(value),
                    };
                }
                let rows = query.fetch_all($pool).await;
                rows.and_then(|rows| rows.iter().map($convert).collect())
            }};
        }
        let rows = match &reader.pool {
            Backend::Postgres(pool) => rows!(pool, of_postgres),
            Backend::Sqlite(pool) => rows!(pool, of_sqlite),
        };
        rows.map_err(|error| reader.failed(error))
    }
}
