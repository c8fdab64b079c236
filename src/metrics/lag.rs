//! How far the store is behind the files: as of the last look at them, at most one poll interval ago.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// Files that are shown one by one: those that are furthest behind.
pub const MOST_FILES: usize = 100;

/// One file's.
#[derive(Clone, Debug)]
pub struct FileLag {
    /// Where it is.
    pub path: String,
    /// Bytes that are there and not stored.
    pub bytes: u64,
    /// When the oldest of them was first seen; `None` if none waits, or only the beginning of a
    /// line.
    pub since: Option<Instant>,
}

#[derive(Debug, Default)]
struct Seen {
    files: u64,
    bytes: u64,
    since: Option<Instant>,
    furthest: Vec<FileLag>,
}

/// What the last look found.
#[derive(Clone, Debug, Default)]
pub struct Lag(Arc<Mutex<Seen>>);

impl Lag {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let lag = Self::default();
        registry.register_collector(Box::new(lag.clone()));
        lag
    }

    /// So many files are followed, `bytes` of them are not stored, the oldest since `since`, and
    /// these files are furthest behind.
    pub fn set(&self, files: u64, bytes: u64, since: Option<Instant>, furthest: Vec<FileLag>) {
        *self.seen() = Seen { files, bytes, since, furthest };
    }

    /// How many files are followed.
    pub fn files(&self) -> u64 {
        self.seen().files
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn age(since: Option<Instant>) -> f64 {
    since.map_or(0.0, |since| since.elapsed().as_secs_f64())
}

impl Collector for Lag {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let seen = self.seen();
        let mut one = |name, help, unit: Option<&Unit>, value: f64| {
            let metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)
        };
        one("log_ingestd_files", "Log files that are followed", None, seen.files as f64)?;
        one(
            "log_ingestd_backlog",
            "Bytes of all followed files that are not stored yet, lines without their end among them",
            Some(&Unit::Bytes),
            seen.bytes as f64,
        )?;
        one(
            "log_ingestd_backlog",
            "How long the oldest bytes of any file have been known to wait; the most of \
             log_ingestd_lag_seconds",
            Some(&Unit::Seconds),
            age(seen.since),
        )?;
        let mut each = |help, unit: &Unit, value: &dyn Fn(&FileLag) -> f64| {
            let mut family = encoder.encode_descriptor(
                "log_ingestd_lag",
                help,
                Some(unit),
                MetricType::Gauge,
            )?;
            for file in &seen.furthest {
                let label = [("file", file.path.as_str())];
                ConstGauge::new(value(file)).encode(family.encode_family(&label)?)?;
            }
            Ok(())
        };
        each(
            "Bytes of the file that are not stored yet; of the 100 files that are furthest behind",
            &Unit::Bytes,
            &|file| file.bytes as f64,
        )?;
        each(
            "How long the file's oldest bytes that are not stored have been known to wait: since the \
             look that saw them first, so at most a poll interval too little; what was written \
             before the daemon started counts from its first look, and in a long backlog \
             neighbouring looks are taken as one, the earlier. 0 if only a line's beginning waits",
            &Unit::Seconds,
            &|file| age(file.since),
        )
    }
}
