//! Which partition a day belongs to: pure functions.
//!
//! A partition costs eight milliseconds once, and a lock for itself and for each of its indexes in every
//! question without a time range. A server with its default settings has some 7,000 locks. So only days that
//! people ask about have a partition of their own:
//!
//! - days within the retention, and at most [`LONGEST_BY_DAY`] of them, and the rest of the oldest month;
//! - days before them share that of their month, and from two years before them that of their year;
//! - days later than clocks explain share one, until their time comes (`carve`).
//!
//! Partitions that are there stay as they are, whatever made them: a new one takes the days between them only.

use std::time::Duration;

use chrono::{DateTime, Datelike, Days, NaiveDate};

use crate::store::answers::{DayRange, Table};

/// Days with partitions of their own: 2000-01-01 until before 2100-01-01. The others share two
/// that are always there.
pub(in crate::store) const OWN_PARTITION: DayRange = DayRange { first: 10_957, end: 47_482 };

/// The most days in the past that have a partition each. With all their indexes these are 4,400 locks.
pub(super) const LONGEST_BY_DAY: i32 = 400;

/// A time that is more days ahead is not explained by clocks and zones, which differ by a day and a bit.
pub(super) const DAYS_AHEAD: i32 = 2;

/// What decides about new partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The current day, by the clock of the server: that of a host may be wrong.
    pub(super) today: i32,
    /// How many days before it have a partition each.
    pub(super) by_day: i32,
}

/// Returns how many days have a partition each if rows stay so long; `None` is for ever.
pub(super) fn days_kept(age: Option<Duration>) -> i32 {
    let days = age.map(|age| age.as_secs().div_ceil(86_400));
    let days = days.and_then(|days| i32::try_from(days).ok());
    days.unwrap_or(LONGEST_BY_DAY).clamp(1, LONGEST_BY_DAY)
}

impl Layout {
    /// Returns the days that share a partition with this one, where there is none yet.
    pub(super) fn range(self, day: i32) -> DayRange {
        if day >= self.future() {
            let future = DayRange { first: self.future(), end: OWN_PARTITION.end };
            return future.within(OWN_PARTITION);
        }
        let oldest = self.today.saturating_sub(self.by_day);
        let month = month(day);
        if month.end > oldest {
            return DayRange::of_day(day);
        }
        match date(day).year() + 1 < date(oldest).year() {
            true => year(day),
            false => month,
        }
    }

    /// Returns the first day that is later than clocks explain.
    pub(super) fn future(self) -> i32 {
        first_of_future(self.today)
    }
}

/// Returns the first day that is later than clocks explain.
pub(super) fn first_of_future(today: i32) -> i32 {
    today.saturating_add(DAYS_AHEAD + 1)
}

/// Returns the date of a day since 1970.
pub(super) fn date(day: i32) -> NaiveDate {
    let days = Days::new(u64::try_from(day).unwrap_or(0));
    DateTime::UNIX_EPOCH.date_naive().checked_add_days(days).unwrap_or_default()
}

fn day(date: NaiveDate) -> Option<i32> {
    i32::try_from(date.signed_duration_since(DateTime::UNIX_EPOCH.date_naive()).num_days()).ok()
}

fn month(of: i32) -> DayRange {
    let (year, month) = (date(of).year(), date(of).month());
    let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    between((year, month), next).unwrap_or(DayRange::of_day(of))
}

fn year(of: i32) -> DayRange {
    let year = date(of).year();
    between((year, 1), (year + 1, 1)).unwrap_or(DayRange::of_day(of))
}

/// Returns the days from the first of one month until before the first of another.
fn between(first: (i32, u32), end: (i32, u32)) -> Option<DayRange> {
    let day = |(year, month)| day(NaiveDate::from_ymd_opt(year, month, 1)?);
    Some(DayRange { first: day(first)?, end: day(end)? })
}

