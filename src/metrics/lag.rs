//! How many bytes of the files are not stored yet, and for how long.
//!
//! The values are those of the last scan, at most one poll interval old.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// Most files that have metrics of their own: those with the most bytes not stored.
pub const MAX_FILES: usize = 100;

/// The lag of one file.
#[derive(Clone, Debug)]
pub struct FileLag {
    /// The file's path.
    pub path: String,
    /// Bytes in the file that are not stored.
    pub bytes: u64,
    /// When the oldest of them was first seen; `None` if no complete line waits.
    pub since: Option<Instant>,
}

#[derive(Debug, Default)]
struct Snapshot {
    files: u64,
    bytes: u64,
    since: Option<Instant>,
    furthest: Vec<FileLag>,
}

/// The lag that the last scan found. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Lag(Arc<Mutex<Snapshot>>);

impl Lag {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let lag = Self::default();
        registry.register_collector(Box::new(lag.clone()));
        lag
    }

    /// Sets the number of followed files, their `bytes` that are not stored, when the oldest of these
    /// was first seen, and the files with the most of them.
    pub fn set(&self, files: u64, bytes: u64, since: Option<Instant>, furthest: Vec<FileLag>) {
        *self.snapshot() = Snapshot { files, bytes, since, furthest };
    }

    /// Returns the number of followed files.
    pub fn files(&self) -> u64 {
        self.snapshot().files
    }

    /// Returns for how long the oldest bytes of any file have been known to wait.
    pub fn longest(&self) -> Duration {
        self.snapshot().since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn snapshot(&self) -> std::sync::MutexGuard<'_, Snapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds_since(since: Option<Instant>) -> f64 {
    since.map_or(0.0, |since| since.elapsed().as_secs_f64())
}

impl Collector for Lag {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let snapshot = self.snapshot();
        let mut gauge = |name, help, unit: Option<&Unit>, value: f64| {
            let metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)
        };
        gauge("log_ingestd_files", "Log files that are followed", None, snapshot.files as f64)?;
        gauge(
            "log_ingestd_backlog",
            "Bytes of all followed files that are not stored yet, lines without their end among them",
            Some(&Unit::Bytes),
            snapshot.bytes as f64,
        )?;
        gauge(
            "log_ingestd_backlog",
            "How long the oldest bytes of any file have been known to wait; the most of \
             log_ingestd_lag_seconds",
            Some(&Unit::Seconds),
            seconds_since(snapshot.since),
        )?;
        let mut per_file = |help, unit: &Unit, value: &dyn Fn(&FileLag) -> f64| {
            let mut family = encoder.encode_descriptor(
                "log_ingestd_lag",
                help,
                Some(unit),
                MetricType::Gauge,
            )?;
            for file in &snapshot.furthest {
                let label = [("file", file.path.as_str())];
                ConstGauge::new(value(file)).encode(family.encode_family(&label)?)?;
            }
            Ok(())
        };
        per_file(
            "Bytes of the file that are not stored yet; of the 100 files with the largest lag",
            &Unit::Bytes,
            &|file| file.bytes as f64,
        )?;
        per_file(
            "How long the file's oldest bytes that are not stored have been known to wait: since the \
             scan that found them, so at most a poll interval too short; bytes written before the \
             daemon started count from its first scan, and in a long backlog neighbouring scans \
             count as the earlier one. 0 if only the beginning of a line waits",
            &Unit::Seconds,
            &|file| seconds_since(file.since),
        )
    }
}
