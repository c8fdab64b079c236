//! The time atom: `[23/Nov/2026:14:23:17 +0530]`.
//!
//! Gunicorn writes it with `time.strftime('[%d/%b/%Y:%H:%M:%S %z]')` in the C locale, so every part
//! has a fixed width and the month is one of twelve English words.

use std::cell::Cell;

use nom::IResult;
use nom::Parser;
use nom::bytes::complete::take;
use nom::combinator::map_opt;

use crate::model::Micros;

const LENGTH: usize = 28;

/// Where digits and the bytes around them stand; the month and the sign are looked at by themselves.
const SHAPE: [u8; LENGTH] = *b"[00/???/0000:00:00:00 ?0000]";

/// How far a byte may be from its [`SHAPE`] when the two are put together by exclusive or: that of
/// `0` and a digit is the digit, that of `0` and any other byte is more than 9.
const MOST: [u8; LENGTH] = {
    let mut most = [0; LENGTH];
    let mut nth = 0;
    while nth < LENGTH {
        most[nth] = match SHAPE[nth] {
            b'0' => 9,
            b'?' => u8::MAX,
            _ => 0,
        };
        nth += 1;
    }
    most
};

/// Reads a time with its brackets. Years 1970 to 9999, days that the calendar has, offsets up to
/// ±15:59 as PostgreSQL allows them; a leap second (`:60`) is refused, since neither database
/// could give it back.
pub(super) fn time(input: &[u8]) -> IResult<&[u8], Micros> {
    map_opt(take(LENGTH), value).parse(input)
}

fn value(text: &[u8]) -> Option<Micros> {
    let text: &[u8; LENGTH] = text.try_into().ok()?;
    let minute = words(text);
    let second = second(text)?;
    let recent = RECENT.get();
    if recent.text == minute {
        return Some(recent.value + second * 1_000_000);
    }
    let value = whole(text)?;
    RECENT.set(Recent { text: minute, value: value - second * 1_000_000 });
    Some(value)
}

/// A minute that was read, and the text of its times but for the seconds.
#[derive(Clone, Copy)]
struct Recent {
    text: [u64; 4],
    value: Micros,
}

thread_local! {
    /// The minute that this thread read last. Lines next to each other are nearly always of the same
    /// one, and then only the seconds are to be read, which takes a quarter of the steps.
    static RECENT: Cell<Recent> =
        const { Cell::new(Recent { text: words(b"[01/Jan/1970:00:00:00 +0000]"), value: 0 }) };
}

/// All bytes of a time but the two of the seconds.
#[inline]
const fn words(text: &[u8; LENGTH]) -> [u64; 4] {
    const SECONDS: u128 = 0xffff << (3 * 8); // bytes 19 and 20, from byte 16 on
    let [a, b, c, d, e, f, g, h, rest @ ..] = *text;
    let first = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let [a, b, c, d, e, f, g, h, rest @ ..] = rest;
    let second = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let [a, b, c, d, e, f, g, h, i, j, k, l] = rest;
    let rest = u128::from_le_bytes([a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 0]) & !SECONDS;
    [first, second, rest as u64, (rest >> 64) as u64]
}

#[inline]
fn second(text: &[u8; LENGTH]) -> Option<i64> {
    let (tens, ones) = (text[19].wrapping_sub(b'0'), text[20].wrapping_sub(b'0'));
    (tens < 6 && ones < 10).then(|| i64::from(tens * 10 + ones))
}

