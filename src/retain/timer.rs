//! When the daily sweep is due: pure.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Days, NaiveTime, TimeZone, Utc};

/// A time of day on the server's clock, such as 03:30.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepTime(NaiveTime);

/// A time of day that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{given}' is no time of day: expected hours and minutes such as 03:30")]
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

/// The first moment after `now` at which the clock shows `at`: once a day, also when clocks change.
///
/// On the day that skips `at` (02:30 when clocks go from 02:00 to 03:00) it is as long after the
/// gap's beginning as it would have been; on the day that shows it twice, it is the first of both.
pub fn next_sweep<Z: TimeZone>(now: &DateTime<Z>, at: SweepTime) -> DateTime<Utc> {
    let zone = now.timezone();
    let today = now.naive_local().date();
    // Tomorrow's may be wanted, and a zone that moves by a whole day can skip one.
    let days = (0..=2).filter_map(|ahead| today.checked_add_days(Days::new(ahead)));
    let moments = days.filter_map(|day| moment(&zone, day.and_time(at.0)));
    let mut later = moments.filter(|moment| *moment > now.to_utc());
    later.next().unwrap_or_else(|| now.to_utc() + chrono::TimeDelta::days(1))
}

fn moment<Z: TimeZone>(zone: &Z, local: chrono::NaiveDateTime) -> Option<DateTime<Utc>> {
    if let Some(moment) = zone.from_local_datetime(&local).earliest() {
        return Some(moment.to_utc());
    }
    // In the gap: read the clock as if it had not been moved, by the offset of three hours before.
    let before = local.checked_sub_signed(chrono::TimeDelta::hours(3))?;
    let before = zone.from_local_datetime(&before).earliest()?;
    before.checked_add_signed(chrono::TimeDelta::hours(3)).map(|moment| moment.to_utc())
}

#[cfg(test)]
mod tests {
    use chrono::{FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, TimeDelta};

    use super::*;

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
    fn a_time_that_the_clock_skips_comes_as_late_as_it_would_have() {
        assert_eq!(next("2026-03-28T12:00:00Z", "02:30"), "03-29 01:30"); // 03:30 on the clock
        assert_eq!(next("2026-03-29T01:30:00Z", "02:30"), "03-30 00:30");
    }

    #[test]
    fn a_time_that_the_clock_shows_twice_comes_once() {
        assert_eq!(next("2026-10-24T12:00:00Z", "02:30"), "10-25 00:30"); // the first 02:30
        assert_eq!(next("2026-10-25T00:30:00Z", "02:30"), "10-26 01:30");
        assert_eq!(next("2026-10-25T01:10:00Z", "02:30"), "10-26 01:30"); // between the two
    }

    #[test]
    fn what_is_no_time_of_day_is_refused() {
        for text in ["24:00", "3", "03:60", "", "3.30"] {
            let error = text.parse::<SweepTime>().unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
        assert_eq!("03:30".parse::<SweepTime>().unwrap().to_string(), "03:30");
    }
}
