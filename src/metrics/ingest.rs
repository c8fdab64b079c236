//! Counts of lines, bytes and commits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::model::{Batch, RejectCode};

use super::health::now_seconds;
use super::{register, register_seconds};

/// Upper bounds of a commit's time, in seconds.
const COMMIT_BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Counts of lines by their outcome, and of the transactions that stored them.
#[derive(Debug)]
pub struct Ingest {
    lines: Counter,
    rows: Counter,
    rejected: Family<[(&'static str, &'static str); 1], Counter>,
    /// Of all rejected lines those that may be requests.
    unexpected: AtomicU64,
    excluded: Counter,
    bytes: Counter,
    lost: Counter,
    far_times: Counter,
    commits: Counter,
    commit_time: Histogram,
    last_commit: Gauge<f64, AtomicU64>,
    failures: Counter,
    reconnects: Counter,
    queue: Gauge,
}

impl Ingest {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let mut counter = |name, help| register(registry, name, help, Counter::default());
        let all = Self {
            unexpected: AtomicU64::new(0),
            lines: counter(
                "lines",
                "Complete lines whose fate is stored: rows, rejected and excluded",
            ),
            rows: counter("rows", "Lines that were stored as rows"),
            excluded: counter(
                "excluded_lines",
                "Lines that are left out: by the configuration, or on a container's standard error",
            ),
            bytes: counter("bytes", "Bytes of lines whose fate is stored"),
            lost: counter(
                "lost_bytes",
                "Bytes that were gone before they could be read, as far as the files' sizes were \
                 known",
            ),
            far_times: counter(
                "far_times",
                "Rows whose time was before 2000, or more than two days ahead of the clock, when they were read",
            ),
            commits: counter("commits", "Transactions that stored lines and moved offsets"),
            failures: counter(
                "store_failures",
                "Times that the store failed or did not answer; each is tried again",
            ),
            reconnects: counter("reconnects", "Connections made in place of one that was lost"),
            rejected: register(
                registry,
                "rejected_lines",
                "Lines that became no row and were stored with their bytes, by kind of reason",
                Family::default(),
            ),
            commit_time: register_seconds(
                registry,
                "commit",
                "Time that each try to store a batch took in the store",
                Histogram::new(COMMIT_BUCKETS),
            ),
            last_commit: register_seconds(
                registry,
                "last_commit_timestamp",
                "When lines were stored last, since 1970; 0 before the first",
                Gauge::default(),
            ),
            queue: register(
                registry,
                "queue_lines",
                "Lines that were read and are not stored yet; bounded, the rest waits in its file",
                Gauge::default(),
            ),
        };
        for code in RejectCode::ALL {
            // Prometheus needs a 0 before the first reject to compute its rate.
            let _ = all.rejected.get_or_create(&[("reason", code.metric_label())]);
        }
        all
    }

    /// Counts a stored batch.
    pub fn stored(&self, batch: &Batch) {
        for span in &batch.spans {
            self.lines.inc_by(span.lines);
            self.rows.inc_by(span.rows);
            self.excluded.inc_by(span.excluded);
            self.far_times.inc_by(span.far_times);
            let bytes = span.to.offset.saturating_sub(span.from);
            self.bytes.inc_by(bytes.saturating_sub(span.nul_bytes()));
        }
        for (code, &count) in RejectCode::ALL.into_iter().zip(&batch.reasons) {
            if count > 0 {
                self.rejected.get_or_create(&[("reason", code.metric_label())]).inc_by(count);
                if code.is_unexpected() {
                    self.unexpected.fetch_add(count, Ordering::Relaxed);
                }
            }
        }
        self.commits.inc();
        self.last_commit.set(now_seconds());
    }

    /// Records how long a try to store a batch took, successful or not.
    pub fn commit_attempted(&self, time: Duration) {
        self.commit_time.observe(time.as_secs_f64());
    }

    /// Counts a failure of the store, or a missing answer.
    pub fn failed(&self) {
        self.failures.inc();
    }

    /// Counts a connection that replaces a lost one.
    pub fn reconnected(&self) {
        self.reconnects.inc();
    }

    /// Counts bytes that were gone before they were read.
    pub fn bytes_lost(&self, bytes: u64) {
        self.lost.inc_by(bytes);
    }

    /// Returns how many bytes were lost since the start of the process.
    pub fn lost_bytes(&self) -> u64 {
        self.lost.get()
    }

    /// Returns how many lines were rejected since the start of the process that may be requests.
    pub fn unexpected_rejects(&self) -> u64 {
        self.unexpected.load(Ordering::Relaxed)
    }

    /// Sets the number of lines that are read and not stored yet.
    pub fn set_queued_lines(&self, lines: u64) {
        self.queue.set(i64::try_from(lines).unwrap_or(i64::MAX));
    }
}
