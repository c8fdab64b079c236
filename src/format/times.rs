//! Times in other forms than Gunicorn's own. Each function reads a time at the beginning of a text, and
//! returns it with the rest. A time without a zone is taken as UTC.

use chrono::NaiveDate;

use crate::model::Micros;

/// A time, and the text after it.
pub(super) type Found<'a> = Option<(Micros, &'a [u8])>;

/// One of the functions of this module.
pub(super) type Reader = fn(&[u8]) -> Found<'_>;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

const DAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];

/// Reads `23/Nov/2026:08:41:00 +0000`. A space may stand before the hour, as Django's own server
/// writes it, and the zone may be missing.
pub(super) fn clf(input: &[u8]) -> Found<'_> {
    let (day, rest) = digits(input, 2)?;
    let rest = rest.strip_prefix(b"/")?;
    let (month, rest) = month(rest)?;
    let (year, rest) = digits(rest.strip_prefix(b"/")?, 4)?;
    let (b':' | b' ', rest) = rest.split_first()? else { return None };
    let (clock, rest) = clock(rest)?;
    let (offset, rest) = zone(rest);
    Some((moment(year, month, day, clock, 0, offset)?, rest))
}

/// Reads `2026-11-23T08:41:00.123456+00:00`, with a space in place of the `T`, a comma before the
/// fraction, or a space before the zone. The fraction and the zone may be missing.
pub(super) fn iso(input: &[u8]) -> Found<'_> {
    let (year, rest) = digits(input, 4)?;
    let (month, rest) = digits(rest.strip_prefix(b"-")?, 2)?;
    let (day, rest) = digits(rest.strip_prefix(b"-")?, 2)?;
    let (b'T' | b' ', rest) = rest.split_first()? else { return None };
    let (clock, rest) = clock(rest)?;
    let (micros, rest) = fraction(rest);
    let (offset, rest) = zone(rest);
    Some((moment(year, month, day, clock, micros, offset)?, rest))
}

/// Reads seconds since 1970, of the years 2001 to 9999, with or without a fraction.
pub(super) fn epoch(input: &[u8]) -> Found<'_> {
    let length = input.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(10..=12).contains(&length) {
        return None;
    }
    let (seconds, rest) = digits(input, length)?;
    let (micros, rest) = fraction(rest);
    (seconds < 253_402_300_800).then(|| (seconds * 1_000_000 + micros, rest))
}

/// Reads `Mon Nov 23 08:41:00 2026`.
pub(super) fn ctime(input: &[u8]) -> Found<'_> {
    let (weekday, rest) = input.split_at_checked(3)?;
    DAYS.iter().find(|name| name.as_slice() == weekday)?;
    let (month, rest) = month(rest.strip_prefix(b" ")?)?;
    let rest = rest.strip_prefix(b" ")?;
    let (day, rest) = match rest.strip_prefix(b" ") {
        Some(rest) => digits(rest, 1)?,
        None => digits(rest, 2)?,
    };
    let (clock, rest) = clock(rest.strip_prefix(b" ")?)?;
    let (year, rest) = digits(rest.strip_prefix(b" ")?, 4)?;
    Some((moment(year, month, day, clock, 0, 0)?, rest))
}

/// Returns the length of `Nov 23 08:41:00`, as the older syslog writes a time: without a year, so that
/// it is not a moment.
pub(super) fn syslog_length(input: &[u8]) -> Option<usize> {
    let (_, rest) = month(input)?;
    let rest = rest.strip_prefix(b" ")?;
    let (_, rest) = match rest.strip_prefix(b" ") {
        Some(rest) => digits(rest, 1)?,
        None => digits(rest, 2)?,
    };
    let (_, rest) = clock(rest.strip_prefix(b" ")?)?;
    Some(input.len() - rest.len())
}

/// Returns whether the first time in a line says its zone; `None` without a time.
pub(super) fn says_zone(line: &[u8]) -> Option<bool> {
    let begins = |at: &usize| *at == 0 || !line[at - 1].is_ascii_alphanumeric();
    let time = |at: usize| {
        let text = &line[at..];
        let (_, rest) = clf(text).or_else(|| iso(text)).or_else(|| ctime(text))?;
        Some(&text[..text.len() - rest.len()])
    };
    let found = (0..line.len()).filter(begins).find_map(time)?;
    // Of `2026-11-23T08:41:00` only the date has signs.
    let end = &found[found.len() - 6..];
    Some(end.ends_with(b"Z") || end.iter().any(|byte| matches!(byte, b'+' | b'-')))
}

