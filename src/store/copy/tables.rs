//! The tables that a copy moves, with all of their columns, and what it leaves out. A test compares both
//! with what the databases have.

use std::fmt;

use crate::model::Micros;
use crate::model::columns::{Column, Encoding, GUNICORN_LOG, REJECTED_LINE, REQUEST_LOG};
use crate::store::answers::{DayRange, Table};
use crate::store::postgres::{self, OWN_PARTITION};
use crate::store::sql::Dialect;
use crate::store::sqlite::clock;

const DAY_US: Micros = 86_400_000_000;

/// A table that is copied.
#[derive(Debug, PartialEq, Eq)]
pub struct CopyTable {
    /// Its name in SQL.
    pub name: &'static str,
    /// The columns that are copied.
    pub columns: &'static [Column],
    /// The column by whose UTC days it is copied; `None` for a table that is copied as a whole.
    pub(super) time: Option<&'static str>,
    /// What orders the rows of a part: unique, and the same in both databases.
    pub(super) order: &'static str,
    /// Which table of lines it is: those have partitions.
    pub(in crate::store) lines: Option<Table>,
}

impl CopyTable {
    /// Returns the column by whose days it is copied.
    pub(in crate::store) fn time_column(&self) -> Option<&'static str> {
        self.time
    }
}

/// The tables, in the order in which they are copied. The ledger is the last one: without it no daemon
/// finds a file that it knows.
pub static COPY_TABLES: [CopyTable; 10] = [
    CopyTable {
        name: "gunicorn_log",
        columns: GUNICORN_LOG,
        time: Some("timestamp"),
        order: "timestamp, id",
        lines: Some(Table::GunicornLog),
    },
    CopyTable {
        name: "request_log",
        columns: REQUEST_LOG,
        time: Some("timestamp"),
        order: "timestamp, id",
        lines: Some(Table::RequestLog),
    },
    CopyTable {
        name: "rejected_line",
        columns: REJECTED_LINE,
        time: Some("rejected_at"),
        order: "rejected_at, log_file, log_offset",
        lines: Some(Table::RejectedLine),
    },
    CopyTable {
        name: "gunicorn_minute",
        columns: &counts("minute"),
        time: Some("minute"),
        order: "minute, log_file",
        lines: None,
    },
    CopyTable {
        name: "gunicorn_hour",
        columns: &counts("hour"),
        time: Some("hour"),
        order: "hour, log_file",
        lines: None,
    },
    CopyTable {
        name: "gunicorn_route_hour",
        columns: &counts_of_routes("hour"),
        time: Some("hour"),
        order: "hour, log_file, route",
        lines: None,
    },
    CopyTable {
        name: "gunicorn_route_day",
        columns: &counts_of_routes("day"),
        time: Some("day"),
        order: "day, log_file, route",
        lines: None,
    },
    CopyTable { name: "sweep", columns: SWEEP, time: None, order: "id", lines: None },
    CopyTable { name: "ignored_file", columns: IGNORED_FILE, time: None, order: "id", lines: None },
    CopyTable { name: "log_file", columns: LOG_FILE, time: None, order: "id", lines: None },
];

/// Tables whose ids come from a sequence, where they are not given.
pub(in crate::store) const WITH_SEQUENCE: [&str; 3] = ["sweep", "ignored_file", "log_file"];

/// Tables and columns that are not copied, and why.
pub const NOT_COPIED: [(&str, &str); 3] = [
    ("_sqlx_migrations", "each database has the history of its own schema"),
    ("log_file.owner", "no process holds a file of the other database"),
    ("log_file.writer", "names a session of the one server; SQLite does not have it"),
];

/// The columns of counts by this period.
const fn counts(period: &'static str) -> [Column; 10] {
    use Encoding::{Int4, Int8, Int8s, Time};
    [
        Column::new(period, Time),
        Column::new("log_file", Int4),
        Column::new("informational", Int8),
        Column::new("successful", Int8),
        Column::new("redirection", Int8),
        Column::new("client_error", Int8),
        Column::new("server_error", Int8),
        Column::new("other", Int8),
        Column::new("response_bytes", Int8),
        Column::new("durations", Int8s),
    ]
}

