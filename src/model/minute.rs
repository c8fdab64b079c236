//! Rows counted by minute: what charts read instead of the rows.

use std::collections::BTreeMap;

use super::file::FileId;
use super::record::Micros;

const MINUTE_US: i64 = 60_000_000;

/// Classes of a status (RFC 9110, 15): 1xx to 5xx, and what is none of them.
pub const CLASSES: usize = 6;

/// Rows of one file in one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minute {
    /// The file.
    pub file: FileId,
    /// The minute's first moment.
    pub start: Micros,
    /// Rows by class: 1xx, 2xx, 3xx, 4xx, 5xx, any other code or none.
    pub rows: [i64; CLASSES],
    /// Sum of their response bytes; stays at the largest number if it would be larger.
    pub response_bytes: i64,
}

impl Minute {
    fn add(&mut self, other: &Minute) {
        for (rows, more) in self.rows.iter_mut().zip(other.rows) {
            *rows += more;
        }
        self.response_bytes = self.response_bytes.saturating_add(other.response_bytes);
    }
}

/// Counts of the rows of a batch.
#[derive(Clone, Debug, Default)]
pub struct Minutes {
    /// A file and a minute may stand here several times.
    counted: Vec<Minute>,
}

impl Minutes {
    /// Counts a row. The next one is nearly always of the same file and minute.
    pub fn count(
        &mut self,
        file: FileId,
        timestamp: Micros,
        code: Option<i32>,
        response_bytes: Option<i64>,
    ) {
        let start = timestamp - timestamp.rem_euclid(MINUTE_US);
        let at = match self.counted.last() {
            Some(last) if last.file == file && last.start == start => self.counted.len() - 1,
            _ => {
                let rows = [0; CLASSES];
                self.counted.push(Minute { file, start, rows, response_bytes: 0 });
                self.counted.len() - 1
            }
        };
        let minute = &mut self.counted[at];
        minute.rows[class(code)] += 1;
        let bytes = response_bytes.unwrap_or(0);
        minute.response_bytes = minute.response_bytes.saturating_add(bytes);
    }

    /// The same counts below zero, for rows that leave.
    #[must_use]
    pub fn negated(mut self) -> Minutes {
        for minute in &mut self.counted {
            minute.rows = minute.rows.map(|rows| -rows);
            minute.response_bytes = -minute.response_bytes;
        }
        self
    }

    /// Adds those of another batch.
    pub fn extend(&mut self, others: &Minutes) {
        self.counted.extend_from_slice(&others.counted);
    }

    pub(super) fn clear(&mut self) {
        self.counted.clear();
    }

    /// Each file and minute once, in order.
    pub fn merged(&self) -> Vec<Minute> {
        let mut merged: BTreeMap<(FileId, Micros), Minute> = BTreeMap::new();
        for minute in &self.counted {
            merged
                .entry((minute.file, minute.start))
                .and_modify(|known| known.add(minute))
                .or_insert(*minute);
        }
        merged.into_values().collect()
    }
}

fn class(code: Option<i32>) -> usize {
    match code {
        Some(code @ 100..=599) => (code / 100 - 1) as usize,
        _ => CLASSES - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_by_file_minute_and_class() {
        let mut minutes = Minutes::default();
        for (file, at, code, bytes) in [
            (1, 0, Some(200), Some(10)),
            (1, 59_999_999, Some(299), None),
            (2, 1, Some(99), Some(1)),
            (1, 60_000_000, Some(500), Some(i64::MAX)),
            (1, 3, None, Some(5)),
            (1, 119_999_999, Some(100), Some(i64::MAX)),
            (1, -1, Some(600), None),
        ] {
            minutes.count(FileId(file), at, code, bytes);
        }
        let merged = minutes.merged();
        let minute = |file, start, rows, response_bytes| Minute {
            file: FileId(file),
            start,
            rows,
            response_bytes,
        };
        let gone = minutes.clone().negated().merged();
        assert_eq!(gone[1], minute(1, 0, [0, -2, 0, 0, 0, -1], -15));
        assert_eq!(
            merged,
            [
                minute(1, -60_000_000, [0, 0, 0, 0, 0, 1], 0),
                minute(1, 0, [0, 2, 0, 0, 0, 1], 15),
                minute(1, 60_000_000, [1, 0, 0, 0, 1, 0], i64::MAX),
                minute(2, 0, [0, 0, 0, 0, 0, 1], 1),
            ]
        );
    }
}
