//! What is old, and when the daily sweep is due. Pure functions.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveTime, TimeZone, Utc};

use crate::model::Micros;
use crate::store::Table;

/// How long rows stay. The longest is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retention {
    /// Rows stay at least this long, counted from their own time.
    For(Duration),
    /// Rows stay for ever.
    Off,
}

impl Retention {
    /// Default for the counts by minute and hour: 400 days, so that a month can be compared with the
    /// same month of the year before.
    pub const ROLLUP: Retention = Retention::For(Duration::from_secs(400 * 86_400));

    /// Default for rows: 120 days.
    pub const DEFAULT: Retention = Retention::For(Duration::from_secs(120 * 86_400));

    /// Returns how long rows stay at least; `None` is for ever.
    pub fn age(self) -> Option<Duration> {
        match self {
            Retention::Off => None,
            Retention::For(age) => Some(age),
        }
    }

    /// Returns the time before which rows are removed; `None` if all stay.
    pub fn cutoff(self, now: Micros) -> Option<Micros> {
        match self {
            Retention::Off => None,
            Retention::For(age) => {
                let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
                Some(now.saturating_sub(age))
            }
        }
    }
}

/// An invalid retention.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid retention '{given}': expected a duration above zero such as 120d or 36h, or off")]
pub struct RetentionError {
    given: String,
}

impl FromStr for Retention {
    type Err = RetentionError;

    fn from_str(text: &str) -> Result<Retention, RetentionError> {
        if text.trim().eq_ignore_ascii_case("off") {
            return Ok(Retention::Off);
        }
        // "0" would delete every row at once, which is never what a retention is set for.
        match humantime::parse_duration(text.trim()) {
            Ok(age) if !age.is_zero() => Ok(Retention::For(age)),
            _ => Err(RetentionError { given: text.to_owned() }),
        }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Retention::Off => f.write_str("off"),
            Retention::For(age) => {
                // humantime would print months; settings use days.
                let seconds = age.as_secs();
                if seconds > 0 && seconds.is_multiple_of(86_400) && age.subsec_nanos() == 0 {
                    write!(f, "{}d", seconds / 86_400)
                } else {
                    write!(f, "{}", humantime::format_duration(*age))
                }
            }
        }
    }
}

/// The tables that a sweep covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogType {
    /// All tables.
    #[default]
    All,
    /// `request_log`.
    Request,
    /// `gunicorn_log` and the rejects of its files.
    Gunicorn,
}

impl LogType {
    /// Returns the tables.
    pub fn tables(self) -> &'static [Table] {
        match self {
            LogType::All => &Table::ALL,
            LogType::Request => &[Table::RequestLog],
            LogType::Gunicorn => &[Table::GunicornLog, Table::RejectedLine],
        }
    }
}

/// A time of day on the server's clock, such as 03:30.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepTime(NaiveTime);

/// An invalid time of day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid time of day '{given}': expected hours and minutes such as 03:30")]
pub struct SweepTimeError {
    given: String,
}

impl FromStr for SweepTime {
    type Err = SweepTimeError;

    fn from_str(text: &str) -> Result<SweepTime, SweepTimeError> {
        NaiveTime::parse_from_str(text.trim(), "%H:%M")
            .map(SweepTime)
            .map_err(|_| SweepTimeError { given: text.to_owned() })
    }
}

impl fmt::Display for SweepTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%H:%M"))
    }
}

/// Returns the first moment after `now` at which the local clock shows `at`.
///
/// There is one such moment a day, also when clocks change. If the clock skips `at` (02:30 when it
/// goes from 02:00 to 03:00), the moment is as long after the gap's start as without the change. If
/// the clock shows `at` twice, it is the first of both.
pub fn next_sweep<Z: TimeZone>(now: &DateTime<Z>, at: SweepTime) -> DateTime<Utc> {
    let zone = now.timezone();
    let today = now.naive_local().date();
    // Two days ahead: a zone that moves by a whole day skips a date.
    let days = (0..=2).filter_map(|ahead| today.checked_add_days(Days::new(ahead)));
    let moments = days.filter_map(|day| moment(&zone, day.and_time(at.0)));
    let mut later = moments.filter(|moment| *moment > now.to_utc());
    later.next().unwrap_or_else(|| now.to_utc() + chrono::TimeDelta::days(1))
}

/// Returns the moment at which the local clock shows `local`.
fn moment<Z: TimeZone>(zone: &Z, local: chrono::NaiveDateTime) -> Option<DateTime<Utc>> {
    if let Some(moment) = zone.from_local_datetime(&local).earliest() {
        return Some(moment.to_utc());
    }
    // In a gap the time is read with the offset of three hours earlier, before the change.
    let before = local.checked_sub_signed(chrono::TimeDelta::hours(3))?;
    let before = zone.from_local_datetime(&before).earliest()?;
    before.checked_add_signed(chrono::TimeDelta::hours(3)).map(|moment| moment.to_utc())
}

#[cfg(test)]
mod tests {
    use chrono::{FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, TimeDelta};

    use super::*;