/// Reads every byte.
#[inline(never)]
fn whole(text: &[u8; LENGTH]) -> Option<Micros> {
    // All bytes at once and without a branch, which compiles to a few vector instructions: a digit
    // becomes its value and a byte of the frame 0, or more than there may be.
    let mut values = [0; LENGTH];
    let mut whole = true;
    for (nth, value) in values.iter_mut().enumerate() {
        *value = text[nth] ^ SHAPE[nth];
        whole &= *value <= MOST[nth];
    }
    if !whole {
        return None;
    }
    let two = |at: usize| i64::from(values[at] * 10 + values[at + 1]);
    let year = two(8) * 100 + two(10);
    let month = month([text[4], text[5], text[6]])?;
    let day = two(1);
    let (hour, minute, second) = (two(13), two(16), two(19));
    let (offset_hours, offset_minutes) = (two(23), two(25));
    if year < 1970
        || day < 1
        || day > days_in(year, month)
        || hour > 23
        || minute > 59
        || second > 59
        || offset_hours > 15
        || offset_minutes > 59
    {
        return None;
    }
    let offset = (offset_hours * 60 + offset_minutes) * 60;
    let east = match text[22] {
        b'+' => offset,
        b'-' => -offset,
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some((seconds - east) * 1_000_000)
}

fn month(name: [u8; 3]) -> Option<i64> {
    Some(match &name {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    })
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar; `year` is at least 1970. A year is counted from
/// March, so that the leap day is its last and month lengths follow one line: (153m + 2) / 5.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_TO_1970: i64 = 719_468; // from 0000-03-01
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - DAYS_TO_1970
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn read(text: &str) -> Option<Micros> {
        time(text.as_bytes()).ok().map(|(_, value)| value)
    }

    #[test]
    fn agrees_with_chrono_on_every_day_until_2400_and_at_the_ends() {
        let mut seconds = 0;
        while seconds < 13_600_000_000 {
            let then = DateTime::from_timestamp(seconds, 0).unwrap();
            let text = then.format("[%d/%b/%Y:%H:%M:%S +0000]").to_string();
            assert_eq!(read(&text), Some(seconds * 1_000_000), "{text}");
            seconds += 86_400 + 3_601;
        }
        assert_eq!(read("[01/Jan/1970:00:00:00 +0000]"), Some(0));
        assert_eq!(read("[31/Dec/9999:23:59:59 +0000]"), Some(253_402_300_799_000_000));
    }

    #[test]
    fn a_time_is_the_same_whatever_was_read_before_it() {
        let text = *b"[28/Feb/2024:09:59:18 +0530]";
        for at in 0..LENGTH {
            for byte in 0..=u8::MAX {
                let mut other = text;
                other[at] = byte;
                assert!(value(&text).is_some());
                assert_eq!(value(&other), whole(&other), "{}", other.escape_ascii());
                assert_eq!(value(&other), whole(&other), "{}", other.escape_ascii());
            }
        }
    }

    #[test]
    fn offsets_lead_to_utc() {
        let utc = read("[23/Nov/2026:08:53:17 +0000]");
        assert!(utc.is_some());
        assert_eq!(read("[23/Nov/2026:14:23:17 +0530]"), utc);
        assert_eq!(read("[22/Nov/2026:20:53:17 -1200]"), utc);
    }

    #[test]
    fn only_days_and_times_that_exist_are_read() {
        assert!(read("[29/Feb/2024:00:00:00 +0000]").is_some());
        assert!(read("[29/Feb/2000:00:00:00 +0000]").is_some());
        for wrong in [
            "[29/Feb/2026:00:00:00 +0000]",
            "[29/Feb/2100:00:00:00 +0000]",
            "[31/Apr/2026:00:00:00 +0000]",
            "[00/Jan/2026:00:00:00 +0000]",
            "[01/Foo/2026:00:00:00 +0000]",
            "[01/jan/2026:00:00:00 +0000]",
            "[01/Jan/1969:00:00:00 +0000]",
            "[01/Jan/2026:24:00:00 +0000]",
            "[01/Jan/2026:00:60:00 +0000]",
            "[01/Jan/2026:00:00:60 +0000]",
            "[01/Jan/2026:00:00:00 +1600]",
            "[01/Jan/2026:00:00:00 +0060]",
            "[01/Jan/2026:00:00:00  0000]",
            "[ 1/Jan/2026:00:00:00 +0000]",
            "[01/Jan/2026:00:00:00 +0000",
            "",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
