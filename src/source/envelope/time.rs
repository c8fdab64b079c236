//! The time of an envelope: RFC 3339, kept to the microsecond.

use chrono::NaiveDate;

use crate::model::Micros;

/// Bytes up to the seconds.
const SHAPE: &[u8; 19] = b"0000-00-00T00:00:00";

/// Reads a whole text as a time, of the years 1970 to 9999. What is finer than a microsecond is
/// dropped; a leap second is refused, since neither database could give it back.
pub(super) fn micros(text: &[u8]) -> Option<Micros> {
    let (clock, rest) = text.split_at_checked(SHAPE.len())?;
    let shaped = clock.iter().zip(SHAPE).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    });
    if !shaped {
        return None;
    }
    let number = |from: usize, to: usize| {
        clock[from..to].iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
    };
    let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let year = i32::try_from(number(0, 4)).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(5, 7), number(8, 10))?;
    let days = i64::from(date.to_epoch_days());
    let seconds = days * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    let (fraction, zone) = fraction(rest)?;
    let seconds = seconds - offset(zone)?;
    (0..253_402_300_800).contains(&seconds).then(|| seconds * 1_000_000 + fraction)
}

/// Microseconds, and what is behind the digits.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let digit = |at: usize| text[..length].get(at).map_or(0, |digit| i64::from(digit - b'0'));
    let micros = (0..6).fold(0, |number, at| number * 10 + digit(at));
    Some((micros, &text[length..]))
}

/// Seconds that a zone is ahead of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    if zone == b"Z" {
        return Some(0);
    }
    let &[sign @ (b'+' | b'-'), a, b, b':', c, d] = zone else { return None };
    if ![a, b, c, d].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let two = |tens: u8, ones: u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
    let (hours, minutes) = (two(a, b), two(c, d));
    let ahead = hours * 3600 + minutes * 60;
    (hours < 24 && minutes < 60).then_some(if sign == b'-' { -ahead } else { ahead })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn times_are_read_as_chrono_reads_them() {
        for text in [
            "2016-10-06T00:17:09.669794202Z",
            "2026-11-24T10:11:12Z",
            "2026-11-24T10:11:12.5+02:00",
            "2026-02-28T23:59:59.999999999-09:30",
            "1970-01-01T00:00:00.000001Z",
            "9999-12-31T23:59:59.999999Z",
            "2024-02-29T00:00:00.1234567+00:00",
        ] {
            let right = DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros();
            assert_eq!(micros(text.as_bytes()), Some(right), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for wrong in [
            "",
            "2026-11-24",
            "2026-11-24T10:11:12",
            "2026-11-24T10:11:12.Z",
            "2026-11-24 10:11:12Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-24T24:00:00Z",
            "2026-11-24T10:60:12Z",
            "2016-12-31T23:59:60Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "2026-11-24T10:11:12z",
            "2026-11-24T10:11:12+2:00",
            "2026-11-24T10:11:12+24:00",
            "2026-11-24T10:11:12Zx",
        ] {
            assert_eq!(micros(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