/// The columns of counts of routes by this period.
const fn counts_of_routes(period: &'static str) -> [Column; 12] {
    use Encoding::{Int4, Int8, Int8s, Text, Time};
    [
        Column::new(period, Time),
        Column::new("log_file", Int4),
        Column::new("informational", Int8),
        Column::new("successful", Int8),
        Column::new("redirection", Int8),
        Column::new("client_error", Int8),
        Column::new("server_error", Int8),
        Column::new("other", Int8),
        Column::new("response_bytes", Int8),
        Column::new("duration_sum", Int8),
        Column::new("durations", Int8s),
        Column::new("route", Text),
    ]
}

const SWEEP: &[Column] = &[
    Column::new("id", Encoding::Int8),
    Column::new("started_at", Encoding::Time),
    Column::new("finished_at", Encoding::Time),
    Column::new("cutoff", Encoding::Time),
    Column::new("next_at", Encoding::Time),
    Column::new("gunicorn_removed", Encoding::Int8),
    Column::new("request_removed", Encoding::Int8),
    Column::new("rejected_removed", Encoding::Int8),
    Column::new("host", Encoding::Text),
];

const IGNORED_FILE: &[Column] = &[
    Column::new("id", Encoding::Int8),
    Column::new("files", Encoding::Int8),
    Column::new("bytes", Encoding::Int8),
    Column::new("since", Encoding::Time),
    Column::new("seen_at", Encoding::Time),
    Column::new("host", Encoding::Text),
    Column::new("path", Encoding::Text),
    Column::new("reason", Encoding::Text),
    Column::new("detail", Encoding::Text),
    Column::new("owner", Encoding::Text),
];

const LOG_FILE: &[Column] = &[
    Column::new("id", Encoding::Int4),
    Column::new("time_estimated", Encoding::Bool),
    Column::new("device", Encoding::Int8),
    Column::new("inode", Encoding::Int8),
    Column::new("birth", Encoding::Time),
    Column::new("committed", Encoding::Int8),
    Column::new("size", Encoding::Int8),
    Column::new("epoch", Encoding::Int8),
    Column::new("lines", Encoding::Int8),
    Column::new("stored_rows", Encoding::Int8),
    Column::new("rejected", Encoding::Int8),
    Column::new("excluded", Encoding::Int8),
    Column::new("reparsed", Encoding::Int8),
    Column::new("lost_bytes", Encoding::Int8),
    Column::new("first_seen_at", Encoding::Time),
    Column::new("committed_at", Encoding::Time),
    Column::new("closed_at", Encoding::Time),
    Column::new("head_length", Encoding::Int4),
    Column::new("guard_length", Encoding::Int4),
    Column::new("head", Encoding::Bytes),
    Column::new("guard", Encoding::Bytes),
    Column::new("digest", Encoding::Bytes),
    Column::new("digest_state", Encoding::Bytes),
    Column::new("host", Encoding::Text),
    Column::new("path", Encoding::Text),
    Column::new("format", Encoding::Text),
    Column::new("other_formats", Encoding::Json),
    Column::new("closed_reason", Encoding::Text),
    Column::new("first_offset", Encoding::Int8),
    Column::new("kept_to", Encoding::Int8),
    Column::new("machine", Encoding::Text),
    Column::new("file_system", Encoding::Int8),
    Column::new("nul_runs", Encoding::Json),
    Column::new("last_seen_at", Encoding::Time),
    Column::new("far_times", Encoding::Int8),
    Column::new("line_forms", Encoding::Json),
    Column::new("patched_from", Encoding::Int8),
];

