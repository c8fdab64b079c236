//! Stores what lines are that were read again: one transaction for some lines of one file.
//!
//! The rejects alone that become rows take one round trip. Rows that are replaced take five, because their
//! counts are taken out of histograms: they are read from what was removed and from what is counted.

use super::commit::{Trouble, copies, guarded, transact};
use super::literal::{array, array_of_texts, fill, quoted, time};
use super::wire::{Row, Wire};
use super::{PgWriter, Postgres, days, rollup, routes};
use crate::model::{CountedRow, Reparsed, Rollup, TakenReject};
use crate::store::error::StoreError;
use crate::store::sql;

/// Runs before stored lines are removed, in the order of an ingest: a transaction that holds the row of
/// the file waits for no transaction that waits for that row. It finds no row if the schema was upgraded
/// meanwhile. See `CLAIM` for `jsonb_object`.
const COUNT: &str = sql::count_reparsed!(
    "CASE WHEN format = $5 OR other_formats ? $5 THEN other_formats
          ELSE other_formats || (jsonb_object(ARRAY['', $5]) -> '') END"
);

/// Removes rejects with all of their lines; `$5` is how many they were.
const TAKE_REJECTS: &str = "
    DELETE FROM rejected_line AS r
     USING unnest($2::int8[], $3::timestamptz[], $4::int8[]) AS t (log_offset, at, repeats)
     WHERE r.log_file = $1 AND r.log_offset = t.log_offset AND r.rejected_at = t.at
       AND r.repeats = t.repeats;
    GET DIAGNOSTICS taken = ROW_COUNT;
    IF taken <> $5 THEN others := others || $1; END IF;";

/// Leaves a reject the first lines of it that stay. If it has changed meanwhile, the row at `$5` is another.
const TAKE_LINES: &str = concat!(
    sql::keep_lines!(),
    "; GET DIAGNOSTICS taken = ROW_COUNT;
    IF taken <> 1 THEN others := others || $1; ELSE "
);

/// Removes the rows of `request_log`; `$7` is how many they were.
const TAKE_REQUESTS: &str = "
    DELETE FROM request_log
     WHERE log_file = $1 AND id = ANY ($2::int8[]) AND id >= $3 AND id <= $4
       AND timestamp >= $5 AND timestamp <= $6;
    GET DIAGNOSTICS taken = ROW_COUNT;
    IF taken <> $7 THEN others := others || $1; END IF;";

/// Removes rows of `gunicorn_log`, and returns what is counted of them. Of a day that is over, ids have an index
/// of their own; of the others, the ends of ids and times tell in which blocks they are.
const TAKE_ROWS: &str = "
    DELETE FROM gunicorn_log
     WHERE log_file = $1 AND id = ANY ($2::int8[]) AND id >= $3 AND id <= $4
       AND timestamp >= $5 AND timestamp <= $6
    RETURNING (extract(epoch FROM timestamp) * 1000000)::int8, code, response_bytes, duration, route, url;";

impl PgWriter {
    pub(in crate::store) async fn reparse(&mut self, lines: &Reparsed) -> Result<bool, StoreError> {
        self.ensure_days(&lines.new).await?;
        self.ensure_routes(&lines.new.rollup).await?;
        let done = match lines.rows.is_empty() {
            true => {
                let counts = rollup::adds(&lines.new.rollup);
                let routes = routes::adds(&self.backend, &lines.new.rollup);
                let statements =
                    format!("BEGIN;{}{}{counts}{routes}COMMIT", takes(lines), copies(&lines.new));
                transact(&mut self.wire, &statements, &lines.new).await
            }
            false => replace(&self.backend, &mut self.wire, lines).await,
        };
        match done {
            Ok(()) => Ok(true),
            Err(Trouble::Moved(_)) => Ok(false),
            Err(trouble) => {
                // A sweep may have dropped one; the next try makes it.
                days::forget(&self.backend, &lines.new);
                Err(trouble.into_error(&self.backend))
            }
        }
    }
}

