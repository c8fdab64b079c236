//! Counts of rows by minute and by hour, written in the transaction that stores the rows.

use std::collections::HashMap;

use super::literal::{array_of_texts, fill, time};
use super::wire::{Row, Wire};
use crate::model::{CLASSES, Counts, FileId, Micros, Period, Rollup};
use crate::store::sql::{CLASS_COLUMNS, add_counts, table_of};
use crate::store::sqlite;

/// Counts that one statement adds.
pub(super) const AT_ONCE: usize = 256;

const NEW: &str = "
    SELECT n, f, i, s, r, c, e, o, b, d::int8[]
      FROM unnest($1::timestamptz[], $2::int4[], $3::int8[], $4::int8[], $5::int8[],
                  $6::int8[], $7::int8[], $8::int8[], $9::int8[], $10::text[])
        AS new (n, f, i, s, r, c, e, o, b, d)";

/// A sum that a `bigint` cannot hold stays at the largest one.
pub(super) const RESPONSE_BYTES: &str =
    "least(9223372036854775807, c.response_bytes::numeric + excluded.response_bytes)";

/// Histograms are as long as their last bucket that counts something.
pub(super) const DURATIONS: &str = "
    CASE WHEN excluded.durations = '{}' THEN c.durations ELSE ARRAY(
        SELECT coalesce(had, 0) + coalesce(more, 0)
          FROM unnest(c.durations, excluded.durations)
          WITH ORDINALITY AS added (had, more, bucket) ORDER BY bucket) END";

/// Returns the statements that add to the counts. The transaction has locked the row of the file in
/// `log_file` before, so that two transactions cannot wait for each other here.
pub(super) fn adds(rollup: &Rollup) -> String {
    let mut statements = String::new();
    for period in Period::ALL {
        push_adds(&mut statements, period, rollup.by(period));
    }
    statements
}

fn push_adds(statements: &mut String, period: Period, mut all: impl Iterator<Item = Counts>) {
    let sql = add_counts(period, NEW, RESPONSE_BYTES, DURATIONS);
    loop {
        let some: Vec<Counts> = all.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        statements.push_str(&fill(&sql, &values(&some)));
        statements.push(';');
    }
}

/// Returns the statements that change the counts of `file` as rows of `added` take the place of those of
/// `removed`, by what is counted now. The transaction has locked the row of the file in `log_file`, so that
/// nothing else changes them meanwhile.
pub(super) async fn change(
    wire: &mut Wire,
    file: FileId,
    removed: &Rollup,
    added: &Rollup,
) -> Result<String, sqlx::Error> {
    let changes = Period::ALL.map(|period| (period, added.changes(removed, period)));
    let of_periods = |period: Period, changes: &[Counts]| {
        let (table, column) = table_of(period);
        let starts = array_of_texts(changes.iter().map(|change| time(change.start)));
        let file = file.0;
        format!(
            "FROM {table} WHERE log_file = {file} AND {column} = ANY ({starts}::timestamptz[]);"
        )
    };
    let mut statements = String::new();
    for (period, changes) in &changes {
        if !changes.is_empty() {
            statements.push_str(&format!(
                "SELECT (extract(epoch FROM {}) * 1000000)::int8, {CLASS_COLUMNS}, response_bytes, \
                        array_to_json(durations), {} {}",
                table_of(*period).1,
                period.micros(),
                of_periods(*period, changes)
            ));
        }
    }
    let mut stored: HashMap<(i64, Micros), Counts> = HashMap::new();
    if !statements.is_empty() {
        for row in wire.query(&statements).await? {
            let (length, counts) = counts(file, &row)?;
            stored.insert((length, counts.start), counts);
        }
    }
    let mut statements = String::new();
    for (period, changes) in &changes {
        if changes.is_empty() {
            continue;
        }
        statements.push_str(&format!("DELETE {}", of_periods(*period, changes)));
        let changed = changes.iter().filter_map(|change| {
            Counts::changed(stored.remove(&(period.micros(), change.start)), change)
        });
        push_adds(&mut statements, *period, changed);
    }
    Ok(statements)
}

/// Reads a row of the statements of [`change`]: the length of the period, and its counts.
fn counts(file: FileId, row: &Row) -> Result<(i64, Counts), sqlx::Error> {
    let number = |nth| int(row, nth).map(Option::unwrap_or_default);
    let mut rows = [0; CLASSES];
    for (nth, rows) in rows.iter_mut().enumerate() {
        *rows = number(nth + 1)?;
    }
    let durations = row.get(CLASSES + 2).and_then(Option::as_deref).unwrap_or("[]");
    let durations = sqlite::histogram(durations)?;
    let (start, response_bytes) = (number(0)?, number(CLASSES + 1)?);
    Ok((number(CLASSES + 3)?, Counts { file, start, rows, response_bytes, durations }))
}

/// Reads a number of a row.
pub(super) fn int(row: &Row, nth: usize) -> Result<Option<i64>, sqlx::Error> {
    let text = row.get(nth).and_then(Option::as_deref);
    let number = text.map(str::parse).transpose();
    number.map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// The values of [`NEW`].
fn values(all: &[Counts]) -> [String; 10] {
    let each = |field: &dyn Fn(&Counts) -> String| array_of_texts(all.iter().map(field));
    let class = |class: usize| each(&|it| it.rows[class].to_string());
    [
        each(&|it| time(it.start)),
        each(&|it| it.file.0.to_string()),
        class(0),
        class(1),
        class(2),
        class(3),
        class(4),
        class(5),
        each(&|it| it.response_bytes.to_string()),
        each(&|it| durations(&it.durations)),
    ]
}

/// Writes an array as PostgreSQL does: an array of arrays of several lengths exists as text only.
fn durations(counts: &[i64]) -> String {
    let counts: Vec<String> = counts.iter().map(i64::to_string).collect();
    format!("{{{}}}", counts.join(","))
}
