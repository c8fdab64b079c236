//! Takes a day out of a partition that it shares with later ones, when its time comes.
//!
//! Lines with times that no clock explains share one partition. When such a day comes near, it gets one of its
//! own, and its rows move there. The bounds of a partition cannot be changed while it is attached, so it is
//! detached, and attached again, in one transaction: no statement that begins then misses a row, but all other
//! sessions wait. So the transactions that use the table now have to end first, as for a sweep, few rows move, and
//! each step has a time limit: the rows that stay are read for their bounds.
//! If that is not possible, the day stays where it is: its rows have a place, and the next attempt may succeed.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::citus::Placement;
use super::days::{Part, Parts, attach, steps, under_lock};
use super::layout::{comment, days_of, first_of_future, midnight, partition};
use super::sweeper::unused;
use crate::store::answers::{DayRange, Table};
use crate::store::error;

/// The most rows that move at once: all other sessions wait meanwhile.
pub(super) const MOST: i64 = 200_000;

/// How long the other sessions wait at most for those that began after the check, and for each statement: the rows
/// that stay are read for their bounds, too.
const SHORT_WAIT: [&str; 2] =
    ["SET LOCAL lock_timeout = '3s'", "SET LOCAL statement_timeout = '5s'"];

/// Lets Citus change several shards in a transaction that also changes tables. Elsewhere it means nothing.
const ON_CITUS: &str = "SET LOCAL citus.multi_shard_modify_mode = 'sequential'";

/// What became of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Carved {
    /// It has a partition of its own; these are the parts of what was one.
    Days(Vec<DayRange>),
    /// There was nothing to do.
    Nothing,
    /// The table is being read: others would wait for that reader.
    Postponed,
    /// More than [`MOST`] rows would have to move, or those that stay are too many to be read in time.
    TooMany,
}

/// A part of the days of a partition, and how many rows it has, at most `MOST + 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    days: DayRange,
    rows: i64,
}

/// Gives a day a partition of its own if it shares one with days of the future. Months and years that are over
/// stay as they are.
pub(super) async fn take_out(
    connection: &mut PgConnection,
    table: Table,
    day: i32,
    placement: Placement,
) -> Result<Carved, sqlx::Error> {
    if !unused(connection, table).await? {
        return Ok(Carved::Postponed);
    }
    let taken = under_lock(connection, async |connection| {
        // Another session may have done it.
        let parts = Parts::of(connection, &[table]).await?;
        match shared(&parts, table, day) {
            Some(part) => split(connection, table, part, day, placement).await,
            None => Ok(Carved::Nothing),
        }
    });
    match taken.await {
        // Locked (55P03), a deadlock (40P01), a partition of this table is leaving (55000), or a row of another
        // part has come since they were counted (23514).
        Err(error)
            if ["55P03", "40P01", "55000", "23514"].contains(&error::code(&error).as_str()) =>
        {
            Ok(Carved::Postponed)
        }
        Err(error) if error::code(&error) == "57014" => Ok(Carved::TooMany),
        taken => taken,
    }
}

/// Returns the partition that a day shares with days of the future.
pub(super) fn shared(parts: &Parts, table: Table, day: i32) -> Option<&Part> {
    let future = first_of_future(parts.today);
    let part = parts.part(table, day).filter(|part| !part.is_leaving)?;
    let is_ours = days_of(table, &part.name) == Some(part.days);
    (is_ours && !part.days.is_one_day() && part.days.end > future).then_some(part)
}

/// Returns the days before, the day, and those after it.
fn pieces(days: DayRange, day: i32) -> Vec<DayRange> {
    let before = DayRange { end: day, ..days };
    let after = DayRange { first: day + 1, ..days };
    [before, DayRange::of_day(day), after].into_iter().filter(|it| it.first < it.end).collect()
}

/// Returns the piece that keeps the table: that with the most rows, of several the last one.
fn keeper(pieces: &[Piece]) -> Option<Piece> {
    pieces.iter().copied().max_by_key(|piece| piece.rows)
}

