//! Values as SQL text, for statements that travel together in one message, which has no parameters.
//!
//! Nearly all of them are numbers and bytes. A text goes through [`quoted`].

use std::fmt::Display;
use std::fmt::Write as _;

use chrono::{DateTime, Datelike, NaiveDateTime, Utc};

use crate::model::{Fingerprint, FormChange, Micros, NulRun};
use crate::store::line_forms;
use crate::store::nul_runs::NulRuns;

/// Replaces each `$N` in a statement by the N-th value.
pub(in crate::store) fn fill(statement: &str, values: &[String]) -> String {
    let mut filled = String::with_capacity(statement.len() + 256);
    let mut parts = statement.split('$');
    filled.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|it: char| it.is_ascii_digit()).len();
        let value =
            part[..digits].parse().ok().and_then(|nth: usize| values.get(nth.checked_sub(1)?));
        match value {
            Some(value) => filled.push_str(value),
            None => filled.extend(["$", &part[..digits]]),
        }
        filled.push_str(&part[digits..]);
    }
    filled
}

/// Quotes a text, whatever the server's setting for backslashes is.
pub(in crate::store) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 3);
    quoted.push_str("E'");
    for letter in text.chars() {
        if matches!(letter, '\'' | '\\') {
            quoted.push(letter); // doubled
        }
        quoted.push(letter);
    }
    quoted.push('\'');
    quoted
}

/// Returns a number, or NULL.
pub(super) fn number(number: Option<impl Display>) -> String {
    number.map_or_else(|| "NULL".into(), |number| number.to_string())
}

/// Returns a text, or NULL.
pub(super) fn text(text: Option<&str>) -> String {
    text.map_or_else(|| "NULL".into(), quoted)
}

/// Returns a time as the text of a `timestamptz`, or NULL.
pub(super) fn moment(at: Option<Micros>) -> String {
    at.map_or_else(|| "NULL".into(), |at| format!("'{}'", time(at)))
}

/// Returns bytes as `bytea`, or NULL.
pub(super) fn bytes(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "NULL".into() };
    let mut literal = String::with_capacity(2 * bytes.len() + 15);
    literal.push_str("decode('");
    for byte in bytes {
        let _ = write!(literal, "{byte:02x}"); // a String takes everything
    }
    literal.push_str("','hex')");
    literal
}

/// Returns the hash of a fingerprint as `bytea`, or NULL.
pub(super) fn print(print: Option<Fingerprint>) -> String {
    bytes(print.as_ref().map(|print| &print.print.0[..]))
}

/// Returns runs of NULs as `jsonb`.
pub(super) fn nul_runs(runs: &[NulRun]) -> String {
    format!("'{}'::jsonb", NulRuns(runs).text())
}

/// Returns changes of the form of lines as `jsonb`.
pub(super) fn line_forms(changes: &[FormChange]) -> String {
    format!("{}::jsonb", quoted(&line_forms::text(changes)))
}

/// Returns an array of values that are no texts, as [`number`] and others write them.
pub(super) fn array(values: impl IntoIterator<Item = String>) -> String {
    format!("ARRAY[{}]", values.into_iter().collect::<Vec<_>>().join(","))
}

/// Returns an array of texts without quotes or backslashes, such as numbers or arrays of numbers.
pub(super) fn array_of_texts(values: impl IntoIterator<Item = String>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| format!("\"{value}\"")).collect();
    format!("'{{{}}}'", values.join(","))
}

/// Reads the text of a `timestamptz`, as it is written in UTC: what [`time`] returns, without zeros at the end.
pub(in crate::store) fn read_time(text: &str) -> Option<Micros> {
    let (text, is_before_christ) = match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (year, rest) = text.strip_suffix("+00")?.split_once('-')?;
    let year: i32 = year.parse().ok()?;
    let year = if is_before_christ { 1 - year } else { year };
    // The year of a leap year, of four digits, stands for the one that chrono would not read.
    let rest =
        NaiveDateTime::parse_from_str(&format!("2000-{rest}"), "%Y-%m-%d %H:%M:%S%.f").ok()?;
    Some(rest.with_year(year)?.and_utc().timestamp_micros())
}

/// Returns a time as the text of a `timestamptz`, without quotes.
pub(in crate::store) fn time(at: Micros) -> String {
    // A time that the calendar here does not know, the server does not know either.
    let at = DateTime::from_timestamp_micros(at).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let (year, era) = match at.year() {
        year @ 1.. => (year, ""),
        year => (1 - year, " BC"),
    };
    format!("{year:04}-{}{era}", at.format("%m-%d %H:%M:%S%.6f+00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_of_a_statement_gets_its_value() {
        let values: Vec<String> = (1..=12).map(|nth| format!("<{nth}>")).collect();
        let filled = fill("$1, $12::int, $2 $body$ $99 $", &values);
        assert_eq!(filled, "<1>, <12>::int, <2> $body$ $99 $");
    }

    #[test]
    fn a_text_is_quoted() {
        assert_eq!(quoted(r"it's %\n $1"), r"E'it''s %\\n $1'");
    }

    #[test]
    fn times_are_those_of_any_calendar() {
        for (at, text) in [
            (0, "1970-01-01 00:00:00.000000+00"),
            (-1, "1969-12-31 23:59:59.999999+00"),
            (253_402_300_799_999_999, "9999-12-31 23:59:59.999999+00"),
            (253_402_300_800_000_000, "10000-01-01 00:00:00.000000+00"),
            (-62_167_219_200_000_001, "0002-12-31 23:59:59.999999+00 BC"),
        ] {
            assert_eq!((time(at).as_str(), read_time(text)), (text, Some(at)));
        }
        assert_eq!(read_time("2026-11-23 08:41:00+00"), Some(1_795_423_260_000_000));
        assert_eq!(read_time("2026-11-23 08:41:00.5+00"), Some(1_795_423_260_500_000));
        for text in ["infinity", "-infinity", "2026-11-23 08:41:00+01", "2026-11-23 08:41:00"] {
            assert_eq!(read_time(text), None);
        }
    }
}