/// Returns the name of the partition with these days: `gunicorn_log_20261123`, `gunicorn_log_200503`,
/// `gunicorn_log_2005`; any other has its first and its last day, `gunicorn_log_20261130_20991231`.
pub(super) fn partition(table: Table, days: DayRange) -> String {
    let (table, first) = (table.name(), date(days.first));
    if days.is_one_day() {
        format!("{table}_{}", first.format("%Y%m%d"))
    } else if days == month(days.first) {
        format!("{table}_{}", first.format("%Y%m"))
    } else if days == year(days.first) {
        format!("{table}_{}", first.format("%Y"))
    } else {
        format!("{table}_{}_{}", first.format("%Y%m%d"), date(days.end - 1).format("%Y%m%d"))
    }
}

/// Returns the days that a partition of `table` is named for.
pub(super) fn days_of(table: Table, name: &str) -> Option<DayRange> {
    let digits = name.strip_prefix(table.name())?.strip_prefix('_')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') {
        return None;
    }
    let read = |text: &str| match text.len() {
        8 => day(NaiveDate::parse_from_str(text, "%Y%m%d").ok()?),
        _ => None,
    };
    let first_of = |year: &str, month: &str| {
        day(NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1)?)
    };
    let days = match digits.split_once('_') {
        Some((first, last)) => DayRange { first: read(first)?, end: read(last)? + 1 },
        None if digits.len() == 6 => month(first_of(&digits[..4], &digits[4..])?),
        None if digits.len() == 4 => year(first_of(digits, "1")?),
        None => DayRange::of_day(read(digits)?),
    };
    let is_ours = days.first >= OWN_PARTITION.first && days.end <= OWN_PARTITION.end;
    (is_ours && days.first < days.end && partition(table, days) == name).then_some(days)
}

/// How the comment of each kind of partition begins. A detached table with this comment is dropped by a
/// sweep; a table that a person made under the same name is not.
pub(super) fn comment(table: Table, days: DayRange) -> String {
    let kind = if days.is_one_day() {
        "One day"
    } else if days == month(days.first) {
        "One month"
    } else if days == year(days.first) {
        "One year"
    } else {
        "Several days"
    };
    format!("{kind} of {}", table.name())
}

/// The comments of all kinds of partitions of a table.
pub(super) fn comments(table: Table) -> Vec<String> {
    let table = table.name();
    ["One day", "One month", "One year", "Several days"].map(|it| format!("{it} of {table}")).into()
}

/// Returns the days around `day` that none of these partitions has.
pub(super) fn gap(day: i32, taken: impl IntoIterator<Item = DayRange>) -> DayRange {
    let mut gap = OWN_PARTITION;
    for days in taken.into_iter().filter(|days| days.first < days.end) {
        if days.end <= day {
            gap.first = gap.first.max(days.end);
        } else if days.first > day {
            gap.end = gap.end.min(days.first);
        }
    }
    gap
}

