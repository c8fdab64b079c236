//! Limits what the log says of single files that are not followed.
//!
//! Who may write to a watched directory decides how many files are in it. They must not decide how long the log is:
//! the first files of a minute are named, the others are counted, and one message a minute says how many. `status`,
//! the page and `/metrics` have all of them.

use std::time::{Duration, Instant};

use tracing::warn;

/// How many files are named in a minute.
const NAMED: u32 = 20;

const MINUTE: Duration = Duration::from_secs(60);

/// What was said in this minute, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    /// When the minute began, and how many files were named in it.
    minute: Option<(Instant, u32)>,
    /// Files that were not named since the last sum.
    unnamed: u64,
    /// When they were summed up last.
    summed_up: Option<Instant>,
}

impl Announcements {
    /// Returns whether a message may name one more file. Otherwise the file is counted.
    pub(crate) fn may_name(&mut self, now: Instant) -> bool {
        let (_, named) = match &mut self.minute {
            Some(minute) if now.duration_since(minute.0) < MINUTE => minute,
            minute => minute.insert((now, 0)),
        };
        if *named < NAMED {
            *named += 1;
            return true;
        }
        self.unnamed += 1;
        false
    }

    /// Says how many files were not named, at most once a minute.
    pub(crate) fn sum_up(&mut self, now: Instant) {
        if let Some(files) = self.due(now) {
            warn!(
                files,
                "more files are not followed than this log names: `log-ingestd status` lists them with their \
                 reasons"
            );
        }
    }

    fn due(&mut self, now: Instant) -> Option<u64> {
        let is_due = self.summed_up.is_none_or(|last| now.duration_since(last) >= MINUTE);
        if self.unnamed == 0 || !is_due {
            return None;
        }
        self.summed_up = Some(now);
        Some(std::mem::take(&mut self.unnamed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_files_of_a_minute_are_named_and_the_others_are_counted() {
        let (mut all, began) = (Announcements::default(), Instant::now());
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        let named = |all: &mut Announcements, files: u32, now| {
            (0..files).filter(|_| all.may_name(now)).count()
        };
        assert_eq!((named(&mut all, NAMED, at(0)), all.due(at(0))), (20, None));
        assert_eq!(named(&mut all, 10_000, at(1)), 0);
        assert_eq!((all.due(at(1)), all.due(at(2))), (Some(10_000), None));
        assert_eq!(named(&mut all, 5, at(59)), 0);
        assert_eq!((all.due(at(60)), all.due(at(61))), (None, Some(5)));
        assert_eq!(named(&mut all, 25, at(62)), 20);
        assert_eq!((all.due(at(62)), all.due(at(121)), all.due(at(300))), (None, Some(5), None));
    }
}