    const DAY_US: i64 = 86_400_000_000;

    #[test]
    fn the_cutoff_lies_one_retention_before_now() {
        let policy: Retention = "120d".parse().unwrap();
        assert_eq!(policy.cutoff(200 * DAY_US), Some(80 * DAY_US));
        assert_eq!(policy.cutoff(0), Some(-120 * DAY_US));
        assert_eq!(Retention::Off.cutoff(200 * DAY_US), None);
        assert_eq!(Retention::For(Duration::MAX).cutoff(0), Some(-i64::MAX));
    }

    #[test]
    fn a_retention_is_a_human_duration_or_off() {
        assert_eq!("120d".parse(), Ok(Retention::DEFAULT));
        assert_eq!("36h".parse(), Ok(Retention::For(Duration::from_secs(36 * 3600))));
        assert_eq!(" OFF ".parse(), Ok(Retention::Off));
        assert_eq!(Retention::DEFAULT.to_string(), "120d");
        assert_eq!("36h".parse::<Retention>().unwrap().to_string(), "1day 12h");
    }

    #[test]
    fn a_retention_of_zero_or_without_meaning_is_refused() {
        for text in ["0", "0d", "", "-3d", "120", "forever"] {
            let error = text.parse::<Retention>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("invalid retention '{text}'")), "{error}");
        }
    }

    /// Central European Time in 2026: clocks go forward on 29 March and back on 25 October, at
    /// 01:00 UTC both.
    #[derive(Clone, Copy, Debug)]
    struct Berlin;

    fn summer(utc: &NaiveDateTime) -> bool {
        let at =
            |month, day| NaiveDate::from_ymd_opt(2026, month, day).unwrap().and_hms_opt(1, 0, 0);
        *utc >= at(3, 29).unwrap() && *utc < at(10, 25).unwrap()
    }

    fn hours(hours: i32) -> FixedOffset {
        FixedOffset::east_opt(hours * 3600).unwrap()
    }

    impl TimeZone for Berlin {
        type Offset = FixedOffset;

        fn from_offset(_: &FixedOffset) -> Berlin {
            Berlin
        }
        fn offset_from_local_date(&self, _: &NaiveDate) -> MappedLocalTime<FixedOffset> {
            MappedLocalTime::None
        }
        fn offset_from_local_datetime(
            &self,
            local: &NaiveDateTime,
        ) -> MappedLocalTime<FixedOffset> {
            let in_summer = summer(&(*local - TimeDelta::hours(2)));
            let in_winter = !summer(&(*local - TimeDelta::hours(1)));
            match (in_summer, in_winter) {
                (true, true) => MappedLocalTime::Ambiguous(hours(2), hours(1)),
                (true, false) => MappedLocalTime::Single(hours(2)),
                (false, true) => MappedLocalTime::Single(hours(1)),
                (false, false) => MappedLocalTime::None,
            }
        }
        fn offset_from_utc_date(&self, _: &NaiveDate) -> FixedOffset {
            hours(1)
        }
        fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> FixedOffset {
            hours(if summer(utc) { 2 } else { 1 })
        }
    }

    fn next(now: &str, at: &str) -> String {
        let now: DateTime<Utc> = now.parse().unwrap();
        let next = next_sweep(&now.with_timezone(&Berlin), at.parse().unwrap());
        next.format("%m-%d %H:%M").to_string()
    }

    #[test]
    fn a_sweep_is_due_at_its_time_today_or_else_tomorrow() {
        assert_eq!(next("2026-11-23T01:00:00Z", "03:30"), "11-23 02:30");
        assert_eq!(next("2026-11-23T02:29:59Z", "03:30"), "11-23 02:30");
        assert_eq!(next("2026-11-23T02:30:00Z", "03:30"), "11-24 02:30");
        assert_eq!(next("2026-07-01T12:00:00Z", "03:30"), "07-02 01:30");
        assert_eq!(next("2026-12-31T23:30:00Z", "00:15"), "01-01 23:15");
    }

    #[test]
    fn a_time_that_the_clock_skips_is_due_after_the_gap() {
        assert_eq!(next("2026-03-28T12:00:00Z", "02:30"), "03-29 01:30"); // 03:30 on the clock
        assert_eq!(next("2026-03-29T01:30:00Z", "02:30"), "03-30 00:30");
    }

    #[test]
    fn a_time_that_the_clock_shows_twice_is_due_once() {
        assert_eq!(next("2026-10-24T12:00:00Z", "02:30"), "10-25 00:30"); // the first 02:30
        assert_eq!(next("2026-10-25T00:30:00Z", "02:30"), "10-26 01:30");
        assert_eq!(next("2026-10-25T01:10:00Z", "02:30"), "10-26 01:30"); // between the two
    }

    #[test]
    fn an_invalid_time_of_day_is_refused() {
        for text in ["24:00", "3", "03:60", "", "3.30"] {
            let error = text.parse::<SweepTime>().unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
        assert_eq!("03:30".parse::<SweepTime>().unwrap().to_string(), "03:30");
    }
}
