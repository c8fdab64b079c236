//! Moments as people write them.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};

use crate::model::Micros;

/// What a moment may be, for messages: it follows "is".
pub const MOMENT_EXPECTED: &str = "not a moment: expected an age such as 15m, 1h or 7d, a day such as 2026-11-23, today or yesterday, or a \
     time such as 2026-11-23T08:41:00Z";

/// Reads an age before `now`, a time with its zone, or a time or a day in `zone`.
pub fn read_moment<Z: TimeZone>(text: &str, now: Micros, zone: &Z) -> Option<Micros> {
    let today = || Some(DateTime::from_timestamp_micros(now)?.with_timezone(zone).date_naive());
    match text {
        "now" => return Some(now),
        "today" => return at(today()?.and_time(NaiveTime::MIN), zone),
        "yesterday" => return at((today()? - Days::new(1)).and_time(NaiveTime::MIN), zone),
        _ => {}
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
            return at(time, zone);
        }
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    at(day.and_time(NaiveTime::MIN), zone)
}

/// Returns the first moment at which clocks in `zone` show this time; where they are put forward over it, an
/// hour later.
fn at<Z: TimeZone>(time: NaiveDateTime, zone: &Z) -> Option<Micros> {
    let moment = |time| zone.from_local_datetime(&time).earliest();
    // The last hour of the calendar has no next one.
    let later = || moment(time.checked_add_signed(TimeDelta::hours(1))?);
    Some(moment(time).or_else(later)?.timestamp_micros())
}

/// A duration such as `15m` or `7d`.
fn age(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|age| !age.is_zero())
}

#[cfg(test)]
mod tests {
    use chrono::{FixedOffset, Utc};

    use super::*;
    use crate::model::moment as text;

    #[test]
    fn moments_are_ages_times_and_days() {
        let now = 1_795_423_260_000_000;
        for (given, expected) in [
            ("now", "2026-11-23T08:41:00Z"),
            ("1d", "2026-11-22T08:41:00Z"),
            ("today", "2026-11-23T00:00:00Z"),
            ("yesterday", "2026-11-22T00:00:00Z"),
            ("2026-11-23T09:41:00+01:00", "2026-11-23T08:41:00Z"),
            ("2026-11-23T09:41:00 01:00", "2026-11-23T08:41:00Z"),
            ("2026-11-23T08:41:00.5", "2026-11-23T08:41:00.500Z"),
            ("2026-11-23 08:41", "2026-11-23T08:41:00Z"),
            ("2026-11-23", "2026-11-23T00:00:00Z"),
        ] {
            assert_eq!(text(read_moment(given, now, &Utc).unwrap()), expected, "{given}");
        }
        for given in ["", "0s", "-1h", "soon", "2026-02-30", "600000y"] {
            assert_eq!(read_moment(given, now, &Utc), None, "{given}");
        }
    }

    #[test]
    fn times_and_days_without_a_zone_are_those_of_the_zone() {
        let now = 1_795_423_260_000_000; // 2026-11-23 08:41:00 UTC
        let zone = FixedOffset::west_opt(9 * 3600).unwrap();
        for (given, expected) in [
            ("today", "2026-11-22T09:00:00Z"),
            ("yesterday", "2026-11-21T09:00:00Z"),
            ("2026-11-23", "2026-11-23T09:00:00Z"),
            ("2026-11-23 08:41", "2026-11-23T17:41:00Z"),
            ("2026-11-23T08:41:00Z", "2026-11-23T08:41:00Z"),
            ("2h", "2026-11-23T06:41:00Z"),
        ] {
            assert_eq!(text(read_moment(given, now, &zone).unwrap()), expected, "{given}");
        }
    }

    #[test]
    fn the_last_hours_of_the_calendar_are_moments_or_none() {
        let now = 1_795_423_260_000_000;
        for hours in [-23, 0, 23] {
            let zone = FixedOffset::east_opt(hours * 3600).unwrap();
            for given in ["+262142-12-31T23:59:59", "+262142-12-31", "-262143-01-01"] {
                let read = read_moment(given, now, &zone);
                assert!(read.is_none_or(|it| it != now), "{given} at {hours}");
            }
        }
        let west = FixedOffset::west_opt(3600).unwrap();
        assert_eq!(read_moment("+262142-12-31T23:59:59", now, &west), None);
    }
}
