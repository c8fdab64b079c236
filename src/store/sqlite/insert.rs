//! Encoded rows as prepared inserts.
//!
//! A statement costs a walk to the connection's thread and back, so one statement carries many
//! rows. Two lengths of statement are prepared for each table: a long one, and a single row for
//! what remains.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe};

use super::clock;
use crate::model::{Batch, Field, Tuples};
use crate::store::error::{Explanation, Kind, StoreError, from_sqlx};

/// Rows of a long statement; 256 × 19 parameters, SQLite takes 32,766. With 16 an import takes a
/// quarter more processor time, with 64 some per cent more, with 1,024 no less.
const MANY: usize = 256;

pub(super) static GUNICORN_LOG: LazyLock<Insert> = LazyLock::new(|| {
    use Column::{Inet, Int4, Int8, Json, Text, Time};
    let columns = [
        Int8, Time, Int8, Int8, Int8, Int4, Int4, Int4, Text, Text, Text, Text, Inet, Text, Text,
        Text, Json, Json, Json,
    ];
    Insert::new("gunicorn_log", Batch::GUNICORN_LOG, columns)
});

pub(super) static REQUEST_LOG: LazyLock<Insert> = LazyLock::new(|| {
    use Column::{Float8, Inet, Int4, Int8, Json, Text, Time};
    let columns = [
        Int8, Time, Int8, Float8, Int4, Int4, Text, Text, Text, Json, Text, Text, Json, Text, Inet,
        Text, Text, Text, Json,
    ];
    Insert::new("request_log", Batch::REQUEST_LOG, columns)
});

pub(super) static REJECTED_LINE: LazyLock<Insert> = LazyLock::new(|| {
    use Column::{Int4, Int8, Raw, Text, Time};
    Insert::new("rejected_line", Batch::REJECTED_LINE, [Int8, Time, Int4, Text, Raw])
});

/// How a column's fields are encoded.
#[derive(Clone, Copy, Debug)]
enum Column {
    Int8,
    Int4,
    Float8,
    Time,
    Text,
    Inet,
    Json,
    Raw,
}

/// A table's statements.
pub(super) struct Insert {
    columns: Vec<Column>,
    many: Arc<str>,
    one: Arc<str>,
}

impl Insert {
    fn new<const N: usize>(table: &str, names: [&str; N], columns: [Column; N]) -> Insert {
        let row = format!("({})", vec!["?"; N].join(", "));
        let insert = format!("INSERT INTO {table} ({}) VALUES ", names.join(", "));
        Insert {
            columns: columns.to_vec(),
            many: format!("{insert}{}", vec![row.as_str(); MANY].join(", ")).into(),
            one: format!("{insert}{row}").into(),
        }
    }

    /// While the connection's thread runs one statement, this one encodes the next.
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
            executed.map_err(|error| from_sqlx(store, error))?;
            next = encoded?;
        }
        Ok(())
    }

    /// The next statement and its arguments, `None` behind the last row.
    fn encode<'a>(
        &self,
        rows: &mut impl Iterator<Item = Vec<Field<'a>>>,
        left: &mut usize,
        store: &str,
    ) -> Result<Option<(Arc<str>, SqliteArguments)>, StoreError> {
        let (statement, length) = match *left {
            0 => return Ok(None),
            MANY.. => (&self.many, MANY),
            _ => (&self.one, 1),
        };
        let mut arguments = SqliteArguments::default();
        arguments.reserve(length * self.columns.len(), 0);
        for row in rows.by_ref().take(length) {
            self.bind(&mut arguments, &row).ok_or_else(|| unreadable(store))?;
        }
        // Too few rows would be bound as NULL, not refused.
        if arguments.len() != length * self.columns.len() {
            return Err(unreadable(store));
        }
        *left -= length;
        Ok(Some((Arc::clone(statement), arguments)))
    }

    /// `None` if a field is not what its column says, or text is not UTF-8.
    fn bind(&self, arguments: &mut SqliteArguments, row: &[Field<'_>]) -> Option<()> {
        if row.len() != self.columns.len() {
            return None;
        }
        for (column, field) in self.columns.iter().zip(row) {
            let Some(field) = field else {
                arguments.add(None::<i64>).ok()?;
                continue;
            };
            match column {
                Column::Int8 => arguments.add(i64::from_be_bytes((*field).try_into().ok()?)),
                Column::Int4 => arguments.add(i32::from_be_bytes((*field).try_into().ok()?)),
                Column::Float8 => arguments.add(f64::from_be_bytes((*field).try_into().ok()?)),
                Column::Time => arguments.add(clock::text(Tuples::micros(field)?)),
                Column::Text => arguments.add(text(field)?),
                Column::Inet => arguments.add(address(field)?),
                Column::Json => arguments.add(text(field.get(1..)?)?),
                Column::Raw => arguments.add(*field),
            }
            .ok()?;
        }
        Some(())
    }
}

/// One allocation; sqlx makes two of a `&str`.
fn text(field: &[u8]) -> Option<Arc<str>> {
    std::str::from_utf8(field).ok().map(Arc::from)
}

/// `family, bits, is_cidr, length, bytes…`.
fn address(field: &[u8]) -> Option<Arc<str>> {
    let bytes = field.get(4..)?;
    match <[u8; 4]>::try_from(bytes) {
        Ok(octets) => Some(dotted(octets)),
        Err(_) => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string().into()),
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