async fn replace(backend: &Postgres, wire: &mut Wire, lines: &Reparsed) -> Result<(), Trouble> {
    let [ids, first, last, from, to] = places(lines, &lines.rows);
    let take = fill(TAKE_ROWS, &[lines.file.0.to_string(), ids, first, last, from, to]);
    let taken = wire.query(&format!("BEGIN;{}{take}", takes(lines))).await?;
    if taken.len() != lines.rows.len() {
        wire.query("ROLLBACK").await?;
        return Err(Trouble::Moved(vec![lines.file]));
    }
    let mut removed = Rollup::default();
    for row in &taken {
        count(&mut removed, lines, row)?;
    }
    let counts = rollup::change(wire, lines.file, &removed, &lines.new.rollup).await?;
    let routes = routes::change((backend, wire), lines.file, &removed, &lines.new.rollup);
    let routes = Box::pin(routes).await?;
    let statements = format!("{counts}{routes}{}COMMIT", copies(&lines.new));
    Ok(wire.commit(&statements, &lines.new.tables()).await?)
}

/// Counts a row of [`TAKE_ROWS`].
fn count(removed: &mut Rollup, lines: &Reparsed, row: &Row) -> Result<(), sqlx::Error> {
    let int = |nth| rollup::int(row, nth);
    let code = int(1)?.and_then(|code| i32::try_from(code).ok());
    let text = |nth: usize| row.get(nth).and_then(Option::as_deref);
    let counted = CountedRow {
        timestamp: int(0)?.unwrap_or_default(),
        code,
        response_bytes: int(2)?,
        duration: int(3)?,
        route: text(4),
        url: text(5),
    };
    removed.count(lines.file, &counted);
    Ok(())
}

/// Returns ids of rows, the first and the last of them, and the first and the last of their times.
fn places(lines: &Reparsed, offsets: &[u64]) -> [String; 5] {
    let ids: Vec<i64> = offsets.iter().map(|offset| lines.file.row_id(*offset)).collect();
    let end = |id: Option<&i64>| id.copied().unwrap_or_default().to_string();
    let (from, to) = lines.times.unwrap_or_default();
    let (first, last) = (end(ids.iter().min()), end(ids.iter().max()));
    let ids = array(ids.iter().map(i64::to_string));
    [ids, first, last, quoted(&time(from)), quoted(&time(to))]
}

/// Returns the statements that leave a reject the lines of it that stay: a row for each run of them.
fn take_lines(file: &str, reject: &TakenReject) -> String {
    let at = quoted(&time(reject.rejected_at));
    let mut rows = reject.kept.iter().map(|(offset, lines)| [offset, lines].map(u64::to_string));
    let Some([first, lines]) = rows.next() else { return String::new() };
    let [offset, repeats] = [reject.offset, reject.repeats].map(|it| it.to_string());
    let mut take =
        fill(TAKE_LINES, &[file.to_owned(), offset, at.clone(), repeats, first.clone(), lines]);
    for [offset, lines] in rows {
        let of_first = [file.to_owned(), first.clone(), at.clone(), offset, lines];
        take.push_str(&fill(sql::KEEP_MORE_LINES, &of_first));
        take.push(';');
    }
    take.push_str(" END IF;");
    take
}

fn takes(lines: &Reparsed) -> String {
    let file = lines.file.0.to_string();
    let count = fill(
        COUNT,
        &[
            file.clone(),
            lines.more_rejects().to_string(),
            lines.more_rows().to_string(),
            lines.excluded.to_string(),
            quoted(&lines.format),
            lines.removed_rejects().to_string(),
        ],
    );
    let mut takes = format!("{count}; IF NOT FOUND THEN others := others || {file}; END IF;");
    let (whole, in_part): (Vec<&TakenReject>, Vec<_>) =
        lines.rejects.iter().partition(|reject| reject.kept.is_empty());
    if !whole.is_empty() {
        takes.push_str(&fill(
            TAKE_REJECTS,
            &[
                file.clone(),
                array_of_texts(whole.iter().map(|reject| reject.offset.to_string())),
                array_of_texts(whole.iter().map(|reject| time(reject.rejected_at))),
                array_of_texts(whole.iter().map(|reject| reject.repeats.to_string())),
                whole.len().to_string(),
            ],
        ));
    }
    for reject in in_part {
        takes.push_str(&take_lines(&file, reject));
    }
    if !lines.requests.is_empty() {
        let [ids, first, last, from, to] = places(lines, &lines.requests);
        let count = lines.requests.len().to_string();
        takes.push_str(&fill(TAKE_REQUESTS, &[file, ids, first, last, from, to, count]));
    }
    guarded(&takes)
}
