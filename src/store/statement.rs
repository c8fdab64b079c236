//! SQL text that is built in parts, with its parameters, and the answers to several statements at once.
//! A value becomes a part of the text in one place, [`Statement::in_full`], where each is quoted.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::Backend;
use super::error::{StoreError, from_sqlx};
use super::postgres::{fill, quoted, time};
use super::time::Time;
use crate::model::Micros;

/// The value of a parameter.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Int(i64),
    Text(String),
    Time(Time),
    Null,
}

/// A statement. Both databases accept parameters as `$1`.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    sql: String,
    values: Vec<Value>,
}

impl Statement {
    /// Makes a statement that has its parameters, `$1` and so on.
    pub(super) fn of(sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
        Statement { sql: sql.to_owned(), values: values.into_iter().collect() }
    }

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

    /// Returns the text for PostgreSQL, with literals in the places of the parameters.
    fn in_full(&self) -> String {
        let literal = |value: &Value| match value {
            Value::Int(value @ 0..) => value.to_string(),
            Value::Int(value) => format!("'{value}'::bigint"),
            Value::Text(text) => format!("{}::text", quoted(text)),
            Value::Time(Time(at)) => format!("'{}'::timestamptz", time(*at)),
            Value::Null => "NULL".to_owned(),
        };
        fill(&self.sql, &self.values.iter().map(literal).collect::<Vec<_>>())
    }
}

/// Returns a message of statements for PostgreSQL, which takes one round trip.
pub(super) fn message(statements: &[Statement]) -> String {
    statements.iter().map(Statement::in_full).collect::<Vec<_>>().join(";")
}

/// Runs statements one after the other, and returns the rows of each.
pub(super) async fn run(
    connection: &mut SqliteConnection,
    statements: Vec<Statement>,
) -> Result<Vec<Vec<SqliteRow>>, sqlx::Error> {
    let mut all = Vec::with_capacity(statements.len());
    for Statement { sql, values } in statements {
        // Not kept as a prepared statement: the plan must fit the values, above all the time range.
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        for value in values {
            query = match value {
                Value::Int(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Time(value) => query.bind(value),
                Value::Null => query.bind(None::<i64>),
            };
        }
        all.push(query.fetch_all(&mut *connection).await?);
    }
    Ok(all)
}

/// How a transaction begins in each database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begin {
    pub(super) postgres: &'static str,
    pub(super) sqlite: &'static str,
}

/// One that reads, all of one snapshot.
pub(super) const READ: Begin =
    Begin { postgres: "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", sqlite: "BEGIN" };

/// One that writes. SQLite's takes the write lock at its beginning: if it had begun by reading, it could not
/// wait for that lock later, but would fail at once.
pub(super) const WRITE: Begin = Begin { postgres: "BEGIN", sqlite: "BEGIN IMMEDIATE" };

/// The answers to several statements, in their order.
#[derive(Debug)]
pub(super) struct Answers {
    rows: Backend<std::vec::IntoIter<Vec<PgRow>>, std::vec::IntoIter<Vec<SqliteRow>>>,
    /// The store's name.
    name: String,
}

impl Answers {
    pub(super) fn new(rows: Backend<Vec<Vec<PgRow>>, Vec<Vec<SqliteRow>>>, name: &str) -> Answers {
        let rows = match rows {
            Backend::Postgres(rows) => Backend::Postgres(rows.into_iter()),
            Backend::Sqlite(rows) => Backend::Sqlite(rows.into_iter()),
        };
        Answers { rows, name: name.to_owned() }
    }

    /// Converts each row of the next answer. The two functions are the same one, once for each database's
    /// row type.
    pub(super) fn next<T>(
        &mut self,
        of_postgres: fn(&PgRow) -> Result<T, sqlx::Error>,
        of_sqlite: fn(&SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, StoreError> {
        let rows: Result<Vec<T>, sqlx::Error> = match &mut self.rows {
            Backend::Postgres(rows) => rows.next().iter().flatten().map(of_postgres).collect(),
            Backend::Sqlite(rows) => rows.next().iter().flatten().map(of_sqlite).collect(),
        };
        rows.map_err(|error| from_sqlx(&self.name, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_a_literal_of_its_type() {
        let mut statement = Statement::default();
        statement.sql("SELECT ").int(i64::MIN).sql(", ").int(7).sql(", ").text("it's $1 \\");
        statement.sql(", ").time(0);
        assert_eq!(
            statement.in_full(),
            r"SELECT '-9223372036854775808'::bigint, 7, E'it''s $1 \\'::text, '1970-01-01 00:00:00.000000+00'::timestamptz"
        );
    }
}
