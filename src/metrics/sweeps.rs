//! Counts of sweeps and of the rows that they removed.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{register, register_seconds};

/// Upper bounds of a sweep's time, in seconds.
const BUCKETS: [f64; 9] = [0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 600.0, 3600.0];

/// Counts of sweeps, their durations, and when the next one is due.
#[derive(Debug)]
pub struct Sweeps {
    sweeps: Counter,
    rows: Family<[(&'static str, &'static str); 1], Counter>,
    time: Histogram,
    next: Gauge<f64, AtomicU64>,
}

impl Sweeps {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let sweeps =
            "Sweeps that this process finished; of all daemons on a database one sweeps at a time";
        let rows = "Rows that left because they were older than the retention, by table";
        let time = "Time that each finished sweep took";
        let next = "When the next sweep is due, since 1970; in the past while it fails. Without a \
                    retention it is the daily making of partitions alone";
        Self {
            sweeps: register(registry, "sweeps", sweeps, Counter::default()),
            rows: register(registry, "swept_rows", rows, Family::default()),
            time: register_seconds(registry, "sweep", time, Histogram::new(BUCKETS)),
            next: register_seconds(registry, "next_sweep_timestamp", next, Gauge::default()),
        }
    }

    /// Counts a finished sweep, which took `time` and removed these rows of each table.
    pub fn sweep_finished(&self, time: Duration, rows: &[(&'static str, u64)]) {
        self.sweeps.inc();
        self.time.observe(time.as_secs_f64());
        for (table, removed) in rows {
            self.rows.get_or_create(&[("table", *table)]).inc_by(*removed);
        }
    }

    /// Sets when the next sweep is due, in seconds since 1970.
    pub fn set_next(&self, at: i64) {
        self.next.set(at as f64);
    }
}
