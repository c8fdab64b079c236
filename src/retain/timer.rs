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
