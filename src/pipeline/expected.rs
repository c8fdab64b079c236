//! What the lines of a file must be in the store, in the form in which the store answers, and whether
//! the store says the same.

use std::sync::Arc;

use crate::model::columns::{Encoded, Place, Value};
use crate::model::{Batch, RejectedLine, Row, StoredRequest, StoredRow, Tuples};
use crate::store::StoredLine;

use serde_json::Value as Json;

/// Returns rows, requests and rejected lines of a batch, in the order of their offsets.
pub(crate) fn expected(batch: &Batch) -> Vec<(u64, StoredLine)> {
    let rows = decoded::<StoredRow>(&batch.gunicorn_log);
    let rows = rows.map(|row| (row.log_offset, StoredLine::Row(Box::new(row))));
    let requests = decoded::<StoredRequest>(&batch.request_log);
    let requests = requests.map(|row| (row.log_offset, StoredLine::Request(Box::new(row))));
    let rejects = decoded::<RejectedLine>(&batch.rejected_line).map(Arc::new);
    let rejects = rejects.flat_map(|reject| {
        let offsets = reject.offsets();
        offsets.map(move |offset| (offset, StoredLine::Reject(Arc::clone(&reject))))
    });
    let mut lines: Vec<_> = rows.chain(requests).chain(rejects).collect();
    lines.sort_by_key(|(offset, _)| *offset);
    lines
}

fn decoded<T: Row>(rows: &Tuples) -> impl Iterator<Item = T> {
    rows.rows().filter_map(|row| T::read(&Encoded::new(T::COLUMNS, &row)).ok())
}

/// How a line agrees with what is stored at its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// In every column, or in its bytes.
    Same,
    /// Nothing is stored there.
    NothingStored,
    /// Something else is stored there.
    None,
}

/// Returns how a line agrees with what is stored at its offset. Times are not compared if they are
/// `estimated`.
pub(crate) fn agreement(
    line: &StoredLine,
    stored: Option<&StoredLine>,
    estimated: bool,
) -> Agreement {
    let Some(stored) = stored else { return Agreement::NothingStored };
    let same = match (line, stored) {
        (StoredLine::Row(line), StoredLine::Row(stored)) => {
            first_difference(&**line, &**stored, estimated).is_none()
        }
        (StoredLine::Request(line), StoredLine::Request(stored)) => {
            first_difference(&**line, &**stored, estimated).is_none()
        }
        (StoredLine::Reject(line), StoredLine::Reject(stored)) => line.raw == stored.raw,
        _ => false,
    };
    if same { Agreement::Same } else { Agreement::None }
}

/// Returns the first column in which two rows differ, in the order of exports, and both values. Times are
/// not compared if they are `estimated`. An address of IPv4 within IPv6, as older versions stored it, is the
/// same as the one of IPv4.
pub(crate) fn first_difference<'a, T: Row>(
    one: &'a T,
    other: &'a T,
    estimated: bool,
) -> Option<(&'static str, Value<'a>, Value<'a>)> {
    differing(one, other, estimated, differ_in_meaning).next()
}

/// Returns all columns in which two rows do not hold the same values. Times are not compared if they are
/// `estimated`.
pub(crate) fn differences<'a, T: Row>(
    one: &'a T,
    other: &'a T,
    estimated: bool,
) -> impl Iterator<Item = &'static str> {
    differing(one, other, estimated, differ).map(|(column, ..)| column)
}

fn differing<'a, T: Row>(
    one: &'a T,
    other: &'a T,
    estimated: bool,
    differ: fn(&Value<'_>, &Value<'_>) -> bool,
) -> impl Iterator<Item = (&'static str, Value<'a>, Value<'a>)> {
    let place = Place::default();
    let both = one.exported(place).into_iter().zip(other.exported(place));
    let both = both.filter(move |((column, _), _)| !(estimated && column.name == "timestamp"));
    both.filter(move |((_, one), (_, other))| differ(one, other))
        .map(|((column, one), (_, other))| (column.name, one, other))
}

fn differ_in_meaning(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Address(one), Value::Address(other)) => one.to_canonical() != other.to_canonical(),
        (one, other) => differ(one, other),
    }
}

fn differ(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Json(one), Value::Json(other)) => !is_same(one, other),
        (one, other) => one != other,
    }
}

/// Returns whether two values are the same: a database may write 1e16 as 10000000000000000.
fn is_same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) if one.is_f64() || other.is_f64() => {
            one.as_f64() == other.as_f64()
        }
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|other| is_same(value, other)))
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv4_within_ipv6_is_the_same() {
        let address = |text: &str| Value::Address(text.parse().unwrap());
        assert!(!differ_in_meaning(&address("203.0.113.9"), &address("::ffff:203.0.113.9")));
        assert!(differ_in_meaning(&address("203.0.113.9"), &address("::ffff:203.0.113.8")));
        assert!(differ_in_meaning(&address("203.0.113.9"), &address("::203.0.113.9")));
    }
}
