//! Times as SQLite's date functions and Django read them: UTC text, `2026-11-23 08:41:00`, with
//! `.123456` after it only if there is a fraction. Such texts sort as their times do.

use chrono::{DateTime, Datelike, NaiveDateTime, Timelike, Utc};

use crate::model::Micros;

/// Years of more than four digits do not sort as text; the last microsecond before them.
const LAST: Micros = 253_402_300_799_999_999;
/// 0000-01-01 00:00:00, the first year of four digits.
const FIRST: Micros = -62_167_219_200_000_000;

/// Formats the time as text. Times outside the years 0 to 9999 become the nearest inside.
pub(in crate::store) fn text(micros: Micros) -> String {
    let micros = micros.clamp(FIRST, LAST);
    let time = DateTime::<Utc>::from_timestamp_micros(micros).unwrap_or_default();
    let mut text = String::with_capacity(26);
    for (number, digits, end) in [
        (time.year().unsigned_abs(), 4, '-'),
        (time.month(), 2, '-'),
        (time.day(), 2, ' '),
        (time.hour(), 2, ':'),
        (time.minute(), 2, ':'),
    ] {
        push(&mut text, number, digits);
        text.push(end);
    }
    push(&mut text, time.second(), 2);
    let fraction = time.timestamp_subsec_micros();
    if fraction != 0 {
        text.push('.');
        push(&mut text, fraction, 6);
    }
    text
}

/// Parses a text of [`text`]'s form.
pub(in crate::store) fn read(text: &str) -> Option<Micros> {
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    Some(time.and_utc().timestamp_micros())
}

/// `number` with leading zeros. One row in a hundred thousand a second: `format!` would be seen.
fn push(text: &mut String, number: u32, digits: u32) {
    for nth in (0..digits).rev() {
        let digit = number / 10u32.pow(nth) % 10;
        text.push(char::from_digit(digit, 10).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_text_and_a_time_again() {
        for (micros, expected) in [
            (0, "1970-01-01 00:00:00"),
            (1_795_423_260_000_000, "2026-11-23 08:41:00"),
            (1_795_423_260_000_001, "2026-11-23 08:41:00.000001"),
            (1_795_423_260_123_450, "2026-11-23 08:41:00.123450"),
            (-1, "1969-12-31 23:59:59.999999"),
            (LAST, "9999-12-31 23:59:59.999999"),
            (FIRST, "0000-01-01 00:00:00"),
        ] {
            assert_eq!(text(micros), expected);
            assert_eq!(read(expected), Some(micros));
        }
        assert_eq!(text(i64::MAX), text(LAST));
        assert_eq!(text(i64::MIN), text(FIRST));
    }

    #[test]
    fn texts_sort_as_times() {
        let times = [-1, 0, 1, 999_999, 1_000_000, 1_795_423_260_000_001, LAST];
        let texts: Vec<String> = times.into_iter().map(text).collect();
        assert!(texts.is_sorted());
    }
}