async fn split(
    connection: &mut PgConnection,
    table: Table,
    part: &Part,
    day: i32,
    placement: Placement,
) -> Result<Carved, sqlx::Error> {
    let mut found = Vec::new();
    for days in pieces(part.days, day) {
        let count = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {} WHERE {} LIMIT {}) AS few",
            part.name,
            are_of(table, days),
            MOST + 1
        );
        let count = sqlx::query_scalar(AssertSqlSafe(count)).persistent(false);
        found.push(Piece { days, rows: count.fetch_one(&mut *connection).await? });
    }
    let Some(kept) = keeper(&found) else { return Ok(Carved::Nothing) };
    let moved = found.iter().filter(|piece| **piece != kept);
    if moved.clone().map(|piece| piece.rows).sum::<i64>() > MOST {
        return Ok(Carved::TooMany);
    }
    // A part without rows is made when there are some; this day is to be ready.
    let is_needed = |piece: &&Piece| piece.rows > 0 || piece.days == DayRange::of_day(day);
    let (parent, old) = (table.name(), &part.name);
    let columns: String = sqlx::query_scalar(
        "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
          WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
    )
    .bind(parent)
    .fetch_one(&mut *connection)
    .await?;
    let mut statements = SHORT_WAIT.map(str::to_owned).to_vec();
    if placement == Placement::Distributed {
        statements.push(ON_CITUS.to_owned());
    }
    statements.push(format!("ALTER TABLE {parent} DETACH PARTITION {old}"));
    for piece in moved.filter(is_needed) {
        statements.extend(steps(table, &partition(table, piece.days), piece.days));
    }
    let others = format!("NOT ({})", are_of(table, kept.days));
    statements.push(format!(
        "INSERT INTO {parent} ({columns}) SELECT {columns} FROM {old} WHERE {others}"
    ));
    statements.push(format!("DELETE FROM {old} WHERE {others}"));
    let mut tx = connection.begin().await?;
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *tx).await?;
    }
    // Rows may have come since they were counted.
    let has_rows = format!("SELECT count(*) > 0 FROM (SELECT 1 FROM {old} LIMIT 1) AS it");
    let has_rows: bool = sqlx::query_scalar(AssertSqlSafe(has_rows)).fetch_one(&mut *tx).await?;
    let kept = Piece { rows: has_rows.into(), ..kept };
    let name = partition(table, kept.days);
    let last = match is_needed(&&kept) {
        true => vec![
            format!("ALTER TABLE {old} RENAME TO {name}"),
            format!("COMMENT ON TABLE {name} IS '{}'", comment(table, kept.days)),
            attach(table, &name, kept.days),
        ],
        false => vec![format!("DROP TABLE {old}")],
    };
    for statement in last {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    let made = found.iter().map(|piece| if piece.days == kept.days { kept } else { *piece });
    Ok(Carved::Days(made.filter(|piece| is_needed(&piece)).map(|piece| piece.days).collect()))
}

/// Returns the condition for rows of these days.
fn are_of(table: Table, days: DayRange) -> String {
    let (column, from, to) = (table.time_column(), midnight(days.first), midnight(days.end));
    format!("{column} >= '{from}' AND {column} < '{to}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_taken_out_between_those_before_and_after_it() {
        let range = |first, end| DayRange { first, end };
        let around = |day| pieces(range(10, 20), day);
        assert_eq!(around(10), [range(10, 11), range(11, 20)]);
        assert_eq!(around(15), [range(10, 15), range(15, 16), range(16, 20)]);
        assert_eq!(around(19), [range(10, 19), range(19, 20)]);
    }

    #[test]
    fn most_rows_stay_where_they_are() {
        let piece = |first, rows| Piece { days: DayRange::of_day(first), rows };
        assert_eq!(keeper(&[piece(1, 5), piece(2, 0), piece(3, 5)]), Some(piece(3, 5)));
        assert_eq!(keeper(&[piece(1, 6), piece(2, 0), piece(3, 5)]), Some(piece(1, 6)));
        assert_eq!(keeper(&[]), None);
    }
}
