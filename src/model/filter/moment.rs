//! Moments as people write them.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use crate::model::Micros;

pub(super) const EXPECTED: &str = "no moment: expected an age such as 15m, 1h or 7d, or a time in \
                                   UTC such as 2026-11-23T08:41:00Z or 2026-11-23";

/// An age before `now`, a time with its zone, or a time or a day in UTC.
pub(super) fn read(text: &str, now: Micros) -> Option<Micros> {
    if text == "now" {
        return Some(now);
    }
    if let Some(age) = age(text) {
        let age = i64::try_from(age.as_micros()).ok()?;
        return now.checked_sub(age);
    }
    // A plus in a query string is a space, unless it was escaped.
    let time = text.replacen(' ', if text.contains('T') { "+" } else { "T" }, 1);
    if let Ok(time) = DateTime::parse_from_rfc3339(&time) {
        return Some(time.timestamp_micros());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(&time, format) {
            return Some(time.and_utc().timestamp_micros());
        }
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros())
}

/// A duration such as `15m` or `7d`.
fn age(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|age| !age.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::moment as text;

    #[test]
    fn moments_are_ages_times_and_days() {
        let now = 1_795_423_260_000_000;
        for (given, expected) in [
            ("now", "2026-11-23T08:41:00Z"),
            ("1d", "2026-11-22T08:41:00Z"),
            ("2026-11-23T09:41:00+01:00", "2026-11-23T08:41:00Z"),
            ("2026-11-23T09:41:00 01:00", "2026-11-23T08:41:00Z"),
            ("2026-11-23T08:41:00.5", "2026-11-23T08:41:00.500Z"),
            ("2026-11-23 08:41", "2026-11-23T08:41:00Z"),
            ("2026-11-23", "2026-11-23T00:00:00Z"),
        ] {
            assert_eq!(text(read(given, now).unwrap()), expected, "{given}");
        }
        for given in ["", "0s", "-1h", "soon", "2026-02-30", "600000y"] {
            assert_eq!(read(given, now), None, "{given}");
        }
    }
}
