//! Rows in columns, for people.

use std::io::{self, Write};

use serde_json::json;

use super::render::visible;
use crate::model::moment;
use crate::store::{FoundRow, StoredRequest, StoredRow, Top};

/// Columns of a list.
pub(super) const COLUMNS: usize = 7;

pub(super) const HEAD: [&str; COLUMNS] =
    ["time", "code", "duration", "method", "url", "user", "address"];

pub(super) fn access(found: &FoundRow<StoredRow>) -> [String; COLUMNS] {
    let row = &found.row;
    [
        moment(row.timestamp),
        or_dash(row.code),
        row.duration.map_or_else(|| "-".into(), duration),
        or_dash(row.method.as_deref()),
        or_dash(row.url.as_deref()),
        or_dash(row.user_id.as_deref()),
        or_dash(row.user_ip),
    ]
}

pub(super) fn request(found: &FoundRow<StoredRequest>) -> [String; COLUMNS] {
    let row = &found.row.line;
    [
        moment(row.timestamp),
        or_dash(row.status_code),
        row.response_time_ms.map_or_else(|| "-".into(), |ms| duration((ms * 1000.0) as i64)),
        or_dash(row.method.as_deref()),
        or_dash(row.path.as_deref()),
        or_dash(row.user_id.as_deref()),
        or_dash(row.ip_address),
    ]
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| visible(&value.to_string()))
}

/// Microseconds with the unit that makes them short.
fn duration(micros: i64) -> String {
    match micros {
        ..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

/// Columns as wide as what stands in them; the last one is not filled up.
pub(super) fn write<const N: usize>(
    out: &mut impl Write,
    head: Option<[&str; N]>,
    rows: &[[String; N]],
) -> io::Result<()> {
    let width = |nth: usize| {
        let cells = rows.iter().map(|row| row[nth].chars().count());
        cells.chain(head.map(|head| head[nth].chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut line = |cells: &[&str]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    if let Some(head) = head {
        line(&head)?;
    }
    for row in rows {
        line(&row.each_ref().map(String::as_str))?;
    }
    Ok(())
}

/// The most frequent values; `cut` says that the range had more rows than were counted.
pub(super) fn top(top: &Top, cut: bool, as_json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        let (counted, from) = (top.counted, moment(top.from));
        writeln!(out, "{}", json!({ "counted": counted, "from": from, "items": top.items }))?;
        return Ok(());
    }
    let rows: Vec<_> = top
        .items
        .iter()
        .map(|item| {
            [
                item.rows.to_string(),
                item.errors.to_string(),
                item.mean.map_or_else(|| "-".into(), duration),
                item.max.map_or_else(|| "-".into(), duration),
                or_dash(item.value.as_deref()),
            ]
        })
        .collect();
    write(&mut out, Some(["rows", "errors", "mean", "max", "value"]), &rows)?;
    if cut {
        writeln!(out, "counted: the newest {} rows, from {} on", top.counted, moment(top.from))?;
    }
    Ok(())
}
