//! The digest of rows, which is the same for the same values in either database.
//!
//! The databases keep two things differently: PostgreSQL has the keys of a JSON object in another order,
//! with spaces, and its numbers as decimals; SQLite has no negative zero. So the digest is that of the encoded
//! rows with such fields in one form.

use std::borrow::Cow;

use serde_json::{Number, Value};
use sha2::{Digest as _, Sha256};

use crate::model::columns::{Column, Encoding};
use crate::model::{Field, Tuples};

/// How many rows there are, and their SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// The rows.
    pub rows: u64,
    /// The digest of all rows, in order.
    pub digest: [u8; 32],
}

impl Sum {
    /// Returns the sum of all parts of a table: the digest of their digests, in order.
    pub fn of_all(parts: &[Sum]) -> Sum {
        let mut hasher = Sha256::new();
        parts.iter().for_each(|part| hasher.update(part.digest));
        let rows = parts.iter().map(|part| part.rows).sum();
        Sum { rows, digest: hasher.finalize().into() }
    }
}

/// Sums rows of a table.
#[derive(Debug)]
pub(super) struct Summing {
    columns: &'static [Column],
    /// Whether some column has to be brought into its one form.
    has_forms: bool,
    rows: u64,
    hasher: Sha256,
    canonical: Tuples,
}

impl Summing {
    pub(super) fn of(columns: &'static [Column]) -> Summing {
        let forms = [Encoding::Json, Encoding::Float8];
        Summing {
            columns,
            has_forms: columns.iter().any(|column| forms.contains(&column.encoding)),
            rows: 0,
            hasher: Sha256::new(),
            canonical: Tuples::default(),
        }
    }

    pub(super) fn add(&mut self, rows: &Tuples) {
        self.rows += rows.count();
        if !self.has_forms {
            return self.hasher.update(rows.bytes());
        }
        self.canonical.clear();
        for row in rows.rows() {
            let row: Vec<Option<Cow<'_, [u8]>>> =
                self.columns.iter().zip(&row).map(|(column, field)| form(column, *field)).collect();
            let row: Vec<Field<'_>> = row.iter().map(Option::as_deref).collect();
            self.canonical.push(&row);
        }
        self.hasher.update(self.canonical.bytes());
    }

    pub(super) fn end(self) -> Sum {
        Sum { rows: self.rows, digest: self.hasher.finalize().into() }
    }
}

/// Returns a field in its one form.
fn form<'a>(column: &Column, field: Field<'a>) -> Option<Cow<'a, [u8]>> {
    let bytes = field?;
    Some(match column.encoding {
        Encoding::Json => match serde_json::from_slice::<Value>(bytes.get(1..).unwrap_or_default())
        {
            Ok(value) => Cow::Owned(one_form(value).to_string().into_bytes()),
            Err(_) => Cow::Borrowed(bytes),
        },
        Encoding::Float8 if bytes == (-0.0_f64).to_be_bytes() => Cow::Borrowed(&[0; 8]),
        _ => Cow::Borrowed(bytes),
    })
}

/// Returns the same value with whole numbers as integers, wherever they are. Keys are in order already.
fn one_form(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(whole(&number).unwrap_or(number)),
        Value::Array(values) => values.into_iter().map(one_form).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, one_form(value))).collect(),
        other => other,
    }
}

/// Returns a number with a decimal point or an exponent as an integer, if it is one.
fn whole(number: &Number) -> Option<Number> {
    let real = number.as_f64().filter(|real| number.is_f64() && real.fract() == 0.0)?;
    match real {
        0.0..18_446_744_073_709_551_616.0 => Some(Number::from(real as u64)),
        -9_223_372_036_854_775_808.0..0.0 => Some(Number::from(real as i64)),
        _ => None,
    }
}

/// Appends JSON without the spaces between its parts, as this program writes it.
pub(in crate::store) fn compact(json: &[u8], out: &mut Vec<u8>) {
    let (mut is_text, mut is_escaped) = (false, false);
    for &byte in json {
        if !is_text && byte.is_ascii_whitespace() {
            continue;
        }
        out.push(byte);
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] =
        &[Column::new("id", Encoding::Int8), Column::new("extra_data", Encoding::Json)];

    fn sum(values: &[&str]) -> Sum {
        let mut rows = Tuples::default();
        for (id, value) in (1..).zip(values) {
            rows.begin(2);
            rows.int8(id);
            rows.json(|out| out.extend_from_slice(value.as_bytes()));
        }
        let mut summing = Summing::of(COLUMNS);
        summing.add(&rows);
        summing.end()
    }

    #[test]
    fn json_has_one_digest_however_it_is_written() {
        for (one, other) in [
            (
                r#"{"bb":1,"a":[2,{"d":null,"c":"x y"}]}"#,
                r#"{"a": [2, {"c": "x y", "d": null}], "bb": 1}"#,
            ),
            ("1e2", "100"),
            ("1.0", "1"),
            ("-0.0", "0.0"),
            ("1e300", &format!("1{}", "0".repeat(300))),
            ("1.2345678901234567e-7", "0.00000012345678901234567"),
            ("-9.007199254740992e15", "-9007199254740992"),
            (r#""\u00e9\/""#, "\"é/\""),
        ] {
            assert_eq!(sum(&[one]), sum(&[other]), "{one} and {other}");
        }
        assert_ne!(sum(&["1.5"]), sum(&["1.25"]));
        assert_ne!(sum(&[r#"{"a":1}"#]), sum(&[r#"{"a":"1"}"#]));
        assert_ne!(sum(&["1", "2"]), sum(&["2", "1"]), "rows have an order");
    }

    #[test]
    fn spaces_leave_json_but_not_its_texts() {
        let mut out = Vec::new();
        compact(br#"{"a b": [1, 2], "c": "d \" e\\", "f": {}}"#, &mut out);
        assert_eq!(out, br#"{"a b":[1,2],"c":"d \" e\\","f":{}}"#);
    }
}
