//! How many files are not followed, by reason.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::model::IgnoredCode;

use super::register;

/// Counts of files that a watched path matches and that are not followed.
#[derive(Debug)]
pub struct Ignored(Family<[(&'static str, &'static str); 1], Gauge>);

impl Ignored {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let help = "Files that a watched path matches and that are not followed, by reason; \
                    `log-ingestd status` names them";
        let ignored = Self(register(registry, "ignored_files", help, Family::default()));
        ignored.set(&[0; IgnoredCode::COUNT]);
        ignored
    }

    /// Sets the number of files for each reason, in the order of [`IgnoredCode::ALL`].
    pub fn set(&self, counts: &[u64; IgnoredCode::COUNT]) {
        for (code, &count) in IgnoredCode::ALL.into_iter().zip(counts) {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.0.get_or_create(&[("reason", code.name())]).set(count);
        }
    }
}