/// Rows of a table that are copied together, and compared: those of a UTC day or of several, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyPart {
    /// The table.
    pub table: &'static CopyTable,
    /// The first moment; `None` for the first row of all.
    pub(super) from: Option<Micros>,
    /// The moment after the last one; `None` for the last row of all.
    pub(super) until: Option<Micros>,
}

impl CopyPart {
    /// All rows of a table.
    pub(super) fn whole(table: &'static CopyTable) -> CopyPart {
        CopyPart { table, from: None, until: None }
    }

    /// The rows of a UTC day, in days since 1970; of a day without a partition of its own, the rows of all
    /// such days before or after those that have one.
    pub(in crate::store) fn of_day(table: &'static CopyTable, day: i32) -> CopyPart {
        let midnight = |day: i32| Some(Micros::from(day) * DAY_US);
        let (from, until) = match day {
            day if day < OWN_PARTITION.first => (None, midnight(OWN_PARTITION.first)),
            day if day >= OWN_PARTITION.end => (midnight(OWN_PARTITION.end), None),
            day => (midnight(day), midnight(day + 1)),
        };
        CopyPart { table, from, until }
    }

    /// The rows of a partition with these days.
    pub(in crate::store) fn of_days(table: &'static CopyTable, days: DayRange) -> CopyPart {
        let midnight = |day: i32, none: i32| (day != none).then(|| Micros::from(day) * DAY_US);
        let (from, until) = (midnight(days.first, i32::MIN), midnight(days.end, i32::MAX));
        CopyPart { table, from, until }
    }

    /// Returns what of this part none of these parts of the same table has.
    pub fn without(self, others: &[CopyPart]) -> Vec<CopyPart> {
        let mut left = vec![self];
        for other in others.iter().filter(|other| other.table == self.table) {
            let outside = |part: CopyPart| {
                let (until, from) = (other.from, other.until);
                let before =
                    until.map(|until| CopyPart { until: Some(part.end_by(until)), ..part });
                let after = from.map(|from| CopyPart { from: Some(part.begin_by(from)), ..part });
                [before, after].into_iter().flatten().filter(|part| !part.is_empty())
            };
            left = left.into_iter().flat_map(outside).collect();
        }
        left
    }

    fn end_by(&self, at: Micros) -> Micros {
        self.until.map_or(at, |until| until.min(at))
    }

    fn begin_by(&self, at: Micros) -> Micros {
        self.from.map_or(at, |from| from.max(at))
    }

    /// Returns whether no time is in it.
    fn is_empty(&self) -> bool {
        self.from.zip(self.until).is_some_and(|(from, until)| from >= until)
    }

    /// The rows of the day of a moment; see [`CopyPart::of_day`].
    pub(super) fn around(table: &'static CopyTable, at: Micros) -> CopyPart {
        let day = i32::try_from(at.div_euclid(DAY_US));
        CopyPart::of_day(table, day.unwrap_or(if at < 0 { i32::MIN } else { i32::MAX }))
    }

    /// Returns the day, if it is one.
    pub(in crate::store) fn day(&self) -> Option<i32> {
        let (from, until) = self.from.zip(self.until)?;
        let is_one = until - from == DAY_US;
        i32::try_from(from.div_euclid(DAY_US)).ok().filter(|_| is_one)
    }

    /// Returns the first moment, `None` if it has all before its end. Parts of a table are in this order.
    pub fn begin(&self) -> Option<Micros> {
        self.from
    }

    /// Returns the SELECT of its rows, in order.
    pub(super) fn select(&self, dialect: Dialect) -> String {
        let names: Vec<&str> = self.table.columns.iter().map(|column| column.name).collect();
        let CopyTable { name, order, .. } = self.table;
        format!("SELECT {} FROM {name}{} ORDER BY {order}", names.join(", "), self.among(dialect))
    }