fn digits(input: &[u8], count: usize) -> Option<(i64, &[u8])> {
    let (text, rest) = input.split_at_checked(count)?;
    let all = text.iter().all(u8::is_ascii_digit);
    all.then(|| (text.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')), rest))
}

fn month(input: &[u8]) -> Option<(i64, &[u8])> {
    let (name, rest) = input.split_at_checked(3)?;
    Some(((1..).zip(MONTHS).find(|(_, known)| known.as_slice() == name)?.0, rest))
}

/// Reads `08:41:00` to seconds.
fn clock(input: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = digits(input, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(b":")?, 2)?;
    let (second, rest) = digits(rest.strip_prefix(b":")?, 2)?;
    let exists = hour < 24 && minute < 60 && second < 60;
    exists.then_some((hour * 3_600 + minute * 60 + second, rest))
}

/// Reads `.123456` or `,123` to microseconds; nothing without a fraction.
fn fraction(input: &[u8]) -> (i64, &[u8]) {
    let [b'.' | b',', rest @ ..] = input else { return (0, input) };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return (0, input);
    }
    let digit = |at: usize| rest[..length].get(at).map_or(0, |digit| i64::from(digit - b'0'));
    ((0..6).fold(0, |sum, at| sum * 10 + digit(at)), &rest[length..])
}

/// Reads `Z`, `+0530` or `+05:30`, also after a space, to the seconds ahead of UTC.
fn zone(input: &[u8]) -> (i64, &[u8]) {
    if let Some(rest) = input.strip_prefix(b"Z") {
        return (0, rest);
    }
    let after = input.strip_prefix(b" ").unwrap_or(input);
    let read = || {
        let (sign, rest) = after.split_first()?;
        let (hours, rest) = digits(rest, 2)?;
        let (minutes, rest) = digits(rest.strip_prefix(b":").unwrap_or(rest), 2)?;
        let ahead = hours * 3_600 + minutes * 60;
        let ends = rest.first().is_none_or(|byte| !byte.is_ascii_digit());
        match sign {
            b'+' if hours < 16 && ends => Some((ahead, rest)),
            b'-' if hours < 16 && ends => Some((-ahead, rest)),
            _ => None,
        }
    };
    read().unwrap_or((0, input))
}

fn moment(year: i64, month: i64, day: i64, clock: i64, micros: i64, offset: i64) -> Option<Micros> {
    let part = |number: i64| u32::try_from(number).ok();
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, part(month)?, part(day)?)?;
    let seconds = i64::from(date.to_epoch_days()) * 86_400 + clock - offset;
    (0..253_402_300_800).contains(&seconds).then(|| seconds * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: Micros = 1_795_423_997_000_000; // 2026-11-23 08:53:17 UTC

    #[test]
    fn each_form_is_read_to_its_end() {
        let cases: [(Reader, &str, &str); 11] = [
            (clf, "23/Nov/2026:08:53:17 +0000] x", "] x"),
            (clf, "23/Nov/2026:14:23:17 +0530", ""),
            (clf, "23/Nov/2026 08:53:17] x", "] x"),
            (clf, "23/Nov/2026:08:53:17", ""),
            (iso, "2026-11-23T08:53:17Z x", " x"),
            (iso, "2026-11-23 14:23:17 +0530] x", "] x"),
            (iso, "2026-11-23T03:53:17-05:00", ""),
            (iso, "2026-11-23 08:53:17 127.0.0.1", " 127.0.0.1"),
            (epoch, "1795423997 x", " x"),
            (epoch, "1795423997.000", ""),
            (ctime, "Mon Nov 23 08:53:17 2026]", "]"),
        ];
        for (read, text, rest) in cases {
            assert_eq!(read(text.as_bytes()), Some((THEN, rest.as_bytes())), "{text}");
        }
        assert_eq!(iso(b"2026-11-23 08:53:17,123 INFO"), Some((THEN + 123_000, &b" INFO"[..])));
        assert_eq!(syslog_length(b"Nov 23 08:53:17 web"), Some(15));
        assert_eq!(syslog_length(b"Nov  3 08:53:17 web"), Some(15));
    }

    #[test]
    fn only_times_that_exist_are_read() {
        for wrong in ["31/Apr/2026:00:00:00", "01/Foo/2026:00:00:00", "01/Jan/2026:24:00:00", ""] {
            assert_eq!(clf(wrong.as_bytes()), None, "{wrong}");
        }
        for wrong in
            ["2026-02-29T00:00:00Z", "2026-11-23", "2026-11-23T08:53", "1969-12-31T00:00:00Z"]
        {
            assert_eq!(iso(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(epoch(b"543 1200"), None);
        assert_eq!(ctime(b"Xyz Nov 23 08:53:17 2026"), None);
    }

    #[test]
    fn a_time_says_its_zone_or_not() {
        for (line, says) in [
            (r#"1.1.1.1 - - [23/Nov/2026:08:41:00 +0000] "GET / HTTP/1.1""#, Some(true)),
            (r#"1.1.1.1 - - [23/Nov/2026:08:41:00] "GET / HTTP/1.1""#, Some(false)),
            ("2026-11-23T08:41:00.123Z GET", Some(true)),
            ("2026-11-23 08:41:00,123 +05:30 GET", Some(true)),
            ("[2026-11-23 08:41:00,123] GET", Some(false)),
            ("[Mon Nov 23 08:41:00 2026] GET", Some(false)),
            ("GET / HTTP/1.1", None),
        ] {
            assert_eq!(says_zone(line.as_bytes()), says, "{line}");
        }
    }
}
