//! Which rows are new since the last look, for the page's tail and for `query --follow`.
//!
//! A look queries the database and not a daemon: daemons on other machines may write to the same tables. Rows
//! do not become visible in the order of their times. So each look repeats the last 15 s, and leaves out
//! the rows that an earlier one has found.

use std::collections::HashSet;
use std::mem;
use std::time::Duration;

use super::rows::FoundRow;
use crate::model::Micros;

/// The rows that the last looks have found.
#[derive(Debug, Default)]
pub struct RecentRows {
    known: HashSet<i64>,
    found: HashSet<i64>,
    /// When the last look that found everything began, and the one that goes on.
    complete: Option<Micros>,
    begun: Micros,
}

impl RecentRows {
    /// Time between two looks.
    pub const INTERVAL: Duration = Duration::from_secs(1);

    /// Begins a look, and returns from which time on it looks. A row has the time of its request, and its line was
    /// written, read and stored after that. A look that comes late begins where the last one did.
    pub fn begin(&mut self, now: Micros) -> Micros {
        const MAX_DELAY: Micros = 15_000_000;
        self.begun = now;
        self.complete.map_or(now, |complete| complete.min(now)) - MAX_DELAY
    }

    /// Removes the rows that are known from rows of this look, and takes note of the others.
    pub fn retain_new<T>(&mut self, rows: &mut Vec<FoundRow<T>>) {
        rows.retain(|row| {
            self.found.insert(row.id);
            self.known.insert(row.id)
        });
    }

    /// Takes note of rows that another search has found since the last look.
    pub fn know<T>(&mut self, rows: &[FoundRow<T>]) {
        self.known.extend(rows.iter().map(|row| row.id));
    }

    /// Ends a look that has found everything: what it did not find cannot be found again.
    pub fn end_look(&mut self) {
        self.known = mem::take(&mut self.found);
        self.complete = Some(self.begun);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_comes_late_leaves_nothing_out() {
        let mut recent = RecentRows::default();
        let seconds = |n: Micros| n * 1_000_000;
        assert_eq!(recent.begin(seconds(100)), seconds(85));
        recent.end_look();
        // The next one failed, the one after it came late.
        assert_eq!(recent.begin(seconds(101)), seconds(85));
        assert_eq!(recent.begin(seconds(140)), seconds(85));
        recent.end_look();
        assert_eq!(recent.begin(seconds(141)), seconds(125));
        // The clock was set back.
        assert_eq!(recent.begin(seconds(90)), seconds(75));
    }
}
