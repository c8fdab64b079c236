//! What is old: pure.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::model::Micros;
use crate::store::Table;

/// How long rows stay; for ever is longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retention {
    /// At least this long, counted from the row's own time.
    For(Duration),
    /// For ever.
    Off,
}

impl Retention {
    /// Of counts by minute and hour: 400 days, so that a month can be held against the one of the
    /// year before.
    pub const ROLLUP: Retention = Retention::For(Duration::from_secs(400 * 86_400));

    /// 120 days.
    pub const DEFAULT: Retention = Retention::For(Duration::from_secs(120 * 86_400));

    /// The time before which rows leave, `None` if all stay.
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

/// A retention that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{given}' is no retention: expected a duration above zero such as 120d or 36h, or off")]
pub struct RetentionError {
    given: String,
}

impl FromStr for Retention {
    type Err = RetentionError;

    fn from_str(text: &str) -> Result<Retention, RetentionError> {
        if text.trim().eq_ignore_ascii_case("off") {
            return Ok(Retention::Off);
        }
        // "0" would delete every row at once: nobody means that by a retention.
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
                // humantime counts months; people write days.
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

/// Which tables a sweep visits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogType {
    /// All of them.
    #[default]
    All,
    /// `request_log`.
    Request,
    /// `gunicorn_log` and the rejects of its files.
    Gunicorn,
}

impl LogType {
    /// Its tables.
    pub fn tables(self) -> &'static [Table] {
        match self {
            LogType::All => &Table::ALL,
            LogType::Request => &[Table::RequestLog],
            LogType::Gunicorn => &[Table::GunicornLog, Table::RejectedLine],
        }
    }
}

#[cfg(test)]
mod tests {
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
    fn what_would_delete_everything_or_means_nothing_is_refused() {
        for text in ["0", "0d", "", "-3d", "120", "forever"] {
            let error = text.parse::<Retention>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("'{text}' is no retention")), "{error}");
        }
    }
}