/// The first moment of a day, for a partition's bounds.
pub(super) fn midnight(day: i32) -> String {
    date(day).format("%Y-%m-%d 00:00:00+00").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(text: &str) -> i32 {
        day(text.parse().unwrap()).unwrap()
    }

    fn range(first: &str, last: &str) -> DayRange {
        DayRange { first: on(first), end: on(last) + 1 }
    }

    #[test]
    fn a_partition_is_named_for_its_days_and_tells_them_again() {
        for (days, name) in [
            (range("2000-01-01", "2000-01-01"), "gunicorn_log_20000101"),
            (range("2000-02-29", "2000-02-29"), "gunicorn_log_20000229"),
            (range("2099-12-31", "2099-12-31"), "gunicorn_log_20991231"),
            (range("2000-02-01", "2000-02-29"), "gunicorn_log_200002"),
            (range("2099-12-01", "2099-12-31"), "gunicorn_log_209912"),
            (range("2005-01-01", "2005-12-31"), "gunicorn_log_2005"),
            (range("2026-11-30", "2099-12-31"), "gunicorn_log_20261130_20991231"),
            (range("2005-03-02", "2005-03-31"), "gunicorn_log_20050302_20050331"),
        ] {
            assert_eq!(partition(Table::GunicornLog, days), name);
            assert_eq!(days_of(Table::GunicornLog, name), Some(days), "{name}");
            let comment = comment(Table::GunicornLog, days);
            assert!(comments(Table::GunicornLog).contains(&comment), "{comment}");
        }
        assert_eq!(midnight(47_482), "2100-01-01 00:00:00+00");
        assert_eq!(OWN_PARTITION, range("2000-01-01", "2099-12-31"));
    }

    #[test]
    fn other_tables_have_no_days() {
        for name in [
            "gunicorn_log_before_2000",
            "gunicorn_log_from_2100",
            "gunicorn_log_2026112",
            "gunicorn_log_202613",
            "gunicorn_log_1999",
            "gunicorn_log_+026",
            "gunicorn_log_20261130_20261129",
            "gunicorn_log_20261101_20261130", // that of the month has a shorter name
            "gunicorn_log_20261123_20261123",
            "gunicorn_log_20261123_",
            "request_log_20261123",
        ] {
            assert_eq!(days_of(Table::GunicornLog, name), None, "{name}");
        }
    }

    #[test]
    fn days_that_are_kept_have_a_partition_each_and_older_ones_share_them() {
        let layout = Layout { today: on("2026-11-27"), by_day: 120 }; // until 2026-07-30
        let shared = |text: &str| layout.range(on(text)).to_string();
        for day in ["2026-11-29", "2026-11-27", "2026-07-30", "2026-07-01"] {
            assert_eq!(shared(day), day);
        }
        assert_eq!(shared("2026-06-30"), "2026-06-01 to 2026-06-30");
        assert_eq!(shared("2025-01-01"), "2025-01-01 to 2025-01-31");
        assert_eq!(shared("2024-12-31"), "2024-01-01 to 2024-12-31");
        assert_eq!(shared("2000-01-01"), "2000-01-01 to 2000-12-31");
    }

    #[test]
    fn days_later_than_clocks_explain_share_one_partition() {
        let layout = Layout { today: on("2026-11-27"), by_day: 120 };
        let future = range("2026-11-30", "2099-12-31");
        for day in ["2026-11-30", "2027-01-01", "2099-12-31"] {
            assert_eq!(layout.range(on(day)), future);
        }
        // By a clock that begins in 1970, all days are later.
        assert_eq!(Layout { today: 0, by_day: 120 }.range(on("2026-11-27")), OWN_PARTITION);
    }

    #[test]
    fn a_century_of_daily_lines_needs_few_partitions() {
        for by_day in [1, 120, 400] {
            let layout = Layout { today: on("2026-11-27"), by_day };
            let all = OWN_PARTITION.first..OWN_PARTITION.end;
            let partitions: std::collections::BTreeSet<_> =
                all.map(|it| layout.range(it)).collect();
            let expected = by_day as usize + 3 + 31 + 23 + 25 + 1;
            assert!(partitions.len() <= expected, "{} for {by_day} days", partitions.len());
            let pairs = partitions.iter().zip(partitions.iter().skip(1));
            assert!(pairs.clone().all(|(one, next)| one.end == next.first), "{partitions:?}");
        }
    }

    #[test]
    fn days_have_partitions_as_long_as_rows_stay_but_not_for_ever() {
        let days = |days: u64| days_kept(Some(Duration::from_secs(days * 86_400)));
        assert_eq!((days(120), days(3650), days_kept(None)), (120, 400, 400));
        assert_eq!(
            (days_kept(Some(Duration::from_secs(1))), days_kept(Some(Duration::MAX))),
            (1, 400)
        );
    }

    #[test]
    fn a_new_partition_takes_the_days_between_those_that_are_there() {
        let taken = [range("2005-03-04", "2005-03-04"), range("2005-03-20", "2005-04-02")];
        let between = gap(on("2005-03-10"), taken);
        assert_eq!(between, range("2005-03-05", "2005-03-19"));
        assert_eq!(gap(on("2005-03-01"), taken), range("2000-01-01", "2005-03-03"));
        assert_eq!(gap(on("2005-05-01"), taken), range("2005-04-03", "2099-12-31"));
        assert_eq!(between.within(month(on("2005-03-10"))), between);
        assert_eq!(gap(on("2005-03-10"), []), OWN_PARTITION);
    }
}