    /// Returns the condition that chooses its rows among those of the table.
    pub(in crate::store) fn among(&self, dialect: Dialect) -> String {
        let Some(column) = self.table.time else { return String::new() };
        let literal = |at: Micros| match dialect {
            Dialect::Postgres => format!("'{}'::timestamptz", postgres::time(at)),
            Dialect::Sqlite => format!("'{}'", clock::text(at)),
        };
        let from = self.from.map(|at| format!("{column} >= {}", literal(at)));
        let until = self.until.map(|at| format!("{column} < {}", literal(at)));
        let conditions: Vec<String> = from.into_iter().chain(until).collect();
        if conditions.is_empty() {
            return String::new();
        }
        format!(" WHERE {}", conditions.join(" AND "))
    }
}

impl fmt::Display for CopyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CopyPart { table, from, until } = self;
        let date = |at: Micros| clock::text(at).chars().take(10).collect::<String>();
        match (from, until) {
            (Some(from), Some(until)) if until - from > DAY_US => {
                write!(f, "{} from {} to {}", table.name, date(*from), date(*until - 1))
            }
            (Some(from), Some(_)) => write!(f, "{} of {}", table.name, date(*from)),
            (None, Some(until)) => write!(f, "{} before {}", table.name, date(*until)),
            (Some(from), None) => write!(f, "{} from {}", table.name, date(*from)),
            (None, None) => write!(f, "{}", table.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_a_day_or_all_that_is_outside_of_the_partitions() {
        let lines = &COPY_TABLES[0];
        let part = CopyPart::around(lines, 1_795_423_260_000_000);
        assert_eq!(part.to_string(), "gunicorn_log of 2026-11-23");
        assert_eq!(part.day(), Some(20_780));
        let condition =
            " WHERE timestamp >= '2026-11-23 00:00:00' AND timestamp < '2026-11-24 00:00:00'";
        assert_eq!(part.among(Dialect::Sqlite), condition);
        assert_eq!(part, CopyPart::around(lines, 1_795_391_999_999_999 + 1));
        let before = CopyPart::around(lines, i64::MIN);
        assert_eq!((before, before.day()), (CopyPart::around(lines, 0), None));
        assert_eq!(before.to_string(), "gunicorn_log before 2000-01-01");
        let after = CopyPart::around(lines, i64::MAX);
        assert_eq!(after.to_string(), "gunicorn_log from 2100-01-01");
        assert_eq!(CopyPart::whole(&COPY_TABLES[9]).among(Dialect::Postgres), "");
    }

    #[test]
    fn days_that_the_source_does_not_have_are_those_between_its_parts() {
        let lines = &COPY_TABLES[0];
        let part = |first, end| CopyPart::of_days(lines, DayRange { first, end });
        let month = part(20_000, 20_031);
        assert_eq!(month.to_string(), "gunicorn_log from 2024-10-04 to 2024-11-03");
        assert_eq!((month.day(), part(20_000, 20_001).day()), (None, Some(20_000)));
        assert_eq!(month.without(&[part(19_990, 20_040)]), []);
        assert_eq!(month.without(&[month]), []);
        let days = [part(20_005, 20_006), part(20_030, 20_040)];
        assert_eq!(month.without(&days), [part(20_000, 20_005), part(20_006, 20_030)]);
        assert_eq!(month.without(&[part(19_000, 19_001)]), [month]);
        let all = CopyPart::whole(lines);
        let outside = [part(i32::MIN, 20_000), part(20_031, i32::MAX)];
        assert_eq!(all.without(&outside), [month]);
        assert_eq!(all.without(&[month]), outside);
        assert_eq!(month.without(&[CopyPart::whole(&COPY_TABLES[1])]), [month]);
    }

    #[test]
    fn rows_of_a_part_have_one_order() {
        for table in &COPY_TABLES {
            let first = table.time.unwrap_or("id");
            assert!(table.order.starts_with(first), "{}", table.name);
            for name in table.order.split(", ") {
                assert!(table.columns.iter().any(|column| column.name == name), "{name}");
            }
        }
    }
}
