//! Says in the log that lines were rejected: once for each file and cause with an example, and what to do;
//! then at most once an hour how many there were.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tracing::warn;

use crate::model::{Batch, FileId, RejectCode, RejectExample};

/// Between two summaries.
const SUMMARY_EVERY: Duration = Duration::from_secs(3600);

/// The most files and causes that are reported one by one.
const MOST_TOLD: usize = 10_000;

/// What was reported of rejects so far.
#[derive(Debug)]
pub(crate) struct RejectNotices {
    told: HashSet<(FileId, RejectCode)>,
    /// Rejects since the last summary, by cause.
    counts: [u64; RejectCode::ALL.len()],
    /// When the last summary was, or the first reject.
    since: Option<Instant>,
}

impl RejectNotices {
    pub(crate) fn new() -> Self {
        Self { told: HashSet::new(), counts: Default::default(), since: None }
    }

    /// Takes note of the rejects of a batch that was stored. `name` gives a file's path.
    pub(crate) fn stored(&mut self, batch: &Batch, name: impl Fn(FileId) -> String, now: Instant) {
        for example in &batch.reject_examples {
            let key = (example.file, example.code);
            if self.told.len() < MOST_TOLD && self.told.insert(key) {
                tell(example, &name(example.file));
                self.since.get_or_insert(now);
            }
        }
        for code in RejectCode::ALL.into_iter().filter(|code| code.is_unexpected()) {
            self.counts[code as usize] += batch.reasons[code as usize];
        }
        if let Some(Summary { lines, minutes, causes }) = self.summary(now) {
            warn!(
                lines,
                minutes,
                causes,
                "lines were rejected since the last such message: they are in rejected_line"
            );
        }
    }

    /// Sums up the rejects of the last hour; `None` if that was done within it, or there was none.
    fn summary(&mut self, now: Instant) -> Option<Summary> {
        let since = self.since.filter(|since| now.duration_since(*since) >= SUMMARY_EVERY)?;
        self.since = Some(now);
        let counts = std::mem::take(&mut self.counts);
        let causes = RejectCode::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0);
        let causes: Vec<String> =
            causes.map(|(code, count)| format!("{}: {count}", code.name())).collect();
        (!causes.is_empty()).then(|| Summary {
            lines: counts.iter().sum(),
            minutes: now.duration_since(since).as_secs() / 60,
            causes: causes.join(", "),
        })
    }
}

/// The rejects since the summary before.
#[derive(Debug, PartialEq, Eq)]
struct Summary {
    lines: u64,
    minutes: u64,
    /// How many for which cause.
    causes: String,
}

fn tell(example: &RejectExample, path: &str) {
    let RejectExample { file, code, offset, lines, reason, beginning } = example;
    warn!(
        file = file.0,
        path,
        reason = code.name(),
        offset,
        lines,
        why = reason,
        line = beginning,
        "lines of this file are rejected: kept in rejected_line; {}",
        code.remedy()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RejectReason;

    #[test]
    fn a_summary_comes_at_most_once_an_hour_and_counts_what_was_rejected_since() {
        let (mut notices, began) = (RejectNotices::new(), Instant::now());
        let at = |minutes: u64| began + Duration::from_secs(60 * minutes);
        let mut batch = Batch::default();
        let reasons = [RejectReason::NotUtf8, RejectReason::ServerLog, RejectReason::NotUtf8];
        for (nth, reason) in (0..).zip(&reasons) {
            batch.push_reject(FileId(1), nth..nth, 0, reason, b"x");
        }
        assert_eq!(notices.summary(at(0)), None);
        notices.stored(&batch, |_| String::new(), at(0));
        notices.counts[RejectCode::Ambiguous as usize] += 1;
        assert_eq!(notices.summary(at(59)), None);
        let causes = "not_utf8: 2, ambiguous: 1".to_owned();
        assert_eq!(notices.summary(at(61)), Some(Summary { lines: 3, minutes: 61, causes }));
        assert_eq!(notices.summary(at(200)), None, "nothing was rejected since");
    }
}
