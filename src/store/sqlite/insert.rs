//! Encoded rows as prepared inserts.
//!
//! A statement costs a walk to the connection's thread and back, which takes milliseconds when the processors are
//! busy. So one statement carries many rows. A few lengths of statement are prepared for each table: the longest
//! one, and shorter ones for what remains, of which 12 at most are needed.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe};

use super::{Sqlite, clock, rollup, routes};
use crate::model::columns::{Column, Encoding, NARROW};
use crate::model::{Batch, Field, Tuples};
use crate::store::answers::Table;
use crate::store::error::{Explanation, Kind, StoreError, failed};

/// Rows of the statements, the longest first; 256 × 22 parameters, SQLite takes 32,766. With 16 as the longest an
/// import takes a quarter more processor time, with 64 some per cent more, with 1,024 no less.
const LENGTHS: [usize; 5] = [256, 64, 16, 4, 1];

/// For each table the statements with all columns, and those of narrow rows.
static INSERTS: LazyLock<[[Insert; 2]; 3]> = LazyLock::new(|| {
    Table::ALL.map(|table| {
        let columns = table.declared();
        [columns, &columns[..columns.len().min(NARROW)]]
            .map(|columns| Insert::into(table.name(), columns))
    })
});

/// Inserts the rows of a batch, and adds their counts.
pub(super) async fn insert(
    backend: &Sqlite,
    connection: &mut SqliteConnection,
    batch: &Batch,
) -> Result<(), StoreError> {
    let store = &backend.name;
    insert_rows(connection, batch, store).await?;
    rollup::add(connection, &batch.rollup).await.map_err(failed(store))?;
    Box::pin(routes::add(backend, connection, &batch.rollup)).await.map_err(failed(store))
}

/// Inserts the rows of a batch, and leaves their counts to the caller.
pub(super) async fn insert_rows(
    connection: &mut SqliteConnection,
    batch: &Batch,
    store: &str,
) -> Result<(), StoreError> {
    for (inserts, rows) in INSERTS.iter().zip(batch.tables()) {
        let insert = inserts.iter().find(|insert| insert.encodings.len() == rows.width());
        if let Some(insert) = insert {
            insert.run(connection, rows, store).await?;
        } else if rows.count() > 0 {
            return Err(unreadable(store));
        }
    }
    Ok(())
}

/// A table's statements.
#[derive(Debug)]
pub(super) struct Insert {
    encodings: Vec<Encoding>,
    /// One of each of [`LENGTHS`].
    statements: [Arc<str>; LENGTHS.len()],
}

impl Insert {
    pub(super) fn into(table: &str, columns: &[Column]) -> Insert {
        let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        let row = format!("({})", vec!["?"; columns.len()].join(", "));
        let insert = format!("INSERT INTO {table} ({}) VALUES ", names.join(", "));
        Insert {
            encodings: columns.iter().map(|column| column.encoding).collect(),
            statements: LENGTHS
                .map(|rows| format!("{insert}{}", vec![row.as_str(); rows].join(", ")).into()),
        }
    }

    /// Inserts rows. While the connection's thread runs one statement, this one encodes the next.
    pub(super) async fn run(
        &self,
        connection: &mut SqliteConnection,
        rows: &Tuples,
        store: &str,
    ) -> Result<(), StoreError> {
        let mut left = usize::try_from(rows.count()).unwrap_or(usize::MAX);
        let mut rows = rows.rows();
        let mut next = self.encode(&mut rows, &mut left, store)?;
        while let Some((statement, arguments)) = next {
            let query = sqlx::query_with(AssertSqlSafe(statement), arguments);
            let (executed, encoded) = tokio::join!(query.execute(&mut *connection), async {
                self.encode(&mut rows, &mut left, store)
            });
            executed.map_err(failed(store))?;
            next = encoded?;
        }
        Ok(())
    }

    /// The next statement and its arguments, `None` after the last row.
    fn encode<'a>(
        &self,
        rows: &mut impl Iterator<Item = Vec<Field<'a>>>,
        left: &mut usize,
        store: &str,
    ) -> Result<Option<(Arc<str>, SqliteArguments)>, StoreError> {
        let Some(nth) = next_length(*left) else { return Ok(None) };
        let (statement, length) = (&self.statements[nth], LENGTHS[nth]);
        let mut arguments = SqliteArguments::default();
        arguments.reserve(length * self.encodings.len(), 0);
        for row in rows.by_ref().take(length) {
            self.bind(&mut arguments, &row).ok_or_else(|| unreadable(store))?;
        }
        // Too few rows would be bound as NULL, not refused.
        if arguments.len() != length * self.encodings.len() {
            return Err(unreadable(store));
        }
        *left -= length;
        Ok(Some((Arc::clone(statement), arguments)))
    }

    /// `None` if a field is not what its column says, or text is not UTF-8.
    fn bind(&self, arguments: &mut SqliteArguments, row: &[Field<'_>]) -> Option<()> {
        if row.len() != self.encodings.len() {
            return None;
        }
        for (encoding, field) in self.encodings.iter().zip(row) {
            let Some(field) = field else {
                arguments.add(None::<i64>).ok()?;
                continue;
            };
            match encoding {
                Encoding::Int8 => arguments.add(i64::from_be_bytes((*field).try_into().ok()?)),
                Encoding::Int4 => arguments.add(i32::from_be_bytes((*field).try_into().ok()?)),
                Encoding::Float8 => arguments.add(f64::from_be_bytes((*field).try_into().ok()?)),
                Encoding::Time => arguments.add(clock::text(Tuples::micros(field)?)),
                Encoding::Text => arguments.add(text(field)?),
                Encoding::Inet => arguments.add(address(field)?),
                Encoding::Json => arguments.add(text(field.get(1..)?)?),
                Encoding::Bytes => arguments.add(*field),
                Encoding::Bool => arguments.add(**field == [1]),
                Encoding::Int8s => {
                    arguments.add(serde_json::to_string(&Tuples::numbers(field)?).ok()?)
                }
            }
            .ok()?;
        }
        Some(())
    }
}

/// Returns which of [`LENGTHS`] is next when so many rows are left; `None` after the last one.
fn next_length(left: usize) -> Option<usize> {
    LENGTHS.iter().position(|length| *length <= left)
}

/// One allocation; sqlx makes two of a `&str`.
fn text(field: &[u8]) -> Option<Arc<str>> {
    std::str::from_utf8(field).ok().map(Arc::from)
}

/// `family, bits, is_cidr, length, bytes…`.
fn address(field: &[u8]) -> Option<Arc<str>> {
    match Tuples::address(field)? {
        IpAddr::V4(address) => Some(dotted(address.octets())),
        IpAddr::V6(address) => Some(address.to_string().into()),
    }
}

/// As [`std::net::Ipv4Addr`] displays itself, without its detours.
fn dotted(octets: [u8; 4]) -> Arc<str> {
    let mut text = String::with_capacity(15);
    for (nth, octet) in octets.into_iter().enumerate() {
        if nth > 0 {
            text.push('.');
        }
        for (least, unit) in [(100, 100), (10, 10), (0, 1)] {
            if octet >= least {
                text.push(char::from(b'0' + octet / unit % 10));
            }
        }
    }
    text.into()
}

fn unreadable(store: &str) -> StoreError {
    Kind::BadRow.error(store, Explanation("a row is not encoded as its columns say".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn any_number_of_rows_is_few_statements() {
        for rows in 0..5000 {
            let (mut left, mut short) = (rows, 0);
            while let Some(nth) = next_length(left) {
                left -= LENGTHS[nth];
                short += usize::from(nth > 0);
            }
            assert_eq!(left, 0);
            assert!(short <= 12, "{rows} rows");
        }
    }

    #[test]
    fn addresses_are_the_texts_of_the_standard_library() {
        for octets in (0..=255).map(|it| [it, 255 - it, 0, it]) {
            assert_eq!(*dotted(octets), Ipv4Addr::from(octets).to_string());
        }
        let mut rows = Tuples::default();
        rows.begin(1);
        rows.inet("2001:db8::7".parse().unwrap());
        let row = rows.rows().next().unwrap();
        assert_eq!(&*address(row[0].unwrap()).unwrap(), "2001:db8::7");
    }
}
